//! Manifests: their descriptors and, in a column of their own, their sealed bytes.
//!
//! A manifest has two indexes of its digest: one scoped to its repository, by which clients ask for
//! it, and the registry-wide one by which edges name it.

use lockyard_base::{BlindIndex, Epoch, ManifestId, RegistryId, RepositoryId, Timestamp};

use super::SealNo;
use crate::{StoreError, Txn, txn::Hold, value::Row};

/// A manifest without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestRow {
    /// The manifest.
    pub manifest_id: ManifestId,
    /// Its registry.
    pub registry_id: RegistryId,
    /// Its repository.
    pub repository_id: RepositoryId,
    /// The blind index of its digest, scoped to the repository.
    pub digest_index: BlindIndex,
    /// The registry-wide blind index of its digest, by which edges name it.
    pub child_index: BlindIndex,
    /// The epoch that descriptor and content are sealed under.
    pub epoch: Epoch,
    /// How often they were sealed.
    pub seal_no: SealNo,
    /// When a client last relied on it.
    pub touched_at: Timestamp,
    /// When it was pushed.
    pub created_at: Timestamp,
    /// Its descriptor.
    pub sealed: Vec<u8>,
}

/// What a new manifest begins with.
#[derive(Clone, Copy, Debug)]
pub struct NewManifest<'a> {
    /// The manifest.
    pub manifest_id: ManifestId,
    /// Its registry.
    pub registry_id: RegistryId,
    /// Its repository.
    pub repository_id: RepositoryId,
    /// The blind index of its digest, scoped to the repository.
    pub digest_index: BlindIndex,
    /// The registry-wide blind index of its digest, by which edges name it.
    pub child_index: BlindIndex,
    /// The epoch that descriptor and content are sealed under.
    pub epoch: Epoch,
    /// Its descriptor.
    pub sealed: &'a [u8],
    /// Its bytes.
    pub content: &'a [u8],
}

macro_rules! columns {
    () => {
        "m.manifest_id, m.registry_id, m.repository_id, m.digest_index, m.child_index, m.epoch, \
         m.seal_no, m.touched_at, m.created_at, m.sealed"
    };
}
pub(super) use columns;

pub(super) const COLUMNS: usize = 10;

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM manifest m WHERE m.manifest_id = $1");

pub(super) fn read(row: &Row<'_>) -> Result<ManifestRow, StoreError> {
    read_at(row, 0)
}

pub(super) fn read_at(row: &Row<'_>, at: usize) -> Result<ManifestRow, StoreError> {
    Ok(ManifestRow {
        manifest_id: row.id(at)?,
        registry_id: row.id(at + 1)?,
        repository_id: row.id(at + 2)?,
        digest_index: row.index(at + 3)?,
        child_index: row.index(at + 4)?,
        epoch: row.epoch(at + 5)?,
        seal_no: row.seal_no(at + 6)?,
        touched_at: row.time(at + 7)?,
        created_at: row.time(at + 8)?,
        sealed: row.blob(at + 9)?,
    })
}

/// Inserts a manifest; returns `false` if its repository has one of that digest.
pub fn insert(txn: &mut Txn<'_>, new: &NewManifest<'_>) -> Result<bool, StoreError> {
    let now = txn.now();
    let inserted = txn.execute(
        "INSERT INTO manifest (manifest_id, registry_id, repository_id, digest_index, child_index, \
         epoch, seal_no, touched_at, created_at, sealed, content) \
         VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10) ON CONFLICT DO NOTHING",
        &[
            new.manifest_id.into(),
            new.registry_id.into(),
            new.repository_id.into(),
            (&new.digest_index).into(),
            (&new.child_index).into(),
            new.epoch.into(),
            now.into(),
            now.into(),
            new.sealed.into(),
            new.content.into(),
        ],
    )?;
    Ok(inserted == 1)
}

/// Finds a manifest by the index of its digest, without its content.
pub fn by_index(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    digest: &BlindIndex,
) -> Result<Option<ManifestRow>, StoreError> {
    txn.row(
        concat!(
            "SELECT ",
            columns!(),
            " FROM manifest m WHERE m.repository_id = $1 AND m.digest_index = $2"
        ),
        &[repository.into(), digest.into()],
        read,
    )
}

/// Finds a manifest by the index of its digest, with its sealed content.
pub fn by_index_with_content(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    digest: &BlindIndex,
) -> Result<Option<(ManifestRow, Vec<u8>)>, StoreError> {
    txn.row(
        concat!(
            "SELECT ",
            columns!(),
            ", m.content FROM manifest m WHERE m.repository_id = $1 AND m.digest_index = $2"
        ),
        &[repository.into(), digest.into()],
        |row| Ok((read(row)?, row.blob(COLUMNS)?)),
    )
}

