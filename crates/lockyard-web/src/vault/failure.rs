//! What clients of a key vault see of an error: one match, one envelope.
//!
//! Codes and structure are those of BEHAVIOUR 2.5, which clients tell errors apart by; where the
//! text is free, the sentences are our own and name a cure.

use std::fmt;

use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use lockyard_arm::BodyError;
use lockyard_audit::AuditError;
use lockyard_base::chain;
use lockyard_vault::{ErrorCode, Refusal, VaultError};
use serde_json::json;

use super::json as answer;
use crate::{
    FixedHost, bearer::BearerError, faces::Faces, intake::IntakeError, limit::RETRY_AFTER_SECONDS,
    trace::Correlation,
};

/// An error on its way to a client of a key vault.
#[derive(Debug)]
pub(super) struct VaultFailure {
    status: StatusCode,
    code: &'static str,
    inner: Option<&'static str>,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log; `None` where the client's own mistake is told in the message.
    cause: Option<String>,
}

impl VaultFailure {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, code, inner: None, message, headers: Vec::new(), cause: None }
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.extend(HeaderValue::from_str(value).map(|value| (name, value)));
        self
    }

    /// Whether it is the caller's to mend.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn is_callers(&self) -> bool {
        self.status.is_client_error()
    }

    /// What was asked makes no sense.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadParameter", message)
    }

    /// There is nothing at the address.
    pub(super) fn nothing() -> Self {
        let message = "there is nothing at this address; this vault holds keys, at `/keys`";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// There is no such vault.
    pub(super) fn no_vault(name: &str) -> Self {
        let message = format!("there is no key vault `{name}` here");
        Self::new(StatusCode::NOT_FOUND, "ResourceNotFound", message)
    }

    /// The endpoint does not have the method.
    pub(super) fn method(allowed: &[Method]) -> Self {
        let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let allowed = allowed.join(", ");
        let message = format!("this address answers {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
            .with(header::ALLOW, &allowed)
    }

    /// The caller has not shown who they are; says where to sign in and for what.
    pub(super) fn unknown_caller(faces: &Faces, error: &BearerError) -> Self {
        let message = match error {
            // Word for word what clients know.
            BearerError::Missing => {
                "AKV10000: Request is missing a Bearer or PoP token.".to_owned()
            }
            BearerError::Refused(_) => error.to_string(),
        };
        let login = faces.names.origin(FixedHost::Login);
        let (tenant, suffix) = (faces.control.tenant(), faces.names.suffix("vault"));
        // SDKs refuse a resource that is not a parent of the vault's host, port included.
        let challenge =
            format!("Bearer authorization=\"{login}/{tenant}\", resource=\"https://{suffix}\"");
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message)
            .with(header::WWW_AUTHENTICATE, &challenge)
    }

    /// A use that could not be recorded did not happen.
    pub(super) fn unrecorded(error: &AuditError) -> Self {
        let message = "the operation was refused because it cannot be recorded in the audit \
                       trail; the operator finds the reason in the log";
        let mut failure = Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
            .with(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        failure.cause = Some(chain(error).to_string());
        failure
    }

    /// A fault of ours.
    pub(super) fn fault(cause: impl fmt::Display) -> Self {
        let message = "this could not be done, the operator finds the reason in the log";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let mut failure = Self::new(status, "InternalServerError", message);
        failure.cause = Some(cause.to_string());
        failure
    }

    /// The answer to a client.
    pub(super) fn render(self, correlation: &Correlation) -> Response {
        let mut message = self.message;
        if let Some(cause) = self.cause {
            tracing::error!(correlation = %correlation, cause, "a request failed");
            message = format!("{message} (correlation id {correlation})");
        }
        let mut error = json!({ "code": self.code, "message": message });
        if let Some(inner) = self.inner {
            error["innererror"] = json!({ "code": inner });
        }
        let mut response = answer(self.status, &json!({ "error": error }));
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<VaultError> for VaultFailure {
    fn from(error: VaultError) -> Self {
        let ErrorCode { status, code, inner } = error.code();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if status.is_server_error() {
            let mut failure = Self::fault(chain(&error));
            (failure.status, failure.code) = (status, code);
            return failure.with(header::RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        let message = sentence(&error);
        Self { status, code, inner, message, headers: Vec::new(), cause: None }
    }
}

impl From<BodyError> for VaultFailure {
    fn from(error: BodyError) -> Self {
        Self::bad(error.to_string())
    }
}

impl From<IntakeError> for VaultFailure {
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

/// The sentence that a client reads.
fn sentence(error: &VaultError) -> String {
    match error {
        VaultError::ForbiddenByPolicy(refusal) => {
            let Refusal { operation, vault, location, .. } = &**refusal;
            format!(
                "The user, group or application '{}' does not have keys {operation} permission on \
                 key vault '{vault};location={location}'; an access policy of the vault can give \
                 it, and counts at once",
                caller(refusal)
            )
        }
        VaultError::ForbiddenByRbac(refusal) => {
            let Refusal { operation, vault, location, resource, .. } = &**refusal;
            format!(
                "Caller is not authorized to perform action on resource; a new role counts at \
                 once.\r\nCaller: {}\r\nAction: '{}'\r\nResource: '{resource}'\r\nAssignment: \
                 (not found)\r\nDenyAssignmentId: null\r\nDecisionReason: null \r\nVault: \
                 {vault};location={location}\r\n",
                caller(refusal),
                operation.action()
            )
        }
        VaultError::ForbiddenByFirewall(refusal) => {
            let Refusal { vault, location, .. } = &**refusal;
            let address = refusal.address().map(|address| address.to_string());
            format!(
                "Client address is not authorized and caller is not a trusted service; the \
                 vault's network rules can let it in.\r\nClient address: {}\r\nCaller: {}\r\n\
                 Vault: {vault};location={location}",
                address.unwrap_or_default(),
                caller(refusal)
            )
        }
        VaultError::KeyNotFound(key) => not_found(&key.name),
        VaultError::DeletedKeyNotFound(key) => {
            format!("A deleted key with (name/id) {} is not in this key vault", key.name)
        }
        VaultError::VersionNotFound(id) => {
            not_found(format_args!("{}/{}", id.key.name, id.version))
        }
        VaultError::KeyDisabled(_, operation) => {
            format!("Operation {operation} is not allowed on a disabled key.")
        }
        VaultError::KeyNotYetValid(_, operation) => {
            format!("Operation {operation} is not allowed on a key that is not yet valid.")
        }
        VaultError::KeyExpired(_, operation) => {
            format!("Operation {operation} is not allowed on an expired key.")
        }
        VaultError::KeyDeleted(key) => format!(
            "Key {} is currently in a deleted but recoverable state, and its name cannot be \
             reused; recover it or purge it",
            key.name
        ),
        // The others say all that there is to say.
        error => error.to_string(),
    }
}

fn not_found(name: impl fmt::Display) -> String {
    format!(
        "A key with (name/id) {name} was not found in this key vault; if it was deleted, it may \
         be possible to recover it"
    )
}

/// Who was refused, in the order that clients look for.
fn caller(refusal: &Refusal) -> String {
    let caller = &refusal.caller;
    let application = caller.application.map(|id| id.to_string()).unwrap_or_default();
    let (object, tenant) = (caller.object, caller.tenant);
    let mut text =
        format!("appid={application};oid={object};iss=https://sts.windows.net/{tenant}/");
    if let Some(resource) = &caller.resource {
        text.push_str(";xms_mirid=");
        text.push_str(resource);
    }
    text
}
