//! The keyring's way into the vault: `KeyProvider` over [`Vault`].
//!
//! Every use is authorized here, beside the effect, by the decision that outside callers get: the
//! firewall (a registry is a trusted service), the tenant, then a grant, a policy or a role. Only
//! that the vault and the key exist is looked at first, since a registry was told their names; no
//! version is told to whoever has no right. The kinds of failure matter most: a denial locks the
//! registry, damage locks and alarms, and a firewall, roles that cannot be read or trouble with the
//! database conclude nothing.

use std::sync::Arc;

use async_trait::async_trait;
use lockyard_base::{Guid, chain};
use lockyard_keyring::{
    CustomerShare, Denial, Identity, KeyId, KeyProvider, KeyVersion, ProviderError, VersionedKeyId,
    WrappedShare,
};
use thiserror::Error;
use tokio::{sync::watch, task};

use crate::{
    Vault, VaultError,
    access::{Caller, KeyOperation, NoRoles, Operation, Roles, RolesUnavailable, Source},
    crypto::{CryptoError, EncryptionAlgorithm, Purpose},
    keys::{FoundKey, FoundVersion},
    plane::check_use,
    vaults::FoundVault,
};

/// Who managed identities are; implemented by whoever keeps the directory.
pub trait Principals: Roles {
    /// The caller that a managed identity is, a trusted service; `None` if it is gone.
    fn managed_identity(&self, identity: &Identity) -> Result<Option<Caller>, RolesUnavailable>;
}

/// Lets registries use the keys of an embedded vault, as the identities that they act as.
#[derive(Clone, Debug)]
pub struct EmbeddedProvider {
    pub(crate) vault: Arc<Vault>,
    pub(crate) principals: Option<Arc<dyn Principals>>,
}

impl EmbeddedProvider {
    /// A provider over this vault, for identities that only its own grants and policies know;
    /// whoever else holds the vault may change it meanwhile.
    pub fn new(vault: Arc<Vault>) -> Self {
        Self { vault, principals: None }
    }

    /// A provider for the identities of a directory, whose roles count as well.
    pub fn with_principals(vault: Arc<Vault>, principals: Arc<dyn Principals>) -> Self {
        Self { vault, principals: Some(principals) }
    }

    /// Runs a use of the vault where blocking is allowed.
    async fn using<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, UseError> + Send + 'static,
    ) -> Result<T, ProviderError> {
        let provider = self.clone();
        let done = task::spawn_blocking(move || work(&provider)).await;
        match done {
            Ok(done) => Ok(done?),
            Err(error) => {
                Err(ProviderError::Unreachable(format!("the vault's task ended: {error}")))
            }
        }
    }

    /// The version that a registry wants to use, if it may.
    fn usable(
        &self,
        identity: &Identity,
        id: &VersionedKeyId,
        operation: KeyOperation,
    ) -> Result<(FoundKey, FoundVersion), UseError> {
        let permission = operation.permission();
        let (seen, version) = self.vault.database.read(|transaction| {
            let vault = self.vault.live_vault(transaction, &id.key.vault)?;
            let key = self.vault.live_key(transaction, &vault, &id.key.name)?;
            let granted = self.vault.granted(transaction, &key, identity, permission)?;
            let version =
                self.vault.version_in(transaction, &id.key.vault, &key, Some(&id.version));
            Ok::<_, VaultError>((Seen { vault, key, granted }, version))
        })?;
        self.decide(identity, &id.key, permission, &seen)?;
        let version = version?;
        check_use(&version, id, operation, self.vault.clock.wall())?;
        if !version.shape.is_rsa() {
            return Err(VaultError::from(CryptoError::WrongAlgorithm).into());
        }
        Ok((seen.key, version))
    }

    fn decide(
        &self,
        identity: &Identity,
        key: &KeyId,
        permission: Operation,
        seen: &Seen,
    ) -> Result<(), UseError> {
        let (caller, roles): (_, &dyn Roles) = match &self.principals {
            None => (lone(identity, seen.vault.properties.place.tenant), &NoRoles),
            Some(principals) => {
                let caller = principals.managed_identity(identity).map_err(VaultError::from)?;
                let caller = caller.ok_or(UseError::IdentityGone(*identity))?;
                (caller, &**principals)
            }
        };
        let name = Some(&key.name);
        Vault::decide(&seen.vault, &caller, permission, name, seen.granted, roles).map_err(
            |error| match error {
                VaultError::ForbiddenByPolicy(_)
                | VaultError::ForbiddenByRbac(_)
                | VaultError::WrongTenant { .. } => {
                    UseError::NotAuthorized(*identity, key.clone(), Box::new(error))
                }
                error => error.into(),
            },
        )
    }

    fn versions_for(&self, identity: &Identity, id: &KeyId) -> Result<Vec<KeyVersion>, UseError> {
        let (seen, versions) = self.vault.database.read(|transaction| {
            let vault = self.vault.live_vault(transaction, &id.vault)?;
            let key = self.vault.live_key(transaction, &vault, &id.name)?;
            let granted = self.vault.granted(transaction, &key, identity, Operation::Get)?;
            let versions = self.vault.versions_of(transaction, &key, id);
            Ok::<_, VaultError>((Seen { vault, key, granted }, versions))
        })?;
        self.decide(identity, id, Operation::Get, &seen)?;
        Ok(versions?)
    }
}

