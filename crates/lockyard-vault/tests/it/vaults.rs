//! Vaults as the control plane makes and changes them, and how their model is decided.

use std::time::Duration;

use lockyard_base::{Clock as _, Guid};
use lockyard_keyring::VaultAddress;
use lockyard_vault::{
    AccessPolicy, CreateMode, DecidedBy, Enablements, KeySettings, ModelChoice, NetworkRules,
    NewKey, NoRoles, PageRequest, PermissionModel, Permissions, Placement, PolicyEdit,
    PublicAccess, PutVault, RecoveryLevel, Sku, Tags, Vault, VaultChange, VaultProperties,
    VaultRequest,
};

use crate::support::{
    ADMIN, QUICK, TENANT, World, admin, caller, guid, key, make, place, policy, put, told,
};

const CREATOR: Guid = Guid::from_bytes([0xc0; 16]);
const OTHER: Guid = Guid::from_bytes([0x0b; 16]);

fn name() -> VaultAddress {
    "kvone".parse().unwrap()
}

fn shown(vault: &Vault) -> VaultProperties {
    vault.vault(&name()).unwrap().expect("it is there")
}

#[test]
fn a_new_vault_has_the_documented_defaults() {
    let world = World::new();
    let vault = world.open();
    let made = vault.put_vault(&name(), put(VaultChange::default())).unwrap();
    let PutVault::Created(made) = made else { panic!("{made:?}") };
    assert_eq!((made.retention_days, made.purge_protection), (90, false));
    assert_eq!((made.model, made.sku), (PermissionModel::Policies, Sku::Standard));
    assert_eq!(made.recovery_level(), RecoveryLevel::RecoverablePurgeable);
    assert_eq!(made.network, NetworkRules::default());
    assert_eq!(made.public_access, PublicAccess::Enabled);
    assert_eq!((made.created, made.updated), (world.clock.wall(), world.clock.wall()));
    assert_eq!(
        made.resource_id(),
        "/subscriptions/55555555-5555-5555-5555-555555555555/resourceGroups/rg1\
         /providers/Microsoft.KeyVault/vaults/kvone"
    );
    drop(vault);
    assert_eq!(shown(&world.open()), made, "after a restart as well");
}

#[test]
fn everything_that_is_stated_is_kept_and_what_is_not_is_left_alone() {
    let world = World::new();
    let vault = world.open();
    let tags = Tags::for_vault([("env".to_owned(), "prod".to_owned())].into()).unwrap();
    let everything = VaultChange {
        sku: Some(Sku::Premium),
        tags: Some(tags.clone()),
        policies: Some(vec![policy(ADMIN, &["Get", "WRAPKEY"])]),
        model: ModelChoice::Stated(true),
        soft_delete: Some(true),
        retention_days: Some(7),
        purge_protection: Some(true),
        network: Some(NetworkRules {
            bypass_trusted_services: false,
            allow_by_default: false,
            ranges: vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        }),
        public_access: Some(PublicAccess::Disabled),
        for_deployment: Some(true),
        for_disk_encryption: Some(true),
        for_template_deployment: Some(true),
        may_switch_model: true,
    };
    vault.put_vault(&name(), put(everything)).unwrap();
    let made = shown(&vault);
    assert_eq!(made.recovery_level(), RecoveryLevel::CustomizedRecoverable);
    assert_eq!(made.policies[0].permissions.keys, ["Get", "WRAPKEY"], "as they were written");
    assert_eq!(made.network.ranges[1].to_string(), "2001:db8::1");
    let all = Enablements {
        for_deployment: true,
        for_disk_encryption: true,
        for_template_deployment: true,
    };
    assert_eq!((made.sku, made.enablements), (Sku::Premium, all));
    world.clock.advance(Duration::from_secs(1));
    let patched = vault.patch_vault(&name(), VaultChange::default()).unwrap();
    assert_eq!(VaultProperties { updated: made.updated, ..patched }, made);
    let PutVault::Updated(put_again) =
        vault.put_vault(&name(), put(VaultChange::default())).unwrap()
    else {
        panic!("it was there");
    };
    assert!(put_again.tags.is_empty(), "a PUT replaces tags");
    assert_eq!(VaultProperties { updated: made.updated, tags, ..put_again }, made);
}

