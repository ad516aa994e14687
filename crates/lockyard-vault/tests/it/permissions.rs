//! The permission matrix: every operation, under every grant and in every situation, as one text
//! that a person can read. Whoever changes who may do what sees it here.

use std::fmt::Write as _;

use lockyard_base::{Clock as _, Guid, Timestamp};
use lockyard_keyring::{KeyName, KeyVersionName, VaultAddress};
use lockyard_vault::{
    Caller, DataPlane, EncryptionAlgorithm, KeyChange, KeyOperation, KeySettings, Operation,
    PageRequest, PolicyEdit, PrivateJwk, Roles, RolesUnavailable, RotationPolicy,
    SignatureAlgorithm, Source, Vault, VaultChange, VaultError,
};

use crate::support::{ADMIN, QUICK, RSA, World, admin, caller, guid, make, policy, told};

const USER: Guid = Guid::from_bytes([0x0e; 16]);
const OAEP: EncryptionAlgorithm = EncryptionAlgorithm::RsaOaep256;

/// Role assignments as patterns of actions, at one scope.
#[derive(Debug)]
struct Assigned {
    scope: String,
    actions: &'static [&'static str],
}

impl Roles for Assigned {
    fn allow(&self, caller: &Caller, action: &str, scope: &str) -> Result<bool, RolesUnavailable> {
        let covers = |pattern: &&str| match pattern.split_once('*') {
            None => *pattern == action,
            Some((start, end)) => action.starts_with(start) && action.ends_with(end),
        };
        let here = scope == self.scope || scope.starts_with(&format!("{}/", self.scope));
        Ok(caller.object == USER && here && self.actions.iter().any(covers))
    }
}

/// Every role for everybody: for undoing what was tried, whatever the model.
#[derive(Debug)]
struct Everything;

impl Roles for Everything {
    fn allow(&self, _: &Caller, _: &str, _: &str) -> Result<bool, RolesUnavailable> {
        Ok(true)
    }
}

/// What the verbs need to be tried: a live key, a deleted one, and values that fit.
struct Stage<'v> {
    vault: &'v Vault,
    name: VaultAddress,
    /// The first version of `live`; rotations add others that nobody looks at.
    version: KeyVersionName,
    wrapped: Vec<u8>,
    backup: Vec<u8>,
}

fn name(text: &str) -> KeyName {
    text.parse().unwrap()
}

impl<'v> Stage<'v> {
    fn new(vault: &'v Vault) -> Self {
        let name = make(vault, "payments", VaultChange::default());
        let plane = admin(vault, &name);
        for (key, shape) in [("live", RSA), ("gone", QUICK), ("lost", QUICK)] {
            plane.create_key(&self::name(key), shape, &KeySettings::default()).unwrap();
        }
        plane.delete_key(&self::name("gone")).unwrap();
        let wrapped = plane.wrap_key(&self::name("live"), None, OAEP, &[1; 32]).unwrap();
        let backup = plane.backup_key(&self::name("lost")).unwrap();
        plane.delete_key(&self::name("lost")).unwrap();
        plane.purge_key(&self::name("lost")).unwrap();
        let version = wrapped.id.version;
        Self { vault, name, version, wrapped: wrapped.value, backup }
    }

    /// Undoes what a successful verb did.
    fn reset(&self, operation: Operation) {
        let plane = self.vault.data_plane(&self.name, caller(ADMIN), &Everything);
        match operation {
            Operation::Delete => drop(plane.recover_key(&name("live")).unwrap()),
            Operation::Recover => drop(plane.delete_key(&name("gone")).unwrap()),
            Operation::Purge => {
                plane.create_key(&name("gone"), QUICK, &KeySettings::default()).unwrap();
                plane.delete_key(&name("gone")).unwrap();
            }
            Operation::Restore => {
                plane.delete_key(&name("lost")).unwrap();
                plane.purge_key(&name("lost")).unwrap();
            }
            _ => {}
        }
    }

