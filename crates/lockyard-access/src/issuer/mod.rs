//! The token issuer: OAuth 2 and OpenID Connect, as Microsoft's libraries speak them.
//!
//! It holds a request against the directory, and issues signed tokens that say who somebody is;
//! what they may do is never in a token. Everything that a token rests on is looked at again when
//! it is verified, so revocation takes effect at once. Sessions, codes and keys are sealed records
//! with an expiry: a restart loses none of them.
//!
//! Values in, values out: forms and pages are the web's.

mod assertion;
mod authorize;
mod claims;
mod client;
mod code;
mod device;
mod discovery;
mod error;
mod external;
mod grant;
mod jwt;
mod key;
mod logout;
mod managed;
mod origin;
mod parameters;
mod redirect;
mod seen;
mod session;
mod tenant;
mod token;
mod verify;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use lockyard_base::{Clock, Entropy};
use lockyard_egress::Egress;
use serde_json::Value;
use thiserror::Error;

pub use assertion::{ASSERTION_LIFE_MAX, CLOCK_SKEW_MAX};
pub use authorize::{Authorize, AuthorizeRefusal, Redirection, ResponseMode};
pub use code::CODE_LIFE;
pub use device::{
    DEVICE_CODE_LIFE, DEVICE_CODES_MAX, DeviceAsk, DeviceReply, POLL_INTERVAL, USER_CODE_LETTERS,
    WRONG_USER_CODES_MAX,
};
pub use error::{ErrorWord, OAuthError};
pub use external::{KEY_SET_BYTES_MAX, KEY_SET_KEYS_MAX};
pub use jwt::{JwtError, TOKEN_BYTES_MAX};
pub use key::{KEY_PUBLISHED_AHEAD, KEY_SIGNS_FOR, KEYS_MAX, KeyError, Rotation};
pub use managed::{IdentityAsk, IdentitySecret, make_identity_secret};
pub use origin::{Audience, Origins, SCOPE_BYTES_MAX, SCOPE_WORDS_MAX, Wanted};
pub use parameters::{FORM_BYTES_MAX, PARAMETERS_MAX, Parameters};
pub use session::{SESSION_IDLE_MAX, SESSION_LIFE_MAX};
pub use tenant::{TenantPath, Version};
pub use token::{Basic, Bearer, TokenReply, TokenRequest};
pub use verify::{Caller, TokenError};

use self::{device::Throttle, external::External, key::KeyRing, seen::Seen, session::Ended};
use crate::{RecordError, Records, directory::Directory};

/// How long an access token is good, unless it is revoked before.
pub const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(60 * 60);

/// What an issuer stands on.
#[derive(Debug)]
pub struct Setup {
    /// Where keys and sessions are kept.
    pub records: Records,
    /// Who there is.
    pub directory: Arc<Directory>,
    /// How the key sets of other issuers are fetched.
    pub egress: Arc<Egress>,
    /// When it is.
    pub clock: Arc<dyn Clock>,
    /// Draws codes and ids.
    pub entropy: Arc<dyn Entropy>,
    /// Where this instance is reached.
    pub origins: Origins,
}

/// The issuer cannot be opened.
#[derive(Debug, Error)]
pub enum IssuerError {
    /// Its keys cannot be had.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its records cannot be read.
    #[error("the issuer's records cannot be read")]
    Records(#[source] RecordError),
}

/// Issues tokens and knows its own.
pub struct Issuer {
    records: Records,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    origins: Origins,
    keys: RwLock<Arc<KeyRing>>,
    seen: Seen,
    ended: Ended,
    external: External,
    wrong_user_codes: Throttle,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("origins", &self.origins).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Opens the issuer, and makes its first key if there is none. Blocks.
    pub fn open(setup: Setup) -> Result<Arc<Self>, IssuerError> {
        let Setup { records, directory, egress, clock, entropy, origins } = setup;
        let keys = RwLock::new(Arc::new(key::open(&records, &*clock)?));
        let ended = Ended::open(&records).map_err(IssuerError::Records)?;
        let external = External::new(egress, Arc::clone(&clock));
        let wrong_user_codes = Throttle::default();
        Ok(Arc::new(Self {
            records,
            directory,
            clock,
            entropy,
            origins,
            keys,
            seen: Seen::default(),
            ended,
            external,
            wrong_user_codes,
        }))
    }

    /// Makes the next signing key in time and forgets old ones. Blocks; for a job, at least daily.
    pub fn tend(&self) -> Result<(), KeyError> {
        self.put_ring(key::tend(&self.records, &*self.clock)?);
        Ok(())
    }

    /// Lets a new key sign from now on. Blocks.
    pub fn rotate(&self, rotation: Rotation) -> Result<(), KeyError> {
        self.put_ring(key::rotate(&self.records, &*self.clock, rotation)?);
        Ok(())
    }

    /// Where this instance is reached.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// Reads the path segment that stands for the tenant.
    pub fn tenant(&self, segment: &str) -> Result<TenantPath, OAuthError> {
        TenantPath::parse(segment, self.directory.snapshot().tenant(), &self.origins)
    }

    /// OpenID's discovery document.
    pub fn discovery(&self, path: &TenantPath, version: Version) -> Value {
        discovery::document(path, version, self.directory.snapshot().tenant(), &self.origins)
    }

    /// The public keys.
    pub fn key_set(&self) -> Value {
        discovery::key_set(&self.ring())
    }

    /// What Microsoft's libraries ask about the authority `asked`; `None` if it is not ours.
    pub fn instance_discovery(&self, asked: &str) -> Option<Value> {
        let login = &self.origins.login;
        let rest = asked.strip_prefix(login.as_str())?;
        let ours = rest.is_empty() || rest.starts_with('/');
        ours.then(|| discovery::instance(self.directory.snapshot().tenant(), &self.origins))
    }

    /// Where people's passwords are checked: here, whoever is asked about.
    pub fn user_realm(&self) -> Value {
        discovery::user_realm(&self.origins)
    }

    fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_ring(&self, ring: KeyRing) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }
}

#[cfg(test)]
mod tests;
