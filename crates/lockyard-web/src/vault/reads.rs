//! Reading a request without a vault behind it, for fuzzing.

use http::Method;

use super::{failure::VaultFailure, path::Target, query::Query, told::Told, verb::Verb};
use crate::intake::IntakeError;

/// Whether the data plane would go on with this request of somebody who is known; a refusal has a
/// status below 500.
///
/// # Panics
///
/// If a refusal is a fault of ours.
pub fn reads(method: &Method, target: &str, body: &[u8]) -> bool {
    match read(method, target, body) {
        Ok(()) => true,
        Err(failure) => {
            assert!(failure.is_callers(), "a text was answered as a fault: {failure:?}");
            false
        }
    }
}

fn read(method: &Method, target: &str, body: &[u8]) -> Result<(), VaultFailure> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let target = Target::parse(path, method)?;
    let allowed = target.methods();
    if !allowed.contains(method) {
        return Err(VaultFailure::method(allowed));
    }
    let _query = Query::read(query)?;
    if [Method::GET, Method::DELETE].contains(method) {
        return Ok(());
    }
    if body.len() > target.body_bytes_max() {
        return Err(VaultFailure::from(IntakeError::TooLarge(target.body_bytes_max())));
    }
    Verb::read(target, method, &Told::parse(body)?).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{VAULT_BACKUP_BODY_BYTES_MAX, VAULT_BODY_BYTES_MAX};

    fn check(method: &Method, target: &str, body: &str, expected: bool) {
        assert_eq!(reads(method, target, body.as_bytes()), expected, "{method} {target} {body}");
    }

    #[test]
    fn what_clients_send_is_read_and_what_makes_no_sense_is_refused() {
        let version = "?api-version=7.4";
        let at = |path: &str| format!("{path}{version}");
        check(&Method::POST, &at("/keys/k/create"), r#"{"kty":"RSA","key_size":2048}"#, true);
        check(&Method::POST, &at("/keys/k/create"), r#"{"kty":"RSA","key_size":1024}"#, false);
        check(&Method::POST, "/keys/k/create", r#"{"kty":"RSA"}"#, false);
        let jwk = r#"{"key":{"kty":"EC","crv":"P-256","x":"AA","y":"AA","d":"AA"}}"#;
        check(&Method::PUT, &at("/keys/k"), jwk, true);
        check(&Method::PUT, &at("/keys/k"), &jwk.replace("P-256", "P-1"), false);
        check(&Method::PATCH, &at("/keys/k"), r#"{"attributes":{"exp":253402300799}}"#, true);
        check(&Method::PATCH, &at("/keys/k"), r#"{"attributes":{"exp":253402300800}}"#, false);
        check(&Method::POST, &at("/keys/k/sign"), r#"{"alg":"RS256","value":"AA"}"#, true);
        check(&Method::POST, &at("/keys/k/verify"), r#"{"alg":"RS256","value":"AA"}"#, false);
        check(&Method::POST, &at("/keys/k/unwrapkey"), r#"{"alg":"RSA1_5","value":"!"}"#, false);
        for path in ["/keys/k/rotate", "/keys/k/backup", "/deletedkeys/k/recover"] {
            check(&Method::POST, &at(path), "[]", true);
            check(&Method::POST, &at(path), "[", false);
        }
        check(&Method::GET, &at("/keys"), "", true);
        check(&Method::DELETE, &at("/keys"), "", false);
    }

    #[test]
    fn a_body_is_read_up_to_its_limit() {
        for (path, most) in [
            ("/keys/k/rotate", VAULT_BODY_BYTES_MAX),
            ("/keys/restore", VAULT_BACKUP_BODY_BYTES_MAX),
        ] {
            let target = format!("{path}?api-version=7.4");
            let empty = r#"{"value":"AA"}"#;
            let body = |len: usize| format!("{empty}{}", " ".repeat(len - empty.len()));
            check(&Method::POST, &target, &body(most), true);
            check(&Method::POST, &target, &body(most + 1), false);
        }
    }
}
