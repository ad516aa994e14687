//! The permission table: every action that our code asks about, every built-in role, every level.
//!
//! `permissions.txt` is what was agreed to, for people to read. A change of it is a change of what
//! somebody may do, and is reviewed as that.

use std::{fmt::Write as _, fs, path::Path};

use lockyard_access::decision::{
    Action, Decision, Plane, PrincipalId, RoleAssignment, RoleDefinition, built_in, decide,
    decide_delegation, known,
};
use lockyard_arm::Scope;
use lockyard_base::{Guid, Timestamp};

const SUBSCRIPTION: &str = "/subscriptions/11111111-2222-4333-8444-555555555555";

/// Where roles are assigned and actions asked for: each inside the one before.
fn levels() -> [(&'static str, Scope); 5] {
    let group = format!("{SUBSCRIPTION}/resourceGroups/g");
    let resource = format!("{group}/providers/Microsoft.KeyVault/vaults/v");
    let child = format!("{resource}/keys/k");
    let scope = |text: &str| text.parse().expect("the scopes of the table are scopes");
    [
        ("tenant", Scope::root()),
        ("subscription", scope(SUBSCRIPTION)),
        ("group", scope(&group)),
        ("resource", scope(&resource)),
        ("child", scope(&child)),
    ]
}

fn assignment(role: &RoleDefinition, scope: &Scope) -> RoleAssignment {
    RoleAssignment {
        id: Guid::from_bytes([9; 16]),
        principal: somebody(),
        role: role.id,
        scope: scope.clone(),
        description: None,
        created: Timestamp::from_micros(0),
        created_by: None,
    }
}

fn somebody() -> PrincipalId {
    PrincipalId::new(Guid::from_bytes([1; 16]))
}

fn allows(role: &RoleDefinition, at: &Scope, action: &Action, on: &Scope) -> bool {
    let assignment = assignment(role, at);
    let roles = |id| built_in().iter().find(|role| role.id == id);
    decide(&[somebody()], action, on, [&assignment], &roles).allows()
}

/// The letters of the levels at which the action is allowed, `TSGRC` if at all of them.
fn reach(role: &RoleDefinition, at: &Scope, action: &Action) -> String {
    let letter = |(name, on): &(&str, Scope)| {
        let letter = name.chars().next().map_or('?', |c| c.to_ascii_uppercase());
        if allows(role, at, action, on) { letter } else { '-' }
    };
    levels().iter().map(letter).collect()
}

fn table() -> String {
    let mut text = String::from(
        "What the built-in roles allow. Made by `cargo test -p lockyard-access`; do not edit.\n\n\
         Part 1: which role allows which action, where it is assigned and everywhere inside.\n\n",
    );
    let roles = built_in();
    let mut line = |line: String| writeln!(text, "{}", line.trim_end()).expect("memory");
    for (number, role) in roles.iter().enumerate() {
        line(format!("  {:>2}  {}  ({})", number + 1, role.name, role.id));
    }
    for (plane, title) in [(Plane::Control, "managing"), (Plane::Data, "data")] {
        let numbers: Vec<String> = (1..=roles.len()).map(|n| format!("{n:>4}")).collect();
        line(format!("\n{title:<72}{}", numbers.concat()));
        for action in known::ALL.iter().filter(|action| action.plane() == plane) {
            let cells: Vec<String> = roles
                .iter()
                .map(|role| if role.grants(action) { " yes" } else { "   ." }.to_owned())
                .collect();
            line(format!("{:<72}{}", action.as_str(), cells.concat()));
        }
    }
    line("\nPart 2: the roles that a role may give and take away.\n".to_owned());
    for role in roles {
        let delegable = roles.iter().filter(|granted| delegates(role, granted));
        let names: Vec<&str> = delegable.map(|granted| granted.name.as_str()).collect();
        let names = match names.len() {
            0 => "none".to_owned(),
            all if all == roles.len() => "every role".to_owned(),
            _ => names.join(", "),
        };
        line(format!("  {}: {names}", role.name));
    }
    line(
        "\nPart 3: where. Each column is the level at which the role is assigned; its letters are \
         the levels at\nwhich the action is then allowed: Tenant, Subscription, Group, Resource, \
         Child. Actions that a role\nallows nowhere are left out here; part 1 has them."
            .to_owned(),
    );
    for role in roles {
        line(format!("\n{}", role.name));
        let heads: Vec<String> = levels().iter().map(|(name, _)| format!("{name:>13}")).collect();
        line(format!("  {:<72}{}", "assigned at", heads.concat()));
        for action in known::ALL {
            let cells: Vec<String> =
                levels().iter().map(|(_, at)| reach(role, at, action)).collect();
            if cells.iter().any(|cell| cell != "-----") {
                let cells: Vec<String> = cells.iter().map(|cell| format!("{cell:>13}")).collect();
                line(format!("  {:<72}{}", action.as_str(), cells.concat()));
            }
        }
    }
    text
}

fn delegates(role: &RoleDefinition, granted: &RoleDefinition) -> bool {
    let (at, actions) =
        (Scope::root(), [known::ROLE_ASSIGNMENT_WRITE, known::ROLE_ASSIGNMENT_DELETE]);
    let assignment = assignment(role, &at);
    let roles = |id| built_in().iter().find(|role| role.id == id);
    let answers = actions.map(|action| {
        decide_delegation(&[somebody()], &action, granted.id, &at, [&assignment], &roles).allows()
    });
    assert_eq!(answers[0], answers[1], "who may give {} may take it away", granted.name);
    answers[0]
}

#[test]
fn the_built_in_roles_allow_what_was_agreed_to() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/permissions.txt");
    let agreed = fs::read_to_string(golden).unwrap_or_default();
    let found = table();
    if agreed != found {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("permissions.txt");
        fs::write(&path, &found).expect("the directory for tests can be written");
        let differs = found.lines().zip(agreed.lines()).find(|(found, agreed)| found != agreed);
        panic!("{differs:?}; if the change is meant, take over {}", path.display());
    }
}

