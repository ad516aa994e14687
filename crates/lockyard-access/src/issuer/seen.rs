//! Tokens whose signature was found good: remembered, so that a client that uses one token for
//! thousands of requests costs one check of its signature and not thousands.
//!
//! Whether a key signed these bytes never changes; everything that can change about a token (time,
//! audience, the key that is still published, principal, credential, session) is looked at again for
//! each request. Kept are a hash of the whole token and what it says, never the token.

use std::{
    collections::HashMap,
    fmt, mem,
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{SHA256, digest};

use super::claims::AccessClaims;

/// The most tokens that are remembered. Beyond half of them the older half is forgotten, whose
/// signatures are checked anew.
const SEEN_MAX: usize = 4096;

/// A token's name here.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

impl TokenHash {
    /// The name of a token, signature included.
    pub(super) fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }
}

/// A token that a key of ours signed.
pub(super) struct Signed {
    /// The key's name.
    pub(super) kid: String,
    /// What the token says.
    pub(super) claims: AccessClaims,
}

/// The tokens that were seen lately.
#[derive(Default)]
pub(super) struct Seen(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<TokenHash, Arc<Signed>>,
    old: HashMap<TokenHash, Arc<Signed>>,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seen")
    }
}

impl Seen {
    /// What is known of a token.
    pub(super) fn get(&self, token: TokenHash) -> Option<Arc<Signed>> {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(signed) = generations.young.get(&token) {
            return Some(Arc::clone(signed));
        }
        let signed = generations.old.remove(&token)?;
        generations.keep(token, &signed);
        Some(signed)
    }

    /// Remembers a token whose signature is good.
    pub(super) fn put(&self, token: TokenHash, signed: &Arc<Signed>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keep(token, signed);
    }
}

impl Generations {
    fn keep(&mut self, token: TokenHash, signed: &Arc<Signed>) {
        if self.young.len() >= SEEN_MAX / 2 {
            self.old = mem::take(&mut self.young);
        }
        let _before = self.young.insert(token, Arc::clone(signed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed() -> Arc<Signed> {
        let claims = serde_json::json!({
            "aud": "", "iss": "", "iat": 0, "nbf": 0, "exp": 0, "tid": "", "oid": "", "sub": "",
            "ver": "", "uti": "", "idtyp": "", "lockyard_credential": "", "lockyard_proved": 0,
        });
        let claims = serde_json::from_value(claims).unwrap();
        Arc::new(Signed { kid: "k".to_owned(), claims })
    }

    fn name(number: usize) -> TokenHash {
        TokenHash::of(&number.to_string())
    }

    #[test]
    fn the_latest_half_is_always_known_and_no_more_than_the_most_ever() {
        let (seen, signed) = (Seen::default(), signed());
        for number in 0..2 * SEEN_MAX {
            seen.put(name(number), &signed);
        }
        let known = |number: &usize| seen.0.lock().unwrap().young.contains_key(&name(*number));
        let generations = seen.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= SEEN_MAX);
        drop(generations);
        assert!((2 * SEEN_MAX - SEEN_MAX / 2..2 * SEEN_MAX).all(|number| known(&number)));
        assert!(seen.get(name(0)).is_none());
    }

    #[test]
    fn what_is_used_is_not_forgotten() {
        let (seen, signed) = (Seen::default(), signed());
        seen.put(name(0), &signed);
        for number in 1..2 * SEEN_MAX {
            seen.put(name(number), &signed);
            assert!(seen.get(name(0)).is_some(), "after {number}");
        }
    }
}
