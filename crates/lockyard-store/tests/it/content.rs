//! Stories of the content's rows: repositories, blobs, links, parts, uploads, manifests, edges,
//! tags.

use std::time::Duration;

use lockyard_base::{
    BlobId, Epoch, LinkId, ManifestId, OsEntropy, PartId, RepositoryId, TagId, UploadId,
};
use lockyard_store::{
    SealNo, StoreError, Txn,
    blob::{self, BlobState},
    edge::{self, Edge, EdgeKind},
    link, manifest,
    part::{self, PartState},
    repository,
    tag::{self, PutTag},
    upload,
};

use crate::{
    Story,
    world::{World, index, new_link},
};

pub(crate) const STORIES: &[Story] = &[
    ("a_repository_is_made_once_and_revived_in_its_own_row", a_repository),
    ("a_listing_tells_what_changed_in_pages", a_listing_tells_what_changed_in_pages),
    ("a_blob_is_reached_through_a_link_only", a_blob_is_reached_through_a_link_only),
    ("a_blob_is_swapped_by_its_seal_number", a_blob_is_swapped_by_its_seal_number),
    ("a_linked_blob_cannot_be_deleted", a_linked_blob_cannot_be_deleted),
    ("required_blobs_are_touched_and_missing_ones_named", required_blobs),
    ("a_part_goes_from_writing_to_live_to_dead_to_nothing", a_part),
    ("a_part_may_lie_in_its_row", a_part_in_its_row),
    ("a_part_whose_lease_ran_out_cannot_become_live", a_part_whose_lease_ran_out),
    ("a_renewed_part_is_spared", a_renewed_part_is_spared),
    ("an_upload_takes_each_step_once", an_upload_takes_each_step_once),
    ("expired_uploads_are_found_by_registry", expired_uploads_are_found_by_registry),
    ("a_manifest_is_found_with_and_without_its_content", a_manifest),
    ("a_large_manifest_comes_back_whole", a_large_manifest_comes_back_whole),
    ("an_index_touches_the_children_that_exist", an_index_touches_the_children),
    ("edges_name_blobs_and_subjects", edges_name_blobs_and_subjects),
    ("referrers_come_in_pages", referrers_come_in_pages),
    ("a_tag_moves_dies_and_revives_in_its_own_row", a_tag),
    ("a_tag_of_a_deleted_repository_is_lost", a_tag_of_a_deleted_repository_is_lost),
    ("a_tagged_manifest_cannot_be_deleted", a_tagged_manifest_cannot_be_deleted),
    ("every_sealed_row_is_resealed_by_compare_and_set", every_sealed_row_is_resealed),
];

fn a_repository(world: World) {
    let registry = world.registry();
    let name = index("repository", "app");
    let upsert = |id, sealed: &'static [u8]| {
        world.write(move |txn| {
            repository::upsert_live(txn, registry, &name, id, Epoch::FIRST, sealed)
        })
    };
    let id = || RepositoryId::random(&OsEntropy);
    let first = upsert(id(), b"one");
    assert_eq!((first.version, first.deleted, first.tag_version), (1, false, 0));
    assert_eq!(upsert(id(), b"two"), first, "a live repository stays as it is");

    let delete =
        || world.write(move |txn| repository::mark_deleted(txn, registry, first.repository_id));
    assert!(delete());
    assert!(!delete());
    let tombstone = world.read(|txn| repository::by_index(txn, registry, &name)).unwrap();
    assert!(tombstone.deleted && tombstone.version == 2);
    assert_eq!(tombstone.repository_id, first.repository_id);

    let revived = upsert(id(), b"three");
    assert_eq!(revived.repository_id, first.repository_id);
    assert_eq!(revived.sealed, b"one", "the row's own sealed name serves again");
    assert!(!revived.deleted && revived.version > tombstone.version);
    assert_eq!(world.read(|txn| repository::get(txn, first.repository_id)), Some(revived));

    let nowhere = lockyard_base::RegistryId::random(&OsEntropy);
    let lost = world.store.write_blocking(None, move |txn| {
        repository::upsert_live(txn, nowhere, &name, id(), Epoch::FIRST, b"four")
    });
    assert!(matches!(lost, Err(StoreError::Dangling(_))), "{lost:?}");
}

