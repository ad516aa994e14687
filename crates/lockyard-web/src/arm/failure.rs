//! What Resource Manager's clients see of an error: one match, one envelope.

use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use lockyard_arm::ArmError;
use lockyard_base::chain;
use lockyard_control::{ControlError, PageError};

use super::{json, path::PathError};
use crate::{
    FixedHost, bearer::BearerError, faces::Faces, intake::IntakeError, limit::RETRY_AFTER_SECONDS,
    trace::Correlation,
};

/// An error on its way to a client of Resource Manager.
#[derive(Debug)]
pub(super) struct ArmFailure {
    status: StatusCode,
    error: Box<ArmError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log; `None` where the client's own mistake is told in the message.
    cause: Option<String>,
}

impl ArmFailure {
    fn new(status: StatusCode, error: ArmError) -> Self {
        Self { status, error: Box::new(error), headers: Vec::new(), cause: None }
    }

    fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ArmError::new(code, message))
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
        self
    }

    /// A fault of ours.
    fn fault(status: StatusCode, error: ArmError, cause: String) -> Self {
        let mut failure = Self::new(status, error).with(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        failure.cause = Some(cause);
        failure
    }

    /// The caller has not shown who they are; says where to sign in.
    pub(super) fn unknown_caller(faces: &Faces, error: &BearerError) -> Self {
        let (code, hint) = match error {
            BearerError::Missing => ("AuthenticationFailed", ""),
            BearerError::Refused(_) => ("InvalidAuthenticationToken", ", error=\"invalid_token\""),
        };
        let login = faces.names.origin(FixedHost::Login);
        let tenant = faces.control.tenant();
        let challenge = format!("Bearer authorization_uri=\"{login}/{tenant}\"{hint}");
        Self::new(StatusCode::UNAUTHORIZED, ArmError::new(code, error.to_string()))
            .with(header::WWW_AUTHENTICATE, &challenge)
    }

    /// The endpoint does not have the method.
    pub(super) fn method(allowed: &[Method]) -> Self {
        let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let allowed = allowed.join(", ");
        let error =
            ArmError::new("HttpMethodNotSupported", format!("this address answers {allowed}"));
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error).with(header::ALLOW, &allowed)
    }

    /// The call names no version.
    pub(super) fn no_version() -> Self {
        let message = "every call needs an `api-version` in its query, for instance `2024-11-01`";
        Self::bad("MissingApiVersionParameter", message)
    }

    /// The call names something that is no version.
    pub(super) fn version(message: &str) -> Self {
        Self::bad("InvalidApiVersionParameter", message)
    }

    /// The call narrows its list in a way that is not understood.
    pub(super) fn filter(message: &str) -> Self {
        Self::bad("InvalidFilter", message)
    }

    /// The answer to a client.
    pub(super) fn render(self, correlation: &Correlation) -> Response {
        let mut error = *self.error;
        if let Some(cause) = self.cause {
            tracing::error!(correlation = %correlation, cause, "a request failed");
            let message = format!("{} (correlation id {correlation})", error.message());
            error = ArmError::new(error.code().to_owned(), message);
        }
        let body = serde_json::to_value(error.envelope()).unwrap_or_default();
        let mut response = json(self.status, &body);
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<PathError> for ArmFailure {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Nothing => {
                let message = "there is nothing at this address; a resource's address is \
                               `/subscriptions/<id>/resourceGroups/<name>/providers/\
                               <namespace>/<type>/<name>`";
                Self::new(StatusCode::NOT_FOUND, ArmError::new("NotFound", message))
            }
            PathError::Malformed(error) => Self::bad("InvalidResourceId", error.to_string()),
        }
    }
}

impl From<PageError> for ArmFailure {
    fn from(error: PageError) -> Self {
        let code = match error {
            PageError::Top => "InvalidTop",
            PageError::Token => "InvalidSkipToken",
        };
        Self::bad(code, error.to_string())
    }
}

impl From<IntakeError> for ArmFailure {
    fn from(error: IntakeError) -> Self {
        let text = error.to_string();
        match error {
            IntakeError::TooLarge(_) => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                ArmError::new("RequestContentTooLarge", text),
            ),
            IntakeError::Cut | IntakeError::NotJson => Self::bad("InvalidRequestContent", text),
        }
    }
}

impl From<ControlError> for ArmFailure {
    fn from(error: ControlError) -> Self {
        let ((status, code), text) = (error.code(), error.to_string());
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = code.to_owned();
        match error {
            ControlError::Invalid(error)
            | ControlError::Forbidden(error)
            | ControlError::Missing(error)
            | ControlError::Conflict(error)
            | ControlError::Unsupported(error) => Self::new(status, error),
            ControlError::Denied { .. } => Self::new(status, ArmError::new(code, text)),
            // az repeats what is a 5xx; a conflict it tells its user, who asks again.
            ControlError::Overtaken => {
                Self::new(status, ArmError::new(code, text)).with(header::RETRY_AFTER, "1")
            }
            ControlError::Unrecorded(ref source) => {
                let cause = chain(source).to_string();
                Self::fault(status, ArmError::new(code, text), cause)
            }
            ControlError::Failed(source) => {
                let message = "this could not be done, the operator finds the reason in the log";
                let cause = format!("{text}: {}", chain(source.as_ref()));
                Self::fault(status, ArmError::new(code, message), cause)
            }
        }
    }
}
