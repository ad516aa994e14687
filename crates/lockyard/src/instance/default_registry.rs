//! The registry that `localhost:5000` stands for, made by the first start.

use std::sync::Arc;

use lockyard_access::PrincipalId;
use lockyard_audit::Operation;
use lockyard_keyring::{Identity, KeyId, VaultAddress, VersionedKeyId};
use lockyard_oci::RegistryName;
use lockyard_registry::{CustomerKey, RegistrySummary};
use lockyard_vault::{RsaSize, VaultError};

use super::{Deed, Instance, identity};
use crate::failure::{Failure, OrFail as _, Outcome};

/// The vault and the key that `quickstart` makes.
const QUICKSTART_KEY: &str = "lockyard/registry";

/// Which keys the default registry gets if this start makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// The service share alone.
    ServiceManaged,
    /// An RSA key of the embedded vault besides.
    CustomerKey,
}

/// Takes all registries in, and makes the default one if there is none at all yet.
pub(crate) async fn default_registry(
    instance: &Instance,
    protection: Protection,
) -> Outcome<RegistrySummary> {
    let name = RegistryName::default();
    let registries = instance.registries.list().await.or_fail()?;
    if registries.is_empty() {
        let customer = match protection {
            Protection::ServiceManaged => None,
            Protection::CustomerKey => Some(quickstart_key(instance).await?),
        };
        instance.create_registry(&name, customer, None).await?;
    }
    instance.registries.admit_all().await.or_fail()?;
    let found = instance.registries.list().await.or_fail()?;
    found.into_iter().find(|summary| summary.name == name).ok_or_else(|| {
        Failure::text(format!("the default registry `{name}` is missing from the database"))
            .advise("restore the database from a backup")
    })
}

impl Instance {
    /// Makes a registry. As a managed identity, by default one of its own name, it gets the use of
    /// the customer key; every step may be repeated.
    pub(crate) async fn create_registry(
        &self,
        name: &RegistryName,
        key: Option<VersionedKeyId>,
        identity: Option<String>,
    ) -> Outcome {
        let customer = match key {
            None if identity.is_some() => {
                return Err(Failure::text("an identity is of use with a customer key alone")
                    .advise("give both `--key` and `--identity`, or neither"));
            }
            None => None,
            Some(key) => {
                let directory = self.directory()?;
                let registry = name.clone();
                let principal = blocking_outcome(move || match identity.as_deref() {
                    None => identity::ensure_named(&directory, registry.as_str()),
                    Some(text) => match identity::Wanted::parse(text)? {
                        identity::Wanted::Named(name) => identity::ensure_named(&directory, &name),
                        wanted => wanted.find(&directory, &registry),
                    },
                })
                .await?;
                self.allow(&key.key.vault, principal, "lockyard: a new registry").await?;
                let identity = Identity::from_bytes(*principal.guid().as_bytes());
                Some(CustomerKey { provider: Arc::clone(&self.provider), key, identity })
            }
        };
        self.registries.create(name, customer).await.or_fail()?;
        Ok(())
    }

    /// Lets an identity use the keys of a vault as registries do, and records it.
    pub(crate) async fn allow(
        &self,
        vault: &VaultAddress,
        identity: PrincipalId,
        client: &'static str,
    ) -> Outcome {
        let (directory, keeper) = (self.directory()?, Arc::clone(&self.vault));
        let (name, entropy) = (vault.clone(), Arc::clone(&self.machine.entropy));
        let done = blocking_outcome(move || {
            identity::allow(&directory, &keeper, &*entropy, &name, identity)
        })
        .await;
        let deed = Deed {
            operation: Operation::VAULT_ACCESS_POLICY_CHANGE,
            vault: Some(vault.clone()),
            id: identity.to_string(),
            client,
        };
        self.trail(deed, done.as_ref().err()).await;
        done
    }
}

/// The newest version of the quickstart's key; makes vault and key if they are not there yet.
async fn quickstart_key(instance: &Instance) -> Outcome<VersionedKeyId> {
    let vault = Arc::clone(&instance.vault);
    let key: KeyId = match QUICKSTART_KEY.split_once('/') {
        Some((vault, name)) => {
            KeyId { vault: vault.parse().or_fail()?, name: name.parse().or_fail()? }
        }
        None => return Err(Failure::text("the quickstart's key has no vault")),
    };
    let deed = Deed {
        operation: Operation::KEY_CREATE,
        vault: Some(key.vault.clone()),
        id: key.to_string(),
        client: "lockyard quickstart",
    };
    let done = blocking(move || {
        match vault.create_vault_with_roles(&key.vault) {
            Ok(()) | Err(VaultError::VaultExists(_)) => {}
            Err(error) => return Err(error),
        }
        match vault.versions(&key) {
            Ok(versions) if !versions.is_empty() => {
                return Ok(versions.into_iter().next().map(|version| version.id));
            }
            Ok(_) | Err(VaultError::KeyNotFound(_)) => {}
            Err(error) => return Err(error),
        }
        vault.create_key(&key, RsaSize::R3072).map(Some)
    })
    .await;
    instance.trail(deed, done.as_ref().err()).await;
    done?.ok_or_else(|| Failure::text("the quickstart's key has no version"))
}

/// Runs a step of our own where blocking is allowed.
pub(crate) async fn blocking_outcome<T: Send + 'static>(
    work: impl FnOnce() -> Outcome<T> + Send + 'static,
) -> Outcome<T> {
    tokio::task::spawn_blocking(work).await.or_fail()?
}

/// Runs a verb of a room where blocking is allowed.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Outcome<T>
where
    T: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.or_fail()?.or_fail()
}
