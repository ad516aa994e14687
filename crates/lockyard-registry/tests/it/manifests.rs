//! Stories of manifests and the tags that point at them.

use bytes::Bytes;
use lockyard_oci::{Algorithm, Digest, MediaType, Reference};
use lockyard_registry::{Limits, Registry, RegistryError};

use crate::{
    Story, stories,
    support::{
        Base, World, by_digest, by_tag, image, image_of, index, noise, push, push_image, put, repo,
        sha256, tag, tags,
    },
};

pub(crate) const STORIES: &[Story] = stories!["manifests":
    a_manifest_comes_back_verbatim_by_tag_and_by_digest,
    a_manifest_may_have_a_sha512_digest,
    a_manifest_under_a_wrong_digest_is_refused,
    a_manifest_of_the_largest_size_is_taken,
    a_push_may_set_several_tags_at_once,
    a_tag_given_twice_counts_once,
    as_many_tags_are_set_as_may_be,
    missing_blobs_are_listed,
    a_blob_of_another_repository_does_not_count,
    foreign_layers_need_not_be_there,
    an_index_may_have_children_that_are_absent_or_blobs,
    what_cannot_be_read_is_refused,
    a_tag_moves,
    many_move_one_tag_at_once,
    what_a_reference_led_to_counts_until_the_next_commit,
    a_deleted_manifest_takes_its_tags_along,
    a_deleted_tag_leaves_its_manifest,
    a_deleted_manifest_can_be_pushed_again,
    a_blob_that_a_manifest_names_is_not_deleted,
    the_same_bytes_in_two_repositories_are_two_manifests,
    the_same_bytes_may_be_pushed_under_another_media_type,
];

async fn pulled(
    registry: &Registry,
    name: &str,
    reference: &Reference,
) -> Result<Vec<u8>, RegistryError> {
    let stat = registry.stat_manifest(&repo(name), reference).await;
    let got = registry.get_manifest(&repo(name), reference).await;
    match (stat, got) {
        (Ok(stat), Ok(got)) => {
            assert_eq!(stat.digest, got.digest);
            assert_eq!(stat.media_type, got.media_type);
            assert_eq!(stat.length, got.bytes.len() as u64);
            Ok(got.bytes.to_vec())
        }
        (Err(_), Err(error)) => Err(error),
        both => panic!("HEAD and GET must agree: {both:?}"),
    }
}

/// Each read finds what was acknowledged before it, and most of them find it in memory.
async fn what_a_reference_led_to_counts_until_the_next_commit(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let mut last = Vec::new();
    for round in 0..20_u64 {
        let layer = push(&registry, "app", &noise(round, 30)).await;
        last = image(&config, &[layer]);
        put(&registry, "app", &by_tag("latest"), &last).await.unwrap();
        for _ in 0..3 {
            for reference in [by_tag("latest"), by_digest(sha256(&last))] {
                assert_eq!(pulled(&registry, "app", &reference).await.unwrap(), last);
            }
        }
    }
    registry.delete_tag(&repo("app"), &tag("latest")).await.unwrap();
    assert!(is_unknown(&pulled(&registry, "app", &by_tag("latest")).await));
    let digest = sha256(&last);
    assert_eq!(pulled(&registry, "app", &by_digest(digest)).await.unwrap(), last);
    world.lock().await;
    let locked = registry.get_manifest(&repo("app"), &by_digest(digest)).await;
    assert!(matches!(locked, Err(RegistryError::LockedMeanwhile)), "{locked:?}");
    world.unlock().await;
    let registry = world.registry();
    assert_eq!(pulled(&registry, "app", &by_digest(digest)).await.unwrap(), last);
    registry.delete_manifest(&repo("app"), &digest).await.unwrap();
    assert!(is_unknown(&pulled(&registry, "app", &by_digest(digest)).await));
}

fn is_unknown(outcome: &Result<Vec<u8>, RegistryError>) -> bool {
    matches!(outcome, Err(RegistryError::ManifestUnknown))
}

async fn a_manifest_comes_back_verbatim_by_tag_and_by_digest(base: Base) {
    let mut world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let layer = push(&registry, "app", b"layer").await;
    let manifest = image(&config, &[layer]);
    let made = put(&registry, "app", &by_tag("latest"), &manifest).await.unwrap();
    assert_eq!((made.digest, &made.tags), (sha256(&manifest), &tags(&["latest"])));
    assert_eq!(made.subject, None);
    let references = [by_tag("latest"), by_digest(made.digest)];
    for _ in 0..2 {
        for reference in &references {
            let found = pulled(&world.registry(), "app", reference).await.unwrap();
            assert_eq!(found, manifest, "{reference}");
            let stat = world.registry().stat_manifest(&repo("app"), reference).await.unwrap();
            assert_eq!(stat.media_type, MediaType::OCI_MANIFEST);
        }
        world.restart().await;
    }
    for elsewhere in ["other", "app/deeper"] {
        assert!(is_unknown(&pulled(&world.registry(), elsewhere, &references[0]).await));
        assert!(is_unknown(&pulled(&world.registry(), elsewhere, &references[1]).await));
    }
    assert!(is_unknown(&pulled(&world.registry(), "app", &by_tag("later")).await));
}

