//! The door: a store is opened on one of two engines, and takes closures that read or write.
//!
//! Closures are synchronous, because a transaction that waits for anything but its database holds
//! everybody up. A write may run more than once before it commits (see [`Store::write`]), so what
//! it leaves behind outside of the database must not matter.

use std::{fmt, path::PathBuf, sync::Arc};

use lockyard_base::Clock;
use tokio::sync::oneshot;

use crate::{OpenError, StoreError, Txn, job, postgres::Postgres, sqlite::Sqlite};

/// Which database to open.
#[derive(Clone)]
pub enum Engine {
    /// A file on this machine; one process at a time.
    Sqlite {
        /// The database file. Two more, `-wal` and `-shm`, lie beside it while it is open.
        path: PathBuf,
    },
    /// A PostgreSQL server.
    Postgres {
        /// Its URL; the tables go into the first schema of its `search_path`. Connections are not
        /// encrypted yet: use a local socket or a network that you trust.
        url: String,
        /// How many connections at most serve reads and writes.
        connections: usize,
    },
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => f.debug_struct("Sqlite").field("path", path).finish(),
            // The URL may hold a password.
            Self::Postgres { connections, .. } => {
                f.debug_struct("Postgres").field("connections", connections).finish_non_exhaustive()
            }
        }
    }
}

/// Has the last word on a commit: a registry that was locked meanwhile must not change.
pub trait CommitGuard: Send + Sync {
    /// Whether the write may still commit. Asked before it runs and again just before `COMMIT`, on
    /// the engine's thread: answer at once.
    fn permits(&self) -> bool;
}

/// What the answer to a write promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk: a power cut does not take it.
    Now,
    /// It is committed: the end of this process does not take it, a power cut may. Everything that
    /// was committed before a write that is [`Durability::Now`] is on the disk with it. On
    /// PostgreSQL the same as `Now`.
    Soon,
}

