//! `/oauth2/…` of a registry: where its clients get tokens, as Azure's registries hand them out.
//!
//! Refusals speak two languages in one body: `errors[]`, which registry clients show, and OAuth's
//! `error` with its description, which everything else looks for.

mod exchange;
mod form;
mod token;

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, Method, StatusCode, header};
use lockyard_access::registry_token::{Issued, ScopeError, TOKEN_BYTES_MAX};
use lockyard_oci::{ErrorBody, ErrorCode};
use lockyard_registry::{Caller, RegistryEntry};
use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    caller::{Login, LoginError},
    faces::{Door, Site},
    failure::OciFailure,
    trace::Correlation,
    witness::{Actor, REGISTRY_TOKEN_ISSUE, Witness, kind_of_login},
};

pub use form::{FORM_BYTES_MAX, FORM_FIELDS_MAX};

/// The endpoints under `/oauth2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Access tokens.
    Token,
    /// Refresh tokens for tokens of the issuer.
    Exchange,
}

impl Endpoint {
    /// The endpoint at a path, if there is one.
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path {
            "/oauth2/token" => Some(Self::Token),
            "/oauth2/exchange" => Some(Self::Exchange),
            _ => None,
        }
    }

    /// The path, for logs and metrics.
    pub(crate) const fn template(self) -> &'static str {
        match self {
            Self::Token => "/oauth2/token",
            Self::Exchange => "/oauth2/exchange",
        }
    }

    const fn methods(self) -> &'static [Method] {
        match self {
            Self::Token => &[Method::GET, Method::POST],
            Self::Exchange => &[Method::POST],
        }
    }
}

/// What both endpoints stand on: one registry.
struct Desk<'d> {
    door: &'d Door,
    registry: Arc<RegistryEntry>,
    /// The audience of this registry's tokens.
    login_server: String,
    witness: Witness,
    /// The registry, as the audit trail names it.
    resource: String,
}

impl Desk<'_> {
    /// Records that somebody is about to be given a token.
    async fn saw(&self, login: &Login, reason: &'static str) {
        if let Some(principal) = login.principal() {
            let actor = (&Actor::new(principal, None), &*self.door.faces.directory);
            let resource = Some(self.resource.clone());
            self.witness.saw(REGISTRY_TOKEN_ISSUE, actor, resource, reason).await;
        }
    }
}

/// Answers a request for a token.
pub(crate) async fn answer(
    door: &Door,
    site: &Site,
    endpoint: Endpoint,
    request: Request,
    correlation: &Correlation,
) -> Response {
    let answered = route(door, site, endpoint, request, correlation).await;
    let mut response = answered.unwrap_or_else(|refusal| refusal.render(correlation));
    let headers = response.headers_mut();
    // RFC 6749, section 5.1.
    let _none = headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn route(
    door: &Door,
    site: &Site,
    endpoint: Endpoint,
    request: Request,
    correlation: &Correlation,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    if !endpoint.methods().contains(&parts.method) {
        return Err(OciFailure::method(endpoint.methods()).into());
    }
    let found = door.faces.registries.find(&site.registry).await;
    let found = found.map_err(|error| OciFailure::of(error, site.subject(None)))?;
    let registry = found.ok_or_else(crate::faces::no_registry)?;
    let login_server = door.faces.names.registry_host(&site.registry);
    let of = (&parts.headers, &parts.extensions);
    let witness = door.witness(site, of, endpoint.template(), correlation);
    let desk = Desk { door, registry, login_server, witness, resource: site.resource() };
    match (endpoint, parts.method) {
        (Endpoint::Token, Method::GET) => {
            token::get(&desk, &parts.headers, parts.uri.query()).await
        }
        (Endpoint::Token, _) => token::post(&desk, &parts.headers, body).await,
        (Endpoint::Exchange, _) => exchange::post(&desk, &parts.headers, body).await,
    }
}

/// A token is not handed out.
#[derive(Debug)]
struct Refusal {
    /// The word of RFC 6749, section 5.2.
    error: &'static str,
    failure: Box<OciFailure>,
}

impl Refusal {
    fn new(error: &'static str, failure: OciFailure) -> Self {
        Self { error, failure: Box::new(failure) }
    }

    /// The request is not one.
    fn request(message: impl Into<String>) -> Self {
        let failure = OciFailure::bad(ErrorCode::Unsupported, message);
        Self::new("invalid_request", failure)
    }

    /// What was shown proves nothing.
    fn grant(message: impl Into<String>) -> Self {
        let status = StatusCode::UNAUTHORIZED;
        let failure = OciFailure::new(status, ErrorCode::Unauthorized, message);
        Self::new("invalid_grant", failure)
    }

    /// More than a form may hold.
    fn too_large() -> Self {
        let message = format!(
            "a form has at most {FORM_BYTES_MAX} bytes and {FORM_FIELDS_MAX} fields, a token at \
             most {TOKEN_BYTES_MAX} bytes"
        );
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        let failure = OciFailure::new(status, ErrorCode::SizeInvalid, message);
        Self::new("invalid_request", failure)
    }

    fn grant_type(known: &str) -> Self {
        let message = format!("the parameter `grant_type` is none of {known}");
        let failure = OciFailure::bad(ErrorCode::Unsupported, message);
        Self::new("unsupported_grant_type", failure)
    }

    fn login(desk: &Desk<'_>, error: LoginError) -> Self {
        desk.witness.refused(kind_of_login(&error));
        let challenge = crate::challenge::Challenge::Basic { realm: desk.login_server.clone() };
        let word = match &error {
            LoginError::Malformed => "invalid_request",
            LoginError::Proof(..)
            | LoginError::Token(_)
            | LoginError::Issuers(_)
            | LoginError::Ended(_) => "invalid_grant",
        };
        Self::new(word, error.into_failure(challenge))
    }

    fn render(self, correlation: &Correlation) -> Response {
        #[derive(Serialize)]
        struct Both<'b> {
            #[serde(flatten)]
            body: ErrorBody,
            error: &'b str,
            error_description: String,
        }
        let error = self.error;
        self.failure.render_as(correlation, |body| {
            let told = body.errors.first().map(|first| first.message.clone());
            let both = Both { body, error, error_description: told.unwrap_or_default() };
            serde_json::to_vec(&both).expect("texts are what JSON can hold")
        })
    }
}

impl From<OciFailure> for Refusal {
    fn from(failure: OciFailure) -> Self {
        Self::new("invalid_request", failure)
    }
}

impl From<ScopeError> for Refusal {
    fn from(error: ScopeError) -> Self {
        let failure = OciFailure::bad(ErrorCode::Unsupported, error.to_string());
        Self::new("invalid_scope", failure)
    }
}

/// Who may get a refresh token: somebody, and not on the strength of a narrower token.
fn holder(login: &Login) -> Option<lockyard_access::registry_token::Holder> {
    match &login.caller {
        Caller::Known(known) if known.limit.is_none() => Some(known.holder),
        Caller::Known(_) | Caller::Anonymous | Caller::Loopback => None,
    }
}

fn json(body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body).expect("texts and numbers are what JSON can hold");
    let mut response = Response::new(Body::from(body));
    let json = HeaderValue::from_static("application/json");
    let _none = response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// When a token was issued, as RFC 3339 has it.
fn issued_at(token: &Issued) -> String {
    let at = OffsetDateTime::from_unix_timestamp(token.at.as_secs());
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}
