//! Other issuers' keys: fetched when a token that was configured for needs them, kept for a while.
//!
//! Only issuers that an operator configured are ever asked. A key that is not known makes us ask
//! again, but not more often than once a minute, whoever knocks. When an issuer cannot be reached,
//! the keys that are known serve on for a day.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use jsonwebtoken::{Algorithm, DecodingKey};
use lockyard_base::{BootInstant, Clock, chain};
use lockyard_egress::{Egress, EgressError, Limits};
use serde::{Deserialize, de::DeserializeOwned};
use thiserror::Error;

use super::{OAuthError, assertion, jwt};

/// The longest key set or discovery document in bytes.
pub const KEY_SET_BYTES_MAX: usize = 256 << 10;
/// The most keys of a key set.
pub const KEY_SET_KEYS_MAX: usize = 64;
/// How long a key set serves without being asked for again.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// How long it serves when its issuer cannot be reached.
const STALE: Duration = Duration::from_secs(24 * 60 * 60);
/// How often an issuer is asked at most.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// What one request may cost.
const LIMITS: Limits =
    Limits { body_bytes_max: KEY_SET_BYTES_MAX, time_max: Duration::from_secs(10) };
/// The most issuers whose keys are kept.
const ISSUERS_MAX: usize = 256;

/// The keys of other issuers.
#[derive(Debug)]
pub(crate) struct External {
    egress: Arc<Egress>,
    clock: Arc<dyn Clock>,
    issuers: std::sync::Mutex<HashMap<String, Arc<tokio::sync::Mutex<Known>>>>,
}

/// What is known of an issuer.
#[derive(Debug, Default)]
struct Known {
    /// When it was last asked, with whatever success.
    asked: Option<BootInstant>,
    keys: Option<(BootInstant, Vec<Key>)>,
}

#[derive(Clone, Debug)]
struct Key {
    kid: Option<String>,
    key: DecodingKey,
}

/// An issuer's keys could not be had. Says nothing that the issuer said.
#[derive(Debug, Error)]
enum FetchError {
    #[error("the issuer's discovery document could not be fetched")]
    Discovery(#[source] EgressError),
    #[error("the issuer's key set could not be fetched")]
    Keys(#[source] EgressError),
    #[error("the issuer answered with status {0}")]
    Status(u16),
    #[error("the issuer's answer is not a document of its kind")]
    Form,
    #[error("the issuer's discovery document is another issuer's")]
    Issuer,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<JsonKey>,
}

/// A key of a set; those of other kinds are passed over.
#[derive(Deserialize)]
struct JsonKey {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default, rename = "use")]
    used_for: Option<String>,
    #[serde(default)]
    alg: Option<String>,
    #[serde(default)]
    n: Option<String>,
    #[serde(default)]
    e: Option<String>,
}

impl External {
    pub(crate) fn new(egress: Arc<Egress>, clock: Arc<dyn Clock>) -> Self {
        Self { egress, clock, issuers: std::sync::Mutex::default() }
    }

    /// Reads a token that an issuer signed, with RS256. Times and the rest are the caller's.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        issuer: &str,
        token: &str,
    ) -> Result<T, OAuthError> {
        let header = jwt::header(token).map_err(assertion::malformed)?;
        if header.alg != "RS256" {
            return Err(OAuthError::client(5_002_738, "a federated token is signed with RS256"));
        }
        let key = self.key(issuer, header.kid.as_deref()).await?;
        jwt::read(token, &key, &[Algorithm::RS256]).map_err(assertion::malformed)
    }

    async fn key(&self, issuer: &str, kid: Option<&str>) -> Result<DecodingKey, OAuthError> {
        let known = self.known(issuer);
        // One asks, the others wait for what it learns.
        let mut known = known.lock().await;
        let now = self.clock.boot();
        let fresh = known.keys.as_ref().is_some_and(|(since, _)| now.since(*since) < FRESH);
        let found = known.find(kid);
        if let (true, Some(key)) = (fresh, &found) {
            return Ok(key.clone());
        }
        let may_ask = known.asked.is_none_or(|asked| now.since(asked) >= ASK_EVERY);
        if may_ask {
            known.asked = Some(now);
            match self.fetch(issuer).await {
                Ok(keys) => known.keys = Some((now, keys)),
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "an external issuer gives no keys");
                }
            }
        }
        let held = known.keys.as_ref().is_some_and(|(since, _)| now.since(*since) < STALE);
        match known.find(kid).filter(|_| held) {
            Some(key) => Ok(key),
            None if held => Err(OAuthError::client(
                700_211,
                "the federated token is signed by a key that its issuer does not have",
            )),
            None => Err(OAuthError::client(
                50_008,
                "the keys of the federated token's issuer cannot be fetched now",
            )),
        }
    }

    fn known(&self, issuer: &str) -> Arc<tokio::sync::Mutex<Known>> {
        let mut issuers = self.issuers.lock().unwrap_or_else(PoisonError::into_inner);
        if issuers.len() >= ISSUERS_MAX && !issuers.contains_key(issuer) {
            issuers.clear();
        }
        Arc::clone(issuers.entry(issuer.to_owned()).or_default())
    }

    async fn fetch(&self, issuer: &str) -> Result<Vec<Key>, FetchError> {
        let base = issuer.trim_end_matches('/');
        let url = format!("{base}/.well-known/openid-configuration");
        let discovery: Discovery =
            json(self.egress.get(&url, "application/json", LIMITS).await, FetchError::Discovery)?;
        if discovery.issuer != issuer {
            return Err(FetchError::Issuer);
        }
        let set: KeySet = json(
            self.egress.get(&discovery.jwks_uri, "application/json", LIMITS).await,
            FetchError::Keys,
        )?;
        if set.keys.len() > KEY_SET_KEYS_MAX {
            return Err(FetchError::Form);
        }
        Ok(set.keys.into_iter().filter_map(JsonKey::usable).collect())
    }
}

impl Known {
    /// The key of this name; a token that names none is of the only one.
    fn find(&self, kid: Option<&str>) -> Option<DecodingKey> {
        let (_, keys) = self.keys.as_ref()?;
        let found = match (kid, keys.as_slice()) {
            (Some(kid), keys) => keys.iter().find(|key| key.kid.as_deref() == Some(kid)),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        found.map(|key| key.key.clone())
    }
}

impl JsonKey {
    fn usable(self) -> Option<Key> {
        let signs = self.used_for.is_none_or(|used_for| used_for == "sig");
        let rs256 = self.alg.is_none_or(|alg| alg == "RS256");
        if self.kty != "RSA" || !signs || !rs256 {
            return None;
        }
        let key = DecodingKey::from_rsa_components(&self.n?, &self.e?).ok()?;
        Some(Key { kid: self.kid, key })
    }
}

fn json<T: DeserializeOwned>(
    answer: Result<lockyard_egress::Answer, EgressError>,
    failed: fn(EgressError) -> FetchError,
) -> Result<T, FetchError> {
    let answer = answer.map_err(failed)?;
    if answer.status.as_u16() != 200 {
        return Err(FetchError::Status(answer.status.as_u16()));
    }
    serde_json::from_slice(&answer.body).map_err(|_| FetchError::Form)
}
