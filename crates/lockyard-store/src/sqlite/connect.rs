//! How a connection to the file is set up, and who may read the file.
//!
//! Durability and erasure are decided here and nowhere else: a commit is on the disk before it is
//! acknowledged, deleted bytes are overwritten, and nothing is written to temporary files.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use crate::{OpenError, StoreError};

/// The log is folded into the database when it has this many pages (of 4 KiB).
const LOG_PAGES: i64 = 1000;

/// What a folded log may keep on disk until it is cut to nothing.
const LOG_BYTES: i64 = 16 << 20;

/// How long a connection waits for another one; only a checkpoint and a reader ever meet.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Every statement of the rooms fits; each is parsed once per connection.
const STATEMENTS: usize = 256;

/// Creates the file if there is none, and sees to it that only its owner may read it.
pub(super) fn own(path: &Path) -> Result<(), OpenError> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .and_then(|file| file.set_permissions(Permissions::from_mode(0o600)));
    opened.map_err(|source| OpenError::Io { path: path.to_owned(), source: Arc::new(source) })
}

/// Does the same for the two files that SQLite keeps beside the database.
pub(super) fn own_logs(path: &Path) -> Result<(), OpenError> {
    for suffix in ["-wal", "-shm"] {
        let path = beside(path, suffix);
        match fs::set_permissions(&path, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(OpenError::Io { path, source: Arc::new(error) });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Makes the names of the database and of its log durable.
///
/// SQLite syncs the directory of a new log with the log's first sync and does not look at the
/// answer: were that the only sync and had it failed, a power cut would take the log's name, and
/// with it commits that were acknowledged.
pub(super) fn keep_names(path: &Path) -> Result<(), OpenError> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| OpenError::Io { path: directory.to_owned(), source: Arc::new(source) })
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens the one connection that writes, on the file system of this name or the machine's.
pub(super) fn writing(path: &Path, vfs: Option<&str>) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match vfs {
        None => Connection::open_with_flags(path, flags)?,
        Some(vfs) => {
            // Nobody but SQLite can create a file there.
            let flags = flags | OpenFlags::SQLITE_OPEN_CREATE;
            Connection::open_with_flags_and_vfs(path, flags, vfs)?
        }
    };
    connection.busy_timeout(PATIENCE)?;
    harden(&connection)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let cause = io::Error::other("the file system cannot hold a write-ahead log");
        return Err(StoreError::Io(Arc::new(cause)));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", LOG_PAGES, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
    Ok(connection)
}

/// Says whether a commit waits until the log is on the disk; outside of transactions only.
///
/// One that does not wait is written to the log all the same, and whatever makes the log durable
/// later makes it durable too: the next commit that waits, and every folding of the log.
pub(super) fn sync_commits(connection: &Connection, wait: bool) -> Result<(), StoreError> {
    // Parsed anew each time: it takes effect when it is parsed.
    connection.pragma_update(None, "synchronous", if wait { "FULL" } else { "NORMAL" })?;
    Ok(())
}

/// Opens a connection that only reads.
pub(super) fn reading(path: &Path, vfs: Option<&str>) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match vfs {
        None => Connection::open_with_flags(path, flags)?,
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs)?,
    };
    connection.busy_timeout(PATIENCE)?;
    harden(&connection)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// A damaged or doctored file must not make the library run what it holds.
fn harden(connection: &Connection) -> Result<(), StoreError> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // Plans do not depend on what is bound; else a new value has its statement parsed once more,
    // which made a lookup of a tag three times as dear.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(())).or_else(no_rows)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "cell_size_check", true)?;
    Ok(())
}

/// Some settings answer with their new value on some builds only.
fn no_rows(error: rusqlite::Error) -> rusqlite::Result<()> {
    if error == rusqlite::Error::QueryReturnedNoRows { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(connection: &Connection, setting: &str) -> i64 {
        connection.query_row(&format!("PRAGMA {setting}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_commit_is_flushed_and_what_is_deleted_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        own(&path).unwrap();
        let connection = writing(&path, None).unwrap();
        let (full, memory) = (2, 2);
        for (setting, value) in [
            ("synchronous", full),
            ("secure_delete", 1),
            ("foreign_keys", 1),
            ("temp_store", memory),
            ("trusted_schema", 0),
            ("mmap_size", 0),
            ("journal_size_limit", LOG_BYTES),
            ("wal_autocheckpoint", LOG_PAGES),
        ] {
            assert_eq!(number(&connection, setting), value, "{setting}");
        }
        // Back and forth: a setting that is parsed once would stick.
        for (wait, value) in [(false, 1), (true, full), (false, 1), (true, full)] {
            sync_commits(&connection, wait).unwrap();
            assert_eq!(number(&connection, "synchronous"), value);
        }
        let mode: String =
            connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        assert_eq!(number(&reading(&path, None).unwrap(), "query_only"), 1);
    }
}
