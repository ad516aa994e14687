//! The vault's front door: opening a vault directory, and the vaults in it.
//!
//! Verbs on keys are in `keys`, verbs on grants in `grants`. All of them block (disk, RSA) and
//! belong on blocking threads. A change is durable when its verb returns, and raises the number
//! that [`Vault::changes`] shows.

use std::{fmt, io, path::Path, path::PathBuf, sync::Arc};

use lockyard_base::{Clock, Entropy, RowId};
use lockyard_keyring::{KeyId, VaultAddress, VersionedKeyId};
use rusqlite::{OptionalExtension as _, Transaction, params};
use thiserror::Error;
use tokio::sync::watch;

use crate::{
    VaultRootKey,
    database::{Database, DatabaseError},
    keys::OpenedKeys,
    rows::{Place, RowKeys},
};

/// All embedded vaults of one directory, their keys and grants.
pub struct Vault {
    pub(crate) database: Database,
    pub(crate) rows: RowKeys,
    pub(crate) opened: OpenedKeys,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    changes: watch::Sender<u64>,
}

impl Vault {
    /// Opens the vault in `directory`; an empty or missing directory becomes a new one.
    pub fn open(
        directory: &Path,
        root_key: &VaultRootKey,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenVaultError> {
        let (database, rows) = Database::open(directory, root_key, &*entropy)?;
        let opened = OpenedKeys::default();
        Ok(Self { database, rows, opened, clock, entropy, changes: watch::Sender::new(0) })
    }

    /// Makes a vault; its name is taken whatever its letters' case.
    pub fn create_vault(&self, name: &VaultAddress) -> Result<(), VaultError> {
        if name.as_str().contains('.') {
            return Err(VaultError::NotEmbedded(name.clone()));
        }
        self.change(|transaction| {
            if self.find_vault(transaction, name)?.is_some() {
                return Err(VaultError::VaultExists(name.clone()));
            }
            let row = RowId::random(&*self.entropy);
            let index = self.rows.vault_index(name);
            let sealed = self.rows.seal(
                &*self.entropy,
                &vault_place(row, index.as_bytes()),
                name.as_str().as_bytes(),
            );
            transaction.execute(
                "INSERT INTO vault (vault_id, name_index, sealed_name, created_at)
                 VALUES (?1, ?2, ?3, ?4)",
                params![row.as_bytes(), index.as_bytes(), sealed, self.now()],
            )?;
            Ok(())
        })
    }

    /// Lists the vaults by name.
    pub fn vaults(&self) -> Result<Vec<VaultAddress>, VaultError> {
        self.database.read(|transaction| {
            let mut select =
                transaction.prepare("SELECT vault_id, name_index, sealed_name FROM vault")?;
            let mut rows = select.query([])?;
            let mut names = Vec::new();
            while let Some(row) = rows.next()? {
                let id = RowId::from_bytes(row.get(0)?);
                let index: [u8; 32] = row.get(1)?;
                names.push(self.open_vault_name(id, &index, &row.get::<_, Vec<u8>>(2)?)?);
            }
            names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
            Ok(names)
        })
    }

    /// A number that rises with every change that may grant or deny a use; starts anew with the
    /// process.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Answers whether the database can be read.
    pub fn health(&self) -> Result<(), VaultError> {
        self.database.read(|transaction| {
            transaction.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?;
            Ok(())
        })
    }

    /// Runs a change and tells it. A failed commit is told as well: nobody knows what of it will
    /// be found on the disk.
    pub(crate) fn change<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, VaultError>,
    ) -> Result<T, VaultError> {
        let done = self.database.write(work);
        if matches!(done, Ok(_) | Err(VaultError::Database(_))) {
            self.changes.send_modify(|number| *number += 1);
        }
        done
    }

    /// Finds a vault's row and proves that it is this vault's.
    pub(crate) fn find_vault(
        &self,
        transaction: &Transaction<'_>,
        name: &VaultAddress,
    ) -> Result<Option<RowId>, VaultError> {
        let index = self.rows.vault_index(name);
        let found = transaction
            .prepare_cached("SELECT vault_id, sealed_name FROM vault WHERE name_index = ?1")?
            .query_row([index.as_bytes()], |row| {
                Ok((RowId::from_bytes(row.get(0)?), row.get::<_, Vec<u8>>(1)?))
            })
            .optional()?;
        let Some((id, sealed)) = found else { return Ok(None) };
        let stored = self.open_vault_name(id, index.as_bytes(), &sealed)?;
        if stored.as_str().eq_ignore_ascii_case(name.as_str()) {
            Ok(Some(id))
        } else {
            Err(VaultError::DamagedRow { table: "vault", row: id })
        }
    }

