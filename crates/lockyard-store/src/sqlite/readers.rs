//! The connections that read, and the states of the database that they hold on to.
//!
//! Beginning and ending a transaction costs SQLite more than a lookup: each takes a mutex that all
//! connections of a process share, and holds it for a call into the system. So a reader that goes
//! back keeps its transaction open, and whoever takes it next reads on in it: what it sees is the
//! newest state for as long as nothing was committed since, and the writer counts its commits.
//!
//! A state that is held keeps the log from being folded and cut. The writer therefore has all of
//! them let go before it commits and before it cuts ([`Readers::pause`]).

use std::{
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rusqlite::Connection;

use super::{begin, connect, end};
use crate::StoreError;

/// Idle read-only connections beyond this number are closed; each holds up to 2 MiB of pages.
const IDLE_READERS_MAX: usize = 16;

/// All connections that read.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    /// The name of the file system that SQLite uses; `None` is the machine's.
    vfs: Option<String>,
    idle: Mutex<Vec<Reader>>,
    commits: AtomicU64,
    /// While the writer commits or cuts the log, no state is held.
    paused: AtomicBool,
    closed: AtomicBool,
}

/// One connection, and the number of commits that its open transaction has surely seen.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) connection: Connection,
    holds: Option<u64>,
}

impl Readers {
    pub(super) fn new(path: PathBuf, vfs: Option<String>) -> Self {
        Self {
            path,
            vfs,
            idle: Mutex::default(),
            commits: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// How many commits were acknowledged.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// The writer has committed: who is answered from now on must not be shown what was before.
    pub(super) fn committed(&self) {
        let _before = self.commits.fetch_add(1, Ordering::SeqCst);
    }

    /// A reader in a transaction that sees the newest acknowledged state, and one state only.
    pub(super) fn take(&self) -> Result<Reader, StoreError> {
        if self.is_closed() {
            return Err(StoreError::Closed);
        }
        let idle = self.idle().pop();
        let mut reader = match idle {
            Some(reader) => reader,
            None => Reader { connection: self.connect()?, holds: None },
        };
        // Asked before the state is taken, which may then be newer and is never older.
        let commits = self.commits();
        if reader.holds != Some(commits) {
            reader.let_go()?;
            begin(&reader.connection, "BEGIN DEFERRED")?;
            reader.holds = Some(commits);
        }
        Ok(reader)
    }

    /// Takes a reader back with which all went well; any other is dropped instead.
    pub(super) fn give_back(&self, mut reader: Reader) {
        let outdated = |reader: &Reader| {
            self.paused.load(Ordering::SeqCst) || reader.holds != Some(self.commits())
        };
        if outdated(&reader) && reader.let_go().is_err() {
            return;
        }
        let mut idle = self.idle();
        // Asked once more now that a pause has either not begun or will find this one.
        if outdated(&reader) && reader.let_go().is_err() {
            return;
        }
        if idle.len() < IDLE_READERS_MAX && !self.is_closed() {
            idle.push(reader);
        }
    }

    /// Has every reader let go of its state, now or as soon as its read is over; until the pause is
    /// dropped.
    pub(super) fn pause(&self) -> Pause<'_> {
        self.paused.store(true, Ordering::SeqCst);
        self.idle().retain_mut(|reader| reader.let_go().is_ok());
        Pause(self)
    }

    /// One more connection, which is not counted and holds nothing.
    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        connect::reading(&self.path, self.vfs.as_deref())
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.idle().clear();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        // Nothing panics while it holds the list, and a list of connections is never half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// Ends the transaction, if one is open.
    fn let_go(&mut self) -> Result<(), StoreError> {
        match self.holds.take() {
            Some(_) => end(&self.connection, "COMMIT"),
            None => Ok(()),
        }
    }
}

/// A time in which no reader holds a state longer than it reads.
#[derive(Debug)]
pub(super) struct Pause<'r>(&'r Readers);

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.paused.store(false, Ordering::SeqCst);
    }
}