#[test]
fn what_cannot_be_undone_is_refused() {
    let world = World::new();
    let vault = world.open();
    let settings = || VaultChange {
        retention_days: Some(30),
        purge_protection: Some(true),
        ..VaultChange::default()
    };
    make(&vault, "kvone", settings());
    let refused = |change: VaultChange| {
        let patched = told(vault.patch_vault(&name(), change.clone()));
        assert_eq!(patched, told(vault.put_vault(&name(), put(change))));
        patched
    };
    let default = VaultChange::default;
    let bad = "400 BadRequest";
    assert_eq!(refused(VaultChange { soft_delete: Some(false), ..default() }), bad);
    assert_eq!(refused(VaultChange { purge_protection: Some(false), ..default() }), bad);
    assert_eq!(refused(VaultChange { retention_days: Some(90), ..default() }), bad);
    assert_eq!(refused(settings()), "ok", "saying it again changes nothing");
    for (days, expected) in [(6, bad), (7, "ok"), (90, "ok"), (91, bad), (-1, bad), (300, bad)] {
        let name = format!("kv{}", days + 500).parse().unwrap();
        let change = VaultChange { retention_days: Some(days), ..default() };
        assert_eq!(told(vault.put_vault(&name, put(change))), expected, "{days}");
    }
    let moved = Placement::new(TENANT, guid(0x55), "rg1", "westus").unwrap();
    let request = VaultRequest { place: moved, ..put(default()) };
    assert_eq!(told(vault.put_vault(&name(), request)), bad);
    let sold = Placement::new(guid(1), guid(0x55), "rg1", "eastus").unwrap();
    let request = VaultRequest { place: sold, ..put(default()) };
    assert_eq!(told(vault.put_vault(&name(), request)), bad);
    let group = Placement::new(TENANT, guid(0x55), "RG1", "East US").unwrap();
    let request = VaultRequest { place: group, ..put(default()) };
    assert_eq!(told(vault.put_vault(&name(), request)), "ok", "names of groups have no case");
    let other = Placement::new(TENANT, guid(0x55), "rg2", "eastus").unwrap();
    let request = VaultRequest { place: other, ..put(default()) };
    assert_eq!(told(vault.put_vault(&name(), request)), "409 VaultAlreadyExists");
}

#[test]
fn lists_and_words_have_limits() {
    let policies = |count: usize| {
        let object = |n: usize| Guid::from_bytes((n as u128).to_be_bytes());
        (0..count).map(|n| policy(object(n), &["get"])).collect::<Vec<_>>()
    };
    let world = World::new();
    let vault = world.open();
    make(&vault, "kvone", VaultChange::default());
    let patch = |change| told(vault.patch_vault(&name(), change));
    let with = |policies| VaultChange { policies: Some(policies), ..VaultChange::default() };
    assert_eq!(patch(with(policies(1024))), "ok");
    assert_eq!(patch(with(policies(1025))), "400 BadRequest");
    let more = vec![policy(ADMIN, &["get"])];
    let added = vault.edit_policies(&name(), PolicyEdit::Add, more);
    assert_eq!(told(added), "400 BadRequest", "1024 and another one");
    for word in ["", "gets", "get ", "wrap_key"] {
        assert_eq!(patch(with(vec![policy(ADMIN, &[word])])), "400 BadRequest", "{word}");
    }
    let foreign = AccessPolicy { tenant: guid(1), ..policy(ADMIN, &["get"]) };
    assert_eq!(patch(with(vec![foreign])), "400 BadRequest");
    let ranges = |count: usize| VaultChange {
        network: Some(NetworkRules {
            ranges: (0..count)
                .map(|n| format!("10.0.{}.{}", n / 250, n % 250).parse().unwrap())
                .collect(),
            ..NetworkRules::default()
        }),
        ..VaultChange::default()
    };
    assert_eq!(patch(ranges(1000)), "ok");
    assert_eq!(patch(ranges(1001)), "400 BadRequest");
    let tags = |count: usize, name: usize, value: usize| {
        (0..count).map(|n| (format!("{n:0name$}"), "v".repeat(value))).collect()
    };
    assert!(Tags::for_vault(tags(50, 512, 256)).is_ok());
    assert!(Tags::for_vault(tags(51, 3, 1)).is_err());
    assert!(Tags::for_key(tags(15, 256, 256)).is_ok());
    assert!(Tags::for_key(tags(16, 3, 1)).is_err());
    assert!(Tags::for_key(tags(1, 257, 1)).is_err());
    assert!(Tags::for_key(tags(1, 3, 257)).is_err());
    assert!(Tags::for_key([(String::new(), String::new())].into()).is_err());
    for (group, location) in [("", "eastus"), ("rg.", "eastus"), ("r/g", "eastus"), ("rg", "")] {
        assert!(Placement::new(TENANT, guid(1), group, location).is_err(), "{group} {location}");
    }
    assert!(Placement::new(TENANT, guid(1), &"g".repeat(90), "eastus").is_ok());
    assert!(Placement::new(TENANT, guid(1), &"g".repeat(91), "eastus").is_err());
}

