//! A registry's cell: the one place that holds its keys, and the handles that borrow from it.
//!
//! A handle is not a key. It names a cell and the *filling* that it was made for; every use goes
//! back to the cell and borrows for at most one row or one segment. Locking takes the filling out
//! under a write lock, so that when [`Cell::empty`] returns no code anywhere still uses a key,
//! whoever holds handles, openers or half-read bodies. A later unlock is another filling: old
//! handles stay dead, so that nothing begun before a lock can commit after it.

use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use lockyard_base::{BlindIndex, Entropy, Epoch, RegistryId, RepositoryId, RowId};
use lockyard_seal::{
    Bound, Damaged, IndexKey, IndexKind, MainKey, Position, SegmentCipher, SegmentSize, TAG_LEN,
};
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// The registry was locked: its keys are gone and this handle will never work again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the registry is locked")]
pub struct Locked;

/// A sealed value could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The registry was locked.
    #[error("the registry is locked")]
    Locked,
    /// The bytes are not what was sealed in this place.
    #[error("sealed data is damaged")]
    Damaged,
}

impl From<Locked> for OpenError {
    fn from(Locked: Locked) -> Self {
        Self::Locked
    }
}

/// Where a sealed value stands: what it is bound to besides registry and epoch.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The table.
    pub table: &'p str,
    /// The column.
    pub column: &'p str,
    /// The row.
    pub row: RowId,
    /// The row's blind index, or empty.
    pub index: &'p [u8],
    /// Every clear column that drives behaviour, in the table's documented order.
    pub clear: &'p [&'p [u8]],
}

impl Place<'_> {
    pub(crate) fn bound(&self, registry: RegistryId, epoch: Epoch) -> Bound<'_> {
        Bound {
            table: self.table,
            column: self.column,
            registry,
            epoch,
            row: self.row,
            index: self.index,
            clear: self.clear,
        }
    }
}

/// A value sealed for its row, and the epoch that its row must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedRow {
    /// The epoch under which it is sealed.
    pub epoch: Epoch,
    /// The sealed bytes.
    pub bytes: Vec<u8>,
}

/// The capability to read and write one registry's content.
///
/// Only [`crate::Keyring`] makes one. It cannot be compared, serialized or built elsewhere, and it
/// is dead from the moment the registry locks.
pub struct UnlockedRegistry {
    cell: Arc<Cell>,
    filling: u64,
    /// Shared, because a clone of the token itself takes its lock.
    revoked: Arc<CancellationToken>,
}

impl UnlockedRegistry {
    /// The registry that this capability opens.
    pub fn id(&self) -> RegistryId {
        self.cell.registry
    }

    /// A second handle of the same filling, for a task that outlives its maker's borrow.
    #[must_use]
    pub fn share(&self) -> Self {
        Self {
            cell: Arc::clone(&self.cell),
            filling: self.filling,
            revoked: Arc::clone(&self.revoked),
        }
    }

    /// Whether the registry has stayed unlocked since this handle was made.
    ///
    /// Absence of a lock is weak evidence; use it only to refuse early (a commit that is about to
    /// happen), never instead of going through the cell.
    pub fn is_live(&self) -> bool {
        self.with(|_| ()).is_ok()
    }

    /// Cancelled when the registry locks; connections that serve it end with it.
    pub fn revoked(&self) -> &CancellationToken {
        &self.revoked
    }

    /// The epoch under which new rows are sealed.
    pub fn epoch(&self) -> Result<Epoch, Locked> {
        self.with(|filling| filling.keys.active)
    }

    /// Seals one row's value in its place under the active epoch.
    pub fn seal_row(
        &self,
        entropy: &dyn Entropy,
        place: &Place<'_>,
        plaintext: &[u8],
    ) -> Result<SealedRow, Locked> {
        self.with(|filling| {
            let epoch = filling.keys.active;
            let key = filling.keys.rows.get(&epoch).expect("the active epoch has a row key");
            let aad = place.bound(self.cell.registry, epoch).aad();
            SealedRow { epoch, bytes: key.seal(entropy, SegmentSize::ROW, &aad, plaintext) }
        })
    }

