//! What a registry token says, and how it is read back. Pure: keys and time are parameters.
//!
//! Two kinds. An *access token* says who holds it and which verbs it grants; it goes with every
//! request. A *refresh token* says only who holds it, and is exchanged for access tokens; `docker
//! login` takes it for a password. Neither gives a right by itself: whatever it says, the directory
//! is asked anew at each use. Kinds differ in the header and in the claims, and are never confused.

use std::time::Duration;

use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header, encode};
use lockyard_base::{Guid, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{
    keys::TokenKeys,
    scope::{Access, Verbs},
};
use crate::{CredentialId, PrincipalId};

/// The longest token that is looked at; one with the most scopes that may be asked for is shorter.
pub const TOKEN_BYTES_MAX: usize = 28 << 10;

/// How far the clock may have been set back since a token was issued.
const SKEW: Duration = Duration::from_secs(300);

/// Who issued it; clients read this and compare it with nothing.
const ISSUER: &str = "Lockyard Container Registry";

/// Who holds a token, and which credential they proved themselves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Who.
    pub principal: PrincipalId,
    /// With what; when it is taken away, every token that came of it ends.
    pub credential: CredentialId,
}

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// Who holds it; nobody, if it was given to somebody who did not log in.
    pub holder: Option<Holder>,
    /// When it was issued.
    pub issued: Timestamp,
    /// From when on it is not valid any more.
    pub expires: Timestamp,
    /// The most that may be done with it.
    pub access: Access,
}

/// What a refresh token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefreshToken {
    /// Who holds it.
    pub holder: Holder,
    /// When it was issued.
    pub issued: Timestamp,
    /// From when on it is not valid any more.
    pub expires: Timestamp,
}

/// A text is not a token that may be used here and now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RegistryTokenError {
    /// It is no token of ours, or of the other kind, or was changed.
    #[error("the token is not one that this registry issued for this use")]
    Foreign,
    /// It was issued for another registry.
    #[error("the token was issued for another registry")]
    Audience,
    /// Its time is over, or has not come.
    #[error("the token has expired, log in again")]
    Expired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Access,
    Refresh,
}

impl Kind {
    const fn header(self) -> &'static str {
        match self {
            Self::Access => "lockyard-registry-access+jwt",
            Self::Refresh => "lockyard-registry-refresh+jwt",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Access => "access_token",
            Self::Refresh => "refresh_token",
        }
    }
}

/// The claims of both kinds, by the names that clients know.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    jti: String,
    iss: String,
    aud: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
    iat: i64,
    nbf: i64,
    exp: i64,
    /// `iat` to the microsecond: what is revoked ends what was issued before, not in that second.
    issued_at_micros: i64,
    grant_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    access: Option<Vec<Entry>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    permissions: Option<Permissions>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    actions: Vec<String>,
}

/// What Azure's refresh tokens say about the role behind them; ours decide nothing by it.
#[derive(Debug, Serialize, Deserialize)]
struct Permissions {
    actions: Vec<String>,
}

/// Writes an access token for the registry at `login_server`.
pub(super) fn write_access(
    keys: &TokenKeys,
    id: Guid,
    login_server: &str,
    token: &AccessToken,
) -> Option<String> {
    let entry = |kind: &str, name: &str, words: Vec<&str>| Entry {
        kind: kind.to_owned(),
        name: name.to_owned(),
        actions: words.into_iter().map(ToOwned::to_owned).collect(),
    };
    let listed = token.access.repositories();
    let mut access: Vec<Entry> =
        listed.map(|(name, verbs)| entry("repository", name, verbs.words())).collect();
    if token.access.catalog() {
        access.push(entry("registry", "catalog", vec!["*"]));
    }
    let stamp = Stamp { issued: token.issued, expires: token.expires };
    let claims = claims(Kind::Access, id, login_server, token.holder, stamp);
    write(keys, Kind::Access, &Claims { access: Some(access), ..claims })
}

/// Writes a refresh token for the registry at `login_server`; `verbs` are told, not granted.
pub(super) fn write_refresh(
    keys: &TokenKeys,
    id: Guid,
    login_server: &str,
    token: &RefreshToken,
    verbs: Verbs,
) -> Option<String> {
    let words = [
        (super::Verb::Pull, "read"),
        (super::Verb::Push, "write"),
        (super::Verb::Delete, "delete"),
    ];
    let held = words.into_iter().filter(|(verb, _)| verbs.contains(*verb));
    let permissions = Permissions { actions: held.map(|(_, word)| word.to_owned()).collect() };
    let stamp = Stamp { issued: token.issued, expires: token.expires };
    let claims = claims(Kind::Refresh, id, login_server, Some(token.holder), stamp);
    write(keys, Kind::Refresh, &Claims { permissions: Some(permissions), ..claims })
}

