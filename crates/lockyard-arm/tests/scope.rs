//! Scopes and resource ids at the crate's public seam.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
};

use lockyard_arm::{
    NAME_BYTES_MAX, RESOURCE_GROUP_BYTES_MAX, ResourceId, ResourceType, SCOPE_BYTES_MAX, STEPS_MAX,
    Scope, ScopeError, ScopeLevel,
};
use proptest::prelude::*;

const SUB: &str = "/subscriptions/11111111-2222-4333-8444-555555555555";

fn scope(text: &str) -> Scope {
    text.parse().expect(text)
}

fn check(text: &str, level: ScopeLevel, canonical: &str) {
    let scope = scope(text);
    assert_eq!(scope.level(), level, "{text}");
    assert_eq!(scope.to_string(), canonical, "{text}");
}

#[test]
fn every_spelling_is_published_in_one() {
    use ScopeLevel as Level;
    check("/", Level::Root, "/");
    check(&SUB.to_uppercase(), Level::Subscription, SUB);
    check(&format!("{SUB}/"), Level::Subscription, SUB);
    let group = format!("{SUB}/resourceGroups/My-RG");
    check(&format!("{SUB}/resourcegroups/My-RG"), Level::ResourceGroup, &group);
    check(
        &format!("{SUB}/RESOURCEGROUPS/My-RG/Providers/microsoft.keyvault/VAULTS/kv/KEYS/k"),
        Level::Resource,
        &format!("{group}/providers/Microsoft.KeyVault/vaults/kv/keys/k"),
    );
    check(
        "/providers/microsoft.management/managementgroups/top",
        Level::ManagementGroup,
        "/providers/Microsoft.Management/managementGroups/top",
    );
    check(
        "/providers/microsoft.authorization/roledefinitions/x",
        Level::Resource,
        "/providers/Microsoft.Authorization/roleDefinitions/x",
    );
    check("/providers/Other.Thing/Kinds/n", Level::Resource, "/providers/Other.Thing/Kinds/n");
}

#[test]
fn what_is_no_scope_is_refused_with_its_reason() {
    use ScopeError as E;
    for (text, error) in [
        ("", E::Shape),
        ("//", E::Shape),
        ("subscriptions/x", E::Shape),
        ("/subscriptions", E::Shape),
        ("/subscriptions/1234", E::Subscription),
        ("/subscriptions//resourceGroups/a", E::Subscription),
        (&format!("{SUB}/resourceGroups"), E::Shape),
        (&format!("{SUB}/resourceGroups/a."), E::ResourceGroup),
        (&format!("{SUB}/resourceGroups/a%2fb"), E::ResourceGroup),
        (&format!("{SUB}//"), E::Shape),
        (&format!("{SUB}/keys/a"), E::Shape),
        (&format!("{SUB}/providers/Microsoft.KeyVault"), E::Shape),
        (&format!("{SUB}/providers/Microsoft.KeyVault/vaults"), E::Shape),
        (&format!("{SUB}/providers/KeyVault/vaults/v"), E::Type),
        (&format!("{SUB}/providers/Microsoft./vaults/v"), E::Type),
        (&format!("{SUB}/providers/Microsoft.KeyVault/va-ults/v"), E::Type),
        (&format!("{SUB}/providers/Microsoft.KeyVault/vaults/v/keys"), E::Shape),
        (&format!("{SUB}/providers/Microsoft.KeyVault/vaults/v/providers/keys"), E::Shape),
        (&format!("{SUB}/providers/Microsoft.KeyVault/vaults/.."), E::Name),
        (&format!("{SUB}/providers/Microsoft.KeyVault/vaults/a b"), E::Name),
        (&format!("{SUB}/providers/Microsoft.KeyVault/vaults/\u{212a}"), E::Name),
    ] {
        assert_eq!(text.parse::<Scope>(), Err(error), "{text}");
    }
}

#[test]
fn every_limit_holds_at_its_edge() {
    let group = |length: usize| format!("{SUB}/resourceGroups/{}", "g".repeat(length));
    assert!(group(RESOURCE_GROUP_BYTES_MAX).parse::<Scope>().is_ok());
    let long = group(RESOURCE_GROUP_BYTES_MAX + 1).parse::<Scope>();
    assert_eq!(long, Err(ScopeError::ResourceGroup));

    let named = |length: usize| format!("{SUB}/providers/A.B/c/{}", "n".repeat(length));
    assert!(named(NAME_BYTES_MAX).parse::<Scope>().is_ok());
    assert_eq!(named(NAME_BYTES_MAX + 1).parse::<Scope>(), Err(ScopeError::Name));

    let deep = |steps: usize| format!("{SUB}/providers/A.B{}", "/c/n".repeat(steps));
    assert!(deep(STEPS_MAX).parse::<Scope>().is_ok());
    assert_eq!(deep(STEPS_MAX + 1).parse::<Scope>(), Err(ScopeError::TooDeep));
    let deepest = scope(&deep(STEPS_MAX));
    assert_eq!(deepest.child(None, "c", "n"), Err(ScopeError::TooDeep));

    let slashes = "/".repeat(SCOPE_BYTES_MAX + 1);
    assert_eq!(slashes.parse::<Scope>(), Err(ScopeError::TooLong));
    let mut wide = scope(&named(NAME_BYTES_MAX));
    while let Ok(wider) = wide.child(None, "c", &"n".repeat(NAME_BYTES_MAX)) {
        assert!(wider.to_string().len() <= SCOPE_BYTES_MAX);
        wide = wider;
    }
    assert!(wide.to_string().parse::<Scope>().is_ok());
}

