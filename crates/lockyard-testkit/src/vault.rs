//! A vault whose calls count on the disk's clock and fail with it.

use std::sync::Arc;

use async_trait::async_trait;
use lockyard_keyring::{
    CustomerShare, Identity, KeyId, KeyProvider, KeyVersion, ProviderError, Providers,
    VaultAddress, VersionedKeyId, WrappedShare,
};
use tokio::sync::watch;

use crate::disk::{Call, SimDisk};

/// "Wrapping" here is a bitwise complement: the registry cannot tell and need not.
#[derive(Debug)]
pub struct FaultyVault {
    disk: Arc<SimDisk>,
    changes: watch::Sender<u64>,
}

impl FaultyVault {
    /// A vault that fails when `disk` has it so.
    pub(crate) fn beside(disk: &Arc<SimDisk>) -> Arc<Self> {
        Arc::new(Self { disk: Arc::clone(disk), changes: watch::channel(0).0 })
    }

    fn note(&self) -> Result<(), ProviderError> {
        let noted = self.disk.note(Call::Vault);
        noted.map_err(|_| ProviderError::Unreachable("the test has it so".to_owned()))
    }
}

#[async_trait]
impl KeyProvider for FaultyVault {
    async fn wrap_key(
        &self,
        _caller: &Identity,
        _key: &VersionedKeyId,
        share: &CustomerShare,
    ) -> Result<WrappedShare, ProviderError> {
        self.note()?;
        Ok(WrappedShare::from_bytes(share.dangerous_expose().iter().map(|byte| !byte).collect()))
    }

    async fn unwrap_key(
        &self,
        _caller: &Identity,
        _key: &VersionedKeyId,
        wrapped: &WrappedShare,
    ) -> Result<CustomerShare, ProviderError> {
        self.note()?;
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
        self.note()?;
        Ok(Vec::new())
    }

    async fn health(&self) -> Result<(), ProviderError> {
        self.note()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

/// The one vault of a world.
#[derive(Debug)]
pub(crate) struct OneVault(pub(crate) Arc<FaultyVault>);

impl Providers for OneVault {
    fn provider(&self, vault: &VaultAddress) -> Option<Arc<dyn KeyProvider>> {
        (vault.as_str() == "myvault").then(|| Arc::clone(&self.0) as Arc<dyn KeyProvider>)
    }

    fn all(&self) -> Vec<Arc<dyn KeyProvider>> {
        vec![Arc::clone(&self.0) as Arc<dyn KeyProvider>]
    }
}
