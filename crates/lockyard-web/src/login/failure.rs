//! Refusals of the issuer on their way out: OAuth's envelope for programs, a page for people.

use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode, header};
use lockyard_access::issuer::{ErrorWord, OAuthError};
use lockyard_base::chain;
use serde_json::json;

use super::{House, json, page};
use crate::{limit::RETRY_AFTER_SECONDS, trace::Correlation};

/// A refusal on its way out.
#[derive(Debug)]
pub(crate) struct LoginFailure {
    status: StatusCode,
    word: &'static str,
    /// The number that clients of this protocol know; 0 for none.
    number: u32,
    text: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log.
    cause: Option<String>,
    /// Whether a person sees it.
    on_page: bool,
}

impl LoginFailure {
    /// What the issuer refused, for a program.
    pub(super) fn oauth(error: OAuthError) -> Self {
        match error {
            OAuthError::Refused { word, number, text } => {
                let (status, challenge) = match word {
                    // RFC 6749 section 5.2 asks for a challenge; the scheme is one that is taken.
                    ErrorWord::InvalidClient => {
                        (StatusCode::UNAUTHORIZED, Some("Basic realm=\"lockyard\""))
                    }
                    ErrorWord::TemporarilyUnavailable => (StatusCode::SERVICE_UNAVAILABLE, None),
                    ErrorWord::InvalidRequest
                    | ErrorWord::InvalidGrant
                    | ErrorWord::UnauthorizedClient
                    | ErrorWord::UnsupportedGrantType
                    | ErrorWord::UnsupportedResponseType
                    | ErrorWord::InvalidScope
                    | ErrorWord::AuthorizationPending
                    | ErrorWord::SlowDown
                    | ErrorWord::ExpiredToken
                    | ErrorWord::AuthorizationDeclined
                    | ErrorWord::AccessDenied
                    | ErrorWord::LoginRequired => (StatusCode::BAD_REQUEST, None),
                };
                let refused = Self::new(status, word.as_str(), number, text);
                match challenge {
                    Some(challenge) => refused.with(header::WWW_AUTHENTICATE, challenge),
                    None => refused,
                }
            }
            OAuthError::Busy(wait) => {
                let (text, wait) = (error.to_string(), wait.as_secs().max(1).to_string());
                Self::new(StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable", 90_055, text)
                    .with(header::RETRY_AFTER, &wait)
            }
            OAuthError::Records(_) | OAuthError::Signing | OAuthError::CutOff => {
                let text = "the issuer cannot answer now, try again";
                let mut failure = Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "temporarily_unavailable",
                    90_033,
                    text.to_owned(),
                );
                failure.cause = Some(chain(&error).to_string());
                failure.with(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
            }
        }
    }

    /// What the issuer refused, for a person.
    pub(super) fn page(error: OAuthError) -> Self {
        Self::oauth(error).on_page()
    }

    /// The same refusal, for a person.
    pub(super) fn on_page(mut self) -> Self {
        self.on_page = true;
        self.headers.retain(|(name, _)| *name != header::WWW_AUTHENTICATE);
        self
    }

    /// A request that is not understood.
    pub(super) fn request(text: &str) -> Self {
        Self::oauth(OAuthError::request(text))
    }

    /// A request that is too long.
    pub(super) fn too_long(text: String) -> Self {
        Self { status: StatusCode::PAYLOAD_TOO_LARGE, ..Self::request(&text) }
    }

    /// A page was sent that this browser was not given, or long ago.
    pub(super) fn stale() -> Self {
        let text = "this page is out of date; go back, load it again and send it once more";
        Self { status: StatusCode::FORBIDDEN, ..Self::request(text) }.on_page()
    }

    /// Nothing is there.
    pub(super) fn not_found() -> Self {
        let text = "there is nothing at this address of the token issuer".to_owned();
        Self::new(StatusCode::NOT_FOUND, "invalid_request", 900_144, text)
    }

    /// The endpoint does not answer this method.
    pub(super) fn method(allowed: &'static str) -> Self {
        let text = format!("this address answers {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", 900_561, text)
            .with(header::ALLOW, allowed)
    }

    fn new(status: StatusCode, word: &'static str, number: u32, text: String) -> Self {
        Self { status, word, number, text, headers: Vec::new(), cause: None, on_page: false }
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// The answer of a managed identities' endpoint: both forms' envelopes in one.
    pub(super) fn render_for_identity(self, correlation: &Correlation) -> Response {
        let Self { status, word, text, headers, cause, .. } = self;
        if let Some(cause) = cause {
            tracing::error!(%correlation, cause, "a request for an identity's token failed");
        }
        let body = json!({
            "error": word,
            "error_description": text,
            "statusCode": status.as_u16(),
            "message": text,
            "correlationId": correlation.to_string(),
        });
        let mut response = json(status, body.to_string());
        response.headers_mut().extend(headers);
        response
    }

    /// The answer.
    pub(super) fn render(self, house: House<'_>, correlation: &Correlation) -> Response {
        let Self { status, word, number, mut text, headers, cause, on_page } = self;
        if let Some(cause) = cause {
            tracing::error!(%correlation, cause, "a request to the issuer failed");
            text = format!("{text} (correlation id {correlation})");
        }
        let mut response = if on_page {
            page::refusal(house.entropy, status, number, &text)
        } else {
            let correlation = correlation.to_string();
            let body = json!({
                "error": word,
                "error_description": format!("AADSTS{number}: {text}"),
                "error_codes": [number],
                "trace_id": correlation,
                "correlation_id": correlation,
            });
            json(status, body.to_string())
        };
        response.headers_mut().extend(headers);
        response
    }
}
