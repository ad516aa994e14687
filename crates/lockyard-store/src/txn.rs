//! One transaction, seen the same way by every room whichever database is underneath.
//!
//! A room writes its SQL once, with `$1` parameters; the few things that the dialects say
//! differently come from [`Dialect`]. A statement that failed spoils its transaction on both
//! engines (PostgreSQL would have it so anyway): nothing that follows can be committed.

use lockyard_base::Timestamp;

use crate::{
    StoreError,
    postgres::Session,
    value::{Row, Value},
};

/// A running transaction; the rooms' functions take it first.
#[derive(Debug)]
pub struct Txn<'c> {
    link: Link<'c>,
    now: Timestamp,
    /// What the first statement that failed answered.
    trouble: Option<StoreError>,
}

#[derive(Debug)]
enum Link<'c> {
    Sqlite(&'c rusqlite::Connection),
    Postgres(&'c mut Session),
}

impl<'c> Txn<'c> {
    pub(crate) fn sqlite(connection: &'c rusqlite::Connection, now: Timestamp) -> Self {
        Self { link: Link::Sqlite(connection), now, trouble: None }
    }

    pub(crate) fn postgres(session: &'c mut Session, now: Timestamp) -> Self {
        Self { link: Link::Postgres(session), now, trouble: None }
    }

    /// The time at which this transaction began, by the database's clock.
    ///
    /// Every node sees the same clock, so that cutoffs mean the same everywhere. On SQLite there is
    /// one node, and the clock is the one that the store was opened with.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What spoiled this transaction, if anything did.
    pub(crate) fn trouble(&self) -> Option<&StoreError> {
        self.trouble.as_ref()
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.link {
            Link::Sqlite(_) => Dialect::Sqlite,
            Link::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs a statement and returns how many rows it changed.
    pub(crate) fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        self.sound()?;
        let done = match &mut self.link {
            Link::Sqlite(connection) => crate::sqlite::execute(connection, sql, values),
            Link::Postgres(session) => session.execute(sql, values),
        };
        self.noted(done)
    }

    /// Runs a statement and reads every row of its answer.
    pub(crate) fn rows<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.sound()?;
        let rows = match &mut self.link {
            Link::Sqlite(connection) => crate::sqlite::rows(connection, sql, values, read),
            Link::Postgres(session) => session.rows(sql, values, read),
        };
        self.noted(rows)
    }

    /// Runs a statement whose answer has at most one row.
    pub(crate) fn row<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.rows(sql, values, read).map(|mut rows| {
            debug_assert!(rows.len() <= 1, "the statement names its row: {sql}");
            rows.pop()
        })
    }

    /// Runs a statement whose answer has exactly one row.
    pub(crate) fn one<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.row(sql, values, read)?
            .ok_or_else(|| StoreError::damaged("an aggregate without a row"))
    }

    /// Runs several statements without parameters (the schema).
    pub(crate) fn script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.sound()?;
        let done = match &mut self.link {
            Link::Sqlite(connection) => connection.execute_batch(sql).map_err(StoreError::from),
            Link::Postgres(session) => session.script(sql),
        };
        self.noted(done)
    }

    fn sound(&self) -> Result<(), StoreError> {
        if self.trouble.is_none() { Ok(()) } else { Err(StoreError::Spoiled) }
    }

    fn noted<T>(&mut self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &outcome {
            self.trouble = Some(error.clone());
        }
        outcome
    }
}

/// Whether PostgreSQL asks for the same transaction once more.
pub(crate) fn is_collision(error: &StoreError) -> bool {
    use postgres::error::SqlState;
    let StoreError::Busy(Some(cause)) = error else { return false };
    cause.downcast_ref::<postgres::Error>().and_then(postgres::Error::code).is_some_and(|state| {
        matches!(*state, SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED)
    })
}

/// What the two databases say differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// How firmly a row is held until the end of the transaction; SQLite has one writer and needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Nobody else locks, changes or deletes it.
    Update,
    /// Nobody else changes or deletes it.
    Share,
    /// Nobody else deletes it.
    KeyShare,
}

impl Dialect {
    /// The end of a `SELECT` that locks the rows of the table or alias `of`.
    pub(crate) fn hold(self, hold: Hold, of: &str) -> String {
        if self == Self::Sqlite {
            return String::new();
        }
        let how = match hold {
            Hold::Update => "UPDATE",
            Hold::Share => "SHARE",
            Hold::KeyShare => "KEY SHARE",
        };
        format!(" FOR {how} OF {of}")
    }

    /// A subquery that yields the ids of list parameter number `n`, in a column named `item`.
    pub(crate) fn ids(self, n: usize) -> String {
        match self {
            Self::Sqlite => format!("SELECT value AS item FROM json_each(${n})"),
            Self::Postgres => format!("SELECT unnest(${n}::text[]) COLLATE \"C\" AS item"),
        }
    }

    /// A subquery that yields the indexes of list parameter number `n`, in a column named `item`.
    pub(crate) fn indexes(self, n: usize) -> String {
        match self {
            Self::Sqlite => format!("SELECT unhex(value) AS item FROM json_each(${n})"),
            Self::Postgres => format!("SELECT unnest(${n}::bytea[]) AS item"),
        }
    }
}
