//! Sessions: chains of refresh tokens, of which only the newest is good.
//!
//! A refresh token is the session's handle and a secret that changes with each use. The row is
//! found by the handle and holds only a hash of the secret. Whoever shows an older secret either
//! stole it or was stolen from: the session ends, with every token that came from it (RFC 9700
//! section 4.14.2). There is no grace for a client that asks twice at once: it could not be told
//! from a thief.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_base::{Entropy, Guid, Timestamp};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::{ACCESS_TOKEN_LIFE, Audience, OAuthError};
use crate::{
    PrincipalId, RecordError, RecordTxn, Records,
    directory::{ClientId, CredentialId, Method},
};

/// How long a session lives without being used.
pub const SESSION_IDLE_MAX: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// How long a session lives at most; then the person signs in again.
pub const SESSION_LIFE_MAX: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// The kind of a session's record; its name is the session's public id, a hash of the handle.
const KIND: &str = "issuer-session";
/// The kind of a record that says that a session ended and its tokens with it.
const ENDED: &str = "issuer-session-ended";

const HANDLE_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;

/// Who proved what, when, and for which client: what a token is issued on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) principal: PrincipalId,
    pub(crate) credential: CredentialId,
    /// When the credential was proved, not when a token was last refreshed.
    pub(crate) proved: Timestamp,
    pub(crate) client: ClientId,
    /// How the client proved itself, if it did.
    pub(crate) client_proof: Option<Method>,
    /// The session's public id, if there is one.
    pub(crate) session: Option<SessionId>,
}

/// A session's public id, as in `sid`; it opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(Guid);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl SessionId {
    /// Reads a `sid`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    fn name(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// The secret name of a session; whoever has it and the present secret refreshes.
#[derive(Clone)]
pub(crate) struct Handle(Zeroizing<[u8; HANDLE_BYTES]>);

impl Handle {
    pub(crate) fn random(entropy: &dyn Entropy) -> Self {
        Self(Zeroizing::new(entropy.bytes()))
    }

    pub(crate) fn id(&self) -> SessionId {
        let hash = sha256(self.0.as_slice());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(hash.split_at(16).0);
        SessionId(Guid::from_bytes(bytes))
    }

    /// The handle as another record keeps it.
    pub(crate) fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.as_slice())
    }

    /// Reads what [`Handle::to_text`] wrote.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }
}

/// A session as its record holds it.
#[derive(Serialize, Deserialize)]
struct Stored {
    principal: String,
    credential: String,
    proved: i64,
    client: String,
    began: i64,
    /// For whom the first token was; a refresh that names nobody means the same.
    audience: String,
    /// SHA-256 of the secret that is good now.
    current: String,
}

/// A refresh token in two pieces.
struct RefreshToken {
    handle: Handle,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

impl RefreshToken {
    fn parse(text: &str) -> Option<Self> {
        if text.len() > 128 {
            return None;
        }
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        let (handle, secret) = bytes.split_first_chunk::<HANDLE_BYTES>()?;
        Some(Self {
            handle: Handle(Zeroizing::new(*handle)),
            secret: Zeroizing::new(secret.try_into().ok()?),
        })
    }

    fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(HANDLE_BYTES + SECRET_BYTES));
        bytes.extend_from_slice(self.handle.0.as_slice());
        bytes.extend_from_slice(self.secret.as_slice());
        Zeroizing::new(URL_SAFE_NO_PAD.encode(&*bytes))
    }
}

/// What became of a refresh token.
pub(crate) enum Refreshed {
    /// It was good; this is the standing, for whom the first token was, and the next token.
    Next(Standing, Audience, Zeroizing<String>),
    /// There is no such session, or the token is another client's.
    Unknown,
    /// It was good once: the session has ended now.
    Reused(SessionId),
}

/// Begins a session and returns its first refresh token.
pub(crate) async fn begin(
    records: &Records,
    entropy: &dyn Entropy,
    handle: Handle,
    (standing, audience): (Standing, Audience),
    now: Timestamp,
) -> Result<Zeroizing<String>, OAuthError> {
    let token = RefreshToken { handle, secret: Zeroizing::new(entropy.bytes()) };
    let stored = Stored {
        principal: standing.principal.to_string(),
        credential: standing.credential.to_string(),
        proved: standing.proved.as_micros(),
        client: standing.client.to_string(),
        began: now.as_micros(),
        audience: audience.word().to_owned(),
        current: hash_text(token.secret.as_slice()),
    };
    let (id, value) = (token.handle.id(), stored.to_bytes());
    let expires = now + SESSION_IDLE_MAX;
    records
        .write(move |txn| txn.put_until(KIND, id.name(), &value, expires))
        .await
        .map_err(OAuthError::from)?;
    Ok(token.to_text())
}

