//! Tags, and the versioned list of them that every repository has.
//!
//! A deleted tag leaves a tombstone without content, so that caches learn of it; a new tag of that
//! name takes over the tombstone's row. The sealed value is bound to the row's id: look for the row
//! first ([`row_for`]), seal for its id, and name the number that you saw.
//!
//! Lock order: the repository's row, then the tag's.

use lockyard_base::{BlindIndex, Epoch, ManifestId, RepositoryId, TagId, Timestamp};

use super::{
    SealNo,
    manifest::{self, ManifestRow},
    repository::{Changes, changes, changes_row},
};
use crate::{StoreError, Txn, value::Row};

/// A tag or the tombstone of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRow {
    /// The tag.
    pub tag_id: TagId,
    /// Its repository.
    pub repository_id: RepositoryId,
    /// The blind index of its name, scoped to the repository.
    pub name_index: BlindIndex,
    /// The epoch that it is sealed under.
    pub epoch: Epoch,
    /// How often it was sealed; deleting counts.
    pub seal_no: SealNo,
    /// Its name; `None` in a tombstone.
    pub sealed: Option<Vec<u8>>,
    /// The manifest that it points at; `None` in a tombstone.
    pub manifest_id: Option<ManifestId>,
    /// The version of the repository's list that this row last changed.
    pub version: u64,
    /// Whether it is a tombstone.
    pub deleted: bool,
    /// When it was last moved or deleted.
    pub changed_at: Timestamp,
}

/// Where a tag is to point.
#[derive(Clone, Copy, Debug)]
pub struct PutTag<'a> {
    /// The repository.
    pub repository_id: RepositoryId,
    /// The blind index of the tag's name, scoped to the repository.
    pub name_index: BlindIndex,
    /// The id of the row that [`row_for`] found, or a new one.
    pub tag_id: TagId,
    /// The number of that row, or `None` if there was none.
    pub expected: Option<SealNo>,
    /// The epoch that it is sealed under.
    pub epoch: Epoch,
    /// Its name.
    pub sealed: &'a [u8],
    /// The manifest that it points at.
    pub manifest_id: ManifestId,
}

macro_rules! columns {
    () => {
        "t.tag_id, t.repository_id, t.name_index, t.epoch, t.seal_no, t.sealed, t.manifest_id, \
         t.version, t.deleted, t.changed_at"
    };
}
pub(super) use columns;

const COLUMNS: usize = 10;

pub(super) fn read(row: &Row<'_>) -> Result<TagRow, StoreError> {
    read_at(row, 0)
}

fn read_at(row: &Row<'_>, at: usize) -> Result<TagRow, StoreError> {
    Ok(TagRow {
        tag_id: row.id(at)?,
        repository_id: row.id(at + 1)?,
        name_index: row.index(at + 2)?,
        epoch: row.epoch(at + 3)?,
        seal_no: row.seal_no(at + 4)?,
        sealed: row.maybe_blob(at + 5)?,
        manifest_id: row.maybe_id(at + 6)?,
        version: row.count(at + 7)?,
        deleted: row.is(at + 8)?,
        changed_at: row.time(at + 9)?,
    })
}

/// Finds a live tag.
pub fn by_index(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    name: &BlindIndex,
) -> Result<Option<TagRow>, StoreError> {
    Ok(row_for(txn, repository, name)?.filter(|tag| !tag.deleted))
}

/// Finds the row of a tag, tombstone or not.
pub fn row_for(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    name: &BlindIndex,
) -> Result<Option<TagRow>, StoreError> {
    txn.row(
        concat!(
            "SELECT ",
            columns!(),
            " FROM tag t WHERE t.repository_id = $1 AND t.name_index = $2"
        ),
        &[repository.into(), name.into()],
        read,
    )
}

