//! What must hold of every decision, whatever the roles, groups and assignments are.

use lockyard_access::decision::{
    ASSIGNABLE_SCOPES_MAX, Action, ActionPattern, DESCRIPTION_BYTES_MAX, Decision, PATTERNS_MAX,
    PERMISSIONS_MAX, Permission, Plane, PrincipalId, ROLE_NAME_CHARS_MAX, RoleAssignment,
    RoleDefinition, RoleDefinitionError, RoleDefinitionId, built_in, decide, decide_delegation,
    known, role_id,
};
use lockyard_arm::Scope;
use lockyard_base::{Guid, Timestamp};
use proptest::prelude::*;

const SUBSCRIPTION: &str = "/subscriptions/11111111-2222-4333-8444-555555555555";

fn guid(number: u8) -> Guid {
    Guid::from_bytes([number; 16])
}

fn principal(number: u8) -> PrincipalId {
    PrincipalId::new(guid(number))
}

fn assignment(id: u8, who: u8, role: RoleDefinitionId, scope: &str) -> RoleAssignment {
    RoleAssignment {
        id: guid(id),
        principal: principal(who),
        role,
        scope: scope.parse().expect("a scope"),
        description: None,
        created: Timestamp::from_micros(0),
        created_by: None,
    }
}

fn patterns(texts: &[&str]) -> Vec<ActionPattern> {
    texts.iter().map(|text| ActionPattern::parse(text).expect("a pattern")).collect()
}

fn custom() -> RoleDefinition {
    RoleDefinition {
        id: RoleDefinitionId::new(guid(77)),
        name: "Picker".to_owned(),
        description: String::new(),
        custom: true,
        permissions: vec![Permission {
            actions: patterns(&["*/read"]),
            not_actions: patterns(&["Microsoft.KeyVault/*"]),
            data_actions: patterns(&["Microsoft.KeyVault/vaults/keys/*"]),
            not_data_actions: patterns(&["*/purge/action"]),
        }],
        assignable_scopes: vec![SUBSCRIPTION.parse().expect("a scope")],
        delegable: None,
    }
}

#[test]
fn a_not_action_takes_away_from_its_own_block_only() {
    let mut role = custom();
    assert!(role.grants(&known::REGISTRY_READ));
    assert!(!role.grants(&known::VAULT_READ));
    assert!(role.grants(&known::KEY_DELETE));
    assert!(!role.grants(&known::KEY_PURGE));
    let second = Permission {
        actions: patterns(&["Microsoft.KeyVault/vaults/read"]),
        ..Permission::default()
    };
    role.permissions.push(second);
    assert!(role.grants(&known::VAULT_READ));
    assert!(!role.grants(&known::DELETED_VAULTS_READ));
}

#[test]
fn managing_a_vault_is_no_way_to_its_keys() {
    let owner = built_in().iter().find(|role| role.id == role_id::OWNER).expect("it is built in");
    for action in known::ALL {
        assert_eq!(owner.grants(action), action.plane() == Plane::Control, "{action}");
    }
    // The same text is an action of both planes.
    assert!(owner.grants(&known::VAULT_KEY_READ) && !owner.grants(&known::KEY_READ));
}

#[test]
fn a_role_that_nobody_knows_grants_nothing() {
    let unknown = assignment(1, 1, RoleDefinitionId::new(guid(200)), "/");
    let roles = |id| built_in().iter().find(|role| role.id == id);
    let answer = decide(&[principal(1)], &known::REGISTRY_PULL, &Scope::root(), [&unknown], &roles);
    assert_eq!(answer, Decision::Deny);
}

#[test]
fn a_limited_administrator_cannot_make_owners() {
    let admin = assignment(1, 1, role_id::KEY_VAULT_DATA_ACCESS_ADMINISTRATOR, SUBSCRIPTION);
    let roles = |id| built_in().iter().find(|role| role.id == id);
    let at: Scope = SUBSCRIPTION.parse().expect("a scope");
    let may = |granted| {
        let write = known::ROLE_ASSIGNMENT_WRITE;
        decide_delegation(&[principal(1)], &write, granted, &at, [&admin], &roles).allows()
    };
    assert!(may(role_id::KEY_VAULT_CRYPTO_USER));
    for role in [role_id::OWNER, role_id::KEY_VAULT_CONTRIBUTOR, role_id::ACR_PULL] {
        assert!(!may(role), "{role}");
    }
    let unnamed = decide(&[principal(1)], &known::ROLE_ASSIGNMENT_WRITE, &at, [&admin], &roles);
    assert_eq!(unnamed, Decision::Deny);
    // Giving roles is all that may be asked this way.
    let other = decide_delegation(
        &[principal(1)],
        &known::VAULT_READ,
        role_id::ACR_PULL,
        &at,
        [&admin],
        &roles,
    );
    assert_eq!(other, Decision::Deny);
}

