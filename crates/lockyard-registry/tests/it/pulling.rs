//! Stories of blobs pushed in one piece and pulled again.

use lockyard_oci::{Algorithm, ByteRange, Digest};
use lockyard_registry::{Caller, Limits, LoginNeeded, RegistryError};

use crate::{
    Story, stories,
    support::{
        Base, World, body, cut_body, drain, is_unknown_blob, noise, pull, push, repo, sha256,
    },
};

pub(crate) const STORIES: &[Story] = stories!["pulling":
    what_was_pushed_in_one_piece_comes_back,
    content_of_every_size_around_a_segment_comes_back,
    an_empty_blob_is_a_blob,
    a_sha512_digest_is_as_good,
    ranges_give_exactly_their_bytes,
    a_range_beyond_the_end_is_refused,
    another_digest_than_said_is_refused_and_told,
    a_body_that_is_cut_leaves_nothing,
    a_blob_of_the_largest_size_is_taken_and_one_byte_more_is_not,
    the_same_content_twice_is_kept_once,
    the_same_content_is_pushed_by_many_at_once,
    a_blob_is_seen_only_where_it_was_pushed,
    a_deleted_blob_is_gone_from_its_repository_alone,
    a_deleted_blob_can_be_pushed_again,
    nobody_in_particular_may_do_nothing,
    a_registry_without_a_customer_key_works_too,
];

async fn what_was_pushed_in_one_piece_comes_back(base: Base) {
    let mut world = World::new(&base).await;
    let content = noise(1, 500_000);
    let digest = push(&world.registry(), "app", &content).await;
    for _ in 0..2 {
        let registry = world.registry();
        assert_eq!(pull(&registry, "app", &digest).await.unwrap(), content);
        let stat = registry.stat_blob(&repo("app"), &digest).await.unwrap();
        assert_eq!((stat.digest, stat.length), (digest, 500_000));
        world.restart().await;
    }
}

async fn content_of_every_size_around_a_segment_comes_back(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    // A segment has 64 KiB, of which 16 bytes are its tag and, in the first, 40 the header.
    let (first, segment) = (65_536 - 56, 65_536 - 16);
    for edge in [1, first, first + segment, 65_536] {
        for length in [edge - 1, edge, edge + 1] {
            let content = noise(length as u64, length);
            let digest = push(&registry, "app", &content).await;
            assert_eq!(pull(&registry, "app", &digest).await.unwrap(), content, "{length} bytes");
        }
    }
}

async fn an_empty_blob_is_a_blob(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "app", b"").await;
    assert_eq!(registry.stat_blob(&repo("app"), &digest).await.unwrap().length, 0);
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"");
    let range = ByteRange::parse("bytes=0-");
    let content = registry.read_blob(&repo("app"), &digest, range).await.unwrap();
    assert_eq!((content.length, content.range), (0, 0..0));
    assert_eq!(drain(content.stream).await.unwrap(), b"");
    assert!(world.part_files().is_empty(), "nothing needs no file");
}

async fn a_sha512_digest_is_as_good(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let content = noise(2, 100_000);
    let digest = Digest::of(Algorithm::Sha512, &content);
    registry.push_blob(&repo("app"), &digest, body(&content)).await.unwrap();
    assert_eq!(pull(&registry, "app", &digest).await.unwrap(), content);
    let other = pull(&registry, "app", &sha256(&content)).await;
    assert!(is_unknown_blob(&other), "the same content under another name was not pushed");
}

async fn ranges_give_exactly_their_bytes(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let content = noise(3, 300_000);
    let digest = push(&registry, "app", &content).await;
    for (header, range) in [
        ("bytes=0-0", 0..1),
        ("bytes=0-65479", 0..65_480),
        ("bytes=65479-65480", 65_479..65_481),
        ("bytes=65480-65480", 65_480..65_481),
        ("bytes=100000-199999", 100_000..200_000),
        ("bytes=299999-", 299_999..300_000),
        ("bytes=-1", 299_999..300_000),
        ("bytes=-400000", 0..300_000),
        ("bytes=250000-999999999", 250_000..300_000),
    ] {
        let asked = ByteRange::parse(header);
        let found = registry.read_blob(&repo("app"), &digest, asked).await.unwrap();
        let expected = &content[range.clone()];
        assert_eq!(found.length, 300_000);
        assert_eq!(found.range, range.start as u64..range.end as u64, "{header}");
        assert_eq!(drain(found.stream).await.unwrap(), expected, "{header}");
    }
}

