//! Who is asking: Basic credentials (RFC 7617), and the question whether they are right.
//!
//! This only takes the header apart. Whether a secret is the owner's is decided by [`Credentials`],
//! in constant time; the secret is wiped as soon as it has been looked at.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use lockyard_registry::owner::Owner;
use thiserror::Error;
use zeroize::Zeroizing;

/// Knows the credentials that are accepted; implemented over the owner's record.
pub trait Credentials: Send + Sync + fmt::Debug {
    /// Whether `secret` is the secret of `client_id`, compared in constant time.
    fn verify(&self, client_id: &str, secret: &str) -> bool;
}

impl Credentials for Owner {
    fn verify(&self, client_id: &str, secret: &str) -> bool {
        Self::verify(self, client_id, secret)
    }
}

/// Credentials as a request carries them; the secret is wiped when dropped.
pub(crate) struct Basic {
    text: Zeroizing<String>,
    colon: usize,
}

/// A request carries no Basic credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum BasicError {
    /// There is no `Authorization` header.
    #[error("the request carries no credentials")]
    Missing,
    /// The header is of another scheme, or not what RFC 7617 says.
    #[error("the request's `Authorization` header is not Basic credentials")]
    Malformed,
}

impl Basic {
    /// Reads the `Authorization` header.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Result<Self, BasicError> {
        let value = headers.get(header::AUTHORIZATION).ok_or(BasicError::Missing)?;
        Self::parse(value.to_str().map_err(|_| BasicError::Malformed)?)
    }

    /// Reads `Basic <base64 of client id, colon, secret>`.
    pub(crate) fn parse(value: &str) -> Result<Self, BasicError> {
        let malformed = BasicError::Malformed;
        let (scheme, encoded) = value.split_once(' ').ok_or(malformed)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(malformed);
        }
        let bytes = Zeroizing::new(STANDARD.decode(encoded.trim()).map_err(|_| malformed)?);
        let text = Zeroizing::new(std::str::from_utf8(&bytes).map_err(|_| malformed)?.to_owned());
        let colon = text.find(':').ok_or(malformed)?;
        Ok(Self { text, colon })
    }

    /// Whether these are right.
    pub(crate) fn is_accepted_by(&self, credentials: &dyn Credentials) -> bool {
        let (client_id, secret) = self.text.split_at(self.colon);
        credentials.verify(client_id, secret.strip_prefix(':').unwrap_or(secret))
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

    #[derive(Debug)]
    struct Only(&'static str, &'static str);

    impl Credentials for Only {
        fn verify(&self, client_id: &str, secret: &str) -> bool {
            (client_id, secret) == (self.0, self.1)
        }
    }

    fn accepted(value: &str) -> Result<bool, BasicError> {
        Basic::parse(value).map(|basic| basic.is_accepted_by(&Only("me", "s:cret")))
    }

    #[test]
    fn a_secret_may_hold_colons() {
        assert_eq!(accepted("Basic bWU6czpjcmV0"), Ok(true));
        assert_eq!(accepted("bAsIc  bWU6czpjcmV0"), Ok(true));
        assert_eq!(accepted(&format!("Basic {}", STANDARD.encode("me:s"))), Ok(false));
        assert_eq!(accepted(&format!("Basic {}", STANDARD.encode("me:"))), Ok(false));
    }

    #[test]
    fn other_headers_are_not_basic_credentials() {
        for value in
            ["", "Basic", "Basic ", "Bearer bWU6czpjcmV0", "Basic !!!", "Basic bWU", "Basic /w=="]
        {
            assert_eq!(accepted(value), Err(BasicError::Malformed), "{value}");
        }
        assert!(matches!(Basic::from_headers(&HeaderMap::new()), Err(BasicError::Missing)));
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
