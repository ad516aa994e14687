//! Tokens of registries: what `/oauth2/token` and `/oauth2/exchange` hand out.
//!
//! They are the distribution project's tokens as Azure's registries issue them, and a layer above
//! the directory: a token says who proved to be whom, with which credential, and to how much the
//! client limits itself. What the holder may do is never in it. [`RegistryTokens`] signs and reads;
//! whether a holder still stands is asked of the directory's snapshot at every use.

mod keys;
mod scope;
mod token;

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use lockyard_base::{Clock, Entropy, Guid, Timestamp};
use zeroize::Zeroizing;

pub use scope::{Access, SCOPE_BYTES_MAX, SCOPES_MAX, ScopeError, Verb, Verbs};
pub use token::{AccessToken, Holder, RefreshToken, RegistryTokenError, TOKEN_BYTES_MAX};

use crate::{RecordError, Records};
use keys::TokenKeys;

/// How long an access token lasts. Long enough for clients that never ask for a second one; what
/// is taken away meanwhile is gone at once all the same.
pub const ACCESS_LIFE: Duration = Duration::from_secs(3600);

/// How long the refresh token lasts that a token of the issuer is exchanged for.
pub const REFRESH_LIFE: Duration = Duration::from_secs(3 * 3600);

/// How long the refresh token lasts that a client keeps in place of a secret or password.
///
/// The distribution specification lets it last for ever; a year is what `az` makes secrets last.
pub const OFFLINE_LIFE: Duration = Duration::from_secs(365 * 86_400);

const KIND: &str = "registry_token_keys";
const NAME: &[u8] = b"";

/// Signs and reads the tokens of all registries of an instance.
pub struct RegistryTokens {
    records: Records,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    keys: RwLock<Arc<TokenKeys>>,
}

/// A token that was issued just now.
pub struct Issued {
    /// The token itself.
    pub text: Zeroizing<String>,
    /// When it was issued.
    pub at: Timestamp,
    /// From when on it is not valid any more.
    pub expires: Timestamp,
}

impl RegistryTokens {
    /// Opens the keys, and makes the first one if there is none. Blocks.
    ///
    /// Keys that are lost are made anew, unlike others: only tokens are lost with them.
    pub fn open(
        records: Records,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, RecordError> {
        let stored = records.get(KIND, NAME)?;
        let keys = match &stored {
            Some(record) => TokenKeys::read(record).ok_or(RecordError::Damaged)?,
            None => TokenKeys::none(),
        };
        let tokens = Self { records, clock, entropy, keys: RwLock::new(Arc::new(keys)) };
        tokens.rotate()?;
        Ok(tokens)
    }

    /// Lets another key sign if the present one has signed for long enough. Blocks; for a job.
    pub fn rotate(&self) -> Result<(), RecordError> {
        // Held over the write: the record and what is in memory are the same keys.
        let mut present = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.wall();
        if present.is_due(now) {
            let keys = present.rotated(&*self.entropy, now, OFFLINE_LIFE);
            self.records.put(KIND, NAME, &keys.write())?;
            *present = Arc::new(keys);
        }
        Ok(())
    }

    /// Issues an access token for the registry at `login_server`, which `access` limits.
    ///
    /// `at_most` bounds its life: what is made of a token does not outlive it.
    pub fn issue_access(
        &self,
        login_server: &str,
        holder: Option<Holder>,
        access: Access,
        at_most: Option<Timestamp>,
    ) -> Issued {
        let (issued, expires) = self.span(ACCESS_LIFE, at_most);
        let token = AccessToken { holder, issued, expires, access };
        let text = token::write_access(&self.keys(), self.id(), login_server, &token);
        Issued { text: text.expect(SIGNABLE).into(), at: issued, expires }
    }

    /// Issues a refresh token for the registry at `login_server`; `verbs` is what the holder may
    /// do at present, which the token tells and nobody believes.
    pub fn issue_refresh(
        &self,
        login_server: &str,
        holder: Holder,
        verbs: Verbs,
        life: Duration,
        at_most: Option<Timestamp>,
    ) -> Issued {
        let (issued, expires) = self.span(life, at_most);
        let token = RefreshToken { holder, issued, expires };
        let text = token::write_refresh(&self.keys(), self.id(), login_server, &token, verbs);
        Issued { text: text.expect(SIGNABLE).into(), at: issued, expires }
    }

    /// Reads an access token; whether its holder still stands is the directory's to say.
    pub fn read_access(
        &self,
        login_server: &str,
        text: &str,
    ) -> Result<AccessToken, RegistryTokenError> {
        token::read_access(&self.keys(), self.clock.wall(), login_server, text)
    }

    /// Reads a refresh token; whether its holder still stands is the directory's to say.
    pub fn read_refresh(
        &self,
        login_server: &str,
        text: &str,
    ) -> Result<RefreshToken, RegistryTokenError> {
        token::read_refresh(&self.keys(), self.clock.wall(), login_server, text)
    }

    fn keys(&self) -> Arc<TokenKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn id(&self) -> Guid {
        Guid::random(&*self.entropy)
    }

    fn span(&self, life: Duration, at_most: Option<Timestamp>) -> (Timestamp, Timestamp) {
        let issued = self.clock.wall();
        let expires = issued + life;
        (issued, at_most.map_or(expires, |at_most| at_most.min(expires)))
    }
}

impl fmt::Debug for RegistryTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryTokens")
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Issued(…)")
    }
}

const SIGNABLE: &str = "claims are texts and numbers, and there is a key that signs";

#[cfg(test)]
mod tests;
