//! The keyring's way into the vault: `KeyProvider` over [`Vault`].
//!
//! Every use is authorized here, beside the effect, by the decision that outside callers get: the
//! firewall (a registry is a trusted service), the tenant, then a policy or a role. Only that the
//! vault and the key exist is looked at first, since a registry was told their names; no version is
//! told to whoever has no right. The kinds of failure matter most: a denial locks the
//! registry, damage locks and alarms, and a firewall, roles that cannot be read or trouble with the
//! database conclude nothing.

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
    access::{Caller, KeyOperation, Operation, Roles, RolesUnavailable, authorize},
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
    pub(crate) principals: Arc<dyn Principals>,
}

impl EmbeddedProvider {
    /// A provider over this vault, for the identities of a directory; whoever else holds the vault
    /// may change it meanwhile.
    pub fn new(vault: Arc<Vault>, principals: Arc<dyn Principals>) -> Self {
        Self { vault, principals }
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
        let (vault, key, version) = self.vault.database.read(|transaction| {
            let vault = self.vault.live_vault(transaction, &id.key.vault)?;
            let key = self.vault.live_key(transaction, &vault, &id.key.name)?;
            let version =
                self.vault.version_in(transaction, &id.key.vault, &key, Some(&id.version));
            Ok::<_, VaultError>((vault, key, version))
        })?;
        self.decide(identity, &id.key, permission, &vault)?;
        let version = version?;
        check_use(&version, id, operation, self.vault.clock.wall())?;
        if !version.shape.is_rsa() {
            return Err(VaultError::from(CryptoError::WrongAlgorithm).into());
        }
        Ok((key, version))
    }

    fn decide(
        &self,
        identity: &Identity,
        key: &KeyId,
        permission: Operation,
        vault: &FoundVault,
    ) -> Result<(), UseError> {
        let caller = self.principals.managed_identity(identity).map_err(VaultError::from)?;
        let caller = caller.ok_or(UseError::IdentityGone(*identity))?;
        let name = Some(&key.name);
        authorize(&vault.properties, &caller, permission, name, &*self.principals).map_err(
            |error| match error {
                VaultError::ForbiddenByPolicy(_)
                | VaultError::ForbiddenByRbac(_)
                | VaultError::WrongTenant { .. } => {
                    let (identity, key) = (*identity, key.clone());
                    UseError::NotAuthorized { identity, key, source: Box::new(error) }
                }
                error => error.into(),
            },
        )
    }

    fn versions_for(&self, identity: &Identity, id: &KeyId) -> Result<Vec<KeyVersion>, UseError> {
        let (vault, versions) = self.vault.database.read(|transaction| {
            let vault = self.vault.live_vault(transaction, &id.vault)?;
            let key = self.vault.live_key(transaction, &vault, &id.name)?;
            let versions = self.vault.versions_of(transaction, &key, id);
            Ok::<_, VaultError>((vault, versions))
        })?;
        self.decide(identity, id, Operation::Get, &vault)?;
        Ok(versions?)
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
    #[error("identity `{identity}` may not use key `{key}`; {}", cure(.identity, .source))]
    NotAuthorized { identity: Identity, key: KeyId, source: Box<VaultError> },
    #[error(
        "identity `{0}` is gone or disabled; enable it, or give the registry another one with \
         `lockyard registry assign-identity`"
    )]
    IdentityGone(Identity),
    #[error("the wrapped share was not wrapped under `{0}`")]
    NotWrapped(VersionedKeyId),
}

/// What gives an identity what a registry needs, in a vault that refused it.
fn cure(identity: &Identity, refusal: &VaultError) -> String {
    match refusal {
        VaultError::ForbiddenByRbac(refusal) => {
            let scope = refusal.resource.split("/keys/").next().unwrap_or_default();
            format!(
                "its role is not there, or is gone (deleting a vault drops the roles at it, and \
                 recovering it does not bring them back); assign it with `az role assignment \
                 create --role \"{REGISTRY_ROLE}\" --assignee-object-id {identity} \
                 --assignee-principal-type ServicePrincipal --scope {scope}`"
            )
        }
        VaultError::ForbiddenByPolicy(refusal) => format!(
            "grant it get, wrapKey and unwrapKey with `az keyvault set-policy --name {} \
             --object-id {identity} --key-permissions get wrapKey unwrapKey`",
            refusal.vault
        ),
        _ => "use a key of a vault that belongs to its tenant".to_owned(),
    }
}

/// The role that gives what a registry needs (BEHAVIOUR rule 9).
const REGISTRY_ROLE: &str = "Key Vault Crypto Service Encryption User";

impl From<UseError> for ProviderError {
    fn from(error: UseError) -> Self {
        let text = chain(&error).to_string();
        let denied = |denial| Self::Denied(denial, text.clone());
        match error {
            UseError::NotAuthorized { .. } => denied(Denial::NotAuthorized),
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
