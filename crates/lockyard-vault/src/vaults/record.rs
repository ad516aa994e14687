//! A vault's row: name and properties, sealed; and the vaults that are in memory.
//!
//! The time of its purge is a clear column, bound to the row, because jobs look for it and because
//! it decides whether the vault is live. A vault in memory is used only while its row is, byte for
//! byte, the one that it was read from.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use lockyard_base::RowId;
use lockyard_keyring::VaultAddress;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use super::VaultProperties;
use crate::{
    Vault, VaultError,
    rows::{Place, RowKeys},
    stored,
};

/// The most vaults of one directory; a listing reads all of them.
const VAULTS_MAX: i64 = 10_000;

/// A vault's row as it lies in the database.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredVault {
    pub(crate) row: RowId,
    index: [u8; 32],
    sealed_name: Vec<u8>,
    purge_at: Option<i64>,
    sealed_record: Vec<u8>,
}

/// A vault that was read: its row and what it says.
#[derive(Debug)]
pub(crate) struct FoundVault {
    pub(crate) stored: StoredVault,
    pub(crate) properties: VaultProperties,
}

impl FoundVault {
    pub(crate) fn row(&self) -> RowId {
        self.stored.row
    }

    pub(crate) fn is_live(&self) -> bool {
        self.stored.purge_at.is_none()
    }
}

impl StoredVault {
    const COLUMNS: &'static str =
        "SELECT vault_id, name_index, sealed_name, purge_at, sealed_record FROM vault";

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            row: RowId::from_bytes(row.get(0)?),
            index: row.get(1)?,
            sealed_name: row.get(2)?,
            purge_at: row.get(3)?,
            sealed_record: row.get(4)?,
        })
    }

    fn open(&self, rows: &RowKeys) -> Result<VaultProperties, VaultError> {
        let damaged = || VaultError::DamagedRow { table: "vault", row: self.row };
        let name = rows
            .open_row(&name_place(self.row, &self.index), &self.sealed_name)
            .map_err(|_| damaged())?;
        let name: VaultAddress = std::str::from_utf8(&name)
            .ok()
            .and_then(|name| name.parse().ok())
            .ok_or_else(damaged)?;
        let record = with_record_place(self.row, &self.index, self.purge_at, |place| {
            rows.open_row(place, &self.sealed_record)
        })
        .map_err(|_| damaged())?;
        let properties = stored::read_vault(name, &record).ok_or_else(damaged)?;
        let purge = properties.deleted.map(|deleted| deleted.purge.as_micros());
        if purge == self.purge_at { Ok(properties) } else { Err(damaged()) }
    }
}

impl Vault {
    /// Finds a vault by name, live or deleted, and proves that its row is this vault's.
    pub(crate) fn find_vault(
        &self,
        transaction: &Transaction<'_>,
        name: &VaultAddress,
    ) -> Result<Option<Arc<FoundVault>>, VaultError> {
        let index = self.rows.vault_index(name);
        let sql = format!("{} WHERE name_index = ?1", StoredVault::COLUMNS);
        let stored = transaction
            .prepare_cached(&sql)?
            .query_row([index.as_bytes()], StoredVault::read)
            .optional()?;
        let Some(stored) = stored else { return Ok(None) };
        let row = stored.row;
        let found = self.opened_vaults.opened(stored, &self.rows)?;
        if found.properties.name.as_str().eq_ignore_ascii_case(name.as_str()) {
            Ok(Some(found))
        } else {
            Err(VaultError::DamagedRow { table: "vault", row })
        }
    }

    /// Finds a live vault.
    pub(crate) fn live_vault(
        &self,
        transaction: &Transaction<'_>,
        name: &VaultAddress,
    ) -> Result<Arc<FoundVault>, VaultError> {
        self.find_vault(transaction, name)?
            .filter(|found| found.is_live())
            .ok_or_else(|| VaultError::VaultNotFound(name.clone()))
    }

