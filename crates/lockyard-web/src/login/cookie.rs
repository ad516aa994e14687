//! Proof that a form comes from a page that this browser was given: the same random text in a
//! cookie and in the form.
//!
//! The cookie's name makes browsers hold it to this host, over TLS, so that no sibling host can
//! plant one; `SameSite` keeps other sites' forms from carrying it. A browser that tells where a
//! form comes from is believed as well.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header};
use lockyard_access::issuer::Parameters;
use lockyard_base::Entropy;
use subtle::ConstantTimeEq as _;

use super::failure::LoginFailure;

const NAME: &str = "__Host-lockyard-form";
/// The form's field.
pub(super) const FIELD: &str = "form_token";
/// 32 bytes in base64url.
const TOKEN_CHARS: usize = 43;

/// The token of a browser's forms.
pub(super) struct FormToken {
    pub(super) text: String,
    /// Whether the browser has it already.
    known: bool,
}

impl FormToken {
    /// The token that a request's browser has, or a new one.
    pub(super) fn of(headers: &HeaderMap, entropy: &dyn Entropy) -> Self {
        match cookie(headers) {
            Some(text) => Self { text: text.to_owned(), known: true },
            None => Self { text: URL_SAFE_NO_PAD.encode(entropy.bytes::<32>()), known: false },
        }
    }

    /// The header that gives the browser its token, if it has none.
    pub(super) fn set_cookie(&self) -> Option<HeaderValue> {
        let text = &self.text;
        let cookie = format!("{NAME}={text}; Path=/; Secure; HttpOnly; SameSite=Lax");
        HeaderValue::from_str(&cookie).ok().filter(|_| !self.known)
    }
}

/// Refuses a form that does not come from a page that this browser was given.
pub(super) fn check(
    headers: &HeaderMap,
    parameters: &Parameters,
    own_origin: &str,
) -> Result<(), LoginFailure> {
    let origin = headers.get(header::ORIGIN).map(HeaderValue::as_bytes);
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let foreign = origin.is_some_and(|origin| origin != own_origin.as_bytes())
        || site.is_some_and(|site| site != b"same-origin");
    let (cookie, field) = (cookie(headers), parameters.get(FIELD));
    let same = match (cookie, field) {
        (Some(cookie), Some(field)) => cookie.as_bytes().ct_eq(field.as_bytes()).into(),
        _ => false,
    };
    if same && !foreign { Ok(()) } else { Err(LoginFailure::stale()) }
}

/// The token that the browser sent; one that could not be ours counts as none.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let pairs = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = pairs.flat_map(|pairs| pairs.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == NAME).then_some(value)
    });
    let (first, second) = (found.next()?, found.next());
    let ours = first.len() == TOKEN_CHARS
        && first.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (ours && second.is_none()).then_some(first)
}
