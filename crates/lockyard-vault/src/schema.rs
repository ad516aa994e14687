//! The vault's tables; the steps that bring an older database to them are in `migration`.
//!
//! All SQL that defines is here; SQL that reads and writes stands beside the verbs that need it.
//! Versions are names that customers see, and random; everything else that has a name has it
//! sealed, with a blind index to find it by.

use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::{OpenVaultError, database::DatabaseError, rows::SealedRowKeys};

/// The schema that this version writes and reads.
pub(crate) const VERSION: i64 = 2;
/// Marks the file as a vault's database (`LkyV`).
const APPLICATION_ID: i64 = 0x4C6B_7956;

const TABLES: &str = "
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT;
CREATE TABLE vault (
    vault_id BLOB PRIMARY KEY,
    name_index BLOB NOT NULL UNIQUE,
    sealed_name BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    purge_at INTEGER,
    sealed_record BLOB NOT NULL DEFAULT x''
) STRICT;
CREATE TABLE key (
    key_id BLOB PRIMARY KEY,
    vault_id BLOB NOT NULL REFERENCES vault,
    name_index BLOB NOT NULL,
    sealed_name BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    purge_at INTEGER,
    rotate_at INTEGER,
    sealed_record BLOB NOT NULL DEFAULT x'',
    UNIQUE (vault_id, name_index)
) STRICT;
CREATE TABLE key_version (
    key_id BLOB NOT NULL REFERENCES key,
    version_id BLOB NOT NULL,
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL,
    enabled INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    not_before INTEGER,
    expires INTEGER,
    sealed_key BLOB NOT NULL,
    sealed_record BLOB NOT NULL,
    PRIMARY KEY (key_id, version_id),
    UNIQUE (key_id, ordinal)
) STRICT;
CREATE TABLE key_grant (
    grant_id BLOB PRIMARY KEY,
    key_id BLOB NOT NULL REFERENCES key,
    identity BLOB NOT NULL,
    sealed_operations BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (key_id, identity)
) STRICT;
";

/// What is found when a database file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing yet; also what a start that was cut short leaves behind.
    Empty,
    /// A vault of the present schema.
    Vault,
    /// A vault of an older schema.
    Older,
}

/// Looks whether this version may work with the database; changes nothing.
pub(crate) fn inspect(connection: &Connection) -> Result<Found, OpenVaultError> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let found = number("PRAGMA user_version").map_err(OpenVaultError::from_sqlite)?;
    let application = number("PRAGMA application_id").map_err(OpenVaultError::from_sqlite)?;
    let tables =
        number("SELECT count(*) FROM sqlite_schema").map_err(OpenVaultError::from_sqlite)?;
    if tables == 0 && found == 0 {
        return Ok(Found::Empty);
    }
    if application != APPLICATION_ID || found < 1 {
        return Err(OpenVaultError::ForeignDatabase);
    }
    if found > VERSION {
        return Err(OpenVaultError::Newer { found, known: VERSION });
    }
    Ok(if found == VERSION { Found::Vault } else { Found::Older })
}

/// Makes the tables of a new vault and stores its sealed keys; all or nothing.
pub(crate) fn initialise(
    transaction: &Transaction<'_>,
    keys: &SealedRowKeys,
) -> rusqlite::Result<()> {
    transaction.execute_batch(TABLES)?;
    let mut insert = transaction.prepare("INSERT INTO meta (name, value) VALUES (?1, ?2)")?;
    insert.execute(params!["directory_id", keys.directory])?;
    insert.execute(params!["root_key_check", keys.check])?;
    insert.execute(params!["row_key", keys.row])?;
    insert.execute(params!["index_key", keys.index])?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)
}

/// Reads the sealed keys that [`initialise`] stored.
pub(crate) fn sealed_keys(connection: &Connection) -> Result<SealedRowKeys, OpenVaultError> {
    Ok(SealedRowKeys {
        directory: fixed(connection, "directory_id")?,
        check: fixed(connection, "root_key_check")?,
        row: meta(connection, "row_key")?,
        index: meta(connection, "index_key")?,
    })
}

fn fixed<const N: usize>(connection: &Connection, name: &str) -> Result<[u8; N], OpenVaultError> {
    meta(connection, name)?.try_into().map_err(|_| OpenVaultError::Damaged(None))
}

fn meta(connection: &Connection, name: &str) -> Result<Vec<u8>, OpenVaultError> {
    connection
        .query_row("SELECT value FROM meta WHERE name = ?1", [name], |row| row.get(0))
        .optional()
        .map_err(OpenVaultError::from_sqlite)?
        .ok_or(OpenVaultError::Damaged(None))
}

impl OpenVaultError {
    /// Tells damage from trouble.
    pub(crate) fn from_sqlite(error: rusqlite::Error) -> Self {
        let error = DatabaseError::from(error);
        if error.is_damage() { Self::Damaged(Some(error)) } else { Self::Database(error) }
    }
}
