//! A client's login by HTTP Basic, as OAuth has it: both halves are encoded like a form
//! (RFC 6749 section 2.3.1).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use lockyard_access::issuer::Basic;
use zeroize::Zeroizing;

use super::failure::LoginFailure;

/// Reads the login of a request, if it has one.
pub(super) fn basic(headers: &HeaderMap) -> Result<Option<Basic>, LoginFailure> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().ok().and_then(parse).map(Some).ok_or_else(malformed),
        (Some(_), Some(_)) => Err(malformed()),
    }
}

fn parse(value: &str) -> Option<Basic> {
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = Zeroizing::new(STANDARD.decode(encoded.trim()).ok()?);
    let (user, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some(Basic { user: decode(user)?.to_string(), password: decode(password)? })
}

/// Decodes one half.
fn decode(text: &str) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(text.replace('+', " "));
    let decoded = percent_encoding::percent_decode_str(&text).decode_utf8().ok()?;
    Some(Zeroizing::new(decoded.into_owned()))
}

fn malformed() -> LoginFailure {
    LoginFailure::request("the `Authorization` header is not one login by Basic")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, &str)>) {
        let read = parse(&format!("Basic {}", STANDARD.encode(text)));
        let read = read.as_ref().map(|basic| (basic.user.as_str(), basic.password.as_str()));
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn both_halves_are_encoded_like_a_form() {
        check("me:secret", Some(("me", "secret")));
        check("m%65:a%3Ab+c:d", Some(("me", "a:b c:d")));
        check("me", None);
        check("me:%ff", None);
        assert!(parse("Bearer bWU6c2VjcmV0").is_none());
        assert!(parse("Basic !").is_none());
    }
}
