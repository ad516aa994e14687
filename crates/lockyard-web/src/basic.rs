//! Basic credentials (RFC 7617), taken apart.
//!
//! Whether they are right is the directory's to say; the secret is wiped as soon as it has been
//! looked at.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockyard_access::directory::Presented;
use thiserror::Error;
use zeroize::Zeroizing;

/// Credentials as a request carries them; the secret is wiped when dropped.
pub(crate) struct Basic {
    text: Zeroizing<String>,
    colon: usize,
}

/// A header is not Basic credentials, but another scheme or nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the request's `Authorization` header is not Basic credentials")]
pub(crate) struct BasicError;

impl Basic {
    /// A name and a secret that came in another way.
    pub(crate) fn new(name: &str, secret: &str) -> Self {
        Self { text: Zeroizing::new(format!("{name}:{secret}")), colon: name.len() }
    }

    /// Reads `Basic <base64 of name, colon, secret>`.
    pub(crate) fn parse(value: &str) -> Result<Self, BasicError> {
        let (scheme, encoded) = value.split_once(' ').ok_or(BasicError)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(BasicError);
        }
        let bytes = Zeroizing::new(STANDARD.decode(encoded.trim()).map_err(|_| BasicError)?);
        let text = Zeroizing::new(std::str::from_utf8(&bytes).map_err(|_| BasicError)?.to_owned());
        let colon = text.find(':').ok_or(BasicError)?;
        Ok(Self { text, colon })
    }

    /// Who it is said to be.
    pub(crate) fn name(&self) -> &str {
        self.text.split_at(self.colon).0
    }

    /// What is to prove it, as text: a token may go in its place.
    pub(crate) fn secret_text(&self) -> &str {
        let rest = self.text.split_at(self.colon).1;
        rest.strip_prefix(':').unwrap_or(rest)
    }

    /// What is to prove it.
    pub(crate) fn secret(&self) -> Presented {
        Presented::from(self.secret_text())
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Basic(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(value: &str) -> Option<(String, String)> {
        let basic = Basic::parse(value).ok()?;
        Some((basic.name().to_owned(), basic.secret_text().to_owned()))
    }

    #[test]
    fn a_secret_may_hold_colons_and_a_name_may_not() {
        let of = |name: &str, secret: &str| Some((name.to_owned(), secret.to_owned()));
        assert_eq!(parts("Basic bWU6czpjcmV0"), of("me", "s:cret"));
        assert_eq!(parts("bAsIc  bWU6czpjcmV0"), of("me", "s:cret"));
        assert_eq!(parts(&format!("Basic {}", STANDARD.encode("me:"))), of("me", ""));
        assert_eq!(parts(&format!("Basic {}", STANDARD.encode(":"))), of("", ""));
        let made = Basic::new("me", "s:cret");
        assert_eq!((made.name(), made.secret_text()), ("me", "s:cret"));
    }

    #[test]
    fn other_headers_are_not_basic_credentials() {
        for value in
            ["", "Basic", "Basic ", "Bearer bWU6czpjcmV0", "Basic !!!", "Basic bWU", "Basic /w=="]
        {
            assert_eq!(parts(value), None, "{value}");
        }
    }

    #[test]
    fn credentials_do_not_show_themselves() {
        let basic = Basic::parse("Basic bWU6czpjcmV0").unwrap();
        assert_eq!(format!("{basic:?}"), "Basic(…)");
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(text in any::<String>()) {
            let _parsed = Basic::parse(&text);
            let _parsed = Basic::parse(&format!("Basic {text}"));
            let _parsed = Basic::parse(&format!("Basic {}", STANDARD.encode(&text)));
        }
    }
}
