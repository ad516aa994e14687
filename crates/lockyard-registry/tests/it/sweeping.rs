//! Stories of the sweep: what it takes, and what it must never take.

use std::time::Duration;

use lockyard_registry::{Limits, RegistryError, SweepReport};

use crate::{
    Story, stories,
    support::{
        Base, World, append, body, by_tag, drain, feed, noise, pull, push, push_image, repo, sha256,
    },
};

pub(crate) const STORIES: &[Story] = stories!["sweeping":
    there_is_nothing_to_sweep_where_nothing_died,
    an_upload_that_nobody_touches_expires_and_its_parts_die,
    a_step_keeps_an_upload_alive,
    a_part_whose_writer_went_away_dies,
    the_bytes_of_a_dead_part_stay_for_its_readers,
    more_uploads_than_one_batch_expire_at_once,
    parts_that_were_announced_ahead_and_not_used_are_swept,
    no_more_parts_are_announced_at_once_than_may_be,
    two_sweeps_at_once_do_what_one_does,
    a_dead_part_without_a_file_is_swept_all_the_same,
];

const SECOND: Duration = Duration::from_secs(1);

async fn there_is_nothing_to_sweep_where_nothing_died(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let blob = push(&registry, "app", b"unnamed by any manifest").await;
    let (digest, config, layer) = push_image(&registry, "app", "latest", 1).await;
    for _ in 0..3 {
        world.wait(Duration::from_secs(365 * 24 * 3600)).await;
        assert_eq!(world.house.sweep().await.unwrap(), SweepReport::default());
    }
    let registry = world.registry();
    for blob in [blob, config, layer] {
        assert!(pull(&registry, "app", &blob).await.is_ok());
    }
    let stat = registry.stat_manifest(&repo("app"), &by_tag("latest")).await.unwrap();
    assert_eq!(stat.digest, digest);
}

async fn an_upload_that_nobody_touches_expires_and_its_parts_die(base: Base) {
    let limits = Limits { parts_ahead_max: 1, ..Limits::default() };
    let mut world = World::limited(&base, limits).await;
    let registry = world.registry();
    let name = repo("app");
    let empty = registry.start_upload(&name, None).await.unwrap();
    let at = registry.start_upload(&name, None).await.unwrap();
    let at = append(&registry, "app", at, b"first").await;
    let at = append(&registry, "app", at, b"second").await;
    world.wait(limits.upload_idle_max.saturating_sub(SECOND)).await;
    assert_eq!(world.house.sweep().await.unwrap(), SweepReport::default());
    registry.upload_status(&name, at.ticket.id).await.unwrap();
    world.wait(SECOND * 2).await;
    // Even before a sweep.
    for over in [empty, at] {
        let asked = registry.upload_status(&name, over.ticket.id).await;
        assert!(matches!(asked, Err(RegistryError::UploadUnknown)), "{asked:?}");
    }
    assert_eq!(world.house.sweep().await.unwrap().uploads_expired, 2);
    assert_eq!(world.part_files().len(), 2);
    world.wait(limits.read_grace + SECOND).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 2);
    assert!(world.part_files().is_empty());
    assert_eq!(world.house.sweep().await.unwrap(), SweepReport::default());
}

async fn a_step_keeps_an_upload_alive(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let mut at = registry.start_upload(&repo("app"), None).await.unwrap();
    for piece in [b"a", b"b", b"c"] {
        world.wait(Limits::default().upload_idle_max.saturating_sub(SECOND)).await;
        assert_eq!(world.house.sweep().await.unwrap(), SweepReport::default());
        at = append(&registry, "app", at, piece).await;
    }
    let digest = sha256(b"abc");
    registry.finish_upload(&repo("app"), at.ticket, &digest, None, body(b"")).await.unwrap();
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"abc");
}

async fn a_part_whose_writer_went_away_dies(base: Base) {
    let mut world = World::new(&base).await;
    let limits = Limits::default();
    let registry = world.registry();
    let name = repo("app");
    let digest = sha256(&noise(1, 200_000));
    let (mut hand, sent) = feed();
    let pushing = registry.push_blob(&name, &digest, sent);
    let meanwhile = async {
        hand.begun().await;
        hand.send(&noise(1, 100_000));
        // Nothing renews the lease while the clock is wound by hand; this is how a crash looks.
        world.wait(limits.writing_lease + SECOND).await;
        // The part is announced before its first byte, but the story may be faster than that.
        while world.house.sweep().await.unwrap().parts_abandoned == 0 {
            world.wait(limits.writing_lease + SECOND).await;
            tokio::task::yield_now().await;
        }
        hand.send(&noise(1, 200_000)[100_000..]);
        drop(hand);
    };
    let (pushed, ()) = tokio::join!(pushing, meanwhile);
    assert!(pushed.is_err(), "its part was given up");
    let there = registry.stat_blob(&name, &digest).await;
    assert!(matches!(there, Err(RegistryError::BlobUnknown)), "{there:?}");
    world.wait(limits.read_grace + SECOND).await;
    world.house.sweep().await.unwrap();
    assert!(world.part_files().is_empty());
    push(&registry, "app", &noise(1, 200_000)).await;
}

