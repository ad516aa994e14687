//! Stories of the collection: what it takes, and what it must never take.

use std::time::Duration;

use lockyard_oci::MediaType;
use lockyard_registry::{CollectMode, CollectReport, Limits, Registry, RegistryError};

use crate::{
    Story, stories,
    support::{
        Base, World, artifact, by_tag, image, image_of, index, is_unknown_blob, noise, pull, push,
        push_image, put, repo, sha256,
    },
};

pub(crate) const STORIES: &[Story] = stories!["collect":
    what_nothing_names_and_nobody_touched_goes,
    what_a_manifest_names_stays,
    the_grace_is_kept_to_the_last,
    a_head_and_a_mount_are_touches,
    without_a_grace_it_goes_at_once,
    a_dry_run_explains_and_changes_nothing,
    a_blob_stays_for_as_long_as_one_repository_has_it,
    what_only_a_deleted_manifest_named_goes,
    edges_that_an_attacker_deleted_cost_nothing,
    a_manifest_that_does_not_open_keeps_its_repository,
    a_locked_registry_is_frozen,
    grace_and_expiry_start_again_when_access_comes_back,
    more_than_one_batch_goes_at_once,
    two_collections_at_once_take_what_one_takes,
];

const SECOND: Duration = Duration::from_secs(1);

fn no_grace() -> Limits {
    Limits { grace: Duration::ZERO, read_grace: Duration::ZERO, ..Limits::default() }
}

async fn collect(world: &World) -> CollectReport {
    let report = world.house.collect(CollectMode::Act).await.unwrap();
    assert!(report.explanations.is_empty(), "{report:?}");
    report
}

async fn is_gone(registry: &Registry, name: &str, content: &[u8]) -> bool {
    is_unknown_blob(&pull(registry, name, &sha256(content)).await)
}

async fn what_nothing_names_and_nobody_touched_goes(base: Base) {
    let mut world = World::new(&base).await;
    let limits = Limits::default();
    push(&world.registry(), "app", b"garbage").await;
    push_image(&world.registry(), "app", "latest", 1).await;
    world.wait(limits.grace + SECOND).await;
    let report = collect(&world).await;
    assert_eq!(report, CollectReport { links: 1, blobs: 1, ..CollectReport::default() });
    assert!(is_gone(&world.registry(), "app", b"garbage").await);
    assert_eq!(world.part_files().len(), 3, "bytes stay for readers");
    world.wait(limits.read_grace + SECOND).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 1);
    assert_eq!(world.part_files().len(), 2);
    assert_eq!(collect(&world).await, CollectReport::default());
}

async fn what_a_manifest_names_stays(base: Base) {
    let mut world = World::limited(&base, no_grace()).await;
    let registry = world.registry();
    let (image_digest, config, layer) = push_image(&registry, "app", "latest", 1).await;
    let note = push(&registry, "app", b"{}").await;
    let referrer = artifact(&note, "application/note", "1", &image_digest);
    put(&registry, "app", &by_tag("note"), &referrer).await.unwrap();
    // A blob as the child of an index, as buildkit's cache has it.
    let cached = push(&registry, "app", b"cached layer").await;
    let children = [
        (MediaType::OCI_MANIFEST, image_digest),
        (MediaType::OCI_CONFIG, cached),
        (MediaType::OCI_MANIFEST, sha256(b"absent")),
    ];
    put(&registry, "app", &by_tag("index"), &index(&children)).await.unwrap();
    // A foreign layer need not be here, but somebody pushed it.
    let foreign = push(&registry, "app", b"foreign layer").await;
    let foreign_type = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    let with_foreign = image_of(foreign_type, &config, &[foreign], None);
    put(&registry, "app", &by_tag("foreign"), &with_foreign).await.unwrap();
    for _ in 0..3 {
        world.wait(SECOND * 100_000).await;
        assert_eq!(collect(&world).await, CollectReport::default());
        world.house.sweep().await.unwrap();
    }
    let registry = world.registry();
    for blob in [config, layer, note, cached, foreign] {
        assert!(pull(&registry, "app", &blob).await.is_ok());
    }
    for tag in ["latest", "note", "index", "foreign"] {
        registry.get_manifest(&repo("app"), &by_tag(tag)).await.unwrap();
    }
}

async fn the_grace_is_kept_to_the_last(base: Base) {
    let mut world = World::new(&base).await;
    let grace = Limits::default().grace;
    push(&world.registry(), "app", b"garbage").await;
    // PostgreSQL's clock runs on while a story is told: not to the second.
    world.wait(grace * 59 / 60).await;
    assert_eq!(collect(&world).await, CollectReport::default());
    world.wait(grace / 60 + SECOND).await;
    assert_eq!(collect(&world).await.links, 1);
}

