//! Repositories, and the versioned list of them that every registry has.
//!
//! A deleted repository leaves a tombstone, so that caches learn of it; a new one of that name takes
//! over the tombstone's row, sealed name included.
//!
//! Lock order: the registry's row, then the repository's.

use lockyard_base::{BlindIndex, Epoch, RegistryId, RepositoryId};

use super::SealNo;
use crate::{StoreError, Txn, value::Row};

/// A repository or the tombstone of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRow {
    /// The repository.
    pub repository_id: RepositoryId,
    /// Its registry.
    pub registry_id: RegistryId,
    /// The blind index of its name.
    pub name_index: BlindIndex,
    /// The epoch that it is sealed under.
    pub epoch: Epoch,
    /// How often it was sealed.
    pub seal_no: SealNo,
    /// Its name.
    pub sealed: Vec<u8>,
    /// The version of the registry's list that this row last changed.
    pub version: u64,
    /// Whether it is a tombstone.
    pub deleted: bool,
    /// The version of its list of tags.
    pub tag_version: u64,
    /// A cache of its tags that saw less than this must be rebuilt: tombstones were pruned.
    pub tag_pruned_to: u64,
}

/// The part of a versioned list that changed since somebody looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes<R> {
    /// The list's version: what the caller has seen once it took in `rows`, if there are fewer than
    /// it asked for; else it has seen the version of the last one.
    pub version: u64,
    /// If the caller saw less than this, tombstones are missing from `rows`: start again from 0.
    pub pruned_to: u64,
    /// The changed rows, tombstones included, by ascending version.
    pub rows: Vec<R>,
}

macro_rules! columns {
    () => {
        "r.repository_id, r.registry_id, r.name_index, r.epoch, r.seal_no, r.sealed, r.version, \
         r.deleted, r.tag_version, r.tag_pruned_to"
    };
}
pub(super) use columns;

pub(super) fn read(row: &Row<'_>) -> Result<RepositoryRow, StoreError> {
    read_at(row, 0)
}

fn read_at(row: &Row<'_>, at: usize) -> Result<RepositoryRow, StoreError> {
    Ok(RepositoryRow {
        repository_id: row.id(at)?,
        registry_id: row.id(at + 1)?,
        name_index: row.index(at + 2)?,
        epoch: row.epoch(at + 3)?,
        seal_no: row.seal_no(at + 4)?,
        sealed: row.blob(at + 5)?,
        version: row.count(at + 6)?,
        deleted: row.is(at + 7)?,
        tag_version: row.count(at + 8)?,
        tag_pruned_to: row.count(at + 9)?,
    })
}

/// Finds a repository, or its tombstone, by the blind index of its name.
pub fn by_index(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    name: &BlindIndex,
) -> Result<Option<RepositoryRow>, StoreError> {
    txn.row(
        concat!(
            "SELECT ",
            columns!(),
            " FROM repository r WHERE r.registry_id = $1 AND r.name_index = $2"
        ),
        &[registry.into(), name.into()],
        read,
    )
}

/// Finds a repository or its tombstone.
pub fn get(txn: &mut Txn<'_>, id: RepositoryId) -> Result<Option<RepositoryRow>, StoreError> {
    txn.row(
        concat!("SELECT ", columns!(), " FROM repository r WHERE r.repository_id = $1"),
        &[id.into()],
        read,
    )
}

