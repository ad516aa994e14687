//! What Graph's clients see of an error: one match, one envelope.
//!
//! az repeats for minutes what says "does not exist" or "does not reference", because directories
//! elsewhere take time to learn of new objects. Ours does not, so that our sentences are others.

use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use lockyard_access::directory::ChangeError;
use lockyard_arm::{BodyError, GraphError};
use lockyard_base::chain;
use lockyard_control::ObjectsError;

use super::answered;
use crate::{
    FixedHost, bearer::BearerError, faces::Faces, intake::IntakeError, trace::Correlation,
};

/// An error on its way to a client of Graph.
#[derive(Debug)]
pub(super) struct GraphFailure {
    status: StatusCode,
    error: GraphError,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log; `None` where the client's own mistake is told in the message.
    cause: Option<String>,
}

impl GraphFailure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let error = GraphError::new(code, message);
        Self { status, error, headers: Vec::new(), cause: None }
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
        self
    }

    /// What was asked makes no sense.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Request_BadRequest", message)
    }

    /// There is nothing at the address.
    pub(super) fn nothing() -> Self {
        let message = "there is nothing at this address; users, groups, service principals and \
                       applications are under `/v1.0/`";
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", message)
    }

    /// There is no such object.
    pub(super) fn missing(kind: &'static str, name: &str) -> Self {
        ObjectsError::Missing { kind, name: name.to_owned() }.into()
    }

    /// Only people have a `/me`.
    pub(super) fn not_a_person() -> Self {
        let message = "`/me` is for people, and an application asks; name the object instead";
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// The caller has not shown who they are; says where to sign in.
    pub(super) fn unknown_caller(faces: &Faces, error: &BearerError) -> Self {
        let login = faces.names.origin(FixedHost::Login);
        let tenant = faces.control.tenant();
        let challenge = format!("Bearer authorization_uri=\"{login}/{tenant}\"");
        Self::new(StatusCode::UNAUTHORIZED, "InvalidAuthenticationToken", error.to_string())
            .with(header::WWW_AUTHENTICATE, &challenge)
    }

    /// The endpoint does not have the method.
    pub(super) fn method(allowed: &[Method]) -> Self {
        let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let allowed = allowed.join(", ");
        let message = format!("this address answers {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Request_BadRequest", message)
            .with(header::ALLOW, &allowed)
    }

    /// The answer to a client.
    pub(super) fn render(self, correlation: &Correlation) -> Response {
        let mut error = self.error;
        if let Some(cause) = self.cause {
            tracing::error!(correlation = %correlation, cause, "a request failed");
            let message = format!("{} (correlation id {correlation})", error.message());
            error = GraphError::new(error.code().to_owned(), message);
        }
        let body = serde_json::to_value(error.envelope()).unwrap_or_default();
        let mut response = answered(self.status, &body);
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<IntakeError> for GraphFailure {
    fn from(error: IntakeError) -> Self {
        let text = error.to_string();
        match error {
            IntakeError::TooLarge(_) => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", text)
            }
            IntakeError::Cut | IntakeError::NotJson => Self::bad(text),
        }
    }
}

impl From<BodyError> for GraphFailure {
    fn from(error: BodyError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<ObjectsError> for GraphFailure {
    fn from(error: ObjectsError) -> Self {
        let text = error.to_string();
        let missing = |text| Self::new(StatusCode::NOT_FOUND, "Request_ResourceNotFound", text);
        match error {
            ObjectsError::Denied(_) => {
                Self::new(StatusCode::FORBIDDEN, "Authorization_RequestDenied", text)
            }
            ObjectsError::Missing { .. } | ObjectsError::Refused(ChangeError::Missing(_)) => {
                missing(text)
            }
            ObjectsError::Filter(_) => {
                Self::new(StatusCode::BAD_REQUEST, "Request_UnsupportedQuery", text)
            }
            ObjectsError::Refused(ChangeError::Exists(_)) => {
                let code = "Request_MultipleObjectsWithSameKeyValue";
                Self::new(StatusCode::CONFLICT, code, text)
            }
            ObjectsError::Refused(ChangeError::TooMany { .. }) => {
                Self::new(StatusCode::FORBIDDEN, "Directory_QuotaExceeded", text)
            }
            ObjectsError::Invalid(_) | ObjectsError::Refused(_) => Self::bad(text),
            ObjectsError::Overtaken => Self::new(StatusCode::CONFLICT, "Conflict", text),
            ObjectsError::Failed(source) => {
                let message = "this could not be done, the operator finds the reason in the log";
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                let mut failure = Self::new(status, "Service_InternalServerError", message);
                failure.cause = Some(format!("{text}: {}", chain(&source)));
                failure
            }
        }
    }
}
