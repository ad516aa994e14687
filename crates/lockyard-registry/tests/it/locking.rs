//! Stories of a vault that takes a registry away and gives it back.

use std::{sync::mpsc, time::Duration};

use futures_util::StreamExt as _;
use lockyard_blobs::ReadError;
use lockyard_keyring::{Denial, LockReason, ProviderError, Standing};
use lockyard_registry::{Limits, RegistryError};
use lockyard_store::{StoreError, epoch};

use crate::{
    Story, stories,
    support::{
        Base, World, append, body, by_digest, by_tag, drain, feed, noise, pull, push, push_image,
        put, repo, sha256, until_a_part_has, until_it_waits,
    },
    vault::Mood,
};

pub(crate) const STORIES: &[Story] = stories!["locking":
    a_locked_registry_says_why,
    a_lock_ends_an_upload_and_the_session_stands_where_it_stood,
    a_lock_ends_a_push_and_leaves_nothing,
    a_lock_ends_a_download_that_is_under_way,
    a_commit_that_waits_while_the_registry_locks_is_refused,
    what_was_opened_before_a_lock_stays_dead_after_the_unlock,
    a_manifest_that_was_read_before_is_not_served_after_a_lock,
    everything_is_there_after_the_unlock,
    a_locked_registry_is_frozen,
    a_registry_stays_locked_after_a_restart_until_the_vault_grants,
    an_outage_is_ridden_out_until_the_hard_stop,
    a_key_that_cannot_be_used_makes_no_registry,
    one_registry_locks_and_the_other_does_not_care,
];

async fn a_locked_registry_says_why(base: Base) {
    let world = World::new(&base).await;
    world.lock().await;
    let opened = world.house.open_inside(world.id);
    let Err(RegistryError::Locked(locked)) = opened else { panic!("{opened:?}") };
    assert_eq!(locked.registry, world.id);
    let LockReason::Denied(Denial::KeyDisabled, text) = locked.reason else {
        panic!("{:?}", locked.reason)
    };
    assert_eq!(text, "the key is disabled");
    // People still see that it is there.
    assert_eq!(world.house.list().await.unwrap().len(), 1);
    assert!(world.house.find(&"lockyard".parse().unwrap()).await.unwrap().is_some());
}

async fn a_manifest_that_was_read_before_is_not_served_after_a_lock(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (digest, ..) = push_image(&registry, "app", "latest", 1).await;
    let name = repo("app");
    let references = [by_tag("latest"), by_digest(digest)];
    for reference in &references {
        let first = registry.get_manifest(&name, reference).await.unwrap();
        assert_eq!(registry.get_manifest(&name, reference).await.unwrap(), first);
        assert_eq!(registry.stat_manifest(&name, reference).await.unwrap().digest, digest);
    }
    world.lock().await;
    for reference in &references {
        let read = registry.get_manifest(&name, reference).await;
        assert!(matches!(read, Err(RegistryError::LockedMeanwhile)), "{read:?}");
        let stat = registry.stat_manifest(&name, reference).await;
        assert!(matches!(stat, Err(RegistryError::LockedMeanwhile)), "{stat:?}");
    }
    world.unlock().await;
    let read = registry.get_manifest(&name, &references[0]).await;
    assert!(matches!(read, Err(RegistryError::LockedMeanwhile)), "old handles stay dead: {read:?}");
    assert!(world.registry().get_manifest(&name, &references[0]).await.is_ok());
}

async fn a_lock_ends_an_upload_and_the_session_stands_where_it_stood(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let name = repo("app");
    let at = registry.start_upload(&name, None).await.unwrap();
    let at = append(&registry, "app", at, b"first and ").await;
    for length in [10, 1_500_000] {
        let registry = world.registry();
        let (mut hand, sent) = feed();
        let step = registry.append_upload(&name, at.ticket, None, sent);
        let lock = async {
            hand.begun().await;
            hand.send(&noise(1, length));
            // The small one is sealed at its end only.
            until_a_part_has(&world, if length > 10 { 1_000_000 } else { 0 }).await;
            world.lock().await;
            hand.send(&noise(2, length));
            drop(hand);
        };
        let (step, ()) = tokio::join!(step, lock);
        assert!(matches!(step, Err(RegistryError::LockedMeanwhile)), "{step:?}");
        world.unlock().await;
        let stands = world.registry().upload_status(&name, at.ticket.id).await.unwrap();
        assert_eq!(stands, at);
    }
    let registry = world.registry();
    let digest = sha256(b"first and last");
    registry.finish_upload(&name, at.ticket, &digest, None, body(b"last")).await.unwrap();
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"first and last");
}

