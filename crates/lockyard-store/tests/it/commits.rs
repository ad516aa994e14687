//! Stories of single transactions and of batches: what commits, what does not, and who hears of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
};

use futures_util::future::{FutureExt as _, join, join_all};
use lockyard_base::{BlindIndex, OsEntropy, RowId};
use lockyard_store::{CommitGuard, OpenError, Store, StoreError, Txn, instance};

use crate::{
    Story,
    world::{World, index, noise},
};

pub(crate) const STORIES: &[Story] = &[
    ("an_error_takes_back_its_own_writes", an_error_takes_back_its_own_writes),
    ("a_failed_statement_spoils_its_transaction", a_failed_statement_spoils),
    ("a_panic_takes_back_its_writes_and_nothing_else", a_panic),
    ("a_panic_while_reading_is_an_error", a_panic_while_reading_is_an_error),
    ("a_guard_that_says_no_keeps_the_work_from_running", a_guard_that_says_no),
    ("a_guard_that_panics_says_no", a_guard_that_panics_says_no),
    ("a_refusal_at_commit_time_replays_the_others", a_refusal_at_commit_time),
    ("a_failing_job_leaves_its_batch_mates_alone", a_failing_job),
    ("more_jobs_than_a_batch_holds_all_commit", more_jobs_than_a_batch_holds),
    ("a_dropped_future_still_commits", a_dropped_future_still_commits),
    ("a_read_sees_one_state", a_read_sees_one_state),
    ("a_read_cannot_write", a_read_cannot_write),
    ("blocking_calls_work_inside_a_runtime", blocking_calls_work_inside_a_runtime),
    ("a_second_start_finds_everything", a_second_start_finds_everything),
    ("a_closed_store_says_so", a_closed_store_says_so),
    ("a_newer_database_is_refused_and_left_alone", a_newer_database_is_refused),
    ("a_foreign_database_is_refused_and_left_alone", a_foreign_database_is_refused),
    ("a_sound_database_passes_its_check", a_sound_database_passes_its_check),
];

/// Inserts a record named `name`.
fn insert(txn: &mut Txn<'_>, name: &str) -> Result<bool, StoreError> {
    let id = RowId::random(&OsEntropy);
    instance::insert_record(txn, id, "note", &index("record", name), None, b"note")
}

/// The names out of `names` whose records are there.
fn kept<const N: usize>(store: &Store, names: [&str; N]) -> [bool; N] {
    let found: Vec<BlindIndex> = store
        .read_blocking(|txn| instance::records(txn, "note"))
        .unwrap()
        .into_iter()
        .map(|row| row.name_index)
        .collect();
    names.map(|name| found.contains(&index("record", name)))
}

pub(crate) type Work = Box<dyn FnMut(&mut Txn<'_>) -> Result<(), StoreError> + Send>;

/// A write that is kept.
fn keeping(name: &'static str) -> Work {
    Box::new(move |txn| insert(txn, name).map(drop))
}

/// Submits all jobs while the writer is busy, so that on SQLite they make one batch.
pub(crate) fn together(
    store: &Store,
    jobs: Vec<(Option<Arc<dyn CommitGuard>>, Work)>,
) -> Vec<Result<(), StoreError>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    let busy = store.write(None, move |_| {
        released.recv().unwrap_or_default();
        Ok::<_, StoreError>(())
    });
    let jobs = join_all(jobs.into_iter().map(|(guard, work)| store.write(guard, work)));
    // Futures are begun in this order, so everything is queued before the writer goes on.
    let (busy, (answers, ())) =
        runtime.block_on(join(busy, join(jobs, async move { release.send(()).unwrap() })));
    busy.unwrap();
    answers
}

/// Says yes so many times and no from then on.
#[derive(Debug)]
struct Patience(AtomicUsize);

impl Patience {
    fn of(times: usize) -> Arc<dyn CommitGuard> {
        Arc::new(Self(AtomicUsize::new(times)))
    }
}

impl CommitGuard for Patience {
    fn permits(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok()
    }
}

fn an_error_takes_back_its_own_writes(world: World) {
    let failed = world.store.write_blocking(None, |txn| {
        insert(txn, "lost")?;
        Err::<(), _>(StoreError::EpochNotActive)
    });
    assert!(matches!(failed, Err(StoreError::EpochNotActive)));
    world.write(|txn| insert(txn, "kept"));
    assert_eq!(kept(&world.store, ["lost", "kept"]), [false, true]);
}