/// The rows of an instance; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
enum Inner {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Store {
    /// Opens a database: creates the schema in an empty one, migrates an older one, refuses a newer
    /// one.
    ///
    /// Blocks; connecting, waiting for another node's migration and replaying a log take time.
    pub fn open(engine: Engine, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let inner = match engine {
            Engine::Sqlite { path } => Inner::Sqlite(Sqlite::open(path, clock)?),
            Engine::Postgres { url, connections } => {
                Inner::Postgres(Postgres::open(&url, connections)?)
            }
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs `work` in one transaction and returns its answer after the commit, which is then on the
    /// disk.
    ///
    /// An `Err` rolls back what this closure wrote and nothing else. `work` may run several times:
    /// on SQLite many writes share one commit, and when one of them is refused at the last moment
    /// the others replay; on PostgreSQL a collision with another connection replays. Only the last
    /// run counts. A write runs to its end even if the returned future is dropped.
    pub async fn write<T, E>(
        &self,
        guard: Option<Arc<dyn CommitGuard>>,
        work: impl FnMut(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write_with(Durability::Now, guard, work).await
    }

    /// Does what [`Store::write`] does; says itself what the answer promises.
    pub async fn write_with<T, E>(
        &self,
        durability: Durability,
        guard: Option<Arc<dyn CommitGuard>>,
        work: impl FnMut(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        // Nobody may be waiting any more; the write counts all the same.
        let job = job::write(durability, guard, work, move |outcome| drop(reply.send(outcome)));
        match &*self.inner {
            Inner::Sqlite(sqlite) => sqlite.submit(job).await?,
            Inner::Postgres(postgres) => postgres.submit(job).await?,
        }
        answer.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Runs `work` in one transaction that sees one state of the database and cannot change it.
    ///
    /// On SQLite it runs at once on the calling thread, which is faster than any hand-over: lookups
    /// take microseconds. Ask for long lists in pages.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &*self.inner {
            Inner::Sqlite(sqlite) => sqlite.read(work),
            Inner::Postgres(postgres) => postgres.read(work).await,
        }
    }

    /// How many commits this database has seen, where all of them pass through this process; `None`
    /// where others write too (PostgreSQL).
    ///
    /// What was read after asking is still so as long as the number is the same: an acknowledged
    /// write has raised it before its answer. For rows that nearly every request needs and hardly
    /// any changes.
    pub fn commits(&self) -> Option<u64> {
        match &*self.inner {
            Inner::Sqlite(sqlite) => Some(sqlite.commits()),
            Inner::Postgres(_) => None,
        }
    }

    /// Does what [`Store::write`] does and blocks the thread; for start-up and offline commands.
    pub fn write_blocking<T, E>(
        &self,
        guard: Option<Arc<dyn CommitGuard>>,
        work: impl FnMut(&mut Txn<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        let job =
            job::write(Durability::Now, guard, work, move |outcome| drop(reply.send(outcome)));
        match &*self.inner {
            Inner::Sqlite(sqlite) => sqlite.submit_blocking(job)?,
            Inner::Postgres(postgres) => postgres.run_blocking(job),
        }
        answer.recv().unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Does what [`Store::read`] does and blocks the thread; for start-up and offline commands.
    pub fn read_blocking<T, E>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        T: Send,
        E: From<StoreError> + Send,
    {
        match &*self.inner {
            Inner::Sqlite(sqlite) => sqlite.read(work),
            Inner::Postgres(postgres) => postgres.read_blocking(work),
        }
    }

    /// Reads what a start stands on and reports damage: the tables of the instance and its
    /// registries, and the edges of every other tree; on PostgreSQL, asks whether it answers.
    ///
    /// Blocks, for a time that hardly grows with what is kept.
    pub fn check_edges(&self) -> Result<(), StoreError> {
        match &*self.inner {
            Inner::Sqlite(sqlite) => sqlite.check_edges(),
            Inner::Postgres(postgres) => postgres.check(),
        }
    }

    /// Reads the whole database file and reports damage; on PostgreSQL, asks whether it answers.
    ///
    /// Blocks, for a time that grows with the file (about a second per gigabyte), and keeps the log
    /// from being cut meanwhile. Closing the store ends it with [`StoreError::Closed`].
    pub fn check(&self) -> Result<(), StoreError> {
        match &*self.inner {
            Inner::Sqlite(sqlite) => sqlite.check(),
            Inner::Postgres(postgres) => postgres.check(),
        }
    }

    /// Moves everything from SQLite's log into the database file and cuts the log to nothing, so
    /// that deleted keys are gone from it; blocks.
    ///
    /// The store does so by itself when it is idle and at least once a minute under load. Answers
    /// [`StoreError::Busy`] if a long read kept the log in use. PostgreSQL recycles its own log;
    /// there this does nothing.
    pub fn truncate_log(&self) -> Result<(), StoreError> {
        match &*self.inner {
            Inner::Sqlite(sqlite) => sqlite.truncate_log(),
            Inner::Postgres(_) => Ok(()),
        }
    }

    /// Commits what is queued, empties the log and closes the database; blocks. Other clones answer
    /// [`StoreError::Closed`] from then on. Dropping the last clone does the same.
    pub fn close(self) {
        match &*self.inner {
            Inner::Sqlite(sqlite) => sqlite.close(),
            Inner::Postgres(postgres) => postgres.close(),
        }
    }

    /// Opens an SQLite database that lies in a file system which a test registered with SQLite under
    /// the name `vfs`.
    #[cfg(feature = "testing")]
    pub fn open_on_vfs(
        path: PathBuf,
        vfs: String,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let sqlite = Sqlite::open_on_vfs(path, vfs, clock)?;
        Ok(Self { inner: Arc::new(Inner::Sqlite(sqlite)) })
    }

    /// Lets a test that wrote past this store read what it wrote: nobody else ever does.
    #[cfg(feature = "testing")]
    pub fn notice_strange_writes(&self) {
        if let Inner::Sqlite(sqlite) = &*self.inner {
            sqlite.notice_strange_writes();
        }
    }

    /// Sets the database's clock forward for a test; SQLite goes by the clock that the store was
    /// opened with, so there this does nothing.
    #[cfg(feature = "testing")]
    pub fn advance_database_clock(&self, by: std::time::Duration) {
        if let Inner::Postgres(postgres) = &*self.inner {
            postgres.advance_clock(by);
        }
    }
}
