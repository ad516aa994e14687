//! Stories of several writers at once: on PostgreSQL from two stores with connections of their own,
//! as two nodes would; on SQLite from two threads before the one writer.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use lockyard_base::{Epoch, LinkId, OsEntropy, RepositoryId, TagId, UploadId};
use lockyard_store::{
    SealNo, Store, StoreError, Txn, blob,
    epoch::{self, EpochState},
    instance, link, repository,
    tag::{self, PutTag},
    upload,
};

use crate::{
    Story,
    world::{World, index, new_link},
};

pub(crate) const STORIES: &[Story] = &[
    ("of_many_who_take_the_same_step_one_wins", of_many_who_take_the_same_step_one_wins),
    ("of_many_who_swap_a_key_one_wins", of_many_who_swap_a_key_one_wins),
    ("many_who_make_a_repository_make_one", many_who_make_a_repository_make_one),
    ("many_who_link_a_blob_make_one_link", many_who_link_a_blob_make_one_link),
    ("a_follower_misses_no_tag", a_follower_misses_no_tag),
    ("retiring_an_epoch_waits_for_the_writes_under_way", retiring_an_epoch_waits),
    ("a_write_that_comes_after_retirement_fails", a_write_that_comes_after_retirement),
    ("writers_of_one_epoch_do_not_wait_for_each_other", writers_of_one_epoch),
    ("a_blob_that_is_being_linked_is_not_collected", a_blob_that_is_being_linked),
    ("a_blob_that_was_collected_is_gone_for_its_linker", a_blob_that_was_collected),
    ("a_link_that_was_collected_is_missing_for_a_manifest", a_link_that_was_collected),
    ("a_link_that_a_manifest_touched_is_not_collected", a_link_that_a_manifest_touched),
    ("a_deadlock_is_replayed_and_nobody_hears_of_it", a_deadlock_is_replayed),
];

/// Runs `work` eight times at once, half of them through the other store.
fn at_once<T: Send + 'static>(
    world: &World,
    work: impl Fn(&Store, usize) -> T + Send + Sync + 'static,
) -> Vec<T> {
    const WRITERS: usize = 8;
    let (start, work) = (Barrier::new(WRITERS), &work);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let store = if number % 2 == 0 { &world.store } else { &world.other };
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    work(store, number)
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    })
}

