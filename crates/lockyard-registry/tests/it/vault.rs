//! A vault that a test commands.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use lockyard_keyring::{
    CustomerShare, Denial, Identity, KeyId, KeyProvider, KeyVersion, ProviderError, Providers,
    VaultAddress, VersionedKeyId, WrappedShare,
};
use tokio::sync::watch;

/// What the vault says to every unwrap.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    Grants,
    /// Grants this identity, and knows no other.
    Knows(Identity),
    /// Grants, and answers with another share than it was given.
    Lies,
    Answers(ProviderError),
}

/// "Wrapping" here is a bitwise complement: the registry cannot tell and need not.
#[derive(Debug)]
pub(crate) struct CommandedVault {
    mood: Mutex<Mood>,
    changes: watch::Sender<u64>,
}

impl CommandedVault {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { mood: Mutex::new(Mood::Grants), changes: watch::channel(0).0 })
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn denies(&self) {
        let text = "the key is disabled".to_owned();
        self.becomes(Mood::Answers(ProviderError::Denied(Denial::KeyDisabled, text)));
    }

    fn answer(&self, caller: &Identity) -> Result<(), ProviderError> {
        match &*self.mood.lock().unwrap_or_else(PoisonError::into_inner) {
            Mood::Grants | Mood::Lies => Ok(()),
            Mood::Knows(identity) if identity == caller => Ok(()),
            Mood::Knows(_) => {
                Err(ProviderError::Denied(Denial::IdentityGone, "it is gone".to_owned()))
            }
            Mood::Answers(error) => Err(error.clone()),
        }
    }

    fn lies(&self) -> bool {
        matches!(*self.mood.lock().unwrap_or_else(PoisonError::into_inner), Mood::Lies)
    }
}

#[async_trait]
impl KeyProvider for CommandedVault {
    async fn wrap_key(
        &self,
        caller: &Identity,
        _key: &VersionedKeyId,
        share: &CustomerShare,
    ) -> Result<WrappedShare, ProviderError> {
        self.answer(caller)?;
        Ok(WrappedShare::from_bytes(share.dangerous_expose().iter().map(|byte| !byte).collect()))
    }

    async fn unwrap_key(
        &self,
        caller: &Identity,
        _key: &VersionedKeyId,
        wrapped: &WrappedShare,
    ) -> Result<CustomerShare, ProviderError> {
        self.answer(caller)?;
        let mut bytes: [u8; 32] = wrapped
            .as_bytes()
            .try_into()
            .map_err(|_| ProviderError::Damaged("a share has 32 bytes".to_owned()))?;
        for byte in &mut bytes {
            *byte = !*byte;
        }
        bytes[0] ^= u8::from(self.lies());
        Ok(CustomerShare::from_bytes(&bytes))
    }

    async fn versions(
        &self,
        _caller: &Identity,
        _key: &KeyId,
    ) -> Result<Vec<KeyVersion>, ProviderError> {
        Ok(Vec::new())
    }

    async fn health(&self) -> Result<(), ProviderError> {
        Ok(())
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// The one vault of a world.
#[derive(Debug)]
pub(crate) struct OneVault(pub(crate) Arc<CommandedVault>);

impl Providers for OneVault {
    fn provider(&self, vault: &VaultAddress) -> Option<Arc<dyn KeyProvider>> {
        (vault.as_str() == "myvault").then(|| Arc::clone(&self.0) as Arc<dyn KeyProvider>)
    }

    fn all(&self) -> Vec<Arc<dyn KeyProvider>> {
        vec![Arc::clone(&self.0) as Arc<dyn KeyProvider>]
    }
}