    fn perform(&self, plane: &DataPlane<'_>, operation: Operation) -> Result<(), VaultError> {
        let live = &name("live");
        let version = Some(&self.version);
        let page = PageRequest::default();
        let signature = SignatureAlgorithm::Ps256;
        match operation {
            Operation::Get => plane.key(live, None).map(drop),
            Operation::List => plane.keys(&page).map(drop),
            Operation::Update => plane.update_key(live, version, &KeyChange::default()).map(drop),
            Operation::Create => {
                // A wrong setting, so that no key is made: it is told after the permission.
                let settings = KeySettings {
                    validity: lockyard_vault::Validity {
                        not_before: Some(Timestamp::from_micros(5)),
                        expires: Some(Timestamp::from_micros(5)),
                    },
                    ..KeySettings::default()
                };
                match plane.create_key(live, RSA, &settings) {
                    Err(VaultError::EmptyValidity) => Ok(()),
                    other => other.map(drop),
                }
            }
            Operation::Import => {
                let key = PrivateJwk::Ec {
                    curve: lockyard_vault::Curve::P256,
                    x: vec![1; 32],
                    y: vec![1; 32],
                    d: vec![1; 32].into(),
                };
                match plane.import_key(live, &key, &KeySettings::default()) {
                    Err(VaultError::Crypto(_)) => Ok(()),
                    other => other.map(drop),
                }
            }
            Operation::Delete => plane.delete_key(live).map(drop),
            Operation::Recover => plane.recover_key(&name("gone")).map(drop),
            Operation::Backup => plane.backup_key(live).map(drop),
            Operation::Restore => plane.restore_key(&self.backup).map(drop),
            Operation::Decrypt => plane.decrypt(live, version, OAEP, &self.wrapped).map(drop),
            Operation::Encrypt => plane.encrypt(live, version, OAEP, b"k").map(drop),
            Operation::UnwrapKey => plane.unwrap_key(live, version, OAEP, &self.wrapped).map(drop),
            Operation::WrapKey => plane.wrap_key(live, version, OAEP, b"k").map(drop),
            Operation::Verify => plane.verify(live, version, signature, &[0; 32], &[]).map(drop),
            Operation::Sign => plane.sign(live, version, signature, &[0; 32]).map(drop),
            Operation::Purge => plane.purge_key(&name("gone")),
            Operation::Release => Err(VaultError::BadParameter("never".to_owned())),
            Operation::Rotate => plane.rotate_key(live).map(drop),
            Operation::GetRotationPolicy => plane.rotation_policy(live).map(drop),
            Operation::SetRotationPolicy => {
                plane.set_rotation_policy(live, &RotationPolicy::default()).map(drop)
            }
        }
    }

    fn try_as(&self, caller: &Caller, roles: &dyn Roles, operation: Operation) -> String {
        let plane = self.vault.data_plane(&self.name, caller.clone(), roles);
        let told = told(self.perform(&plane, operation));
        if told == "ok" {
            self.reset(operation);
        }
        told
    }

    fn grant(&self, keys: &[&str]) {
        let entries = vec![policy(USER, keys)];
        self.vault.edit_policies(&self.name, PolicyEdit::Replace, entries).unwrap();
    }
}

fn operations() -> impl Iterator<Item = Operation> {
    Operation::ALL.iter().copied().filter(|operation| *operation != Operation::Release)
}

/// Lines of `operation: what allows it`, and a check that all else is refused alike.
fn by_policy(stage: &Stage<'_>, text: &mut String) {
    let words: Vec<&str> =
        Operation::ALL.iter().map(|word| word.as_str()).chain(["all", "ALL"]).collect();
    let mut allowed = vec![Vec::new(); Operation::ALL.len()];
    for word in words {
        stage.grant(&[word]);
        for (place, operation) in operations().enumerate() {
            match stage.try_as(&caller(USER), &lockyard_vault::NoRoles, operation).as_str() {
                "ok" => allowed[place].push(word),
                "403 Forbidden/ForbiddenByPolicy" => {}
                other => panic!("{operation} with {word}: {other}"),
            }
        }
    }
    for (place, operation) in operations().enumerate() {
        writeln!(text, "{operation:20} {}", allowed[place].join(" ")).unwrap();
    }
}

/// The roles of BEHAVIOUR 2.6, by their data actions.
const ROLES: [(&str, &[&str]); 6] = [
    ("Owner or Contributor", &[]),
    (
        "Key Vault Crypto Service Encryption User",
        &[
            "Microsoft.KeyVault/vaults/keys/read",
            "Microsoft.KeyVault/vaults/keys/wrap/action",
            "Microsoft.KeyVault/vaults/keys/unwrap/action",
        ],
    ),
    (
        "Key Vault Crypto User",
        &[
            "Microsoft.KeyVault/vaults/keys/read",
            "Microsoft.KeyVault/vaults/keys/update/action",
            "Microsoft.KeyVault/vaults/keys/backup/action",
            "Microsoft.KeyVault/vaults/keys/encrypt/action",
            "Microsoft.KeyVault/vaults/keys/decrypt/action",
            "Microsoft.KeyVault/vaults/keys/wrap/action",
            "Microsoft.KeyVault/vaults/keys/unwrap/action",
            "Microsoft.KeyVault/vaults/keys/sign/action",
            "Microsoft.KeyVault/vaults/keys/verify/action",
        ],
    ),
    (
        "Key Vault Crypto Officer",
        &["Microsoft.KeyVault/vaults/keys/*", "Microsoft.KeyVault/vaults/keyrotationpolicies/*"],
    ),
    ("Key Vault Administrator", &["Microsoft.KeyVault/vaults/*"]),
    ("Key Vault Reader", &["Microsoft.KeyVault/vaults/*/read"]),
];

