//! The embedded vault as registries use it: every use of a key is in the audit trail before its
//! result is given to anybody.
//!
//! A use that can't be recorded is refused as *unreachable*: nothing was said about the right to
//! it. A denial is a denial all the same, or whoever fills the disk could keep a registry open.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use lockyard_audit::{Audit, Event, Operation, Outcome};
use lockyard_base::{BootInstant, Guid, chain};
use lockyard_keyring::{
    CustomerShare, Denial, Identity, KeyId, KeyProvider, KeyVersion, ProviderError, VaultAddress,
    VersionedKeyId, WrappedShare,
};
use tokio::{sync::watch, task, time::timeout};

use crate::{EmbeddedProvider, Vault};

/// What callers inside this process call themselves.
const CLIENT: &str = "lockyard";
/// How long a refusal waits for its record.
const REFUSAL_PATIENCE: Duration = Duration::from_millis(300);

/// An [`EmbeddedProvider`] whose every use is recorded.
#[derive(Clone, Debug)]
pub struct AuditedProvider {
    provider: EmbeddedProvider,
    audit: Arc<dyn Audit>,
}

impl AuditedProvider {
    /// Records the uses of `provider` in `audit`.
    pub fn new(provider: EmbeddedProvider, audit: Arc<dyn Audit>) -> Self {
        Self { provider, audit }
    }

    /// Records a use; returns its result, or why it is withheld.
    async fn record<T: Send>(
        &self,
        use_: Use,
        result: Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        let event = Recording {
            outcome: outcome(&result),
            provider: self.provider.clone(),
            audit: Arc::clone(&self.audit),
            use_,
        };
        let recording = task::spawn_blocking(move || event.append());
        match result {
            Ok(value) => match recording.await {
                Ok(recorded) => recorded.map(|()| value),
                Err(error) => Err(ProviderError::Unreachable(format!(
                    "the audit trail's task ended: {error}"
                ))),
            },
            Err(refusal) => {
                // Recording goes on by itself if it takes longer; whoever stalls the trail's disk
                // must not hold up a lock.
                drop(timeout(REFUSAL_PATIENCE, recording).await);
                Err(refusal)
            }
        }
    }

    fn use_of(&self, operation: Operation, caller: &Identity, vault: &VaultAddress) -> Use {
        Use {
            operation,
            caller: *caller,
            vault: vault.clone(),
            id: String::new(),
            since: self.provider.vault.clock.boot(),
        }
    }
}

#[async_trait]
impl KeyProvider for AuditedProvider {
    async fn wrap_key(
        &self,
        caller: &Identity,
        key: &VersionedKeyId,
        share: &CustomerShare,
    ) -> Result<WrappedShare, ProviderError> {
        let use_ = self.use_of(Operation::KEY_WRAP, caller, &key.key.vault).of(key.to_string());
        let result = self.provider.wrap_key(caller, key, share).await;
        self.record(use_, result).await
    }

    async fn unwrap_key(
        &self,
        caller: &Identity,
        key: &VersionedKeyId,
        wrapped: &WrappedShare,
    ) -> Result<CustomerShare, ProviderError> {
        let use_ = self.use_of(Operation::KEY_UNWRAP, caller, &key.key.vault).of(key.to_string());
        let result = self.provider.unwrap_key(caller, key, wrapped).await;
        self.record(use_, result).await
    }

    async fn versions(
        &self,
        caller: &Identity,
        key: &KeyId,
    ) -> Result<Vec<KeyVersion>, ProviderError> {
        let use_ = self.use_of(Operation::KEY_LIST_VERSIONS, caller, &key.vault);
        let use_ = use_.of(key.to_string());
        let result = self.provider.versions(caller, key).await;
        self.record(use_, result).await
    }

    async fn health(&self) -> Result<(), ProviderError> {
        self.provider.health().await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.provider.changes()
    }
}

/// One use of a key, as it began.
struct Use {
    operation: Operation,
    caller: Identity,
    vault: VaultAddress,
    id: String,
    since: BootInstant,
}

impl Use {
    fn of(self, id: String) -> Self {
        Self { id, ..self }
    }
}

struct Recording {
    use_: Use,
    outcome: Outcome,
    provider: EmbeddedProvider,
    audit: Arc<dyn Audit>,
}

impl Recording {
    fn append(self) -> Result<(), ProviderError> {
        let Self { use_, outcome, provider, audit } = self;
        let vault = &provider.vault;
        let mut event = Event::new(use_.operation, vault.audit_resource(&use_.vault), outcome);
        event.took = vault.clock.boot().since(use_.since);
        event.correlation = Guid::random(&*vault.entropy).to_string();
        CLIENT.clone_into(&mut event.request.client);
        event.request.id = use_.id;
        event.caller.object_id = Guid::from_bytes(*use_.caller.as_bytes()).to_string();
        // A directory that can't be read leaves the identity's own id, which says who it is.
        if let Ok(Some(caller)) = provider.principals.managed_identity(&use_.caller) {
            event.caller.object_id = caller.object.to_string();
            let application = caller.application.map(|application| application.to_string());
            event.caller.application_id = application.unwrap_or_default();
            event.caller.managed_identity = caller.resource.unwrap_or_default();
        }
        audit.append_blocking(event).map(drop).map_err(|error| {
            ProviderError::Unreachable(format!("the use was refused: {}", chain(&error)))
        })
    }
}

impl Vault {
    /// A vault's resource id, for the audit trail; of one that can't be found, its name.
    pub fn audit_resource(&self, vault: &VaultAddress) -> String {
        match self.vault(vault) {
            Ok(Some(properties)) => properties.resource_id(),
            Ok(None) | Err(_) => format!("/vaults/{vault}"),
        }
    }
}

/// What the caller would be answered outside.
fn outcome<T>(result: &Result<T, ProviderError>) -> Outcome {
    match result {
        Ok(_) => Outcome::ok(),
        Err(ProviderError::Denied(denial, text)) => match denial {
            Denial::KeyNotFound | Denial::VersionNotFound | Denial::VaultNotFound => {
                Outcome::failed(404, "NotFound", text)
            }
            Denial::KeyDisabled | Denial::NotAuthorized | Denial::IdentityGone => {
                Outcome::failed(403, "Forbidden", text)
            }
        },
        Err(ProviderError::Damaged(text)) => Outcome::failed(400, "BadRequest", text),
        Err(ProviderError::Unreachable(text)) => Outcome::failed(503, "ServiceUnavailable", text),
    }
}