fn a_listing_tells_what_changed_in_pages(world: World) {
    let registry = world.registry();
    let changed = |seen, limit| {
        world.read(|txn| repository::changed_since(txn, registry, seen, limit)).unwrap()
    };
    let empty = changed(0, 10);
    assert_eq!((empty.version, empty.pruned_to, empty.rows.len()), (0, 0, 0));

    let ids: Vec<_> = (0..5).map(|n| world.repository(registry, &format!("app{n}"))).collect();
    let (mut seen, mut found) = (0, Vec::new());
    loop {
        let page = changed(seen, 2);
        assert_eq!(page.version, 5);
        seen = page.rows.last().map_or(page.version, |row| row.version);
        found.extend(page.rows.iter().map(|row| row.repository_id));
        if page.rows.len() < 2 {
            break;
        }
    }
    assert_eq!(found, ids);
    assert_eq!(changed(5, 10).rows, []);

    let gone = ids[1];
    world.write(move |txn| repository::mark_deleted(txn, registry, gone));
    let news = changed(5, 10);
    assert_eq!(news.rows.len(), 1);
    assert!(news.rows[0].deleted && news.rows[0].repository_id == gone);
    let nowhere = lockyard_base::RegistryId::random(&OsEntropy);
    assert_eq!(world.read(|txn| repository::changed_since(txn, nowhere, 0, 10)), None);
}

fn a_blob_is_reached_through_a_link_only(world: World) {
    let registry = world.registry();
    let (mine, yours) = (world.repository(registry, "mine"), world.repository(registry, "yours"));
    let (blob_id, link_id) = world.blob(registry, mine, "layer");
    let digest = index("digest", "layer");
    let linked =
        |repository| world.read(|txn| blob::find_linked(txn, registry, repository, &digest));
    let (blob_row, link_row) = linked(mine).unwrap();
    assert_eq!((blob_row.blob_id, link_row.link_id), (blob_id, link_id));
    assert_eq!(blob_row.state, BlobState::Present);
    assert_eq!(world.read(|txn| link::find(txn, mine, blob_id)), Some(link_row.clone()));
    assert_eq!(linked(yours), None);

    world.wait(Duration::from_secs(10));
    let again = move |txn: &mut Txn<'_>| {
        link::insert_or_touch(txn, &new_link(LinkId::random(&OsEntropy), mine, blob_id))
    };
    assert!(!world.write(again), "the link is there");
    let touched = linked(mine).unwrap().1;
    assert_eq!(touched.link_id, link_id);
    assert!(touched.touched_at >= link_row.touched_at + Duration::from_secs(10));
    assert_eq!(world.write(move |txn| link::lock(txn, link_id)), Some(touched.clone()));
    world.wait(Duration::from_secs(10));
    assert!(world.write(move |txn| link::touch(txn, link_id)));
    assert!(linked(mine).unwrap().1.touched_at >= touched.touched_at + Duration::from_secs(10));

    assert_eq!(world.read(|txn| link::of_blob(txn, blob_id)), 1);
    assert!(world.write(move |txn| link::delete(txn, link_id)));
    assert!(!world.write(move |txn| link::delete(txn, link_id)));
    assert!(!world.write(move |txn| link::touch(txn, link_id)));
    assert_eq!(linked(mine), None);
    assert_eq!(world.read(|txn| link::of_blob(txn, blob_id)), 0);
    assert!(world.read(|txn| blob::find(txn, registry, &digest)).is_some());
}

fn a_blob_is_swapped_by_its_seal_number(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let (id, _) = world.blob(registry, repository, "layer");
    let update = |state| {
        let seen = SealNo::FIRST;
        world.write(move |txn| blob::update(txn, id, seen, Epoch::new(2), state, b"new"))
    };
    assert!(update(BlobState::Quarantined));
    assert!(!update(BlobState::Present));
    let row = world.read(|txn| blob::get(txn, id)).unwrap();
    assert_eq!((row.state, row.epoch), (BlobState::Quarantined, Epoch::new(2)));
    assert_eq!((row.sealed.as_slice(), row.seal_no.number()), (b"new".as_slice(), 2));
    let digest = index("digest", "layer");
    assert_eq!(world.write(move |txn| blob::hold(txn, registry, &digest)), Some(row.clone()));
    assert_eq!(world.write(move |txn| blob::lock(txn, registry, &digest)), Some(row));
    let new = move |txn: &mut Txn<'_>| {
        let new = blob::NewBlob {
            blob_id: BlobId::random(&OsEntropy),
            registry_id: registry,
            digest_index: digest,
            epoch: Epoch::FIRST,
            sealed: b"again",
        };
        blob::insert(txn, &new)
    };
    assert!(!world.write(new), "a registry has one blob per digest");
}

