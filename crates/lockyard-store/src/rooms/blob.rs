//! Blobs: what a registry has under a digest, whichever repositories link to it.
//!
//! Lock order: blobs before links, blobs by ascending id.

use lockyard_base::{BlindIndex, BlobId, Epoch, RegistryId, RepositoryId, Timestamp};

use super::{
    SealNo,
    link::{self, LinkRow},
};
use crate::{StoreError, Txn, txn::Hold, value::Row, word::words};

words! {
    /// Whether a blob can be served.
    BlobState {
        /// It can.
        Present = "present",
        /// Its parts are damaged; the next push of its content heals it.
        Quarantined = "quarantined",
    }
}

/// A blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRow {
    /// The blob.
    pub blob_id: BlobId,
    /// Its registry.
    pub registry_id: RegistryId,
    /// The registry-wide blind index of its digest.
    pub digest_index: BlindIndex,
    /// The epoch that it is sealed under.
    pub epoch: Epoch,
    /// How often it was sealed.
    pub seal_no: SealNo,
    /// Whether it can be served.
    pub state: BlobState,
    /// Its digest, its length, and the parts with their keys.
    pub sealed: Vec<u8>,
    /// When it was first finished.
    pub created_at: Timestamp,
}

/// What a new blob begins with; it is present.
#[derive(Clone, Copy, Debug)]
pub struct NewBlob<'a> {
    /// The blob.
    pub blob_id: BlobId,
    /// Its registry.
    pub registry_id: RegistryId,
    /// The registry-wide blind index of its digest.
    pub digest_index: BlindIndex,
    /// The epoch that it is sealed under.
    pub epoch: Epoch,
    /// Its digest, its length, and the parts with their keys.
    pub sealed: &'a [u8],
}

macro_rules! columns {
    () => {
        "b.blob_id, b.registry_id, b.digest_index, b.epoch, b.seal_no, b.state, b.sealed, \
         b.created_at"
    };
}
pub(super) use columns;

pub(super) fn read(row: &Row<'_>) -> Result<BlobRow, StoreError> {
    Ok(BlobRow {
        blob_id: row.id(0)?,
        registry_id: row.id(1)?,
        digest_index: row.index(2)?,
        epoch: row.epoch(3)?,
        seal_no: row.seal_no(4)?,
        state: row.word(5, BlobState::from_word)?,
        sealed: row.blob(6)?,
        created_at: row.time(7)?,
    })
}

const COLUMNS: usize = 8;

const BY_INDEX: &str =
    concat!("SELECT ", columns!(), " FROM blob b WHERE b.registry_id = $1 AND b.digest_index = $2");

/// Finds a blob by the index of its digest, whoever links to it.
pub fn find(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    digest: &BlindIndex,
) -> Result<Option<BlobRow>, StoreError> {
    txn.row(BY_INDEX, &[registry.into(), digest.into()], read)
}

/// Finds a blob and keeps it from being deleted until this transaction ends; whoever links to an
/// existing blob begins here, and begins again if the blob is gone.
pub fn hold(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    digest: &BlindIndex,
) -> Result<Option<BlobRow>, StoreError> {
    let sql = format!("{BY_INDEX}{}", txn.dialect().hold(Hold::KeyShare, "b"));
    txn.row(&sql, &[registry.into(), digest.into()], read)
}

/// Finds a blob and locks it against everybody until this transaction ends.
pub fn lock(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    digest: &BlindIndex,
) -> Result<Option<BlobRow>, StoreError> {
    let sql = format!("{BY_INDEX}{}", txn.dialect().hold(Hold::Update, "b"));
    txn.row(&sql, &[registry.into(), digest.into()], read)
}

/// Finds a blob.
pub fn get(txn: &mut Txn<'_>, id: BlobId) -> Result<Option<BlobRow>, StoreError> {
    txn.row(concat!("SELECT ", columns!(), " FROM blob b WHERE b.blob_id = $1"), &[id.into()], read)
}

/// Finds a blob that `repository` links to, with its link, in one statement: the way of every HEAD
/// and GET.
pub fn find_linked(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    repository: RepositoryId,
    digest: &BlindIndex,
) -> Result<Option<(BlobRow, LinkRow)>, StoreError> {
    txn.row(
        concat!(
            "SELECT ",
            columns!(),
            ", ",
            link::columns!(),
            " FROM blob b JOIN blob_link l ON l.blob_id = b.blob_id AND l.repository_id = $3 \
             WHERE b.registry_id = $1 AND b.digest_index = $2"
        ),
        &[registry.into(), digest.into(), repository.into()],
        |row| Ok((read(row)?, link::read_at(row, COLUMNS)?)),
    )
}

/// Inserts a blob; returns `false` if its registry has one of that digest.
pub fn insert(txn: &mut Txn<'_>, new: &NewBlob<'_>) -> Result<bool, StoreError> {
    let inserted = txn.execute(
        "INSERT INTO blob (blob_id, registry_id, digest_index, epoch, seal_no, state, sealed, \
         created_at) VALUES ($1, $2, $3, $4, 1, 'present', $5, $6) ON CONFLICT DO NOTHING",
        &[
            new.blob_id.into(),
            new.registry_id.into(),
            (&new.digest_index).into(),
            new.epoch.into(),
            new.sealed.into(),
            txn.now().into(),
        ],
    )?;
    Ok(inserted == 1)
}

/// Replaces a blob's sealed value and state (compaction, healing, quarantine, re-sealing); returns
/// whether it won.
pub fn update(
    txn: &mut Txn<'_>,
    id: BlobId,
    expected: SealNo,
    epoch: Epoch,
    state: BlobState,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE blob SET epoch = $3, state = $4, sealed = $5, seal_no = seal_no + 1 \
         WHERE blob_id = $1 AND seal_no = $2",
        &[id.into(), expected.into(), epoch.into(), state.word().into(), sealed.into()],
    )?;
    Ok(updated == 1)
}

/// Deletes a blob, and with its row the keys of its parts; returns whether it was there.
///
/// [`StoreError::Dangling`] if a link to it is left.
pub fn delete(txn: &mut Txn<'_>, id: BlobId) -> Result<bool, StoreError> {
    Ok(txn.execute("DELETE FROM blob WHERE blob_id = $1", &[id.into()])? == 1)
}