/// Reads an access token that was issued for the registry at `login_server`.
pub(super) fn read_access(
    keys: &TokenKeys,
    now: Timestamp,
    login_server: &str,
    text: &str,
) -> Result<AccessToken, RegistryTokenError> {
    let claims = read(keys, Kind::Access, now, login_server, text)?;
    let (holder, stamp) = (claims.holder()?, claims.stamp());
    let mut access = Access::default();
    for entry in claims.access.ok_or(RegistryTokenError::Foreign)? {
        match (entry.kind.as_str(), entry.name.as_str()) {
            ("repository", name) => access.add(name, entry.actions.iter().map(String::as_str)),
            ("registry", "catalog") => access.add_catalog(),
            _ => return Err(RegistryTokenError::Foreign),
        }
    }
    Ok(AccessToken { holder, issued: stamp.issued, expires: stamp.expires, access })
}

/// Reads a refresh token that was issued for the registry at `login_server`.
pub(super) fn read_refresh(
    keys: &TokenKeys,
    now: Timestamp,
    login_server: &str,
    text: &str,
) -> Result<RefreshToken, RegistryTokenError> {
    let claims = read(keys, Kind::Refresh, now, login_server, text)?;
    let holder = claims.holder()?.ok_or(RegistryTokenError::Foreign)?;
    let stamp = claims.stamp();
    Ok(RefreshToken { holder, issued: stamp.issued, expires: stamp.expires })
}

struct Stamp {
    issued: Timestamp,
    expires: Timestamp,
}

fn claims(
    kind: Kind,
    id: Guid,
    login_server: &str,
    holder: Option<Holder>,
    stamp: Stamp,
) -> Claims {
    Claims {
        jti: id.to_string(),
        iss: ISSUER.to_owned(),
        aud: login_server.to_owned(),
        sub: holder.map(|holder| holder.principal.to_string()),
        credential: holder.map(|holder| holder.credential.to_string()),
        iat: stamp.issued.as_secs(),
        nbf: stamp.issued.as_secs(),
        exp: stamp.expires.as_secs(),
        issued_at_micros: stamp.issued.as_micros(),
        grant_type: kind.word().to_owned(),
        access: None,
        permissions: None,
    }
}

impl Claims {
    fn holder(&self) -> Result<Option<Holder>, RegistryTokenError> {
        let foreign = |_| RegistryTokenError::Foreign;
        match (&self.sub, &self.credential) {
            (Some(principal), Some(credential)) => Ok(Some(Holder {
                principal: principal.parse().map_err(foreign)?,
                credential: credential.parse().map_err(foreign)?,
            })),
            (None, None) => Ok(None),
            _ => Err(RegistryTokenError::Foreign),
        }
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            issued: Timestamp::from_micros(self.issued_at_micros),
            expires: Timestamp::from_micros(self.exp.saturating_mul(1_000_000)),
        }
    }
}

fn write(keys: &TokenKeys, kind: Kind, claims: &Claims) -> Option<String> {
    let key = keys.signing()?;
    let header = Header {
        typ: Some(kind.header().to_owned()),
        kid: Some(key.id.clone()),
        ..Header::new(Algorithm::HS256)
    };
    encode(&header, claims, &key.signer).ok()
}

fn read(
    keys: &TokenKeys,
    kind: Kind,
    now: Timestamp,
    login_server: &str,
    text: &str,
) -> Result<Claims, RegistryTokenError> {
    let foreign = RegistryTokenError::Foreign;
    if text.len() > TOKEN_BYTES_MAX {
        return Err(foreign);
    }
    let header = decode_header(text).map_err(|_| foreign)?;
    if header.typ.as_deref() != Some(kind.header()) {
        return Err(foreign);
    }
    let key = header.kid.as_deref().and_then(|id| keys.find(id)).ok_or(foreign)?;
    // The algorithm is ours to say, never the header's. Time and audience are compared below: the
    // library would read the machine's clock, and tells no reason apart from another.
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    let claims = decode::<Claims>(text, &key.verifier, &validation).map_err(|_| foreign)?.claims;
    if claims.iss != ISSUER || claims.grant_type != kind.word() {
        return Err(foreign);
    }
    if claims.aud != login_server {
        return Err(RegistryTokenError::Audience);
    }
    let stamp = claims.stamp();
    if stamp.expires <= now || stamp.issued > now + SKEW {
        return Err(RegistryTokenError::Expired);
    }
    Ok(claims)
}