/// Finds a manifest, without its content.
pub fn get(txn: &mut Txn<'_>, id: ManifestId) -> Result<Option<ManifestRow>, StoreError> {
    txn.row(BY_ID, &[id.into()], read)
}

/// The sealed content of a manifest, for who has read its row in this transaction.
pub fn content(txn: &mut Txn<'_>, id: ManifestId) -> Result<Option<Vec<u8>>, StoreError> {
    txn.row("SELECT content FROM manifest WHERE manifest_id = $1", &[id.into()], |row| row.blob(0))
}

/// Finds a manifest, with its sealed content.
pub fn get_with_content(
    txn: &mut Txn<'_>,
    id: ManifestId,
) -> Result<Option<(ManifestRow, Vec<u8>)>, StoreError> {
    txn.row(
        concat!("SELECT ", columns!(), ", m.content FROM manifest m WHERE m.manifest_id = $1"),
        &[id.into()],
        |row| Ok((read(row)?, row.blob(COLUMNS)?)),
    )
}

/// Finds a manifest and locks it until this transaction ends.
pub fn lock(txn: &mut Txn<'_>, id: ManifestId) -> Result<Option<ManifestRow>, StoreError> {
    let sql = format!("{BY_ID}{}", txn.dialect().hold(Hold::Update, "m"));
    txn.row(&sql, &[id.into()], read)
}

/// Notes that a client relies on a manifest; returns `false` if it is gone.
pub fn touch(txn: &mut Txn<'_>, id: ManifestId) -> Result<bool, StoreError> {
    let now = txn.now();
    let touched = txn.execute(
        "UPDATE manifest SET touched_at = $2 WHERE manifest_id = $1",
        &[id.into(), now.into()],
    )?;
    Ok(touched == 1)
}

/// Returns which of these children the repository has as manifests.
pub fn children_present(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    children: &[BlindIndex],
) -> Result<Vec<BlindIndex>, StoreError> {
    let sql = format!(
        "SELECT m.child_index FROM manifest m WHERE m.repository_id = $1 \
         AND m.child_index IN ({}) ORDER BY m.child_index",
        txn.dialect().indexes(2)
    );
    txn.rows(&sql, &[repository.into(), children.into()], |row| row.index(0))
}

/// Locks (in the order of their ids) and touches those of these children that the repository has as
/// manifests, and returns them: what an index does to its children when it is pushed.
pub fn touch_children(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    children: &[BlindIndex],
) -> Result<Vec<BlindIndex>, StoreError> {
    let sql = format!(
        "SELECT m.manifest_id, m.child_index FROM manifest m WHERE m.repository_id = $1 \
         AND m.child_index IN ({}) ORDER BY m.manifest_id{}",
        txn.dialect().indexes(2),
        txn.dialect().hold(Hold::Update, "m")
    );
    let found = txn.rows(&sql, &[repository.into(), children.into()], |row| {
        Ok((row.id::<ManifestId>(0)?, row.index(1)?))
    })?;
    for (manifest, _) in &found {
        touch(txn, *manifest)?;
    }
    Ok(found.into_iter().map(|(_, child)| child).collect())
}

/// Replaces the sealed descriptor and content of a manifest; returns whether it won.
pub fn reseal(
    txn: &mut Txn<'_>,
    id: ManifestId,
    expected: SealNo,
    epoch: Epoch,
    sealed: &[u8],
    content: &[u8],
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE manifest SET epoch = $3, sealed = $4, content = $5, seal_no = seal_no + 1 \
         WHERE manifest_id = $1 AND seal_no = $2",
        &[id.into(), expected.into(), epoch.into(), sealed.into(), content.into()],
    )?;
    Ok(updated == 1)
}

/// Deletes a manifest; returns whether it was there.
///
/// Its edges and tags go first; [`StoreError::Dangling`] if one is left.
pub fn delete(txn: &mut Txn<'_>, id: ManifestId) -> Result<bool, StoreError> {
    Ok(txn.execute("DELETE FROM manifest WHERE manifest_id = $1", &[id.into()])? == 1)
}

/// Counts the manifests of a repository.
pub fn count(txn: &mut Txn<'_>, repository: RepositoryId) -> Result<u64, StoreError> {
    txn.one("SELECT count(*) FROM manifest WHERE repository_id = $1", &[repository.into()], |row| {
        row.count(0)
    })
}