async fn a_manifest_may_have_a_sha512_digest(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let manifest = image(&config, &[]);
    let digest = Digest::of(Algorithm::Sha512, &manifest);
    let made = put(&registry, "app", &by_digest(digest), &manifest).await.unwrap();
    assert_eq!(made.digest, digest);
    assert_eq!(pulled(&registry, "app", &by_digest(digest)).await.unwrap(), manifest);
    assert!(is_unknown(&pulled(&registry, "app", &by_digest(sha256(&manifest))).await));
}

async fn a_manifest_under_a_wrong_digest_is_refused(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let manifest = image(&config, &[]);
    let wrong = by_digest(sha256(b"something else"));
    let refused = put(&registry, "app", &wrong, &manifest).await;
    let Err(RegistryError::DigestMismatch { actual, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(*actual, sha256(&manifest));
}

async fn a_manifest_of_the_largest_size_is_taken(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let mut manifest = image(&config, &[]);
    manifest.resize(4 << 20, b' ');
    put(&registry, "app", &by_tag("largest"), &manifest).await.unwrap();
    assert_eq!(pulled(&registry, "app", &by_tag("largest")).await.unwrap(), manifest);
    manifest.push(b' ');
    let refused = put(&registry, "app", &by_tag("larger"), &manifest).await;
    assert!(matches!(refused, Err(RegistryError::ManifestInvalid(_))), "{refused:?}");
}

async fn put_tagged(
    registry: &Registry,
    reference: &Reference,
    more: &[&str],
    manifest: &[u8],
) -> Result<Vec<String>, RegistryError> {
    let bytes = Bytes::copy_from_slice(manifest);
    let made = registry.put_manifest(&repo("app"), reference, &tags(more), None, bytes).await?;
    Ok(made.tags.iter().map(ToString::to_string).collect())
}

async fn a_push_may_set_several_tags_at_once(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let manifest = image(&config, &[]);
    let digest = by_digest(sha256(&manifest));
    assert_eq!(put_tagged(&registry, &digest, &["b", "a"], &manifest).await.unwrap(), ["b", "a"]);
    let set = put_tagged(&registry, &by_tag("c"), &["d"], &manifest).await.unwrap();
    assert_eq!(set, ["c", "d"]);
    for name in ["a", "b", "c", "d"] {
        assert_eq!(pulled(&registry, "app", &by_tag(name)).await.unwrap(), manifest);
    }
}

async fn a_tag_given_twice_counts_once(base: Base) {
    let limits = Limits { tags_per_put_max: 2, ..Limits::default() };
    let world = World::limited(&base, limits).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let manifest = image(&config, &[]);
    let set = put_tagged(&registry, &by_tag("a"), &["b", "a", "b"], &manifest).await.unwrap();
    assert_eq!(set, ["a", "b"]);
}

async fn as_many_tags_are_set_as_may_be(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let manifest = image(&config, &[]);
    let digest = by_digest(sha256(&manifest));
    let names: Vec<String> = (0..11).map(|number| format!("tag-{number:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let refused = put_tagged(&registry, &digest, &names, &manifest).await;
    assert!(matches!(refused, Err(RegistryError::TooManyTags { limit: 10 })), "{refused:?}");
    let listed = registry.list_tags(&repo("app"), 99, None).await.unwrap();
    assert!(listed.items.is_empty(), "a refused push sets none");
    assert_eq!(put_tagged(&registry, &digest, &names[..10], &manifest).await.unwrap(), names[..10]);
}

async fn missing_blobs_are_listed(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let there = push(&registry, "app", b"there").await;
    let mut missing = [sha256(b"missing"), sha256(b"missing too")];
    missing.sort();
    let manifest = image(&missing[0], &[there, missing[1], missing[1]]);
    let refused = put(&registry, "app", &by_tag("latest"), &manifest).await;
    let Err(RegistryError::ManifestBlobUnknown(listed)) = refused else { panic!("{refused:?}") };
    assert_eq!(listed, missing);
    assert!(is_unknown(&pulled(&registry, "app", &by_tag("latest")).await));
    assert!(is_unknown(&pulled(&registry, "app", &by_digest(sha256(&manifest))).await));

    // In a repository that was never seen, everything is missing, and none is made.
    let refused = put(&registry, "new", &by_tag("latest"), &manifest).await;
    assert!(matches!(refused, Err(RegistryError::ManifestBlobUnknown(_))), "{refused:?}");
    let catalog = registry.list_repositories(9, None).await.unwrap();
    assert_eq!(catalog.items, ["app"]);
}

async fn a_blob_of_another_repository_does_not_count(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "other", b"{}").await;
    let refused = put(&registry, "app", &by_tag("latest"), &image(&config, &[])).await;
    let Err(RegistryError::ManifestBlobUnknown(listed)) = refused else { panic!("{refused:?}") };
    assert_eq!(listed, [config]);
}

async fn foreign_layers_need_not_be_there(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let kind = MediaType::DOCKER_FOREIGN_LAYER_GZIP;
    let manifest = image_of(kind.as_str(), &config, &[sha256(b"elsewhere")], None);
    put(&registry, "app", &by_tag("latest"), &manifest).await.unwrap();
    assert_eq!(pulled(&registry, "app", &by_tag("latest")).await.unwrap(), manifest);
}

async fn an_index_may_have_children_that_are_absent_or_blobs(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (child, ..) = push_image(&registry, "app", "child", 1).await;
    let blob = push(&registry, "app", b"a layer of a build cache").await;
    let index = index(&[
        (MediaType::OCI_MANIFEST, child),
        (MediaType::OCI_MANIFEST, sha256(b"absent")),
        (MediaType::OCI_LAYER, blob),
        (MediaType::BUILDKIT_CACHE_CONFIG, sha256(b"absent too")),
    ]);
    put(&registry, "app", &by_tag("index"), &index).await.unwrap();
    assert_eq!(pulled(&registry, "app", &by_tag("index")).await.unwrap(), index);
    let kind = registry.stat_manifest(&repo("app"), &by_tag("index")).await.unwrap().media_type;
    assert_eq!(kind, MediaType::OCI_INDEX);
    let refused = registry.delete_blob(&repo("app"), &blob).await;
    assert!(matches!(refused, Err(RegistryError::BlobInUse)), "{refused:?}");
    // An index goes without its children, and children go without their index.
    registry.delete_manifest(&repo("app"), &child).await.unwrap();
    assert_eq!(pulled(&registry, "app", &by_tag("index")).await.unwrap(), index);
    registry.delete_manifest(&repo("app"), &sha256(&index)).await.unwrap();
    registry.delete_blob(&repo("app"), &blob).await.unwrap();
}

async fn what_cannot_be_read_is_refused(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    for wrong in [&b""[..], b"{}", b"no json", b"{\"schemaVersion\": 1}"] {
        let refused = put(&registry, "app", &by_tag("latest"), wrong).await;
        assert!(matches!(refused, Err(RegistryError::ManifestInvalid(_))), "{refused:?}");
    }
    assert_eq!(registry.list_repositories(9, None).await.unwrap().items, Vec::<String>::new());
}

async fn a_tag_moves(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (first, ..) = push_image(&registry, "app", "latest", 1).await;
    let (second, ..) = push_image(&registry, "app", "latest", 2).await;
    let stat = registry.stat_manifest(&repo("app"), &by_tag("latest")).await.unwrap();
    assert_eq!(stat.digest, second);
    assert!(pulled(&registry, "app", &by_digest(first)).await.is_ok(), "the first is there still");
    // And back again, by pushing what is there already.
    let bytes = registry.get_manifest(&repo("app"), &by_digest(first)).await.unwrap().bytes;
    put(&registry, "app", &by_tag("latest"), &bytes).await.unwrap();
    let stat = registry.stat_manifest(&repo("app"), &by_tag("latest")).await.unwrap();
    assert_eq!(stat.digest, first);
    let listed = registry.list_tags(&repo("app"), 9, None).await.unwrap();
    assert_eq!(listed.items, ["latest"]);
}

async fn many_move_one_tag_at_once(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let mut manifests = Vec::new();
    for seed in 0..8 {
        let layer = push(&registry, "app", &noise(seed, 20)).await;
        manifests.push(image(&config, &[layer]));
    }
    let latest = by_tag("latest");
    let pushes = manifests.iter().map(|manifest| put(&registry, "app", &latest, manifest));
    for made in futures_util::future::join_all(pushes).await {
        made.unwrap();
    }
    let found = pulled(&registry, "app", &latest).await.unwrap();
    assert!(manifests.contains(&found));
    for manifest in &manifests {
        let digest = by_digest(sha256(manifest));
        assert_eq!(pulled(&registry, "app", &digest).await.unwrap(), *manifest);
    }
}

async fn a_deleted_manifest_takes_its_tags_along(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (digest, config, layer) = push_image(&registry, "app", "one", 1).await;
    let bytes = registry.get_manifest(&repo("app"), &by_tag("one")).await.unwrap().bytes;
    put(&registry, "app", &by_tag("two"), &bytes).await.unwrap();
    push_image(&registry, "app", "other", 2).await;
    registry.delete_manifest(&repo("app"), &digest).await.unwrap();
    for gone in [by_tag("one"), by_tag("two"), by_digest(digest)] {
        assert!(is_unknown(&pulled(&registry, "app", &gone).await));
    }
    assert_eq!(registry.list_tags(&repo("app"), 9, None).await.unwrap().items, ["other"]);
    let again = registry.delete_manifest(&repo("app"), &digest).await;
    assert!(matches!(again, Err(RegistryError::ManifestUnknown)), "{again:?}");
    let nowhere = registry.delete_manifest(&repo("nowhere"), &digest).await;
    assert!(matches!(nowhere, Err(RegistryError::NameUnknown)), "{nowhere:?}");
    // Nothing holds its blobs any more.
    for blob in [config, layer] {
        registry.delete_blob(&repo("app"), &blob).await.unwrap();
    }
}

async fn a_deleted_tag_leaves_its_manifest(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (digest, ..) = push_image(&registry, "app", "latest", 1).await;
    registry.delete_tag(&repo("app"), &tag("latest")).await.unwrap();
    assert!(is_unknown(&pulled(&registry, "app", &by_tag("latest")).await));
    assert!(pulled(&registry, "app", &by_digest(digest)).await.is_ok());
    assert!(registry.list_tags(&repo("app"), 9, None).await.unwrap().items.is_empty());
    let again = registry.delete_tag(&repo("app"), &tag("latest")).await;
    assert!(matches!(again, Err(RegistryError::ManifestUnknown)), "{again:?}");
    let nowhere = registry.delete_tag(&repo("nowhere"), &tag("latest")).await;
    assert!(matches!(nowhere, Err(RegistryError::NameUnknown)), "{nowhere:?}");
}

async fn a_deleted_manifest_can_be_pushed_again(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    for _ in 0..3 {
        let (digest, ..) = push_image(&registry, "app", "latest", 1).await;
        assert!(pulled(&registry, "app", &by_tag("latest")).await.is_ok());
        assert_eq!(registry.list_tags(&repo("app"), 9, None).await.unwrap().items, ["latest"]);
        registry.delete_manifest(&repo("app"), &digest).await.unwrap();
        assert!(is_unknown(&pulled(&registry, "app", &by_tag("latest")).await));
        assert!(registry.list_tags(&repo("app"), 9, None).await.unwrap().items.is_empty());
    }
}

async fn a_blob_that_a_manifest_names_is_not_deleted(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (digest, config, layer) = push_image(&registry, "app", "latest", 1).await;
    for blob in [config, layer] {
        let refused = registry.delete_blob(&repo("app"), &blob).await;
        assert!(matches!(refused, Err(RegistryError::BlobInUse)), "{refused:?}");
    }
    // Another repository's manifests do not hold this one's links.
    assert!(registry.mount_blob(&repo("other"), &layer, None).await.unwrap());
    registry.delete_blob(&repo("other"), &layer).await.unwrap();
    registry.delete_manifest(&repo("app"), &digest).await.unwrap();
    registry.delete_blob(&repo("app"), &layer).await.unwrap();
}

async fn the_same_bytes_in_two_repositories_are_two_manifests(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (digest, ..) = push_image(&registry, "app", "latest", 1).await;
    push_image(&registry, "other", "latest", 1).await;
    registry.delete_manifest(&repo("app"), &digest).await.unwrap();
    assert!(is_unknown(&pulled(&registry, "app", &by_digest(digest)).await));
    assert!(pulled(&registry, "other", &by_digest(digest)).await.is_ok());
    assert!(pulled(&registry, "other", &by_tag("latest")).await.is_ok());
}

async fn the_same_bytes_may_be_pushed_under_another_media_type(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let document = serde_json::json!({
        "schemaVersion": 2,
        "config": crate::support::descriptor(MediaType::OCI_CONFIG.as_str(), &config),
        "layers": [],
    });
    let manifest = Bytes::from(document.to_string());
    let latest = by_tag("latest");
    for kind in [MediaType::OCI_MANIFEST, MediaType::DOCKER_MANIFEST, MediaType::OCI_MANIFEST] {
        let media_type = Some(kind.clone());
        let name = repo("app");
        registry.put_manifest(&name, &latest, &[], media_type, manifest.clone()).await.unwrap();
        let found = registry.get_manifest(&name, &latest).await.unwrap();
        assert_eq!((found.media_type, found.bytes), (kind, manifest.clone()));
    }
}
