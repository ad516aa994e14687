//! Stories of SQLite's files: who may read them, what stays in them, and what is done with bad ones.

use std::{
    collections::HashSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use lockyard_base::{HandClock, OsEntropy, RowId, chain};
use lockyard_store::{CommitGuard, Engine, OpenError, SealNo, Store, StoreError, Txn, instance};
use tempfile::TempDir;

use crate::{
    Alone,
    commits::{Work, together},
    world::{Base, Place, World, index, noise},
};

pub(crate) const STORIES: &[Alone] = &[
    ("sqlite::its_files_are_for_their_owner_only", nothing, its_files_are_private),
    ("sqlite::a_deleted_row_leaves_no_trace", nothing, a_deleted_row_leaves_no_trace),
    ("sqlite::a_replaced_row_leaves_no_trace", nothing, a_replaced_row_leaves_no_trace),
    ("sqlite::an_idle_log_is_cut_to_nothing", nothing, an_idle_log_is_cut_to_nothing),
    (
        "sqlite::reads_between_writes_do_not_keep_the_log_from_being_folded",
        nothing,
        reads_between_writes_do_not_keep_the_log_from_being_folded,
    ),
    ("sqlite::an_answered_write_outlives_the_process", nothing, an_answered_write),
    ("sqlite::a_file_of_garbage_is_refused", nothing, a_file_of_garbage_is_refused),
    ("sqlite::a_missing_directory_is_told", nothing, a_missing_directory_is_told),
    ("sqlite::a_damaged_page_is_found_by_the_check", nothing, a_damaged_page_is_found),
    ("sqlite::every_damaged_root_is_found_at_the_start", nothing, every_damaged_root_is_found),
    ("sqlite::a_closing_store_waits_for_no_check", nothing, a_closing_store_waits_for_no_check),
    ("sqlite::a_full_disk_fails_writes_and_loses_nothing", no_mounts, a_full_disk),
    ("sqlite::a_read_only_directory_is_told", no_read_only, a_read_only_directory_is_told),
];

/// Most stories need nothing.
fn nothing() -> Option<String> {
    None
}

fn open(path: &Path) -> Result<Store, OpenError> {
    Store::open(Engine::Sqlite { path: path.to_owned() }, Arc::new(HandClock::default()))
}

/// Inserts a record, or replaces its content.
fn put(store: &Store, number: usize, sealed: Vec<u8>) -> Result<(), StoreError> {
    store.write_blocking(None, move |txn| {
        let name = index("record", &number.to_string());
        match instance::record(txn, "note", &name)? {
            None => {
                let id = RowId::random(&OsEntropy);
                assert!(instance::insert_record(txn, id, "note", &name, None, &sealed)?);
            }
            Some(row) => {
                assert!(instance::update_record(txn, row.row_id, row.seal_no, None, &sealed)?);
            }
        }
        Ok(())
    })
}

fn delete(store: &Store, number: usize) -> Result<bool, StoreError> {
    store.write_blocking(None, move |txn: &mut Txn<'_>| {
        let name = index("record", &number.to_string());
        let Some(row) = instance::record(txn, "note", &name)? else { return Ok(false) };
        instance::delete_record(txn, row.row_id)
    })
}

fn its_files_are_private() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    // Somebody made it for everybody to read.
    fs::write(&path, b"").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let store = open(&path).unwrap();
    put(&store, 1, noise(100)).unwrap();
    let modes: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name(), entry.metadata().unwrap().permissions().mode() & 0o777)
        })
        .collect();
    assert_eq!(modes.len(), 3, "database, log and the log's index: {modes:?}");
    assert!(modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
}

/// Every eight bytes in a row that any file of a directory holds.
struct Bytes(HashSet<[u8; 8]>);

impl Bytes {
    fn of(dir: &TempDir) -> Self {
        let mut all = HashSet::new();
        for entry in fs::read_dir(dir).unwrap() {
            let file = fs::read(entry.unwrap().path()).unwrap();
            all.extend(file.windows(8).map(|window| <[u8; 8]>::try_from(window).unwrap()));
        }
        Self(all)
    }

    /// Whether any aligned eight bytes of `secret` are left somewhere.
    fn trace(&self, secret: &[u8]) -> bool {
        secret.chunks_exact(8).any(|chunk| self.0.contains(chunk))
    }
}

fn a_deleted_row_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store.db")).unwrap();
    // Sizes around those of real rows, and some that need pages of their own.
    let size = |number: usize| [60, 130, 400, 900, 2100, 4100, 9000][number % 7] + number;
    let notes: Vec<Vec<u8>> = (0..400).map(|number| noise(size(number))).collect();
    for (number, note) in notes.iter().enumerate() {
        put(&store, number, note.clone()).unwrap();
    }
    store.truncate_log().unwrap();
    assert!(Bytes::of(&dir).trace(&notes[3]), "the search finds what is there");
    let (gone, kept): (Vec<usize>, Vec<usize>) = (0..400).partition(|number| number % 3 != 0);
    for &number in &gone {
        assert!(delete(&store, number).unwrap());
    }
    store.truncate_log().unwrap();
    let files = Bytes::of(&dir);
    let left: Vec<_> = gone.iter().filter(|&&number| files.trace(&notes[number])).collect();
    assert!(left.is_empty(), "{} of {} deleted rows left traces: {left:?}", left.len(), gone.len());
    assert!(kept.iter().all(|&number| files.trace(&notes[number])));
}