fn a_failed_statement_spoils(world: World) {
    let id = RowId::random(&OsEntropy);
    let foreign = lockyard_base::RegistryId::random(&OsEntropy);
    let failed = world.store.write_blocking(None, move |txn| {
        insert(txn, "lost")?;
        let epoch = lockyard_base::Epoch::FIRST;
        // No such registry: the statement fails, and the closure does not care.
        let ignored = lockyard_store::index_key::insert(txn, foreign, id, epoch, b"key")
            .and_then(|_| lockyard_store::registry::get(txn, foreign));
        let later = lockyard_store::registry::get(txn, foreign);
        Ok::<_, StoreError>((ignored.is_err(), matches!(later, Err(StoreError::Spoiled))))
    });
    assert!(matches!(failed, Err(StoreError::Spoiled | StoreError::Dangling(_))), "{failed:?}");
    assert_eq!(kept(&world.store, ["lost"]), [false]);
}

fn a_panic(world: World) {
    let answers = together(
        &world.store,
        vec![
            (None, keeping("before")),
            (
                None,
                Box::new(|txn| {
                    insert(txn, "lost")?;
                    panic!("this story panics on purpose")
                }),
            ),
            (None, keeping("after")),
        ],
    );
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(answers[1], Err(StoreError::Panicked)), "{answers:?}");
    assert_eq!(kept(&world.store, ["before", "lost", "after"]), [true, false, true]);
}

fn a_panic_while_reading_is_an_error(world: World) {
    let answer = world
        .store
        .read_blocking(|_| -> Result<(), StoreError> { panic!("this story panics on purpose") });
    assert!(matches!(answer, Err(StoreError::Panicked)));
    assert_eq!(world.read(instance::id), None);
}

fn a_guard_that_says_no(world: World) {
    let ran = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ran);
    let answer = world.store.write_blocking(Some(Patience::of(0)), move |_| {
        seen.store(true, Ordering::SeqCst);
        Ok::<_, StoreError>(())
    });
    assert!(matches!(answer, Err(StoreError::Refused)));
    assert!(!ran.load(Ordering::SeqCst));
}

fn a_guard_that_panics_says_no(world: World) {
    #[derive(Debug)]
    struct Broken;
    impl CommitGuard for Broken {
        fn permits(&self) -> bool {
            panic!("this story panics on purpose")
        }
    }
    let answer = world.store.write_blocking(Some(Arc::new(Broken)), |txn| insert(txn, "lost"));
    assert!(matches!(answer, Err(StoreError::Refused)));
    world.write(|txn| insert(txn, "kept"));
    assert_eq!(kept(&world.store, ["lost", "kept"]), [false, true]);
}

fn a_refusal_at_commit_time(world: World) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut keep = keeping("before");
    let answers = together(
        &world.store,
        vec![
            (
                None,
                Box::new(move |txn| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    keep(txn)
                }),
            ),
            // Asked before the run and again before the commit: the second answer is no.
            (Some(Patience::of(1)), keeping("lost")),
            (Some(Patience::of(100)), keeping("after")),
        ],
    );
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::Refused)), "{answers:?}");
    assert_eq!(kept(&world.store, ["before", "lost", "after"]), [true, false, true]);
    let expected = if world.is_postgres() { 1 } else { 2 };
    assert_eq!(runs.load(Ordering::SeqCst), expected, "only a shared commit needs a replay");
}

fn a_failing_job(world: World) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut keep = keeping("before");
    let answers = together(
        &world.store,
        vec![
            (
                None,
                Box::new(move |txn| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    keep(txn)
                }),
            ),
            (
                None,
                Box::new(|txn| {
                    insert(txn, "lost")?;
                    Err(StoreError::PartNotWriting)
                }),
            ),
            (None, keeping("after")),
        ],
    );
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::PartNotWriting)), "{answers:?}");
    assert_eq!(kept(&world.store, ["before", "lost", "after"]), [true, false, true]);
    assert_eq!(runs.load(Ordering::SeqCst), 1, "a savepoint is enough");
}

fn more_jobs_than_a_batch_holds(world: World) {
    let jobs = (0..600).map(|number: usize| {
        let work: Work = Box::new(move |txn| {
            let inserted = insert(txn, &format!("job {number}"))?;
            assert!(inserted);
            Ok(())
        });
        (None, work)
    });
    let answers = together(&world.store, jobs.collect());
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(world.read(|txn| instance::records(txn, "note")).len(), 600);
}

fn a_dropped_future_still_commits(world: World) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    let mut write = Box::pin(world.store.write(None, move |txn| {
        released.recv().unwrap_or_default();
        insert(txn, "kept")
    }));
    runtime.block_on(async {
        assert!(write.as_mut().now_or_never().is_none(), "it was begun and waits");
    });
    drop(write);
    release.send(()).unwrap();
    drop(runtime);
    // On SQLite this queues behind it; on PostgreSQL the runtime saw it to its end.
    world.write(|txn| insert(txn, "later"));
    assert_eq!(kept(&world.store, ["kept"]), [true]);
}

