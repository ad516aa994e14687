//! The parameters of an OAuth request: a form, each name at most once.

use std::{collections::BTreeMap, fmt};

use zeroize::Zeroizing;

use super::OAuthError;

/// The longest form in bytes; assertions of foreign issuers are what makes one long.
pub const FORM_BYTES_MAX: usize = 64 << 10;
/// The most parameters of a form.
pub const PARAMETERS_MAX: usize = 64;

/// Parameters by name; wiped on drop and never shown.
pub struct Parameters(BTreeMap<String, Zeroizing<String>>);

impl Parameters {
    /// Reads a form or a query (`application/x-www-form-urlencoded`).
    ///
    /// A parameter without a value counts as absent, one that is there twice is refused (RFC 6749
    /// sections 3.1 and 3.2): two readers of the same request could believe different ones.
    pub fn parse(form: &[u8]) -> Result<Self, OAuthError> {
        if form.len() > FORM_BYTES_MAX {
            return Err(OAuthError::request(format!("a form has at most {FORM_BYTES_MAX} bytes")));
        }
        let mut parameters = BTreeMap::new();
        for (count, (name, value)) in form_urlencoded::parse(form).enumerate() {
            if count >= PARAMETERS_MAX {
                let text = format!("a request has at most {PARAMETERS_MAX} parameters");
                return Err(OAuthError::request(text));
            }
            let value = Zeroizing::new(value.into_owned());
            if parameters.insert(name.into_owned(), value).is_some() {
                return Err(OAuthError::request("the request has a parameter more than once"));
            }
        }
        parameters.retain(|_, value| !value.is_empty());
        Ok(Self(parameters))
    }

    /// The parameter's value, if it has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.as_str())
    }

    /// The parameter's value, or a refusal that names it.
    pub fn require(&self, name: &'static str) -> Result<&str, OAuthError> {
        self.get(name)
            .ok_or_else(|| OAuthError::request(format!("the request must have a `{name}`")))
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parameters({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_there_once_or_refused() {
        let read = Parameters::parse(b"a=1&b=&c=x+y%2F").unwrap();
        assert_eq!((read.get("a"), read.get("b"), read.get("c")), (Some("1"), None, Some("x y/")));
        assert!(read.require("b").is_err());
        for twice in ["a=1&a=1", "a=1&a=", "a=&a=1", "a&%61=2"] {
            assert!(Parameters::parse(twice.as_bytes()).is_err(), "{twice}");
        }
    }

    #[test]
    fn a_form_has_an_end() {
        let many = |n: usize| (0..n).map(|i| format!("p{i}=1")).collect::<Vec<_>>().join("&");
        assert!(Parameters::parse(many(PARAMETERS_MAX).as_bytes()).is_ok());
        assert!(Parameters::parse(many(PARAMETERS_MAX + 1).as_bytes()).is_err());
        let long = |n: usize| format!("a={}", "x".repeat(n - 2));
        assert!(Parameters::parse(long(FORM_BYTES_MAX).as_bytes()).is_ok());
        assert!(Parameters::parse(long(FORM_BYTES_MAX + 1).as_bytes()).is_err());
    }
}
