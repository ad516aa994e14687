//! Stories of blobs that are linked instead of uploaded.

use lockyard_registry::RegistryError;

use crate::{
    Story, stories,
    support::{Base, World, is_unknown_blob, pull, push, repo, sha256},
};

pub(crate) const STORIES: &[Story] = stories!["mounts":
    a_blob_is_mounted_from_the_repository_that_has_it,
    a_blob_is_mounted_from_wherever_it_is,
    what_is_not_there_is_not_mounted,
    a_mounted_blob_outlives_its_source,
    a_mount_into_the_same_repository_changes_nothing,
];

async fn a_blob_is_mounted_from_the_repository_that_has_it(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "source", b"content").await;
    assert!(registry.mount_blob(&repo("app"), &digest, Some(&repo("source"))).await.unwrap());
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"content");
    assert_eq!(world.part_files().len(), 1);
}

async fn a_blob_is_mounted_from_wherever_it_is(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "source", b"content").await;
    assert!(registry.mount_blob(&repo("app"), &digest, None).await.unwrap());
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"content");
}

async fn what_is_not_there_is_not_mounted(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "source", b"content").await;
    push(&registry, "empty", b"something else").await;
    for from in ["empty", "nowhere"] {
        assert!(!registry.mount_blob(&repo("app"), &digest, Some(&repo(from))).await.unwrap());
    }
    let other = sha256(b"never pushed");
    assert!(!registry.mount_blob(&repo("app"), &other, None).await.unwrap());
    assert!(!registry.mount_blob(&repo("app"), &other, Some(&repo("source"))).await.unwrap());
    assert!(is_unknown_blob(&pull(&registry, "app", &digest).await));
    let listed = registry.list_tags(&repo("app"), 9, None).await;
    assert!(matches!(listed, Err(RegistryError::NameUnknown)), "no repository was made");

    registry.delete_blob(&repo("source"), &digest).await.unwrap();
    assert!(!registry.mount_blob(&repo("app"), &digest, None).await.unwrap(), "it is gone");
}

async fn a_mounted_blob_outlives_its_source(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "source", b"content").await;
    assert!(registry.mount_blob(&repo("app"), &digest, Some(&repo("source"))).await.unwrap());
    registry.delete_blob(&repo("source"), &digest).await.unwrap();
    world.wait(std::time::Duration::from_secs(7 * 24 * 3600)).await;
    world.house.sweep().await.unwrap();
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"content");
}

async fn a_mount_into_the_same_repository_changes_nothing(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "app", b"content").await;
    assert!(registry.mount_blob(&repo("app"), &digest, Some(&repo("app"))).await.unwrap());
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"content");
    registry.delete_blob(&repo("app"), &digest).await.unwrap();
    assert!(is_unknown_blob(&pull(&registry, "app", &digest).await));
}