fn a_linked_blob_cannot_be_deleted(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let (blob_id, link_id) = world.blob(registry, repository, "layer");
    let refused = world.store.write_blocking(None, move |txn| blob::delete(txn, blob_id));
    assert!(matches!(refused, Err(StoreError::Dangling(_))), "{refused:?}");
    world.write(move |txn| link::delete(txn, link_id));
    assert!(world.write(move |txn| blob::delete(txn, blob_id)));
    assert!(!world.write(move |txn| blob::delete(txn, blob_id)));
}

fn required_blobs(world: World) {
    let registry = world.registry();
    let (mine, yours) = (world.repository(registry, "mine"), world.repository(registry, "yours"));
    world.blob(registry, mine, "one");
    let (damaged, _) = world.blob(registry, mine, "two");
    world.blob(registry, mine, "three");
    world.blob(registry, yours, "four");
    let digest = |name: &str| index("digest", name);
    let required = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| digest(name)).collect();
        world.write(move |txn| link::touch_required(txn, registry, mine, &names))
    };
    let before = world.read(|txn| blob::find_linked(txn, registry, mine, &digest("one")));
    world.wait(Duration::from_secs(60));
    assert_eq!(required(&[]), []);
    assert_eq!(required(&["one", "three", "one"]), [], "a layer may come twice");
    let after = world.read(|txn| blob::find_linked(txn, registry, mine, &digest("one")));
    let minute_ago = after.unwrap().1.touched_at.saturating_sub(Duration::from_secs(60));
    assert!(minute_ago >= before.unwrap().1.touched_at);

    assert_eq!(required(&["one", "four"]), [digest("four")], "other repositories do not help");
    assert_eq!(required(&["five", "one", "five"]), [digest("five")]);
    let (seen, state) = (SealNo::FIRST, BlobState::Quarantined);
    world.write(move |txn| blob::update(txn, damaged, seen, Epoch::FIRST, state, b"two"));
    assert_eq!(required(&["two", "three"]), [digest("two")], "a damaged blob is to be pushed anew");
}

fn parts<const N: usize>() -> [PartId; N] {
    std::array::from_fn(|_| PartId::random(&OsEntropy))
}

fn a_part(world: World) {
    let registry = world.registry();
    let ids: [PartId; 3] = parts();
    let state = |id| world.read(|txn| part::get(txn, id)).map(|row| row.state);
    let day = Duration::from_secs(86_400);
    world.write(move |txn| {
        let lease_until = txn.now() + day;
        part::insert_writing(txn, registry, &ids, lease_until)
    });
    assert!(ids.iter().all(|&id| state(id) == Some(PartState::Writing)));
    world.write(move |txn| part::make_live(txn, &ids[..2]));
    assert_eq!(state(ids[0]), Some(PartState::Live));
    let twice = world.store.write_blocking(None, move |txn| part::make_live(txn, &ids));
    assert!(matches!(twice, Err(StoreError::PartNotWriting)), "{twice:?}");
    assert_eq!(state(ids[2]), Some(PartState::Writing), "the refused write changed nothing");

    assert_eq!(world.write(move |txn| part::delete(txn, &ids)), 0, "only dead parts are forgotten");
    assert_eq!(world.write(move |txn| part::make_dead(txn, &ids)), 3);
    assert_eq!(world.write(move |txn| part::make_dead(txn, &ids)), 0);
    let dead = |grace| {
        world.read(|txn| {
            let cutoff = txn.now().saturating_sub(grace);
            part::dead_before(txn, registry, cutoff, 10)
        })
    };
    assert_eq!(dead(day), [], "the grace is not over");
    world.wait(day + day);
    let mut sorted = ids;
    sorted.sort_unstable();
    assert_eq!(dead(day), sorted);
    assert_eq!(world.write(move |txn| part::delete(txn, &ids)), 3);
    assert_eq!(state(ids[0]), None);
}

