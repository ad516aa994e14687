//! `Authorization: Bearer`: who somebody is by a token of ours.

use http::{HeaderMap, header};
use lockyard_access::issuer::{Audience, Caller, Issuer, TokenError};
use thiserror::Error;

/// Nobody has shown who they are.
#[derive(Debug, Error)]
pub(crate) enum BearerError {
    /// There is no token.
    #[error("the request has no bearer token, sign in first")]
    Missing,
    /// The token is none to believe.
    #[error("{0}, sign in again")]
    Refused(TokenError),
}

impl BearerError {
    /// How requests without a usable token are counted.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "NoToken",
            Self::Refused(error) => match error {
                TokenError::Audience => "WrongAudience",
                TokenError::Expired | TokenError::NotYetValid => "ExpiredToken",
                TokenError::Revoked => "RevokedToken",
                TokenError::Tenant => "WrongTenant",
                TokenError::Invalid(_) | TokenError::Key | TokenError::Issuer => "InvalidToken",
            },
        }
    }
}

/// Finds out who asks, by a token for `audience`.
pub(crate) fn caller(
    headers: &HeaderMap,
    issuer: &Issuer,
    audience: Audience,
) -> Result<Caller, BearerError> {
    let token = token(headers).ok_or(BearerError::Missing)?;
    issuer.verify(token, audience).map_err(BearerError::Refused)
}

/// The token of the one `Authorization` header; several headers, or another scheme, are none.
fn token(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (first, None) = (all.next()?, all.next()) else { return None };
    let (scheme, token) = first.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn check(values: &[&str], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for value in values {
            let _more =
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        assert_eq!(token(&headers), expected, "{values:?}");
    }

    #[test]
    fn one_header_with_one_token_is_taken_and_nothing_else() {
        check(&["Bearer a.b.c"], Some("a.b.c"));
        check(&["bearer  a.b.c "], Some("a.b.c"));
        check(&[], None);
        check(&["Bearer"], None);
        check(&["Bearer "], None);
        check(&["Basic a.b.c"], None);
        check(&["a.b.c"], None);
        check(&["Bearer a", "Bearer b"], None);
    }
}