async fn a_range_beyond_the_end_is_refused(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "app", b"ten bytes.").await;
    for header in ["bytes=10-", "bytes=10-20", "bytes=-0"] {
        let asked = ByteRange::parse(header);
        let Err(error) = registry.read_blob(&repo("app"), &digest, asked).await else {
            panic!("{header} lies beyond the end");
        };
        let RegistryError::RangeUnsatisfiable(range) = error else { panic!("{error:?}") };
        assert_eq!(range.content_range(), "bytes */10");
    }
}

async fn another_digest_than_said_is_refused_and_told(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let said = sha256(b"what was said");
    let refused = registry.push_blob(&repo("app"), &said, body(b"what was sent")).await;
    let Err(RegistryError::DigestMismatch { actual, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(*actual, sha256(b"what was sent"));
    assert!(is_unknown_blob(&pull(&registry, "app", &said).await));
    assert!(is_unknown_blob(&pull(&registry, "app", &actual).await));
}

async fn a_body_that_is_cut_leaves_nothing(base: Base) {
    let mut world = World::new(&base).await;
    for length in [0, 10, 200_000] {
        let registry = world.registry();
        let content = noise(4, length);
        let digest = sha256(&content);
        let cut = registry.push_blob(&repo("app"), &digest, cut_body(&content)).await;
        assert!(matches!(cut, Err(RegistryError::BodyCut)), "{cut:?}");
        assert!(is_unknown_blob(&pull(&registry, "app", &digest).await));
    }
    world.wait(Limits::default().read_grace * 2).await;
    world.house.sweep().await.unwrap();
    assert!(world.part_files().is_empty());
}

async fn a_blob_of_the_largest_size_is_taken_and_one_byte_more_is_not(base: Base) {
    for limit in [100, 200_000] {
        let limits = Limits { blob_bytes_max: limit, ..Limits::default() };
        let world = World::limited(&base, limits).await;
        let registry = world.registry();
        for length in [limit - 1, limit] {
            let content = noise(5, usize::try_from(length).unwrap());
            let digest = push(&registry, "app", &content).await;
            assert_eq!(pull(&registry, "app", &digest).await.unwrap(), content);
        }
        let content = noise(5, usize::try_from(limit).unwrap() + 1);
        let refused = registry.push_blob(&repo("app"), &sha256(&content), body(&content)).await;
        let Err(RegistryError::BlobTooLarge { limit: told }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(told, limit);
    }
}

async fn the_same_content_twice_is_kept_once(base: Base) {
    let mut world = World::new(&base).await;
    let content = noise(6, 1000);
    for name in ["app", "app", "other/app"] {
        let digest = push(&world.registry(), name, &content).await;
        assert_eq!(pull(&world.registry(), name, &digest).await.unwrap(), content);
    }
    assert_eq!(world.part_files().len(), 3, "dead parts stay for readers for a while");
    world.wait(Limits::default().read_grace + std::time::Duration::from_secs(1)).await;
    assert_eq!(world.house.sweep().await.unwrap().parts_deleted, 2);
    assert_eq!(world.part_files().len(), 1);
    for name in ["app", "other/app"] {
        assert_eq!(pull(&world.registry(), name, &sha256(&content)).await.unwrap(), content);
    }
}

async fn the_same_content_is_pushed_by_many_at_once(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let content = noise(7, 70_000);
    let names = ["a", "b", "a", "c", "a", "b", "d", "a"];
    let pushes = names.map(|name| push(&registry, name, &content));
    let digests = futures_util::future::join_all(pushes).await;
    world.wait(Limits::default().read_grace * 2).await;
    world.house.sweep().await.unwrap();
    assert_eq!(world.part_files().len(), 1);
    for name in names {
        assert_eq!(pull(&registry, name, &digests[0]).await.unwrap(), content);
    }
}

async fn a_blob_is_seen_only_where_it_was_pushed(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "app", b"content").await;
    push(&registry, "other", b"other content").await;
    for elsewhere in ["other", "nowhere", "app/deeper"] {
        assert!(is_unknown_blob(&pull(&registry, elsewhere, &digest).await));
        let stat = registry.stat_blob(&repo(elsewhere), &digest).await;
        assert!(matches!(stat, Err(RegistryError::BlobUnknown)), "{stat:?}");
    }
}

async fn a_deleted_blob_is_gone_from_its_repository_alone(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let digest = push(&registry, "app", b"content").await;
    push(&registry, "other", b"content").await;
    registry.delete_blob(&repo("app"), &digest).await.unwrap();
    assert!(is_unknown_blob(&pull(&registry, "app", &digest).await));
    assert_eq!(pull(&registry, "other", &digest).await.unwrap(), b"content");
    let again = registry.delete_blob(&repo("app"), &digest).await;
    assert!(matches!(again, Err(RegistryError::BlobUnknown)), "{again:?}");
    let nowhere = registry.delete_blob(&repo("nowhere"), &digest).await;
    assert!(matches!(nowhere, Err(RegistryError::NameUnknown)), "{nowhere:?}");

    registry.delete_blob(&repo("other"), &digest).await.unwrap();
    world.wait(Limits::default().read_grace * 2).await;
    world.house.sweep().await.unwrap();
    assert!(world.part_files().is_empty(), "nobody links to it any more");
}

async fn a_deleted_blob_can_be_pushed_again(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    for _ in 0..3 {
        let digest = push(&registry, "app", b"content").await;
        assert_eq!(pull(&registry, "app", &digest).await.unwrap(), b"content");
        registry.delete_blob(&repo("app"), &digest).await.unwrap();
        assert!(is_unknown_blob(&pull(&registry, "app", &digest).await));
    }
}

async fn nobody_in_particular_may_do_nothing(base: Base) {
    let world = World::new(&base).await;
    let digest = push(&world.registry(), "app", b"content").await;
    let entry = world.house.find(&"lockyard".parse().unwrap()).await.unwrap().unwrap();
    let registry = world.house.open(entry.clone(), Caller::Anonymous).unwrap();
    let name = repo("app");
    let denied = |outcome: Result<(), RegistryError>| {
        assert!(
            matches!(outcome, Err(RegistryError::Unauthorized(LoginNeeded::Absent))),
            "{outcome:?}"
        );
    };
    denied(registry.stat_blob(&name, &digest).await.map(drop));
    denied(registry.read_blob(&name, &digest, None).await.map(drop));
    denied(registry.push_blob(&name, &digest, body(b"content")).await.map(drop));
    denied(registry.start_upload(&name, None).await.map(drop));
    denied(registry.mount_blob(&name, &digest, None).await.map(drop));
    denied(registry.delete_blob(&name, &digest).await);
    denied(registry.list_tags(&name, 9, None).await.map(drop));
    denied(registry.list_repositories(9, None).await.map(drop));
    denied(registry.list_referrers(&name, &digest, None, None).await.map(drop));
    denied(registry.delete_manifest(&name, &digest).await);
    let loopback = world.house.open(entry, Caller::Loopback).unwrap();
    assert_eq!(pull(&loopback, "app", &digest).await.unwrap(), b"content");
}

async fn a_registry_without_a_customer_key_works_too(base: Base) {
    let mut world = World::with(&base, Limits::default(), false).await;
    let digest = push(&world.registry(), "app", b"content").await;
    world.restart().await;
    assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), b"content");
    // No vault has a word in it.
    world.vault.denies();
    world.house.keyring().changed().await;
    assert_eq!(pull(&world.registry(), "app", &digest).await.unwrap(), b"content");
    let listed = world.house.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].id, &listed[0].customer_key), (world.id, &None));
}
