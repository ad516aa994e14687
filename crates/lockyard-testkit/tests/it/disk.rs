//! The simulated disk itself: a kit that loses nothing would prove nothing.

use std::sync::Arc;

use lockyard_registry::{Limits, RegistryError};
use lockyard_store::{StoreError, instance};
use lockyard_testkit::{Call, Content, Loss, Settings, SimDisk, World};
use rusqlite::{Connection, OpenFlags};

use crate::{
    setting::{alone, seed},
    step::{Notes, Step},
};

/// A database on the disk, which syncs as `synchronous` says.
fn database(disk: &Arc<SimDisk>, journal: &str, synchronous: &str) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let path = disk.path("some.db");
    let connection = Connection::open_with_flags_and_vfs(path, flags, SimDisk::VFS).unwrap();
    connection.pragma_update(None, "journal_mode", journal).unwrap();
    connection.pragma_update(None, "synchronous", synchronous).unwrap();
    connection
}

/// How many rows the table has after a power cut; `None` if there is no table.
fn rows_after(disk: &SimDisk, loss: Loss) -> Option<i64> {
    let survivor = disk.survivor(loss);
    let connection = database(&survivor, "WAL", "FULL");
    let verdict: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).ok()
}

fn fill(connection: &Connection, rows: i64) {
    connection.execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
    for n in 0..rows {
        connection.execute("INSERT INTO t VALUES (?1)", [n]).unwrap();
    }
}

#[test]
fn a_commit_that_was_synced_survives_and_one_that_was_not_does_not() {
    for (journal, synchronous, kept) in [
        ("WAL", "FULL", Some(5)),
        ("WAL", "OFF", None),
        ("DELETE", "EXTRA", Some(5)),
        // As documented: the journal's removal, which is the commit, is not synced.
        ("DELETE", "FULL", Some(4)),
        ("DELETE", "OFF", None),
    ] {
        let disk = SimDisk::new();
        fill(&database(&disk, journal, synchronous), 5);
        assert_eq!(rows_after(&disk, Loss::Everything), kept, "{journal} {synchronous}");
        assert_eq!(rows_after(&disk, Loss::Nothing), Some(5), "{journal} {synchronous}");
    }
}

#[test]
fn a_commit_that_was_not_synced_may_survive_but_never_half() {
    let seed = seed("unsynced commits");
    let disk = SimDisk::new();
    let connection = database(&disk, "WAL", "FULL");
    fill(&connection, 5);
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    for n in 5..9 {
        connection.execute("INSERT INTO t VALUES (?1)", [n]).unwrap();
    }
    let outcomes: std::collections::BTreeSet<Option<i64>> =
        (0..200).map(|n| rows_after(&disk, Loss::Some(seed.wrapping_add(n)))).collect();
    assert!(outcomes.iter().all(|rows| rows.is_some_and(|rows| (5..=9).contains(&rows))));
    assert!(outcomes.len() > 1, "the seeds tell different stories: {outcomes:?}");
}

#[test]
fn connections_see_each_other_and_wait_for_each_other() {
    let disk = SimDisk::new();
    let writer = database(&disk, "WAL", "FULL");
    fill(&writer, 3);
    let reader = database(&disk, "WAL", "FULL");
    reader.busy_timeout(std::time::Duration::ZERO).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    writer.execute("INSERT INTO t VALUES (9)", []).unwrap();
    let count = |from: &Connection| -> i64 {
        from.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count(&reader), count(&writer)), (3, 4));
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&reader), 4);
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(reader.execute_batch("BEGIN IMMEDIATE").is_err(), "only one writes");
}

/// Pushes a blob on a disk that lies about its syncs; returns whether the lie is seen.
fn caught(lie: Option<Call>) -> bool {
    let mut caught = false;
    alone(async {
        // Syncs of files and directories are of parts that are files.
        let limits = Limits { row_part_bytes_max: 0, ..Limits::default() };
        let settings = Settings { seed: 1, limits };
        let world = World::found(settings).await.copy().await;
        let (step, mut notes) = (Step::Push("app", (1, 100)), Notes::default());
        step.announce(&mut notes.universe);
        world.disk.lie(lie);
        step.run(&world, &mut notes, false).await.unwrap();
        let again = world.recover(Loss::Everything).await.unwrap();
        let found = Content::found(&again.registry().unwrap(), &notes.universe).await.unwrap();
        caught = found.blobs.is_empty();
    });
    caught
}

#[test]
fn a_push_whose_syncs_do_nothing_is_found_out() {
    assert!(!caught(None));
    assert!(caught(Some(Call::Sync)));
    assert!(caught(Some(Call::SyncDirectory)));
}

#[test]
fn a_full_disk_and_a_failing_one_are_told_apart() {
    for (errno, full) in [(libc::ENOSPC, true), (libc::EIO, false)] {
        alone(async move {
            let world = World::found(Settings { seed: 1, limits: Limits::default() }).await;
            world.disk.fail_from(0, errno);
            let asked = world.store.read(instance::id).await;
            assert!(matches!(asked, Ok(Some(_)) | Err(StoreError::Io(_))), "{asked:?}");
            let mut notes = Notes::default();
            let pushed = Step::Push("app", (1, 100)).run(&world, &mut notes, false).await;
            assert!(pushed.is_err());
            assert_eq!(matches!(pushed, Err(RegistryError::Full)), full, "{pushed:?}");
        });
    }
}
