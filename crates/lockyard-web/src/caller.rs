//! Who asks a registry, and how they say it: with nothing, a name and a secret, or a token.
//!
//! Taken apart here, proved by the directory. What was proved is looked up in the directory again
//! at each effect; a token is no exception.

use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use lockyard_access::{
    PrincipalId,
    directory::{ClientId, ProveError},
    issuer::{Audience, TokenError},
    registry_token::{AccessToken, Holder, RefreshToken, RegistryTokenError},
};
use lockyard_base::{Timestamp, chain};
use lockyard_oci::ErrorCode;
use lockyard_registry::{Caller, Known, LoginNeeded, check_standing};
use thiserror::Error;

use crate::{
    Faces,
    basic::{Basic, BasicError},
    challenge::Challenge,
    failure::OciFailure,
};

/// The user name with which a token goes as the password; `az acr login` uses it.
const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";

/// What a request says about who sends it.
pub(crate) enum Shown {
    /// Nothing.
    Nothing,
    /// A name and a secret.
    Basic(Basic),
    /// A token.
    Bearer(String),
}

/// Somebody who logged in, or did not try to.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// Who.
    pub(crate) caller: Caller,
    /// Whether something was shown at all: a token of nobody in particular is something.
    pub(crate) shown: bool,
    /// What is made of what was shown must not live longer than this.
    pub(crate) until: Option<Timestamp>,
}

/// Somebody tried to log in and failed.
#[derive(Debug, Error)]
pub(crate) enum LoginError {
    /// The `Authorization` header is none that we know.
    #[error("the request's `Authorization` header is neither Basic credentials nor a Bearer token")]
    Malformed,
    /// The credentials prove nothing.
    #[error("{}", of_proof(.0))]
    Proof(ProveError, Option<u64>),
    /// The token is none that may be used here and now.
    #[error(transparent)]
    Token(RegistryTokenError),
    /// The token is none that the issuer made for registries, or not any more.
    #[error("{0}; a token for a registry is one for `https://containerregistry.azure.net`")]
    Issuers(TokenError),
    /// Whom it was issued to is gone.
    #[error(transparent)]
    Ended(LoginNeeded),
}

impl Shown {
    /// Reads the `Authorization` header.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, LoginError> {
        let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(Self::Nothing) };
        let value = value.to_str().map_err(|_| LoginError::Malformed)?;
        match value.split_once(' ') {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
                Ok(Self::Bearer(token.trim().to_owned()))
            }
            _ => match Basic::parse(value) {
                Ok(basic) => Ok(Self::Basic(basic)),
                Err(BasicError) => Err(LoginError::Malformed),
            },
        }
    }
}

impl Login {
    /// Nobody in particular.
    pub(crate) const ANONYMOUS: Self =
        Self { caller: Caller::Anonymous, shown: false, until: None };

    /// A process on this machine.
    pub(crate) const LOOPBACK: Self = Self { caller: Caller::Loopback, shown: true, until: None };

    /// Proves what was shown at the registry of `login_server`.
    pub(crate) async fn of(
        faces: &Faces,
        login_server: &str,
        shown: Shown,
    ) -> Result<Self, LoginError> {
        match shown {
            Shown::Nothing => Ok(Self::ANONYMOUS),
            Shown::Bearer(token) => Self::of_access_token(faces, login_server, &token),
            Shown::Basic(basic) if basic.name() == TOKEN_USER => {
                let token = basic.secret_text();
                match Self::of_refresh_token(faces, login_server, token) {
                    Err(LoginError::Token(RegistryTokenError::Foreign)) => {
                        Self::of_access_token(faces, login_server, token)
                    }
                    other => other,
                }
            }
            Shown::Basic(basic) => Self::of_basic(faces, &basic).await,
        }
    }

    /// Proves a client id with one of its secrets, or a user with a password.
    pub(crate) async fn of_basic(faces: &Faces, basic: &Basic) -> Result<Self, LoginError> {
        let directory = &faces.directory;
        let proved = match basic.name().parse::<ClientId>() {
            Ok(client) => directory.prove_secret(client, &basic.secret()),
            Err(_) => directory.prove_password_again(basic.name(), basic.secret()).await,
        };
        let proof = proved.map_err(|error| {
            let wait = match &error {
                ProveError::Locked { until } => {
                    Some(until.as_secs().saturating_sub(faces.clock.wall().as_secs()))
                }
                ProveError::Busy => Some(1),
                _ => None,
            };
            LoginError::Proof(error, wait.map(|seconds| seconds.max(1).unsigned_abs()))
        })?;
        let holder = Holder { principal: proof.principal(), credential: proof.credential() };
        let caller = Caller::Known(Known {
            directory: Arc::clone(directory),
            holder,
            proven: proof.at(),
            limit: None,
        });
        Ok(Self { caller, shown: true, until: None })
    }

