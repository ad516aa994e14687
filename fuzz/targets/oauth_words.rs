//! Forms, scopes and resources of OAuth requests: no bytes panic, and a scope that is taken names
//! exactly one of our audiences, whose own spelling is taken as well.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockyard_access::issuer::{Audience, FORM_BYTES_MAX, Origins, Parameters, Wanted};

fuzz_target!(|bytes: &[u8]| {
    let origins = Origins {
        login: "https://login.lock.test:8443".to_owned(),
        management: "https://management.lock.test:8443".to_owned(),
        graph: "https://graph.lock.test:8443".to_owned(),
        vault: "https://vault.lock.test:8443".to_owned(),
        domain: "lock.test".to_owned(),
    };
    if let Ok(parameters) = Parameters::parse(bytes) {
        assert!(bytes.len() <= FORM_BYTES_MAX);
        assert!(parameters.get("scope").is_none_or(|scope| !scope.is_empty()));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for wanted in [Wanted::of_scope(text, &origins), Wanted::of_resource(text, &origins)] {
        let Ok(wanted) = wanted else { continue };
        let own = wanted.audience.claim(&origins);
        assert!(Audience::of_resource(own, &origins) == Some(wanted.audience));
        let scope = format!("{own}/.default");
        assert!(
            Wanted::of_scope(&scope, &origins).is_ok_and(|own| own.audience == wanted.audience)
        );
    }
});
