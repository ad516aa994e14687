//! Stories of lists of tags and repositories.

use std::collections::BTreeSet;

use lockyard_registry::{Limits, Registry, RegistryError};
use lockyard_store::repository;

use crate::{
    Story, stories,
    support::{Base, World, by_tag, image, push, push_image, put, repo, tag, tags},
};

pub(crate) const STORIES: &[Story] = stories!["listings":
    tags_come_in_byte_order_page_by_page,
    repositories_come_in_byte_order_page_by_page,
    a_page_may_begin_after_a_name_that_is_not_there,
    an_empty_repository_has_no_tags_and_an_absent_one_is_unknown,
    a_list_follows_every_change,
    a_list_is_built_anew_after_a_lock_and_after_a_restart,
    a_tag_whose_tombstone_was_seen_comes_back,
    a_deleted_repository_leaves_the_list_and_comes_back,
    a_cache_that_missed_pruned_tombstones_is_built_anew,
    more_tags_than_one_batch_are_all_listed,
    more_repositories_than_one_batch_are_all_listed,
    listings_that_do_not_fit_are_built_again,
];

async fn tag_list(registry: &Registry, name: &str) -> Vec<String> {
    let page = registry.list_tags(&repo(name), 10_000, None).await.unwrap();
    assert!(!page.more);
    page.items
}

async fn catalog(registry: &Registry) -> Vec<String> {
    let page = registry.list_repositories(10_000, None).await.unwrap();
    assert!(!page.more);
    page.items
}

async fn tagged(registry: &Registry, name: &str, names: &[&str]) {
    let config = push(registry, name, b"{}").await;
    let manifest = image(&config, &[]);
    for name_of in names {
        put(registry, name, &by_tag(name_of), &manifest).await.unwrap();
    }
}

async fn tags_come_in_byte_order_page_by_page(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    tagged(&registry, "app", &["b", "a", "B", "a.1", "a-1", "1", "_"]).await;
    let ordered = ["1", "B", "_", "a", "a-1", "a.1", "b"];
    for n in 1..=8 {
        let mut all = Vec::new();
        let mut last: Option<String> = None;
        loop {
            let page = registry.list_tags(&repo("app"), n, last.as_deref()).await.unwrap();
            assert!(page.items.len() <= n);
            all.extend(page.items.clone());
            assert_eq!(page.more, all.len() < ordered.len());
            if !page.more {
                break;
            }
            last = page.items.last().cloned();
        }
        assert_eq!(all, ordered, "{n} per page");
    }
    let nothing = registry.list_tags(&repo("app"), 0, None).await.unwrap();
    assert!(nothing.items.is_empty() && !nothing.more);
}

async fn repositories_come_in_byte_order_page_by_page(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let ordered = ["a", "a-b", "a/b", "a0", "b", "c/d/e"];
    for name in ["b", "a0", "c/d/e", "a/b", "a", "a-b"] {
        push(&registry, name, b"{}").await;
    }
    let first = registry.list_repositories(4, None).await.unwrap();
    assert_eq!((&first.items[..], first.more), (&ordered.map(str::to_owned)[..4], true));
    let second = registry.list_repositories(4, Some("a0")).await.unwrap();
    assert_eq!((&second.items[..], second.more), (&ordered.map(str::to_owned)[4..], false));
    assert_eq!(catalog(&registry).await, ordered);
}

async fn a_page_may_begin_after_a_name_that_is_not_there(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    tagged(&registry, "app", &["a", "c"]).await;
    let page = registry.list_tags(&repo("app"), 9, Some("b")).await.unwrap();
    assert_eq!((page.items, page.more), (vec!["c".to_owned()], false));
    let page = registry.list_tags(&repo("app"), 9, Some("zzz")).await.unwrap();
    assert!(page.items.is_empty() && !page.more);
}

async fn an_empty_repository_has_no_tags_and_an_absent_one_is_unknown(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    push(&registry, "app", b"{}").await;
    assert!(tag_list(&registry, "app").await.is_empty());
    let absent = registry.list_tags(&repo("absent"), 9, None).await;
    assert!(matches!(absent, Err(RegistryError::NameUnknown)), "{absent:?}");
}

async fn a_list_follows_every_change(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let mut expected = BTreeSet::new();
    for round in 0..30_u64 {
        let [dice] =
            (&lockyard_base::SeededEntropy::new(round) as &dyn lockyard_base::Entropy).bytes::<1>();
        let name = format!("tag-{}", dice % 7);
        if expected.contains(&name) && dice % 2 == 0 {
            registry.delete_tag(&repo("app"), &tag(&name)).await.unwrap();
            expected.remove(&name);
        } else {
            push_image(&registry, "app", &name, u64::from(dice % 3)).await;
            expected.insert(name);
        }
        let listed = tag_list(&registry, "app").await;
        assert_eq!(listed, expected.iter().cloned().collect::<Vec<_>>());
    }
}