/// Uses a refresh token: one of all that ask gets the next one.
pub(crate) async fn refresh(
    records: &Records,
    entropy: &dyn Entropy,
    text: &str,
    client: ClientId,
    now: Timestamp,
) -> Result<Refreshed, OAuthError> {
    let Some(shown) = RefreshToken::parse(text) else { return Ok(Refreshed::Unknown) };
    let id = shown.handle.id();
    let next =
        RefreshToken { handle: shown.handle.clone(), secret: Zeroizing::new(entropy.bytes()) };
    let next_hash = hash_text(next.secret.as_slice());
    let shown_hash = hash_text(shown.secret.as_slice());
    let turned = records
        .write(move |txn| turn(txn, id.name(), &shown_hash, &next_hash, client, now))
        .await
        .map_err(OAuthError::from)?;
    Ok(match turned {
        Turned::Next(standing, audience) => {
            let standing = Standing { session: Some(id), ..standing };
            Refreshed::Next(standing, audience, next.to_text())
        }
        Turned::Unknown => Refreshed::Unknown,
        Turned::Reused => Refreshed::Reused(id),
    })
}

enum Turned {
    Next(Standing, Audience),
    Unknown,
    Reused,
}

/// The one transaction of a refresh.
fn turn(
    txn: &mut RecordTxn<'_, '_>,
    name: &[u8],
    shown: &str,
    next: &str,
    client: ClientId,
    now: Timestamp,
) -> Result<Turned, RecordError> {
    let Some(record) = txn.get(KIND, name)? else { return Ok(Turned::Unknown) };
    let mut stored = Stored::read(&record.value)?;
    let standing = stored.standing()?;
    let audience = Audience::from_word(&stored.audience).ok_or(RecordError::Damaged)?;
    if standing.client != client {
        return Ok(Turned::Unknown);
    }
    if !bool::from(stored.current.as_bytes().ct_eq(shown.as_bytes())) {
        txn.remove(KIND, name)?;
        return Ok(Turned::Reused);
    }
    next.clone_into(&mut stored.current);
    let end = Timestamp::from_micros(stored.began) + SESSION_LIFE_MAX;
    let expires = end.min(now + SESSION_IDLE_MAX);
    txn.put_until(KIND, name, &stored.to_bytes(), expires)?;
    Ok(Turned::Next(standing, audience))
}

/// Ends a session. Its access tokens are ended by [`Ended::add`].
pub(crate) async fn end(records: &Records, id: SessionId) -> Result<(), OAuthError> {
    let ended = records.write(move |txn| txn.remove(KIND, id.name())).await;
    ended.map(|_was_there| ()).map_err(OAuthError::from)
}

impl Stored {
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(serde_json::to_vec(self).unwrap_or_default())
    }

    fn read(value: &[u8]) -> Result<Self, RecordError> {
        serde_json::from_slice(value).map_err(|_| RecordError::Damaged)
    }

    fn standing(&self) -> Result<Standing, RecordError> {
        let guid = |text: &str| text.parse::<Guid>().map_err(|_| RecordError::Damaged);
        Ok(Standing {
            principal: PrincipalId::new(guid(&self.principal)?),
            credential: CredentialId::new(guid(&self.credential)?),
            proved: Timestamp::from_micros(self.proved),
            client: ClientId::new(guid(&self.client)?),
            client_proof: None,
            session: None,
        })
    }
}

/// The sessions whose tokens are void although they have not expired; in memory, for every
/// verification asks, and as records, for a restart.
#[derive(Debug, Default)]
pub(crate) struct Ended(Mutex<HashMap<SessionId, Timestamp>>);

impl Ended {
    /// Reads what is kept. Blocks.
    pub(crate) fn open(records: &Records) -> Result<Self, RecordError> {
        let mut ended = HashMap::new();
        for record in records.list(ENDED)? {
            let text = std::str::from_utf8(&record.value).map_err(|_| RecordError::Damaged)?;
            let id = SessionId::parse(text).ok_or(RecordError::Damaged)?;
            ended.insert(id, record.expires.unwrap_or(Timestamp::from_micros(i64::MAX)));
        }
        Ok(Self(Mutex::new(ended)))
    }

    /// Makes every token of a session void, at once and for as long as one may live.
    pub(crate) async fn add(
        &self,
        records: &Records,
        id: SessionId,
        now: Timestamp,
    ) -> Result<(), OAuthError> {
        let until = now + ACCESS_TOKEN_LIFE + ACCESS_TOKEN_LIFE;
        {
            let mut ended = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            ended.retain(|_, until| *until > now);
            ended.insert(id, until);
        }
        let text = id.to_string();
        records
            .write(move |txn| txn.put_until(ENDED, text.as_bytes(), text.as_bytes(), until))
            .await
            .map_err(OAuthError::from)
    }

    /// Whether a session's tokens are void.
    pub(crate) fn contains(&self, id: SessionId) -> bool {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains_key(&id)
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn hash_text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(sha256(bytes))
}
