//! The instance: its id, the slots of its service key, its own keys, and the sealed rows that belong
//! to no registry (owner credential, certificate authority, …).

use lockyard_base::{BlindIndex, RowId, Timestamp};

use super::SealNo;
use crate::{
    StoreError, Txn,
    value::{Row, Value},
    word::words,
};

/// Returns the instance's id, if [`establish`] ever ran.
pub fn id(txn: &mut Txn<'_>) -> Result<Option<RowId>, StoreError> {
    meta(txn, "instance").map(|id| id.map(RowId::from_bytes))
}

/// Returns when the instance was established.
pub fn created_at(txn: &mut Txn<'_>) -> Result<Option<Timestamp>, StoreError> {
    meta(txn, "created").map(|micros| micros.map(i64::from_be_bytes).map(Timestamp::from_micros))
}

/// Gives the instance an id unless it has one, and returns the one that it has.
pub fn establish(txn: &mut Txn<'_>, candidate: RowId) -> Result<RowId, StoreError> {
    let now = txn.now().as_micros().to_be_bytes();
    for (key, value) in [("instance", candidate.as_bytes().as_slice()), ("created", &now)] {
        txn.execute(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING",
            &[key.into(), Value::Blob(value)],
        )?;
    }
    id(txn)?.ok_or_else(|| StoreError::damaged("the instance's id is missing"))
}

fn meta<const N: usize>(txn: &mut Txn<'_>, key: &str) -> Result<Option<[u8; N]>, StoreError> {
    txn.row("SELECT value FROM meta WHERE key = $1", &[key.into()], |row| row.bytes(0))
}

words! {
    /// What opens a slot of the service key.
    SlotKind {
        /// A systemd credential.
        Credential = "credential",
        /// A key file.
        File = "file",
        /// A passphrase.
        Passphrase = "passphrase",
        /// A recovery code.
        Recovery = "recovery",
    }
}

/// A slot: the service key, sealed under one thing that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRow {
    /// The slot.
    pub slot_id: RowId,
    /// What opens it.
    pub kind: SlotKind,
    /// The key derivation's parameters, in the clear.
    pub params: String,
    /// The sealed service key.
    pub sealed: Vec<u8>,
}

/// Lists all slots, by id.
pub fn slots(txn: &mut Txn<'_>) -> Result<Vec<SlotRow>, StoreError> {
    txn.rows(
        "SELECT slot_id, kind, params, sealed FROM service_slot ORDER BY slot_id",
        &[],
        |row| {
            Ok(SlotRow {
                slot_id: row.row_id(0)?,
                kind: row.word(1, SlotKind::from_word)?,
                params: row.text(2)?,
                sealed: row.blob(3)?,
            })
        },
    )
}

/// Inserts a slot or replaces the one with its id.
pub fn put_slot(txn: &mut Txn<'_>, slot: &SlotRow) -> Result<(), StoreError> {
    txn.execute(
        "INSERT INTO service_slot (slot_id, kind, params, sealed) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (slot_id) DO UPDATE SET kind = excluded.kind, params = excluded.params, \
         sealed = excluded.sealed",
        &[
            slot.slot_id.into(),
            slot.kind.word().into(),
            slot.params.as_str().into(),
            (&slot.sealed).into(),
        ],
    )
    .map(drop)
}

/// Deletes a slot; returns whether it was there.
pub fn delete_slot(txn: &mut Txn<'_>, slot_id: RowId) -> Result<bool, StoreError> {
    let deleted = txn.execute("DELETE FROM service_slot WHERE slot_id = $1", &[slot_id.into()])?;
    Ok(deleted == 1)
}

/// One of the instance's own keys, sealed under the service key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceKeyRow {
    /// The sealed key.
    pub sealed: Vec<u8>,
    /// How often it was sealed.
    pub seal_no: SealNo,
}

/// Finds the key that serves `purpose`.
pub fn instance_key(
    txn: &mut Txn<'_>,
    purpose: &str,
) -> Result<Option<InstanceKeyRow>, StoreError> {
    txn.row(
        "SELECT sealed, seal_no FROM instance_key WHERE purpose = $1",
        &[purpose.into()],
        |row| Ok(InstanceKeyRow { sealed: row.blob(0)?, seal_no: row.seal_no(1)? }),
    )
}

/// Stores a key: inserts it where `expected` is `None`, else replaces the one with that number.
/// Returns whether it won.
pub fn put_instance_key(
    txn: &mut Txn<'_>,
    purpose: &str,
    expected: Option<SealNo>,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let changed = match expected {
        None => txn.execute(
            "INSERT INTO instance_key (purpose, sealed, seal_no) VALUES ($1, $2, 1) \
             ON CONFLICT (purpose) DO NOTHING",
            &[purpose.into(), sealed.into()],
        ),
        Some(expected) => txn.execute(
            "UPDATE instance_key SET sealed = $3, seal_no = seal_no + 1 \
             WHERE purpose = $1 AND seal_no = $2",
            &[purpose.into(), expected.into(), sealed.into()],
        ),
    };
    Ok(changed? == 1)
}

