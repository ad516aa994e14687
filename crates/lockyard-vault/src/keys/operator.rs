//! What operators do to keys: making, listing, switching off and on. Whoever can give these
//! commands owns the vault's directory, so that nobody asks for permissions.

use lockyard_base::Timestamp;
use lockyard_keyring::{KeyId, KeyKind, KeyVersion, VaultAddress, VersionedKeyId};
use rusqlite::Transaction;

use super::{FoundKey, KeySettings, KeyTarget, Validity, create::check_validity, rows::VersionRow};
use crate::{
    Vault, VaultError,
    crypto::{KeyShape, RsaSize},
};

impl Vault {
    /// Makes a new RSA key, or a new version of the key if there is one of that name.
    ///
    /// Takes up to seconds for large keys.
    pub fn create_key(&self, key: &KeyId, size: RsaSize) -> Result<VersionedKeyId, VaultError> {
        self.create_version(key, KeyShape::Rsa(size), &KeySettings::default())
    }

    /// Lists the live keys of a vault by name.
    pub fn keys(&self, vault: &VaultAddress) -> Result<Vec<KeyId>, VaultError> {
        self.database.read(|transaction| {
            let found = self.live_vault(transaction, vault)?;
            let keys = self.keys_in(transaction, &found)?.into_iter().filter(FoundKey::is_live);
            Ok(keys.map(|key| KeyId { vault: vault.clone(), name: key.name }).collect())
        })
    }

    /// Lists the versions of a key, newest first.
    pub fn versions(&self, key: &KeyId) -> Result<Vec<KeyVersion>, VaultError> {
        self.database.read(|transaction| {
            let found = self.find_key(transaction, key)?;
            self.versions_of(transaction, &found, key)
        })
    }

    pub(crate) fn versions_of(
        &self,
        transaction: &Transaction<'_>,
        found: &FoundKey,
        key: &KeyId,
    ) -> Result<Vec<KeyVersion>, VaultError> {
        let mut versions = Vec::new();
        for version in self.versions_in(transaction, found)? {
            // For its verdict alone, so that no listing is more trusting than a use; the key
            // itself is wiped at once.
            self.open_private(found, &version.row)?;
            let Validity { not_before, expires } = version.validity();
            versions.push(KeyVersion {
                id: VersionedKeyId { key: key.clone(), version: version.name() },
                enabled: version.row.enabled,
                not_before,
                expires,
                kind: if version.shape.is_rsa() { KeyKind::Rsa } else { KeyKind::Other },
            });
        }
        Ok(versions)
    }

    /// Allows the use of a key version, or of all versions of a key.
    pub fn enable(&self, target: &KeyTarget) -> Result<(), VaultError> {
        self.rewrite_target(target, |row| row.enabled = true)
    }

    /// Forbids every use of a key version, or of all versions of a key.
    pub fn disable(&self, target: &KeyTarget) -> Result<(), VaultError> {
        self.rewrite_target(target, |row| row.enabled = false)
    }

    /// Sets when a key version, or all versions of a key, may wrap, encrypt and sign.
    pub fn set_validity(&self, target: &KeyTarget, validity: Validity) -> Result<(), VaultError> {
        check_validity(validity)?;
        self.rewrite_target(target, |row| {
            row.not_before = validity.not_before.map(Timestamp::as_micros);
            row.expires = validity.expires.map(Timestamp::as_micros);
        })
    }

    /// Changes bound columns of the target's versions and seals them anew, all or none.
    fn rewrite_target(
        &self,
        target: &KeyTarget,
        edit: impl Fn(&mut VersionRow),
    ) -> Result<(), VaultError> {
        self.change(|transaction| {
            let key = target.key();
            let vault = self.live_vault(transaction, &key.vault)?;
            let found = self.live_key(transaction, &vault, &key.name)?;
            let versions = match target {
                KeyTarget::Key(_) => self.versions_in(transaction, &found)?,
                KeyTarget::Version(VersionedKeyId { version, .. }) => {
                    vec![self.version_in(transaction, &key.vault, &found, Some(version))?]
                }
            };
            for version in versions {
                self.rewrite(transaction, &found, version, &edit)?;
            }
            self.plan_rotation_anew(transaction, &vault, found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_key_or_a_version() {
        for text in ["payments/release", "payments/release/0123456789abcdef0123456789abcdef"] {
            assert_eq!(text.parse::<KeyTarget>().expect("a target").to_string(), text);
        }
        for text in ["", "payments", "payments/", "payments/release/", "payments/release/1/2"] {
            assert!(text.parse::<KeyTarget>().is_err(), "{text}");
        }
    }
}
