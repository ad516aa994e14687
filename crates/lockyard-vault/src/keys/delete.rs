//! Deleting, recovering and purging keys.

use lockyard_keyring::{KeyId, KeyName};
use rusqlite::Transaction;

use super::{DeletedKey, FoundKey, KeyBundle};
use crate::{
    Vault, VaultError,
    vaults::{FoundVault, deletion},
};

impl Vault {
    /// Deletes a key with all its versions; it can be recovered until its retention ends.
    pub(crate) fn delete_key_in(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
    ) -> Result<DeletedKey, VaultError> {
        let mut found = self.live_key(transaction, vault, name)?;
        let deleted = deletion(self.clock.wall(), vault.properties.retention_days);
        found.record.deleted = Some(deleted);
        found.rotate_at = None;
        self.update_key(transaction, &found)?;
        self.opened.forget(found.key, None);
        let bundle = self.newest_bundle(transaction, &vault.properties, &found)?;
        Ok(DeletedKey { bundle, deleted })
    }

    /// Finds a deleted key.
    pub(crate) fn dead_key(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
    ) -> Result<FoundKey, VaultError> {
        self.find_key_in(transaction, vault.row(), name)?
            .filter(|found| !found.is_live())
            .ok_or_else(|| {
                let vault = vault.properties.name.clone();
                VaultError::DeletedKeyNotFound(KeyId { vault, name: name.clone() })
            })
    }

    /// A deleted key with its newest version.
    pub(crate) fn deleted_key_in(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
    ) -> Result<DeletedKey, VaultError> {
        let found = self.dead_key(transaction, vault, name)?;
        let bundle = self.newest_bundle(transaction, &vault.properties, &found)?;
        let deleted = found.record.deleted.expect("a dead key has its deletion");
        Ok(DeletedKey { bundle, deleted })
    }

    /// Recovers a deleted key as it was, its rotation planned anew.
    pub(crate) fn recover_key_in(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
    ) -> Result<KeyBundle, VaultError> {
        let mut found = self.dead_key(transaction, vault, name)?;
        found.record.deleted = None;
        let newest = self.version_in(transaction, &vault.properties.name, &found, None)?;
        let bundle = newest.bundle(&vault.properties, &found);
        found.rotate_at = super::rotation::next_rotation(&found, &newest);
        self.update_key(transaction, &found)?;
        Ok(bundle)
    }

    /// Removes a deleted key for good; refused while the vault is purge protected.
    pub(crate) fn purge_key_in(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
    ) -> Result<(), VaultError> {
        let found = self.dead_key(transaction, vault, name)?;
        if vault.properties.purge_protection {
            let vault = vault.properties.name.clone();
            return Err(VaultError::KeyPurgeProtected(KeyId { vault, name: found.name }));
        }
        self.erase_key(transaction, &found)
    }
}
