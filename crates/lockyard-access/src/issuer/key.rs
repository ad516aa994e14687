//! The issuer's signing keys: made here, kept as sealed records, replaced before they grow old.
//!
//! A key is published a day before it signs, so that whoever keeps our key set for some hours
//! knows it when its first token comes, and stays published until the last token it signed has
//! expired. Which key signs follows from the times in the records and the clock, so there is no
//! state that a crash could leave half-way.
//!
//! aws-lc draws its own randomness for making a key; RS256 needs none for signing.

use std::{fmt, sync::Arc, time::Duration};

use aws_lc_rs::{
    digest::{SHA256, digest},
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use lockyard_base::{Clock, Timestamp};
use thiserror::Error;
use zeroize::Zeroizing;

use super::ACCESS_TOKEN_LIFE;
use crate::{RecordError, Records};

/// How long a key signs.
pub const KEY_SIGNS_FOR: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How long before its first signature a key is published.
pub const KEY_PUBLISHED_AHEAD: Duration = Duration::from_secs(24 * 60 * 60);
/// How long after its last token's end a key is kept, for clocks that differ.
const KEY_KEPT_AFTER: Duration = Duration::from_secs(60 * 60);
/// The most keys that are kept at once; a key that is made beyond drops the oldest.
pub const KEYS_MAX: usize = 8;

/// The kind of the records.
const KIND: &str = "issuer-key";

/// The signing keys could not be read or made.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The records failed.
    #[error("the issuer's keys cannot be read or written")]
    Records(#[source] RecordError),
    /// A record does not hold a key.
    #[error("a signing key of the issuer is damaged")]
    Damaged,
    /// No key could be made.
    #[error("no signing key could be made")]
    Generate,
}

impl From<RecordError> for KeyError {
    fn from(error: RecordError) -> Self {
        Self::Records(error)
    }
}

/// One signing key.
pub(crate) struct SigningKey {
    /// Its name in headers and in the key set: the start of a hash of its modulus.
    pub(crate) kid: String,
    /// The public modulus and exponent, big-endian.
    pub(crate) modulus: Vec<u8>,
    pub(crate) exponent: Vec<u8>,
    /// Verifies what it signed.
    pub(crate) verifier: DecodingKey,
    signs_from: Timestamp,
    pair: RsaKeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

impl SigningKey {
    fn generate(signs_from: Timestamp) -> Result<(Self, Zeroizing<Vec<u8>>), KeyError> {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| KeyError::Generate)?;
        let der = pair.as_der().map_err(|_| KeyError::Generate)?;
        let der: &Pkcs8V1Der<'_> = &der;
        let time = signs_from.as_micros().to_be_bytes();
        let mut value = Zeroizing::new(Vec::with_capacity(2048));
        value.extend_from_slice(&time);
        value.extend_from_slice(der.as_ref());
        Ok((Self::new(pair, signs_from), value))
    }

    fn read(value: &[u8]) -> Result<Self, KeyError> {
        let (time, der) = value.split_first_chunk::<8>().ok_or(KeyError::Damaged)?;
        let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::Damaged)?;
        Ok(Self::new(pair, Timestamp::from_micros(i64::from_be_bytes(*time))))
    }

    fn new(pair: RsaKeyPair, signs_from: Timestamp) -> Self {
        let public = pair.public_key();
        let modulus = public.modulus().big_endian_without_leading_zero().to_vec();
        let exponent = public.exponent().big_endian_without_leading_zero().to_vec();
        let hash = digest(&SHA256, &modulus);
        let kid = URL_SAFE_NO_PAD.encode(hash.as_ref().split_at(16).0);
        let verifier = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
        Self { kid, modulus, exponent, verifier, signs_from, pair }
    }

    /// Signs as RS256 says (RFC 7518 section 3.3).
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .ok()
            .map(|()| signature)
    }
}

/// All keys that are published, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct KeyRing(Vec<Arc<SigningKey>>);

