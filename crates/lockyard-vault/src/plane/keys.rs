//! The verbs on keys of the data plane (BEHAVIOUR 2.4), but for those that use them.

use std::convert::Infallible;

use lockyard_keyring::{KeyName, KeyVersionName};

use super::DataPlane;
use crate::{
    VaultError,
    access::Operation,
    crypto::{KeyShape, NewPrivate, PrivateJwk},
    keys::{
        DeletedKey, KeyBundle, KeyChange, KeyItem, KeySettings, Page, PageRequest, RotationPolicy,
        checked_new_key,
    },
};

impl DataPlane<'_> {
    /// Makes a key, or a new version of it. Takes up to seconds for large RSA keys.
    pub fn create_key(
        &self,
        name: &KeyName,
        shape: KeyShape,
        settings: &KeySettings,
    ) -> Result<KeyBundle, VaultError> {
        // Making a key costs far more than asking: whoever may not, or cannot, is told first.
        self.reading(Operation::Create, Some(name), |transaction, vault| {
            self.vault.check_name_free(transaction, vault, name)?;
            checked_new_key(shape, settings).map(drop)
        })?;
        let private = NewPrivate::generate(shape)?;
        self.changing(Operation::Create, Some(name), |transaction, vault| {
            self.vault.add_version(transaction, vault, name, &private, settings)
        })
    }

    /// Takes in a private key as a new key, or as a new version.
    pub fn import_key(
        &self,
        name: &KeyName,
        private: &PrivateJwk,
        settings: &KeySettings,
    ) -> Result<KeyBundle, VaultError> {
        self.reading(Operation::Import, Some(name), |transaction, vault| {
            self.vault.check_name_free(transaction, vault, name).map(drop)
        })?;
        let private = NewPrivate::import(private)?;
        self.changing(Operation::Import, Some(name), |transaction, vault| {
            self.vault.add_version(transaction, vault, name, &private, settings)
        })
    }

    /// A key version, or the newest one; disabled ones as well, since whoever wants to enable one
    /// has to read it.
    pub fn key(
        &self,
        name: &KeyName,
        version: Option<&KeyVersionName>,
    ) -> Result<KeyBundle, VaultError> {
        self.reading(Operation::Get, Some(name), |transaction, vault| {
            let found = self.vault.live_key(transaction, vault, name)?;
            let address = &vault.properties.name;
            let version = self.vault.version_in(transaction, address, &found, version)?;
            Ok(version.bundle(&vault.properties, &found))
        })
    }

    /// A page of the live keys, by name.
    pub fn keys(&self, page: &PageRequest) -> Result<Page<KeyItem>, VaultError> {
        self.reading(Operation::List, None, |transaction, vault| {
            self.vault.page_of_keys(transaction, vault, true, page)
        })
    }

    /// A page of a key's versions, newest first.
    pub fn versions(
        &self,
        name: &KeyName,
        page: &PageRequest,
    ) -> Result<Page<KeyItem>, VaultError> {
        self.reading(Operation::List, Some(name), |transaction, vault| {
            self.vault.page_of_versions(transaction, vault, name, page)
        })
    }

    /// Changes attributes of a version, or of the newest one.
    pub fn update_key(
        &self,
        name: &KeyName,
        version: Option<&KeyVersionName>,
        change: &KeyChange,
    ) -> Result<KeyBundle, VaultError> {
        self.changing(Operation::Update, Some(name), |transaction, vault| {
            let found = self.vault.live_key(transaction, vault, name)?;
            let address = &vault.properties.name;
            let version = self.vault.version_in(transaction, address, &found, version)?;
            let version = self.vault.apply_change(transaction, &found, version, change.clone())?;
            let bundle = version.bundle(&vault.properties, &found);
            self.vault.plan_rotation_anew(transaction, vault, found)?;
            Ok(bundle)
        })
    }

    /// Deletes a key with all versions; it can be recovered.
    pub fn delete_key(&self, name: &KeyName) -> Result<DeletedKey, VaultError> {
        self.changing(Operation::Delete, Some(name), |transaction, vault| {
            self.vault.delete_key_in(transaction, vault, name)
        })
    }

    /// A deleted key.
    pub fn deleted_key(&self, name: &KeyName) -> Result<DeletedKey, VaultError> {
        self.reading(Operation::Get, Some(name), |transaction, vault| {
            self.vault.deleted_key_in(transaction, vault, name)
        })
    }

    /// A page of the deleted keys, by name.
    pub fn deleted_keys(&self, page: &PageRequest) -> Result<Page<KeyItem>, VaultError> {
        self.reading(Operation::List, None, |transaction, vault| {
            self.vault.page_of_keys(transaction, vault, false, page)
        })
    }

    /// Recovers a deleted key.
    pub fn recover_key(&self, name: &KeyName) -> Result<KeyBundle, VaultError> {
        self.changing(Operation::Recover, Some(name), |transaction, vault| {
            self.vault.recover_key_in(transaction, vault, name)
        })
    }

    /// Removes a deleted key for good.
    pub fn purge_key(&self, name: &KeyName) -> Result<(), VaultError> {
        self.changing(Operation::Purge, Some(name), |transaction, vault| {
            self.vault.purge_key_in(transaction, vault, name)
        })
    }

    /// A sealed copy of a key with all its versions; readable by nobody but this vault.
    pub fn backup_key(&self, name: &KeyName) -> Result<Vec<u8>, VaultError> {
        self.reading(Operation::Backup, Some(name), |transaction, vault| {
            self.vault.backup_in(transaction, vault, name)
        })
    }

    /// Brings a key back under its old name and versions; refused where the name is taken.
    pub fn restore_key(&self, backup: &[u8]) -> Result<KeyBundle, VaultError> {
        self.changing(Operation::Restore, None, |transaction, vault| {
            self.vault.restore_in(transaction, vault, backup)
        })
    }

    /// Makes a new version like the newest one, with the expiry that the rotation policy gives.
    pub fn rotate_key(&self, name: &KeyName) -> Result<KeyBundle, VaultError> {
        let shape = self.reading(Operation::Rotate, Some(name), |transaction, vault| {
            self.vault.next_version(transaction, vault, name).map(|(shape, _)| shape)
        })?;
        let private = NewPrivate::generate(shape)?;
        self.changing(Operation::Rotate, Some(name), |transaction, vault| {
            let (wanted, settings) = self.vault.next_version(transaction, vault, name)?;
            if wanted != shape {
                return Err(VaultError::Contended(self.name.clone()));
            }
            self.vault.add_version(transaction, vault, name, &private, &settings)
        })
    }

    /// Refuses to release a key, to whoever might: keys never leave.
    pub fn release_key(
        &self,
        name: &KeyName,
        version: Option<&KeyVersionName>,
    ) -> Result<Infallible, VaultError> {
        self.never(Operation::Release, name, version, "keys are never released from this vault")
    }

    /// Refuses to attest a key, to whoever may read it: there is no hardware that could.
    pub fn key_attestation(
        &self,
        name: &KeyName,
        version: Option<&KeyVersionName>,
    ) -> Result<Infallible, VaultError> {
        let sentence = "keys of this vault have no attestation: no hardware is behind them";
        self.never(Operation::Get, name, version, sentence)
    }

    fn never(
        &self,
        operation: Operation,
        name: &KeyName,
        version: Option<&KeyVersionName>,
        sentence: &str,
    ) -> Result<Infallible, VaultError> {
        self.reading(operation, Some(name), |transaction, vault| {
            let found = self.vault.live_key(transaction, vault, name)?;
            self.vault.version_in(transaction, &vault.properties.name, &found, version)?;
            Err(VaultError::BadParameter(sentence.to_owned()))
        })
    }

    /// The rotation policy of a key, or the one that keys have by default.
    pub fn rotation_policy(&self, name: &KeyName) -> Result<RotationPolicy, VaultError> {
        self.reading(Operation::GetRotationPolicy, Some(name), |transaction, vault| {
            let found = self.vault.live_key(transaction, vault, name)?;
            Ok(found.record.policy.unwrap_or_default())
        })
    }

    /// Sets the rotation policy of a key.
    pub fn set_rotation_policy(
        &self,
        name: &KeyName,
        policy: &RotationPolicy,
    ) -> Result<RotationPolicy, VaultError> {
        self.changing(Operation::SetRotationPolicy, Some(name), |transaction, vault| {
            self.vault.set_policy_in(transaction, vault, name, policy.clone())
        })
    }
}