    /// Opens one row's value; fails unless it was sealed in exactly this place and epoch.
    pub fn open_row(
        &self,
        epoch: Epoch,
        place: &Place<'_>,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        self.with(|filling| {
            let key = filling.keys.rows.get(&epoch).ok_or(OpenError::Damaged)?;
            let aad = place.bound(self.cell.registry, epoch).aad();
            key.open(SegmentSize::ROW, &aad, sealed).map_err(|Damaged| OpenError::Damaged)
        })?
    }

    /// The blind index of a name or digest of this registry.
    pub fn blind(
        &self,
        kind: IndexKind,
        scope: Option<RepositoryId>,
        value: &[u8],
    ) -> Result<BlindIndex, Locked> {
        self.with(|filling| filling.keys.index.blind(kind, scope, value))
    }

    /// Puts a part's cipher into the cell; the slot works until the registry locks.
    pub fn register(&self, cipher: SegmentCipher) -> Result<CipherSlot, Locked> {
        self.with(|filling| {
            let slot = Arc::new(RwLock::new(Some(cipher)));
            let mut slots = hold(&filling.slots);
            let number = slots.next;
            slots.next += 1;
            let _replaced = slots.live.insert(number, Arc::clone(&slot));
            CipherSlot { cell: Arc::clone(&self.cell), filling: self.filling, number, slot }
        })
    }

    /// The cache of plaintext that room `T` keeps for this registry; it dies with the lease.
    pub fn cache<T: Any + Send + Sync + Default>(&self) -> Result<Arc<T>, Locked> {
        self.with(|filling| {
            let mut caches = hold(&filling.caches);
            let cache = caches
                .entry(TypeId::of::<T>())
                .or_insert_with(|| Arc::new(T::default()) as Arc<dyn Any + Send + Sync>);
            Arc::clone(cache).downcast::<T>().expect("each type has its own cache")
        })
    }

    fn with<R>(&self, work: impl FnOnce(&Filling) -> R) -> Result<R, Locked> {
        self.cell.with(self.filling, work)
    }
}

impl fmt::Debug for UnlockedRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnlockedRegistry({}, filling {})", self.cell.registry, self.filling)
    }
}

/// A part's cipher in the cell. Dropping the slot wipes the cipher; so does locking.
pub struct CipherSlot {
    cell: Arc<Cell>,
    filling: u64,
    number: u64,
    slot: Arc<RwLock<Option<SegmentCipher>>>,
}

impl CipherSlot {
    /// Seals one segment in place and returns its tag.
    pub fn seal_in_place(
        &self,
        position: Position,
        plaintext: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Locked> {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        Ok(slot.as_ref().ok_or(Locked)?.seal_in_place(position, plaintext))
    }

    /// Opens one segment in place and returns its plaintext.
    pub fn open_in_place<'b>(
        &self,
        position: Position,
        sealed: &'b mut [u8],
    ) -> Result<&'b mut [u8], OpenError> {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        slot.as_ref()
            .ok_or(OpenError::Locked)?
            .open_in_place(position, sealed)
            .map_err(|Damaged| OpenError::Damaged)
    }
}

impl Drop for CipherSlot {
    fn drop(&mut self) {
        *self.slot.write().unwrap_or_else(PoisonError::into_inner) = None;
        // A lock that came first has taken the whole filling, this entry included.
        let _gone = self.cell.with(self.filling, |filling| {
            let _removed = hold(&filling.slots).live.remove(&self.number);
        });
    }
}

impl fmt::Debug for CipherSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CipherSlot({}, {})", self.cell.registry, self.number)
    }
}

/// What an unlock puts into a cell.
pub(crate) struct CellKeys {
    pub(crate) rows: BTreeMap<Epoch, MainKey>,
    pub(crate) active: Epoch,
    pub(crate) index: IndexKey,
    /// Whether no epoch has a customer key, so that no vault can take the grant back.
    pub(crate) permanent: bool,
}

/// One registry's keys, or their absence.
pub(crate) struct Cell {
    registry: RegistryId,
    inner: RwLock<Inner>,
}

struct Inner {
    number: u64,
    filling: Option<Filling>,
}

struct Filling {
    keys: CellKeys,
    slots: Mutex<Slots>,
    caches: Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
    revoked: Arc<CancellationToken>,
}

#[derive(Default)]
struct Slots {
    next: u64,
    live: HashMap<u64, Arc<RwLock<Option<SegmentCipher>>>>,
}

impl Cell {
    pub(crate) fn new(registry: RegistryId) -> Self {
        Self { registry, inner: RwLock::new(Inner { number: 0, filling: None }) }
    }

