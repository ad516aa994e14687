//! Epochs: the registry keys that a registry has had and still has.
//!
//! Every write of sealed rows holds its epoch first ([`hold_active`]), so that retiring one waits
//! for the writes under way and stops those that come later.

use lockyard_base::{Epoch, RegistryId, Timestamp};

use crate::{
    StoreError, Txn,
    txn::Hold,
    value::{Row, Value},
    word::words,
};

words! {
    /// What an epoch's key may be used for.
    EpochState {
        /// To seal and to open.
        Active = "active",
        /// Only to open what is not sealed anew yet.
        Retiring = "retiring",
    }
}

/// An epoch of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochRow {
    /// The registry.
    pub registry_id: RegistryId,
    /// The epoch's number.
    pub epoch: Epoch,
    /// What its key may be used for.
    pub state: EpochState,
    /// Whether its key needs a customer share.
    pub customer: bool,
    /// The service share, sealed under the service key.
    pub service_share: Vec<u8>,
    /// What the key is compared with after every unlock.
    pub key_check: [u8; 32],
    /// When it was opened.
    pub created_at: Timestamp,
}

/// What a new epoch begins with; it is active.
#[derive(Clone, Copy, Debug)]
pub struct NewEpoch<'a> {
    /// The registry.
    pub registry_id: RegistryId,
    /// The epoch's number.
    pub epoch: Epoch,
    /// Whether its key needs a customer share.
    pub customer: bool,
    /// The service share, sealed under the service key.
    pub service_share: &'a [u8],
    /// What the key is compared with after every unlock.
    pub key_check: [u8; 32],
}

const SELECT: &str = "SELECT registry_id, number, state, customer, service_share, key_check, \
                      created_at FROM epoch";

fn read(row: &Row<'_>) -> Result<EpochRow, StoreError> {
    Ok(EpochRow {
        registry_id: row.id(0)?,
        epoch: row.epoch(1)?,
        state: row.word(2, EpochState::from_word)?,
        customer: row.is(3)?,
        service_share: row.blob(4)?,
        key_check: row.bytes(5)?,
        created_at: row.time(6)?,
    })
}

/// Inserts an active epoch; returns `false` if its number is taken.
pub fn insert(txn: &mut Txn<'_>, new: &NewEpoch<'_>) -> Result<bool, StoreError> {
    let inserted = txn.execute(
        "INSERT INTO epoch (registry_id, number, state, customer, service_share, key_check, \
         created_at) VALUES ($1, $2, 'active', $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        &[
            new.registry_id.into(),
            new.epoch.into(),
            new.customer.into(),
            new.service_share.into(),
            Value::Blob(&new.key_check),
            txn.now().into(),
        ],
    )?;
    Ok(inserted == 1)
}

/// Lists a registry's epochs, oldest first.
pub fn list(txn: &mut Txn<'_>, registry: RegistryId) -> Result<Vec<EpochRow>, StoreError> {
    txn.rows(&format!("{SELECT} WHERE registry_id = $1 ORDER BY number"), &[registry.into()], read)
}

/// Finds an epoch.
pub fn get(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    epoch: Epoch,
) -> Result<Option<EpochRow>, StoreError> {
    txn.row(
        &format!("{SELECT} WHERE registry_id = $1 AND number = $2"),
        &[registry.into(), epoch.into()],
        read,
    )
}

/// Keeps an epoch as it is until this transaction ends; [`StoreError::EpochNotActive`] unless it is
/// active. The first statement of every write of sealed rows.
pub fn hold_active(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    epoch: Epoch,
) -> Result<(), StoreError> {
    match held(txn, registry, epoch, Hold::Share)? {
        Some(EpochState::Active) => Ok(()),
        Some(EpochState::Retiring) | None => Err(StoreError::EpochNotActive),
    }
}

/// Waits for every write that holds the epoch, keeps others from holding it, and returns its state.
///
/// Look for rows of the epoch in a *new* statement after this one.
pub fn lock(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    epoch: Epoch,
) -> Result<Option<EpochState>, StoreError> {
    held(txn, registry, epoch, Hold::Update)
}

fn held(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    epoch: Epoch,
    hold: Hold,
) -> Result<Option<EpochState>, StoreError> {
    let sql = "SELECT state FROM epoch WHERE registry_id = $1 AND number = $2";
    let sql = format!("{sql}{}", txn.dialect().hold(hold, "epoch"));
    txn.row(&sql, &[registry.into(), epoch.into()], |row| row.word(0, EpochState::from_word))
}

/// Replaces the sealed service share of an epoch; returns `false` if it is no longer `expected`.
pub fn set_service_share(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    epoch: Epoch,
    expected: &[u8],
    share: &[u8],
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE epoch SET service_share = $4 \
         WHERE registry_id = $1 AND number = $2 AND service_share = $3",
        &[registry.into(), epoch.into(), expected.into(), share.into()],
    )?;
    Ok(updated == 1)
}

/// Moves an epoch from one state to another; returns `false` if it was not in the first. Waits for
/// every write that holds it.
pub fn set_state(
    txn: &mut Txn<'_>,
    registry: RegistryId,
    epoch: Epoch,
    from: EpochState,
    to: EpochState,
) -> Result<bool, StoreError> {
    let updated = txn.execute(
        "UPDATE epoch SET state = $4 WHERE registry_id = $1 AND number = $2 AND state = $3",
        &[registry.into(), epoch.into(), from.word().into(), to.word().into()],
    )?;
    Ok(updated == 1)
}