async fn a_lock_ends_a_push_and_leaves_nothing(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let content = noise(1, 3_000_000);
    let digest = sha256(&content);
    let (mut hand, sent) = feed();
    let name = repo("app");
    let pushing = registry.push_blob(&name, &digest, sent);
    let lock = async {
        hand.begun().await;
        hand.send(&content);
        until_a_part_has(&world, 2_000_000).await;
        world.lock().await;
        drop(hand);
    };
    let (pushed, ()) = tokio::join!(pushing, lock);
    assert!(matches!(pushed, Err(RegistryError::LockedMeanwhile)), "{pushed:?}");
    world.house.drain().await;
    world.unlock().await;
    let there = world.registry().stat_blob(&repo("app"), &digest).await;
    assert!(matches!(there, Err(RegistryError::BlobUnknown)), "{there:?}");
    world.wait(Limits::default().writing_lease + Duration::from_secs(1)).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_abandoned, 1);
    world.wait(Limits::default().read_grace + Duration::from_secs(1)).await;
    world.house.sweep().await.unwrap();
    assert!(world.part_files().is_empty());
}

async fn a_lock_ends_a_download_that_is_under_way(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let content = noise(1, 3_000_000);
    let digest = push(&registry, "app", &content).await;
    let mut download = registry.read_blob(&repo("app"), &digest, None).await.unwrap();
    let stalled = registry.read_blob(&repo("app"), &digest, None).await.unwrap();
    let first = download.stream.next().await.unwrap().unwrap();
    assert_eq!(&first[..], &content[..first.len()]);
    assert!(!registry.revoked().is_cancelled());
    world.lock().await;
    assert!(registry.revoked().is_cancelled(), "whoever serves it is told");
    let next = download.stream.next().await.unwrap();
    assert!(matches!(next, Err(ReadError::Locked)), "{next:?}");
    let all = drain(stalled.stream).await;
    assert!(matches!(all, Err(ReadError::Locked)), "one that nobody read ends as well");
    assert_eq!(world.house.keyring().live_ciphers(world.id), 0);
    world.unlock().await;
    assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), content);
}

async fn a_commit_that_waits_while_the_registry_locks_is_refused(base: Base) {
    let world = World::new(&base).await;
    let (registry, id) = (world.registry(), world.id);
    let (before, ..) = push_image(&registry, "app", "latest", 1).await;
    let bytes = registry.get_manifest(&repo("app"), &by_tag("latest")).await.unwrap().bytes;

    // Somebody holds the epoch's row (on SQLite, the one writer) until the story lets go.
    let (let_go, held) = mpsc::channel::<()>();
    let (told, holds) = mpsc::channel();
    let store = world.store.clone();
    let blocker = std::thread::spawn(move || {
        store.write_blocking(None, move |txn| {
            epoch::lock(txn, id, lockyard_base::Epoch::FIRST)?;
            told.send(()).unwrap();
            held.recv().unwrap();
            Ok::<_, StoreError>(())
        })
    });
    holds.recv().unwrap();
    let (name, moved) = (repo("app"), by_tag("moved"));
    let mut late = Box::pin(put(&registry, "app", &moved, &bytes));
    until_it_waits(&mut late).await;
    let mut pushed = Box::pin(registry.delete_manifest(&name, &before));
    until_it_waits(&mut pushed).await;
    world.lock().await;
    let_go.send(()).unwrap();
    blocker.join().unwrap().unwrap();
    let refused = late.await;
    assert!(matches!(refused, Err(RegistryError::LockedMeanwhile)), "{refused:?}");
    let refused = pushed.await;
    assert!(matches!(refused, Err(RegistryError::LockedMeanwhile)), "{refused:?}");
    world.unlock().await;
    let listed = world.registry().list_tags(&repo("app"), 9, None).await.unwrap();
    assert_eq!(listed.items, ["latest"]);
}

async fn what_was_opened_before_a_lock_stays_dead_after_the_unlock(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "app", b"content").await;
    world.lock().await;
    world.unlock().await;
    let name = repo("app");
    let dead = |outcome: Result<(), RegistryError>| {
        assert!(matches!(outcome, Err(RegistryError::LockedMeanwhile)), "{outcome:?}");
    };
    dead(registry.stat_blob(&name, &digest).await.map(drop));
    dead(registry.read_blob(&name, &digest, None).await.map(drop));
    dead(registry.push_blob(&name, &digest, body(b"content")).await.map(drop));
    dead(registry.start_upload(&name, None).await.map(drop));
    dead(registry.mount_blob(&repo("other"), &digest, None).await.map(drop));
    dead(registry.delete_blob(&name, &digest).await);
    dead(registry.list_referrers(&name, &digest, None, None).await.map(drop));
    assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), b"content");
}

