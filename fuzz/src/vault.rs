//! A vault with one key, made once for all inputs of a target, and a caller who may do everything.

use std::sync::Arc;

use lockyard_base::{Clock, Entropy, Guid, HandClock, SeededEntropy};
use lockyard_keyring::VaultAddress;
use lockyard_vault::{
    AccessPolicy, Caller, CreateMode, Curve, DataPlane, KeySettings, KeyShape, NoRoles,
    Permissions, Placement, Source, Vault, VaultChange, VaultRequest, VaultRootKey,
};

const TENANT: Guid = Guid::from_bytes([1; 16]);
const CALLER: Guid = Guid::from_bytes([2; 16]);

/// A directory with the vault `fuzz` and its key `k`.
pub struct Vaults {
    vault: Vault,
    name: VaultAddress,
}

impl Vaults {
    /// Makes one beside the program, in place of what an earlier run left.
    pub fn new() -> Self {
        let folder = std::env::current_exe().expect("a program has a file").with_extension("vault");
        drop(std::fs::remove_dir_all(&folder));
        let clock: Arc<dyn Clock> = Arc::new(HandClock::default());
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(12));
        let root = VaultRootKey::generate(&*entropy);
        let vault = Vault::open(&folder, &root, clock, entropy).expect("a new vault");
        let permissions = Permissions { keys: vec!["all".to_owned()], ..Permissions::default() };
        let policy =
            AccessPolicy { tenant: TENANT, object: CALLER, application: None, permissions };
        let change = VaultChange { policies: Some(vec![policy]), ..VaultChange::default() };
        let place = Placement::new(TENANT, CALLER, "rg", "here").expect("a place");
        let request = VaultRequest { place, mode: CreateMode::Default, change };
        let name: VaultAddress = "fuzz".parse().expect("a name");
        vault.put_vault(&name, request).expect("made");
        let this = Self { vault, name };
        let (key, shape) = ("k".parse().expect("a name"), KeyShape::Ec(Curve::P256));
        this.plane().create_key(&key, shape, &KeySettings::default()).expect("made");
        this
    }

    /// The vault's data plane.
    pub fn plane(&self) -> DataPlane<'_> {
        let caller = Caller {
            tenant: TENANT,
            object: CALLER,
            application: None,
            groups: Vec::new(),
            resource: None,
            source: Source::TrustedService,
        };
        self.vault.data_plane(&self.name, caller, &NoRoles)
    }
}

impl Default for Vaults {
    fn default() -> Self {
        Self::new()
    }
}