#[test]
fn nothing_outside_the_scope_of_an_assignment_is_allowed() {
    let scope = |text: String| text.parse::<Scope>().expect("a scope");
    let other = SUBSCRIPTION.replace("11111111", "99999999");
    let vaults = "providers/Microsoft.KeyVault/vaults";
    for role in built_in() {
        for action in known::ALL {
            for (at, on) in [
                (SUBSCRIPTION.to_owned(), other.clone()),
                (SUBSCRIPTION.to_owned(), format!("{other}/resourceGroups/g")),
                (SUBSCRIPTION.to_owned(), "/".to_owned()),
                (
                    format!("{SUBSCRIPTION}/resourceGroups/g"),
                    format!("{SUBSCRIPTION}/resourceGroups/g2"),
                ),
                (format!("{SUBSCRIPTION}/resourceGroups/g"), format!("{other}/resourceGroups/g")),
                (
                    format!("{SUBSCRIPTION}/resourceGroups/g/{vaults}/a"),
                    format!("{SUBSCRIPTION}/resourceGroups/g/{vaults}/b"),
                ),
                (
                    format!("{SUBSCRIPTION}/resourceGroups/g/{vaults}/a/keys/k"),
                    format!("{SUBSCRIPTION}/resourceGroups/g/{vaults}/a/keys/k2"),
                ),
                (
                    format!("{SUBSCRIPTION}/resourceGroups/g/{vaults}/a/keys/k"),
                    format!("{SUBSCRIPTION}/resourceGroups/g/{vaults}/a"),
                ),
            ] {
                assert!(
                    !allows(role, &scope(at.clone()), action, &scope(on.clone())),
                    "{} at {at} allows {action} on {on}",
                    role.name
                );
            }
        }
    }
}

#[test]
fn nobody_may_do_anything_without_an_assignment() {
    let roles = |id| built_in().iter().find(|role| role.id == id);
    for action in known::ALL {
        for (_, on) in levels() {
            assert_eq!(decide(&[somebody()], action, &on, [], &roles), Decision::Deny);
        }
    }
}

#[test]
fn no_two_built_in_roles_share_an_id_or_a_name() {
    let roles = built_in();
    for (place, role) in roles.iter().enumerate() {
        assert!(
            roles
                .iter()
                .skip(place + 1)
                .all(|other| other.id != role.id && !other.name.eq_ignore_ascii_case(&role.name))
        );
        assert!(!role.custom && role.is_assignable_at(&Scope::root()));
    }
}