async fn a_head_and_a_mount_are_touches(base: Base) {
    let mut world = World::new(&base).await;
    let grace = Limits::default().grace;
    let digest = push(&world.registry(), "app", b"content").await;
    for _ in 0..4 {
        world.wait(grace * 2 / 3).await;
        assert_eq!(collect(&world).await, CollectReport::default());
        world.registry().stat_blob(&repo("app"), &digest).await.unwrap();
    }
    world.wait(grace * 2 / 3).await;
    let registry = world.registry();
    assert!(registry.mount_blob(&repo("other"), &digest, Some(&repo("app"))).await.unwrap());
    world.wait(grace * 2 / 3).await;
    let report = collect(&world).await;
    assert_eq!((report.links, report.blobs), (1, 0), "the source goes, the new one stays");
    let registry = world.registry();
    assert!(is_gone(&registry, "app", b"content").await);
    assert_eq!(pull(&registry, "other", &digest).await.unwrap(), b"content");
}

async fn without_a_grace_it_goes_at_once(base: Base) {
    let mut world = World::limited(&base, no_grace()).await;
    push(&world.registry(), "app", b"garbage").await;
    world.wait(Duration::from_millis(1)).await;
    let report = collect(&world).await;
    assert_eq!((report.links, report.blobs), (1, 1));
    world.wait(Duration::from_millis(1)).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 1);
    assert!(world.part_files().is_empty());
    push(&world.registry(), "app", b"garbage").await;
    assert!(!is_gone(&world.registry(), "app", b"garbage").await, "it may come again");
}

async fn a_dry_run_explains_and_changes_nothing(base: Base) {
    let mut world = World::new(&base).await;
    let digest = push(&world.registry(), "app", b"garbage").await;
    push_image(&world.registry(), "app", "latest", 1).await;
    world.wait(Limits::default().grace * 2).await;
    for _ in 0..2 {
        let report = world.house.collect(CollectMode::Explain).await.unwrap();
        assert_eq!((report.links, report.kept), (1, 0));
        let lines = report.explanations;
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(&format!("app@{digest}: no manifest names it")), "{lines:?}");
    }
    assert!(!is_gone(&world.registry(), "app", b"garbage").await);
    assert_eq!(collect(&world).await.links, 1);
}

async fn a_blob_stays_for_as_long_as_one_repository_has_it(base: Base) {
    let mut world = World::limited(&base, no_grace()).await;
    let registry = world.registry();
    let (_, _, layer) = push_image(&registry, "app", "latest", 1).await;
    assert!(registry.mount_blob(&repo("other"), &layer, Some(&repo("app"))).await.unwrap());
    world.wait(SECOND).await;
    let report = collect(&world).await;
    assert_eq!((report.links, report.blobs), (1, 0), "the other repository's link");
    let registry = world.registry();
    assert!(is_unknown_blob(&pull(&registry, "other", &layer).await));
    assert!(pull(&registry, "app", &layer).await.is_ok());
}

async fn what_only_a_deleted_manifest_named_goes(base: Base) {
    let mut world = World::limited(&base, no_grace()).await;
    let registry = world.registry();
    let shared = push(&registry, "app", b"shared").await;
    let (one, two) = (push(&registry, "app", b"one").await, push(&registry, "app", b"two").await);
    let first = put(&registry, "app", &by_tag("one"), &image(&shared, &[one])).await.unwrap();
    put(&registry, "app", &by_tag("two"), &image(&shared, &[two])).await.unwrap();
    registry.delete_manifest(&repo("app"), &first.digest).await.unwrap();
    world.wait(SECOND).await;
    let report = collect(&world).await;
    assert_eq!((report.links, report.blobs), (1, 1));
    let registry = world.registry();
    assert!(is_gone(&registry, "app", b"one").await);
    for blob in [shared, two] {
        assert!(pull(&registry, "app", &blob).await.is_ok());
    }
}