/// A sealed row outside of any registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordRow {
    /// The row.
    pub row_id: RowId,
    /// What it is a record of.
    pub kind: String,
    /// The blind index of its name, under the instance's index key.
    pub name_index: BlindIndex,
    /// Its content.
    pub sealed: Vec<u8>,
    /// How often it was sealed.
    pub seal_no: SealNo,
    /// When it is over; `None` is never.
    pub expires_at: Option<Timestamp>,
}

pub(super) const RECORD: &str =
    "SELECT row_id, kind, name_index, sealed, seal_no, expires_at FROM instance_record";

pub(super) fn record_row(row: &Row<'_>) -> Result<RecordRow, StoreError> {
    Ok(RecordRow {
        row_id: row.row_id(0)?,
        kind: row.text(1)?,
        name_index: row.index(2)?,
        sealed: row.blob(3)?,
        seal_no: row.seal_no(4)?,
        expires_at: row.maybe_int(5)?.map(Timestamp::from_micros),
    })
}

/// Finds the record of a kind and a name.
pub fn record(
    txn: &mut Txn<'_>,
    kind: &str,
    name: &BlindIndex,
) -> Result<Option<RecordRow>, StoreError> {
    txn.row(
        &format!("{RECORD} WHERE kind = $1 AND name_index = $2"),
        &[kind.into(), name.into()],
        record_row,
    )
}

/// Lists all records of a kind, by id.
pub fn records(txn: &mut Txn<'_>, kind: &str) -> Result<Vec<RecordRow>, StoreError> {
    txn.rows(&format!("{RECORD} WHERE kind = $1 ORDER BY row_id"), &[kind.into()], record_row)
}

/// Inserts a record that is over at `expires_at`, if ever; returns `false` if its kind and name are
/// taken.
pub fn insert_record(
    txn: &mut Txn<'_>,
    row_id: RowId,
    kind: &str,
    name: &BlindIndex,
    expires_at: Option<Timestamp>,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let inserted = txn.execute(
        "INSERT INTO instance_record (row_id, kind, name_index, expires_at, sealed, seal_no) \
         VALUES ($1, $2, $3, $4, $5, 1) ON CONFLICT DO NOTHING",
        &[row_id.into(), kind.into(), name.into(), expires_at.into(), sealed.into()],
    )?;
    Ok(inserted == 1)
}

/// Replaces a record's content and when it is over; returns whether it won.
pub fn update_record(
    txn: &mut Txn<'_>,
    row_id: RowId,
    expected: SealNo,
    expires_at: Option<Timestamp>,
    sealed: &[u8],
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE instance_record SET expires_at = $3, sealed = $4, seal_no = seal_no + 1 \
         WHERE row_id = $1 AND seal_no = $2",
        &[row_id.into(), expected.into(), expires_at.into(), sealed.into()],
    )?;
    Ok(updated == 1)
}

/// Deletes a record; returns whether it was there.
pub fn delete_record(txn: &mut Txn<'_>, row_id: RowId) -> Result<bool, StoreError> {
    let deleted = txn.execute("DELETE FROM instance_record WHERE row_id = $1", &[row_id.into()])?;
    Ok(deleted == 1)
}

/// Deletes a record that nobody sealed anew meanwhile; returns whether it won.
///
/// Of several that take the same record, one wins.
pub fn take_record(txn: &mut Txn<'_>, row_id: RowId, expected: SealNo) -> Result<bool, StoreError> {
    let deleted = txn.execute(
        "DELETE FROM instance_record WHERE row_id = $1 AND seal_no = $2",
        &[row_id.into(), expected.into()],
    )?;
    Ok(deleted == 1)
}

/// Counts the records of a kind that are not over.
pub fn count_records(txn: &mut Txn<'_>, kind: &str) -> Result<u64, StoreError> {
    let now = txn.now();
    txn.one(
        "SELECT COUNT(*) FROM instance_record \
         WHERE kind = $1 AND (expires_at IS NULL OR expires_at > $2)",
        &[kind.into(), now.into()],
        |row| row.count(0),
    )
}

/// Deletes up to `limit` records that are over, the oldest first; returns how many there were.
pub fn sweep_records(txn: &mut Txn<'_>, limit: u32) -> Result<u64, StoreError> {
    let now = txn.now();
    // The time is asked for twice: between the two, PostgreSQL may see a record prolonged.
    txn.execute(
        "DELETE FROM instance_record WHERE expires_at <= $1 AND row_id IN \
         (SELECT row_id FROM instance_record WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
        &[now.into(), limit.into()],
    )
}