    /// Microseconds of the wall clock, as the tables keep them.
    pub(crate) fn now(&self) -> i64 {
        self.clock.wall().as_micros()
    }

    fn open_vault_name(
        &self,
        row: RowId,
        index: &[u8; 32],
        sealed: &[u8],
    ) -> Result<VaultAddress, VaultError> {
        open_name(&self.rows, &vault_place(row, index), sealed)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("database", &self.database).finish_non_exhaustive()
    }
}

fn vault_place(row: RowId, index: &[u8; 32]) -> Place<'_> {
    Place { table: "vault", column: "sealed_name", row, index, clear: &[] }
}

/// Opens a sealed name of any kind.
pub(crate) fn open_name<N: std::str::FromStr>(
    rows: &RowKeys,
    place: &Place<'_>,
    sealed: &[u8],
) -> Result<N, VaultError> {
    let damaged = || VaultError::DamagedRow { table: place.table, row: place.row };
    let name = rows.open_row(place, sealed).map_err(|_| damaged())?;
    std::str::from_utf8(&name).ok().and_then(|name| name.parse().ok()).ok_or_else(damaged)
}

/// A vault directory could not be opened; nothing in it was changed.
#[derive(Debug, Error)]
pub enum OpenVaultError {
    /// The file system refused.
    #[error("cannot use `{path}` for the vault; give another directory with `--vault-dir`")]
    Directory {
        /// The directory, or a file in it.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner could read the vault.
    #[error("`{path}` is open to other users (mode {mode:03o}); run `chmod {cure}` on it")]
    Exposed {
        /// The directory or the database.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The mode that it should have.
        cure: &'static str,
    },
    /// Another process, or another part of this one, has the vault open.
    #[error(
        "another process uses the vault directory `{path}`; \
         stop it or give another directory with `--vault-dir`"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A directory without a vault holds something else, and is left alone.
    #[error("`{path}` holds `{stranger}` but no vault; give an empty directory with `--vault-dir`")]
    NotAVault {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        stranger: String,
    },
    /// `vault.db` belongs to another program.
    #[error("`vault.db` is not a vault's database; give another directory with `--vault-dir`")]
    ForeignDatabase,
    /// A newer version of Lockyard wrote the vault.
    #[error(
        "the vault has schema {found} and this version knows schemas up to {known}; \
         run the version that wrote it, or a newer one"
    )]
    Newer {
        /// The schema of the database.
        found: i64,
        /// The newest schema that this version reads.
        known: i64,
    },
    /// The vault was made with another root key.
    #[error(
        "the vault key does not belong to this vault; give the right file with `--vault-key FILE`"
    )]
    WrongRootKey,
    /// The database is damaged.
    #[error("the vault's database is damaged; restore the vault directory from a backup")]
    Damaged(#[source] Option<DatabaseError>),
    /// SQLite could not work.
    #[error("cannot open the vault's database")]
    Database(#[source] DatabaseError),
}

/// A verb on the vault did not do what it was asked.
///
/// Nothing was changed, with one exception: after [`VaultError::Database`] a change was made whole
/// or not at all, and only reading it back tells which.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The name is taken.
    #[error("vault `{0}` exists already")]
    VaultExists(VaultAddress),
    /// The name is the host of a vault elsewhere.
    #[error("`{0}` is the host of an external vault; an embedded vault has a bare name")]
    NotEmbedded(VaultAddress),
    /// There is no such vault here.
    #[error("there is no vault `{0}`")]
    VaultNotFound(VaultAddress),
    /// The vault has no such key.
    #[error("there is no key `{0}`")]
    KeyNotFound(KeyId),
    /// The key has no such version.
    #[error("there is no key version `{0}`")]
    VersionNotFound(VersionedKeyId),
    /// A key cannot expire before it is valid.
    #[error("the key would expire before it is valid")]
    EmptyValidity,
    /// A row was changed, or lies where it does not belong.
    #[error("row {row} of table `{table}` is damaged; restore the vault from a backup")]
    DamagedRow {
        /// The table.
        table: &'static str,
        /// The row's id.
        row: RowId,
    },
    /// The database's own structure is damaged.
    #[error("the vault's database is damaged; restore it from a backup")]
    Damaged(#[source] DatabaseError),
    /// The RSA key could not be made.
    #[error("no RSA key could be generated")]
    Generate,
    /// The database could not be read or written.
    #[error("the vault's database cannot be used")]
    Database(#[source] DatabaseError),
}

impl From<rusqlite::Error> for VaultError {
    /// Tells damage from trouble.
    fn from(error: rusqlite::Error) -> Self {
        let error = DatabaseError::from(error);
        if error.is_damage() { Self::Damaged(error) } else { Self::Database(error) }
    }
}