fn a_part_in_its_row(world: World) {
    let registry = world.registry();
    let [id, filed, never]: [PartId; 3] = parts();
    world.write(move |txn| part::insert_in_row(txn, registry, id, b"sealed"));
    world.write(move |txn| {
        let lease_until = txn.now();
        part::insert_writing(txn, registry, &[filed], lease_until)
    });
    let row = |id| world.read(|txn| part::get(txn, id)).unwrap();
    assert_eq!((row(id).state, row(id).in_row), (PartState::Live, true));
    assert_eq!((row(filed).state, row(filed).in_row), (PartState::Writing, false));
    let content = |id| world.read(|txn| part::content(txn, id));
    assert_eq!(content(id).as_deref(), Some(&b"sealed"[..]));
    assert_eq!((content(filed), content(never)), (None, None));
    let again = world
        .store
        .write_blocking(None, move |txn| part::insert_in_row(txn, registry, id, b"other"));
    assert!(again.is_err(), "an id is never used twice");
    let not_written = world.store.write_blocking(None, move |txn| part::make_live(txn, &[id]));
    assert!(matches!(not_written, Err(StoreError::PartNotWriting)), "{not_written:?}");
    assert_eq!(world.write(move |txn| part::make_dead(txn, &[id])), 1);
    assert_eq!(content(id).as_deref(), Some(&b"sealed"[..]), "a reader may have begun");
    assert_eq!(world.write(move |txn| part::delete(txn, &[id])), 1);
    assert_eq!(content(id), None);
}

fn a_part_whose_lease_ran_out(world: World) {
    let (registry, other) = (world.registry(), world.registry());
    let ids: [PartId; 2] = parts();
    let hour = Duration::from_secs(3600);
    let expired = |registry| {
        world.read(|txn| {
            let now = txn.now();
            part::expired_writing(txn, registry, now, 10)
        })
    };
    world.write(move |txn| {
        let lease_until = txn.now() + hour;
        part::insert_writing(txn, registry, &ids, lease_until)
    });
    assert_eq!(expired(registry), []);
    world.wait(hour * 2);
    assert_eq!(expired(registry).len(), 2);
    assert_eq!(expired(other), [], "another registry may be locked and is left alone");
    let killed = world.write(move |txn| {
        let now = txn.now();
        part::expire(txn, &ids, now)
    });
    assert_eq!(killed.len(), 2);
    let late = world.store.write_blocking(None, move |txn| part::make_live(txn, &ids));
    assert!(matches!(late, Err(StoreError::PartNotWriting)), "{late:?}");
    let renewed = world.write(move |txn| {
        let lease_until = txn.now() + hour;
        part::renew(txn, &ids, lease_until)
    });
    assert!(!renewed);
}

fn a_renewed_part_is_spared(world: World) {
    let registry = world.registry();
    let ids: [PartId; 2] = parts();
    let hour = Duration::from_secs(3600);
    world.write(move |txn| {
        let lease_until = txn.now() + hour;
        part::insert_writing(txn, registry, &ids, lease_until)
    });
    world.wait(hour * 2);
    let renewed = world.write(move |txn| {
        let lease_until = txn.now() + hour;
        part::renew(txn, &ids[..1], lease_until)
    });
    assert!(renewed);
    let killed = world.write(move |txn| {
        let now = txn.now();
        part::expire(txn, &ids, now)
    });
    assert_eq!(killed, [ids[1]]);
    world.write(move |txn| part::make_live(txn, &ids[..1]));
}

/// Begins an upload that expires after an hour.
fn begin_upload(
    world: &World,
    registry_id: lockyard_base::RegistryId,
    repository_id: RepositoryId,
) -> UploadId {
    let upload_id = UploadId::random(&OsEntropy);
    world.write(move |txn| {
        let expires_at = txn.now() + Duration::from_secs(3600);
        let new = upload::NewUpload {
            upload_id,
            registry_id,
            repository_id,
            epoch: Epoch::FIRST,
            sealed: b"empty",
            expires_at,
        };
        upload::insert(txn, &new)
    });
    upload_id
}