#[test]
fn policies_are_added_replaced_and_removed_by_principal() {
    let world = World::new();
    let vault = world.open();
    make(&vault, "kvone", VaultChange::default());
    let edit = |edit, entries: Vec<AccessPolicy>| {
        let list = vault.edit_policies(&name(), edit, entries).unwrap().policies;
        list.into_iter().map(|policy| policy.permissions.keys.join(" ")).collect::<Vec<_>>()
    };
    let through =
        |keys: &[&str]| AccessPolicy { application: Some(guid(9)), ..policy(OTHER, keys) };
    let add = edit(PolicyEdit::Add, vec![policy(OTHER, &["get"]), policy(OTHER, &["GET", "list"])]);
    assert_eq!(add, ["all", "get list"]);
    assert_eq!(edit(PolicyEdit::Add, vec![through(&["sign"])]), ["all", "get list", "sign"]);
    let replaced = edit(PolicyEdit::Replace, vec![policy(OTHER, &["unwrapkey"])]);
    assert_eq!(replaced, ["all", "unwrapkey", "sign"]);
    assert_eq!(edit(PolicyEdit::Remove, vec![through(&["SIGN"])]), ["all", "unwrapkey"]);
    assert_eq!(edit(PolicyEdit::Remove, vec![policy(guid(3), &["get"])]), ["all", "unwrapkey"]);
    let put_whole = put(VaultChange { policies: Some(Vec::new()), ..VaultChange::default() });
    assert!(vault.put_vault(&name(), put_whole).unwrap().properties().policies.is_empty());
}

#[test]
fn a_policy_for_an_application_counts_through_that_application_only() {
    let world = World::new();
    let vault = world.open();
    let name = make(&vault, "kvone", VaultChange::default());
    let only = AccessPolicy { application: Some(guid(0xaa)), ..policy(OTHER, &["list"]) };
    vault.edit_policies(&name, PolicyEdit::Add, vec![only]).unwrap();
    let page = PageRequest::default();
    let lists = |application| {
        let caller = lockyard_vault::Caller { application, ..caller(OTHER) };
        told(vault.data_plane(&name, caller, &NoRoles).keys(&page))
    };
    assert_eq!(lists(Some(guid(0xaa))), "ok");
    assert_eq!(lists(Some(guid(0xab))), "403 Forbidden/ForbiddenByPolicy");
    assert_eq!(lists(None), "403 Forbidden/ForbiddenByPolicy");
}

fn undecided(vault: &Vault) -> VaultProperties {
    let change = VaultChange {
        policies: Some(Vec::new()),
        model: ModelChoice::Undecided { creator: CREATOR },
        ..VaultChange::default()
    };
    vault.put_vault(&name(), put(change)).unwrap().properties().clone()
}

/// Whether the creator can make a key.
fn creator_works(vault: &Vault) -> String {
    let plane = vault.data_plane(&name(), caller(CREATOR), &NoRoles);
    told(plane.create_key(&"key1".parse().unwrap(), QUICK, &KeySettings::default()))
}

#[test]
fn an_undecided_vault_gives_its_creator_a_policy_and_shows_policies() {
    let world = World::new();
    let vault = world.open();
    let made = undecided(&vault);
    assert_eq!((made.model, made.decision.by), (PermissionModel::Undecided, DecidedBy::Nobody));
    assert!(!made.shows_rbac(), "else az refuses to set a policy");
    assert_eq!(made.policies[0].object, CREATOR);
    assert_eq!(made.policies[0].permissions, Permissions::everything());
    assert_eq!(creator_works(&vault), "ok");
    // az sends everything back as it was read, in any order; that decides nothing.
    let same = || VaultChange {
        policies: Some(made.policies.clone()),
        model: ModelChoice::Stated(false),
        public_access: Some(PublicAccess::Enabled),
        ..VaultChange::default()
    };
    vault.put_vault(&name(), put(same())).unwrap();
    undecided(&vault);
    vault.role_assigned(&name()).unwrap();
    vault.role_assigned(&name()).unwrap();
}