    /// Reads an access token; one of nobody in particular makes nobody in particular of its bearer.
    pub(crate) fn of_access_token(
        faces: &Faces,
        login_server: &str,
        text: &str,
    ) -> Result<Self, LoginError> {
        let token = faces.registry_tokens.read_access(login_server, text);
        let AccessToken { holder, issued, expires, access } = token.map_err(LoginError::Token)?;
        let Some(holder) = holder else {
            return Ok(Self { shown: true, until: Some(expires), ..Self::ANONYMOUS });
        };
        let limit = Some(Arc::new(access));
        Self { until: Some(expires), ..Self::known(faces, holder, issued, limit) }.standing()
    }

    /// Reads a refresh token.
    pub(crate) fn of_refresh_token(
        faces: &Faces,
        login_server: &str,
        text: &str,
    ) -> Result<Self, LoginError> {
        let token = faces.registry_tokens.read_refresh(login_server, text);
        let RefreshToken { holder, issued, expires } = token.map_err(LoginError::Token)?;
        Self { until: Some(expires), ..Self::known(faces, holder, issued, None) }.standing()
    }

    /// Reads a token that the issuer made for registries.
    ///
    /// It says nothing of a registry: what is made of it here is for this registry alone.
    pub(crate) fn of_issuers_token(faces: &Faces, text: &str) -> Result<Self, LoginError> {
        let bearer = faces.issuer.verify(text, Audience::Registry).map_err(LoginError::Issuers)?;
        let holder = Holder { principal: bearer.principal, credential: bearer.credential };
        // Who bears it was held against the directory just now, and is again below.
        let known = Self::known(faces, holder, faces.clock.wall(), None);
        Self { until: Some(bearer.expires), ..known }.standing()
    }

    fn known(
        faces: &Faces,
        holder: Holder,
        proven: Timestamp,
        limit: Option<Arc<lockyard_access::registry_token::Access>>,
    ) -> Self {
        let directory = Arc::clone(&faces.directory);
        let caller = Caller::Known(Known { directory, holder, proven, limit });
        Self { caller, shown: true, until: None }
    }

    /// Who it is, if it is somebody in particular.
    pub(crate) fn principal(&self) -> Option<PrincipalId> {
        match &self.caller {
            Caller::Known(known) => Some(known.holder.principal),
            Caller::Anonymous | Caller::Loopback => None,
        }
    }

    fn standing(self) -> Result<Self, LoginError> {
        check_standing(&self.caller).map_err(LoginError::Ended)?;
        Ok(self)
    }
}

impl LoginError {
    /// What the client sees of it.
    pub(crate) fn into_failure(self, challenge: Challenge) -> OciFailure {
        let text = self.to_string();
        let refused = |challenge, text: String| OciFailure::login_needed(&challenge, text);
        match self {
            Self::Malformed => refused(challenge, text),
            Self::Token(_) | Self::Issuers(_) | Self::Ended(_) => {
                refused(challenge.because("invalid_token"), text)
            }
            Self::Proof(ProveError::Record(error), _) => {
                OciFailure::unavailable(chain(&error).to_string())
            }
            Self::Proof(_, Some(wait)) => {
                tracing::warn!("a login was refused: too many wrong passwords");
                let status = StatusCode::TOO_MANY_REQUESTS;
                OciFailure::new(status, ErrorCode::TooManyRequests, text)
                    .with(header::RETRY_AFTER, &wait.to_string())
            }
            Self::Proof(..) => {
                tracing::warn!("a login was refused: wrong name or secret");
                refused(challenge, text)
            }
        }
    }
}

/// Why a proof failed, for who may not know whether there is such a name.
fn of_proof(error: &ProveError) -> String {
    match error {
        ProveError::Wrong => {
            "the name or the secret is wrong; a service principal logs in with its client id and a \
             client secret, a user with their full name and password"
                .to_owned()
        }
        ProveError::Expired => {
            "this client secret has expired or is not valid yet, make another one".to_owned()
        }
        other => other.to_string(),
    }
}