/// Runs `first` up to its commit, lets `second` run into it, and then lets `first` commit.
pub(crate) fn overlap<A: Send + 'static, B: Send + 'static>(
    world: &World,
    mut first: impl FnMut(&mut Txn<'_>) -> Result<A, StoreError> + Send + 'static,
    second: impl FnMut(&mut Txn<'_>) -> Result<B, StoreError> + Send + 'static,
) -> (Result<A, StoreError>, Result<B, StoreError>) {
    let (started, has_started) = mpsc::channel::<()>();
    let (release, released) = mpsc::channel::<()>();
    let paused = move |txn: &mut Txn<'_>| {
        let answer = first(txn)?;
        // Both ends may be gone when this is a replay.
        started.send(()).unwrap_or_default();
        released.recv().unwrap_or_default();
        Ok(answer)
    };
    thread::scope(|scope| {
        let first = scope.spawn(|| world.store.write_blocking(None, paused));
        has_started.recv().unwrap();
        let second = scope.spawn(|| world.other.write_blocking(None, second));
        world.until_somebody_waits(|| second.is_finished());
        let waits = !second.is_finished();
        release.send(()).unwrap();
        assert!(waits, "the second waits for the first");
        (first.join().unwrap(), second.join().unwrap())
    })
}

fn of_many_who_take_the_same_step_one_wins(world: World) {
    let registry_id = world.registry();
    let repository_id = world.repository(registry_id, "app");
    let upload_id = UploadId::random(&OsEntropy);
    world.write(move |txn| {
        let expires_at = txn.now() + Duration::from_secs(60);
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
    let won = at_once(&world, move |store, _| {
        store.write_blocking(None, move |txn| {
            let expires_at = txn.now() + Duration::from_secs(60);
            upload::advance(txn, upload_id, 0, Epoch::FIRST, b"more", expires_at)
        })
    });
    assert_eq!(won.into_iter().filter(|won| *won.as_ref().unwrap()).count(), 1);
    let row = world.read(|txn| upload::get(txn, upload_id)).unwrap();
    assert_eq!(row.generation, 1);
}

fn of_many_who_swap_a_key_one_wins(world: World) {
    world.write(|txn| instance::put_instance_key(txn, "row", None, b"old"));
    let won = at_once(&world, |store, number| {
        let sealed = [u8::try_from(number).unwrap()];
        let seen = Some(SealNo::FIRST);
        let swap = move |txn: &mut Txn<'_>| instance::put_instance_key(txn, "row", seen, &sealed);
        store.write_blocking(None, swap)
    });
    let winners: Vec<usize> =
        won.iter().enumerate().filter(|(_, won)| *won.as_ref().unwrap()).map(|(n, _)| n).collect();
    let row = world.read(|txn| instance::instance_key(txn, "row")).unwrap();
    assert_eq!(winners, [usize::from(row.sealed[0])]);
}

fn many_who_make_a_repository_make_one(world: World) {
    let registry = world.registry();
    let rows = at_once(&world, move |store, _| {
        let (name, id) = (index("repository", "app"), RepositoryId::random(&OsEntropy));
        store.write_blocking(None, move |txn| {
            repository::upsert_live(txn, registry, &name, id, Epoch::FIRST, b"app")
        })
    });
    let ids: BTreeSet<_> = rows.into_iter().map(|row| row.unwrap().repository_id).collect();
    assert_eq!(ids.len(), 1);
}

fn many_who_link_a_blob_make_one_link(world: World) {
    let registry = world.registry();
    let (mine, yours) = (world.repository(registry, "mine"), world.repository(registry, "yours"));
    let (blob_id, _) = world.blob(registry, mine, "layer");
    let created = at_once(&world, move |store, _| {
        let link_id = LinkId::random(&OsEntropy);
        store.write_blocking(None, move |txn| {
            let held = blob::hold(txn, registry, &index("digest", "layer"))?;
            assert_eq!(held.map(|row| row.blob_id), Some(blob_id));
            link::insert_or_touch(txn, &new_link(link_id, yours, blob_id))
        })
    });
    assert_eq!(created.into_iter().filter(|created| *created.as_ref().unwrap()).count(), 1);
    assert_eq!(world.read(|txn| link::of_blob(txn, blob_id)), 2);
}

fn a_follower_misses_no_tag(world: World) {
    const EACH: usize = 12;
    let registry = world.registry();
    let repository_id = world.repository(registry, "app");
    let manifest_id = world.manifest(registry, repository_id, "image");
    let done = Arc::new(AtomicBool::new(false));
    let follower = {
        let (store, done) = (world.other.clone(), Arc::clone(&done));
        thread::spawn(move || {
            let (mut seen, mut found) = (0, BTreeSet::new());
            loop {
                let last = done.load(Ordering::SeqCst);
                let follow = |txn: &mut Txn<'_>| tag::changed_since(txn, repository_id, seen, 5);
                let page = store.read_blocking(follow).unwrap().unwrap();
                let before = found.len();
                for row in &page.rows {
                    assert!(row.version > seen, "a page goes up");
                    seen = row.version;
                    assert!(found.insert(row.tag_id), "each tag changed once");
                }
                seen = if page.rows.len() < 5 { page.version } else { seen };
                if last && before == found.len() {
                    return found;
                }
            }
        })
    };
    let versions = at_once(&world, move |store, writer| {
        let put = |number: usize| {
            let tag_id = TagId::random(&OsEntropy);
            let name_index = index("tag", &format!("{writer}-{number}"));
            store.write_blocking(None, move |txn| {
                let put = PutTag {
                    repository_id,
                    name_index,
                    tag_id,
                    expected: None,
                    epoch: Epoch::FIRST,
                    sealed: b"name",
                    manifest_id,
                };
                Ok::<_, StoreError>((tag_id, tag::put(txn, &put)?.unwrap()))
            })
        };
        (0..EACH).map(|number| put(number).unwrap()).collect::<Vec<_>>()
    });
    done.store(true, Ordering::SeqCst);
    let found = follower.join().unwrap();
    for writer in &versions {
        assert!(writer.is_sorted_by(|one, next| one.1 < next.1), "versions go up for each writer");
    }
    let all: Vec<_> = versions.into_iter().flatten().collect();
    assert_eq!(all.iter().map(|(_, version)| version).collect::<BTreeSet<_>>().len(), all.len());
    assert_eq!(found, all.into_iter().map(|(id, _)| id).collect());
}

/// Moves the first epoch to `retiring`.
fn retire(
    registry: lockyard_base::RegistryId,
) -> impl FnMut(&mut Txn<'_>) -> Result<bool, StoreError> + Send + 'static {
    let (from, to) = (EpochState::Active, EpochState::Retiring);
    move |txn| epoch::set_state(txn, registry, Epoch::FIRST, from, to)
}

fn retiring_an_epoch_waits(world: World) {
    let registry = world.registry();
    let write = move |txn: &mut Txn<'_>| {
        epoch::hold_active(txn, registry, Epoch::FIRST)?;
        let id = RepositoryId::random(&OsEntropy);
        let name = index("repository", "app");
        repository::upsert_live(txn, registry, &name, id, Epoch::FIRST, b"app")
    };
    let (written, retired) = overlap(&world, write, retire(registry));
    assert!(written.is_ok(), "{written:?}");
    assert!(retired.unwrap());
}

fn a_write_that_comes_after_retirement(world: World) {
    let registry = world.registry();
    let hold = move |txn: &mut Txn<'_>| epoch::hold_active(txn, registry, Epoch::FIRST);
    let (retired, held) = overlap(&world, retire(registry), hold);
    assert!(retired.unwrap());
    assert!(matches!(held, Err(StoreError::EpochNotActive)), "{held:?}");
}

fn writers_of_one_epoch(world: World) {
    if !world.is_postgres() {
        return; // there is one writer
    }
    let registry = world.registry();
    let hold = move |txn: &mut Txn<'_>| epoch::hold_active(txn, registry, Epoch::FIRST);
    let other = world.other.clone();
    world.write(move |txn| {
        hold(txn)?;
        let other = other.clone();
        thread::spawn(move || other.write_blocking(None, hold)).join().unwrap()
    });
}

/// Collects a blob as collection does: lock, then in a new statement look, then delete.
fn collect_blob(
    registry: lockyard_base::RegistryId,
) -> impl FnMut(&mut Txn<'_>) -> Result<bool, StoreError> + Send + 'static {
    move |txn| {
        let Some(row) = blob::lock(txn, registry, &index("digest", "layer"))? else {
            return Ok(false);
        };
        if link::of_blob(txn, row.blob_id)? > 0 {
            return Ok(false);
        }
        blob::delete(txn, row.blob_id)
    }
}

/// Links an existing blob to a repository, if it is there.
fn link_blob(
    registry: lockyard_base::RegistryId,
    repository: RepositoryId,
) -> impl FnMut(&mut Txn<'_>) -> Result<bool, StoreError> + Send + 'static {
    move |txn| {
        let Some(row) = blob::hold(txn, registry, &index("digest", "layer"))? else {
            return Ok(false);
        };
        link::insert_or_touch(txn, &new_link(LinkId::random(&OsEntropy), repository, row.blob_id))
    }
}

fn a_blob_that_is_being_linked(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let (_, link) = world.blob(registry, repository, "layer");
    world.write(move |txn| link::delete(txn, link));
    let (linked, collected) =
        overlap(&world, link_blob(registry, repository), collect_blob(registry));
    assert!(linked.unwrap());
    assert!(!collected.unwrap());
}

fn a_blob_that_was_collected(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let (_, link) = world.blob(registry, repository, "layer");
    world.write(move |txn| link::delete(txn, link));
    let (collected, linked) =
        overlap(&world, collect_blob(registry), link_blob(registry, repository));
    assert!(collected.unwrap());
    assert!(!linked.unwrap(), "the linker is told that the blob is gone");
}

/// Collects a link as collection does: lock, then look at its age.
fn collect_link(
    link: LinkId,
    age: Duration,
) -> impl FnMut(&mut Txn<'_>) -> Result<bool, StoreError> + Send + 'static {
    move |txn| {
        let cutoff = txn.now().saturating_sub(age);
        match link::lock(txn, link)? {
            Some(row) if row.touched_at < cutoff => link::delete(txn, link),
            _ => Ok(false),
        }
    }
}

fn a_link_that_was_collected(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let (_, link) = world.blob(registry, repository, "layer");
    world.wait(Duration::from_secs(100));
    let layer = [index("digest", "layer")];
    let (collected, missing) =
        overlap(&world, collect_link(link, Duration::from_secs(50)), move |txn| {
            link::touch_required(txn, registry, repository, &layer)
        });
    assert!(collected.unwrap());
    assert_eq!(missing.unwrap(), layer);
}

fn a_link_that_a_manifest_touched(world: World) {
    let registry = world.registry();
    let repository = world.repository(registry, "app");
    let (_, link) = world.blob(registry, repository, "layer");
    world.wait(Duration::from_secs(100));
    let layer = [index("digest", "layer")];
    let (missing, collected) = overlap(
        &world,
        move |txn| link::touch_required(txn, registry, repository, &layer),
        collect_link(link, Duration::from_secs(50)),
    );
    assert_eq!(missing.unwrap(), []);
    assert!(!collected.unwrap());
}

fn a_deadlock_is_replayed(world: World) {
    let registry = world.registry();
    let (one, two) = (world.repository(registry, "one"), world.repository(registry, "two"));
    let (_, link_one) = world.blob(registry, one, "layer one");
    let (_, link_two) = world.blob(registry, two, "layer two");
    // Each locks its first link and then meets the other one, who holds the second.
    let meeting = Arc::new(Barrier::new(2));
    let crosswise = |store: Store, links: [LinkId; 2]| {
        let (meeting, mut first_run) = (Arc::clone(&meeting), world.is_postgres());
        thread::spawn(move || {
            store.write_blocking(None, move |txn| {
                let held = link::lock(txn, links[0])?.is_some();
                if std::mem::take(&mut first_run) {
                    meeting.wait();
                }
                Ok::<_, StoreError>(held && link::touch(txn, links[1])?)
            })
        })
    };
    let writers = [
        crosswise(world.store.clone(), [link_one, link_two]),
        crosswise(world.other.clone(), [link_two, link_one]),
    ];
    for writer in writers {
        assert!(writer.join().unwrap().unwrap());
    }
}
