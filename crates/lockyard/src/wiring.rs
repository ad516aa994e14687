//! Which provider speaks for which vault.

use std::sync::Arc;

use lockyard_keyring::{KeyProvider, Providers, VaultAddress};
use lockyard_vault::AuditedProvider;

/// The providers of this instance: the embedded vault, for every vault without a host name.
#[derive(Debug)]
pub(crate) struct Wiring {
    embedded: Arc<AuditedProvider>,
}

impl Wiring {
    /// The embedded vault alone.
    pub(crate) fn new(embedded: Arc<AuditedProvider>) -> Self {
        Self { embedded }
    }
}

impl Providers for Wiring {
    fn provider(&self, vault: &VaultAddress) -> Option<Arc<dyn KeyProvider>> {
        if vault.as_str().contains('.') {
            return None;
        }
        Some(Arc::clone(&self.embedded) as Arc<dyn KeyProvider>)
    }

    fn all(&self) -> Vec<Arc<dyn KeyProvider>> {
        vec![Arc::clone(&self.embedded) as Arc<dyn KeyProvider>]
    }
}
