//! The tables, and how a database comes to have them.
//!
//! A database carries its version in `meta`. An empty one is given every migration in turn, an
//! older one those that it lacks, all in the opening transaction; a newer one is refused, because
//! its rows may mean what this program does not know. What another program put there is refused as
//! well.

mod v1;
mod v2;
mod v3;

use crate::{OpenError, StoreError, Txn, txn::Dialect, value::Value};

/// One step from a version to the next; written once for both databases (see [`spell`]).
type Migration = &'static str;

/// Every step there ever was; a step that was released never changes.
pub(crate) const MIGRATIONS: &[Migration] = &[v1::TABLES, v2::EXPIRY, v3::ROW_PARTS];

/// The newest schema version that this program knows.
pub const VERSION: u32 = newest(MIGRATIONS);

#[expect(clippy::cast_possible_truncation, reason = "there are not 2^32 migrations")]
const fn newest(migrations: &[Migration]) -> u32 {
    migrations.len() as u32
}

/// Why the schema could not be brought up.
#[derive(Debug)]
pub(crate) enum Refusal {
    Newer { found: u32, known: u32 },
    Foreign,
    Store(StoreError),
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Refusal {
    /// Makes an error for whoever opened the database; the engine says where that was.
    pub(crate) fn explain(self, store: impl FnOnce(StoreError) -> OpenError) -> OpenError {
        match self {
            Self::Newer { found, known } => OpenError::Newer { found, known },
            Self::Foreign => OpenError::Foreign,
            Self::Store(error) => store(error),
        }
    }
}

/// Brings the database to the version that `migrations` lead to, inside `txn`.
pub(crate) fn bring_up(txn: &mut Txn<'_>, migrations: &[Migration]) -> Result<(), Refusal> {
    let known = newest(migrations);
    let found = version(txn)?;
    if found > known {
        return Err(Refusal::Newer { found, known });
    }
    for step in migrations.iter().skip(found as usize) {
        let script = spell(txn.dialect(), step);
        txn.script(&script)?;
    }
    if found < known {
        let version = known.to_be_bytes();
        txn.execute(
            "INSERT INTO meta (key, value) VALUES ($1, $2) \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            &["schema".into(), Value::Blob(&version)],
        )?;
        tracing::info!(from = found, to = known, "the database's schema is new");
    }
    Ok(())
}

/// The version that the database has; 0 for an empty one.
fn version(txn: &mut Txn<'_>) -> Result<u32, Refusal> {
    let tables = match txn.dialect() {
        Dialect::Sqlite => "SELECT name FROM sqlite_schema WHERE type = 'table'",
        Dialect::Postgres => {
            "SELECT table_name::text FROM information_schema.tables \
             WHERE table_schema = current_schema()"
        }
    };
    let tables = txn.rows(tables, &[], |row| row.text(0))?;
    if tables.is_empty() {
        return Ok(0);
    }
    if !tables.iter().any(|table| table == "meta") || !tables.iter().any(|table| table == "part") {
        return Err(Refusal::Foreign);
    }
    let found = txn.row("SELECT value FROM meta WHERE key = $1", &["schema".into()], |row| {
        row.bytes(0).map(u32::from_be_bytes)
    })?;
    found.ok_or_else(|| StoreError::damaged("the schema version is missing").into())
}

/// Spells a script for one database: the names in braces are those of column types.
fn spell(dialect: Dialect, script: &str) -> String {
    let words: [(&str, &str); 4] = match dialect {
        Dialect::Sqlite => {
            [("{id}", "TEXT"), ("{int}", "INTEGER"), ("{blob}", "BLOB"), ("{strict}", " STRICT")]
        }
        // The plain collation is the fastest, and sorts as SQLite does.
        Dialect::Postgres => [
            ("{id}", "TEXT COLLATE \"C\""),
            ("{int}", "BIGINT"),
            ("{blob}", "BYTEA"),
            ("{strict}", ""),
        ],
    };
    words.iter().fold(script.to_owned(), |script, (name, word)| script.replace(name, word))
}

#[cfg(test)]
mod tests {
    use lockyard_base::Timestamp;
    use rusqlite::Connection;

    use super::*;

    const FIRST: &str = "CREATE TABLE meta (key TEXT PRIMARY KEY, value {blob}); \
                         CREATE TABLE part (a {int}); INSERT INTO part VALUES (7);";
    const SECOND: &str = "ALTER TABLE part ADD COLUMN b {int}; UPDATE part SET b = a + 1;";

    fn apply(connection: &Connection, migrations: &[Migration]) -> Result<(), Refusal> {
        bring_up(&mut Txn::sqlite(connection, Timestamp::from_micros(0)), migrations)
    }

    #[test]
    fn an_older_database_gets_the_steps_that_it_lacks_and_keeps_its_rows() {
        let connection = Connection::open_in_memory().unwrap();
        apply(&connection, &[FIRST]).unwrap();
        apply(&connection, &[FIRST, SECOND]).unwrap();
        apply(&connection, &[FIRST, SECOND]).unwrap();
        let b: i64 = connection.query_row("SELECT b FROM part", [], |row| row.get(0)).unwrap();
        assert_eq!(b, 8);
    }

    #[test]
    fn a_record_of_version_1_never_expires() {
        let connection = Connection::open_in_memory().unwrap();
        apply(&connection, &MIGRATIONS[..1]).unwrap();
        let insert = "INSERT INTO instance_record (row_id, kind, name_index, sealed, seal_no) \
                      VALUES ('aa', 'owner', X'01', X'02', 3)";
        connection.execute(insert, []).unwrap();
        apply(&connection, MIGRATIONS).unwrap();
        let kept =
            "SELECT seal_no FROM instance_record WHERE sealed = X'02' AND expires_at IS NULL";
        let seal_no: i64 = connection.query_row(kept, [], |row| row.get(0)).unwrap();
        assert_eq!(seal_no, 3);
    }

    #[test]
    fn a_part_of_version_2_is_a_file() {
        let connection = Connection::open_in_memory().unwrap();
        apply(&connection, &MIGRATIONS[..2]).unwrap();
        let insert = "INSERT INTO part (part_id, registry_id, state, lease_until, changed_at) \
                      VALUES ('aa', 'bb', 'live', 0, 1)";
        connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        connection.execute(insert, []).unwrap();
        apply(&connection, MIGRATIONS).unwrap();
        let kept = "SELECT changed_at FROM part WHERE state = 'live' AND content IS NULL";
        let changed_at: i64 = connection.query_row(kept, [], |row| row.get(0)).unwrap();
        assert_eq!(changed_at, 1);
    }

    #[test]
    fn a_newer_database_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        apply(&connection, &[FIRST, SECOND]).unwrap();
        let refusal = apply(&connection, &[FIRST]).unwrap_err();
        assert!(matches!(refusal, Refusal::Newer { found: 2, known: 1 }));
    }

    #[test]
    fn a_foreign_database_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE songs (title TEXT)").unwrap();
        assert!(matches!(apply(&connection, &[FIRST]).unwrap_err(), Refusal::Foreign));
    }
}
