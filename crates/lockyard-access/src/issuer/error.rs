//! What the issuer refuses, in OAuth's words and with the numbers that clients know.
//!
//! The words are RFC 6749's and RFC 8628's; the numbers are those that MSAL and `az` look for or
//! that a person will search for. The sentences are ours. None says whether a user or a client is
//! known.

use std::time::Duration;

use thiserror::Error;

use crate::RecordError;

/// The one word of an OAuth error (RFC 6749 sections 4.1.2.1 and 5.2, RFC 8628 section 3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorWord {
    /// A parameter is missing, repeated or makes no sense.
    InvalidRequest,
    /// The client did not prove who it is.
    InvalidClient,
    /// The password, code, token or assertion is wrong, used or over.
    InvalidGrant,
    /// The client may not do this.
    UnauthorizedClient,
    /// There is no such grant here.
    UnsupportedGrantType,
    /// There is no such response type here.
    UnsupportedResponseType,
    /// The scope names nothing that tokens are issued for.
    InvalidScope,
    /// Nobody has entered the device's code yet.
    AuthorizationPending,
    /// The device asks too often.
    SlowDown,
    /// The device's code is over.
    ExpiredToken,
    /// The person said no to the device.
    AuthorizationDeclined,
    /// The person said no at the sign-in page.
    AccessDenied,
    /// Somebody must sign in, and may not be asked.
    LoginRequired,
    /// The service is busy or has a fault of its own.
    TemporarilyUnavailable,
}

impl ErrorWord {
    /// The word as it crosses the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::AuthorizationDeclined => "authorization_declined",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }
}

/// Why no token was issued.
#[derive(Debug, Error)]
pub enum OAuthError {
    /// The request was understood and refused; all of it may be shown.
    #[error("{text}")]
    Refused {
        /// OAuth's word.
        word: ErrorWord,
        /// The number that clients of this protocol know, as in `AADSTS7000215`.
        number: u32,
        /// What was wrong and what to do.
        text: String,
    },
    /// More is asked at once than this process takes on; asking again later helps.
    #[error("too many sign-ins are under way, try again in {} s", .0.as_secs())]
    Busy(Duration),
    /// A fault of ours; the cause goes to the log.
    #[error("the issuer's storage failed")]
    Records(#[source] RecordError),
    /// A fault of ours; the cause goes to the log.
    #[error("a token could not be made")]
    Signing,
    /// A step of ours was cut off.
    #[error("a step was cut off")]
    CutOff,
}

impl From<RecordError> for OAuthError {
    fn from(error: RecordError) -> Self {
        Self::Records(error)
    }
}

impl OAuthError {
    /// A refusal.
    pub fn refused(word: ErrorWord, number: u32, text: impl Into<String>) -> Self {
        Self::Refused { word, number, text: text.into() }
    }

    /// A parameter is missing or makes no sense.
    pub fn request(text: impl Into<String>) -> Self {
        Self::refused(ErrorWord::InvalidRequest, 900_144, text)
    }

    /// A code, token or assertion is wrong, used or over.
    pub(crate) fn grant(number: u32, text: impl Into<String>) -> Self {
        Self::refused(ErrorWord::InvalidGrant, number, text)
    }

    /// The client did not prove who it is.
    pub(crate) fn client(number: u32, text: impl Into<String>) -> Self {
        Self::refused(ErrorWord::InvalidClient, number, text)
    }

    /// The scope names nothing that tokens are issued for.
    pub(crate) fn scope(number: u32, text: impl Into<String>) -> Self {
        Self::refused(ErrorWord::InvalidScope, number, text)
    }
}
