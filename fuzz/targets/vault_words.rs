//! Ranges of addresses, periods, names and page tokens of a vault: no text panics, what parses is
//! written so that it parses to itself, and a range holds what it begins with.
#![no_main]

use std::{fmt::Display, str::FromStr};

use libfuzzer_sys::fuzz_target;
use lockyard_keyring::{KeyName, KeyVersionName, VaultAddress, VersionedKeyId};
use lockyard_vault::{
    EncryptionAlgorithm, IpRange, KeyOperation, NetworkRules, PageToken, Period, PublicAccess,
    SignatureAlgorithm, Source,
};

fn stable<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let again = value.to_string().parse::<T>();
        assert!(again.is_ok_and(|again| again == value), "written differently than read");
    }
}

fuzz_target!(|text: &str| {
    stable::<IpRange>(text);
    stable::<Period>(text);
    stable::<KeyName>(text);
    stable::<KeyVersionName>(text);
    stable::<VaultAddress>(text);
    stable::<VersionedKeyId>(text);
    stable::<KeyOperation>(text);
    stable::<EncryptionAlgorithm>(text);
    stable::<SignatureAlgorithm>(text);
    drop(text.parse::<PageToken>());
    let Ok(range) = text.parse::<IpRange>() else { return };
    let written = range.to_string();
    let first = written.split('/').next().unwrap_or_default();
    let Ok(first) = first.parse() else { return };
    let mut rules = NetworkRules { allow_by_default: false, ..NetworkRules::default() };
    assert!(!rules.pass(PublicAccess::Enabled, Source::Address(first)));
    rules.ranges = vec![range];
    assert!(rules.pass(PublicAccess::Enabled, Source::Address(first)));
    assert!(!rules.pass(PublicAccess::Disabled, Source::Address(first)));
});