async fn everything_is_there_after_the_unlock(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let content = noise(3, 100_000);
    let blob = push(&registry, "app", &content).await;
    let (digest, ..) = push_image(&registry, "app", "latest", 1).await;
    let at = registry.start_upload(&repo("app"), None).await.unwrap();
    let at = append(&registry, "app", at, b"half").await;
    world.lock().await;
    world.unlock().await;
    let registry = world.registry();
    assert_eq!(pull(&registry, "app", &blob).await.unwrap(), content);
    let stat = registry.stat_manifest(&repo("app"), &by_tag("latest")).await.unwrap();
    assert_eq!(stat.digest, digest);
    assert_eq!(registry.list_tags(&repo("app"), 9, None).await.unwrap().items, ["latest"]);
    assert_eq!(registry.list_repositories(9, None).await.unwrap().items, ["app"]);
    assert_eq!(registry.upload_status(&repo("app"), at.ticket.id).await.unwrap(), at);
}

async fn a_locked_registry_is_frozen(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let gone = push(&registry, "app", b"content").await;
    registry.delete_blob(&repo("app"), &gone).await.unwrap();
    let at = registry.start_upload(&repo("app"), None).await.unwrap();
    append(&registry, "app", at, b"half").await;
    let files = world.part_files();
    world.lock().await;
    world.wait(Duration::from_secs(30 * 24 * 3600)).await;
    let report = world.house.sweep().await.unwrap();
    assert_eq!(report.registries_locked, 1);
    assert_eq!((report.uploads_expired, report.parts_abandoned, report.parts_deleted), (0, 0, 0));
    assert_eq!(world.part_files(), files);
    // Expiry begins again with the unlock: nobody could go on with it meanwhile.
    world.unlock().await;
    let stands = world.registry().upload_status(&repo("app"), at.ticket.id).await.unwrap();
    assert_eq!(stands.offset, 4);
}

async fn a_registry_stays_locked_after_a_restart_until_the_vault_grants(base: Base) {
    let mut world = World::new(&base).await;
    let digest = push(&world.registry(), "app", b"content").await;
    world.vault.denies();
    world.restart().await;
    assert!(matches!(world.house.open_inside(world.id), Err(RegistryError::Locked(_))));
    world.vault.becomes(Mood::Answers(ProviderError::Unreachable("no route".to_owned())));
    world.restart().await;
    let standing = world.house.keyring().standing(world.id).unwrap();
    assert!(matches!(standing, Standing::Locked(LockReason::Unreachable(_))), "{standing:?}");
    world.unlock().await;
    assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), b"content");
}

async fn an_outage_is_ridden_out_until_the_hard_stop(base: Base) {
    let mut world = World::new(&base).await;
    let digest = push(&world.registry(), "app", b"content").await;
    world.vault.becomes(Mood::Answers(ProviderError::Unreachable("no route".to_owned())));
    for _ in 0..9 {
        world.wait(Duration::from_secs(60)).await;
        world.house.keyring().tick().await;
        assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), b"content");
    }
    let old = world.registry();
    world.wait(Duration::from_secs(60)).await;
    world.house.keyring().tick().await;
    assert!(matches!(world.house.open_inside(world.id), Err(RegistryError::Locked(_))));
    let cut = old.stat_blob(&repo("app"), &digest).await;
    assert!(matches!(cut, Err(RegistryError::LockedMeanwhile)), "{cut:?}");
}

async fn a_key_that_cannot_be_used_makes_no_registry(base: Base) {
    let world = World::new(&base).await;
    let name = "another".parse().unwrap();
    world.vault.denies();
    let refused = world.house.create(&name, Some(world.customer_key())).await;
    assert!(matches!(refused, Err(RegistryError::CustomerKey(_))), "{refused:?}");
    assert_eq!(world.house.find(&name).await.unwrap(), None);
    world.vault.becomes(Mood::Grants);
    world.house.create(&name, Some(world.customer_key())).await.unwrap();
    let again = world.house.create(&name, None).await;
    assert!(matches!(again, Err(RegistryError::RegistryExists)), "{again:?}");
    assert_eq!(world.house.list().await.unwrap().len(), 2);
}

async fn one_registry_locks_and_the_other_does_not_care(base: Base) {
    let mut world = World::new(&base).await;
    let other = world.house.create(&"another".parse().unwrap(), None).await.unwrap();
    let open = |world: &World| world.house.open_inside(other).unwrap();
    let digest = push(&world.registry(), "app", b"content").await;
    let absent = open(&world).stat_blob(&repo("app"), &digest).await;
    assert!(matches!(absent, Err(RegistryError::BlobUnknown)), "registries share nothing");
    push(&open(&world), "app", b"content").await;
    assert_eq!(world.part_files().len(), 2);
    world.lock().await;
    assert_eq!(pull(&open(&world), "app", &digest).await.unwrap(), b"content");
    world.wait(Duration::from_secs(3600)).await;
    assert_eq!(world.house.sweep().await.unwrap().registries_locked, 1);
    world.restart().await;
    assert_eq!(pull(&open(&world), "app", &digest).await.unwrap(), b"content");
}