fn an_upload_takes_each_step_once(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let id = begin_upload(&world, registry, repository);
    assert_eq!(world.read(|txn| upload::count(txn, registry)), 1);
    let advance = |expected| {
        world.write(move |txn| {
            let expires_at = txn.now() + Duration::from_secs(7200);
            upload::advance(txn, id, expected, Epoch::FIRST, b"more", expires_at)
        })
    };
    assert!(advance(0));
    assert!(!advance(0), "the loser has nothing to commit");
    assert!(advance(1));
    let row = world.read(|txn| upload::get(txn, id)).unwrap();
    assert_eq!((row.generation, row.seal_no.number()), (2, 3));
    assert_eq!(row.sealed, b"more");
    assert_eq!(world.write(move |txn| upload::lock(txn, id)), Some(row));
    assert!(!world.write(move |txn| upload::delete(txn, id, 1)));
    assert!(world.write(move |txn| upload::delete(txn, id, 2)));
    assert!(!advance(2));
    assert_eq!(world.read(|txn| upload::get(txn, id)), None);
    assert_eq!(world.read(|txn| upload::count(txn, registry)), 0);
}

fn expired_uploads_are_found_by_registry(world: World) {
    let (registry, other) = (world.registry(), world.registry());
    let repository = world.repository(registry, "app");
    let id = begin_upload(&world, registry, repository);
    let expired = |registry| {
        world.read(|txn| {
            let now = txn.now();
            upload::expired(txn, registry, now, 10)
        })
    };
    assert_eq!(expired(registry), []);
    world.wait(Duration::from_secs(3601));
    assert_eq!(expired(registry).iter().map(|row| row.upload_id).collect::<Vec<_>>(), [id]);
    assert_eq!(expired(other), []);
}

fn a_manifest(world: World) {
    let registry = world.registry();
    let (mine, yours) = (world.repository(registry, "mine"), world.repository(registry, "yours"));
    let id = world.manifest(registry, mine, "image");
    let scoped = index("scoped", "image");
    let row = world.read(|txn| manifest::by_index(txn, mine, &scoped)).unwrap();
    assert_eq!((row.manifest_id, row.child_index), (id, index("digest", "image")));
    assert_eq!(row.sealed, b"descriptor");
    assert_eq!(world.read(|txn| manifest::by_index(txn, yours, &scoped)), None);
    let whole = Some((row.clone(), b"content".to_vec()));
    assert_eq!(world.read(|txn| manifest::by_index_with_content(txn, mine, &scoped)), whole);
    assert_eq!(world.read(|txn| manifest::get_with_content(txn, id)), whole);
    assert_eq!(world.write(move |txn| manifest::lock(txn, id)), Some(row.clone()));
    let again = move |txn: &mut Txn<'_>| {
        let new = manifest::NewManifest {
            manifest_id: ManifestId::random(&OsEntropy),
            registry_id: registry,
            repository_id: mine,
            digest_index: scoped,
            child_index: row.child_index,
            epoch: Epoch::FIRST,
            sealed: b"other",
            content: b"other",
        };
        manifest::insert(txn, &new)
    };
    assert!(!world.write(again), "a repository has one manifest per digest");
    world.wait(Duration::from_secs(5));
    assert!(world.write(move |txn| manifest::touch(txn, id)));
    let touched = world.read(|txn| manifest::get(txn, id)).unwrap();
    assert!(touched.touched_at >= touched.created_at + Duration::from_secs(5));
    assert_eq!(world.read(|txn| manifest::count(txn, mine)), 1);
    assert!(world.write(move |txn| manifest::delete(txn, id)));
    assert!(!world.write(move |txn| manifest::touch(txn, id)));
    assert_eq!(world.read(|txn| manifest::count(txn, mine)), 0);
}

fn a_large_manifest_comes_back_whole(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let id = world.manifest(registry, repository, "image");
    let content = crate::world::noise((4 << 20) + 56);
    let written = content.clone();
    let reseal = move |txn: &mut Txn<'_>| {
        manifest::reseal(txn, id, SealNo::FIRST, Epoch::FIRST, b"descriptor", &written)
    };
    assert!(world.write(reseal));
    let (_, read) = world.read(|txn| manifest::get_with_content(txn, id)).unwrap();
    assert!(read == content);
}