/// What a decision is made on.
struct Seen {
    vault: Arc<FoundVault>,
    key: FoundKey,
    granted: bool,
}

/// An identity that no directory knows, in the tenant of the vault that it calls.
fn lone(identity: &Identity, tenant: Guid) -> Caller {
    Caller {
        tenant,
        object: Guid::from_bytes(*identity.as_bytes()),
        application: None,
        groups: Vec::new(),
        resource: None,
        source: Source::TrustedService,
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
        self.using(move |provider| {
            let (_, version) = provider.usable(&caller, &key, KeyOperation::WrapKey)?;
            let public = &version.record.public;
            let wrapped = public
                .encrypt(EncryptionAlgorithm::RsaOaep256, share.dangerous_expose())
                .map_err(VaultError::from)?;
            Ok(WrappedShare::from_bytes(wrapped))
        })
        .await
    }

    async fn unwrap_key(
        &self,
        caller: &Identity,
        key: &VersionedKeyId,
        wrapped: &WrappedShare,
    ) -> Result<CustomerShare, ProviderError> {
        let (caller, id, wrapped) = (*caller, key.clone(), wrapped.clone());
        self.using(move |provider| {
            let (key, version) = provider.usable(&caller, &id, KeyOperation::UnwrapKey)?;
            let ready = provider.vault.ready_key(&key, &version, Purpose::Oaep)?;
            let share = ready.key.decrypt(EncryptionAlgorithm::RsaOaep256, wrapped.as_bytes());
            let share = share
                .ok()
                .and_then(|share| share.as_slice().try_into().ok().map(CustomerShare::from_bytes));
            share.ok_or(UseError::NotWrapped(id))
        })
        .await
    }

    async fn versions(
        &self,
        caller: &Identity,
        key: &KeyId,
    ) -> Result<Vec<KeyVersion>, ProviderError> {
        let (caller, key) = (*caller, key.clone());
        self.using(move |provider| provider.versions_for(&caller, &key)).await
    }

    async fn health(&self) -> Result<(), ProviderError> {
        self.using(|provider| Ok(provider.vault.health()?)).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.vault.changes()
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
    NotAuthorized(Identity, KeyId, #[source] Box<VaultError>),
    #[error("identity `{0}` is gone; assign the registry another one")]
    IdentityGone(Identity),
    #[error("the wrapped share was not wrapped under `{0}`")]
    NotWrapped(VersionedKeyId),
}

impl From<UseError> for ProviderError {
    fn from(error: UseError) -> Self {
        let text = chain(&error).to_string();
        let denied = |denial| Self::Denied(denial, text.clone());
        match error {
            UseError::NotAuthorized(..) => denied(Denial::NotAuthorized),
            UseError::IdentityGone(_) => denied(Denial::IdentityGone),
            UseError::NotWrapped(_) => Self::Damaged(text),
            UseError::Vault(error) => match error {
                VaultError::KeyDisabled(id, _) => Self::Denied(
                    Denial::KeyDisabled,
                    format!(
                        "key version `{id}` is disabled; `lockyard vault key enable {id}` allows \
                         its use again"
                    ),
                ),
                VaultError::KeyNotYetValid(id, _) => Self::Denied(
                    Denial::KeyDisabled,
                    format!(
                        "key version `{id}` may not wrap yet; set an earlier start or use another \
                         version"
                    ),
                ),
                VaultError::KeyExpired(id, _) => Self::Denied(
                    Denial::KeyDisabled,
                    format!(
                        "key version `{id}` has expired and may not wrap; use a newer version"
                    ),
                ),
                VaultError::KeyOperationForbidden(..) => denied(Denial::KeyDisabled),
                VaultError::VaultNotFound(_) => denied(Denial::VaultNotFound),
                VaultError::KeyNotFound(_) => denied(Denial::KeyNotFound),
                VaultError::VersionNotFound(_) => denied(Denial::VersionNotFound),
                VaultError::DamagedRow { .. } | VaultError::Damaged(_) => Self::Damaged(text),
                // A firewall, roles that cannot be read, a disk: nothing is concluded.
                VaultError::ForbiddenByFirewall(_)
                | VaultError::RolesUnavailable(_)
                | VaultError::Database(_)
                | VaultError::Contended(_)
                // The rest does not happen to uses, and says nothing about the right to one.
                | VaultError::BadParameter(_)
                | VaultError::Crypto(_)
                | VaultError::BadRequest(_)
                | VaultError::VaultNameNotValid(_)
                | VaultError::NotEmbedded(_)
                | VaultError::EmptyValidity
                | VaultError::VaultPurgeProtected(_)
                | VaultError::WrongTenant { .. }
                | VaultError::ForbiddenByPolicy(_)
                | VaultError::ForbiddenByRbac(_)
                | VaultError::KeyPurgeProtected(_)
                | VaultError::DeletedVaultNotFound(_)
                | VaultError::DeletedKeyNotFound(_)
                | VaultError::VaultExists(_)
                | VaultError::VaultDeleted(_)
                | VaultError::KeyDeleted(_)
                | VaultError::KeyExists(_)
                | VaultError::ModelSwitchForbidden(_) => Self::Unreachable(text),
            },
        }
    }
}