fn check_custom(
    change: impl FnOnce(&mut RoleDefinition),
    expected: Result<(), RoleDefinitionError>,
) {
    let mut role = custom();
    change(&mut role);
    assert_eq!(role.check_custom(), expected);
}

#[test]
fn a_custom_role_has_limits() {
    use RoleDefinitionError as E;
    check_custom(|_| {}, Ok(()));
    check_custom(|role| role.name = "ä".repeat(ROLE_NAME_CHARS_MAX), Ok(()));
    check_custom(|role| role.name = "a".repeat(ROLE_NAME_CHARS_MAX + 1), Err(E::Name));
    check_custom(|role| role.name.clear(), Err(E::Name));
    check_custom(|role| role.name = "a\nb".to_owned(), Err(E::Name));
    check_custom(|role| role.name = " a".to_owned(), Err(E::Name));
    check_custom(|role| role.name = "owner".to_owned(), Err(E::BuiltIn));
    check_custom(|role| role.id = role_id::OWNER, Err(E::BuiltIn));
    check_custom(|role| role.description = "a".repeat(DESCRIPTION_BYTES_MAX), Ok(()));
    check_custom(|r| r.description = "a".repeat(DESCRIPTION_BYTES_MAX + 1), Err(E::Description));
    let block = Permission { actions: patterns(&["*"]), ..Permission::default() };
    let blocks = |count| vec![block.clone(); count];
    check_custom(|role| role.permissions = blocks(PERMISSIONS_MAX), Ok(()));
    check_custom(|role| role.permissions = blocks(PERMISSIONS_MAX + 1), Err(E::TooMany));
    check_custom(|role| role.permissions.clear(), Err(E::Nothing));
    let many = |count| Permission { actions: patterns(&vec!["*"; count]), ..Permission::default() };
    check_custom(|role| role.permissions = vec![many(PATTERNS_MAX)], Ok(()));
    check_custom(|role| role.permissions = vec![many(PATTERNS_MAX + 1)], Err(E::TooMany));
    let scopes = |count| vec![SUBSCRIPTION.parse::<Scope>().expect("a scope"); count];
    check_custom(|role| role.assignable_scopes = scopes(ASSIGNABLE_SCOPES_MAX), Ok(()));
    check_custom(|role| role.assignable_scopes = scopes(ASSIGNABLE_SCOPES_MAX + 1), Err(E::Scopes));
    check_custom(|role| role.assignable_scopes.clear(), Err(E::Scopes));
    check_custom(|role| role.assignable_scopes = vec![Scope::root()], Err(E::Root));
}

#[test]
fn what_is_no_action_is_refused() {
    for text in ["", "a", "/a", "a/", "a//b", "a/*", "a b/c", "ä/b"] {
        assert!(Action::parse(Plane::Data, text).is_err(), "{text}");
    }
    let longest = format!("a/{}", "b".repeat(510));
    assert!(Action::parse(Plane::Data, &longest).is_ok());
    assert!(Action::parse(Plane::Data, &format!("{longest}b")).is_err());
}

/// Scopes of two subscriptions, many of them inside each other.
fn scopes() -> impl Strategy<Value = Scope> {
    let below = (0..4_usize, "[ab]", "[ab]", "[ab]").prop_map(|(depth, group, vault, key)| {
        let pieces = [
            format!("/resourceGroups/{group}"),
            format!("/providers/Microsoft.KeyVault/vaults/{vault}"),
            format!("/keys/{key}"),
        ];
        pieces[..depth].concat()
    });
    let root = Just(Scope::root());
    let placed = ("[12]", below).prop_map(|(digit, below)| {
        let subscription = SUBSCRIPTION.replace("11111111", &format!("1111111{digit}"));
        format!("{subscription}{below}").parse().expect("a scope")
    });
    prop_oneof![1 => root, 9 => placed]
}

