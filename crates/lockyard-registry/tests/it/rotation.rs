//! Stories of another service key: everything goes on with it, and the old one opens nothing.

use std::sync::Arc;

use lockyard_base::RegistryId;
use lockyard_keyring::{
    InstanceKeys, SealedInstanceKeys, SealedServiceShare, ServiceKey, SlotKind, SlotSecret,
};
use lockyard_registry::instance::{self, InstanceError, Opened, Rotated};
use lockyard_store::{StoreError, epoch, instance as rows};

use crate::{
    Story, stories,
    support::{Base, World, pull, push},
};

pub(crate) const STORIES: &[Story] = stories!["rotation":
    a_rotated_instance_goes_on_and_the_old_service_key_opens_nothing,
    slots_stay_for_the_secrets_that_are_given_and_no_others,
    what_does_not_open_stops_a_rotation_and_nothing_is_changed,
    slots_that_changed_meanwhile_stop_a_rotation,
];

/// All that is sealed under the service key.
#[derive(Debug, PartialEq, Eq)]
struct Sealed {
    instance: SealedInstanceKeys,
    shares: Vec<(RegistryId, lockyard_base::Epoch, Vec<u8>)>,
    slots: Vec<lockyard_keyring::Slot>,
}

impl Sealed {
    fn read(world: &World, registries: &[RegistryId]) -> Self {
        world.store.notice_strange_writes();
        let slots = instance::slots(&world.store).unwrap();
        let read = world.store.read_blocking(|txn| {
            let mut key = |purpose| rows::instance_key(txn, purpose).map(|row| row.unwrap().sealed);
            let instance = SealedInstanceKeys { row: key("row")?, index: key("index")? };
            let mut shares = Vec::new();
            for id in registries {
                let epochs = epoch::list(txn, *id)?;
                shares.extend(epochs.into_iter().map(|row| (*id, row.epoch, row.service_share)));
            }
            Ok::<_, StoreError>((instance, shares))
        });
        let (instance, shares) = read.unwrap();
        Self { instance, shares, slots }
    }

    /// How much of it a service key opens; the slots are tried with what it would open.
    fn opened_by(&self, world: &World, key: &ServiceKey) -> usize {
        let entropy = world.entropy();
        let share = |(id, epoch, sealed): &(RegistryId, _, Vec<u8>)| {
            SealedServiceShare(sealed.clone()).resealed(key, key, &*entropy, *id, *epoch).is_ok()
        };
        usize::from(InstanceKeys::open(key, &self.instance).is_ok())
            + self.shares.iter().filter(|sealed| share(sealed)).count()
    }
}

fn opened(world: &World) -> Opened {
    instance::open(&world.store, &[(SlotKind::File, world.secret())]).unwrap()
}

fn rotate(
    world: &World,
    secrets: Vec<Vec<(SlotKind, SlotSecret)>>,
) -> Result<Rotated, InstanceError> {
    let plan = instance::plan_slots(&world.store, secrets)?;
    instance::rotate_service_key(&world.store, opened(world), &world.entropy(), &plan)
}

fn own(world: &World) -> Vec<Vec<(SlotKind, SlotSecret)>> {
    vec![vec![(SlotKind::File, world.secret()), (SlotKind::Recovery, world.secret())]]
}

async fn a_rotated_instance_goes_on_and_the_old_service_key_opens_nothing(base: Base) {
    let mut world = World::new(&base).await;
    let other = world.house.create(&"plain".parse().unwrap(), None).await.unwrap();
    let content = b"what was there before".as_slice();
    let digest = push(&world.registry(), "team/app", content).await;
    let plain = world.house.open_inside(other).unwrap();
    push(&plain, "team/app", content).await;

    let registries = [world.id, other];
    let (old, before) = (opened(&world).service, Sealed::read(&world, &registries));
    assert_eq!(before.opened_by(&world, &old), 3);
    let rotated = rotate(&world, own(&world)).unwrap();
    assert_eq!((rotated.shares, rotated.kept.len(), rotated.dropped.len()), (2, 1, 0));
    let after = Sealed::read(&world, &registries);
    assert_eq!(after.opened_by(&world, &old), 0);
    let new = opened(&world).service;
    assert_eq!(after.opened_by(&world, &new), 3);
    assert_eq!(before.opened_by(&world, &new), 0);
    assert_ne!(before.slots[0].sealed, after.slots[0].sealed);
    assert_eq!(before.slots[0].id, after.slots[0].id);

    world.restart().await;
    let plain = world.house.open_inside(other).unwrap();
    for registry in [world.registry(), plain] {
        assert_eq!(pull(&registry, "team/app", &digest).await.unwrap(), content);
        push(&registry, "team/app", b"and after").await;
    }
}

