//! A world for one test: a vault directory, a hand-wound clock, seeded randomness.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use lockyard_base::{Clock, Entropy, Guid, HandClock, SeededEntropy};
use lockyard_keyring::{CustomerShare, Identity, KeyId, ProviderError, VaultAddress};
use lockyard_vault::{
    AccessPolicy, Caller, CreateMode, Curve, DataPlane, EmbeddedProvider, KeyShape, NoRoles,
    OpenVaultError, Permissions, Placement, PolicyEdit, Principals, PutVault, Roles,
    RolesUnavailable, RsaSize, Source, Vault, VaultChange, VaultError, VaultRequest, VaultRootKey,
};
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

/// A directory in which every identity is there, in one tenant, and nobody has a role.
#[derive(Debug)]
struct Everybody(Guid);

impl Roles for Everybody {
    fn allow(&self, _: &Caller, _: &str, _: &str) -> Result<bool, RolesUnavailable> {
        Ok(false)
    }
}

impl Principals for Everybody {
    fn managed_identity(&self, identity: &Identity) -> Result<Option<Caller>, RolesUnavailable> {
        Ok(Some(Caller {
            tenant: self.0,
            object: Guid::from_bytes(*identity.as_bytes()),
            application: None,
            groups: Vec::new(),
            resource: None,
            source: Source::TrustedService,
        }))
    }
}

/// The provider for identities of this tenant.
pub(crate) fn provider_of(vault: &Arc<Vault>, tenant: Guid) -> EmbeddedProvider {
    EmbeddedProvider::new(Arc::clone(vault), Arc::new(Everybody(tenant)))
}

/// The provider for vaults without a place.
pub(crate) fn provider(vault: &Arc<Vault>) -> EmbeddedProvider {
    provider_of(vault, guid(0))
}

/// Gives an identity what a registry needs of a vault, by policy.
pub(crate) fn allow(vault: &Vault, identity: &Identity, name: &VaultAddress) {
    edit(vault, PolicyEdit::Add, identity, name);
}

/// Takes from an identity what [`allow`] gave.
pub(crate) fn forbid(vault: &Vault, identity: &Identity, name: &VaultAddress) {
    edit(vault, PolicyEdit::Remove, identity, name);
}

fn edit(vault: &Vault, edit: PolicyEdit, identity: &Identity, name: &VaultAddress) {
    let tenant = vault.vault(name).expect("read").expect("there").place.tenant;
    let object = Guid::from_bytes(*identity.as_bytes());
    let permissions = Permissions::of_a_registry();
    let policy = AccessPolicy { tenant, object, application: None, permissions };
    vault.edit_policies(name, edit, vec![policy]).expect("edited");
}

/// Who has what a registry needs of a vault.
pub(crate) fn allowed(vault: &Vault, name: &VaultAddress) -> Vec<Identity> {
    let policies = vault.vault(name).expect("read").expect("there").policies;
    policies.iter().map(|policy| Identity::from_bytes(*policy.object.as_bytes())).collect()
}

/// The failure of a use that must not succeed.
pub(crate) fn refused<T>(result: Result<T, ProviderError>) -> ProviderError {
    match result {
        Ok(_) => panic!("the use was not refused"),
        Err(error) => error,
    }
}

pub(crate) fn guid(byte: u8) -> Guid {
    Guid::from_bytes([byte; 16])
}

/// The tenant of every vault that [`make`] makes.
pub(crate) const TENANT: Guid = Guid::from_bytes([0x77; 16]);
/// Holds every permission in every vault that [`make`] makes.
pub(crate) const ADMIN: Guid = Guid::from_bytes([0xad; 16]);

pub(crate) fn place() -> Placement {
    Placement::new(TENANT, guid(0x55), "rg1", "eastus").expect("a place")
}

pub(crate) fn policy(object: Guid, keys: &[&str]) -> AccessPolicy {
    let keys = keys.iter().map(|word| (*word).to_owned()).collect();
    let permissions = Permissions { keys, ..Permissions::default() };
    AccessPolicy { tenant: TENANT, object, application: None, permissions }
}

pub(crate) fn caller(object: Guid) -> Caller {
    Caller {
        tenant: TENANT,
        object,
        application: Some(guid(0xaa)),
        groups: Vec::new(),
        resource: None,
        source: Source::Address("203.0.113.7".parse().expect("an address")),
    }
}

pub(crate) fn put(change: VaultChange) -> VaultRequest {
    VaultRequest { place: place(), mode: CreateMode::Default, change }
}

/// Makes a vault in which the administrator may do everything.
pub(crate) fn make(vault: &Vault, name: &str, change: VaultChange) -> VaultAddress {
    let policies = Some(vec![policy(ADMIN, &["all"])]);
    let name: VaultAddress = name.parse().expect("a name");
    let made = vault.put_vault(&name, put(VaultChange { policies, ..change })).expect("made");
    assert!(matches!(made, PutVault::Created(_)), "{made:?}");
    name
}

/// The data plane as the administrator.
pub(crate) fn admin<'v>(vault: &'v Vault, name: &VaultAddress) -> DataPlane<'v> {
    vault.data_plane(name, caller(ADMIN), &NoRoles)
}

/// An elliptic curve key: made at once, where a test needs no encryption.
pub(crate) const QUICK: KeyShape = KeyShape::Ec(Curve::P256);
pub(crate) const RSA: KeyShape = KeyShape::Rsa(RsaSize::R2048);

/// Status and codes of a refusal, as one line.
pub(crate) fn told<T>(result: Result<T, VaultError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => {
            let code = error.code();
            match code.inner {
                Some(inner) => format!("{} {}/{inner}", code.status, code.code),
                None => format!("{} {}", code.status, code.code),
            }
        }
    }
}
