//! SQLite: one file, one writer thread, and read-only connections for whoever reads.
//!
//! Every write of the process goes through the writer, which commits many of them at once. Reads
//! run on the calling thread. Nothing here waits for another process: one process owns the data
//! directory, and somebody else sees to that.

mod check;
mod connect;
mod readers;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use lockyard_base::Clock;
use rusqlite::Connection;

use self::{check::Checks, readers::Readers, writer::Writer};
use crate::{
    OpenError, Place, StoreError, Txn,
    job::{Job, settled},
    schema,
    value::{Row, Value},
};

/// The SQLite engine.
#[derive(Debug)]
pub(crate) struct Sqlite {
    clock: Arc<dyn Clock>,
    readers: Arc<Readers>,
    writer: Writer,
    checks: Checks,
}

impl Sqlite {
    pub(crate) fn open(path: PathBuf, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        connect::own(&path)?;
        let this = Self::bring_up(path.clone(), None, clock)?;
        connect::own_logs(&path)?;
        connect::keep_names(&path)?;
        Ok(this)
    }

    /// Opens a file of a file system that a test registered with SQLite; who may read it and whether
    /// its name is durable is the test's to see to.
    #[cfg(feature = "testing")]
    pub(crate) fn open_on_vfs(
        path: PathBuf,
        vfs: String,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        Self::bring_up(path, Some(vfs), clock)
    }

    fn bring_up(
        path: PathBuf,
        vfs: Option<String>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let explain = |source| explain(&path, source);
        let mut connection = connect::writing(&path, vfs.as_deref()).map_err(explain)?;
        bring_up(&mut connection, clock.as_ref(), &path)?;
        let readers = Arc::new(Readers::new(path.clone(), vfs));
        let writer = Writer::start(connection, Arc::clone(&clock), Arc::clone(&readers))
            .map_err(|source| OpenError::Io { path, source: Arc::new(source) })?;
        Ok(Self { clock, readers, writer, checks: Checks::default() })
    }

    pub(crate) async fn submit(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.writer.submit(job).await
    }

    pub(crate) fn submit_blocking(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.writer.submit_blocking(job)
    }

    pub(crate) fn read<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let reader = self.readers.take()?;
        let mut txn = Txn::sqlite(&reader.connection, self.clock.wall());
        let outcome = settled(&mut txn, work);
        if txn.trouble().is_none() {
            self.readers.give_back(reader);
        }
        outcome
    }

    pub(crate) fn check_edges(&self) -> Result<(), StoreError> {
        let reader = self.readers.take()?;
        check::edges(&reader.connection)?;
        self.readers.give_back(reader);
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        // A connection of its own: an interruption must hit nobody else's statement.
        let reader = self.readers.connect()?;
        self.checks.run(&reader, || self.readers.is_closed())
    }

    pub(crate) fn commits(&self) -> u64 {
        self.readers.commits()
    }

    #[cfg(feature = "testing")]
    pub(crate) fn notice_strange_writes(&self) {
        self.readers.committed();
    }

    pub(crate) fn truncate_log(&self) -> Result<(), StoreError> {
        self.writer.truncate_log()
    }

    pub(crate) fn close(&self) {
        self.checks.interrupt();
        // The readers go first, so that the writer's is the last connection and removes the log.
        self.readers.close();
        self.writer.close();
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.close();
    }
}

/// Creates or migrates the schema in one transaction.
fn bring_up(connection: &mut Connection, clock: &dyn Clock, path: &Path) -> Result<(), OpenError> {
    let explain = |source| explain(path, source);
    begin(connection, "BEGIN IMMEDIATE").map_err(explain)?;
    let mut txn = Txn::sqlite(connection, clock.wall());
    let done = schema::bring_up(&mut txn, schema::MIGRATIONS);
    let end_with = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = end(connection, end_with).map_err(explain);
    match done {
        Ok(()) => ended,
        Err(refused) => Err(refused.explain(explain)),
    }
}

/// Says of a store's error what it means when it is about to be opened.
fn explain(path: &Path, source: StoreError) -> OpenError {
    let path = path.to_owned();
    match source {
        StoreError::Io(source) => OpenError::Io { path, source },
        StoreError::Damaged { .. } => OpenError::Damaged { place: Place::File(path), source },
        source => OpenError::Store { place: Place::File(path), source },
    }
}

pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    values: &[Value<'_>],
) -> Result<u64, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, values)?;
    Ok(u64::try_from(statement.raw_execute()?).unwrap_or(u64::MAX))
}

pub(crate) fn rows<T>(
    connection: &Connection,
    sql: &str,
    values: &[Value<'_>],
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, values)?;
    let mut answer = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        answer.push(read(&Row::Sqlite(row))?);
    }
    Ok(answer)
}

/// SQLite takes `$1` for a name and numbers parameters by their first use, so they are bound by
/// name.
fn bind(statement: &mut rusqlite::Statement<'_>, values: &[Value<'_>]) -> Result<(), StoreError> {
    const NAMES: [&std::ffi::CStr; 16] = [
        c"$1", c"$2", c"$3", c"$4", c"$5", c"$6", c"$7", c"$8", c"$9", c"$10", c"$11", c"$12",
        c"$13", c"$14", c"$15", c"$16",
    ];
    debug_assert_eq!(statement.parameter_count(), values.len(), "every parameter has its value");
    for (name, value) in NAMES.iter().zip(values) {
        statement.raw_bind_parameter(*name, value)?;
    }
    Ok(())
}

fn begin(connection: &Connection, how: &'static str) -> Result<(), StoreError> {
    execute(connection, how, &[]).map(drop)
}

fn end(connection: &Connection, how: &'static str) -> Result<(), StoreError> {
    execute(connection, how, &[]).map(drop)
}

#[cfg(test)]
mod tests {
    use lockyard_base::{BlindIndex, HandClock, RepositoryId};
    use rusqlite::StatementStatus;

    use super::*;
    use crate::tag;

    #[test]
    fn a_lookup_is_parsed_once_however_often_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock::default());
        let store = Sqlite::open(dir.path().join("store.db"), clock).unwrap();
        let reader = store.readers.connect().unwrap();
        for byte in 0..9 {
            let (repository, name) =
                (RepositoryId::from_bytes([byte; 16]), BlindIndex::from_bytes([byte; 32]));
            let mut txn = Txn::sqlite(&reader, store.clock.wall());
            assert!(tag::resolve(&mut txn, repository, &name).unwrap().is_none());
            assert!(tag::changed_since(&mut txn, repository, 7, 5).unwrap().is_none());
        }
        let (parsed, mut counted) = (StatementStatus::RePrepare, 0);
        for sql in [tag::RESOLVE, tag::CHANGED_SINCE] {
            let statement = reader.prepare_cached(sql).unwrap();
            counted += statement.get_status(StatementStatus::Run);
            assert_eq!(statement.get_status(parsed), 0, "{sql}");
        }
        assert_eq!(counted, 18, "these are the statements that ran");
    }
}
