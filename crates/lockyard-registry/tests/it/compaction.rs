//! Stories of the compaction: many small parts become one, and nobody notices.

use std::time::Duration;

use lockyard_registry::{CompactReport, Limits, Registry};

use crate::{
    Story, stories,
    support::{Base, World, append, body, noise, pull, push, repo, sha256},
};

pub(crate) const STORIES: &[Story] = stories!["compaction":
    many_small_parts_become_one_and_the_content_stays,
    few_parts_and_large_ones_are_left_alone,
    a_reader_of_the_old_parts_goes_on,
    damage_is_not_copied_into_a_sound_part,
    a_locked_registry_is_not_compacted,
    two_compactions_at_once_do_the_work_of_one,
];

fn eager() -> Limits {
    Limits { compact_parts_min: 4, compact_part_bytes: 1 << 20, ..Limits::default() }
}

/// Uploads `content` in pieces of `size` bytes.
async fn scatter(registry: &Registry, content: &[u8], size: usize) -> lockyard_oci::Digest {
    let mut at = registry.start_upload(&repo("app"), None).await.unwrap();
    for piece in content.chunks(size) {
        at = append(registry, "app", at, piece).await;
    }
    let digest = sha256(content);
    registry.finish_upload(&repo("app"), at.ticket, &digest, None, body(b"")).await.unwrap()
}

async fn many_small_parts_become_one_and_the_content_stays(base: Base) {
    let mut world = World::limited(&base, eager()).await;
    let content = noise(1, 200_000);
    let digest = scatter(&world.registry(), &content, 30_000).await;
    assert_eq!(world.part_files().len(), 7);
    let report = world.house.compact().await.unwrap();
    assert_eq!(report, CompactReport { blobs: 1, parts: 7, ..CompactReport::default() });
    assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), content);
    world.wait(Limits::default().read_grace + Duration::from_secs(1)).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 7);
    assert_eq!(world.part_files().len(), 1);
    assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), content);
    assert_eq!(world.house.compact().await.unwrap(), CompactReport::default());
}

async fn few_parts_and_large_ones_are_left_alone(base: Base) {
    let limits = Limits { compact_parts_min: 4, compact_part_bytes: 1000, ..Limits::default() };
    let world = World::limited(&base, limits).await;
    scatter(&world.registry(), &noise(1, 300), 100).await;
    scatter(&world.registry(), &noise(2, 4000), 1000).await;
    push(&world.registry(), "app", &noise(3, 50)).await;
    assert_eq!(world.house.compact().await.unwrap(), CompactReport::default());
    scatter(&world.registry(), &noise(4, 3996), 999).await;
    assert_eq!(world.house.compact().await.unwrap().blobs, 1);
}

async fn a_reader_of_the_old_parts_goes_on(base: Base) {
    use futures_util::StreamExt as _;
    let world = World::limited(&base, eager()).await;
    let content = noise(1, 2_000_000);
    let digest = scatter(&world.registry(), &content, 300_000).await;
    let mut reading = world.registry().read_blob(&repo("app"), &digest, None).await.unwrap();
    let mut read = reading.stream.next().await.unwrap().unwrap().to_vec();
    assert_eq!(world.house.compact().await.unwrap().blobs, 1);
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 0, "readers have their grace");
    while let Some(piece) = reading.stream.next().await {
        read.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(read, content);
}

async fn damage_is_not_copied_into_a_sound_part(base: Base) {
    let world = World::limited(&base, eager()).await;
    let digest = scatter(&world.registry(), &noise(1, 2000), 400).await;
    let damaged = world.part_files().pop().expect("five parts");
    let mut bytes = std::fs::read(&damaged).unwrap();
    *bytes.last_mut().expect("not empty") ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    assert_eq!(world.house.compact().await.unwrap(), CompactReport::default());
    let found = pull(&world.registry(), "app", &digest).await;
    assert!(found.is_err(), "damage is damage still");
}

async fn a_locked_registry_is_not_compacted(base: Base) {
    let world = World::limited(&base, eager()).await;
    scatter(&world.registry(), &noise(1, 500), 100).await;
    world.lock().await;
    let frozen = CompactReport { registries_locked: 1, ..CompactReport::default() };
    assert_eq!(world.house.compact().await.unwrap(), frozen);
    world.unlock().await;
    assert_eq!(world.house.compact().await.unwrap().blobs, 1);
}

async fn two_compactions_at_once_do_the_work_of_one(base: Base) {
    let world = World::limited(&base, eager()).await;
    let digest = scatter(&world.registry(), &noise(1, 50_000), 9_000).await;
    let (one, other) = tokio::join!(world.house.compact(), world.house.compact());
    let (one, other): (CompactReport, CompactReport) = (one.unwrap(), other.unwrap());
    assert_eq!(one.blobs + other.blobs, 1);
    assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), noise(1, 50_000));
}
