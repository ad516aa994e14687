//! Links: which repository has which blob. There is no way to a blob without one.
//!
//! Links are locked in the order of their ids.

use std::collections::HashSet;

use lockyard_base::{BlindIndex, BlobId, Epoch, LinkId, RegistryId, RepositoryId, Timestamp};

use super::SealNo;
use crate::{StoreError, Txn, txn::Hold, value::Row};

/// A repository's claim to a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRow {
    /// The link.
    pub link_id: LinkId,
    /// The repository that has the blob.
    pub repository_id: RepositoryId,
    /// The blob.
    pub blob_id: BlobId,
    /// The epoch that it is sealed under.
    pub epoch: Epoch,
    /// How often it was sealed.
    pub seal_no: SealNo,
    /// What binds repository and blob together.
    pub sealed: Vec<u8>,
    /// When a client last relied on it.
    pub touched_at: Timestamp,
}

/// What a new link begins with.
#[derive(Clone, Copy, Debug)]
pub struct NewLink<'a> {
    /// The link.
    pub link_id: LinkId,
    /// The repository that has the blob.
    pub repository_id: RepositoryId,
    /// The blob.
    pub blob_id: BlobId,
    /// The epoch that it is sealed under.
    pub epoch: Epoch,
    /// What binds repository and blob together.
    pub sealed: &'a [u8],
}

macro_rules! columns {
    () => {
        "l.link_id, l.repository_id, l.blob_id, l.epoch, l.seal_no, l.sealed, l.touched_at"
    };
}
pub(super) use columns;

pub(super) fn read(row: &Row<'_>) -> Result<LinkRow, StoreError> {
    read_at(row, 0)
}

pub(super) fn read_at(row: &Row<'_>, at: usize) -> Result<LinkRow, StoreError> {
    Ok(LinkRow {
        link_id: row.id(at)?,
        repository_id: row.id(at + 1)?,
        blob_id: row.id(at + 2)?,
        epoch: row.epoch(at + 3)?,
        seal_no: row.seal_no(at + 4)?,
        sealed: row.blob(at + 5)?,
        touched_at: row.time(at + 6)?,
    })
}

/// Links a repository to a blob, or touches the link that is there; returns whether it is new.
///
/// The caller holds the blob ([`super::blob::hold`]) or inserted it in this transaction.
pub fn insert_or_touch(txn: &mut Txn<'_>, new: &NewLink<'_>) -> Result<bool, StoreError> {
    let link_id: LinkId = txn.one(
        "INSERT INTO blob_link (link_id, repository_id, blob_id, epoch, seal_no, sealed, \
         touched_at) VALUES ($1, $2, $3, $4, 1, $5, $6) \
         ON CONFLICT (repository_id, blob_id) DO UPDATE SET touched_at = excluded.touched_at \
         RETURNING link_id",
        &[
            new.link_id.into(),
            new.repository_id.into(),
            new.blob_id.into(),
            new.epoch.into(),
            new.sealed.into(),
            txn.now().into(),
        ],
        |row| row.id(0),
    )?;
    Ok(link_id == new.link_id)
}

/// Finds the link between a repository and a blob.
pub fn find(
    txn: &mut Txn<'_>,
    repository: RepositoryId,
    blob: BlobId,
) -> Result<Option<LinkRow>, StoreError> {
    txn.row(
        concat!(
            "SELECT ",
            columns!(),
            " FROM blob_link l WHERE l.repository_id = $1 AND l.blob_id = $2"
        ),
        &[repository.into(), blob.into()],
        read,
    )
}

/// Finds a link and locks it until this transaction ends.
pub fn lock(txn: &mut Txn<'_>, id: LinkId) -> Result<Option<LinkRow>, StoreError> {
    let sql = concat!("SELECT ", columns!(), " FROM blob_link l WHERE l.link_id = $1");
    let sql = format!("{sql}{}", txn.dialect().hold(Hold::Update, "l"));
    txn.row(&sql, &[id.into()], read)
}

/// Notes that a client relies on a link; returns `false` if it is gone.
pub fn touch(txn: &mut Txn<'_>, id: LinkId) -> Result<bool, StoreError> {
    let now = txn.now();
    let touched = txn.execute(
        "UPDATE blob_link SET touched_at = $2 WHERE link_id = $1",
        &[id.into(), now.into()],
    )?;
    Ok(touched == 1)
}

/// Locks and touches the links of `repository` to all of these blobs, and returns the digests for
/// which there is none (or whose blob is quarantined), each once.
///
/// What a manifest requires, in the transaction that inserts it: if the answer is empty, none of
/// these blobs is collected before the manifest's edges are seen.
pub fn touch_required(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    repository: RepositoryId,
    digests: &[BlindIndex],
) -> Result<Vec<BlindIndex>, StoreError> {
    let given = txn.dialect().indexes(3);
    let sql = format!(
        "SELECT l.link_id, b.digest_index FROM blob_link l JOIN blob b ON b.blob_id = l.blob_id \
         WHERE b.registry_id = $1 AND l.repository_id = $2 AND b.state = 'present' \
         AND b.digest_index IN ({given}) ORDER BY l.link_id{}",
        txn.dialect().hold(Hold::Update, "l")
    );
    let found = txn.rows(&sql, &[registry.into(), repository.into(), digests.into()], |row| {
        Ok((row.id::<LinkId>(0)?, row.index(1)?))
    })?;
    let links: Vec<LinkId> = found.iter().map(|(link, _)| *link).collect();
    let sql =
        format!("UPDATE blob_link SET touched_at = $1 WHERE link_id IN ({})", txn.dialect().ids(2));
    let now = txn.now();
    txn.execute(&sql, &[now.into(), links.as_slice().into()])?;
    let there: HashSet<BlindIndex> = found.into_iter().map(|(_, digest)| digest).collect();
    let mut missing: Vec<BlindIndex> =
        digests.iter().filter(|digest| !there.contains(*digest)).copied().collect();
    missing.sort_unstable();
    missing.dedup();
    Ok(missing)
}

/// Replaces the sealed value of a link; returns whether it won.
pub fn reseal(
    txn: &mut Txn<'_>,
    id: LinkId,
    expected: SealNo,
    epoch: Epoch,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE blob_link SET epoch = $3, sealed = $4, seal_no = seal_no + 1 \
         WHERE link_id = $1 AND seal_no = $2",
        &[id.into(), expected.into(), epoch.into(), sealed.into()],
    )?;
    Ok(updated == 1)
}

/// Deletes a link; returns whether it was there.
///
/// Lock it first, and look for edges that need it in a *new* statement after that.
pub fn delete(txn: &mut Txn<'_>, id: LinkId) -> Result<bool, StoreError> {
    Ok(txn.execute("DELETE FROM blob_link WHERE link_id = $1", &[id.into()])? == 1)
}

/// Counts the links to a blob.
pub fn of_blob(txn: &mut Txn<'_>, blob: BlobId) -> Result<u64, StoreError> {
    txn.one("SELECT count(*) FROM blob_link WHERE blob_id = $1", &[blob.into()], |row| row.count(0))
}