fn a_replaced_row_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store.db")).unwrap();
    let mut old = Vec::new();
    for round in 0..6_usize {
        for number in 0..60_usize {
            let note = noise(50 + (number * 37 + round * 211) % 1500);
            put(&store, number, note.clone()).unwrap();
            if round < 5 {
                old.push(note);
            }
        }
    }
    store.truncate_log().unwrap();
    let files = Bytes::of(&dir);
    let left = old.iter().filter(|note| files.trace(note)).count();
    assert_eq!(left, 0, "of {} replaced rows", old.len());
}

fn an_idle_log_is_cut_to_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = open(&path).unwrap();
    put(&store, 1, noise(100)).unwrap();
    let log = dir.path().join("store.db-wal");
    let length = || fs::metadata(&log).unwrap().len();
    assert!(length() > 0);
    // It takes about a second, and reads do not stand in its way.
    while length() > 0 {
        store.read_blocking(|txn| instance::records(txn, "note")).unwrap();
    }
}

fn reads_between_writes_do_not_keep_the_log_from_being_folded() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store.db")).unwrap();
    let log = dir.path().join("store.db-wal");
    let mut longest = 0;
    for number in 0..1500 {
        put(&store, number, noise(8000)).unwrap();
        // Whoever reads leaves a reader behind that holds the newest state.
        let noted = |txn: &mut Txn<'_>| instance::records(txn, "none");
        store.read_blocking(noted).unwrap();
        store.read_blocking(noted).unwrap();
        longest = fs::metadata(&log).unwrap().len().max(longest);
    }
    assert!(longest < 8 << 20, "the log had {longest} bytes");
}

fn an_answered_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store.db")).unwrap();
    let note = noise(3000);
    put(&store, 1, note.clone()).unwrap();
    // What the files hold now is what a killed process would leave.
    let later = tempfile::tempdir().unwrap();
    for name in ["store.db", "store.db-wal"] {
        fs::copy(dir.path().join(name), later.path().join(name)).unwrap();
    }
    let again = open(&later.path().join("store.db")).unwrap();
    let found = again
        .read_blocking(|txn| instance::record(txn, "note", &index("record", "1")))
        .unwrap()
        .unwrap();
    assert_eq!((found.sealed, found.seal_no), (note, SealNo::FIRST));
}

fn a_file_of_garbage_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let garbage = noise(20_000);
    fs::write(&path, &garbage).unwrap();
    let refused = open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::Damaged { .. }), "{refused:?}");
    let place = path.display();
    assert_eq!(
        refused.to_string(),
        format!("`{place}` is damaged or no database; restore it from a backup")
    );
    assert!(fs::read(&path).unwrap() == garbage, "it is left as it was");
}

fn a_missing_directory_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nowhere").join("store.db");
    assert_told(open(&path), &path);
}

/// A file that cannot be written is told in one sentence, with the system's reason behind it.
fn assert_told(opened: Result<Store, OpenError>, path: &Path) {
    let refused = opened.unwrap_err();
    assert!(matches!(refused, OpenError::Io { .. }), "{refused:?}");
    let told = chain(&refused).to_string();
    let sentence = format!(
        "cannot open `{}` for writing; check that its directory exists and may be written: ",
        path.display()
    );
    assert!(told.starts_with(&sentence), "{told}");
}

fn a_damaged_page_is_found() {
    let world = World::new(&Base::Sqlite);
    for number in 0..200 {
        put(&world.store, number, noise(300)).unwrap();
    }
    let World { store, other, clock, place } = world;
    store.close();
    other.close();
    let Place::Sqlite { dir } = &place else { unreachable!("this world is SQLite's") };
    let path = dir.path().join("store.db");
    let mut bytes = fs::read(&path).unwrap();
    // The second half of the file holds rows; the schema lies before it.
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    let store = Store::open(place.engine(), clock).unwrap();
    let found = store.check().unwrap_err();
    assert!(matches!(found, StoreError::Damaged { .. }), "{found:?}");
    let read = store.read_blocking(|txn| instance::records(txn, "note"));
    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{:?}", read.map(|rows| rows.len()));
}

