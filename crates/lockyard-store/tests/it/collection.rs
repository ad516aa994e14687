//! Stories of collection: what it takes, what it spares, and who pushes while it runs.

use std::time::Duration;

use lockyard_base::{BlobId, Epoch, LinkId, ManifestId, OsEntropy, RegistryId, RepositoryId};
use lockyard_store::{
    StoreError, Txn, blob, collection,
    edge::{self, Edge, EdgeKind},
    link, manifest,
};

use crate::{
    Story,
    together::overlap,
    world::{World, index, new_link},
};

pub(crate) const STORIES: &[Story] = &[
    ("collection_takes_old_links_without_an_edge_only", takes_old_links_without_an_edge_only),
    ("collection_lists_links_in_pages", lists_links_in_pages),
    ("collection_spares_a_link_whose_edge_is_just_being_pushed", spares_a_link_being_pushed),
    ("a_push_that_waits_for_collection_learns_what_is_gone", a_push_that_waits),
    ("collection_takes_blobs_without_links_only", takes_blobs_without_links_only),
    ("collection_spares_a_blob_that_is_just_being_linked", spares_a_blob_being_linked),
    ("collection_opens_every_manifest_once", opens_every_manifest_once),
];

const GRACE: Duration = Duration::from_secs(3600);

/// Links that a collection run would consider now.
fn idle(world: &World, registry: RegistryId) -> Vec<LinkId> {
    let found = world.read(|txn| {
        let cutoff = txn.now().saturating_sub(GRACE);
        collection::idle_links(txn, registry, cutoff, None, 100)
    });
    found.into_iter().map(|link| link.link_id).collect()
}