fn an_index_touches_the_children(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let id = world.manifest(registry, repository, "amd64");
    let children = [index("digest", "amd64"), index("digest", "arm64")];
    let before = world.read(|txn| manifest::get(txn, id)).unwrap();
    assert_eq!(
        world.read(|txn| manifest::children_present(txn, repository, &children)),
        children[..1]
    );
    world.wait(Duration::from_secs(5));
    let touched = world.write(move |txn| manifest::touch_children(txn, repository, &children));
    assert_eq!(touched, children[..1]);
    let after = world.read(|txn| manifest::get(txn, id)).unwrap();
    assert!(after.touched_at >= before.touched_at + Duration::from_secs(5));
}

fn edges_name_blobs_and_subjects(world: World) {
    let registry = world.registry();
    let (mine, yours) = (world.repository(registry, "mine"), world.repository(registry, "yours"));
    let id = world.manifest(registry, mine, "image");
    let edge = |kind, name: &str| Edge { kind, child_index: index("digest", name) };
    let mut edges = vec![
        edge(EdgeKind::Config, "config"),
        edge(EdgeKind::Layer, "layer"),
        edge(EdgeKind::Layer, "other layer"),
        edge(EdgeKind::Child, "child"),
        edge(EdgeKind::Subject, "subject"),
        edge(EdgeKind::Foreign, "foreign"),
    ];
    let mut given = edges.clone();
    given.push(edges[1]);
    world.write(move |txn| edge::insert_many(txn, id, mine, &given));
    let mut found = world.read(|txn| edge::of_manifest(txn, id));
    found.sort_unstable();
    edges.sort_unstable();
    assert_eq!(found, edges);
    let named = |repository, name: &str| {
        world.read(|txn| edge::names_blob(txn, repository, &index("digest", name)))
    };
    assert!(named(mine, "config") && named(mine, "layer") && named(mine, "child"));
    assert!(!named(mine, "subject") && !named(mine, "foreign"), "those are no claims to a blob");
    assert!(!named(yours, "layer"));
    let stuck = world.store.write_blocking(None, move |txn| manifest::delete(txn, id));
    assert!(matches!(stuck, Err(StoreError::Dangling(_))), "edges go first: {stuck:?}");
    assert_eq!(world.write(move |txn| edge::delete_of_manifest(txn, id)), 6);
    assert!(!named(mine, "config"));
}

fn referrers_come_in_pages(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let subject = index("digest", "image");
    let mut ids: Vec<ManifestId> = Vec::new();
    for name in ["signature", "bill of materials", "attestation"] {
        let id = world.manifest(registry, repository, name);
        world.write(move |txn| {
            let edge = Edge { kind: EdgeKind::Subject, child_index: subject };
            edge::insert_many(txn, id, repository, &[edge])
        });
        ids.push(id);
    }
    ids.sort_unstable();
    let page = |after| {
        world
            .read(|txn| edge::referrers(txn, repository, &subject, after, 2))
            .into_iter()
            .map(|row| row.manifest_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None), ids[..2]);
    assert_eq!(page(Some(ids[1])), ids[2..]);
    assert_eq!(page(Some(ids[2])), []);
}

/// What puts the tag `latest` on a manifest.
fn latest(
    repository_id: RepositoryId,
    tag_id: TagId,
    expected: Option<SealNo>,
    manifest_id: ManifestId,
) -> PutTag<'static> {
    PutTag {
        repository_id,
        name_index: index("tag", "latest"),
        tag_id,
        expected,
        epoch: Epoch::FIRST,
        sealed: b"latest",
        manifest_id,
    }
}