#[test]
fn the_first_policy_decides_for_policies() {
    let world = World::new();
    let vault = world.open();
    let made = undecided(&vault);
    let mut policies = made.policies.clone();
    policies.push(policy(OTHER, &["get", "unwrapKey", "wrapKey"]));
    let change = VaultChange {
        policies: Some(policies),
        model: ModelChoice::Stated(false),
        ..VaultChange::default()
    };
    vault.put_vault(&name(), put(change)).unwrap();
    let decided = shown(&vault);
    assert_eq!(decided.model, PermissionModel::Policies);
    assert_eq!(decided.decision.by, DecidedBy::FirstPolicy);
    vault.role_assigned(&name()).unwrap();
    assert_eq!(shown(&vault).model, PermissionModel::Policies, "decided is decided");
    assert_eq!(creator_works(&vault), "ok");
}

#[test]
fn the_first_role_decides_for_roles_and_does_not_lock_the_creator_out() {
    let world = World::new();
    let vault = world.open();
    undecided(&vault);
    vault.role_assigned(&name()).unwrap();
    let decided = shown(&vault);
    assert_eq!(decided.model, PermissionModel::Roles);
    assert_eq!(decided.decision.by, DecidedBy::FirstRole);
    assert!(decided.shows_rbac());
    assert_eq!(creator_works(&vault), "ok");
    vault.edit_policies(&name(), PolicyEdit::Add, vec![policy(OTHER, &["all"])]).unwrap();
    let plane = vault.data_plane(&name(), caller(OTHER), &NoRoles);
    let other = told(plane.keys(&PageRequest::default()));
    assert_eq!(other, "403 Forbidden/ForbiddenByRbac", "policies of others do not count");
    let creator = vec![policy(CREATOR, &["all"])];
    vault.edit_policies(&name(), PolicyEdit::Remove, creator).unwrap();
    assert_eq!(told(vault.key(&key("kvone", "key1"), None)), "ok");
    let everything =
        AccessPolicy { permissions: Permissions::everything(), ..policy(CREATOR, &[]) };
    assert_eq!(creator_works(&vault), "403 Forbidden/ForbiddenByRbac", "its policy is gone");
    vault.edit_policies(&name(), PolicyEdit::Add, vec![everything]).unwrap();
    assert_eq!(creator_works(&vault), "ok");
    let typed = VaultChange { model: ModelChoice::Typed(true), ..VaultChange::default() };
    vault.patch_vault(&name(), typed).unwrap();
    assert_eq!(shown(&vault).decision.by, DecidedBy::Statement);
    assert_eq!(creator_works(&vault), "403 Forbidden/ForbiddenByRbac", "somebody decided");
}

#[test]
fn only_a_new_vault_without_policies_is_undecided() {
    let world = World::new();
    let vault = world.open();
    let choice = || VaultChange {
        model: ModelChoice::Undecided { creator: CREATOR },
        ..VaultChange::default()
    };
    let with = VaultChange { policies: Some(vec![policy(ADMIN, &["get"])]), ..choice() };
    let made = vault.put_vault(&"kvtwo".parse().unwrap(), put(with)).unwrap();
    assert_eq!(made.properties().model, PermissionModel::Policies);
    assert_eq!(made.properties().founder, None);
    make(&vault, "kvone", VaultChange { model: ModelChoice::Typed(true), ..choice() });
    vault.put_vault(&name(), put(choice())).unwrap();
    let kept = shown(&vault);
    assert_eq!((kept.model, kept.founder), (PermissionModel::Roles, None));
    assert_eq!(kept.policies.len(), 1, "and nobody got a policy");
}

#[test]
fn switching_the_model_takes_effect_at_once_and_keeps_policies() {
    let world = World::new();
    let vault = world.open();
    let name = make(&vault, "kvone", VaultChange::default());
    let lists = || told(admin(&vault, &name).keys(&PageRequest::default()));
    let switch = |rbac| {
        let change = VaultChange { model: ModelChoice::Stated(rbac), ..VaultChange::default() };
        vault.patch_vault(&name, change).unwrap();
    };
    assert_eq!(lists(), "ok");
    switch(true);
    assert_eq!(lists(), "403 Forbidden/ForbiddenByRbac");
    switch(false);
    assert_eq!(lists(), "ok");
}

