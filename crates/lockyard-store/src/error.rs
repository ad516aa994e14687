//! What can go wrong between a room and its rows, sorted by what a caller does about it.
//!
//! Driver errors stop here: outside of this crate nobody knows which database is in use. The two
//! tables at the end, one per driver, are the only places that read their codes.

use std::{error::Error, fmt, path::PathBuf, sync::Arc};

/// The driver's own error, kept as a cause; shared, because one failed commit fails many jobs.
pub type Cause = Arc<dyn Error + Send + Sync>;

/// Why a read or a write came to nothing; unless it says otherwise, nothing was written.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The write's guard said no, at the latest just before the commit.
    #[error("the commit was refused by its guard")]
    Refused,
    /// The epoch is not active (any more): seal the rows again under the one that is.
    #[error("the epoch is not active")]
    EpochNotActive,
    /// A part that should become live is not being written (any more): its lease ran out.
    #[error("a part is not being written any more")]
    PartNotWriting,
    /// A row of that name is there already.
    #[error("a row with this name exists")]
    Conflict(#[source] Cause),
    /// A row that another row refers to is missing, or would be.
    #[error("a row that another one refers to is missing")]
    Dangling(#[source] Option<Cause>),
    /// The disk, or the database's share of it, is full.
    #[error("the disk of the database is full")]
    Full(#[source] Cause),
    /// The database could not read or write its files.
    #[error("the database cannot read or write its files")]
    Io(#[source] Cause),
    /// Another transaction held the rows for too long: try again later.
    #[error("the database is busy")]
    Busy(#[source] Option<Cause>),
    /// The database holds something that this program never wrote.
    #[error("the database is damaged: {what}")]
    Damaged {
        /// What was found, without any content.
        what: String,
        /// The driver's error, if it was the driver that noticed.
        #[source]
        source: Option<Cause>,
    },
    /// No connection to the database server.
    #[error("the database cannot be reached")]
    Unreachable(#[source] Cause),
    /// The connection broke during the commit: it may or may not have taken place.
    #[error("the connection broke during the commit, its outcome is unknown")]
    OutcomeUnknown(#[source] Cause),
    /// The closure went on, or returned `Ok`, after one of its statements had failed.
    #[error("an earlier statement of this transaction failed")]
    Spoiled,
    /// The closure panicked: a bug of ours.
    #[error("the transaction's code panicked")]
    Panicked,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// A statement failed for a reason that has no name here: most likely a bug of ours.
    #[error("a database statement failed")]
    Sql(#[source] Cause),
}

impl StoreError {
    pub(crate) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into(), source: None }
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The database was written by a newer program.
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}; \
         start the newer program that wrote it"
    )]
    Newer {
        /// The version that the database has.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The database holds tables, but they are not Lockyard's.
    #[error("the database holds something else than a Lockyard store; choose another one")]
    Foreign,
    /// The file is no database, or it is damaged.
    #[error("`{place}` is damaged or no database; restore it from a backup")]
    Damaged {
        /// The file or the server.
        place: Place,
        /// What the driver found.
        #[source]
        source: StoreError,
    },
    /// The file cannot be created, opened or written.
    #[error("cannot open `{}` for writing; check that its directory exists and may be written", path.display())]
    Io {
        /// The database file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: Cause,
    },
    /// The database URL makes no sense.
    #[error("the database URL is not understood")]
    Url(#[source] Cause),
    /// Anything else.
    #[error("cannot open the database `{place}`")]
    Store {
        /// The file or the server.
        place: Place,
        /// What went wrong.
        #[source]
        source: StoreError,
    },
}

/// Where a database is, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file.
    File(PathBuf),
    /// A server, by its host names.
    Server(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(hosts) => f.write_str(hosts),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::{ErrorCode, ffi};
        let code = error.sqlite_error().copied();
        let cause: Cause = Arc::new(error);
        let Some(code) = code else { return Self::Sql(cause) };
        match (code.code, code.extended_code) {
            // Growing the shared index is the one I/O error that nearly always means "no space".
            (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Self::Full(cause),
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => {
                Self::Damaged { what: "a page makes no sense".to_owned(), source: Some(cause) }
            }
            (ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::ReadOnly, _) => {
                Self::Io(cause)
            }
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::Busy(Some(cause)),
            (_, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => {
                Self::Conflict(cause)
            }
            (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Self::Dangling(Some(cause)),
            _ => Self::Sql(cause),
        }
    }
}

impl From<postgres::Error> for StoreError {
    fn from(error: postgres::Error) -> Self {
        use postgres::error::SqlState;
        let state = error.code().cloned();
        let lost = error.is_closed() || state.is_none() && is_io(&error);
        let cause: Cause = Arc::new(error);
        let Some(state) = state else {
            return if lost { Self::Unreachable(cause) } else { Self::Sql(cause) };
        };
        match state {
            SqlState::DISK_FULL => Self::Full(cause),
            SqlState::IO_ERROR => Self::Io(cause),
            SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => {
                Self::Damaged { what: "a page makes no sense".to_owned(), source: Some(cause) }
            }
            SqlState::UNIQUE_VIOLATION => Self::Conflict(cause),
            SqlState::FOREIGN_KEY_VIOLATION => Self::Dangling(Some(cause)),
            SqlState::T_R_SERIALIZATION_FAILURE
            | SqlState::T_R_DEADLOCK_DETECTED
            | SqlState::LOCK_NOT_AVAILABLE
            | SqlState::QUERY_CANCELED
            | SqlState::TOO_MANY_CONNECTIONS => Self::Busy(Some(cause)),
            SqlState::ADMIN_SHUTDOWN
            | SqlState::CRASH_SHUTDOWN
            | SqlState::CANNOT_CONNECT_NOW
            | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => Self::Unreachable(cause),
            _ => Self::Sql(cause),
        }
    }
}

fn is_io(error: &postgres::Error) -> bool {
    error.source().is_some_and(<dyn Error>::is::<std::io::Error>)
}
