//! New keys and new versions, made here or brought from outside.

use std::fmt;

use lockyard_base::{RowId, Timestamp};
use lockyard_keyring::{KeyId, KeyName, VersionedKeyId};
use rusqlite::Transaction;

use super::{
    FoundKey, FoundVersion, KeyBundle, KeyResource, KeySettings, NewKey, Validity, VersionRecord,
    rows::VersionRow,
};
use crate::{
    Vault, VaultError,
    access::KeyOperations,
    crypto::{KeyShape, NewPrivate},
    vaults::{FoundVault, VaultProperties},
};

/// The most keys of one vault, deleted ones included; a listing reads all their names.
pub(crate) const KEYS_MAX: i64 = 10_000;
/// The most versions of one key, so that every key can be backed up.
pub(crate) const VERSIONS_MAX: i64 = 1000;

/// A key that is about to be made.
pub struct PreparedKey {
    new: NewKey,
    /// Nothing, if there is a key of its name already.
    private: Option<NewPrivate>,
}

impl fmt::Debug for PreparedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreparedKey")
    }
}

/// A key that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsuredKey {
    /// As it is now.
    pub key: KeyResource,
    /// Whether it was made just now.
    pub created: bool,
}

/// Checks what a new key is to be, before anything is made.
pub(crate) fn checked_new_key(
    shape: KeyShape,
    settings: &KeySettings,
) -> Result<KeyOperations, VaultError> {
    check_validity(settings.validity)?;
    let operations = match (&settings.operations, shape.is_rsa()) {
        (Some(operations), _) => operations.clone(),
        (None, true) => KeyOperations::all(),
        (None, false) => KeyOperations::signing(),
    };
    check_operations(shape, &operations)?;
    Ok(operations)
}

/// Elliptic curve keys sign and verify, nothing else.
pub(super) fn check_operations(
    shape: KeyShape,
    operations: &KeyOperations,
) -> Result<(), VaultError> {
    match operations.iter().find(|operation| !shape.is_rsa() && !operation.fits_ec()) {
        Some(unfit) => {
            Err(VaultError::BadParameter(format!("an elliptic curve key cannot {unfit}")))
        }
        None => Ok(()),
    }
}

pub(super) fn check_validity(validity: Validity) -> Result<(), VaultError> {
    match (validity.not_before, validity.expires) {
        (Some(from), Some(to)) if from >= to => Err(VaultError::EmptyValidity),
        _ => Ok(()),
    }
}

impl Vault {
    /// Fails early if a new version of this key could not be stored.
    pub(crate) fn check_name_free(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
    ) -> Result<Option<FoundKey>, VaultError> {
        match self.find_key_in(transaction, vault.row(), name)? {
            Some(found) if !found.is_live() => {
                let vault = vault.properties.name.clone();
                Err(VaultError::KeyDeleted(KeyId { vault, name: found.name }))
            }
            found => Ok(found),
        }
    }

    /// Stores a private key as the newest version of its key, which is made if it is missing.
    pub(crate) fn add_version(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
        private: &NewPrivate,
        settings: &KeySettings,
    ) -> Result<KeyBundle, VaultError> {
        let operations = checked_new_key(private.shape, settings)?;
        let found = match self.check_name_free(transaction, vault, name)? {
            Some(found) => found,
            None => self.found_key(transaction, vault, name)?,
        };
        let now = self.clock.wall();
        let record = VersionRecord {
            public: private.public.clone(),
            operations,
            tags: settings.tags.clone(),
            hsm: settings.hsm,
            created: now,
            updated: now,
        };
        let id = RowId::random(&*self.entropy);
        let row = new_row(transaction, &found, id, private.shape, settings)?;
        let mut version = FoundVersion { row, shape: private.shape, record };
        self.seal_version(&found, &mut version, &private.pkcs8);
        self.store_version(transaction, &found, &version.row)?;
        self.plan_rotation(transaction, found.clone(), &version)?;
        Ok(version.bundle(&vault.properties, &found))
    }

    /// Makes the key that a first version belongs to.
    fn found_key(
        &self,
        transaction: &Transaction<'_>,
        vault: &FoundVault,
        name: &KeyName,
    ) -> Result<FoundKey, VaultError> {
        let keys: i64 = transaction.query_row(
            "SELECT count(*) FROM key WHERE vault_id = ?1",
            [vault.row().as_bytes()],
            |row| row.get(0),
        )?;
        if keys >= KEYS_MAX {
            return Err(VaultError::BadParameter(format!(
                "the vault has {KEYS_MAX} keys already, deleted ones included"
            )));
        }
        self.insert_key(transaction, vault.row(), name, None)
    }

    /// Makes a key unless there is one of that name, as the control plane does; returns the
    /// newest version in either case. Takes up to seconds for large RSA keys.
    pub fn ensure_key(
        &self,
        key: &KeyId,
        shape: KeyShape,
        settings: &KeySettings,
    ) -> Result<KeyBundle, VaultError> {
        let new = NewKey { shape, settings: settings.clone(), rotation: None };
        Ok(self.ensure_prepared(key, self.prepared_key(key, new)?)?.key.bundle)
    }