    /// All vaults, live and deleted, by name.
    pub(crate) fn all_vaults(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<Vec<Arc<FoundVault>>, VaultError> {
        let mut select = transaction.prepare_cached(StoredVault::COLUMNS)?;
        let stored = select.query_map([], StoredVault::read)?.collect::<Result<Vec<_>, _>>()?;
        let mut vaults = stored
            .into_iter()
            .map(|stored| self.opened_vaults.opened(stored, &self.rows))
            .collect::<Result<Vec<_>, _>>()?;
        vaults.sort_by_cached_key(|found| found.properties.name.as_str().to_ascii_lowercase());
        Ok(vaults)
    }

    pub(crate) fn insert_vault(
        &self,
        transaction: &Transaction<'_>,
        properties: &VaultProperties,
    ) -> Result<(), VaultError> {
        let vaults: i64 =
            transaction.query_row("SELECT count(*) FROM vault", [], |row| row.get(0))?;
        if vaults >= VAULTS_MAX {
            return Err(VaultError::BadRequest(format!(
                "there are {VAULTS_MAX} vaults already, deleted ones included"
            )));
        }
        let row = RowId::random(&*self.entropy);
        let index = self.rows.vault_index(&properties.name);
        let name = properties.name.as_str().as_bytes();
        let sealed_name = self.rows.seal(&*self.entropy, &name_place(row, index.as_bytes()), name);
        let (purge_at, sealed) = self.seal_vault(row, properties);
        transaction.execute(
            "INSERT INTO vault (vault_id, name_index, sealed_name, created_at, purge_at,
                 sealed_record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                row.as_bytes(),
                index.as_bytes(),
                sealed_name,
                properties.created.as_micros(),
                purge_at,
                sealed
            ],
        )?;
        Ok(())
    }

    pub(crate) fn update_vault(
        &self,
        transaction: &Transaction<'_>,
        row: RowId,
        properties: &VaultProperties,
    ) -> Result<(), VaultError> {
        let (purge_at, sealed) = self.seal_vault(row, properties);
        transaction.execute(
            "UPDATE vault SET purge_at = ?2, sealed_record = ?3 WHERE vault_id = ?1",
            params![row.as_bytes(), purge_at, sealed],
        )?;
        Ok(())
    }

    fn seal_vault(&self, row: RowId, properties: &VaultProperties) -> (Option<i64>, Vec<u8>) {
        let index = self.rows.vault_index(&properties.name);
        let purge_at = properties.deleted.map(|deleted| deleted.purge.as_micros());
        let record = stored::write_vault(properties);
        let sealed = with_record_place(row, index.as_bytes(), purge_at, |place| {
            self.rows.seal(&*self.entropy, place, &record)
        });
        (purge_at, sealed)
    }
}

/// The place of a vault's name.
pub(crate) fn name_place(row: RowId, index: &[u8; 32]) -> Place<'_> {
    Place { table: "vault", column: "sealed_name", row, index, clear: &[] }
}

/// The place of a vault's properties.
pub(crate) fn with_record_place<T>(
    row: RowId,
    index: &[u8; 32],
    purge_at: Option<i64>,
    work: impl FnOnce(&Place<'_>) -> T,
) -> T {
    let purge_at = purge_at.map(i64::to_be_bytes);
    let clear: &[&[u8]] = &[purge_at.as_ref().map_or(&[], <[u8; 8]>::as_slice)];
    work(&Place { table: "vault", column: "sealed_record", row, index, clear })
}

/// The vaults that are in memory, so that a use costs no parsing of policies.
#[derive(Debug, Default)]
pub(crate) struct OpenedVaults(Mutex<HashMap<RowId, Arc<FoundVault>>>);

impl OpenedVaults {
    /// The most vaults that stay in memory.
    const MAX: usize = 256;

    fn opened(&self, stored: StoredVault, rows: &RowKeys) -> Result<Arc<FoundVault>, VaultError> {
        let kept = |map: &HashMap<RowId, Arc<FoundVault>>| {
            map.get(&stored.row).filter(|found| found.stored == stored).map(Arc::clone)
        };
        if let Some(found) = kept(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(found);
        }
        let properties = stored.open(rows)?;
        let found = Arc::new(FoundVault { stored, properties });
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() >= Self::MAX {
            map.clear();
        }
        map.insert(found.row(), Arc::clone(&found));
        Ok(found)
    }
}
