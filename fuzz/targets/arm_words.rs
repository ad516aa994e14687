//! Scopes, resource ids, versions and filters: no text panics, what parses is written so that it
//! parses to itself, and case never decides what lies inside what.
#![no_main]

use std::{fmt::Display, str::FromStr};

use libfuzzer_sys::fuzz_target;
use lockyard_arm::{
    ApiVersion, AzCommand, ResourceId, ResourceType, SCOPE_BYTES_MAX, Scope, parse_filter,
};

fn stable<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>();
        assert!(again.is_ok_and(|again| again == value), "written differently than read");
    }
}

fuzz_target!(|text: &str| {
    stable::<Scope>(text);
    stable::<ResourceId>(text);
    stable::<ResourceType>(text);
    stable::<ApiVersion>(text);
    drop(parse_filter(text));
    if let Some(command) = AzCommand::read(Some("keyvault create"), Some(text)) {
        let whole = text.split_whitespace().any(|word| word == "--enable-rbac-authorization");
        let typed = command.typed("--enable-rbac-authorization");
        assert!(typed || !whole, "what was typed was not seen");
    }
    let Ok(scope) = text.parse::<Scope>() else { return };
    assert!(scope.to_string().len() <= SCOPE_BYTES_MAX);
    let loud: Scope = scope.to_string().to_ascii_uppercase().parse().expect("case changes nothing");
    assert!(loud == scope && loud.contains(&scope) && Scope::root().contains(&scope));
    let mut above = scope.parent();
    while let Some(outer) = above {
        assert!(outer.contains(&scope) && !scope.contains(&outer), "a parent lies outside");
        above = outer.parent();
    }
});
