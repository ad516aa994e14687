//! The keyring's way into the vault: `KeyProvider` over [`Vault`].
//!
//! Every use is authorized here, beside the effect, and in this order: vault, key, grant, version,
//! enabled, time; whoever holds no grant learns nothing about versions. The kinds of failure
//! matter most: a denial locks the registry, damage locks and alarms, and trouble with the
//! database concludes nothing.

use std::sync::Arc;

use async_trait::async_trait;
use lockyard_base::chain;
use lockyard_keyring::{
    CustomerShare, Denial, Identity, KeyId, KeyProvider, KeyVersion, ProviderError, VersionedKeyId,
    WrappedShare,
};
use thiserror::Error;
use tokio::{sync::watch, task};

use crate::{
    Vault, VaultError,
    grants::Operation,
    keys::{OpenedKey, version_row},
};

/// Lets registries use the keys of an embedded vault, as the identities that they act as.
#[derive(Clone, Debug)]
pub struct EmbeddedProvider {
    vault: Arc<Vault>,
}

impl EmbeddedProvider {
    /// A provider over this vault; whoever else holds the vault may change it meanwhile.
    pub fn new(vault: Arc<Vault>) -> Self {
        Self { vault }
    }

    /// Runs a use of the vault where blocking is allowed.
    async fn using<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Vault) -> Result<T, ProviderError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let vault = Arc::clone(&self.vault);
        task::spawn_blocking(move || work(&vault)).await.unwrap_or_else(|error| {
            Err(ProviderError::Unreachable(format!("the vault's task ended: {error}")))
        })
    }
}

#[async_trait]
impl KeyProvider for EmbeddedProvider {
    async fn wrap_key(
        &self,
        caller: &Identity,
        key: &VersionedKeyId,
        share: &CustomerShare,
    ) -> Result<WrappedShare, ProviderError> {
        let (caller, key) = (*caller, key.clone());
        let share = CustomerShare::from_bytes(share.dangerous_expose());
        self.using(move |vault| {
            let opened = vault.key_for(&caller, &key, Operation::Wrap)?;
            opened.key.wrap_share(&share).map(WrappedShare::from_bytes).ok_or_else(|| {
                ProviderError::Unreachable(format!("RSA-OAEP-256 failed under `{key}`"))
            })
        })
        .await
    }

    async fn unwrap_key(
        &self,
        caller: &Identity,
        key: &VersionedKeyId,
        wrapped: &WrappedShare,
    ) -> Result<CustomerShare, ProviderError> {
        let (caller, key, wrapped) = (*caller, key.clone(), wrapped.clone());
        self.using(move |vault| {
            let opened = vault.key_for(&caller, &key, Operation::Unwrap)?;
            opened.key.unwrap_share(wrapped.as_bytes()).ok_or_else(|| {
                ProviderError::Damaged(format!("the wrapped share was not wrapped under `{key}`"))
            })
        })
        .await
    }

    async fn versions(
        &self,
        caller: &Identity,
        key: &KeyId,
    ) -> Result<Vec<KeyVersion>, ProviderError> {
        let (caller, key) = (*caller, key.clone());
        self.using(move |vault| Ok(vault.versions_for(&caller, &key)?)).await
    }

    async fn health(&self) -> Result<(), ProviderError> {
        self.using(|vault| Ok(vault.health().map_err(UseError::from)?)).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.vault.changes()
    }
}

impl Vault {
    fn key_for(
        &self,
        caller: &Identity,
        key: &VersionedKeyId,
        operation: Operation,
    ) -> Result<Arc<OpenedKey>, UseError> {
        let (found, row) = self.database.read(|transaction| {
            let found = self.find_key(transaction, &key.key)?;
            if !self.allows(transaction, found, caller, operation)? {
                return Err(UseError::NotAuthorized(*caller, key.key.clone()));
            }
            let row = version_row(transaction, found, &key.version)?
                .ok_or_else(|| VaultError::VersionNotFound(key.clone()))?;
            Ok((found, row))
        })?;
        // Columns are believed only once the row has opened with them.
        if !row.enabled {
            self.open_version(found, &row)?;
            return Err(UseError::Disabled(key.clone()));
        }
        let (not_before, expires) = (row.not_before, row.expires);
        let opened = self.ready_key(found, row)?;
        if operation == Operation::Wrap {
            let now = self.now();
            if not_before.is_some_and(|start| now < start) {
                return Err(UseError::NotYetValid(key.clone()));
            }
            if expires.is_some_and(|end| now >= end) {
                return Err(UseError::Expired(key.clone()));
            }
        }
        Ok(opened)
    }

    fn versions_for(&self, caller: &Identity, key: &KeyId) -> Result<Vec<KeyVersion>, UseError> {
        self.database.read(|transaction| {
            let found = self.find_key(transaction, key)?;
            if !self.allows(transaction, found, caller, Operation::Get)? {
                return Err(UseError::NotAuthorized(*caller, key.clone()));
            }
            Ok(self.versions_of(transaction, found, key)?)
        })
    }
}

/// Why a key was not used.
#[derive(Debug, Error)]
enum UseError {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(
        "identity `{0}` may not use key `{1}`; grant it get, wrapKey and unwrapKey on that key"
    )]
    NotAuthorized(Identity, KeyId),
    #[error("key version `{0}` is disabled; `lockyard vault key enable {0}` allows its use again")]
    Disabled(VersionedKeyId),
    #[error("key version `{0}` may not wrap yet; set an earlier start or use another version")]
    NotYetValid(VersionedKeyId),
    #[error("key version `{0}` has expired and may not wrap; use a newer version")]
    Expired(VersionedKeyId),
}

impl From<UseError> for ProviderError {
    fn from(error: UseError) -> Self {
        let text = chain(&error).to_string();
        match error {
            UseError::NotAuthorized(..) => Self::Denied(Denial::NotAuthorized, text),
            UseError::Disabled(_) | UseError::NotYetValid(_) | UseError::Expired(_) => {
                Self::Denied(Denial::KeyDisabled, text)
            }
            UseError::Vault(error) => match error {
                VaultError::VaultNotFound(_) => Self::Denied(Denial::VaultNotFound, text),
                VaultError::KeyNotFound(_) => Self::Denied(Denial::KeyNotFound, text),
                VaultError::VersionNotFound(_) => Self::Denied(Denial::VersionNotFound, text),
                VaultError::DamagedRow { .. } | VaultError::Damaged(_) => Self::Damaged(text),
                VaultError::Database(_)
                | VaultError::Generate
                | VaultError::VaultExists(_)
                | VaultError::NotEmbedded(_)
                | VaultError::EmptyValidity => Self::Unreachable(text),
            },
        }
    }
}
