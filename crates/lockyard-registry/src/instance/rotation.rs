//! Another service key for an instance: everything that the old one seals is sealed under it again.
//!
//! That is the service share of each epoch of each registry, the instance's two own keys, and the
//! slots; rows and parts stay as they are. All of it is one transaction, so that after a crash the
//! database holds one key or the other and the same secrets open it. No file is touched: slots hold
//! the key, files only what opens them.

use std::sync::Arc;

use lockyard_base::{Entropy, RowId};
use lockyard_keyring::{
    InstanceKeys, SealedInstanceKeys, SealedServiceShare, ServiceKey, Slot, SlotError, SlotKind,
    SlotSecret,
};
use lockyard_store::{Store, Txn, epoch, instance, registry};

use super::{INDEX, InstanceError, Opened, ROW, slot, slot_row, slots};

/// Which slots a rotation keeps, and which secret opens each.
#[derive(Debug)]
pub struct SlotPlan {
    kept: Vec<(Slot, Arc<SlotSecret>)>,
    /// Slots that no secret was given for: they cannot be sealed again.
    pub lost: Vec<Slot>,
    /// Which of the secrets, by their place, open no slot.
    pub idle: Vec<usize>,
}

/// What a rotation did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The slots that hold the new key, for the secrets that they had.
    pub kept: Vec<(RowId, SlotKind)>,
    /// The slots that are gone.
    pub dropped: Vec<(RowId, SlotKind)>,
    /// How many service shares were sealed again.
    pub shares: u64,
}

/// Tries each group of secrets on each slot: one group is one secret, read as every kind that it may
/// be. Changes nothing; a passphrase takes some time.
pub fn plan_slots(
    store: &Store,
    secrets: Vec<Vec<(SlotKind, SlotSecret)>>,
) -> Result<SlotPlan, InstanceError> {
    let mut plan = SlotPlan { kept: Vec::new(), lost: slots(store)?, idle: Vec::new() };
    for (place, group) in secrets.into_iter().enumerate() {
        let before = plan.kept.len();
        for (kind, secret) in group {
            let secret = Arc::new(secret);
            while let Some(slot) = opened_by(&plan.lost, kind, &secret)? {
                let slot = plan.lost.remove(slot);
                plan.kept.push((slot, Arc::clone(&secret)));
            }
        }
        if plan.kept.len() == before {
            plan.idle.push(place);
        }
    }
    Ok(plan)
}

fn opened_by(
    slots: &[Slot],
    kind: SlotKind,
    secret: &SlotSecret,
) -> Result<Option<usize>, InstanceError> {
    for (place, slot) in slots.iter().enumerate().filter(|(_, slot)| slot.kind == kind) {
        match slot.open(secret) {
            Ok(_) => return Ok(Some(place)),
            Err(SlotError::Wrong) => {}
            Err(error) => return Err(InstanceError::Slot(error)),
        }
    }
    Ok(None)
}

/// Gives the instance another service key and drops the slots that the plan says are lost.
///
/// Nobody else may have the instance open: a keyring in memory would go on with the old key. Fails,
/// having changed nothing, if anything does not open or if the plan keeps no slot.
pub fn rotate_service_key(
    store: &Store,
    opened: Opened,
    entropy: &Arc<dyn Entropy>,
    plan: &SlotPlan,
) -> Result<Rotated, InstanceError> {
    if plan.kept.is_empty() {
        return Err(InstanceError::WrongKey);
    }
    let to = ServiceKey::generate(&**entropy);
    let sealed = plan.kept.iter().map(|(slot, secret)| slot.resealed(&to, secret, &**entropy));
    let new = sealed.collect::<Result<Vec<Slot>, SlotError>>().map_err(InstanceError::Slot)?;
    let name = |slot: &Slot| (slot.id, slot.kind);
    let kept = new.iter().map(name).collect();
    let dropped = plan.lost.iter().map(name).collect();
    let mut old: Vec<Slot> = plan.kept.iter().map(|(slot, _)| slot.clone()).collect();
    old.extend(plan.lost.iter().cloned());
    old.sort_by_key(|slot| slot.id);
    let (entropy, from) = (Arc::clone(entropy), opened.service);
    let shares = store.write_blocking(None, move |txn| {
        let present: Vec<Slot> = instance::slots(txn)?.into_iter().map(slot).collect();
        if present != old {
            return Err(InstanceError::Overtaken);
        }
        for slot in &old {
            instance::delete_slot(txn, slot.id)?;
        }
        for slot in &new {
            instance::put_slot(txn, &slot_row(slot))?;
        }
        reseal_instance_keys(txn, &from, &to, &*entropy)?;
        reseal_shares(txn, &from, &to, &*entropy)
    })?;
    Ok(Rotated { kept, dropped, shares })
}

fn reseal_instance_keys(
    txn: &mut Txn<'_>,
    from: &ServiceKey,
    to: &ServiceKey,
    entropy: &dyn Entropy,
) -> Result<(), InstanceError> {
    let row = instance::instance_key(txn, ROW)?.ok_or(InstanceError::Empty)?;
    let index = instance::instance_key(txn, INDEX)?.ok_or(InstanceError::Empty)?;
    let numbers = (row.seal_no, index.seal_no);
    let old = SealedInstanceKeys { row: row.sealed, index: index.sealed };
    let new = old.resealed(from, to, entropy).map_err(|_| InstanceError::Damaged)?;
    InstanceKeys::open(to, &new).map_err(|_| InstanceError::Damaged)?;
    for (purpose, number, sealed) in [(ROW, numbers.0, new.row), (INDEX, numbers.1, new.index)] {
        if !instance::put_instance_key(txn, purpose, Some(number), &sealed)? {
            return Err(InstanceError::Overtaken);
        }
    }
    Ok(())
}

fn reseal_shares(
    txn: &mut Txn<'_>,
    from: &ServiceKey,
    to: &ServiceKey,
    entropy: &dyn Entropy,
) -> Result<u64, InstanceError> {
    let mut shares = 0;
    for registry in registry::list(txn)? {
        for row in epoch::list(txn, registry.registry_id)? {
            let (id, number) = (row.registry_id, row.epoch);
            let old = SealedServiceShare(row.service_share);
            let new = old.resealed(from, to, entropy, id, number).map_err(InstanceError::Share)?;
            if !epoch::set_service_share(txn, id, number, &old.0, &new.0)? {
                return Err(InstanceError::Overtaken);
            }
            shares += 1;
        }
    }
    Ok(shares)
}
