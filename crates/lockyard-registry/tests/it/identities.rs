//! Another identity for a registry: its shares are wrapped anew and its content stays as it is.

use lockyard_keyring::{Denial, Identity, ProviderError, Standing};
use lockyard_registry::RegistryError;
use lockyard_store::wrap;

use crate::{
    Story, stories,
    support::{Base, World, pull, push},
    vault::Mood,
};

pub(crate) const STORIES: &[Story] = stories!["identities":
    a_registry_acts_as_another_identity_and_its_content_stays,
    what_cannot_be_unwrapped_is_not_wrapped_anew,
    a_registry_without_a_customer_key_acts_as_nobody,
];

const OTHER: Identity = Identity::from_bytes([0x42; 16]);

fn wraps(world: &World) -> Vec<wrap::WrapRow> {
    world.store.notice_strange_writes();
    let id = world.id;
    world.store.read_blocking(|txn| wrap::list(txn, id)).unwrap()
}

async fn a_registry_acts_as_another_identity_and_its_content_stays(base: Base) {
    let mut world = World::new(&base).await;
    let content = b"what was there before".as_slice();
    let digest = push(&world.registry(), "team/app", content).await;
    let before = wraps(&world);
    let standing = world.house.assign_identity(world.id, OTHER).await.unwrap();
    assert_eq!(standing, Standing::Unlocked);
    let summary = &world.house.list().await.unwrap()[0];
    assert_eq!(summary.identity, Some(OTHER));
    assert_eq!(summary.customer_key, Some(world.customer_key().key));
    // The new wrap is the only one, and content was not touched.
    let after = wraps(&world);
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before[0].wrap_id, after[0].wrap_id);
    assert_eq!(after[0].state, wrap::WrapState::Current);
    world.restart().await;
    assert_eq!(pull(&world.registry(), "team/app", &digest).await.unwrap(), content);
    // It is the new identity that is asked for now.
    let mine = world.customer_key().identity;
    world.vault.becomes(Mood::Knows(OTHER));
    world.house.keyring().changed().await;
    assert_eq!(pull(&world.registry(), "team/app", &digest).await.unwrap(), content);
    world.vault.becomes(Mood::Knows(mine));
    world.house.keyring().changed().await;
    assert!(world.house.open_inside(world.id).is_err());
}

async fn what_cannot_be_unwrapped_is_not_wrapped_anew(base: Base) {
    let world = World::new(&base).await;
    let before = wraps(&world);
    world.vault.denies();
    let refused = world.house.assign_identity(world.id, OTHER).await;
    let denied = ProviderError::Denied(Denial::KeyDisabled, "the key is disabled".to_owned());
    assert!(
        matches!(&refused, Err(RegistryError::CustomerKey(error)) if *error == denied),
        "{refused:?}"
    );
    assert_eq!(wraps(&world), before);
    // An identity that is gone is no loss if the new one may unwrap.
    world.vault.becomes(Mood::Knows(OTHER));
    world.house.keyring().changed().await;
    assert!(world.house.open_inside(world.id).is_err());
    let standing = world.house.assign_identity(world.id, OTHER).await.unwrap();
    assert_eq!(standing, Standing::Unlocked);
    // A share that is not the registry's own proves nothing, whoever unwrapped it.
    let before = wraps(&world);
    world.vault.becomes(Mood::Lies);
    let refused = world.house.assign_identity(world.id, OTHER).await;
    assert!(
        matches!(refused, Err(RegistryError::CustomerKey(ProviderError::Damaged(_)))),
        "{refused:?}"
    );
    assert_eq!(wraps(&world), before);
}

async fn a_registry_without_a_customer_key_acts_as_nobody(base: Base) {
    let world = World::with(&base, lockyard_registry::Limits::default(), false).await;
    let refused = world.house.assign_identity(world.id, OTHER).await;
    assert!(matches!(refused, Err(RegistryError::ServiceManaged)), "{refused:?}");
    assert_eq!(world.house.list().await.unwrap()[0].identity, None);
}
