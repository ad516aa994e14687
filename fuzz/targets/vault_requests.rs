//! Requests to a vault's data plane, as its HTTP face reads them: the method, a line with path and
//! query, and a body behind it. No request panics, none is answered as a fault of ours, and what is
//! made of one does not hang on how its JSON is spaced.
#![no_main]

use std::sync::Once;

use http::Method;
use libfuzzer_sys::fuzz_target;
use lockyard_web::read_vault_request as reads;

const METHODS: [Method; 5] =
    [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
/// Where bodies are read, with one that is good there; most inputs would not find a path by
/// themselves.
const REQUESTS: [(Method, &str, &str); 12] = [
    (Method::POST, "/keys/k/create?api-version=7.4", r#"{"kty":"RSA"}"#),
    (
        Method::PUT,
        "/keys/k?api-version=7.4",
        r#"{"key":{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}}"#,
    ),
    (Method::PATCH, "/keys/k?api-version=7.4", r#"{"attributes":{"enabled":false}}"#),
    (Method::POST, "/keys/restore?api-version=7.4", r#"{"value":"AA"}"#),
    (
        Method::PUT,
        "/keys/k/rotationpolicy?api-version=7.4",
        r#"{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P90D"},"action":{"type":"rotate"}}]}"#,
    ),
    (Method::POST, "/rng?api-version=7.4", r#"{"count":1}"#),
    (Method::POST, "/keys/k/encrypt?api-version=7.4", r#"{"alg":"RSA-OAEP","value":"AA"}"#),
    (Method::POST, "/keys/k/decrypt?api-version=7.4", r#"{"alg":"RSA1_5","value":"AA"}"#),
    (Method::POST, "/keys/k/wrapkey?api-version=7.4", r#"{"alg":"RSA-OAEP-256","value":"AA"}"#),
    (Method::POST, "/keys/k/unwrapkey?api-version=7.4", r#"{"alg":"RSA-OAEP-256","value":"AA"}"#),
    (Method::POST, "/keys/k/sign?api-version=7.4", r#"{"alg":"RS256","value":"AA"}"#),
    (
        Method::POST,
        "/keys/k/verify?api-version=7.4",
        r#"{"alg":"ES256","digest":"AA","value":"AA"}"#,
    ),
];

/// A request whose path is refused would leave its body unread, and nobody would notice.
static BODIES_ARE_READ: Once = Once::new();

fuzz_target!(|data: &[u8]| {
    BODIES_ARE_READ.call_once(|| {
        for (method, target, good) in &REQUESTS {
            assert!(reads(method, target, good.as_bytes()), "{target} is refused");
            assert!(!reads(method, target, b"[]"), "{target} reads no body");
        }
    });
    let Some((choice, rest)) = data.split_first() else { return };
    let choice = usize::from(*choice);
    if let Some((method, target, _)) = REQUESTS.get(choice) {
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
