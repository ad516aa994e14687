//! What online garbage collection asks of the database.
//!
//! Both transactions have the same shape: lock candidates, then look *in a new statement* which of
//! them are still unneeded, and delete those. At READ COMMITTED a statement sees what was committed
//! before it began, not before it got its locks: one statement that locks and looks (`DELETE …
//! WHERE NOT EXISTS`) can miss an edge that a push committed while it waited, and lose data.
//!
//! Candidates are found in the order of the primary key, as a walk finds its rows (`walk.rs` says how):
//! a page costs the same however long the table is.
//!
//! Links are locked in the order of their ids, as a push locks them, so that the two never wait for
//! each other in a circle.

use lockyard_base::{BlindIndex, BlobId, LinkId, ManifestId, RegistryId, RepositoryId, Timestamp};

use super::{
    blob::{self, BlobRow},
    manifest::{self, ManifestRow},
};
use crate::{StoreError, Txn, txn::Hold};

/// A link that no edge needs and that nobody has relied on lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleLink {
    /// The link.
    pub link_id: LinkId,
    /// Its repository.
    pub repository_id: RepositoryId,
    /// The blob that it leads to.
    pub blob_id: BlobId,
    /// The registry-wide index of the blob's digest, by which a manifest would name it.
    pub digest_index: BlindIndex,
    /// When a client last relied on it.
    pub touched_at: Timestamp,
}

/// Links that look unneeded; `b` is the blob, `l` the link. A foreign layer need not be here, but one
/// that somebody pushed all the same stays as long as a manifest names it.
const IDLE: &str = "l.touched_at < $1 AND NOT EXISTS (SELECT 1 FROM edge e \
                    WHERE e.repository_id = l.repository_id AND e.child_index = b.digest_index \
                    AND e.kind IN ('config', 'layer', 'child', 'foreign'))";

/// Lists links of a registry, by id after the one given, that no edge needs and that were last
/// touched before `cutoff`.
pub fn idle_links(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    cutoff: Timestamp,
    after: Option<LinkId>,
    limit: u32,
) -> Result<Vec<IdleLink>, StoreError> {
    let after = after.unwrap_or(LinkId::from_bytes([0; 16]));
    let sql = format!(
        "SELECT l.link_id, l.repository_id, l.blob_id, b.digest_index, l.touched_at \
         FROM blob_link l CROSS JOIN blob b \
         WHERE b.blob_id = l.blob_id AND {IDLE} AND (b.registry_id || '') = $2 AND l.link_id > $3 ORDER BY l.link_id LIMIT $4"
    );
    txn.rows(
        &sql,
        &[cutoff.into(), registry.into(), after.into(), i64::from(limit).into()],
        |row| {
            Ok(IdleLink {
                link_id: row.id(0)?,
                repository_id: row.id(1)?,
                blob_id: row.id(2)?,
                digest_index: row.index(3)?,
                touched_at: row.time(4)?,
            })
        },
    )
}

/// Locks these links, looks again, and deletes those that are still idle; returns them.
pub fn delete_idle_links(
    txn: &mut Txn<'_>,
    links: &[LinkId],
    cutoff: Timestamp,
) -> Result<Vec<LinkId>, StoreError> {
    let given = txn.dialect().ids(1);
    let lock = format!(
        "SELECT l.link_id FROM blob_link l WHERE l.link_id IN ({given}) ORDER BY l.link_id{}",
        txn.dialect().hold(Hold::Update, "l")
    );
    let held: Vec<LinkId> = txn.rows(&lock, &[links.into()], |row| row.id(0))?;
    let given = txn.dialect().ids(2);
    let look = format!(
        "SELECT l.link_id FROM blob_link l JOIN blob b ON b.blob_id = l.blob_id \
         WHERE {IDLE} AND l.link_id IN ({given}) ORDER BY l.link_id"
    );
    let idle: Vec<LinkId> =
        txn.rows(&look, &[cutoff.into(), held.as_slice().into()], |row| row.id(0))?;
    let delete = format!("DELETE FROM blob_link WHERE link_id IN ({})", txn.dialect().ids(1));
    txn.execute(&delete, &[idle.as_slice().into()])?;
    Ok(idle)
}

/// Lists blobs of a registry, by id after the one given, that no repository links to.
pub fn unlinked_blobs(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    after: Option<BlobId>,
    limit: u32,
) -> Result<Vec<BlobId>, StoreError> {
    let after = after.unwrap_or(BlobId::from_bytes([0; 16]));
    txn.rows(
        "SELECT b.blob_id FROM blob b WHERE (b.registry_id || '') = $1 AND b.blob_id > $2 \
         AND NOT EXISTS (SELECT 1 FROM blob_link l WHERE l.blob_id = b.blob_id) \
         ORDER BY b.blob_id LIMIT $3",
        &[registry.into(), after.into(), i64::from(limit).into()],
        |row| row.id(0),
    )
}

/// Locks these blobs and returns those that are still without links, in a new statement; until the
/// transaction ends nobody can link to them.
///
/// The caller opens each row for its parts, makes those dead, and deletes the row.
pub fn lock_unlinked(txn: &mut Txn<'_>, blobs: &[BlobId]) -> Result<Vec<BlobRow>, StoreError> {
    let given = txn.dialect().ids(1);
    let lock = format!(
        "SELECT b.blob_id FROM blob b WHERE b.blob_id IN ({given}) ORDER BY b.blob_id{}",
        txn.dialect().hold(Hold::Update, "b")
    );
    let held: Vec<BlobId> = txn.rows(&lock, &[blobs.into()], |row| row.id(0))?;
    let look = format!(
        "SELECT b.blob_id FROM blob b WHERE b.blob_id IN ({given}) \
         AND NOT EXISTS (SELECT 1 FROM blob_link l WHERE l.blob_id = b.blob_id) ORDER BY b.blob_id"
    );
    let unlinked: Vec<BlobId> = txn.rows(&look, &[held.as_slice().into()], |row| row.id(0))?;
    let mut rows = Vec::with_capacity(unlinked.len());
    for id in unlinked {
        rows.extend(blob::get(txn, id)?);
    }
    Ok(rows)
}

/// Lists manifests of a repository with their sealed content, by id after the one given: what a
/// collection opens to confirm what the clear edges say.
pub fn manifests(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    after: Option<ManifestId>,
    limit: u32,
) -> Result<Vec<(ManifestRow, Vec<u8>)>, StoreError> {
    let after = after.unwrap_or(ManifestId::from_bytes([0; 16]));
    let ids: Vec<ManifestId> = txn.rows(
        "SELECT manifest_id FROM manifest WHERE repository_id = $1 AND manifest_id > $2 \
         ORDER BY manifest_id LIMIT $3",
        &[repository.into(), after.into(), i64::from(limit).into()],
        |row| row.id(0),
    )?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(manifest::get_with_content(txn, id)?);
    }
    Ok(found)
}