async fn a_list_is_built_anew_after_a_lock_and_after_a_restart(base: Base) {
    let mut world = World::new(&base).await;
    tagged(&world.registry(), "app", &["b", "a"]).await;
    let old = world.registry();
    assert_eq!(tag_list(&old, "app").await, ["a", "b"]);
    world.lock().await;
    let locked = old.list_tags(&repo("app"), 9, None).await;
    assert!(matches!(locked, Err(RegistryError::LockedMeanwhile)), "{locked:?}");
    let locked = old.list_repositories(9, None).await;
    assert!(matches!(locked, Err(RegistryError::LockedMeanwhile)), "{locked:?}");
    world.unlock().await;
    let stays_dead = old.list_tags(&repo("app"), 9, None).await;
    assert!(matches!(stays_dead, Err(RegistryError::LockedMeanwhile)), "{stays_dead:?}");
    assert_eq!(tag_list(&world.registry(), "app").await, ["a", "b"]);
    world.registry().delete_tag(&repo("app"), &tag("a")).await.unwrap();
    world.restart().await;
    assert_eq!(tag_list(&world.registry(), "app").await, ["b"]);
    assert_eq!(catalog(&world.registry()).await, ["app"]);
}

async fn a_tag_whose_tombstone_was_seen_comes_back(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    tagged(&registry, "app", &["a", "b"]).await;
    for _ in 0..3 {
        assert_eq!(tag_list(&registry, "app").await, ["a", "b"]);
        registry.delete_tag(&repo("app"), &tag("a")).await.unwrap();
        assert_eq!(tag_list(&registry, "app").await, ["b"]);
        tagged(&registry, "app", &["a"]).await;
    }
    // Deleted and made again between two looks.
    registry.delete_tag(&repo("app"), &tag("b")).await.unwrap();
    tagged(&registry, "app", &["b"]).await;
    assert_eq!(tag_list(&registry, "app").await, ["a", "b"]);
}

async fn a_deleted_repository_leaves_the_list_and_comes_back(base: Base) {
    let world = World::new(&base).await;
    let (registry, id) = (world.registry(), world.id);
    for name in ["app", "other"] {
        push(&registry, name, b"{}").await;
    }
    assert_eq!(catalog(&registry).await, ["app", "other"]);
    // No verb deletes a repository yet; this is what one will do to its row.
    let changes = world.store.read_blocking(|txn| repository::changed_since(txn, id, 0, 10));
    let row = changes.unwrap().unwrap().rows[0].repository_id;
    let marked =
        world.store.write_blocking(None, move |txn| repository::mark_deleted(txn, id, row));
    assert!(marked.unwrap());
    assert_eq!(catalog(&registry).await, ["other"]);
    let listed = registry.list_tags(&repo("app"), 9, None).await;
    assert!(matches!(listed, Err(RegistryError::NameUnknown)), "{listed:?}");
    push_image(&registry, "app", "latest", 1).await;
    assert_eq!(catalog(&registry).await, ["app", "other"]);
    assert_eq!(tag_list(&registry, "app").await, ["latest"]);
}

async fn a_cache_that_missed_pruned_tombstones_is_built_anew(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    tagged(&registry, "app", &["a", "b", "c"]).await;
    assert_eq!(tag_list(&registry, "app").await, ["a", "b", "c"]);
    registry.delete_tag(&repo("app"), &tag("a")).await.unwrap();
    registry.delete_tag(&repo("app"), &tag("b")).await.unwrap();
    // What pruning will do: the tombstones go, and the list says up to where they went.
    world.tamper("DELETE FROM tag WHERE deleted = 1");
    world.tamper("UPDATE repository SET tag_pruned_to = tag_version");
    assert_eq!(tag_list(&registry, "app").await, ["c"]);
    tagged(&registry, "app", &["b"]).await;
    assert_eq!(tag_list(&registry, "app").await, ["b", "c"]);
}

async fn more_tags_than_one_batch_are_all_listed(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    let config = push(&registry, "app", b"{}").await;
    let manifest = bytes::Bytes::from(image(&config, &[]));
    let names: Vec<String> = (0..2050).map(|number| format!("tag-{number:04}")).collect();
    let mut pushed = 0;
    for chunk in names.chunks(10) {
        let chunk: Vec<&str> = chunk.iter().map(String::as_str).collect();
        let (first, more) = (by_tag(chunk[0]), tags(&chunk[1..]));
        let name = repo("app");
        let put = registry.put_manifest(&name, &first, &more, None, manifest.clone());
        put.await.unwrap();
        pushed += 10;
        // Looks at both edges of a batch, and never in between.
        if pushed % 1000 == 0 {
            assert_eq!(tag_list(&registry, "app").await.len(), pushed);
        }
    }
    assert_eq!(tag_list(&registry, "app").await, names);
    world.lock().await;
    world.unlock().await;
    assert_eq!(tag_list(&world.registry(), "app").await, names);
}

async fn more_repositories_than_one_batch_are_all_listed(base: Base) {
    let world = World::new(&base).await;
    let registry = world.registry();
    push(&registry, "source", b"{}").await;
    let digest = crate::support::sha256(b"{}");
    let mut names: Vec<String> = (0..1001).map(|number| format!("app/{number:04}")).collect();
    let mounts = names.iter().map(|name| async {
        assert!(registry.mount_blob(&repo(name), &digest, None).await.unwrap());
    });
    let _all: Vec<()> = futures_util::future::join_all(mounts).await;
    names.push("source".to_owned());
    assert_eq!(catalog(&registry).await, names);
}

async fn listings_that_do_not_fit_are_built_again(base: Base) {
    let limits = Limits { listing_bytes_max: 1, ..Limits::default() };
    let world = World::limited(&base, limits).await;
    let registry = world.registry();
    tagged(&registry, "one", &["a", "b"]).await;
    tagged(&registry, "two", &["c"]).await;
    for _ in 0..3 {
        assert_eq!(tag_list(&registry, "one").await, ["a", "b"]);
        assert_eq!(tag_list(&registry, "two").await, ["c"]);
    }
}
