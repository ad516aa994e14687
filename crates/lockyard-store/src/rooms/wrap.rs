//! Wraps: customer shares as a vault wrapped them, one current one per epoch.
//!
//! They are sealed under the instance's row key, so that a locked registry can find what to ask its
//! vault.

use lockyard_base::{Epoch, RegistryId, Timestamp, WrapId};

use super::SealNo;
use crate::{StoreError, Txn, value::Row, word::words};

words! {
    /// Whether a wrap unlocks.
    WrapState {
        /// It does.
        Current = "current",
        /// It was replaced and waits for the next granted check.
        Old = "old",
    }
}

/// A wrapped customer share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrapRow {
    /// The wrap.
    pub wrap_id: WrapId,
    /// The registry.
    pub registry_id: RegistryId,
    /// The epoch whose share it wraps.
    pub epoch: Epoch,
    /// Whether it unlocks.
    pub state: WrapState,
    /// The wrapped share, its versioned key id and identity.
    pub sealed: Vec<u8>,
    /// How often it was sealed.
    pub seal_no: SealNo,
    /// When it was wrapped.
    pub created_at: Timestamp,
}

/// What a new wrap begins with; it is current.
#[derive(Clone, Copy, Debug)]
pub struct NewWrap<'a> {
    /// The wrap.
    pub wrap_id: WrapId,
    /// The registry.
    pub registry_id: RegistryId,
    /// The epoch whose share it wraps.
    pub epoch: Epoch,
    /// The wrapped share, its versioned key id and identity.
    pub sealed: &'a [u8],
}

/// The current wrap that a new one replaces.
#[derive(Clone, Copy, Debug)]
pub struct ReplacedWrap<'a> {
    /// The wrap.
    pub wrap_id: WrapId,
    /// The number under which it was read.
    pub expected: SealNo,
    /// Its content, sealed anew for its new state.
    pub sealed: &'a [u8],
}

const SELECT: &str =
    "SELECT wrap_id, registry_id, epoch, state, sealed, seal_no, created_at FROM wrap";

fn read(row: &Row<'_>) -> Result<WrapRow, StoreError> {
    Ok(WrapRow {
        wrap_id: row.id(0)?,
        registry_id: row.id(1)?,
        epoch: row.epoch(2)?,
        state: row.word(3, WrapState::from_word)?,
        sealed: row.blob(4)?,
        seal_no: row.seal_no(5)?,
        created_at: row.time(6)?,
    })
}

/// Inserts a current wrap; returns `false` if its epoch has one.
pub fn insert(txn: &mut Txn<'_>, new: &NewWrap<'_>) -> Result<bool, StoreError> {
    let inserted = txn.execute(
        "INSERT INTO wrap (wrap_id, registry_id, epoch, state, sealed, seal_no, created_at) \
         VALUES ($1, $2, $3, 'current', $4, 1, $5) ON CONFLICT DO NOTHING",
        &[
            new.wrap_id.into(),
            new.registry_id.into(),
            new.epoch.into(),
            new.sealed.into(),
            txn.now().into(),
        ],
    )?;
    Ok(inserted == 1)
}

/// Lists the current wraps of a registry, one per epoch, oldest epoch first.
pub fn current(txn: &mut Txn<'_>, registry: RegistryId) -> Result<Vec<WrapRow>, StoreError> {
    txn.rows(
        &format!("{SELECT} WHERE registry_id = $1 AND state = 'current' ORDER BY epoch"),
        &[registry.into()],
        read,
    )
}

/// Lists all wraps of a registry, oldest epoch first.
pub fn list(txn: &mut Txn<'_>, registry: RegistryId) -> Result<Vec<WrapRow>, StoreError> {
    txn.rows(
        &format!("{SELECT} WHERE registry_id = $1 ORDER BY epoch, created_at, wrap_id"),
        &[registry.into()],
        read,
    )
}

/// Makes the current wrap an old one and inserts its successor; returns `false`, having changed
/// nothing, if the current one is not as it was read.
pub fn replace_current(
    txn: &mut Txn<'_>,
    replaced: &ReplacedWrap<'_>,
    new: &NewWrap<'_>,
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE wrap SET state = 'old', sealed = $5, seal_no = seal_no + 1 \
         WHERE wrap_id = $1 AND seal_no = $2 AND registry_id = $3 AND epoch = $4 \
         AND state = 'current'",
        &[
            replaced.wrap_id.into(),
            replaced.expected.into(),
            new.registry_id.into(),
            new.epoch.into(),
            replaced.sealed.into(),
        ],
    )?;
    if updated == 0 {
        return Ok(false);
    }
    if !insert(txn, new)? {
        return Err(StoreError::damaged("an epoch has two current wraps"));
    }
    Ok(true)
}

/// Replaces a wrap's content; returns whether it won.
pub fn update(
    txn: &mut Txn<'_>,
    id: WrapId,
    expected: SealNo,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE wrap SET sealed = $3, seal_no = seal_no + 1 WHERE wrap_id = $1 AND seal_no = $2",
        &[id.into(), expected.into(), sealed.into()],
    )?;
    Ok(updated == 1)
}

/// Deletes an old wrap; a current one stays. Returns whether it was there.
pub fn delete(txn: &mut Txn<'_>, id: WrapId) -> Result<bool, StoreError> {
    let deleted =
        txn.execute("DELETE FROM wrap WHERE wrap_id = $1 AND state = 'old'", &[id.into()])?;
    Ok(deleted == 1)
}
