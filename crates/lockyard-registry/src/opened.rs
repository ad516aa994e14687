//! Rows that were opened before, kept so that the next request need not open them again.
//!
//! Whether something exists and what a tag points at is read from the database each time. What is
//! kept is what opening a sealed value gave. Opening is a function of the key, the place and the
//! sealed bytes, so a row that is read with the same bytes in the same place is the row that was
//! opened, and any other is opened anew: there is nothing that could be stale. It lies in the
//! registry's cell, dies with the lease, and is bounded in bytes.
//!
//! One thing is kept that could be stale: where a reference led ([`Led`]). It counts only for as long
//! as the database has seen no commit since, which the database itself is asked each time; one that
//! others write to as well cannot say, and then nothing of this is kept.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use lockyard_base::{BlindIndex, Epoch, ManifestId, RepositoryId, TagId, Timestamp};
use lockyard_oci::{Reference, RepositoryName, Tag};
use lockyard_store::{manifest::ManifestRow, repository::RepositoryRow, tag::TagRow};
use zeroize::Zeroizing;

use crate::rows::ManifestRecord;

/// What an entry costs beside its text and bytes: maps, counters, fixed fields.
const ENTRY_BYTES: usize = 512;

/// What one registry has opened; the cache that its cell keeps.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    pub(crate) repositories: Shelf<RepositoryName, OpenedRepository>,
    pub(crate) tags: Shelf<(RepositoryId, Tag), OpenedTag>,
    pub(crate) manifests: Shelf<ManifestId, OpenedManifest>,
    pub(crate) led: Shelf<(RepositoryName, Reference), Led>,
}

impl Opened {
    /// How many bytes each shelf may hold if all together may hold `bytes_max`.
    pub(crate) const fn share(bytes_max: usize) -> usize {
        bytes_max / 4
    }
}

/// What knows how much memory it takes, about.
pub(crate) trait Weighed {
    /// The weight in bytes.
    fn weight(&self) -> usize;
}

/// A repository's row that opened and bears its name.
#[derive(Debug)]
pub(crate) struct OpenedRepository {
    /// The index of its name, whatever the row says: the index key never changes.
    pub(crate) index: BlindIndex,
    id: RepositoryId,
    epoch: Epoch,
    sealed: Vec<u8>,
}

impl OpenedRepository {
    /// Remembers a row that was found under `index` and opened.
    pub(crate) fn of(index: BlindIndex, row: &RepositoryRow) -> Self {
        Self { index, id: row.repository_id, epoch: row.epoch, sealed: row.sealed.clone() }
    }

    /// Whether this is the row that was opened.
    pub(crate) fn is(&self, row: &RepositoryRow) -> bool {
        (self.index, self.id, self.epoch) == (row.name_index, row.repository_id, row.epoch)
            && self.sealed == row.sealed
    }
}

impl Weighed for OpenedRepository {
    fn weight(&self) -> usize {
        ENTRY_BYTES + RepositoryName::CHARS_MAX + self.sealed.len()
    }
}

/// A tag's row that opened and bears its name.
#[derive(Debug)]
pub(crate) struct OpenedTag {
    /// The index of its name.
    pub(crate) index: BlindIndex,
    /// The index of the digest that it names.
    pub(crate) digest_index: BlindIndex,
    id: TagId,
    manifest: Option<ManifestId>,
    epoch: Epoch,
    sealed: Option<Vec<u8>>,
}

impl OpenedTag {
    /// Remembers a row that was opened and names a digest of this index.
    pub(crate) fn of(row: &TagRow, digest_index: BlindIndex) -> Self {
        Self {
            index: row.name_index,
            digest_index,
            id: row.tag_id,
            manifest: row.manifest_id,
            epoch: row.epoch,
            sealed: row.sealed.clone(),
        }
    }

    /// Whether this is the row that was opened.
    pub(crate) fn is(&self, row: &TagRow) -> bool {
        (self.index, self.id, self.manifest, self.epoch)
            == (row.name_index, row.tag_id, row.manifest_id, row.epoch)
            && self.sealed == row.sealed
    }
}

impl Weighed for OpenedTag {
    fn weight(&self) -> usize {
        ENTRY_BYTES + Tag::CHARS_MAX + self.sealed.as_ref().map_or(0, Vec::len)
    }
}