/// Makes a tag, moves it or revives its tombstone, and returns the list's new version.
///
/// `None` means lost: the row is not as it was read, or the repository is gone. Return an error
/// from the transaction then, read again and seal again.
pub fn put(txn: &mut Txn<'_>, put: &PutTag<'_>) -> Result<Option<u64>, StoreError> {
    let Some(version) = next_version(txn, put.repository_id)? else { return Ok(None) };
    let now = txn.now();
    let changed = match put.expected {
        None => txn.execute(
            "INSERT INTO tag (tag_id, repository_id, name_index, epoch, seal_no, sealed, \
             manifest_id, version, deleted, changed_at) \
             VALUES ($1, $2, $3, $4, 1, $5, $6, $7, 0, $8) ON CONFLICT DO NOTHING",
            &[
                put.tag_id.into(),
                put.repository_id.into(),
                (&put.name_index).into(),
                put.epoch.into(),
                put.sealed.into(),
                put.manifest_id.into(),
                version.into(),
                now.into(),
            ],
        ),
        Some(expected) => txn.execute(
            "UPDATE tag SET epoch = $4, seal_no = seal_no + 1, sealed = $5, manifest_id = $6, \
             version = $7, deleted = 0, changed_at = $8 \
             WHERE tag_id = $1 AND repository_id = $2 AND name_index = $3 AND seal_no = $9",
            &[
                put.tag_id.into(),
                put.repository_id.into(),
                (&put.name_index).into(),
                put.epoch.into(),
                put.sealed.into(),
                put.manifest_id.into(),
                version.into(),
                now.into(),
                expected.into(),
            ],
        ),
    };
    Ok((changed? == 1).then_some(version))
}

/// Makes a tag a tombstone and returns the list's new version; `None` means lost, as for [`put`].
pub fn delete(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    id: TagId,
    expected: SealNo,
) -> Result<Option<u64>, StoreError> {
    let Some(version) = next_version(txn, repository)? else { return Ok(None) };
    let now = txn.now();
    let deleted = txn.execute(
        "UPDATE tag SET deleted = 1, sealed = NULL, manifest_id = NULL, seal_no = seal_no + 1, \
         version = $4, changed_at = $5 \
         WHERE tag_id = $1 AND repository_id = $2 AND seal_no = $3 AND deleted = 0",
        &[id.into(), repository.into(), expected.into(), version.into(), now.into()],
    )?;
    Ok((deleted == 1).then_some(version))
}

/// Takes the next version of a live repository's list and keeps the repository's row locked.
fn next_version(txn: &mut Txn<'_>, repository: RepositoryId) -> Result<Option<u64>, StoreError> {
    txn.row(
        "UPDATE repository SET tag_version = tag_version + 1 \
         WHERE repository_id = $1 AND deleted = 0 RETURNING tag_version",
        &[repository.into()],
        |row| row.count(0),
    )
}

/// Replaces the sealed name of a live tag, which stays where it points; returns whether it won.
pub fn reseal(
    txn: &mut Txn<'_>,
    id: TagId,
    expected: SealNo,
    epoch: Epoch,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE tag SET epoch = $3, sealed = $4, seal_no = seal_no + 1 \
         WHERE tag_id = $1 AND seal_no = $2 AND deleted = 0",
        &[id.into(), expected.into(), epoch.into(), sealed.into()],
    )?;
    Ok(updated == 1)
}

/// Lists the tags that point at a manifest.
pub fn of_manifest(txn: &mut Txn<'_>, manifest: ManifestId) -> Result<Vec<TagRow>, StoreError> {
    txn.rows(
        concat!("SELECT ", columns!(), " FROM tag t WHERE t.manifest_id = $1 ORDER BY t.tag_id"),
        &[manifest.into()],
        read,
    )
}

pub(crate) const CHANGED_SINCE: &str = concat!(
    "SELECT r.tag_version, r.tag_pruned_to, ",
    columns!(),
    " FROM repository r LEFT JOIN tag t \
     ON t.repository_id = r.repository_id AND t.version > $2 \
     WHERE r.repository_id = $1 ORDER BY t.version LIMIT $3"
);

/// Returns what changed in a repository's list of tags since version `seen`, in one statement; at
/// most `limit` rows. `None` if there is no such repository; a tombstone's list is there still.
pub fn changed_since(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    seen: u64,
    limit: u32,
) -> Result<Option<Changes<TagRow>>, StoreError> {
    let values = [repository.into(), seen.into(), limit.into()];
    let answer = txn.rows(CHANGED_SINCE, &values, |row| changes_row(row, read_at))?;
    Ok(changes(answer))
}

pub(crate) const RESOLVE: &str = concat!(
    "SELECT ",
    columns!(),
    ", ",
    manifest::columns!(),
    " FROM tag t JOIN manifest m ON m.manifest_id = t.manifest_id \
     WHERE t.repository_id = $1 AND t.name_index = $2"
);

/// Finds the manifest that a tag points at, without its content, in one statement: the way of every
/// GET and HEAD by tag.
pub fn resolve(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    name: &BlindIndex,
) -> Result<Option<(TagRow, ManifestRow)>, StoreError> {
    txn.row(RESOLVE, &[repository.into(), name.into()], |row| {
        Ok((read(row)?, manifest::read_at(row, COLUMNS)?))
    })
}
