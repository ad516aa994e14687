//! The vault's front door: opening a vault directory, and what all verbs share.
//!
//! Verbs on vaults are in `vaults`, on keys in `keys`; what callers from
//! outside do with keys goes through `plane`. All of them block (disk, RSA) and belong on blocking
//! threads. A change is durable when its verb returns, and raises the number that
//! [`Vault::changes`] shows.

use std::{fmt, path::Path, sync::Arc};

use lockyard_base::{Clock, Entropy};
use rusqlite::Transaction;
use tokio::sync::watch;

use crate::{
    OpenVaultError, VaultError, VaultRootKey, database::Database, keys::OpenedKeys,
    plane::Remembered, rows::RowKeys, vaults::OpenedVaults,
};

/// All embedded vaults of one directory, and their keys.
pub struct Vault {
    pub(crate) database: Database,
    pub(crate) rows: RowKeys,
    pub(crate) opened: OpenedKeys,
    pub(crate) opened_vaults: OpenedVaults,
    pub(crate) remembered: Remembered,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    changes: watch::Sender<u64>,
}

impl Vault {
    /// Opens the vault in `directory`; an empty or missing directory becomes a new one, and an
    /// older schema is brought to the present one.
    pub fn open(
        directory: &Path,
        root_key: &VaultRootKey,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, OpenVaultError> {
        let (database, rows) = Database::open(directory, root_key, &*entropy)?;
        Ok(Self {
            database,
            rows,
            opened: OpenedKeys::default(),
            opened_vaults: OpenedVaults::default(),
            remembered: Remembered::default(),
            clock,
            entropy,
            changes: watch::Sender::new(0),
        })
    }

    /// A number that rises with every change that may grant or deny a use; starts anew with the
    /// process.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Tells that role assignments changed somewhere, so that whoever relies on one asks again.
    pub fn roles_changed(&self) {
        self.changes.send_modify(|number| *number += 1);
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
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("database", &self.database).finish_non_exhaustive()
    }
}