/// The transaction that collects links.
fn collect(
    links: Vec<LinkId>,
) -> impl FnMut(&mut Txn<'_>) -> Result<Vec<LinkId>, StoreError> + Send + 'static {
    move |txn| {
        let cutoff = txn.now().saturating_sub(GRACE);
        collection::delete_idle_links(txn, &links, cutoff)
    }
}

/// The transaction that pushes a manifest with one layer; answers which layers are missing.
fn push(
    registry_id: RegistryId,
    repository_id: RepositoryId,
    layer: &'static str,
) -> impl FnMut(&mut Txn<'_>) -> Result<usize, StoreError> + Send + 'static {
    let manifest_id = ManifestId::random(&OsEntropy);
    let layer = index("digest", layer);
    move |txn| {
        let missing = link::touch_required(txn, registry_id, repository_id, &[layer])?;
        let new = manifest::NewManifest {
            manifest_id,
            registry_id,
            repository_id,
            digest_index: index("scoped", "image"),
            child_index: index("digest", "image"),
            epoch: Epoch::FIRST,
            sealed: b"descriptor",
            content: b"content",
        };
        manifest::insert(txn, &new)?;
        let edge = Edge { kind: EdgeKind::Layer, child_index: layer };
        edge::insert_many(txn, manifest_id, repository_id, &[edge])?;
        Ok(missing.len())
    }
}

fn takes_old_links_without_an_edge_only(world: World) {
    let (registry, other) = (world.registry(), world.registry());
    let repository = world.repository(registry, "app");
    let (_, old) = world.blob(registry, repository, "old");
    let (_, needed) = world.blob(registry, repository, "needed");
    let (_, touched) = world.blob(registry, repository, "touched");
    assert_eq!(world.write(push(registry, repository, "needed")), 0);
    assert_eq!(idle(&world, registry), [], "nothing is old enough");
    world.wait(GRACE * 2);
    assert!(world.write(move |txn| link::touch(txn, touched)));
    assert_eq!(idle(&world, registry), [old]);
    assert_eq!(idle(&world, other), [], "another registry may be locked and is left alone");
    // Whatever it is given, it looks again.
    assert_eq!(world.write(collect(vec![old, needed, touched])), [old]);
    assert_eq!(world.write(collect(vec![old, needed, touched])), []);
    for (link, there) in [(old, false), (needed, true), (touched, true)] {
        assert_eq!(world.write(move |txn| link::lock(txn, link)).is_some(), there);
    }
}

fn lists_links_in_pages(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let mut links: Vec<LinkId> = ["one", "two", "three"]
        .into_iter()
        .map(|name| world.blob(registry, repository, name).1)
        .collect();
    links.sort_unstable();
    world.wait(GRACE * 2);
    let page = |after| {
        let found = world.read(|txn| {
            let cutoff = txn.now().saturating_sub(GRACE);
            collection::idle_links(txn, registry, cutoff, after, 2)
        });
        found.into_iter().map(|link| link.link_id).collect::<Vec<_>>()
    };
    assert_eq!(page(None), links[..2]);
    assert_eq!(page(Some(links[1])), links[2..]);
    assert_eq!(page(Some(links[2])), []);
}

fn spares_a_link_being_pushed(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let (_, link) = world.blob(registry, repository, "layer");
    world.wait(GRACE * 2);
    assert_eq!(idle(&world, registry), [link]);
    let (missing, collected) =
        overlap(&world, push(registry, repository, "layer"), collect(vec![link]));
    assert_eq!(missing.unwrap(), 0);
    assert_eq!(collected.unwrap(), []);
}

fn a_push_that_waits(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let (_, link) = world.blob(registry, repository, "layer");
    world.wait(GRACE * 2);
    let (collected, missing) =
        overlap(&world, collect(vec![link]), push(registry, repository, "layer"));
    assert_eq!(collected.unwrap(), [link]);
    assert_eq!(missing.unwrap(), 1);
}

/// Deletes those of these blobs that nothing links to.
fn collect_blobs(
    blobs: Vec<BlobId>,
) -> impl FnMut(&mut Txn<'_>) -> Result<Vec<BlobId>, StoreError> + Send + 'static {
    move |txn| {
        let unlinked = collection::lock_unlinked(txn, &blobs)?;
        let gone: Vec<BlobId> = unlinked.into_iter().map(|row| row.blob_id).collect();
        for &id in &gone {
            assert!(blob::delete(txn, id)?);
        }
        Ok(gone)
    }
}

fn takes_blobs_without_links_only(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let (loose, link) = world.blob(registry, repository, "loose");
    let (linked, _) = world.blob(registry, repository, "linked");
    let unlinked = || world.read(|txn| collection::unlinked_blobs(txn, registry, None, 10));
    assert_eq!(unlinked(), []);
    world.write(move |txn| link::delete(txn, link));
    assert_eq!(unlinked(), [loose]);
    let after = world.read(|txn| collection::unlinked_blobs(txn, registry, Some(loose), 10));
    assert_eq!(after, []);
    assert_eq!(world.write(collect_blobs(vec![loose, linked])), [loose]);
    assert_eq!(world.read(|txn| blob::get(txn, loose)), None);
    assert!(world.read(|txn| blob::get(txn, linked)).is_some());
}

fn spares_a_blob_being_linked(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let (blob_id, link) = world.blob(registry, repository, "layer");
    world.write(move |txn| link::delete(txn, link));
    let link_again = move |txn: &mut Txn<'_>| {
        let held = blob::hold(txn, registry, &index("digest", "layer"))?;
        assert_eq!(held.map(|row| row.blob_id), Some(blob_id));
        link::insert_or_touch(txn, &new_link(link, repository, blob_id))
    };
    let (linked, collected) = overlap(&world, link_again, collect_blobs(vec![blob_id]));
    assert!(linked.unwrap());
    assert_eq!(collected.unwrap(), []);
}

fn opens_every_manifest_once(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let mut ids: Vec<ManifestId> = ["one", "two", "three"]
        .into_iter()
        .map(|name| world.manifest(registry, repository, name))
        .collect();
    ids.sort_unstable();
    let page = |after| {
        let found = world.read(|txn| collection::manifests(txn, repository, after, 2));
        assert!(found.iter().all(|(_, content)| content == b"content"));
        found.into_iter().map(|(row, _)| row.manifest_id).collect::<Vec<_>>()
    };
    assert_eq!(page(None), ids[..2]);
    assert_eq!(page(Some(ids[1])), ids[2..]);
}
