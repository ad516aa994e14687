//! How a registry asks for a login: the `WWW-Authenticate` header.
//!
//! Where to get a token is said in our own published name, never in what the request has in `Host`.
//! No blank follows a comma: `az` splits the header at blanks and reads the second word only.

use std::fmt;

/// What kind of login is asked for, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A name and a secret with each request; `realm` is for people to read.
    Basic {
        /// What the login is for.
        realm: String,
    },
    /// A token from the registry's token endpoint.
    Bearer {
        /// Our published host with its port.
        host: String,
        /// The scope to ask for.
        scope: Option<String>,
        /// What is wrong with the token that was sent (RFC 6750, section 3.1).
        error: Option<&'static str>,
    },
}

impl Challenge {
    /// A challenge by token.
    pub(crate) const fn bearer(host: String) -> Self {
        Self::Bearer { host, scope: None, error: None }
    }

    /// The same, with the scope to ask for.
    #[must_use]
    pub(crate) fn for_scope(mut self, wanted: Option<&str>) -> Self {
        if let Self::Bearer { scope, .. } = &mut self {
            *scope = wanted.map(ToOwned::to_owned);
        }
        self
    }

    /// The same, with what is wrong with the token that was sent.
    #[must_use]
    pub(crate) fn because(mut self, reason: &'static str) -> Self {
        if let Self::Bearer { error, .. } = &mut self {
            *error = Some(reason);
        }
        self
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { realm } => write!(f, "Basic realm=\"{realm}\""),
            Self::Bearer { host, scope, error } => {
                write!(f, "Bearer realm=\"https://{host}/oauth2/token\",service=\"{host}\"")?;
                if let Some(scope) = scope {
                    write!(f, ",scope=\"{scope}\"")?;
                }
                error.map_or(Ok(()), |error| write!(f, ",error=\"{error}\""))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_blank_follows_a_comma() {
        let host = "contoso.cr.yard.example:8443".to_owned();
        let plain = Challenge::bearer(host);
        let expected = "Bearer realm=\"https://contoso.cr.yard.example:8443/oauth2/token\",\
                        service=\"contoso.cr.yard.example:8443\"";
        assert_eq!(plain.to_string(), expected);
        let full = plain.for_scope(Some("repository:a:pull,push")).because("insufficient_scope");
        let more = ",scope=\"repository:a:pull,push\",error=\"insufficient_scope\"";
        assert_eq!(full.to_string(), format!("{expected}{more}"));
    }
}
