//! The firewall, roles, and registries as callers like all others.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use lockyard_base::Guid;
use lockyard_keyring::{
    Denial, Identity, KeyName, KeyProvider as _, ProviderError, VaultAddress, VersionedKeyId,
};
use lockyard_vault::{
    Caller, DataPlane, EmbeddedProvider, IpRange, KeyChange, KeySettings, ModelChoice,
    NetworkRules, Operation, PolicyEdit, Principals, PublicAccess, Refusal, Roles,
    RolesUnavailable, RotationPolicy, Source, Vault, VaultChange, VaultError, authorize,
};
use proptest::prelude::*;

use crate::support::{
    ADMIN, REGISTRY, RSA, TENANT, World, admin, allow, caller, guid, key, make, policy,
    provider_of, refused, told,
};

#[test]
fn ranges_hold_what_they_say_in_both_families() {
    for (range, inside, outside) in [
        ("203.0.113.7", vec!["203.0.113.7", "::ffff:203.0.113.7"], vec!["203.0.113.8", "::1"]),
        ("203.0.113.0/24", vec!["203.0.113.0", "203.0.113.255"], vec!["203.0.114.0"]),
        ("0.0.0.0/0", vec!["1.2.3.4", "::ffff:1.2.3.4"], vec!["::1", "2001:db8::1"]),
        ("2001:db8::/32", vec!["2001:db8:1::7"], vec!["2001:db9::", "203.0.113.7"]),
        ("2001:db8::1", vec!["2001:db8::1"], vec!["2001:db8::2"]),
    ] {
        let range: IpRange = range.parse().unwrap();
        let holds = |address: &&str| range.holds(address.parse().unwrap());
        assert!(inside.iter().all(holds), "{range}");
        assert!(!outside.iter().any(holds), "{range}");
    }
    for text in
        ["", "x", "1.2.3", "1.2.3.4/33", "1.2.3.4/", "::/129", "1.2.3.4-5", "::ffff:1.2.3.0/120"]
    {
        assert!(text.parse::<IpRange>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_a_range_panic(text in "[0-9a-f.:/]{0,24}|.{0,24}", address in any::<u128>()) {
        if let Ok(range) = text.parse::<IpRange>() {
            range.holds(std::net::Ipv6Addr::from(address).into());
            prop_assert_eq!(range.to_string(), text);
        }
    }
}

#[test]
fn the_firewall_decides_by_rules_and_by_what_a_caller_is() {
    let inside = Source::Address("203.0.113.7".parse().unwrap());
    let outside = Source::Address("198.51.100.1".parse().unwrap());
    let rules = |allow_by_default, bypass_trusted_services| NetworkRules {
        allow_by_default,
        bypass_trusted_services,
        ranges: vec!["203.0.113.0/24".parse().unwrap()],
    };
    for (allow, bypass, public, expected) in [
        (true, true, PublicAccess::Enabled, [true, true, true]),
        (true, false, PublicAccess::Enabled, [true, true, true]),
        (false, true, PublicAccess::Enabled, [true, false, true]),
        (false, false, PublicAccess::Enabled, [true, false, false]),
        (true, true, PublicAccess::Disabled, [false, false, true]),
        (true, false, PublicAccess::Disabled, [false, false, false]),
        (true, true, PublicAccess::SecuredByPerimeter, [false, false, false]),
    ] {
        let rules = rules(allow, bypass);
        let passes =
            [inside, outside, Source::TrustedService].map(|source| rules.pass(public, source));
        assert_eq!(passes, expected, "{allow} {bypass} {public}");
    }
}

fn refusal(error: VaultError) -> Refusal {
    match error {
        VaultError::ForbiddenByPolicy(refusal)
        | VaultError::ForbiddenByRbac(refusal)
        | VaultError::ForbiddenByFirewall(refusal) => *refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refusal_names_all_that_an_error_body_needs() {
    let world = World::new();
    let vault = world.open();
    let name = make(&vault, "kvone", VaultChange::default());
    let properties = vault.vault(&name).unwrap().unwrap();
    let release = "release".parse().unwrap();
    let decide = |key| {
        authorize(&properties, &caller(guid(3)), Operation::WrapKey, key, &lockyard_vault::NoRoles)
            .expect_err("no grant")
    };
    let told = refusal(decide(Some(&release)));
    assert_eq!((told.caller.clone(), told.operation), (caller(guid(3)), Operation::WrapKey));
    assert_eq!((told.vault.as_str(), told.location.as_str()), ("kvone", "eastus"));
    assert_eq!(told.operation.action(), "Microsoft.KeyVault/vaults/keys/wrap/action");
    assert_eq!(told.resource, format!("{}/keys/release", properties.resource_id()));
    assert_eq!(told.address(), Some("203.0.113.7".parse().unwrap()));
    assert_eq!(refusal(decide(None)).resource, properties.resource_id());
}

/// A directory with one managed identity, whose role and existence can be switched.
#[derive(Debug, Default)]
struct Directory {
    assigned: AtomicBool,
    gone: AtomicBool,
    unreachable: AtomicBool,
}

impl Roles for Directory {
    fn allow(&self, caller: &Caller, action: &str, scope: &str) -> Result<bool, RolesUnavailable> {
        if self.unreachable.load(Ordering::Relaxed) {
            return Err(RolesUnavailable("the disk is slow".to_owned()));
        }
        let suits = action.ends_with("/read") || action.contains("wrap");
        let here = scope.ends_with("/vaults/kvone/keys/release");
        let who = *caller.object.as_bytes() == *REGISTRY.as_bytes();
        Ok(self.assigned.load(Ordering::Relaxed) && suits && here && who)
    }
}

impl Principals for Directory {
    fn managed_identity(&self, identity: &Identity) -> Result<Option<Caller>, RolesUnavailable> {
        let caller = Caller {
            tenant: TENANT,
            object: Guid::from_bytes(*identity.as_bytes()),
            application: Some(guid(0x11)),
            groups: Vec::new(),
            resource: None,
            source: Source::TrustedService,
        };
        Ok((!self.gone.load(Ordering::Relaxed)).then_some(caller))
    }
}

struct Scene {
    _world: World,
    vault: Arc<Vault>,
    directory: Arc<Directory>,
    provider: EmbeddedProvider,
    id: VersionedKeyId,
}

fn scene() -> Scene {
    let world = World::new();
    let vault = world.open();
    make(&vault, "kvone", VaultChange::default());
    let id = vault.ensure_key(&key("kvone", "release"), RSA, &KeySettings::default()).unwrap().id;
    let directory = Arc::new(Directory::default());
    let provider = EmbeddedProvider::new(Arc::clone(&vault), Arc::clone(&directory) as _);
    Scene { _world: world, vault, directory, provider, id }
}

impl Scene {
    async fn wraps(&self) -> Result<(), ProviderError> {
        let share = lockyard_keyring::CustomerShare::from_bytes(&[1; 32]);
        let wrapped = self.provider.wrap_key(&REGISTRY, &self.id, &share).await?;
        self.provider.versions(&REGISTRY, &self.id.key).await?;
        let share = self.provider.unwrap_key(&REGISTRY, &self.id, &wrapped).await?;
        assert_eq!(share.dangerous_expose(), &[1; 32]);
        Ok(())
    }

    async fn denied(&self, expected: Denial) {
        match refused(self.wraps().await) {
            ProviderError::Denied(denial, _) => assert_eq!(denial, expected),
            other => panic!("{other:?}"),
        }
    }

    async fn unreachable(&self, cure: &str) {
        match refused(self.wraps().await) {
            ProviderError::Unreachable(text) => assert!(text.contains(cure), "{text}"),
            other => panic!("{other:?}"),
        }
    }

    /// Runs a change and requires that the provider tells of it.
    fn told_of<T>(&self, change: impl FnOnce() -> Result<T, VaultError>) {
        let mut changes = self.provider.changes();
        changes.mark_unchanged();
        change().unwrap();
        assert!(changes.has_changed().unwrap(), "the keyring was not told");
    }
}

#[tokio::test]
async fn a_registry_comes_and_goes_with_its_policy() {
    let scene = scene();
    let name = scene.id.key.vault.clone();
    let object = Guid::from_bytes(*REGISTRY.as_bytes());
    let needs = || vec![policy(object, &["Get", "unwrapkey", "WRAPKEY"])];
    scene.denied(Denial::NotAuthorized).await;
    scene.told_of(|| scene.vault.edit_policies(&name, PolicyEdit::Add, needs()));
    scene.wraps().await.expect("granted");
    scene.told_of(|| scene.vault.edit_policies(&name, PolicyEdit::Remove, needs()));
    scene.denied(Denial::NotAuthorized).await;
}

#[tokio::test]
async fn a_registry_comes_and_goes_with_its_role() {
    let scene = scene();
    let name = scene.id.key.vault.clone();
    let roles = VaultChange { model: ModelChoice::Typed(true), ..VaultChange::default() };
    scene.told_of(|| scene.vault.patch_vault(&name, roles));
    scene.denied(Denial::NotAuthorized).await;
    scene.directory.assigned.store(true, Ordering::Relaxed);
    scene.told_of(|| {
        scene.vault.roles_changed();
        Ok(())
    });
    scene.wraps().await.expect("assigned");
    scene.directory.unreachable.store(true, Ordering::Relaxed);
    scene.unreachable("the disk is slow").await;
    scene.directory.unreachable.store(false, Ordering::Relaxed);
    scene.directory.gone.store(true, Ordering::Relaxed);
    scene.denied(Denial::IdentityGone).await;
}

#[tokio::test]
async fn a_firewall_makes_the_vault_unreachable_and_denies_nothing() {
    let scene = scene();
    let name = scene.id.key.vault.clone();
    allow(&scene.vault, &REGISTRY, &name);
    let closed = |bypass_trusted_services| VaultChange {
        network: Some(NetworkRules {
            allow_by_default: false,
            bypass_trusted_services,
            ranges: Vec::new(),
        }),
        ..VaultChange::default()
    };
    scene.told_of(|| scene.vault.patch_vault(&name, closed(true)));
    scene.wraps().await.expect("a registry is a trusted service");
    scene.told_of(|| scene.vault.patch_vault(&name, closed(false)));
    scene.unreachable("allow its address, or trusted services").await;
}

#[tokio::test]
async fn deletion_and_disabling_deny_and_recovery_heals() {
    let scene = scene();
    let name = scene.id.key.vault.clone();
    let object = Guid::from_bytes(*REGISTRY.as_bytes());
    let needs = vec![policy(object, &["get", "unwrapKey", "wrapKey"])];
    scene.vault.edit_policies(&name, PolicyEdit::Add, needs).unwrap();
    scene.wraps().await.expect("granted");
    let plane = admin(&scene.vault, &name);
    let release = &scene.id.key.name;
    scene.told_of(|| plane.delete_key(release));
    scene.denied(Denial::KeyNotFound).await;
    scene.told_of(|| plane.recover_key(release));
    scene.wraps().await.expect("recovered");
    scene.told_of(|| scene.vault.delete_vault(&name));
    scene.denied(Denial::VaultNotFound).await;
    scene.told_of(|| scene.vault.recover_vault(&name));
    scene.wraps().await.expect("policies come back with the vault");
    let off = KeyChange { enabled: Some(false), ..Default::default() };
    scene.told_of(|| plane.update_key(release, None, &off));
    scene.denied(Denial::KeyDisabled).await;
}

#[tokio::test]
async fn an_elliptic_curve_key_is_no_customer_key() {
    let world = World::new();
    let vault = world.open();
    make(&vault, "kvone", VaultChange::default());
    let operations = Some([lockyard_vault::KeyOperation::Sign].into_iter().collect());
    let settings = KeySettings { operations, ..KeySettings::default() };
    let id = vault.ensure_key(&key("kvone", "ec"), crate::support::QUICK, &settings).unwrap().id;
    allow(&vault, &REGISTRY, &id.key.vault);
    let provider = provider_of(&vault, TENANT);
    let versions = provider.versions(&REGISTRY, &id.key).await.unwrap();
    assert_eq!(versions[0].kind, lockyard_keyring::KeyKind::Other);
    let share = world.share();
    let error = refused(provider.wrap_key(&REGISTRY, &id, &share).await);
    assert!(matches!(error, ProviderError::Denied(Denial::KeyDisabled, _)), "{error:?}");
}

/// Roles whose answering changes the vault each time, as a busy administrator would.
#[derive(Debug)]
struct Busy(Arc<Vault>);

impl Roles for Busy {
    fn allow(&self, _: &Caller, _: &str, _: &str) -> Result<bool, RolesUnavailable> {
        Ok(self.0.patch_vault(&key("kvone", "x").vault, VaultChange::default()).is_ok())
    }
}

#[test]
fn a_decision_on_a_vault_that_changed_meanwhile_is_not_acted_on() {
    let world = World::new();
    let vault = world.open();
    let roles = VaultChange { model: ModelChoice::Typed(true), ..VaultChange::default() };
    let name = make(&vault, "kvone", roles);
    let busy = Busy(Arc::clone(&vault));
    let plane = vault.data_plane(&name, caller(ADMIN), &busy);
    let settings = KeySettings::default();
    let made = plane.create_key(&"release".parse().unwrap(), crate::support::QUICK, &settings);
    assert_eq!(told(made), "409 Conflict");
    assert!(vault.keys(&name).unwrap().is_empty());
}

type Verb = (&'static str, fn(&DataPlane<'_>) -> Result<(), VaultError>);

/// Changing verbs that succeed in the vault of [`two_keys`].
const CHANGES: [Verb; 7] = [
    ("create", |plane| {
        plane.create_key(&name("new"), crate::support::QUICK, &KeySettings::default()).map(drop)
    }),
    ("update", |plane| {
        let change = KeyChange { enabled: Some(false), ..KeyChange::default() };
        plane.update_key(&name("live"), None, &change).map(drop)
    }),
    ("rotate", |plane| plane.rotate_key(&name("live")).map(drop)),
    ("set policy", |plane| {
        plane.set_rotation_policy(&name("live"), &RotationPolicy::default()).map(drop)
    }),
    ("delete", |plane| plane.delete_key(&name("live")).map(drop)),
    ("recover", |plane| plane.recover_key(&name("gone")).map(drop)),
    ("purge", |plane| plane.purge_key(&name("gone"))),
];

fn name(key: &str) -> KeyName {
    key.parse().unwrap()
}

/// A vault in which roles decide, with a live and a deleted key.
fn two_keys(vault: &Vault) -> VaultAddress {
    let roles = VaultChange { model: ModelChoice::Typed(true), ..VaultChange::default() };
    let address = make(vault, "kvone", roles);
    let everything = Passing::all();
    let plane = vault.data_plane(&address, caller(ADMIN), &everything);
    for key in ["live", "gone"] {
        plane.create_key(&name(key), crate::support::QUICK, &KeySettings::default()).unwrap();
    }
    plane.delete_key(&name("gone")).unwrap();
    address
}

/// A directory in which a role lasts for so many answers and goes then: after the last yes, and
/// before anything is done upon it, unless who asks has the directory hold still.
#[derive(Debug)]
struct Passing {
    left: AtomicUsize,
    still: AtomicBool,
}

impl Passing {
    fn all() -> Self {
        Self::after(usize::MAX)
    }

    fn after(answers: usize) -> Self {
        Self { left: AtomicUsize::new(answers), still: AtomicBool::new(false) }
    }

    /// Whether somebody still has the role.
    fn is_there(&self) -> bool {
        self.left.load(Ordering::Relaxed) > 0
    }
}

impl Roles for Passing {
    fn allow(&self, _: &Caller, _: &str, _: &str) -> Result<bool, RolesUnavailable> {
        let there = self.is_there();
        if there && !self.still.load(Ordering::Relaxed) {
            self.left.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(there)
    }

    fn hold(&self, work: &mut dyn FnMut()) -> Result<(), RolesUnavailable> {
        self.still.store(true, Ordering::Relaxed);
        work();
        self.still.store(false, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn no_verb_changes_anything_on_a_role_that_is_gone_by_then() {
    for (verb, change) in CHANGES {
        // How many answers a verb takes is its own affair: the role goes after each of them.
        let mut refusals = 0;
        for answers in 0.. {
            let world = World::new();
            let vault = world.open();
            let address = two_keys(&vault);
            let (before, roles) = (*vault.changes().borrow(), Passing::after(answers));
            let done = change(&vault.data_plane(&address, caller(ADMIN), &roles));
            let changed = *vault.changes().borrow() != before;
            assert_eq!(done.is_ok(), changed, "{verb} after {answers}");
            assert_eq!(changed, roles.is_there(), "{verb} after {answers}");
            if changed {
                break;
            }
            assert_eq!(told(done), "403 Forbidden/ForbiddenByRbac", "{verb} after {answers}");
            refusals += 1;
        }
        assert!(refusals >= 2, "{verb} asks once before it has the roles hold still");
    }
}

/// Roles that say yes, and meanwhile policies come to decide, which give nobody anything.
#[derive(Debug)]
struct Switching(Arc<Vault>, VaultAddress, AtomicUsize);

impl Roles for Switching {
    fn allow(&self, _: &Caller, _: &str, _: &str) -> Result<bool, RolesUnavailable> {
        let change = VaultChange {
            model: ModelChoice::Typed(false),
            policies: Some(Vec::new()),
            may_switch_model: true,
            ..VaultChange::default()
        };
        self.2.fetch_add(1, Ordering::Relaxed);
        Ok(self.0.patch_vault(&self.1, change).is_ok())
    }
}

#[test]
fn no_verb_changes_anything_once_policies_took_the_right_away() {
    for (verb, change) in CHANGES {
        let world = World::new();
        let vault = world.open();
        let address = two_keys(&vault);
        let switching = Switching(Arc::clone(&vault), address.clone(), AtomicUsize::new(0));
        let before = *vault.changes().borrow();
        let refused = change(&vault.data_plane(&address, caller(ADMIN), &switching));
        assert_eq!(told(refused), "403 Forbidden/ForbiddenByPolicy", "{verb}");
        let switches = switching.2.load(Ordering::Relaxed) as u64;
        assert_eq!(*vault.changes().borrow(), before + switches, "{verb}: nothing else");
    }
}