/// Returns the live repository of a name; makes it, or revives its tombstone, if there is none.
///
/// A revived row and one that is live already keep their id, epoch and sealed name; `id`, `epoch`
/// and `sealed` serve a row that is made. [`StoreError::Dangling`] if there is no such registry.
pub fn upsert_live(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    name: &BlindIndex,
    id: RepositoryId,
    epoch: Epoch,
    sealed: &[u8],
) -> Result<RepositoryRow, StoreError> {
    let live = |row: &RepositoryRow| !row.deleted;
    if let Some(row) = by_index(txn, registry, name)?.filter(live) {
        return Ok(row);
    }
    let version = next_version(txn, registry)?.ok_or(StoreError::Dangling(None))?;
    // The registry's row is locked now: nobody else makes a repository until this commits.
    match by_index(txn, registry, name)? {
        Some(row) if live(&row) => return Ok(row),
        Some(tombstone) => {
            txn.execute(
                "UPDATE repository SET deleted = 0, version = $2 WHERE repository_id = $1",
                &[tombstone.repository_id.into(), version.into()],
            )?;
        }
        None => {
            txn.execute(
                "INSERT INTO repository (repository_id, registry_id, name_index, epoch, seal_no, \
                 sealed, version, deleted, tag_version, tag_pruned_to) \
                 VALUES ($1, $2, $3, $4, 1, $5, $6, 0, 0, 0)",
                &[
                    id.into(),
                    registry.into(),
                    name.into(),
                    epoch.into(),
                    sealed.into(),
                    version.into(),
                ],
            )?;
        }
    }
    by_index(txn, registry, name)?
        .ok_or_else(|| StoreError::damaged("a repository is gone after its insertion"))
}

/// Makes a repository a tombstone; returns `false` if it is one already or there is none.
pub fn mark_deleted(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    id: RepositoryId,
) -> Result<bool, StoreError> {
    let Some(version) = next_version(txn, registry)? else { return Ok(false) };
    let updated = txn.execute(
        "UPDATE repository SET deleted = 1, version = $3 \
         WHERE repository_id = $1 AND registry_id = $2 AND deleted = 0",
        &[id.into(), registry.into(), version.into()],
    )?;
    Ok(updated == 1)
}

/// Takes the next version of the registry's list and keeps the registry's row locked.
fn next_version(txn: &mut Txn<'_>, registry: RegistryId) -> Result<Option<u64>, StoreError> {
    txn.row(
        "UPDATE registry SET repo_version = repo_version + 1 WHERE registry_id = $1 \
         RETURNING repo_version",
        &[registry.into()],
        |row| row.count(0),
    )
}

/// Replaces the sealed form of a repository's name; returns whether it won.
pub fn reseal(
    txn: &mut Txn<'_>,
    id: RepositoryId,
    expected: SealNo,
    epoch: Epoch,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE repository SET epoch = $3, sealed = $4, seal_no = seal_no + 1 \
         WHERE repository_id = $1 AND seal_no = $2",
        &[id.into(), expected.into(), epoch.into(), sealed.into()],
    )?;
    Ok(updated == 1)
}

/// Returns what changed in a registry's list of repositories since version `seen`, in one
/// statement; at most `limit` rows. `None` if there is no such registry.
pub fn changed_since(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    seen: u64,
    limit: u32,
) -> Result<Option<Changes<RepositoryRow>>, StoreError> {
    let answer = txn.rows(
        concat!(
            "SELECT g.repo_version, g.repo_pruned_to, ",
            columns!(),
            " FROM registry g LEFT JOIN repository r \
             ON r.registry_id = g.registry_id AND r.version > $2 \
             WHERE g.registry_id = $1 ORDER BY r.version LIMIT $3"
        ),
        &[registry.into(), seen.into(), limit.into()],
        |row| changes_row(row, read_at),
    )?;
    Ok(changes(answer))
}

/// One row of a listing: its two versions, and the changed row unless nothing changed.
pub(super) type ChangesRow<R> = (u64, u64, Option<R>);

pub(super) fn changes_row<R>(
    row: &Row<'_>,
    read_at: impl FnOnce(&Row<'_>, usize) -> Result<R, StoreError>,
) -> Result<ChangesRow<R>, StoreError> {
    let changed = row.has_text(2)?;
    Ok((row.count(0)?, row.count(1)?, changed.then(|| read_at(row, 2)).transpose()?))
}

pub(super) fn changes<R>(answer: Vec<ChangesRow<R>>) -> Option<Changes<R>> {
    let &(version, pruned_to, _) = answer.first()?;
    let rows = answer.into_iter().filter_map(|(_, _, row)| row).collect();
    Some(Changes { version, pruned_to, rows })
}
