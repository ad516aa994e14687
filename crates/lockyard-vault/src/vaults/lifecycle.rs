//! The end of vaults and keys: soft deletion, recovery, purge, and the job that purges by time.

use lockyard_base::Timestamp;
use lockyard_keyring::{KeyId, VaultAddress};
use rusqlite::Transaction;

use super::{DeletedAt, FoundVault, VaultProperties};
use crate::{Vault, VaultError};

pub(crate) const DAY_MICROS: i64 = 86_400_000_000;

/// What [`Vault::purge_due`] removed for good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Vaults, with all their keys.
    pub vaults: Vec<VaultAddress>,
    /// Keys of vaults that are still there.
    pub keys: Vec<KeyId>,
}

impl Vault {
    /// Deletes a vault; it can be recovered until its retention ends. Whoever keeps role
    /// assignments drops those at the vault (BEHAVIOUR rule 47).
    pub fn delete_vault(&self, name: &VaultAddress) -> Result<VaultProperties, VaultError> {
        self.change(|transaction| {
            let found = self.live_vault(transaction, name)?;
            let mut vault = found.properties.clone();
            vault.deleted = Some(deletion(self.clock.wall(), vault.retention_days));
            self.update_vault(transaction, found.row(), &vault)?;
            Ok(vault)
        })
    }

    /// Recovers a deleted vault with its keys and policies.
    pub fn recover_vault(&self, name: &VaultAddress) -> Result<VaultProperties, VaultError> {
        self.change(|transaction| {
            let found = self.dead_vault(transaction, name)?;
            let mut vault = found.properties.clone();
            vault.deleted = None;
            vault.updated = self.clock.wall();
            self.update_vault(transaction, found.row(), &vault)?;
            Ok(vault)
        })
    }

    /// Removes a deleted vault and all its keys for good; refused while it is purge protected.
    pub fn purge_vault(&self, name: &VaultAddress) -> Result<(), VaultError> {
        self.change(|transaction| {
            let found = self.dead_vault(transaction, name)?;
            if found.properties.purge_protection {
                return Err(VaultError::VaultPurgeProtected(found.properties.name.clone()));
            }
            self.erase_vault(transaction, &found)
        })
    }

    /// Removes for good whatever was deleted and has no retention left at `now`.
    ///
    /// A job; again changes nothing.
    pub fn purge_due(&self, now: Timestamp) -> Result<Purged, VaultError> {
        let due: bool = self.database.read(|transaction| {
            Ok::<_, VaultError>(transaction.query_row(
                "SELECT EXISTS (SELECT 1 FROM vault WHERE purge_at <= ?1)
                     OR EXISTS (SELECT 1 FROM key WHERE purge_at <= ?1)",
                [now.as_micros()],
                |row| row.get(0),
            )?)
        })?;
        if !due {
            return Ok(Purged::default());
        }
        self.change(|transaction| {
            let mut purged = Purged::default();
            for found in self.all_vaults(transaction)? {
                let vault = &found.properties;
                if vault.deleted.is_some_and(|deleted| deleted.purge <= now) {
                    self.erase_vault(transaction, &found)?;
                    purged.vaults.push(vault.name.clone());
                    continue;
                }
                for key in self.keys_in(transaction, &found)? {
                    if key.record.deleted.is_some_and(|deleted| deleted.purge <= now) {
                        self.erase_key(transaction, &key)?;
                        let (vault, name) = (vault.name.clone(), key.name);
                        purged.keys.push(KeyId { vault, name });
                    }
                }
            }
            Ok(purged)
        })
    }

    fn dead_vault(
        &self,
        transaction: &Transaction<'_>,
        name: &VaultAddress,
    ) -> Result<std::sync::Arc<FoundVault>, VaultError> {
        self.find_vault(transaction, name)?
            .filter(|found| !found.is_live())
            .ok_or_else(|| VaultError::DeletedVaultNotFound(name.clone()))
    }

    fn erase_vault(
        &self,
        transaction: &Transaction<'_>,
        found: &FoundVault,
    ) -> Result<(), VaultError> {
        for key in self.keys_in(transaction, found)? {
            self.erase_key(transaction, &key)?;
        }
        transaction.execute("DELETE FROM vault WHERE vault_id = ?1", [found.row().as_bytes()])?;
        Ok(())
    }
}

/// A deletion at this time.
pub(crate) fn deletion(now: Timestamp, retention_days: u8) -> DeletedAt {
    let micros = now.as_micros().saturating_add(i64::from(retention_days) * DAY_MICROS);
    DeletedAt { deleted: now, purge: Timestamp::from_micros(micros) }
}
