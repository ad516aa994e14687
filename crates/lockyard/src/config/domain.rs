//! The domain under which all of an instance's host names lie.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

/// A domain in lower case, such as `localhost` or `yard.example.org`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Domain(String);

/// The longest domain: a registry's label of 50, `.cr.` and this make at most 253 (RFC 1035).
const CHARS_MAX: usize = 190;
/// The longest label (RFC 1035).
const LABEL_CHARS_MAX: usize = 63;

/// A text that is no domain.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no domain: labels of letters, digits and hyphens, separated by dots, at most \
     {CHARS_MAX} characters, without a port"
)]
pub(crate) struct DomainError(String);

impl Domain {
    /// The domain's text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Domain {
    fn default() -> Self {
        Self("localhost".to_owned())
    }
}

impl FromStr for Domain {
    type Err = DomainError;

    fn from_str(text: &str) -> Result<Self, DomainError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| {
            (1..=LABEL_CHARS_MAX).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        // A last label of digits would make the name an address (RFC 1123, section 2.1).
        let numeric =
            name.rsplit('.').next().is_some_and(|l| l.bytes().all(|b| b.is_ascii_digit()));
        if name.len() > CHARS_MAX || numeric || !name.split('.').all(label) {
            return Err(DomainError(text.to_owned()));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Domain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_labels_and_dots() {
        for (text, domain) in
            [("localhost", "localhost"), ("Yard.Example.", "yard.example"), ("a-b.c1", "a-b.c1")]
        {
            assert_eq!(text.parse::<Domain>().expect("valid").as_str(), domain);
        }
        let long = "a.".repeat(95) + "bc";
        for text in ["", ".", "a..b", "-a", "a-", "a_b", "a:8443", "127.0.0.1", "ä", "a/b", &*long]
        {
            assert!(text.parse::<Domain>().is_err(), "{text}");
        }
        assert!(("a.".repeat(94) + "bc").parse::<Domain>().is_ok());
        assert!("a".repeat(63).parse::<Domain>().is_ok());
        assert!("a".repeat(64).parse::<Domain>().is_err());
    }
}