async fn edges_that_an_attacker_deleted_cost_nothing(base: Base) {
    for sql in ["DELETE FROM edge", "UPDATE edge SET kind = 'subject' WHERE kind = 'layer'"] {
        let mut world = World::limited(&base, no_grace()).await;
        let registry = world.registry();
        let (_, config, layer) = push_image(&registry, "app", "latest", 1).await;
        push(&registry, "app", b"garbage").await;
        world.tamper(sql);
        world.wait(SECOND).await;
        let report = collect(&world).await;
        assert_eq!((report.links, report.blobs), (1, 1), "{sql}");
        assert!(report.kept > 0, "{sql}");
        let registry = world.registry();
        for blob in [config, layer] {
            assert!(pull(&registry, "app", &blob).await.is_ok(), "{sql}");
        }
        assert!(is_gone(&registry, "app", b"garbage").await);
    }
}

async fn a_manifest_that_does_not_open_keeps_its_repository(base: Base) {
    let mut world = World::limited(&base, no_grace()).await;
    let registry = world.registry();
    let (_, config, layer) = push_image(&registry, "app", "latest", 1).await;
    push(&registry, "app", b"garbage").await;
    push(&registry, "other", b"garbage too").await;
    world.tamper("DELETE FROM edge");
    world.tamper("UPDATE manifest SET content = sealed");
    world.wait(SECOND).await;
    let report = collect(&world).await;
    assert_eq!((report.links, report.blobs, report.kept), (1, 1, 3));
    let registry = world.registry();
    for blob in [config, layer, sha256(b"garbage")] {
        assert!(pull(&registry, "app", &blob).await.is_ok());
    }
    assert!(is_gone(&registry, "other", b"garbage too").await);
}

async fn a_locked_registry_is_frozen(base: Base) {
    let mut world = World::limited(&base, no_grace()).await;
    push(&world.registry(), "app", b"garbage").await;
    world.lock().await;
    world.clock.advance(SECOND);
    world.store.advance_database_clock(SECOND);
    for mode in [CollectMode::Act, CollectMode::Explain] {
        let report = world.house.collect(mode).await.unwrap();
        let frozen = CollectReport { registries_locked: 1, ..CollectReport::default() };
        assert_eq!(report, frozen);
    }
    world.unlock().await;
    assert!(!is_gone(&world.registry(), "app", b"garbage").await);
    world.wait(SECOND).await;
    assert_eq!(collect(&world).await.links, 1);
}

async fn grace_and_expiry_start_again_when_access_comes_back(base: Base) {
    let mut world = World::new(&base).await;
    let limits = Limits::default();
    push(&world.registry(), "app", b"garbage").await;
    let upload = world.registry().start_upload(&repo("app"), None).await.unwrap().ticket.id;
    world.lock().await;
    let locked = limits.grace + limits.upload_idle_max + SECOND;
    world.clock.advance(locked);
    world.store.advance_database_clock(locked);
    world.unlock().await;
    let left_alone = CollectReport { registries_locked: 1, ..CollectReport::default() };
    assert_eq!(collect(&world).await, left_alone);
    assert_eq!(world.house.sweep().await.unwrap().uploads_expired, 0);
    world.registry().upload_status(&repo("app"), upload).await.unwrap();
    world.wait(limits.grace + SECOND).await;
    assert_eq!(collect(&world).await.links, 1);
    world.wait(limits.upload_idle_max).await;
    assert_eq!(world.house.sweep().await.unwrap().uploads_expired, 1);
}

async fn more_than_one_batch_goes_at_once(base: Base) {
    let mut world = World::limited(&base, no_grace()).await;
    let registry = world.registry();
    for n in 0..300_u32 {
        push(&registry, "app", &n.to_be_bytes()).await;
    }
    push_image(&registry, "app", "latest", 1).await;
    world.wait(SECOND).await;
    let explained = world.house.collect(CollectMode::Explain).await.unwrap();
    assert_eq!((explained.links, explained.explanations.len()), (300, 300));
    let report = collect(&world).await;
    assert_eq!((report.links, report.blobs), (300, 300));
    assert_eq!(collect(&world).await, CollectReport::default());
}

async fn two_collections_at_once_take_what_one_takes(base: Base) {
    let mut world = World::limited(&base, no_grace()).await;
    let registry = world.registry();
    for seed in 0..40 {
        push(&registry, "app", &noise(seed, 20)).await;
    }
    let (_, config, layer) = push_image(&registry, "app", "latest", 99).await;
    world.wait(SECOND).await;
    let (one, other) = tokio::join!(collect(&world), collect(&world));
    assert_eq!((one.links + other.links, one.blobs + other.blobs), (40, 40));
    let registry = world.registry();
    for blob in [config, layer] {
        let read: Result<Vec<u8>, RegistryError> = pull(&registry, "app", &blob).await;
        assert!(read.is_ok());
    }
}
