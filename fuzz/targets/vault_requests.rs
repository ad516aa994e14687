//! Requests to a vault's data plane, as its HTTP face reads them: the method, a line with path and
//! query, and a body behind it. No request panics, none is answered as a fault of ours, and what is
//! made of one does not hang on how its JSON is spaced.
#![no_main]

use http::Method;
use libfuzzer_sys::fuzz_target;
use lockyard_web::read_vault_request as reads;

const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
/// Where bodies are read; most inputs would not find a path by themselves.
const TARGETS: [(Method, &str); 13] = [
    (Method::POST, "/keys/k/create?api-version=7.4"),
    (Method::PUT, "/keys/k?api-version=7.4"),
    (Method::PATCH, "/keys/k?api-version=7.4"),
    (Method::POST, "/keys/restore?api-version=7.4"),
    (Method::PUT, "/keys/k/rotationpolicy?api-version=7.4"),
    (Method::POST, "/rng?api-version=7.4"),
    (Method::POST, "/keys/k/v/encrypt?api-version=7.4"),
    (Method::POST, "/keys/k/v/decrypt?api-version=7.4"),
    (Method::POST, "/keys/k//wrapkey?api-version=7.4"),
    (Method::POST, "/keys/k/unwrapkey?api-version=7.4"),
    (Method::POST, "/keys/k/v/sign?api-version=7.4"),
    (Method::POST, "/keys/k/v/verify?api-version=7.4"),
    (Method::POST, "/keys/k/v/release?api-version=7.4"),
];

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let choice = usize::from(*choice);
    if let Some((method, target)) = TARGETS.get(choice) {
        let read = reads(method, target, rest);
        let mut spaced = b" \n".to_vec();
        spaced.extend_from_slice(rest);
        if !rest.is_empty() && !rest.starts_with(b"\xef\xbb\xbf") {
            assert_eq!(reads(method, target, &spaced), read);
        }
        return;
    }
    let Ok(rest) = str::from_utf8(rest) else { return };
    let (target, body) = rest.split_once('\n').unwrap_or((rest, ""));
    drop(reads(&METHODS[choice % METHODS.len()], target, body.as_bytes()));
});
