//! Upload sessions. Each step is a compare-and-set on the session's generation.

use lockyard_base::{Epoch, RegistryId, RepositoryId, Timestamp, UploadId};

use super::SealNo;
use crate::{StoreError, Txn, txn::Hold, value::Row};

/// An upload session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadRow {
    /// The session.
    pub upload_id: UploadId,
    /// Its registry.
    pub registry_id: RegistryId,
    /// The repository that it uploads to.
    pub repository_id: RepositoryId,
    /// The epoch that it is sealed under.
    pub epoch: Epoch,
    /// How often it was sealed.
    pub seal_no: SealNo,
    /// How many steps it has taken.
    pub generation: u64,
    /// Its parts with their keys, its offset and the state of its hash.
    pub sealed: Vec<u8>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it is given up if nothing happens.
    pub expires_at: Timestamp,
}

/// What a new session begins with; its generation is 0.
#[derive(Clone, Copy, Debug)]
pub struct NewUpload<'a> {
    /// The session.
    pub upload_id: UploadId,
    /// Its registry.
    pub registry_id: RegistryId,
    /// The repository that it uploads to.
    pub repository_id: RepositoryId,
    /// The epoch that it is sealed under.
    pub epoch: Epoch,
    /// Its first state.
    pub sealed: &'a [u8],
    /// When it is given up if nothing happens.
    pub expires_at: Timestamp,
}

macro_rules! columns {
    () => {
        "u.upload_id, u.registry_id, u.repository_id, u.epoch, u.seal_no, u.generation, u.sealed, \
         u.started_at, u.expires_at"
    };
}
pub(super) use columns;

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM upload u WHERE u.upload_id = $1");

pub(super) fn read(row: &Row<'_>) -> Result<UploadRow, StoreError> {
    Ok(UploadRow {
        upload_id: row.id(0)?,
        registry_id: row.id(1)?,
        repository_id: row.id(2)?,
        epoch: row.epoch(3)?,
        seal_no: row.seal_no(4)?,
        generation: row.count(5)?,
        sealed: row.blob(6)?,
        started_at: row.time(7)?,
        expires_at: row.time(8)?,
    })
}

/// Inserts a session.
pub fn insert(txn: &mut Txn<'_>, new: &NewUpload<'_>) -> Result<(), StoreError> {
    let now = txn.now();
    txn.execute(
        "INSERT INTO upload (upload_id, registry_id, repository_id, epoch, seal_no, generation, \
         sealed, started_at, expires_at) VALUES ($1, $2, $3, $4, 1, 0, $5, $6, $7)",
        &[
            new.upload_id.into(),
            new.registry_id.into(),
            new.repository_id.into(),
            new.epoch.into(),
            new.sealed.into(),
            now.into(),
            new.expires_at.into(),
        ],
    )
    .map(drop)
}

/// Finds a session.
pub fn get(txn: &mut Txn<'_>, id: UploadId) -> Result<Option<UploadRow>, StoreError> {
    txn.row(BY_ID, &[id.into()], read)
}

/// Finds a session and locks it until this transaction ends.
pub fn lock(txn: &mut Txn<'_>, id: UploadId) -> Result<Option<UploadRow>, StoreError> {
    let sql = format!("{BY_ID}{}", txn.dialect().hold(Hold::Update, "u"));
    txn.row(&sql, &[id.into()], read)
}

/// Takes a session one step further, to generation `expected + 1`; returns `false` if another step
/// came first.
pub fn advance(
    txn: &mut Txn<'_>,
    id: UploadId,
    expected: u64,
    epoch: Epoch,
    sealed: &[u8],
    expires_at: Timestamp,
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE upload SET generation = generation + 1, epoch = $3, sealed = $4, \
         seal_no = seal_no + 1, expires_at = $5 WHERE upload_id = $1 AND generation = $2",
        &[id.into(), expected.into(), epoch.into(), sealed.into(), expires_at.into()],
    )?;
    Ok(updated == 1)
}

/// Ends a session (finished or cancelled); returns `false` if another step came first.
pub fn delete(txn: &mut Txn<'_>, id: UploadId, expected: u64) -> Result<bool, StoreError> {
    let deleted = txn.execute(
        "DELETE FROM upload WHERE upload_id = $1 AND generation = $2",
        &[id.into(), expected.into()],
    )?;
    Ok(deleted == 1)
}

/// Lists sessions of a registry that expired before `now`, oldest first.
pub fn expired(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<UploadRow>, StoreError> {
    txn.rows(
        concat!(
            "SELECT ",
            columns!(),
            " FROM upload u WHERE u.registry_id = $1 AND u.expires_at < $2 \
             ORDER BY u.expires_at, u.upload_id LIMIT $3"
        ),
        &[registry.into(), now.into(), limit.into()],
        read,
    )
}

/// Counts the sessions of a registry.
pub fn count(txn: &mut Txn<'_>, registry: RegistryId) -> Result<u64, StoreError> {
    txn.one("SELECT count(*) FROM upload WHERE registry_id = $1", &[registry.into()], |row| {
        row.count(0)
    })
}