    /// The slow half of [`Vault::ensure_key`]: changes nothing yet.
    pub fn prepared_key(&self, key: &KeyId, new: NewKey) -> Result<PreparedKey, VaultError> {
        checked_new_key(new.shape, &new.settings)?;
        if let Some(policy) = &new.rotation {
            policy.check()?;
        }
        let present = self.database.read(|transaction| self.present(transaction, key))?;
        let private = match present {
            Some(_) => None,
            None => Some(NewPrivate::generate(new.shape)?),
        };
        Ok(PreparedKey { new, private })
    }

    /// The quick half of [`Vault::ensure_key`]: the key and its rotation policy, or neither.
    pub fn ensure_prepared(
        &self,
        key: &KeyId,
        prepared: PreparedKey,
    ) -> Result<EnsuredKey, VaultError> {
        let PreparedKey { new: NewKey { settings, rotation, .. }, private } = prepared;
        self.change(|transaction| {
            if let Some(key) = self.present(transaction, key)? {
                return Ok(EnsuredKey { key, created: false });
            }
            // It was there when this began.
            let private = private.ok_or_else(|| VaultError::Contended(key.vault.clone()))?;
            let vault = self.live_vault(transaction, &key.vault)?;
            let bundle = self.add_version(transaction, &vault, &key.name, &private, &settings)?;
            let set = |policy| self.set_policy_in(transaction, &vault, &key.name, policy);
            let rotation = rotation.map(set).transpose()?;
            Ok(EnsuredKey { key: KeyResource { bundle, rotation }, created: true })
        })
    }

    /// A key that is there; a deleted one's name is refused.
    fn present(
        &self,
        transaction: &Transaction<'_>,
        key: &KeyId,
    ) -> Result<Option<KeyResource>, VaultError> {
        let vault = self.live_vault(transaction, &key.vault)?;
        let found = self.check_name_free(transaction, &vault, &key.name)?;
        found.map(|found| self.resource_in(transaction, &vault.properties, found)).transpose()
    }

    pub(crate) fn newest_bundle(
        &self,
        transaction: &Transaction<'_>,
        vault: &VaultProperties,
        found: &FoundKey,
    ) -> Result<KeyBundle, VaultError> {
        let version = self.version_in(transaction, &vault.name, found, None)?;
        Ok(version.bundle(vault, found))
    }

    pub(super) fn resource_in(
        &self,
        transaction: &Transaction<'_>,
        vault: &VaultProperties,
        found: FoundKey,
    ) -> Result<KeyResource, VaultError> {
        let bundle = self.newest_bundle(transaction, vault, &found)?;
        Ok(KeyResource { bundle, rotation: found.record.policy })
    }

    /// A key with its newest version; for the control plane.
    pub fn key_resource(&self, key: &KeyId) -> Result<KeyResource, VaultError> {
        self.database.read(|transaction| {
            let vault = self.live_vault(transaction, &key.vault)?;
            let found = self.live_key(transaction, &vault, &key.name)?;
            self.resource_in(transaction, &vault.properties, found)
        })
    }

    /// A key version with its attributes, or the newest one; for the control plane.
    pub fn key(
        &self,
        key: &KeyId,
        version: Option<&lockyard_keyring::KeyVersionName>,
    ) -> Result<KeyBundle, VaultError> {
        self.database.read(|transaction| {
            let vault = self.live_vault(transaction, &key.vault)?;
            let found = self.live_key(transaction, &vault, &key.name)?;
            let version = self.version_in(transaction, &key.vault, &found, version)?;
            Ok(version.bundle(&vault.properties, &found))
        })
    }

    /// Makes a key or a version with settings of its own, as an operator.
    pub(crate) fn create_version(
        &self,
        key: &KeyId,
        shape: KeyShape,
        settings: &KeySettings,
    ) -> Result<VersionedKeyId, VaultError> {
        // Before the transaction, so that nobody waits for it.
        let private = NewPrivate::generate(shape)?;
        self.insert_version(key, &private, settings)
    }

    pub(crate) fn insert_version(
        &self,
        key: &KeyId,
        private: &NewPrivate,
        settings: &KeySettings,
    ) -> Result<VersionedKeyId, VaultError> {
        self.change(|transaction| {
            let vault = self.live_vault(transaction, &key.vault)?;
            let bundle = self.add_version(transaction, &vault, &key.name, private, settings)?;
            // The operator's own spelling, as before.
            Ok(VersionedKeyId { key: key.clone(), version: bundle.id.version })
        })
    }
}

/// The row of a key's next version; nothing is sealed in it yet.
fn new_row(
    transaction: &Transaction<'_>,
    found: &FoundKey,
    id: RowId,
    shape: KeyShape,
    settings: &KeySettings,
) -> Result<VersionRow, VaultError> {
    let (newest, count): (i64, i64) = transaction.query_row(
        "SELECT coalesce(max(ordinal), 0), count(*) FROM key_version WHERE key_id = ?1",
        [found.key.as_bytes()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if count >= VERSIONS_MAX {
        return Err(VaultError::BadParameter(format!(
            "the key has {VERSIONS_MAX} versions already"
        )));
    }
    Ok(VersionRow {
        id,
        ordinal: newest + 1,
        kind: shape.word().to_owned(),
        enabled: settings.enabled,
        not_before: settings.validity.not_before.map(Timestamp::as_micros),
        expires: settings.validity.expires.map(Timestamp::as_micros),
        sealed_key: Vec::new(),
        sealed_record: Vec::new(),
    })
}