fn every_damaged_root_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let store = open(&path).unwrap();
    store.check_edges().unwrap();
    store.close();
    let good = fs::read(&path).unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    let mut roots =
        database.prepare("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0").unwrap();
    let roots = roots.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let roots: Vec<(String, u32)> = roots.collect::<Result<_, _>>().unwrap();
    assert!(roots.len() > 20, "{roots:?}");
    for (name, page) in roots {
        let page = page as usize;
        let mut bad = good.clone();
        bad[(page - 1) * 4096..page * 4096].fill(0x5a);
        fs::write(&path, bad).unwrap();
        // Some are needed to open the file at all.
        match open(&path) {
            Ok(store) => {
                let found = store.check_edges().expect_err(&name);
                assert!(matches!(found, StoreError::Damaged { .. }), "{name}: {found:?}");
            }
            Err(error) => assert!(matches!(error, OpenError::Damaged { .. }), "{name}: {error:?}"),
        }
    }
}

fn a_closing_store_waits_for_no_check() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("store.db")).unwrap();
    let (checking, other) = (store.clone(), store.clone());
    let checks = std::thread::spawn(move || {
        loop {
            match checking.check() {
                Ok(()) => {}
                Err(error) => break error,
            }
        }
    });
    put(&other, 1, noise(300)).unwrap();
    store.close();
    let ended = checks.join().unwrap();
    assert!(matches!(ended, StoreError::Closed), "{ended:?}");
    assert!(matches!(other.check(), Err(StoreError::Closed)));
}

/// A file system of its own, until it is dropped.
struct Mount(PathBuf, #[expect(dead_code, reason = "the directory under the mount")] TempDir);

impl Mount {
    fn new() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        run("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs", path.to_str()?])
            .then_some(Self(path, dir))
    }

    fn read_only(&self) {
        assert!(run("mount", &["-o", "remount,ro", self.0.to_str().unwrap()]));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        run("umount", &[self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|done| done.status.success())
}

fn no_mounts() -> Option<String> {
    Mount::new().is_none().then(|| "skipped, needs root to mount a small file system".to_owned())
}

fn no_read_only() -> Option<String> {
    let root = fs::write("/proc/self/oom_score_adj", b"-1").is_ok();
    if root { no_mounts() } else { None }
}

fn a_full_disk() {
    let mount = Mount::new().unwrap();
    let ballast = mount.0.join("ballast");
    fs::write(&ballast, noise(2 << 20)).unwrap();
    let store = open(&mount.0.join("store.db")).unwrap();
    let notes: Vec<Vec<u8>> = (0..200).map(|_| noise(50_000)).collect();
    let mut answered = 0;
    let refusal = loop {
        match put(&store, answered, notes[answered].clone()) {
            Ok(()) => answered += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refusal, StoreError::Full(_)), "{refusal:?}");
    assert!(answered > 3, "the disk was not full from the beginning");
    let still_there = |store: &Store, count: usize| {
        for (number, note) in notes.iter().enumerate().take(count) {
            let name = index("record", &number.to_string());
            let row = store.read_blocking(|txn| instance::record(txn, "note", &name)).unwrap();
            assert!(row.unwrap().sealed == *note);
        }
        assert_eq!(store.read_blocking(|txn| instance::records(txn, "note")).unwrap().len(), count);
    };
    still_there(&store, answered);
    // A batch that does not fit is replayed one by one: each is told, and what is small gets in.
    let insert = |number: usize, size: usize| -> (Option<Arc<dyn CommitGuard>>, Work) {
        let (id, sealed) = (RowId::random(&OsEntropy), noise(size));
        let name = index("record", &number.to_string());
        let work = move |txn: &mut Txn<'_>| {
            assert!(instance::insert_record(txn, id, "batch", &name, None, &sealed)?);
            Ok(())
        };
        (None, Box::new(work))
    };
    let jobs = (0..9).map(|n| if n == 4 { insert(n, 40) } else { insert(n, 3_000_000) });
    let answers = together(&store, jobs.collect());
    for (number, answer) in answers.iter().enumerate() {
        let name = index("record", &number.to_string());
        let there = store.read_blocking(|txn| instance::record(txn, "batch", &name)).unwrap();
        assert_eq!(answer.is_ok(), there.is_some(), "{number}: {answer:?}");
        let told = answer.is_ok() || matches!(answer, Err(StoreError::Full(_)));
        assert!(told && (number == 4 || answer.is_err()), "{number}: {answer:?}");
    }

    fs::remove_file(&ballast).unwrap();
    put(&store, answered, notes[answered].clone()).unwrap();
    store.check().unwrap();
    still_there(&store, answered + 1);
    store.close();
    still_there(&open(&mount.0.join("store.db")).unwrap(), answered + 1);
}

fn a_read_only_directory_is_told() {
    if let Some(mount) = Mount::new() {
        let path = mount.0.join("store.db");
        open(&path).unwrap().close();
        mount.read_only();
        assert_told(open(&path), &path);
        let path = mount.0.join("other.db");
        assert_told(open(&path), &path);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o500)).unwrap();
    let path = dir.path().join("store.db");
    assert_told(open(&path), &path);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
}