/// A manifest's row that opened, and its bytes if somebody asked for them.
#[derive(Debug)]
pub(crate) struct OpenedManifest {
    row: ManifestRow,
    /// What the row says.
    pub(crate) record: Arc<ManifestRecord>,
    /// The bytes that were sealed together with the row, and are replaced together with it.
    pub(crate) content: Option<Bytes>,
}

impl OpenedManifest {
    /// Remembers a row and what it said.
    pub(crate) fn of(row: &ManifestRow, record: &Arc<ManifestRecord>) -> Self {
        Self { row: row.clone(), record: Arc::clone(record), content: None }
    }

    /// The same with its content.
    pub(crate) fn with(mut self, content: &Bytes) -> Self {
        self.content = Some(content.clone());
        self
    }

    /// Whether this is the row that was opened; when it was touched plays no part.
    pub(crate) fn is(&self, row: &ManifestRow) -> bool {
        let place = |row: &ManifestRow| {
            (row.manifest_id, row.repository_id, row.digest_index, row.child_index, row.epoch)
        };
        place(&self.row) == place(row) && self.row.sealed == row.sealed
    }
}

impl Weighed for OpenedManifest {
    fn weight(&self) -> usize {
        // What the sealed descriptor holds is held once more in the clear.
        ENTRY_BYTES + 2 * self.row.sealed.len() + self.content.as_ref().map_or(0, Bytes::len)
    }
}

/// Where a reference led when the database had seen so many commits.
#[derive(Debug)]
pub(crate) struct Led {
    pub(crate) commits: u64,
    /// The manifest.
    pub(crate) id: ManifestId,
    /// When somebody last relied on it.
    pub(crate) touched_at: Timestamp,
    pub(crate) record: Arc<ManifestRecord>,
    /// Its bytes if somebody asked for them.
    pub(crate) content: Option<Bytes>,
}

impl Weighed for Led {
    fn weight(&self) -> usize {
        // The record and the bytes are shared with the manifest's own entry, which may go first.
        let names = RepositoryName::CHARS_MAX + Tag::CHARS_MAX;
        2 * ENTRY_BYTES + names + self.content.as_ref().map_or(0, Bytes::len)
    }
}

/// Plaintext as `Bytes`: wiped when the last of those who hold it lets go.
pub(crate) fn wiped_at_last(plain: Zeroizing<Vec<u8>>) -> Bytes {
    struct Owner(Zeroizing<Vec<u8>>);
    impl AsRef<[u8]> for Owner {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Owner(plain))
}

/// A map that forgets what was not used for long, so that it never weighs more than it may.
///
/// Two generations instead of a list in order of use: what is used moves to the young one; when
/// that has half of the weight, the old one is dropped and the young one grows old.
pub(crate) struct Shelf<K, V>(Mutex<Generations<K, V>>);

struct Generations<K, V> {
    young: HashMap<K, Arc<V>>,
    young_bytes: usize,
    old: HashMap<K, Arc<V>>,
}

impl<K: Hash + Eq + Clone, V: Weighed> Shelf<K, V> {
    /// What is kept under this key.
    pub(crate) fn get(&self, key: &K, bytes_max: usize) -> Option<Arc<V>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = kept.young.get(key) {
            return Some(Arc::clone(value));
        }
        let value = kept.old.remove(key)?;
        kept.put(key.clone(), Arc::clone(&value), bytes_max);
        Some(value)
    }

    /// Keeps a value, unless it alone would take half of the room.
    pub(crate) fn put(&self, key: K, value: V, bytes_max: usize) {
        self.put_shared(key, Arc::new(value), bytes_max);
    }

    /// The same with a value that is in use already.
    pub(crate) fn put_shared(&self, key: K, value: Arc<V>, bytes_max: usize) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _before = kept.old.remove(&key);
        kept.put(key, value, bytes_max);
    }
}

impl<K: Hash + Eq, V: Weighed> Generations<K, V> {
    fn put(&mut self, key: K, value: Arc<V>, bytes_max: usize) {
        let (weight, room) = (value.weight(), bytes_max / 2);
        if let Some(before) = self.young.remove(&key) {
            self.young_bytes -= before.weight();
        }
        if weight > room {
            return;
        }
        if self.young_bytes + weight > room {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += weight;
        let _none = self.young.insert(key, value);
    }
}

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        let generations =
            Generations { young: HashMap::new(), young_bytes: 0, old: HashMap::new() };
        Self(Mutex::new(generations))
    }
}

