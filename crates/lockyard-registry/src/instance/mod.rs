//! An instance's own keys: made once, opened at every start.
//!
//! A service key is generated only here: for a database that has none, and when one is rotated. A
//! wrong secret fails and changes nothing.

mod rotation;

use std::sync::Arc;

use lockyard_base::{Entropy, RowId};
use lockyard_keyring::{
    InstanceKeys, SealedInstanceKeys, ServiceKey, Slot, SlotError, SlotKind, SlotSecret,
    UnlockError,
};
use lockyard_store::{Store, StoreError, instance};
use thiserror::Error;

pub use self::rotation::{Rotated, SlotPlan, plan_slots, rotate_service_key};

/// An instance whose keys are in memory.
#[derive(Debug)]
pub struct Opened {
    /// The service key, for the keyring.
    pub service: ServiceKey,
    /// The keys of rows outside any registry.
    pub keys: Arc<InstanceKeys>,
    /// The instance's id.
    pub id: RowId,
}

/// An instance could not be made or opened.
#[derive(Debug, Error)]
pub enum InstanceError {
    /// The database has keys already; making others would lose everything in it.
    #[error("this data directory has a service key already")]
    Initialised,
    /// The database has no keys yet.
    #[error("this data directory has no service key yet")]
    Empty,
    /// None of the secrets opens a slot of its kind.
    #[error("the service key that was given does not open this data directory")]
    WrongKey,
    /// No secret was given for any slot that the instance has.
    #[error("no service key was given; this data directory can be opened by: {0}")]
    NoKey(String),
    /// A slot could not be made or read.
    #[error("a service key slot is unusable")]
    Slot(#[source] SlotError),
    /// The slot opens, but the instance's keys do not: the database was changed.
    #[error("the instance's keys are damaged")]
    Damaged,
    /// A registry's service share does not open, so that it cannot be sealed again.
    #[error("a registry's keys are damaged")]
    Share(#[source] UnlockError),
    /// Somebody else changed the keys meanwhile.
    #[error("the keys were changed by somebody else meanwhile")]
    Overtaken,
    /// The database failed.
    #[error("the database failed")]
    Store(#[source] StoreError),
}

impl From<StoreError> for InstanceError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Whether keys were made for this database.
pub fn is_initialised(store: &Store) -> Result<bool, InstanceError> {
    store.read_blocking(|txn| Ok(instance::id(txn)?.is_some()))
}

/// Makes an instance's keys, in one transaction, so that a crash leaves all of them or none.
pub fn initialise(
    store: &Store,
    entropy: &dyn Entropy,
    kind: SlotKind,
    secret: &SlotSecret,
) -> Result<Opened, InstanceError> {
    let service = ServiceKey::generate(entropy);
    let slot = slot_row(&Slot::seal(&service, kind, secret, entropy).map_err(InstanceError::Slot)?);
    let sealed = InstanceKeys::generate(&service, entropy);
    let keys = InstanceKeys::open(&service, &sealed).map_err(|_| InstanceError::Damaged)?;
    let id = RowId::random(entropy);
    store.write_blocking(None, move |txn| {
        if instance::id(txn)?.is_some() {
            return Err(InstanceError::Initialised);
        }
        let id = instance::establish(txn, id)?;
        instance::put_slot(txn, &slot)?;
        for (purpose, sealed) in [(ROW, &sealed.row), (INDEX, &sealed.index)] {
            if !instance::put_instance_key(txn, purpose, None, sealed)? {
                return Err(InstanceError::Initialised);
            }
        }
        Ok(id)
    })?;
    Ok(Opened { service, keys: Arc::new(keys), id })
}

/// Opens an instance with the first secret that fits a slot.
pub fn open(store: &Store, secrets: &[(SlotKind, SlotSecret)]) -> Result<Opened, InstanceError> {
    let (id, slots, row, index) = store.read_blocking(|txn| {
        Ok::<_, InstanceError>((
            instance::id(txn)?,
            instance::slots(txn)?,
            instance::instance_key(txn, ROW)?,
            instance::instance_key(txn, INDEX)?,
        ))
    })?;
    let (Some(id), Some(row), Some(index)) = (id, row, index) else {
        return Err(InstanceError::Empty);
    };
    let slots: Vec<Slot> = slots.into_iter().map(slot).collect();
    let service = service_key(&slots, secrets)?;
    let sealed = SealedInstanceKeys { row: row.sealed, index: index.sealed };
    let keys = InstanceKeys::open(&service, &sealed).map_err(|_| InstanceError::Damaged)?;
    Ok(Opened { service, keys: Arc::new(keys), id })
}

/// Lists the slots; what they hold is sealed.
pub fn slots(store: &Store) -> Result<Vec<Slot>, InstanceError> {
    let rows = store.read_blocking(|txn| Ok::<_, InstanceError>(instance::slots(txn)?))?;
    Ok(rows.into_iter().map(slot).collect())
}

/// Adds a slot to an open instance.
pub fn add_slot(
    store: &Store,
    opened: &Opened,
    entropy: &dyn Entropy,
    kind: SlotKind,
    secret: &SlotSecret,
) -> Result<RowId, InstanceError> {
    let slot = Slot::seal(&opened.service, kind, secret, entropy).map_err(InstanceError::Slot)?;
    let row = slot_row(&slot);
    store
        .write_blocking(None, move |txn| Ok::<_, InstanceError>(instance::put_slot(txn, &row)?))?;
    Ok(slot.id)
}

/// Removes a slot; the last one stays. Returns whether it was removed.
pub fn remove_slot(store: &Store, id: RowId) -> Result<bool, InstanceError> {
    store.write_blocking(None, move |txn| {
        if instance::slots(txn)?.len() < 2 {
            return Ok(false);
        }
        Ok(instance::delete_slot(txn, id)?)
    })
}

const ROW: &str = "row";
const INDEX: &str = "index";

fn service_key(
    slots: &[Slot],
    secrets: &[(SlotKind, SlotSecret)],
) -> Result<ServiceKey, InstanceError> {
    let mut fitting = false;
    for (kind, secret) in secrets {
        for slot in slots.iter().filter(|slot| slot.kind == *kind) {
            fitting = true;
            match slot.open(secret) {
                Ok(service) => return Ok(service),
                Err(SlotError::Wrong) => {}
                Err(error) => return Err(InstanceError::Slot(error)),
            }
        }
    }
    if fitting {
        return Err(InstanceError::WrongKey);
    }
    let mut kinds: Vec<&str> = slots.iter().map(|slot| slot.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    Err(InstanceError::NoKey(kinds.join(", ")))
}

fn slot_row(slot: &Slot) -> instance::SlotRow {
    let kind = match slot.kind {
        SlotKind::Credential => instance::SlotKind::Credential,
        SlotKind::File => instance::SlotKind::File,
        SlotKind::Passphrase => instance::SlotKind::Passphrase,
        SlotKind::Recovery => instance::SlotKind::Recovery,
    };
    instance::SlotRow {
        slot_id: slot.id,
        kind,
        params: slot.params.clone(),
        sealed: slot.sealed.clone(),
    }
}

fn slot(row: instance::SlotRow) -> Slot {
    let kind = match row.kind {
        instance::SlotKind::Credential => SlotKind::Credential,
        instance::SlotKind::File => SlotKind::File,
        instance::SlotKind::Passphrase => SlotKind::Passphrase,
        instance::SlotKind::Recovery => SlotKind::Recovery,
    };
    Slot { id: row.slot_id, kind, params: row.params, sealed: row.sealed }
}
