//! Scopes of registry tokens, ids and filters of Resource Manager: no text panics, and what parses
//! is written so that it parses to itself and lies where it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockyard_access::registry_token::Access;
use lockyard_arm::{ApiVersion, FILTER_TERMS_MAX, ResourceId, ResourceType, Scope, parse_filter};

fuzz_target!(|text: &str| {
    let words: Vec<&str> = text.split('\n').collect();
    if let Ok(access) = Access::parse(words.iter().copied()) {
        assert_eq!(access.intersect(&access), access, "narrowed by itself");
        for (repository, verbs) in access.repositories() {
            assert!(!repository.is_empty() && !verbs.is_empty(), "nothing is asked for");
        }
    }
    if let Ok(filter) = parse_filter(text) {
        assert!(filter.len() <= FILTER_TERMS_MAX, "too many terms");
    }
    drop(text.parse::<ApiVersion>());
    drop(text.parse::<ResourceType>());
    let Ok(scope) = text.parse::<Scope>() else {
        assert!(text.parse::<ResourceId>().is_err(), "a resource that is nowhere");
        return;
    };
    let again = scope.to_string().parse::<Scope>();
    assert!(again.is_ok_and(|again| again == scope), "written differently than read");
    assert!(scope.contains(&scope) && Scope::root().contains(&scope), "it lies elsewhere");
    let mut place = scope.clone();
    while let Some(parent) = place.parent() {
        assert!(parent.contains(&scope) && !scope.contains(&parent), "its parent is no parent");
        place = parent;
    }
    if let Ok(resource) = text.parse::<ResourceId>() {
        assert_eq!(resource.scope(), &scope);
    }
});