impl<K, V> fmt::Debug for Shelf<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use lockyard_base::RegistryId;
    use lockyard_keyring::testing::TestCell;
    use lockyard_store::SealNo;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Thing(usize);

    impl Weighed for Thing {
        fn weight(&self) -> usize {
            self.0
        }
    }

    fn weight(shelf: &Shelf<u8, Thing>) -> usize {
        let kept = shelf.0.lock().expect("nobody panics");
        let weigh =
            |map: &HashMap<u8, Arc<Thing>>| map.values().map(|thing| thing.0).sum::<usize>();
        assert_eq!(weigh(&kept.young), kept.young_bytes);
        weigh(&kept.young) + weigh(&kept.old)
    }

    #[test]
    fn a_shelf_holds_what_it_may_and_forgets_what_was_not_used() {
        let shelf = Shelf::default();
        for key in 0..10 {
            shelf.put(key, Thing(10), 100);
        }
        assert_eq!(weight(&shelf), 100);
        assert!(shelf.get(&0, 100).is_some(), "an old one that is used is young again");
        assert_eq!(weight(&shelf), 60, "it came in as the eleventh");
        for key in 10..14 {
            shelf.put(key, Thing(10), 100);
        }
        shelf.put(14, Thing(10), 100);
        assert!(shelf.get(&0, 100).is_some());
        assert!(shelf.get(&1, 100).is_none());
    }

    #[test]
    fn what_would_take_more_than_half_of_the_room_is_not_kept() {
        let shelf = Shelf::default();
        shelf.put(1, Thing(50), 100);
        assert!(shelf.get(&1, 100).is_some());
        shelf.put(1, Thing(51), 100);
        assert!(shelf.get(&1, 100).is_none(), "and what it replaces is gone");
    }

    #[test]
    fn what_was_opened_dies_with_the_lock() {
        let cell = TestCell::filled(RegistryId::from_bytes([1; 16]), 1);
        let handle = cell.handle();
        let cache = handle.cache::<Opened>().expect("unlocked");
        let row = RepositoryRow {
            repository_id: RepositoryId::from_bytes([2; 16]),
            registry_id: handle.id(),
            name_index: BlindIndex::from_bytes([3; 32]),
            epoch: Epoch::FIRST,
            seal_no: SealNo::FIRST,
            sealed: b"sealed".to_vec(),
            version: 1,
            deleted: false,
            tag_version: 0,
            tag_pruned_to: 0,
        };
        let name: RepositoryName = "app".parse().expect("a name");
        cache.repositories.put(name.clone(), OpenedRepository::of(row.name_index, &row), 4096);
        let kept = cache.repositories.get(&name, 4096).expect("kept");
        assert!(kept.is(&row));
        assert!(!kept.is(&RepositoryRow { sealed: b"other!".to_vec(), ..row.clone() }));
        assert!(!kept.is(&RepositoryRow { epoch: Epoch::new(2), ..row }));
        let traces = (Arc::downgrade(&kept), Arc::downgrade(&cache));
        drop((kept, cache));
        assert!(traces.0.upgrade().is_some() && traces.1.upgrade().is_some());
        cell.lock();
        assert!(handle.cache::<Opened>().is_err());
        assert!(traces.0.upgrade().is_none() && traces.1.upgrade().is_none());
        cell.unlock();
        let cache = cell.handle().cache::<Opened>().expect("unlocked again");
        assert!(cache.repositories.get(&name, 4096).is_none());
    }

    #[test]
    fn plaintext_is_wiped_when_the_last_holder_lets_go() {
        let bytes = wiped_at_last(Zeroizing::new(b"gold".to_vec()));
        let held = bytes.slice(1..3);
        drop(bytes);
        assert_eq!(&held[..], b"ol");
    }

    proptest! {
        #[test]
        fn a_shelf_never_weighs_more_than_it_may_and_never_answers_with_another(
            steps in prop::collection::vec((any::<u8>(), 0..60_usize, any::<bool>()), 0..200)
        ) {
            let shelf = Shelf::default();
            let mut last = HashMap::new();
            for (key, bytes, put) in steps {
                let key = key % 16;
                if put {
                    shelf.put(key, Thing(bytes), 100);
                    last.insert(key, bytes);
                } else if let Some(found) = shelf.get(&key, 100) {
                    prop_assert_eq!(Some(&found.0), last.get(&key));
                }
                prop_assert!(weight(&shelf) <= 100);
            }
        }
    }
}