#[test]
fn operators_vaults_get_a_place_once() {
    let world = World::new();
    let vault = world.open();
    vault.create_vault(&name()).unwrap();
    make(&vault, "kvtwo", VaultChange::default());
    assert!(shown(&vault).place.is_unplaced());
    assert_eq!(vault.place_vaults(&place()).unwrap(), [name()]);
    assert_eq!(shown(&vault).place, place());
    assert_eq!(vault.place_vaults(&place()).unwrap(), []);
}

#[test]
fn a_second_create_by_the_same_tool_changes_no_policy_and_decides_nothing() {
    let world = World::new();
    let vault = world.open();
    let made = undecided(&vault);
    let again = undecided(&vault);
    assert_eq!((again.model, &again.policies), (made.model, &made.policies));
}

#[test]
fn who_says_nothing_of_the_model_gets_the_default_of_the_version_for_a_new_vault_alone() {
    let world = World::new();
    let vault = world.open();
    let unsaid =
        |roles| VaultChange { model: ModelChoice::Unsaid { roles }, ..VaultChange::default() };
    for (name, roles) in [("kvtwo", true), ("kvthree", false)] {
        let name: VaultAddress = name.parse().unwrap();
        let made = vault.put_vault(&name, put(unsaid(roles))).unwrap();
        assert_eq!(made.properties().shows_rbac(), roles);
        let again = vault.put_vault(&name, put(unsaid(!roles))).unwrap();
        assert_eq!(again.properties().shows_rbac(), roles);
    }
}

#[test]
fn the_model_that_was_chosen_is_switched_only_by_whoever_may() {
    let world = World::new();
    let vault = world.open();
    let said =
        |model, may_switch_model| VaultChange { model, may_switch_model, ..VaultChange::default() };
    undecided(&vault);
    // Nobody chose yet: whoever may change the vault may choose.
    vault.patch_vault(&name(), said(ModelChoice::Typed(true), false)).unwrap();
    for model in [ModelChoice::Stated(false), ModelChoice::Typed(false)] {
        let refused = told(vault.patch_vault(&name(), said(model, false)));
        assert_eq!(refused, "403 InsufficientPermissions");
    }
    vault.patch_vault(&name(), said(ModelChoice::Stated(true), false)).unwrap();
    assert!(shown(&vault).shows_rbac());
    vault.patch_vault(&name(), said(ModelChoice::Stated(false), true)).unwrap();
    assert!(!shown(&vault).shows_rbac());
}

#[test]
fn recovering_a_vault_that_is_live_by_now_changes_nothing() {
    let world = World::new();
    let vault = world.open();
    let tags = Tags::for_vault([("a".to_owned(), "b".to_owned())].into()).unwrap();
    let name = make(&vault, "kvone", VaultChange { tags: Some(tags), ..VaultChange::default() });
    let before = shown(&vault);
    let request = VaultRequest { mode: CreateMode::Recover, ..put(VaultChange::default()) };
    vault.put_vault(&name, request).unwrap();
    assert_eq!(shown(&vault), before);
}

#[test]
fn a_prepared_key_is_made_once() {
    let world = World::new();
    let vault = world.open();
    make(&vault, "kvone", VaultChange::default());
    let id = key("kvone", "k");
    let new = NewKey { shape: QUICK, settings: KeySettings::default(), rotation: None };
    let [one, other] = [(); 2].map(|()| vault.prepared_key(&id, new.clone()).unwrap());
    let first = vault.ensure_prepared(&id, one).unwrap();
    let second = vault.ensure_prepared(&id, other).unwrap();
    assert_eq!((first.created, second.created), (true, false));
    assert_eq!(first.key, second.key);
    let listed = |after, limit| vault.key_resources(&name(), after, limit).unwrap();
    assert_eq!(listed(None, 2), std::slice::from_ref(&first.key));
    assert_eq!(listed(Some("j"), 1), std::slice::from_ref(&first.key));
    assert_eq!(listed(Some("k"), 1), []);
    assert_eq!(listed(None, 0), []);
    assert_eq!(vault.version_bundles(&id).unwrap(), [first.key.bundle]);
}
