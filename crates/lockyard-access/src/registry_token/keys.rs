//! The keys that registry tokens are signed with: a sealed record of the instance.
//!
//! Nobody but us ever checks such a token, so the signature is an HMAC: as cheap to check as a
//! cached answer would be to look up, and under keys that sign nothing else, so that no other
//! token of ours can be taken for one of these (decision 0005). A key signs for a while and is
//! kept until the last token that it signed has expired.

use std::{fmt, time::Duration};

use jsonwebtoken::{DecodingKey, EncodingKey};
use lockyard_base::{Entropy, Timestamp};
use zeroize::Zeroizing;

/// How long a key signs.
pub(super) const SIGNING_TIME: Duration = Duration::from_secs(90 * 86_400);

/// The most keys at a time: what a longest life of a year needs, and room for clocks that jump.
const KEYS_MAX: usize = 16;

const VERSION: u8 = 1;
const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const KEY_BYTES: usize = ID_BYTES + 8 + SECRET_BYTES;

/// One key. Wiped on drop by its holders.
pub(super) struct TokenKey {
    /// Names the key in the header of a token; says nothing about it.
    pub(super) id: String,
    made_at: Timestamp,
    pub(super) signer: EncodingKey,
    pub(super) verifier: DecodingKey,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

/// All keys whose tokens may still be about, oldest first; the last one signs.
#[derive(Debug)]
pub(super) struct TokenKeys(Vec<TokenKey>);

impl TokenKey {
    fn generate(entropy: &dyn Entropy, now: Timestamp) -> Self {
        let id = hex::encode(entropy.bytes::<ID_BYTES>());
        Self::new(id, now, Zeroizing::new(entropy.bytes()))
    }

    fn new(id: String, made_at: Timestamp, secret: Zeroizing<[u8; SECRET_BYTES]>) -> Self {
        let signer = EncodingKey::from_secret(&*secret);
        let verifier = DecodingKey::from_secret(&*secret);
        Self { id, made_at, signer, verifier, secret }
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({})", self.id)
    }
}

impl TokenKeys {
    /// No key yet.
    pub(super) const fn none() -> Self {
        Self(Vec::new())
    }

    /// Reads the record; `None` if it was not written by this code.
    pub(super) fn read(record: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = record.split_first()? else { return None };
        let (keys, rest) = rest.as_chunks::<KEY_BYTES>();
        if !rest.is_empty() || keys.is_empty() || keys.len() > KEYS_MAX {
            return None;
        }
        let read = |key: &[u8; KEY_BYTES]| {
            let (id, rest) = key.split_first_chunk::<ID_BYTES>()?;
            let (made_at, secret) = rest.split_first_chunk::<8>()?;
            let secret = Zeroizing::new(secret.try_into().ok()?);
            let made_at = Timestamp::from_micros(i64::from_be_bytes(*made_at));
            Some(TokenKey::new(hex::encode(id), made_at, secret))
        };
        keys.iter().map(read).collect::<Option<_>>().map(Self)
    }

    /// The record of these keys.
    pub(super) fn write(&self) -> Zeroizing<Vec<u8>> {
        let mut record = Zeroizing::new(Vec::with_capacity(1 + self.0.len() * KEY_BYTES));
        record.push(VERSION);
        for key in &self.0 {
            record.extend(hex::decode(&key.id).expect("the id was made as hex"));
            record.extend(key.made_at.as_micros().to_be_bytes());
            record.extend_from_slice(&*key.secret);
        }
        record
    }

    /// Whether another key should sign from now on.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.0.last().is_none_or(|key| key.made_at + SIGNING_TIME <= now)
    }

    /// These keys and a new one that signs, without those whose tokens, which live for `life` at
    /// most, have all expired.
    pub(super) fn rotated(&self, entropy: &dyn Entropy, now: Timestamp, life: Duration) -> Self {
        let successors = self.0.iter().skip(1).map(|key| key.made_at).chain([now]);
        let kept = self.0.iter().zip(successors).filter(|(_, until)| *until + life > now);
        let mut keys: Vec<TokenKey> = kept
            .map(|(key, _)| TokenKey::new(key.id.clone(), key.made_at, key.secret.clone()))
            .collect();
        // Only a clock that was set back and forth makes so many; the oldest go first.
        keys.drain(..(keys.len() + 1).saturating_sub(KEYS_MAX));
        keys.push(TokenKey::generate(entropy, now));
        Self(keys)
    }

    /// The key that signs.
    pub(super) fn signing(&self) -> Option<&TokenKey> {
        self.0.last()
    }

    /// The key of this id.
    pub(super) fn find(&self, id: &str) -> Option<&TokenKey> {
        self.0.iter().find(|key| key.id == id)
    }
}

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;
    use proptest::prelude::*;

    use super::*;

    const LIFE: Duration = Duration::from_secs(365 * 86_400);

    fn at(days: u64) -> Timestamp {
        Timestamp::from_micros(0) + Duration::from_secs(days * 86_400)
    }

    #[test]
    fn keys_read_back_as_written() {
        let entropy = SeededEntropy::new(1);
        let keys = TokenKeys::none().rotated(&entropy, at(0), LIFE);
        let keys = keys.rotated(&entropy, at(90), LIFE);
        let record = keys.write();
        let read = TokenKeys::read(&record).unwrap();
        assert_eq!(*read.write(), *record);
        let id = &keys.signing().unwrap().id;
        assert_eq!(read.signing().map(|key| &key.id), Some(id));
        assert!(read.find("0011223344556677").is_none());
        for cut in 0..record.len() {
            let whole = cut == 1 + KEY_BYTES;
            assert_eq!(TokenKeys::read(&record[..cut]).is_some(), whole, "{cut}");
        }
    }

    #[test]
    fn a_key_stays_until_its_last_token_has_expired_and_no_longer() {
        let entropy = SeededEntropy::new(1);
        let mut keys = TokenKeys::none();
        assert!(keys.is_due(at(0)));
        let mut ids = Vec::new();
        for day in (0..900).step_by(90) {
            assert!(keys.is_due(at(day)));
            keys = keys.rotated(&entropy, at(day), LIFE);
            assert!(!keys.is_due(at(day + 89)));
            ids.push((day, keys.signing().unwrap().id.clone()));
            for (made, id) in &ids {
                // It signed for 90 days, and what it signed last lives for 365 more.
                assert_eq!(keys.find(id).is_some(), day < made + 90 + 365, "{made} on {day}");
            }
        }
    }

    #[test]
    fn a_clock_that_jumps_does_not_pile_up_keys() {
        let entropy = SeededEntropy::new(1);
        let mut keys = TokenKeys::none();
        for _ in 0..3 * KEYS_MAX {
            keys = keys.rotated(&entropy, at(0), LIFE);
        }
        assert_eq!(keys.0.len(), KEYS_MAX);
        assert!(TokenKeys::read(&keys.write()).is_some());
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let _read = TokenKeys::read(&bytes);
        }
    }
}
