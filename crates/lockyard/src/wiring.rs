//! Which provider speaks for which vault, and who registries are to the embedded one.

use std::sync::{Arc, OnceLock};

use lockyard_access::Directory;
use lockyard_control::DirectoryRoles;
use lockyard_keyring::{Identity, KeyProvider, Providers, VaultAddress};
use lockyard_vault::{Caller, Principals, Roles, RolesUnavailable};

/// The providers of this instance: the embedded vault, for every vault without a host name.
#[derive(Debug)]
pub(crate) struct Wiring {
    embedded: Arc<dyn KeyProvider>,
}

impl Wiring {
    /// The embedded vault alone.
    pub(crate) fn new(embedded: Arc<dyn KeyProvider>) -> Self {
        Self { embedded }
    }
}

impl Providers for Wiring {
    fn provider(&self, vault: &VaultAddress) -> Option<Arc<dyn KeyProvider>> {
        if vault.as_str().contains('.') {
            return None;
        }
        Some(Arc::clone(&self.embedded))
    }

    fn all(&self) -> Vec<Arc<dyn KeyProvider>> {
        vec![Arc::clone(&self.embedded)]
    }
}

/// The directory's answers to the embedded vault.
///
/// Keys come before the directory in a start, and registries after it: whoever asks before it is
/// open learns nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registrar(Arc<OnceLock<Arc<Directory>>>);

impl Registrar {
    /// The directory, if it is open.
    pub(crate) fn directory(&self) -> Option<Arc<Directory>> {
        self.0.get().map(Arc::clone)
    }

    /// Keeps the directory that was opened; whoever came first at the same time, there is one
    /// directory for all.
    pub(crate) fn keep(&self, opened: Arc<Directory>) -> Arc<Directory> {
        Arc::clone(self.0.get_or_init(|| opened))
    }

    fn answers(&self) -> Result<DirectoryRoles, RolesUnavailable> {
        let directory = self.directory();
        let unopened = || RolesUnavailable("the directory is not open yet".to_owned());
        directory.map(DirectoryRoles::new).ok_or_else(unopened)
    }
}

impl Roles for Registrar {
    fn allow(&self, caller: &Caller, action: &str, scope: &str) -> Result<bool, RolesUnavailable> {
        self.answers()?.allow(caller, action, scope)
    }

    fn hold(&self, work: &mut dyn FnMut()) -> Result<(), RolesUnavailable> {
        self.answers()?.hold(work)
    }
}

impl Principals for Registrar {
    fn managed_identity(&self, identity: &Identity) -> Result<Option<Caller>, RolesUnavailable> {
        self.answers()?.managed_identity(identity)
    }
}