impl KeyRing {
    /// The key that signs now: the newest whose time has come.
    pub(crate) fn signer(&self, now: Timestamp) -> Option<&SigningKey> {
        let ready = self.0.iter().rev().find(|key| key.signs_from <= now);
        // A clock that was set back finds no key whose time has come; the oldest serves then.
        ready.or_else(|| self.0.first()).map(|key| &**key)
    }

    /// The key of this name.
    pub(crate) fn named(&self, kid: &str) -> Option<&SigningKey> {
        self.0.iter().find(|key| key.kid == kid).map(|key| &**key)
    }

    /// All keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.0.iter().map(|key| &**key)
    }
}

/// How a new key takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It signs from now on; tokens of the old ones stay good until they expire.
    Overlap,
    /// It signs from now on; tokens of the old ones are worth nothing from this moment.
    Compromised,
}

/// Reads the keys, and makes the first if there is none. Blocks.
pub(crate) fn open(records: &Records, clock: &dyn Clock) -> Result<KeyRing, KeyError> {
    let mut ring = load(records)?;
    if ring.0.is_empty() {
        make(records, &mut ring, clock.wall())?;
    }
    Ok(ring)
}

/// Makes the next key in time and forgets those whose last token has expired. Blocks.
pub(crate) fn tend(records: &Records, clock: &dyn Clock) -> Result<KeyRing, KeyError> {
    let now = clock.wall();
    let mut ring = open(records, clock)?;
    if let Some(newest) = ring.0.last() {
        let successor = newest.signs_from + KEY_SIGNS_FOR;
        if successor.saturating_sub(KEY_PUBLISHED_AHEAD) <= now {
            // After a long sleep the successor's time has passed; it is published ahead all the same.
            let signs_from = successor.max(now + KEY_PUBLISHED_AHEAD);
            make(records, &mut ring, signs_from)?;
        }
    }
    let kept = |signs_until: Timestamp| signs_until + ACCESS_TOKEN_LIFE + KEY_KEPT_AFTER > now;
    drop_oldest(records, &mut ring, |_, next| !kept(next))?;
    Ok(ring)
}

/// Makes a key that signs at once. Blocks.
pub(crate) fn rotate(
    records: &Records,
    clock: &dyn Clock,
    rotation: Rotation,
) -> Result<KeyRing, KeyError> {
    let now = clock.wall();
    let mut ring = load(records)?;
    // Keys that have not signed yet would take over again when their time comes.
    while let Some(key) = ring.0.pop_if(|key| key.signs_from > now) {
        records.remove(KIND, key.kid.as_bytes())?;
    }
    make(records, &mut ring, now)?;
    match rotation {
        Rotation::Overlap => drop_oldest(records, &mut ring, |keys, _| keys > KEYS_MAX)?,
        Rotation::Compromised => drop_oldest(records, &mut ring, |keys, _| keys > 1)?,
    }
    Ok(ring)
}

fn load(records: &Records) -> Result<KeyRing, KeyError> {
    let mut keys = Vec::new();
    for record in records.list(KIND)? {
        keys.push(Arc::new(SigningKey::read(&record.value)?));
    }
    keys.sort_by_key(|key| key.signs_from);
    Ok(KeyRing(keys))
}

fn make(records: &Records, ring: &mut KeyRing, signs_from: Timestamp) -> Result<(), KeyError> {
    let (key, value) = SigningKey::generate(signs_from)?;
    records.put(KIND, key.kid.as_bytes(), &value)?;
    ring.0.push(Arc::new(key));
    Ok(())
}

/// Forgets the oldest key for as long as `is_over` says so of the number of keys and of the time
/// when the next one took over.
fn drop_oldest(
    records: &Records,
    ring: &mut KeyRing,
    is_over: impl Fn(usize, Timestamp) -> bool,
) -> Result<(), KeyError> {
    while let [oldest, next, ..] = ring.0.as_slice() {
        if !is_over(ring.0.len(), next.signs_from) {
            break;
        }
        records.remove(KIND, oldest.kid.as_bytes())?;
        let _gone = ring.0.remove(0);
    }
    Ok(())
}
