//! Sorted names, kept in memory beside sealed rows.
//!
//! The database cannot sort what it cannot read, so a listing opens every name once and from then
//! on only what changed: each change carries its parent's next version, and a refresh asks for what
//! is newer than it has seen. A listing lives in the registry's cell and dies with the lease.
//! Existence is never answered from here but for the page that asked for the refresh.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use lockyard_base::{RepositoryId, RowId};
use tokio::sync::Mutex;

use crate::RegistryError;

/// One page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The entries, in byte order of their names.
    pub items: Vec<T>,
    /// Whether more follow.
    pub more: bool,
}

/// What a row of a list says, or `None` if it is damaged: such a row answers as unknown wherever it
/// is asked for, so a list does without it too, and pushing again heals both.
pub(crate) fn known<T>(
    row: impl std::fmt::Display,
    opened: Result<T, RegistryError>,
) -> Result<Option<T>, RegistryError> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(RegistryError::Damaged(what)) => {
            tracing::error!(%row, what, "a damaged row was left out of a list");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// A changed entry: its name, or `None` if it is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) row: RowId,
    pub(crate) name: Option<String>,
}

/// The sorted names under one parent, as of version `seen`.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    seen: u64,
    names: BTreeSet<Arc<str>>,
    by_row: HashMap<RowId, Arc<str>>,
    bytes: usize,
}

impl Listing {
    /// The version up to which changes are in.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Plaintext bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets everything: tombstones that it would have needed were pruned.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes changes in; afterwards the listing stands at `version`.
    pub(crate) fn apply(&mut self, changes: Vec<Change>, version: u64) {
        for change in changes {
            if let Some(old) = self.by_row.remove(&change.row) {
                self.bytes -= old.len();
                self.names.remove(&old);
            }
            if let Some(name) = change.name {
                let name: Arc<str> = name.into();
                self.bytes += name.len();
                self.names.insert(Arc::clone(&name));
                self.by_row.insert(change.row, name);
            }
        }
        self.seen = self.seen.max(version);
    }

    /// At most `n` names that come after `last` in byte order.
    pub(crate) fn page(&self, n: usize, last: Option<&str>) -> Page<String> {
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.names.range::<str, _>((after, Bound::Unbounded));
        let items = rest.by_ref().take(n).map(ToString::to_string).collect();
        // A page of nothing leads nowhere: it has no last name to go on from.
        Page { items, more: n > 0 && rest.next().is_some() }
    }
}

/// All listings of one registry; the cache that its cell keeps.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    pub(crate) repositories: Arc<Mutex<Listing>>,
    tags: std::sync::Mutex<Tags>,
}

#[derive(Debug, Default)]
struct Tags {
    /// Each with the tick of its last use.
    by_repository: HashMap<RepositoryId, (u64, Arc<Mutex<Listing>>)>,
    tick: u64,
}

impl Listings {
    /// The listing of a repository's tags, empty if it is new here.
    pub(crate) fn tags(&self, repository: RepositoryId) -> Arc<Mutex<Listing>> {
        let mut tags = self.tags.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        tags.tick += 1;
        let now = tags.tick;
        let (used, listing) = tags.by_repository.entry(repository).or_default();
        *used = now;
        Arc::clone(listing)
    }

    /// Drops the tag listings that were used longest ago until at most `bytes_max` are held.
    ///
    /// A listing in use is not counted and not dropped; the one just used goes last.
    pub(crate) fn trim(&self, bytes_max: usize) {
        let mut tags = self.tags.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut held: Vec<(u64, RepositoryId, usize)> = tags
            .by_repository
            .iter()
            .filter_map(|(id, (used, listing))| {
                Some((*used, *id, listing.try_lock().ok()?.bytes()))
            })
            .collect();
        held.sort_unstable();
        let mut total: usize = held.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, id, bytes) in held {
            if total <= bytes_max {
                break;
            }
            total -= bytes;
            let _dropped = tags.by_repository.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(n: u8) -> RowId {
        RowId::from_bytes([n; 16])
    }

    fn put(n: u8, name: &str) -> Change {
        Change { row: row(n), name: Some(name.to_owned()) }
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_double() {
        let mut listing = Listing::default();
        listing.apply(vec![put(1, "b"), put(2, "a"), put(3, "a-b"), put(4, "a.b")], 4);
        let first = listing.page(2, None);
        assert_eq!(first, Page { items: vec!["a".into(), "a-b".into()], more: true });
        let second = listing.page(2, Some("a-b"));
        assert_eq!(second, Page { items: vec!["a.b".into(), "b".into()], more: false });
        assert_eq!(listing.page(0, None), Page { items: vec![], more: false });
        assert_eq!(listing.page(9, Some("zzz")), Page { items: vec![], more: false });
    }

    #[test]
    fn a_tombstone_takes_its_name_away_and_a_revival_brings_it_back() {
        let mut listing = Listing::default();
        listing.apply(vec![put(1, "latest")], 1);
        listing.apply(vec![Change { row: row(1), name: None }], 2);
        assert_eq!(listing.page(9, None).items, Vec::<String>::new());
        assert_eq!(listing.bytes(), 0);
        listing.apply(vec![put(1, "latest")], 3);
        assert_eq!(listing.page(9, None).items, vec!["latest"]);
        assert_eq!(listing.seen(), 3);
    }

    #[test]
    fn trimming_drops_what_was_used_longest_ago() {
        let listings = Listings::default();
        let ids: Vec<_> = (1..=3).map(|n| RepositoryId::from_bytes([n; 16])).collect();
        for id in &ids {
            let listing = listings.tags(*id);
            listing.try_lock().expect("nobody else").apply(vec![put(1, "0123456789")], 1);
        }
        let _used_again = listings.tags(ids[0]);
        listings.trim(20);
        let held = |id| listings.tags(id).try_lock().expect("nobody else").seen() == 1;
        assert!(held(ids[0]) && !held(ids[1]) && held(ids[2]));
    }

    proptest! {
        #[test]
        fn a_listing_equals_its_last_changes(changes: Vec<(u8, Option<u16>)>) {
            let mut listing = Listing::default();
            let mut model = HashMap::new();
            for (n, (id, name)) in changes.into_iter().enumerate() {
                // Names are unique under their parent, as rows are.
                let name = name.map(|name| format!("{name}-{id}"));
                model.insert(id, name.clone());
                listing.apply(vec![Change { row: row(id), name }], n as u64);
            }
            let mut expected: Vec<String> = model.into_values().flatten().collect();
            expected.sort_unstable();
            prop_assert_eq!(listing.page(usize::MAX, None).items, expected);
        }
    }
}
