//! Using keys: encrypt, decrypt, wrap, unwrap, sign, verify; and random bytes.
//!
//! Everything is read in one transaction, decided, and then computed without holding anything, so
//! that two cores do two RSA operations at a time.

use std::sync::Arc;

use lockyard_base::Timestamp;
use lockyard_keyring::{KeyName, KeyVersionName, VersionedKeyId};
use zeroize::Zeroizing;

use super::{
    DataPlane,
    remembered::{Found, Wanted},
};
use crate::{
    VaultError,
    access::{KeyOperation, Operation, authorize},
    crypto::{CryptoError, EncryptionAlgorithm, Purpose, SignatureAlgorithm},
    keys::FoundVersion,
    vaults::FoundVault,
};

/// The most random bytes of one request.
const RANDOM_MAX: usize = 128;

/// What a use needs, or why it is not there; told only to those who may know.
type MaybeFound = Result<Arc<Found>, VaultError>;

/// What a use of a key returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output<T> {
    /// The version that was used.
    pub id: VersionedKeyId,
    /// The result.
    pub value: T,
}

impl DataPlane<'_> {
    /// Encrypts a value.
    pub fn encrypt(
        &self,
        name: &KeyName,
        version: Option<&KeyVersionName>,
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
    ) -> Result<Output<Vec<u8>>, VaultError> {
        self.seal(KeyOperation::Encrypt, name, version, algorithm, plaintext)
    }

    /// Decrypts a value.
    pub fn decrypt(
        &self,
        name: &KeyName,
        version: Option<&KeyVersionName>,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Output<Zeroizing<Vec<u8>>>, VaultError> {
        self.open(KeyOperation::Decrypt, name, version, algorithm, ciphertext)
    }

    /// Wraps a key.
    pub fn wrap_key(
        &self,
        name: &KeyName,
        version: Option<&KeyVersionName>,
        algorithm: EncryptionAlgorithm,
        key: &[u8],
    ) -> Result<Output<Vec<u8>>, VaultError> {
        self.seal(KeyOperation::WrapKey, name, version, algorithm, key)
    }

    /// Unwraps a key.
    pub fn unwrap_key(
        &self,
        name: &KeyName,
        version: Option<&KeyVersionName>,
        algorithm: EncryptionAlgorithm,
        wrapped: &[u8],
    ) -> Result<Output<Zeroizing<Vec<u8>>>, VaultError> {
        self.open(KeyOperation::UnwrapKey, name, version, algorithm, wrapped)
    }

    /// Signs a digest that the caller computed with the algorithm's hash.
    pub fn sign(
        &self,
        name: &KeyName,
        version: Option<&KeyVersionName>,
        algorithm: SignatureAlgorithm,
        digest: &[u8],
    ) -> Result<Output<Vec<u8>>, VaultError> {
        let found = self.usable(KeyOperation::Sign, name, version)?;
        let ready = self.vault.ready_key(&found.key, &found.version, Purpose::Sign)?;
        Ok(Output { id: found.id.clone(), value: ready.key.sign(algorithm, digest)? })
    }

    /// Whether a signature of a digest is right.
    pub fn verify(
        &self,
        name: &KeyName,
        version: Option<&KeyVersionName>,
        algorithm: SignatureAlgorithm,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<Output<bool>, VaultError> {
        let found = self.usable(KeyOperation::Verify, name, version)?;
        let value = found.version.record.public.verify(algorithm, digest, signature)?;
        Ok(Output { id: found.id.clone(), value })
    }

    /// Random bytes, 1 to 128 of them, for whoever may read keys.
    pub fn random(&self, count: usize) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.reading(Operation::Get, None, |_, _| {
            if !(1..=RANDOM_MAX).contains(&count) {
                return Err(VaultError::BadParameter(format!(
                    "count is a number from 1 to {RANDOM_MAX}"
                )));
            }
            let mut bytes = Zeroizing::new(vec![0; count]);
            self.vault.entropy.fill(&mut bytes);
            Ok(bytes)
        })
    }

    fn seal(
        &self,
        operation: KeyOperation,
        name: &KeyName,
        version: Option<&KeyVersionName>,
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
    ) -> Result<Output<Vec<u8>>, VaultError> {
        let found = self.usable(operation, name, version)?;
        let value = found.version.record.public.encrypt(algorithm, plaintext)?;
        Ok(Output { id: found.id.clone(), value })
    }

    fn open(
        &self,
        operation: KeyOperation,
        name: &KeyName,
        version: Option<&KeyVersionName>,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Output<Zeroizing<Vec<u8>>>, VaultError> {
        let found = self.usable(operation, name, version)?;
        if !found.version.shape.is_rsa() {
            return Err(CryptoError::WrongAlgorithm.into());
        }
        let purpose = Purpose::decrypting(algorithm);
        let ready = self.vault.ready_key(&found.key, &found.version, purpose)?;
        Ok(Output { id: found.id.clone(), value: ready.key.decrypt(algorithm, ciphertext)? })
    }

    /// Decides about a use: permission, then existence, then attributes.
    fn usable(
        &self,
        operation: KeyOperation,
        name: &KeyName,
        version: Option<&KeyVersionName>,
    ) -> Result<Arc<Found>, VaultError> {
        let permission = operation.permission();
        let may = |vault: &Arc<FoundVault>| {
            self.note(vault);
            authorize(&vault.properties, &self.caller, permission, Some(name), self.roles)
        };
        let (vault, commit) = (self.vault, self.vault.database.commit());
        let wanted = (self.name.clone(), name.clone(), version.cloned());
        let found = if let Some(found) = vault.remembered.find(commit, &wanted) {
            may(&found.vault)?;
            found
        } else {
            let (seen, found) = self.find(&wanted)?;
            may(&seen)?;
            let found = found?;
            vault.remembered.keep(commit, wanted, &found);
            found
        };
        check_use(&found.version, &found.id, operation, vault.clock.wall())?;
        Ok(found)
    }

    /// Finds a live vault and, if there is one, a version of a live key of it.
    fn find(
        &self,
        (name, key, version): &Wanted,
    ) -> Result<(Arc<FoundVault>, MaybeFound), VaultError> {
        let vault = self.vault;
        vault.database.read(|transaction| {
            let seen = vault.live_vault(transaction, name)?;
            let found = vault.live_key(transaction, &seen, key).and_then(|key| {
                let version = vault.version_in(transaction, name, &key, version.as_ref())?;
                let id = version.id(&seen.properties.name, &key);
                Ok(Arc::new(Found { vault: Arc::clone(&seen), id, key, version }))
            });
            Ok((seen, found))
        })
    }
}

/// Whether a version's attributes allow a use now: it must be enabled and have the operation, and
/// must be within its validity for anything that makes something new.
pub(crate) fn check_use(
    version: &FoundVersion,
    id: &VersionedKeyId,
    operation: KeyOperation,
    now: Timestamp,
) -> Result<(), VaultError> {
    if !version.row.enabled {
        return Err(VaultError::KeyDisabled(id.clone(), operation));
    }
    if !version.record.operations.allow(operation) {
        return Err(VaultError::KeyOperationForbidden(id.clone(), operation));
    }
    if operation.makes_new() {
        let validity = version.validity();
        if validity.not_before.is_some_and(|start| now < start) {
            return Err(VaultError::KeyNotYetValid(id.clone(), operation));
        }
        if validity.expires.is_some_and(|end| now >= end) {
            return Err(VaultError::KeyExpired(id.clone(), operation));
        }
    }
    Ok(())
}