fn a_read_sees_one_state(world: World) {
    world.write(|txn| insert(txn, "before"));
    let (store, other) = (world.store.clone(), world.other.clone());
    let counts = store.read_blocking(move |txn| {
        let before = instance::records(txn, "note")?.len();
        // Another connection commits in the middle of this read.
        let write =
            std::thread::spawn(move || other.write_blocking(None, |txn| insert(txn, "new")));
        write.join().unwrap()?;
        Ok::<_, StoreError>((before, instance::records(txn, "note")?.len()))
    });
    assert_eq!(counts.unwrap(), (1, 1));
    assert_eq!(world.read(|txn| instance::records(txn, "note")).len(), 2);
}

fn a_read_cannot_write(world: World) {
    let answer = world.store.read_blocking(|txn| insert(txn, "lost"));
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(kept(&world.store, ["lost"]), [false]);
}

fn blocking_calls_work_inside_a_runtime(world: World) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    world.write(|txn| insert(txn, "kept"));
    let World { store, other, clock, place } = world;
    store.close();
    runtime.block_on(async {
        drop(other);
        let store = Store::open(place.engine(), clock).unwrap();
        assert_eq!(kept(&store, ["kept"]), [true]);
        store.write_blocking(None, |txn| insert(txn, "more")).unwrap();
        let read = store.read(instance::id).await;
        assert!(matches!(read, Ok::<_, StoreError>(None)));
        store.check().unwrap();
        drop(store);
    });
}

fn a_second_start_finds_everything(world: World) {
    let id = RowId::random(&OsEntropy);
    let sealed = noise(5000);
    let written = sealed.clone();
    world.write(move |txn| instance::establish(txn, id));
    world.write(move |txn| {
        let name = index("record", "owner");
        instance::insert_record(txn, id, "credential", &name, None, &written)
    });
    let world = world.restarted();
    assert_eq!(world.read(instance::id), Some(id));
    let record = world.read(|txn| instance::record(txn, "credential", &index("record", "owner")));
    assert_eq!(record.unwrap().sealed, sealed);
}

fn a_closed_store_says_so(world: World) {
    let clone = world.store.clone();
    world.store.close();
    let read = clone.read_blocking(instance::id);
    assert!(matches!(read, Err(StoreError::Closed)), "{read:?}");
    let write = clone.write_blocking(None, |txn| insert(txn, "lost"));
    assert!(matches!(write, Err(StoreError::Closed)), "{write:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let write = runtime.block_on(clone.write(None, |txn| insert(txn, "lost")));
    assert!(matches!(write, Err(StoreError::Closed)), "{write:?}");
}

fn a_newer_database_is_refused(world: World) {
    world.write(|txn| insert(txn, "kept"));
    let World { store, other, clock, place } = world;
    store.close();
    other.close();
    let (to, from) = match &place {
        crate::world::Place::Sqlite { .. } => ("X'0000002A'", "X'00000003'"),
        crate::world::Place::Postgres { .. } => ("'\\x0000002A'", "'\\x00000003'"),
    };
    place.tamper(&format!("UPDATE meta SET value = {to} WHERE key = 'schema'"));
    let refused = Store::open(place.engine(), clock.clone()).unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 42, known: 3 }), "{refused:?}");
    assert_eq!(
        refused.to_string(),
        "the database has schema version 42, this program knows versions up to 3; \
         start the newer program that wrote it"
    );
    place.tamper(&format!("UPDATE meta SET value = {from} WHERE key = 'schema'"));
    let store = Store::open(place.engine(), clock).unwrap();
    assert_eq!(kept(&store, ["kept"]), [true]);
}

fn a_foreign_database_is_refused(world: World) {
    let World { store, other, clock, place } = world;
    store.close();
    other.close();
    // What is left looks like somebody else's.
    place.tamper("DROP TABLE edge; DROP TABLE meta");
    let refused = Store::open(place.engine(), clock).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign), "{refused:?}");
}

fn a_sound_database_passes_its_check(world: World) {
    world.write(|txn| insert(txn, "kept"));
    world.store.check().unwrap();
    world.store.truncate_log().unwrap();
    world.store.check().unwrap();
    // Nothing of the check is left behind that would keep a writer waiting.
    let again = catch_unwind(AssertUnwindSafe(|| world.write(|txn| insert(txn, "more"))));
    assert!(again.unwrap());
}
