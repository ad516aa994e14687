//! Stories of walks over whole tables.

use std::fmt::Debug;

use lockyard_base::{Epoch, OsEntropy, PartId, RegistryId, RowId, TagId, UploadId};
use lockyard_store::{
    StoreError, Txn,
    edge::{self, Edge, EdgeKind},
    instance, part,
    tag::{self, PutTag},
    upload, walk,
};

use crate::{
    Story,
    world::{World, index},
};

pub(crate) const STORIES: &[Story] = &[
    ("a_walk_sees_every_row_of_its_registry_once_and_no_other", every_row_once),
    ("a_walk_over_parts_keeps_within_its_bounds", a_walk_over_parts_keeps_within_its_bounds),
    ("edges_that_left_their_repository_are_brought_home", edges_are_brought_home),
    ("records_of_every_kind_are_walked", records_of_every_kind_are_walked),
];

const LAST: PartId = PartId::from_bytes([0xff; 16]);

/// All ids that a walk sees, in pages of `limit`.
fn walked<I: Copy + Ord + Debug + Send + Sync>(
    world: &World,
    limit: u32,
    page: impl Fn(&mut Txn<'_>, Option<I>, u32) -> Result<Vec<I>, StoreError> + Send + Sync,
) -> Vec<I> {
    let mut found = Vec::new();
    loop {
        let after = found.last().copied();
        let ids = world.read(|txn| page(txn, after, limit));
        found.extend(&ids);
        if ids.len() < limit as usize {
            assert!(found.is_sorted_by(|one, other| one < other), "{found:?}");
            return found;
        }
    }
}

fn sorted<I: Ord>(mut ids: Vec<I>) -> Vec<I> {
    ids.sort();
    ids
}

/// Five rows of everything in one registry.
struct Furnished {
    registry: RegistryId,
    repositories: Vec<lockyard_base::RepositoryId>,
    manifests: Vec<lockyard_base::ManifestId>,
    tags: Vec<TagId>,
    blobs: Vec<lockyard_base::BlobId>,
    links: Vec<lockyard_base::LinkId>,
    uploads: Vec<UploadId>,
    parts: Vec<PartId>,
}

fn furnished(world: &World) -> Furnished {
    let registry = world.registry();
    let mut all = Furnished {
        registry,
        repositories: Vec::new(),
        manifests: Vec::new(),
        tags: Vec::new(),
        blobs: Vec::new(),
        links: Vec::new(),
        uploads: Vec::new(),
        parts: Vec::new(),
    };
    for n in 0..5 {
        let name = format!("row {n}");
        let repository = world.repository(registry, &name);
        let manifest = world.manifest(registry, repository, &name);
        let (blob, link) = world.blob(registry, repository, &name);
        let (tag, upload) = (TagId::random(&OsEntropy), UploadId::random(&OsEntropy));
        let part = PartId::random(&OsEntropy);
        world.write(move |txn| {
            let new = PutTag {
                repository_id: repository,
                name_index: index("tag", &name),
                tag_id: tag,
                expected: None,
                epoch: Epoch::FIRST,
                sealed: b"tag",
                manifest_id: manifest,
            };
            tag::put(txn, &new)?.unwrap();
            let expires_at = txn.now();
            let new = upload::NewUpload {
                upload_id: upload,
                registry_id: registry,
                repository_id: repository,
                epoch: Epoch::FIRST,
                sealed: b"upload",
                expires_at,
            };
            upload::insert(txn, &new)?;
            part::insert_writing(txn, registry, &[part], expires_at)
        });
        all.repositories.push(repository);
        all.manifests.push(manifest);
        all.tags.push(tag);
        all.blobs.push(blob);
        all.links.push(link);
        all.uploads.push(upload);
        all.parts.push(part);
    }
    all
}

fn every_row_once(world: World) {
    let all = furnished(&world);
    let other = furnished(&world);
    assert_ne!(all.registry, other.registry);
    let registry = all.registry;
    // Pages that end with the last row, and pages that do not.
    for limit in [1, 2, 5, 100] {
        let repositories = walked(&world, limit, |txn, after, limit| {
            let rows = walk::repositories(txn, registry, after, limit)?;
            Ok(rows.into_iter().map(|row| row.repository_id).collect())
        });
        assert_eq!(repositories, sorted(all.repositories.clone()));
        let manifests = walked(&world, limit, |txn, after, limit| {
            let rows = walk::manifests(txn, registry, after, limit)?;
            assert!(rows.iter().all(|(_, content)| content == b"content"));
            Ok(rows.into_iter().map(|(row, _)| row.manifest_id).collect())
        });
        assert_eq!(manifests, sorted(all.manifests.clone()));
        let tags = walked(&world, limit, |txn, after, limit| {
            let rows = walk::tags(txn, registry, after, limit)?;
            for row in &rows {
                assert_eq!(walk::tag(txn, row.tag_id)?.as_ref(), Some(row));
            }
            Ok(rows.into_iter().map(|row| row.tag_id).collect())
        });
        assert_eq!(tags, sorted(all.tags.clone()));
        let blobs = walked(&world, limit, |txn, after, limit| {
            let rows = walk::blobs(txn, registry, after, limit)?;
            Ok(rows.into_iter().map(|row| row.blob_id).collect())
        });
        assert_eq!(blobs, sorted(all.blobs.clone()));
        let links = walked(&world, limit, |txn, after, limit| {
            let rows = walk::links(txn, registry, after, limit)?;
            for row in &rows {
                assert_eq!(walk::link(txn, row.link_id)?.as_ref(), Some(row));
            }
            Ok(rows.into_iter().map(|row| row.link_id).collect())
        });
        assert_eq!(links, sorted(all.links.clone()));
        let uploads = walked(&world, limit, |txn, after, limit| {
            let rows = walk::uploads(txn, registry, after, limit)?;
            Ok(rows.into_iter().map(|row| row.upload_id).collect())
        });
        assert_eq!(uploads, sorted(all.uploads.clone()));
        let parts = walked(&world, limit, |txn, after, limit| {
            let rows = walk::parts(txn, registry, after, LAST, limit)?;
            Ok(rows.into_iter().map(|row| row.part_id).collect())
        });
        assert_eq!(parts, sorted(all.parts.clone()));
        let both = walked(&world, limit, |txn, after, limit| {
            let rows = walk::all_parts(txn, after, LAST, limit)?;
            Ok(rows.into_iter().map(|row| row.part_id).collect())
        });
        assert_eq!(both, sorted([all.parts.clone(), other.parts.clone()].concat()));
    }
    assert_eq!(world.read(|txn| walk::count_parts(txn, registry)), 5);
    let (mine, theirs) = (all.parts[0], other.parts[0]);
    let asked = [mine, theirs, PartId::random(&OsEntropy)];
    let found = world.read(|txn| walk::find_parts(txn, &asked));
    assert_eq!(sorted(found.iter().map(|row| row.part_id).collect()), sorted(vec![mine, theirs]));
}

fn a_walk_over_parts_keeps_within_its_bounds(world: World) {
    let registry = world.registry();
    let part = |first: u8, last: u8| {
        let mut bytes = [0; 16];
        (bytes[0], bytes[15]) = (first, last);
        PartId::from_bytes(bytes)
    };
    let parts = [part(0, 0), part(6, 0xff), part(7, 0), part(7, 9), part(8, 0), part(0xff, 0)];
    world.write(move |txn| {
        let until = txn.now();
        part::insert_writing(txn, registry, &parts, until)
    });
    let within = |after, last| {
        let ids = |rows: Vec<part::PartRow>| rows.into_iter().map(|row| row.part_id).collect();
        let one: Vec<PartId> = ids(world.read(|txn| walk::parts(txn, registry, after, last, 9)));
        let all: Vec<PartId> = ids(world.read(|txn| walk::all_parts(txn, after, last, 9)));
        assert_eq!(one, all);
        one
    };
    assert_eq!(within(None, part(0, 0)), [part(0, 0)], "the first id is not skipped");
    assert_eq!(within(Some(part(6, 0xff)), part(7, 9)), [part(7, 0), part(7, 9)]);
    assert_eq!(within(Some(part(7, 9)), LAST), [part(8, 0), part(0xff, 0)]);
    assert_eq!(within(None, LAST), parts);
}

fn edges_are_brought_home(world: World) {
    let registry = world.registry();
    let (home, away) = (world.repository(registry, "home"), world.repository(registry, "away"));
    let manifest = world.manifest(registry, home, "image");
    let edge = |kind, name| Edge { kind, child_index: index("digest", name) };
    let (config, layer) = (edge(EdgeKind::Config, "config"), edge(EdgeKind::Layer, "layer"));
    world.write(move |txn| {
        edge::insert_many(txn, manifest, home, &[config])?;
        edge::insert_many(txn, manifest, away, &[layer])
    });
    let edges = || world.read(|txn| walk::edges(txn, manifest));
    assert_eq!(edges(), [(home, config), (away, layer)]);
    assert_eq!(world.write(move |txn| walk::rehome_edges(txn, manifest, home)), 1);
    assert_eq!(edges(), [(home, config), (home, layer)]);
    assert_eq!(world.write(move |txn| walk::rehome_edges(txn, manifest, home)), 0);
}

fn records_of_every_kind_are_walked(world: World) {
    let ids: Vec<RowId> = (1..=3).map(|n| RowId::from_bytes([n; 16])).collect();
    let rows = ids.clone();
    world.write(move |txn| {
        for (id, kind) in rows.iter().zip(["owner", "scrub", "owner"]) {
            let name = index(kind, &id.to_string());
            assert!(instance::insert_record(txn, *id, kind, &name, None, b"sealed")?);
        }
        Ok(())
    });
    let found = walked(&world, 2, |txn, after, limit| {
        let rows = walk::records(txn, after, limit)?;
        Ok(rows.into_iter().map(|row| row.row_id).collect())
    });
    assert_eq!(found, ids);
}
