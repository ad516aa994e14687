//! Index keys: one per registry, the same in every epoch, sealed in a row of the registry.

use lockyard_base::{Epoch, RegistryId, RowId};

use super::SealNo;
use crate::{StoreError, Txn};

/// A registry's sealed index key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexKeyRow {
    /// The registry.
    pub registry_id: RegistryId,
    /// The row, as its bound data names it.
    pub row_id: RowId,
    /// The epoch that it is sealed under.
    pub epoch: Epoch,
    /// The sealed key.
    pub sealed: Vec<u8>,
    /// How often it was sealed.
    pub seal_no: SealNo,
}

/// Inserts a registry's index key; returns `false` if it has one.
pub fn insert(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    row_id: RowId,
    epoch: Epoch,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let inserted = txn.execute(
        "INSERT INTO index_key (registry_id, row_id, epoch, sealed, seal_no) \
         VALUES ($1, $2, $3, $4, 1) ON CONFLICT DO NOTHING",
        &[registry.into(), row_id.into(), epoch.into(), sealed.into()],
    )?;
    Ok(inserted == 1)
}

/// Finds a registry's index key.
pub fn get(txn: &mut Txn<'_>, registry: RegistryId) -> Result<Option<IndexKeyRow>, StoreError> {
    txn.row(
        "SELECT registry_id, row_id, epoch, sealed, seal_no FROM index_key WHERE registry_id = $1",
        &[registry.into()],
        |row| {
            Ok(IndexKeyRow {
                registry_id: row.id(0)?,
                row_id: row.row_id(1)?,
                epoch: row.epoch(2)?,
                sealed: row.blob(3)?,
                seal_no: row.seal_no(4)?,
            })
        },
    )
}

/// Replaces the sealed form of a registry's index key; returns whether it won.
pub fn update(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    expected: SealNo,
    epoch: Epoch,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE index_key SET epoch = $3, sealed = $4, seal_no = seal_no + 1 \
         WHERE registry_id = $1 AND seal_no = $2",
        &[registry.into(), expected.into(), epoch.into(), sealed.into()],
    )?;
    Ok(updated == 1)
}