fn roles() -> impl Strategy<Value = Vec<RoleDefinition>> {
    let pattern = || {
        prop_oneof![
            Just("*"),
            Just("*/read"),
            Just("Microsoft.KeyVault/*"),
            Just("Microsoft.ContainerRegistry/registries/*"),
            Just("Microsoft.Authorization/*/Write"),
        ]
    };
    let list = move || prop::collection::vec(pattern(), 0..3);
    let role = (list(), list(), list(), list()).prop_map(|(a, b, c, d)| {
        let mut role = custom();
        role.permissions = vec![Permission {
            actions: patterns(&a),
            not_actions: patterns(&b),
            data_actions: patterns(&c),
            not_data_actions: patterns(&d),
        }];
        role
    });
    prop::collection::vec(role, 2).prop_map(|custom| {
        let ids = [201, 202].map(|number| RoleDefinitionId::new(guid(number)));
        let custom = custom.into_iter().zip(ids).map(|(role, id)| RoleDefinition { id, ..role });
        built_in().iter().cloned().chain(custom).collect()
    })
}

/// A principal of three, a role of seventeen, a scope.
fn assignments() -> impl Strategy<Value = Vec<(u8, usize, Scope)>> {
    prop::collection::vec((0..3_u8, 0..17_usize, scopes()), 0..8)
}

fn made(parts: &[(u8, usize, Scope)], roles: &[RoleDefinition]) -> Vec<RoleAssignment> {
    let role = |place: usize| roles[place % roles.len()].id;
    let made = parts.iter().zip(1_u8..).map(|((who, place, scope), id)| RoleAssignment {
        scope: scope.clone(),
        ..assignment(id, *who, role(*place), "/")
    });
    made.collect()
}

proptest! {
    #[test]
    fn a_grant_never_takes_away(
        roles in roles(),
        parts in assignments(),
        more in assignments(),
        extra in 0..3_u8,
        action in 0..known::ALL.len(),
        on in scopes(),
    ) {
        let known_roles = |id| roles.iter().find(|role| role.id == id);
        let few = made(&parts, &roles);
        let many = made(&[more, parts].concat(), &roles);
        let action = &known::ALL[action];
        if decide(&[principal(0)], action, &on, &few, &known_roles).allows() {
            prop_assert!(decide(&[principal(0)], action, &on, &many, &known_roles).allows());
            // Neither does being in one group more.
            let groups = [principal(extra), principal(0)];
            prop_assert!(decide(&groups, action, &on, &few, &known_roles).allows());
            // What holds at a scope holds inside it.
            if let Ok(inside) = on.child(Some("Microsoft.KeyVault"), "vaults", "x") {
                prop_assert!(decide(&[principal(0)], action, &inside, &few, &known_roles).allows());
            }
        }
    }

    #[test]
    fn an_allowed_action_has_an_assignment_to_show_for_it(
        roles in roles(),
        parts in assignments(),
        action in 0..known::ALL.len(),
        on in scopes(),
    ) {
        let known_roles = |id| roles.iter().find(|role| role.id == id);
        let all = made(&parts, &roles);
        let action = &known::ALL[action];
        match decide(&[principal(0), principal(1)], action, &on, &all, &known_roles) {
            Decision::Allow { assignment } => {
                let shown = all.iter().find(|made| made.id == assignment).expect("it is one of them");
                prop_assert!([principal(0), principal(1)].contains(&shown.principal));
                prop_assert!(shown.scope.contains(&on));
                prop_assert!(known_roles(shown.role).is_some_and(|role| role.grants(action)));
                prop_assert!(
                    shown.scope == Scope::root()
                        || shown.scope.subscription() == on.subscription(),
                    "never across subscriptions"
                );
            }
            Decision::Deny => {
                let granting = all.iter().any(|made| {
                    made.principal != principal(2)
                        && made.scope.contains(&on)
                        && known_roles(made.role).is_some_and(|role| role.grants(action))
                });
                prop_assert!(!granting);
            }
        }
    }

    #[test]
    fn case_decides_nothing(
        parts in assignments(),
        action in 0..known::ALL.len(),
        on in scopes(),
    ) {
        let known_roles = |id| built_in().iter().find(|role| role.id == id);
        let all = made(&parts, built_in());
        let action = &known::ALL[action];
        let loud = Action::parse(action.plane(), &action.as_str().to_uppercase()).expect("an action");
        let loud_scope: Scope = on.to_string().to_uppercase().parse().expect("a scope");
        prop_assert_eq!(
            decide(&[principal(0)], action, &on, &all, &known_roles),
            decide(&[principal(0)], &loud, &loud_scope, &all, &known_roles)
        );
    }
}
