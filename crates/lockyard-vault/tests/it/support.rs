//! A world for one test: a vault directory, a hand-wound clock, seeded randomness.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use lockyard_base::{Clock, Entropy, HandClock, SeededEntropy};
use lockyard_keyring::{CustomerShare, Identity, KeyId, ProviderError};
use lockyard_vault::{EmbeddedProvider, OpenVaultError, Vault, VaultRootKey};
use tempfile::TempDir;

pub(crate) const REGISTRY: Identity = Identity::from_bytes([0x11; 16]);
pub(crate) const STRANGER: Identity = Identity::from_bytes([0x22; 16]);

pub(crate) struct World {
    root: TempDir,
    pub(crate) clock: Arc<HandClock>,
    entropy: Arc<SeededEntropy>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            root: tempfile::tempdir().expect("a temporary directory"),
            clock: Arc::new(HandClock::default()),
            entropy: Arc::new(SeededEntropy::new(42)),
        }
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.root.path().join("vault")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.root.path().join("vault.key")
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    pub(crate) fn root_key(&self) -> VaultRootKey {
        VaultRootKey::read_or_create(&self.key_file(), &self.directory(), self.entropy())
            .expect("a root key")
    }

    pub(crate) fn try_open(&self) -> Result<Vault, OpenVaultError> {
        self.try_open_with(&self.root_key())
    }

    pub(crate) fn try_open_with(&self, root: &VaultRootKey) -> Result<Vault, OpenVaultError> {
        let clock: Arc<dyn Clock> = Arc::<HandClock>::clone(&self.clock);
        let entropy: Arc<dyn Entropy> = Arc::<SeededEntropy>::clone(&self.entropy);
        Vault::open(&self.directory(), root, clock, entropy)
    }

    pub(crate) fn open(&self) -> Arc<Vault> {
        Arc::new(self.try_open().expect("the vault opens"))
    }

    pub(crate) fn share(&self) -> CustomerShare {
        CustomerShare::generate(self.entropy())
    }

    /// Every file below the world's directory but the key file, with its content.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.directory(), &mut files);
        files
    }

    /// The database, for a test that plays the intruder; the vault must be closed.
    pub(crate) fn intrude(&self) -> rusqlite::Connection {
        let connection =
            rusqlite::Connection::open(self.directory().join("vault.db")).expect("a database");
        connection
            .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;")
            .expect("an intruder knows no constraints");
        connection
    }
}

fn collect(directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push((path.clone(), fs::read(path).expect("a file")));
        }
    }
}

pub(crate) fn key(vault: &str, name: &str) -> KeyId {
    KeyId { vault: vault.parse().expect("a vault"), name: name.parse().expect("a key") }
}

pub(crate) fn provider(vault: &Arc<Vault>) -> EmbeddedProvider {
    EmbeddedProvider::new(Arc::clone(vault))
}

/// The failure of a use that must not succeed.
pub(crate) fn refused<T>(result: Result<T, ProviderError>) -> ProviderError {
    match result {
        Ok(_) => panic!("the use was not refused"),
        Err(error) => error,
    }
}
