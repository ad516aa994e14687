//! Stories of manifests that refer to others.

use std::collections::BTreeSet;

use lockyard_oci::Digest;
use lockyard_registry::{Limits, Registry, RegistryError};

use crate::{
    Story, stories,
    support::{Base, World, artifact, by_digest, push, push_image, put, repo, sha256},
};

pub(crate) const STORIES: &[Story] = stories!["referrers":
    what_refers_to_a_manifest_is_listed_as_it_is,
    a_subject_need_not_exist,
    a_filter_leaves_one_artifact_type,
    pages_hold_all_referrers_once_at_every_edge,
    more_referrers_than_one_batch_are_all_listed,
    a_deleted_referrer_is_gone_and_may_come_back,
    a_marker_that_was_not_given_out_is_refused,
];

const TYPE: &str = "application/vnd.example.signature";

/// Pushes an artifact that refers to `subject`.
async fn refer(registry: &Registry, kind: &str, note: &str, subject: &Digest) -> Digest {
    let config = push(registry, "app", b"{}").await;
    let manifest = artifact(&config, kind, note, subject);
    let digest = sha256(&manifest);
    let made = put(registry, "app", &by_digest(digest), &manifest).await.unwrap();
    assert_eq!(made.subject, Some(*subject));
    digest
}

/// All pages of a listing.
async fn pages(registry: &Registry, subject: &Digest, kind: Option<&str>) -> Vec<Vec<Digest>> {
    let mut pages = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let name = repo("app");
        let page = registry.list_referrers(&name, subject, kind, after.as_deref()).await.unwrap();
        pages.push(page.descriptors.iter().map(|one| *one.digest()).collect());
        after = page.next;
        if after.is_none() {
            return pages;
        }
    }
}

async fn what_refers_to_a_manifest_is_listed_as_it_is(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (subject, ..) = push_image(&registry, "app", "latest", 1).await;
    let digest = refer(&registry, TYPE, "a note", &subject).await;
    let name = repo("app");
    let found = registry.list_referrers(&name, &subject, None, None).await.unwrap();
    assert_eq!((found.descriptors.len(), found.next), (1, None));
    let one = &found.descriptors[0];
    let content = registry.get_manifest(&name, &by_digest(digest)).await.unwrap();
    assert_eq!(*one.digest(), digest);
    assert_eq!(one.size(), content.bytes.len() as u64);
    assert_eq!(one.media_type(), content.media_type.as_str());
    assert_eq!(one.artifact_type(), Some(TYPE));
    assert_eq!(one.annotations().get("note").map(String::as_str), Some("a note"));
    let elsewhere = registry.list_referrers(&repo("other"), &subject, None, None).await.unwrap();
    assert!(elsewhere.descriptors.is_empty());
}

async fn a_subject_need_not_exist(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let subject = sha256(b"to be pushed later");
    assert_eq!(pages(&registry, &subject, None).await, [Vec::new()]);
    let digest = refer(&registry, TYPE, "early", &subject).await;
    assert_eq!(pages(&registry, &subject, None).await, [vec![digest]]);
}

async fn a_filter_leaves_one_artifact_type(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let subject = sha256(b"subject");
    let first = refer(&registry, TYPE, "1", &subject).await;
    let second = refer(&registry, "application/vnd.example.sbom", "2", &subject).await;
    assert_eq!(pages(&registry, &subject, Some(TYPE)).await, [vec![first]]);
    let other = Some("application/vnd.example.sbom");
    assert_eq!(pages(&registry, &subject, other).await, [vec![second]]);
    assert_eq!(pages(&registry, &subject, Some("application/none")).await, [Vec::new()]);
    assert_eq!(pages(&registry, &subject, None).await.concat().len(), 2);
}

async fn pages_hold_all_referrers_once_at_every_edge(base: Base) {
    for page_max in [1, 3] {
        let limits = Limits { referrers_page_max: page_max, ..Limits::default() };
        let world = World::limited(&base, limits).await;
        let registry = world.registry();
        let subject = sha256(b"subject");
        let mut expected = BTreeSet::new();
        for number in 1..=7_usize {
            expected.insert(refer(&registry, TYPE, &number.to_string(), &subject).await);
            let pages = pages(&registry, &subject, None).await;
            let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
            assert!(lengths.iter().all(|length| *length <= page_max), "{lengths:?}");
            assert_eq!(lengths.len(), number.div_ceil(page_max), "{lengths:?}");
            let all = pages.concat();
            assert_eq!(all.len(), number, "none twice");
            assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), expected);
        }
    }
}

async fn more_referrers_than_one_batch_are_all_listed(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let subject = sha256(b"subject");
    let mut expected = BTreeSet::new();
    for number in 0..205 {
        let kind = if number % 3 == 0 { TYPE } else { "application/vnd.example.sbom" };
        let digest = refer(&registry, kind, &number.to_string(), &subject).await;
        if kind == TYPE {
            expected.insert(digest);
        }
    }
    let all = pages(&registry, &subject, None).await;
    assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 5]);
    let filtered = pages(&registry, &subject, Some(TYPE)).await.concat();
    assert_eq!(filtered.len(), expected.len());
    assert_eq!(filtered.into_iter().collect::<BTreeSet<_>>(), expected);
}

async fn a_deleted_referrer_is_gone_and_may_come_back(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let (subject, ..) = push_image(&registry, "app", "latest", 1).await;
    for _ in 0..2 {
        let digest = refer(&registry, TYPE, "a note", &subject).await;
        assert_eq!(pages(&registry, &subject, None).await, [vec![digest]]);
        registry.delete_manifest(&repo("app"), &digest).await.unwrap();
        assert_eq!(pages(&registry, &subject, None).await, [Vec::new()]);
    }
    // Without its subject a referrer is there still.
    let digest = refer(&registry, TYPE, "a note", &subject).await;
    registry.delete_manifest(&repo("app"), &subject).await.unwrap();
    assert_eq!(pages(&registry, &subject, None).await, [vec![digest]]);
}

async fn a_marker_that_was_not_given_out_is_refused(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let subject = sha256(b"subject");
    for marker in ["", "x", "' OR 1", "0123"] {
        let asked = registry.list_referrers(&repo("app"), &subject, None, Some(marker)).await;
        assert!(matches!(asked, Err(RegistryError::PageMarker)), "{asked:?}");
    }
}