fn a_tag(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let (one, two) =
        (world.manifest(registry, repository, "one"), world.manifest(registry, repository, "two"));
    let (id, name) = (TagId::random(&OsEntropy), index("tag", "latest"));
    let put = |id, expected, manifest| {
        world.write(move |txn| tag::put(txn, &latest(repository, id, expected, manifest)))
    };
    let row = || world.read(|txn| tag::row_for(txn, repository, &name)).unwrap();
    assert_eq!(world.read(|txn| tag::row_for(txn, repository, &name)), None);
    assert_eq!(put(id, None, one), Some(1));
    assert_eq!(put(TagId::random(&OsEntropy), None, two), None, "somebody else made it first");
    assert!(put(id, Some(row().seal_no), two).is_some());
    assert_eq!(put(id, Some(SealNo::FIRST), one), None, "somebody else moved it");

    let resolved = world.read(|txn| tag::resolve(txn, repository, &name)).unwrap();
    assert_eq!((resolved.0.tag_id, resolved.1.manifest_id), (id, two));
    let content = world.read(|txn| manifest::content(txn, two));
    assert_eq!(content, Some(b"content".to_vec()));
    assert_eq!(world.read(|txn| tag::of_manifest(txn, two)), [resolved.0]);
    assert_eq!(world.read(|txn| tag::of_manifest(txn, one)), []);

    let seen = row().seal_no;
    let delete = |seen| world.write(move |txn| tag::delete(txn, repository, id, seen));
    assert_eq!(delete(SealNo::FIRST), None);
    let version = delete(seen).unwrap();
    assert_eq!(delete(row().seal_no), None, "a tombstone dies no second time");
    assert_eq!(world.read(|txn| tag::by_index(txn, repository, &name)), None);
    assert_eq!(world.read(|txn| tag::resolve(txn, repository, &name)), None);
    let tombstone = row();
    assert!(tombstone.deleted && tombstone.sealed.is_none() && tombstone.version == version);

    assert!(put(id, Some(tombstone.seal_no), one).is_some());
    let alive = world.read(|txn| tag::by_index(txn, repository, &name)).unwrap();
    assert_eq!((alive.tag_id, alive.manifest_id), (id, Some(one)));
    let changed = |seen| world.read(|txn| tag::changed_since(txn, repository, seen, 10)).unwrap();
    assert_eq!(changed(0).rows, std::slice::from_ref(&alive), "one row, however often it changed");
    assert_eq!(changed(0).version, alive.version);
    assert_eq!(changed(alive.version).rows, []);
}

fn a_tag_of_a_deleted_repository_is_lost(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let manifest = world.manifest(registry, repository, "one");
    assert!(world.write(move |txn| repository::mark_deleted(txn, registry, repository)));
    let put = latest(repository, TagId::random(&OsEntropy), None, manifest);
    assert_eq!(world.write(move |txn| tag::put(txn, &put)), None);
}

fn a_tagged_manifest_cannot_be_deleted(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let manifest = world.manifest(registry, repository, "one");
    let put = latest(repository, TagId::random(&OsEntropy), None, manifest);
    world.write(move |txn| tag::put(txn, &put));
    let stuck = world.store.write_blocking(None, move |txn| manifest::delete(txn, manifest));
    assert!(matches!(stuck, Err(StoreError::Dangling(_))), "{stuck:?}");
}

fn every_sealed_row_is_resealed(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let manifest = world.manifest(registry, repository, "one");
    let (_, link) = world.blob(registry, repository, "layer");
    let tag = TagId::random(&OsEntropy);
    let put = latest(repository, tag, None, manifest);
    world.write(move |txn| tag::put(txn, &put));
    let (seen, epoch) = (SealNo::FIRST, Epoch::new(2));
    let reseal = move |txn: &mut Txn<'_>| {
        Ok([
            repository::reseal(txn, repository, seen, epoch, b"new")?,
            link::reseal(txn, link, seen, epoch, b"new")?,
            manifest::reseal(txn, manifest, seen, epoch, b"new", b"newer")?,
            tag::reseal(txn, tag, seen, epoch, b"new")?,
        ])
    };
    assert_eq!(world.write(reseal), [true; 4]);
    assert_eq!(world.write(reseal), [false; 4]);
    let row = world.read(|txn| repository::get(txn, repository)).unwrap();
    assert_eq!((row.epoch, row.sealed.as_slice()), (epoch, b"new".as_slice()));
    let row = world.write(move |txn| link::lock(txn, link)).unwrap();
    assert_eq!((row.epoch, row.sealed.as_slice()), (epoch, b"new".as_slice()));
    let (row, content) = world.read(|txn| manifest::get_with_content(txn, manifest)).unwrap();
    assert_eq!((row.epoch, row.sealed.as_slice()), (epoch, b"new".as_slice()));
    assert_eq!(content, b"newer");
    let row = world.read(|txn| tag::of_manifest(txn, manifest)).remove(0);
    assert_eq!((row.epoch, row.sealed.as_deref()), (epoch, Some(b"new".as_slice())));
}
