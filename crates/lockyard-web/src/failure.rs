//! Errors as clients of the registry see them: the one place where they become HTTP.
//!
//! What a client did wrong is told in full, with what to do next. What went wrong on our side is a
//! fixed sentence with the correlation id, and the detail goes to the log, once, here.

use axum::{body::Body, response::Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use lockyard_base::chain;
use lockyard_keyring::{LockReason, LockedRegistry};
use lockyard_oci::{ErrorBody, ErrorCode, ManifestError, RegistryName, RepositoryName};
use lockyard_registry::{LoginNeeded, RegistryError, UploadTicket};
use serde_json::{Value, json};

use crate::{challenge::Challenge, limit::RETRY_AFTER_SECONDS, oci::upload, trace::Correlation};

/// An error on its way to a client of the registry.
#[derive(Debug)]
pub(crate) struct OciFailure {
    status: StatusCode,
    code: ErrorCode,
    message: String,
    detail: Option<Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// For the log; `None` where the client's own mistake is told in the message.
    cause: Option<String>,
}

/// What a client sees of everything that is our fault.
///
/// None of the fourteen codes says "our fault", and clients go by the status; `DENIED` at least is
/// never taken for an answer about the content.
const FAULT_CODE: ErrorCode = ErrorCode::Denied;

impl OciFailure {
    /// A failure that is told in full.
    pub(crate) fn new(status: StatusCode, code: ErrorCode, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, code, message, detail: None, headers: Vec::new(), cause: None }
    }

    /// A request that cannot be understood.
    pub(crate) fn bad(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// Something on our side; `cause` goes to the log, `message` to the client.
    fn fault(status: StatusCode, message: &str, cause: String) -> Self {
        Self { cause: Some(cause), ..Self::new(status, FAULT_CODE, message) }
    }

    /// Asks for a login.
    pub(crate) fn login_needed(challenge: &Challenge, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, message)
            .with(header::WWW_AUTHENTICATE, &challenge.to_string())
    }

    /// Refuses a method that the endpoint does not have.
    pub(crate) fn method(allowed: &[Method]) -> Self {
        let allowed: Vec<&str> = allowed.iter().map(Method::as_str).collect();
        let allowed = allowed.join(", ");
        let message = format!("this address answers {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, message)
            .with(header::ALLOW, &allowed)
    }

    /// Adds a header; a value that is none is left out, as none of ours can be.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    fn detailed(mut self, detail: Value) -> Self {
        self.detail = Some(detail);
        self
    }

    fn retry_after(self, seconds: &str) -> Self {
        self.with(header::RETRY_AFTER, seconds)
    }

    /// The answer to a client.
    pub(crate) fn render(self, correlation: &Correlation) -> Response {
        self.render_as(correlation, |body| body.to_json())
    }

    /// The answer to a client who speaks another language as well.
    pub(crate) fn render_as(
        self,
        correlation: &Correlation,
        write: impl FnOnce(ErrorBody) -> Vec<u8>,
    ) -> Response {
        let mut message = self.message;
        if let Some(cause) = self.cause {
            tracing::error!(correlation = %correlation, cause, "a request failed");
            message = format!("{message} (correlation id {correlation})");
        }
        let mut body = ErrorBody::new(self.code, message);
        if let Some(detail) = self.detail {
            body = body.with_detail(detail);
        }
        let mut response = Response::new(Body::from(write(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.extend(self.headers);
        let json = HeaderValue::from_static("application/json");
        let _none = headers.insert(header::CONTENT_TYPE, json);
        response
    }
}

/// What the error happened to, as far as its answer names it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'s> {
    pub(crate) registry: &'s RegistryName,
    /// How a login is asked for.
    pub(crate) challenge: &'s Challenge,
    pub(crate) repository: Option<&'s RepositoryName>,
}

impl OciFailure {
    /// The one match from what the registry says to what its clients see.
    pub(crate) fn of(error: RegistryError, subject: Subject<'_>) -> Self {
        use ErrorCode as Code;
        let text = error.to_string();
        match error {
            RegistryError::Unauthorized(needed) => Self::unauthorized(needed, subject.challenge),
            RegistryError::Denied(_) => Self::new(StatusCode::FORBIDDEN, Code::Denied, text),
            RegistryError::Locked(locked) => Self::locked(subject.registry, locked),
            RegistryError::LockedMeanwhile => Self::locked_meanwhile(subject.registry),
            RegistryError::RegistryExists | RegistryError::ServiceManaged => conflict(text),
            RegistryError::NameUnknown => not_found(Code::NameUnknown, text),
            RegistryError::BlobUnknown => not_found(Code::BlobUnknown, text),
            RegistryError::ManifestUnknown => not_found(Code::ManifestUnknown, text),
            RegistryError::UploadUnknown => not_found(
                Code::BlobUploadUnknown,
                format!(
                    "{text}: it was finished, cancelled or left alone too long; start a new one"
                ),
            ),
            RegistryError::DigestMismatch { actual, .. } => Self::bad(Code::DigestInvalid, text)
                .detailed(json!({ "actual": actual.to_string() })),
            RegistryError::ManifestInvalid(error) => Self::manifest(&error),
            RegistryError::ManifestBlobUnknown(missing) => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                not_found(Code::ManifestBlobUnknown, format!("{text}, push them first"))
                    .detailed(json!({ "missing": missing }))
            }
            RegistryError::BlobInUse => {
                let message = format!("{text}, delete the manifest first");
                Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Denied, message)
                    .with(header::ALLOW, "GET, HEAD")
            }
            RegistryError::RangeUnsatisfiable(range) => {
                Self::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::SizeInvalid, text)
                    .with(header::CONTENT_RANGE, &range.content_range())
            }
            RegistryError::UploadRange { ticket, offset } => {
                Self::upload_range(&text, &ticket, offset, subject)
            }
            RegistryError::LengthMismatch => Self::bad(Code::SizeInvalid, text),
            RegistryError::BlobTooLarge { .. } => too_large(text),
            RegistryError::TooManyParts { .. } => {
                too_large(format!("{text}, send the blob in fewer requests"))
            }
            RegistryError::TooManyUploads { .. } => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                Code::TooManyRequests,
                format!("{text}, finish or cancel some"),
            )
            .retry_after(RETRY_AFTER_SECONDS),
            RegistryError::TooManyTags { .. } => Self::bad(Code::ManifestInvalid, text),
            RegistryError::BodyCut => Self::bad(Code::BlobUploadInvalid, text),
            RegistryError::PageMarker => Self::bad(Code::Unsupported, text),
            RegistryError::Full => Self::full(text),
            RegistryError::Unavailable(source) => {
                Self::unavailable(format!("{text}: {}", chain(source.as_ref())))
            }
            RegistryError::CustomerKey(source) => Self::fault(
                StatusCode::BAD_GATEWAY,
                "the customer key cannot be used now",
                format!("{text}: {source}"),
            ),
            RegistryError::Overtaken => Self::unavailable(text),
            RegistryError::Damaged(_) | RegistryError::Internal(_) => Self::fault(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the registry could not do this, its operator finds the reason in the log",
                text,
            ),
        }
    }

    /// Asks for a login, or for a better one (RFC 6750, section 3.1).
    fn unauthorized(needed: LoginNeeded, challenge: &Challenge) -> Self {
        let challenge = challenge.clone();
        let challenge = match needed {
            LoginNeeded::Absent => challenge,
            LoginNeeded::Ended => challenge.because("invalid_token"),
            LoginNeeded::Limited => challenge.because("insufficient_scope"),
        };
        Self::login_needed(&challenge, needed.to_string())
    }

    fn upload_range(text: &str, ticket: &UploadTicket, offset: u64, subject: Subject<'_>) -> Self {
        let message = format!("{text}, go on at byte {offset} of the session's `Location`");
        let status = StatusCode::RANGE_NOT_SATISFIABLE;
        let refused = Self::new(status, ErrorCode::BlobUploadInvalid, message)
            .with(header::RANGE, &upload::range(offset));
        match subject.repository {
            Some(name) => refused.with(header::LOCATION, &upload::location(name, ticket)),
            None => refused,
        }
    }

    /// 507 and not 503: retrying within seconds, as clients do on 503, mends no full disk.
    fn full(cause: String) -> Self {
        let message = "the registry's storage is full, nothing was changed; \
                       its operator must make room, then push again";
        Self::fault(StatusCode::INSUFFICIENT_STORAGE, message, cause).retry_after("60")
    }

    pub(crate) fn unavailable(cause: String) -> Self {
        let message = "the registry's storage does not answer now, try again";
        Self::fault(StatusCode::SERVICE_UNAVAILABLE, message, cause)
            .retry_after(RETRY_AFTER_SECONDS)
    }

    fn locked(registry: &RegistryName, locked: LockedRegistry) -> Self {
        let heals = "access comes back by itself when the key may be used again";
        let unavailable = |message| {
            Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Denied, message)
                .retry_after(RETRY_AFTER_SECONDS)
        };
        match locked.reason {
            LockReason::Denied(_, reason) => Self::new(
                StatusCode::FORBIDDEN,
                ErrorCode::Denied,
                format!("registry `{registry}` is locked: {reason}; {heals}"),
            ),
            LockReason::Damaged(reason) => Self::new(
                StatusCode::FORBIDDEN,
                ErrorCode::Denied,
                format!(
                    "registry `{registry}` is locked: its keys did not prove right ({reason}); \
                     an operator must look before anything is served"
                ),
            ),
            LockReason::Unreachable(reason) => unavailable(format!(
                "registry `{registry}` is locked: its key vault cannot be reached ({reason}); \
                 it is asked again every few seconds"
            )),
            LockReason::Starting => unavailable(format!(
                "registry `{registry}` is locked: its key has not been confirmed since the start; \
                 try again in a moment"
            )),
        }
    }

    fn locked_meanwhile(registry: &RegistryName) -> Self {
        let message =
            format!("registry `{registry}` was locked while it did this, ask again to see why");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Denied, message).retry_after("1")
    }

    /// Refuses a manifest; 400 for all but size, because that is what clients fall back on.
    pub(crate) fn manifest(error: &ManifestError) -> Self {
        match error {
            ManifestError::TooLarge(_) => too_large(error.to_string()),
            _ => Self::bad(ErrorCode::ManifestInvalid, chain(error).to_string()),
        }
    }
}

fn conflict(message: String) -> OciFailure {
    OciFailure::new(StatusCode::CONFLICT, ErrorCode::Denied, message)
}

fn not_found(code: ErrorCode, message: impl Into<String>) -> OciFailure {
    OciFailure::new(StatusCode::NOT_FOUND, code, message)
}

/// `SIZE_INVALID` stands for every kind of too much: it is the one code that speaks of size.
fn too_large(message: impl Into<String>) -> OciFailure {
    OciFailure::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::SizeInvalid, message)
}
