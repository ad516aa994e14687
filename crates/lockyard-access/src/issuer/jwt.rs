//! Signed tokens in their compact form (RFC 7515, RFC 7519): written with our keys, read with keys
//! that the caller chose.
//!
//! Reading goes through the `jsonwebtoken` crate: which algorithms are taken is said by whoever
//! reads, the key was chosen before, and nothing in a token's header chooses either. Times are
//! compared by the caller, with our clock. Writing puts the three pieces together here, because the
//! library parses a private key anew for each signature, which costs twice what signing costs.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::key::SigningKey;

/// The longest token that is read, in bytes. External issuers put groups and claims in theirs.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// A text is not a token that can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JwtError {
    /// Not three pieces of base64url with JSON in them, or too long.
    #[error("the token is malformed")]
    Malformed,
    /// Signed in a way that is not taken here, or not at all.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// The signature is not of this key.
    #[error("the token's signature is wrong")]
    Signature,
}

/// The header of a token, as far as it is looked at before its signature is.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Header {
    pub(crate) alg: String,
    pub(crate) kid: Option<String>,
    pub(crate) x5t: Option<String>,
    #[serde(rename = "x5t#S256")]
    pub(crate) x5t_sha256: Option<String>,
    /// Whoever does not know what is in it must refuse (RFC 7515 section 4.1.11); nothing is known.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct OwnHeader<'h> {
    typ: &'static str,
    alg: &'static str,
    kid: &'h str,
    /// Older clients look for the key's name here.
    x5t: &'h str,
}

/// Writes a token; `None` only if the claims cannot be written or the key fails.
pub(crate) fn write(key: &SigningKey, claims: &impl Serialize) -> Option<String> {
    let header = OwnHeader { typ: "JWT", alg: "RS256", kid: &key.kid, x5t: &key.kid };
    let mut token = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).ok()?);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).ok()?, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Some(token)
}

/// Reads a token's header, which proves nothing.
pub(crate) fn header(token: &str) -> Result<Header, JwtError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JwtError::Malformed);
    }
    let (header, _) = token.split_once('.').ok_or(JwtError::Malformed)?;
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| JwtError::Malformed)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| JwtError::Malformed)?;
    if header.crit.is_some() {
        return Err(JwtError::Malformed);
    }
    Ok(header)
}

/// Reads a token's claims without its signature; good only for choosing the key to check it with.
pub(crate) fn dangerous_claims<T: DeserializeOwned>(token: &str) -> Result<T, JwtError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JwtError::Malformed);
    }
    jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| JwtError::Malformed)
}

/// Reads a token that `key` signed by one of `algorithms`.
pub(crate) fn read<T: DeserializeOwned>(
    token: &str,
    key: &DecodingKey,
    algorithms: &[Algorithm],
) -> Result<T, JwtError> {
    let header = header(token)?;
    let known = algorithms.iter().find(|algorithm| name(**algorithm) == header.alg);
    let algorithm = *known.ok_or(JwtError::Algorithm)?;
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    // The library reads the machine's clock; whoever called compares times, issuer and audience.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    let read = jsonwebtoken::decode::<T>(token, key, &validation);
    read.map(|data| data.claims).map_err(|error| match error.kind() {
        jsonwebtoken::errors::ErrorKind::InvalidSignature => JwtError::Signature,
        jsonwebtoken::errors::ErrorKind::InvalidAlgorithm => JwtError::Algorithm,
        _ => JwtError::Malformed,
    })
}

const fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256",
        Algorithm::PS256 => "PS256",
        // None of the others is ever asked for.
        _ => "",
    }
}

/// `aud` is one string or several (RFC 7519 section 4.1.3).
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// All of them.
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}
