//! Parts: the files of the part store, as the database knows them, and short parts themselves.
//!
//! A part is `writing` from before its first byte, under a lease that its writer renews; `live` once
//! a committed row names it; `dead` when none does any more, until its bytes are gone. Every step is
//! a compare-and-set. A part that lies in its row begins `live` and has no file: its bytes come and
//! go with the row.

use lockyard_base::{PartId, RegistryId, Timestamp};

use crate::{StoreError, Txn, value::Row, word::words};

words! {
    /// Where a part is in its life.
    PartState {
        /// Its bytes are being written.
        Writing = "writing",
        /// Some row names it.
        Live = "live",
        /// No row names it; its bytes may go after a grace.
        Dead = "dead",
    }
}

/// A part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartRow {
    /// The part.
    pub part_id: PartId,
    /// Its registry.
    pub registry_id: RegistryId,
    /// Where it is in its life.
    pub state: PartState,
    /// Until when its writer has it to itself; means something only while it is being written.
    pub lease_until: Timestamp,
    /// When its state last changed.
    pub changed_at: Timestamp,
    /// Whether its bytes lie in this row and not in a file.
    pub in_row: bool,
}

pub(super) fn read(row: &Row<'_>) -> Result<PartRow, StoreError> {
    Ok(PartRow {
        part_id: row.id(0)?,
        registry_id: row.id(1)?,
        state: row.word(2, PartState::from_word)?,
        lease_until: row.time(3)?,
        changed_at: row.time(4)?,
        in_row: row.is(5)?,
    })
}

pub(super) const SELECT: &str = "SELECT part_id, registry_id, state, lease_until, changed_at, \
     CAST(CASE WHEN content IS NULL THEN 0 ELSE 1 END AS BIGINT) FROM part";

/// Announces parts before their first byte; may run ahead of need.
pub fn insert_writing(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    parts: &[PartId],
    lease_until: Timestamp,
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO part (part_id, registry_id, state, lease_until, changed_at) \
         SELECT given.item, $1, 'writing', $2, $3 FROM ({}) AS given",
        txn.dialect().ids(4)
    );
    let now = txn.now();
    txn.execute(&sql, &[registry.into(), lease_until.into(), now.into(), parts.into()]).map(drop)
}

/// Inserts a part that lies in its row, in the transaction that names it.
pub fn insert_in_row(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    part: PartId,
    content: &[u8],
) -> Result<(), StoreError> {
    let now = txn.now();
    txn.execute(
        "INSERT INTO part (part_id, registry_id, state, lease_until, changed_at, content) \
         VALUES ($1, $2, 'live', $3, $4, $5)",
        &[part.into(), registry.into(), now.into(), now.into(), content.into()],
    )
    .map(drop)
}

/// The bytes of a part that lies in its row; `None` for all others.
pub fn content(txn: &mut Txn<'_>, id: PartId) -> Result<Option<Vec<u8>>, StoreError> {
    let sql = "SELECT content FROM part WHERE part_id = $1";
    Ok(txn.row(sql, &[id.into()], |row| row.maybe_blob(0))?.flatten())
}

/// Extends leases; returns `false` if one of the parts is not being written any more.
pub fn renew(
    txn: &mut Txn<'_>,
    parts: &[PartId],
    lease_until: Timestamp,
) -> Result<bool, StoreError> {
    let sql = format!(
        "UPDATE part SET lease_until = $1 WHERE state = 'writing' AND part_id IN ({})",
        txn.dialect().ids(2)
    );
    let renewed = txn.execute(&sql, &[lease_until.into(), parts.into()])?;
    Ok(renewed == parts.len() as u64)
}

/// Makes written parts live, in the transaction that names them; each part is given once.
///
/// [`StoreError::PartNotWriting`] if one of them is not being written (any more): give the
/// transaction up, its bytes may be gone.
pub fn make_live(txn: &mut Txn<'_>, parts: &[PartId]) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE part SET state = 'live', changed_at = $1 \
         WHERE state = 'writing' AND part_id IN ({})",
        txn.dialect().ids(2)
    );
    let now = txn.now();
    let made = txn.execute(&sql, &[now.into(), parts.into()])?;
    if made == parts.len() as u64 { Ok(()) } else { Err(StoreError::PartNotWriting) }
}

/// Makes parts dead that no row names any more, or that their writer gave up; returns how many were
/// not dead already.
pub fn make_dead(txn: &mut Txn<'_>, parts: &[PartId]) -> Result<u64, StoreError> {
    let sql = format!(
        "UPDATE part SET state = 'dead', changed_at = $1 WHERE state <> 'dead' AND part_id IN ({})",
        txn.dialect().ids(2)
    );
    let now = txn.now();
    txn.execute(&sql, &[now.into(), parts.into()])
}

/// Lists parts of a registry whose writers let their lease run out before `now`.
pub fn expired_writing(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<PartId>, StoreError> {
    txn.rows(
        "SELECT part_id FROM part WHERE registry_id = $1 AND state = 'writing' \
         AND lease_until < $2 ORDER BY part_id LIMIT $3",
        &[registry.into(), now.into(), limit.into()],
        |row| row.id(0),
    )
}

/// Makes those of `parts` dead that are still being written with a lease that ran out before `now`,
/// and returns them; one that was renewed or made live meanwhile is spared.
pub fn expire(
    txn: &mut Txn<'_>,
    parts: &[PartId],
    now: Timestamp,
) -> Result<Vec<PartId>, StoreError> {
    let sql = format!(
        "UPDATE part SET state = 'dead', changed_at = $1 \
         WHERE state = 'writing' AND lease_until < $2 AND part_id IN ({}) RETURNING part_id",
        txn.dialect().ids(3)
    );
    let changed_at = txn.now();
    txn.rows(&sql, &[changed_at.into(), now.into(), parts.into()], |row| row.id(0))
}

/// Lists parts of a registry that died before `cutoff`, those longest dead first.
pub fn dead_before(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    cutoff: Timestamp,
    limit: u32,
) -> Result<Vec<PartId>, StoreError> {
    txn.rows(
        "SELECT part_id FROM part WHERE registry_id = $1 AND state = 'dead' AND changed_at < $2 \
         ORDER BY changed_at, part_id LIMIT $3",
        &[registry.into(), cutoff.into(), limit.into()],
        |row| row.id(0),
    )
}

/// Finds a part.
pub fn get(txn: &mut Txn<'_>, id: PartId) -> Result<Option<PartRow>, StoreError> {
    txn.row(&format!("{SELECT} WHERE part_id = $1"), &[id.into()], read)
}

/// Forgets dead parts whose bytes are gone; returns how many. Others stay.
pub fn delete(txn: &mut Txn<'_>, parts: &[PartId]) -> Result<u64, StoreError> {
    let sql =
        format!("DELETE FROM part WHERE state = 'dead' AND part_id IN ({})", txn.dialect().ids(1));
    txn.execute(&sql, &[parts.into()])
}