fn by_role(stage: &Stage<'_>, text: &mut String) {
    let vault = stage.vault.vault(&stage.name).unwrap().unwrap();
    for (at, scope) in [
        ("the vault", vault.resource_id()),
        ("its key `live`", format!("{}/keys/live", vault.resource_id())),
        ("another vault", format!("{}x", vault.resource_id())),
    ] {
        for (role, actions) in ROLES {
            let roles = Assigned { scope: scope.clone(), actions };
            let mut allowed = Vec::new();
            for operation in operations() {
                match stage.try_as(&caller(USER), &roles, operation).as_str() {
                    "ok" => allowed.push(operation.as_str()),
                    "403 Forbidden/ForbiddenByRbac" => {}
                    other => panic!("{operation} as {role}: {other}"),
                }
            }
            let allowed = if allowed.is_empty() { "nothing".into() } else { allowed.join(" ") };
            writeln!(text, "{role} at {at}: {allowed}").unwrap();
        }
    }
}

/// What each operation is told, the answers in the order in which they first occur.
fn row(text: &mut String, what: &str, stage: &Stage<'_>, caller: &Caller) {
    writeln!(text, "\n{what}").unwrap();
    let mut answers: Vec<(String, Vec<&str>)> = Vec::new();
    for operation in operations() {
        let told = stage.try_as(caller, &lockyard_vault::NoRoles, operation);
        match answers.iter_mut().find(|(answer, _)| *answer == told) {
            Some((_, operations)) => operations.push(operation.as_str()),
            None => answers.push((told, vec![operation.as_str()])),
        }
    }
    for (answer, of) in &answers {
        let of = if answers.len() == 1 { "everything".to_owned() } else { of.join(" ") };
        writeln!(text, "    {answer}: {of}").unwrap();
    }
}

fn situations(stage: &Stage<'_>, world: &World, text: &mut String) {
    let vault = stage.vault;
    let change = |change: KeyChange| {
        admin(vault, &stage.name).update_key(&name("live"), Some(&stage.version), &change).unwrap();
    };
    let now = world.clock.wall();
    let hour = std::time::Duration::from_hours(1);
    row(text, "no grant", stage, &caller(guid(0x99)));
    let group = Caller { groups: vec![guid(4), USER], ..caller(guid(0x99)) };
    row(text, "granted to a group of the caller", stage, &group);
    let tenant = Caller { tenant: guid(0x78), ..caller(ADMIN) };
    row(text, "a token of another tenant", stage, &tenant);
    change(KeyChange { enabled: Some(false), ..KeyChange::default() });
    row(text, "the key is disabled", stage, &caller(ADMIN));
    change(KeyChange {
        enabled: Some(true),
        not_before: Some(now + hour),
        expires: Some(now + hour + hour),
        ..KeyChange::default()
    });
    row(text, "the key is not yet valid", stage, &caller(ADMIN));
    world.clock.advance(hour + hour);
    row(text, "the key has expired", stage, &caller(ADMIN));
    world.clock.advance(hour);
    change(KeyChange {
        expires: Some(now + hour * 1000),
        operations: Some([KeyOperation::Verify].into_iter().collect()),
        ..KeyChange::default()
    });
    row(text, "the key allows to verify only", stage, &caller(ADMIN));
    admin(vault, &stage.name).delete_key(&name("live")).unwrap();
    row(text, "the key is deleted", stage, &caller(ADMIN));
    row(text, "the key is deleted, and there is no grant", stage, &caller(guid(0x99)));
    let closed = VaultChange {
        network: Some(lockyard_vault::NetworkRules {
            allow_by_default: false,
            ..lockyard_vault::NetworkRules::default()
        }),
        ..VaultChange::default()
    };
    vault.patch_vault(&stage.name, closed).unwrap();
    row(text, "the firewall refuses the address", stage, &caller(ADMIN));
    row(text, "the firewall refuses, and there is no grant", stage, &caller(guid(0x99)));
    let service = Caller { source: Source::TrustedService, ..caller(guid(0x99)) };
    row(text, "a trusted service passes the firewall, and has no grant", stage, &service);
    vault.delete_vault(&stage.name).unwrap();
    row(text, "the vault is deleted", stage, &caller(ADMIN));
}

#[test]
fn who_may_do_what() {
    let world = World::new();
    let vault = world.open();
    let stage = Stage::new(&vault);
    let mut text = "# Operations and the access policy permissions that allow them\n".to_owned();
    by_policy(&stage, &mut text);
    stage.grant(&["get"]);
    text.push_str("\n# Roles and the operations that they allow\n");
    let roles = |choice| {
        let change = VaultChange { model: choice, ..VaultChange::default() };
        vault.patch_vault(&stage.name, change).unwrap();
    };
    roles(lockyard_vault::ModelChoice::Typed(true));
    by_role(&stage, &mut text);
    roles(lockyard_vault::ModelChoice::Typed(false));
    stage.grant(&["all"]);
    text.push_str("\n# Situations, for a caller with every permission unless said\n");
    situations(&stage, &world, &mut text);
    insta::assert_snapshot!(text);
}
