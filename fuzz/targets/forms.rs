//! Forms of OAuth requests: no bytes panic, limits hold, and no parameter is there twice or empty.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockyard_access::issuer::{FORM_BYTES_MAX, Parameters};

const NAMES: [&str; 6] = ["a", "grant_type", "client_id", "scope", "redirect_uri", "state"];

fuzz_target!(|bytes: &[u8]| {
    let parsed = Parameters::parse(bytes);
    assert!(bytes.len() <= FORM_BYTES_MAX || parsed.is_err(), "too long a form was read");
    let Ok(parameters) = parsed else { return };
    for name in NAMES {
        assert!(parameters.get(name).is_none_or(|value| !value.is_empty()), "an empty value");
        assert_eq!(parameters.require(name).ok(), parameters.get(name));
    }
    // The same name once more is refused, whatever else the form holds.
    if parameters.get("a").is_some() {
        let twice = [bytes, b"&a=1"].concat();
        assert!(Parameters::parse(&twice).is_err(), "a name was there twice");
    }
});