    /// Fills an empty cell, or renews the keys of a filled one without disturbing its handles.
    pub(crate) fn fill(&self, keys: CellKeys) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(filling) = &mut inner.filling {
            filling.keys = keys;
            return;
        }
        inner.number += 1;
        inner.filling = Some(Filling {
            keys,
            slots: Mutex::default(),
            caches: Mutex::default(),
            revoked: Arc::default(),
        });
    }

    /// Wipes every key and cipher; when it returns, nothing uses or holds them.
    pub(crate) fn empty(&self) {
        let filling = {
            let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
            inner.filling.take()
        };
        let Some(filling) = filling else { return };
        for slot in hold(&filling.slots).live.values() {
            // Waits for at most the one segment that is being sealed or opened.
            *slot.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        filling.revoked.cancel();
    }

    /// The capability, if the cell is filled.
    pub(crate) fn handle(self: &Arc<Self>) -> Option<UnlockedRegistry> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.filling.as_ref().map(|filling| UnlockedRegistry {
            cell: Arc::clone(self),
            filling: inner.number,
            revoked: Arc::clone(&filling.revoked),
        })
    }

    /// How many part ciphers are live: 0 on a locked registry.
    pub(crate) fn live_ciphers(&self) -> usize {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.filling.as_ref().map_or(0, |filling| hold(&filling.slots).live.len())
    }

    fn with<R>(&self, number: u64, work: impl FnOnce(&Filling) -> R) -> Result<R, Locked> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        match &inner.filling {
            Some(filling) if inner.number == number => Ok(work(filling)),
            _ => Err(Locked),
        }
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The guarded maps are never left half-changed, so a poisoned lock is as good as a clean one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use lockyard_base::{OsEntropy, PartId, SeededEntropy};
    use lockyard_seal::{Header, part_aad};
    use static_assertions::assert_not_impl_any;

    use super::*;

    assert_not_impl_any!(UnlockedRegistry: Clone, Default, PartialEq, fmt::Display);
    assert_not_impl_any!(CipherSlot: Clone, Default, PartialEq, fmt::Display);

    fn keys(seed: u64) -> CellKeys {
        let entropy = SeededEntropy::new(seed);
        CellKeys {
            rows: BTreeMap::from([(Epoch::FIRST, MainKey::generate(&entropy))]),
            active: Epoch::FIRST,
            index: IndexKey::generate(&entropy),
            permanent: false,
        }
    }

    fn filled() -> (Arc<Cell>, UnlockedRegistry) {
        let cell = Arc::new(Cell::new(RegistryId::from_bytes([9; 16])));
        cell.fill(keys(1));
        let handle = cell.handle().expect("just filled");
        (cell, handle)
    }

    fn cipher(handle: &UnlockedRegistry) -> SegmentCipher {
        let aad = part_aad(SegmentSize::ROW, handle.id(), PartId::from_bytes([1; 16]));
        MainKey::generate(&OsEntropy).cipher(&Header::generate(&OsEntropy), &aad)
    }

    const PLACE: Place<'static> = Place {
        table: "tag",
        column: "sealed",
        row: RowId::from_bytes([2; 16]),
        index: b"index",
        clear: &[],
    };

    #[test]
    fn locking_kills_every_handle_slot_and_cache_at_once() {
        let (cell, handle) = filled();
        let slot = handle.register(cipher(&handle)).expect("unlocked");
        let row = handle.seal_row(&OsEntropy, &PLACE, b"latest").expect("unlocked");
        let cache = Arc::downgrade(&handle.cache::<Mutex<String>>().expect("unlocked"));
        assert_eq!(cell.live_ciphers(), 1);

        cell.empty();

        let position = Position { index: 0, last: true };
        assert_eq!(slot.seal_in_place(position, &mut [0; 4]), Err(Locked));
        assert_eq!(slot.open_in_place(position, &mut [0; 20]), Err(OpenError::Locked));
        assert_eq!(handle.open_row(row.epoch, &PLACE, &row.bytes).err(), Some(OpenError::Locked));
        assert_eq!(handle.blind(IndexKind::Tag, None, b"latest"), Err(Locked));
        assert!(handle.revoked().is_cancelled());
        assert!(!handle.is_live());
        assert!(cache.upgrade().is_none());
        assert_eq!(cell.live_ciphers(), 0);
        assert!(cell.handle().is_none());
    }

    #[test]
    fn an_unlock_after_a_lock_does_not_revive_old_handles() {
        let (cell, old) = filled();
        let slot = old.register(cipher(&old)).expect("unlocked");
        cell.empty();
        cell.fill(keys(1));
        let new = cell.handle().expect("filled again");
        assert!(new.is_live());
        assert!(!old.is_live());
        drop(slot);
        assert_eq!(old.epoch(), Err(Locked));
        assert_eq!(new.epoch(), Ok(Epoch::FIRST));
    }

    #[test]
    fn a_renewed_filling_keeps_its_handles_and_slots() {
        let (cell, handle) = filled();
        let slot = handle.register(cipher(&handle)).expect("unlocked");
        cell.fill(keys(1));
        assert!(handle.is_live());
        assert!(slot.seal_in_place(Position { index: 0, last: true }, &mut [0; 4]).is_ok());
    }

    #[test]
    fn a_dropped_slot_leaves_the_gauge() {
        let (cell, handle) = filled();
        let slot = handle.register(cipher(&handle)).expect("unlocked");
        drop(slot);
        assert_eq!(cell.live_ciphers(), 0);
    }

    #[test]
    fn a_row_opens_only_in_its_own_place_and_epoch() {
        let (_cell, handle) = filled();
        let row = handle.seal_row(&OsEntropy, &PLACE, b"latest").expect("unlocked");
        let open = |epoch, place: Place<'_>| {
            handle.open_row(epoch, &place, &row.bytes).map(|plain| plain.to_vec())
        };
        assert_eq!(open(row.epoch, PLACE), Ok(b"latest".to_vec()));
        assert_eq!(open(Epoch::new(2), PLACE), Err(OpenError::Damaged));
        for elsewhere in [
            Place { table: "blob", ..PLACE },
            Place { column: "content", ..PLACE },
            Place { row: RowId::from_bytes([3; 16]), ..PLACE },
            Place { index: b"other", ..PLACE },
            Place { clear: &[b"deleted"], ..PLACE },
        ] {
            assert_eq!(open(row.epoch, elsewhere), Err(OpenError::Damaged), "{elsewhere:?}");
        }
    }
}