async fn slots_stay_for_the_secrets_that_are_given_and_no_others(base: Base) {
    let world = World::new(&base).await;
    let entropy = world.entropy();
    let text = SlotSecret::generate(&*entropy).dangerous_text();
    let code = || SlotSecret::from_text(&text).unwrap();
    // One secret may open two slots; both stay.
    let add = |kind, secret: &SlotSecret| {
        instance::add_slot(&world.store, &opened(&world), &*entropy, kind, secret).unwrap()
    };
    let second = add(SlotKind::File, &world.secret());
    let recovery = add(SlotKind::Recovery, &code());
    let stray = vec![(SlotKind::File, SlotSecret::generate(&*entropy))];
    let mut groups = own(&world);
    groups.push(stray);
    let plan = instance::plan_slots(&world.store, groups).unwrap();
    assert_eq!(plan.idle, [1]);
    assert_eq!(plan.lost.iter().map(|slot| slot.id).collect::<Vec<_>>(), [recovery]);

    let rotated = rotate(&world, own(&world)).unwrap();
    assert!(rotated.kept.iter().any(|(id, _)| *id == second), "{rotated:?}");
    assert_eq!(
        (rotated.kept.len(), &rotated.dropped[..]),
        (2, &[(recovery, SlotKind::Recovery)][..])
    );
    let refused = instance::open(&world.store, &[(SlotKind::Recovery, code())]);
    assert!(matches!(refused, Err(InstanceError::NoKey(_))));
    assert!(world.second_house().is_ok());
    // With nothing given there would be no slot left.
    assert!(matches!(rotate(&world, Vec::new()), Err(InstanceError::WrongKey)));
    assert!(world.second_house().is_ok());
}

async fn what_does_not_open_stops_a_rotation_and_nothing_is_changed(base: Base) {
    let world = World::new(&base).await;
    let id = world.id;
    let good = Sealed::read(&world, &[id]);
    let (_, number, share) = good.shares[0].clone();
    let mut bad = share.clone();
    bad[share.len() / 2] ^= 1;
    let put = |old: Vec<u8>, new: Vec<u8>| {
        let put = world
            .store
            .write_blocking(None, move |txn| epoch::set_service_share(txn, id, number, &old, &new));
        assert!(put.unwrap());
    };
    put(share.clone(), bad.clone());
    let damaged = Sealed::read(&world, &[id]);
    assert!(matches!(rotate(&world, own(&world)), Err(InstanceError::Share(_))));
    assert_eq!(Sealed::read(&world, &[id]), damaged);
    put(bad, share);
    assert_eq!(Sealed::read(&world, &[id]), good);
    rotate(&world, own(&world)).unwrap();
}

async fn slots_that_changed_meanwhile_stop_a_rotation(base: Base) {
    let world = World::new(&base).await;
    let plan = instance::plan_slots(&world.store, own(&world)).unwrap();
    let secret = SlotSecret::generate(&*world.entropy());
    let (entropy, kind) = (world.entropy(), SlotKind::Recovery);
    instance::add_slot(&world.store, &opened(&world), &*entropy, kind, &secret).unwrap();
    let before = Sealed::read(&world, &[world.id]);
    let entropy = Arc::clone(&entropy);
    let refused = instance::rotate_service_key(&world.store, opened(&world), &entropy, &plan);
    assert!(matches!(refused, Err(InstanceError::Overtaken)));
    assert_eq!(Sealed::read(&world, &[world.id]), before);
}