async fn the_bytes_of_a_dead_part_stay_for_its_readers(base: Base) {
    let mut world = World::new(&base).await;
    let limits = Limits::default();
    let registry = world.registry();
    let content = noise(1, 2_000_000);
    let digest = push(&registry, "app", &content).await;
    let early = registry.read_blob(&repo("app"), &digest, None).await.unwrap();
    registry.delete_blob(&repo("app"), &digest).await.unwrap();
    world.wait(limits.read_grace.saturating_sub(SECOND)).await;
    assert_eq!(world.house.sweep().await.unwrap(), SweepReport::default());
    assert_eq!(world.part_files().len(), 1);
    world.wait(SECOND * 2).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 1);
    assert!(world.part_files().is_empty());
    // Its file is open, so this reader ends well even so.
    assert_eq!(drain(early.stream).await.unwrap(), content);
}

async fn more_uploads_than_one_batch_expire_at_once(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let name = repo("app");
    let starts = (0..600).map(|_| registry.start_upload(&name, None));
    for started in futures_util::future::join_all(starts).await {
        started.unwrap();
    }
    world.wait(Limits::default().upload_idle_max + SECOND).await;
    assert_eq!(world.house.sweep().await.unwrap().uploads_expired, 600);
}

async fn parts_that_were_announced_ahead_and_not_used_are_swept(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    // Announced one, two and four at a time.
    let mut pushed = Vec::new();
    for seed in 0..4 {
        pushed.push(push(&registry, "app", &noise(seed, 10)).await);
    }
    world.wait(Limits::default().writing_lease + SECOND).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_abandoned, 3);
    // Those that are left are not used any more.
    pushed.push(push(&registry, "app", &noise(4, 10)).await);
    world.wait(Limits::default().read_grace + SECOND).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 3);
    for digest in pushed {
        assert!(pull(&registry, "app", &digest).await.is_ok());
    }
}

async fn no_more_parts_are_announced_at_once_than_may_be(base: Base) {
    let limits = Limits { parts_ahead_max: 3, ..Limits::default() };
    let mut world = World::limited(&base, limits).await;
    let registry = world.registry();
    // One, two, three and three: the last of the ninth is left.
    for seed in 0..8 {
        push(&registry, "app", &noise(seed, 10)).await;
    }
    world.wait(limits.writing_lease + SECOND).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_abandoned, 1);
}

async fn two_sweeps_at_once_do_what_one_does(base: Base) {
    let limits = Limits { parts_ahead_max: 1, ..Limits::default() };
    let mut world = World::limited(&base, limits).await;
    let registry = world.registry();
    for seed in 0..20 {
        let at = registry.start_upload(&repo("app"), None).await.unwrap();
        append(&registry, "app", at, &noise(seed, 10)).await;
    }
    let kept = push(&registry, "app", b"kept").await;
    world.wait(Limits::default().upload_idle_max + SECOND).await;
    let (one, two) = tokio::join!(world.house.sweep(), world.house.sweep());
    assert_eq!(one.unwrap().uploads_expired + two.unwrap().uploads_expired, 20);
    world.wait(Limits::default().read_grace + SECOND).await;
    let (one, two) = tokio::join!(world.house.sweep(), world.house.sweep());
    assert_eq!(one.unwrap().parts_deleted + two.unwrap().parts_deleted, 20);
    assert_eq!(world.part_files().len(), 1);
    assert_eq!(pull(&registry, "app", &kept).await.unwrap(), b"kept");
}

async fn a_dead_part_without_a_file_is_swept_all_the_same(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "app", b"content").await;
    registry.delete_blob(&repo("app"), &digest).await.unwrap();
    // A crash between the two halves of a sweep leaves a row without bytes.
    std::fs::remove_file(&world.part_files()[0]).unwrap();
    world.wait(Limits::default().read_grace + SECOND).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 1);
}
