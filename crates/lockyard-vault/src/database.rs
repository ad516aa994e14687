//! The vault's SQLite database: two connections, durable transactions.
//!
//! Uses of keys read on a connection of their own, so that they never wait for the disk while a
//! change commits. A change is durable when its transaction returns (`synchronous=FULL`). Deleted
//! values are overwritten (`secure_delete`), and nothing is spilled into temporary files.

use std::{
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use lockyard_base::Entropy;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use thiserror::Error;

use crate::{
    OpenVaultError, VaultError, VaultRootKey,
    directory::VaultDirectory,
    migration,
    rows::{RowKeys, RowKeysError},
    schema::{self, Found},
};

/// The vault's database of one directory, locked for this process.
#[derive(Debug)]
pub(crate) struct Database {
    // Fields drop in this order: the writer closes last and takes the log with it, then the
    // directory is unlocked.
    reader: Mutex<Connection>,
    writer: Mutex<Connection>,
    /// How many transactions were committed, or may have been.
    commits: AtomicU64,
    _directory: VaultDirectory,
}

impl Database {
    /// Opens the directory's database, or makes one in an empty directory; answers the keys that
    /// open its rows.
    pub(crate) fn open(
        path: &Path,
        root: &VaultRootKey,
        entropy: &dyn Entropy,
    ) -> Result<(Self, RowKeys), OpenVaultError> {
        let directory = VaultDirectory::lock(path)?;
        let file = directory.database()?;
        let mut writer = connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let found = schema::inspect(&writer)?;
        match found {
            Found::Empty => {
                configure(&writer)?;
                let keys = RowKeys::generate(root, entropy);
                let transaction = writer
                    .transaction_with_behavior(TransactionBehavior::Immediate)
                    .map_err(OpenVaultError::from_sqlite)?;
                schema::initialise(&transaction, &keys).map_err(OpenVaultError::from_sqlite)?;
                transaction.commit().map_err(OpenVaultError::from_sqlite)?;
            }
            Found::Vault | Found::Older => {
                sound(&writer)?;
                configure(&writer)?;
            }
        }
        let keys = schema::sealed_keys(&writer)?;
        let keys = RowKeys::open(root, &keys).map_err(|error| match error {
            RowKeysError::WrongRootKey => OpenVaultError::WrongRootKey,
            RowKeysError::Damaged => OpenVaultError::Damaged(None),
        })?;
        if found == Found::Older {
            migration::migrate(&mut writer, &keys, entropy)?;
        }
        let reader = connect(&file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        // SQLite syncs the directory with a new log's first sync and does not look at the answer:
        // were that the only one and had it failed, a power cut would take the log, and with it
        // changes that were acknowledged.
        directory
            .sync()
            .map_err(|source| OpenVaultError::Directory { path: path.to_owned(), source })?;
        let database = Self {
            reader: Mutex::new(reader),
            writer: Mutex::new(writer),
            commits: AtomicU64::new(0),
            _directory: directory,
        };
        Ok((database, keys))
    }

    /// Reads in one transaction: all statements of `work` see the same state.
    pub(crate) fn read<T, E: From<VaultError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.reader();
        leave_transaction(&connection)?;
        let transaction = connection.transaction().map_err(VaultError::from)?;
        work(&transaction)
    }

    /// Changes in one transaction, which is durable when this returns.
    pub(crate) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let mut connection = self.writer();
        leave_transaction(&connection)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&transaction)?;
        let committed = transaction.commit();
        // Of a commit that failed nobody knows what will be found on the disk.
        self.commits.fetch_add(1, Ordering::Release);
        committed?;
        Ok(done)
    }

    /// The number of the last commit that was acknowledged. What was read after asking for it is
    /// not older than that commit.
    pub(crate) fn commit(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// A panic under the lock rolled its transaction back, so that the connection stays good.
    pub(crate) fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends a transaction whose rollback failed: a reader left in one would see an old state for ever.
fn leave_transaction(connection: &Connection) -> Result<(), VaultError> {
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    Ok(())
}

/// SQLite did not do what it was asked.
#[derive(Debug, Error)]
#[error(transparent)]
pub struct DatabaseError(#[from] rusqlite::Error);

impl DatabaseError {
    /// Whether there is no room for what the database has to write. Growing the shared index is the
    /// one I/O error that nearly always means the same.
    pub fn is_full(&self) -> bool {
        self.0.sqlite_error().is_some_and(|error| {
            error.code == ErrorCode::DiskFull
                || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
        })
    }

    /// Whether the answer shows damage; everything else (disk, memory, locks) says nothing about
    /// the rows.
    pub(crate) fn is_damage(&self) -> bool {
        match &self.0 {
            rusqlite::Error::SqliteFailure(failure, _) => {
                matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            }
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::InvalidColumnType(..) => true,
            _ => false,
        }
    }
}

fn connect(file: &Path, access: OpenFlags) -> Result<Connection, OpenVaultError> {
    let connection = Connection::open_with_flags(file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(OpenVaultError::from_sqlite)?;
    connection
        .execute_batch(
            "PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA cell_size_check = ON;
             PRAGMA temp_store = MEMORY;
             PRAGMA mmap_size = 0;",
        )
        .map_err(OpenVaultError::from_sqlite)?;
    Ok(connection)
}

fn configure(writer: &Connection) -> Result<(), OpenVaultError> {
    writer
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA secure_delete = ON;
             PRAGMA journal_size_limit = 0;",
        )
        .map_err(OpenVaultError::from_sqlite)
}

/// A vault is small, so it is checked whole at every start.
fn sound(connection: &Connection) -> Result<(), OpenVaultError> {
    let verdict: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(OpenVaultError::from_sqlite)?;
    if verdict == "ok" { Ok(()) } else { Err(OpenVaultError::Damaged(None)) }
}
