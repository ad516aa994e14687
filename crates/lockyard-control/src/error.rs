//! Why the control plane refuses. What callers are told is said here; faces add only the status.

use lockyard_access::{PrincipalId, RecordError, decision::Action, directory::ChangeError};
use lockyard_arm::{ArmError, BodyError, FilterError, Scope};
use lockyard_audit::AuditError;
use lockyard_vault::VaultError;
use thiserror::Error;

/// A verb of the control plane did not happen.
#[derive(Debug, Error)]
pub enum ControlError {
    /// What was asked makes no sense.
    #[error("{}", .0.message())]
    Invalid(ArmError),
    /// The caller may not.
    #[error(
        "the client with object id '{caller}' may not do '{action}' at scope '{scope}'; somebody \
         who gives roles there can change that, and a new role counts at once"
    )]
    Denied {
        /// Who asked.
        caller: PrincipalId,
        /// For what.
        action: Action,
        /// Where.
        scope: Box<Scope>,
    },
    /// The caller may not, for a reason that is not one action.
    #[error("{}", .0.message())]
    Forbidden(ArmError),
    /// It is not there.
    #[error("{}", .0.message())]
    Missing(ArmError),
    /// It cannot be done as things are.
    #[error("{}", .0.message())]
    Conflict(ArmError),
    /// This cannot be done with things of this kind.
    #[error("{}", .0.message())]
    Unsupported(ArmError),
    /// Somebody else changed the same thing at the same time.
    #[error("somebody else changed this at the same time, ask again")]
    Overtaken,
    /// It cannot be recorded, and is therefore not told.
    #[error(
        "this was refused because it cannot be recorded in the audit trail; the operator finds the \
         reason in the log"
    )]
    Unrecorded(#[source] AuditError),
    /// A fault of ours; the cause goes to the log.
    #[error("the control plane's records failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ControlError {
    /// The status that a client is answered, and the code that programs tell errors apart by.
    pub fn code(&self) -> (u16, &str) {
        match self {
            Self::Invalid(error) => (400, error.code()),
            Self::Denied { .. } => (403, "AuthorizationFailed"),
            Self::Forbidden(error) => (403, error.code()),
            Self::Missing(error) => (404, error.code()),
            Self::Conflict(error) => (409, error.code()),
            Self::Unsupported(error) => (405, error.code()),
            Self::Overtaken => (409, "Conflict"),
            Self::Unrecorded(_) => (503, "ServiceUnavailable"),
            Self::Failed(_) => (500, "InternalServerError"),
        }
    }

    pub(crate) fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid(ArmError::new(code, message))
    }

    pub(crate) fn missing(code: &'static str, message: impl Into<String>) -> Self {
        Self::Missing(ArmError::new(code, message))
    }

    pub(crate) fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::Forbidden(ArmError::new(code, message))
    }

    pub(crate) fn unsupported(message: impl Into<String>) -> Self {
        Self::Unsupported(ArmError::new("HttpMethodNotSupported", message))
    }

    pub(crate) fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict(ArmError::new(code, message))
    }
}

impl From<RecordError> for ControlError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Overtaken => Self::Overtaken,
            RecordError::Damaged | RecordError::Store(_) => Self::Failed(Box::new(error)),
        }
    }
}

impl From<BodyError> for ControlError {
    fn from(error: BodyError) -> Self {
        let told = ArmError::new("InvalidRequestContent", error.to_string());
        Self::Invalid(match error.path() {
            "" => told,
            path => told.with_target(path),
        })
    }
}

impl From<FilterError> for ControlError {
    fn from(error: FilterError) -> Self {
        Self::invalid("InvalidFilter", error.to_string())
    }
}

impl From<VaultError> for ControlError {
    /// Tells a refusal of the vaults in their own words; they know the codes (BEHAVIOUR 2.5).
    fn from(error: VaultError) -> Self {
        let (told, text) = (error.code(), error.to_string());
        match told.status {
            400 => Self::invalid(told.code, text),
            403 => Self::forbidden(told.code, text),
            404 => Self::missing(told.code, text),
            409 => Self::conflict(told.code, text),
            _ => Self::Failed(Box::new(error)),
        }
    }
}

impl From<ChangeError> for ControlError {
    fn from(error: ChangeError) -> Self {
        of_change("Conflict", error)
    }
}

/// Tells a refusal of the directory; what a caller could have known better is theirs to hear.
pub(crate) fn of_change(code: &'static str, error: ChangeError) -> ControlError {
    let text = error.to_string();
    match error {
        ChangeError::Missing(_) => ControlError::missing(code, text),
        ChangeError::Exists(_) | ChangeError::InUse(_) | ChangeError::TooMany { .. } => {
            ControlError::conflict(code, text)
        }
        ChangeError::Name
        | ChangeError::Upn
        | ChangeError::Password
        | ChangeError::Uri
        | ChangeError::Expiry
        | ChangeError::Certificate(_)
        | ChangeError::Federated
        | ChangeError::Cycle
        | ChangeError::TooDeep
        | ChangeError::Role(_)
        | ChangeError::NotAssignable => ControlError::invalid(code, text),
        // Whoever guards a change tells of its refusal in better words.
        ChangeError::Denied => ControlError::Overtaken,
        ChangeError::Record(error) => error.into(),
        ChangeError::Reload(_) => ControlError::Failed(Box::new(error)),
    }
}
