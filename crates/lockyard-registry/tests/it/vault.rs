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

    fn answer(&self) -> Result<(), ProviderError> {
        match &*self.mood.lock().unwrap_or_else(PoisonError::into_inner) {
            Mood::Grants => Ok(()),
            Mood::Answers(error) => Err(error.clone()),
        }
    }
}

#[async_trait]
impl KeyProvider for CommandedVault {
    async fn wrap_key(
        &self,
        _caller: &Identity,
        _key: &VersionedKeyId,
        share: &CustomerShare,
    ) -> Result<WrappedShare, ProviderError> {
        self.answer()?;
        Ok(WrappedShare::from_bytes(share.dangerous_expose().iter().map(|byte| !byte).collect()))
    }

    async fn unwrap_key(
        &self,
        _caller: &Identity,
        _key: &VersionedKeyId,
        wrapped: &WrappedShare,
    ) -> Result<CustomerShare, ProviderError> {
        self.answer()?;
        let mut bytes: [u8; 32] = wrapped
            .as_bytes()
            .try_into()
            .map_err(|_| ProviderError::Damaged("a share has 32 bytes".to_owned()))?;
        for byte in &mut bytes {
            *byte = !*byte;
        }
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