#[test]
fn a_scope_that_only_begins_alike_is_not_inside() {
    let group = scope(&format!("{SUB}/resourceGroups/prod"));
    for outside in [
        format!("{SUB}/resourceGroups/production"),
        format!("{SUB}/resourceGroups/pro"),
        SUB.to_owned(),
        "/subscriptions/11111111-2222-4333-8444-555555555556/resourceGroups/prod".to_owned(),
        format!("{SUB}/providers/A.B/c/prod"),
    ] {
        assert!(!group.contains(&scope(&outside)), "{outside}");
    }
    let inside = format!("{SUB}/resourcegroups/PROD/providers/A.B/c/d");
    assert!(group.contains(&scope(&inside)));
    assert!(Scope::root().contains(&group));
    let named = scope("/providers/Microsoft.Management/managementGroups/g");
    assert!(!named.contains(&group), "which group a subscription is in is not in its id");
}

#[test]
fn a_resource_id_tells_its_parts() {
    let text = format!(
        "{SUB}/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv/keys/k\
         /providers/Microsoft.Authorization/roleAssignments/r"
    );
    let id: ResourceId = text.parse().expect("this is an id");
    assert_eq!(id.name(), "r");
    assert!(id.resource_type().is("microsoft.authorization/ROLEASSIGNMENTS"));
    let key: ResourceId =
        id.scope().parent().expect("it has a parent").try_into().expect("a key is a resource");
    assert_eq!(key.resource_type().to_string(), "Microsoft.KeyVault/vaults/keys");
    assert_eq!(key.resource_type(), "Microsoft.KeyVault/Vaults/Keys".parse().expect("a type"));
    assert_eq!(key.resource_group().map(ToString::to_string).as_deref(), Some("g"));
    assert_eq!(SUB.parse::<ResourceId>(), Err(ScopeError::Shape));
    for wrong in ["", "Microsoft.KeyVault", "KeyVault/vaults", "A.B/", "A.B/c/", "A.B/c d"] {
        assert!(wrong.parse::<ResourceType>().is_err(), "{wrong}");
    }
}

/// Scopes from few words, so that many of them are each other's ancestors.
fn scopes() -> impl Strategy<Value = String> {
    let step = prop_oneof!["/providers/(A\\.B|C\\.D)/[ef]/[a-cA-C]{1,2}", "/[gh]/[a-cA-C]{1,2}"];
    let base = prop_oneof![
        Just("/".to_owned()),
        Just("/providers/Microsoft.Management/managementGroups/g".to_owned()),
        Just(SUB.to_owned()),
        Just(SUB.replace("11111111", "11111112")),
        "[a-cA-C]{1,2}".prop_map(|name| format!("{SUB}/resourceGroups/{name}")),
    ];
    (base, prop::collection::vec(step, 0..4)).prop_map(|(base, steps)| {
        let steps = steps.concat();
        if base == "/" && !steps.is_empty() { steps } else { base + &steps }
    })
}

fn hash(scope: &Scope) -> u64 {
    let mut hasher = DefaultHasher::new();
    scope.hash(&mut hasher);
    hasher.finish()
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,80}") {
        if let Ok(scope) = text.parse::<Scope>() {
            prop_assert_eq!(scope.to_string().parse::<Scope>(), Ok(scope));
        }
    }

    #[test]
    fn a_scope_reads_back_from_its_text_in_any_case(text in scopes()) {
        if let Ok(scope) = text.parse::<Scope>() {
            for spelling in [scope.to_string(), text.to_uppercase(), text.to_lowercase()] {
                let read = spelling.parse::<Scope>().expect("case changes nothing");
                prop_assert_eq!(&read, &scope);
                prop_assert_eq!(hash(&read), hash(&scope));
                prop_assert!(read.contains(&scope) && scope.contains(&read));
            }
        }
    }

    #[test]
    fn containment_is_the_walk_to_the_root(outer in scopes(), inner in scopes()) {
        if let (Ok(outer), Ok(inner)) = (outer.parse::<Scope>(), inner.parse::<Scope>()) {
            let mut above = Some(inner.clone());
            let mut found = false;
            while let Some(scope) = above {
                found |= scope == outer;
                above = scope.parent();
            }
            prop_assert_eq!(outer.contains(&inner), found);
        }
    }

    #[test]
    fn containment_is_transitive_and_antisymmetric(a in scopes(), b in scopes(), c in scopes()) {
        if let (Ok(a), Ok(b), Ok(c)) = (a.parse::<Scope>(), b.parse::<Scope>(), c.parse::<Scope>()) {
            prop_assert!(!(a.contains(&b) && b.contains(&c)) || a.contains(&c));
            prop_assert!(!(a.contains(&b) && b.contains(&a)) || a == b);
        }
    }
}
