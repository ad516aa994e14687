//! Registries: the units that have keys of their own.

use lockyard_base::{BlindIndex, RegistryId, Timestamp};

use super::SealNo;
use crate::{StoreError, Txn, value::Row};

/// A registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryRow {
    /// The registry.
    pub registry_id: RegistryId,
    /// The blind index of its name, under the instance's index key.
    pub name_index: BlindIndex,
    /// Its name and properties, under the instance's row key: readable while it is locked.
    pub sealed: Vec<u8>,
    /// How often it was sealed.
    pub seal_no: SealNo,
    /// The version of its list of repositories.
    pub repo_version: u64,
    /// A cache that saw less than this version must be rebuilt: tombstones were pruned.
    pub repo_pruned_to: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

/// What a new registry begins with.
#[derive(Clone, Copy, Debug)]
pub struct NewRegistry<'a> {
    /// The registry.
    pub registry_id: RegistryId,
    /// The blind index of its name, under the instance's index key.
    pub name_index: BlindIndex,
    /// Its name and properties.
    pub sealed: &'a [u8],
}

const SELECT: &str = "SELECT registry_id, name_index, sealed, seal_no, repo_version, \
                      repo_pruned_to, created_at FROM registry";

fn read(row: &Row<'_>) -> Result<RegistryRow, StoreError> {
    Ok(RegistryRow {
        registry_id: row.id(0)?,
        name_index: row.index(1)?,
        sealed: row.blob(2)?,
        seal_no: row.seal_no(3)?,
        repo_version: row.count(4)?,
        repo_pruned_to: row.count(5)?,
        created_at: row.time(6)?,
    })
}

/// Inserts a registry; returns `false` if its name is taken.
pub fn insert(txn: &mut Txn<'_>, new: &NewRegistry<'_>) -> Result<bool, StoreError> {
    let inserted = txn.execute(
        "INSERT INTO registry (registry_id, name_index, sealed, seal_no, repo_version, \
         repo_pruned_to, created_at) VALUES ($1, $2, $3, 1, 0, 0, $4) ON CONFLICT DO NOTHING",
        &[new.registry_id.into(), (&new.name_index).into(), new.sealed.into(), txn.now().into()],
    )?;
    Ok(inserted == 1)
}

/// Finds a registry by the blind index of its name.
pub fn by_name(txn: &mut Txn<'_>, name: &BlindIndex) -> Result<Option<RegistryRow>, StoreError> {
    txn.row(&format!("{SELECT} WHERE name_index = $1"), &[name.into()], read)
}

/// Finds a registry.
pub fn get(txn: &mut Txn<'_>, id: RegistryId) -> Result<Option<RegistryRow>, StoreError> {
    txn.row(&format!("{SELECT} WHERE registry_id = $1"), &[id.into()], read)
}

/// Lists all registries, by id.
pub fn list(txn: &mut Txn<'_>) -> Result<Vec<RegistryRow>, StoreError> {
    txn.rows(&format!("{SELECT} ORDER BY registry_id"), &[], read)
}

/// Replaces a registry's properties; returns whether it won.
pub fn update_sealed(
    txn: &mut Txn<'_>,
    id: RegistryId,
    expected: SealNo,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE registry SET sealed = $3, seal_no = seal_no + 1 \
         WHERE registry_id = $1 AND seal_no = $2",
        &[id.into(), expected.into(), sealed.into()],
    )?;
    Ok(updated == 1)
}
