//! Proofs by password that were given a moment ago.
//!
//! Some clients send the password with each request. Stretching it each time would cost 64 MiB and
//! a core for a tenth of a second per request, so that a proof is remembered for a few minutes:
//! under a keyed hash of name and password, the key of which never leaves this process. All are
//! forgotten with the next change of the directory, so that what is taken away counts at once.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};
use lockyard_base::{Entropy, Timestamp};
use zeroize::Zeroizing;

use super::{
    Presented, Proof,
    limit::{PROOF_LIFE, PROOFS_MAX},
};

/// Name and password, hashed under this process's key.
type Shown = [u8; 32];

/// What was proved, as long as nothing changes.
pub(super) struct Remembered {
    key: Key,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The version of the directory that the proofs were given under.
    version: u64,
    proofs: HashMap<Shown, Proof>,
}

impl Remembered {
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        let key = Zeroizing::new(entropy.bytes::<32>());
        Self { key: Key::new(HMAC_SHA256, key.as_slice()), kept: Mutex::default() }
    }

    /// The proof that was given for this name and password under `version` of the directory.
    pub(super) fn get(
        &self,
        version: u64,
        now: Timestamp,
        name: &str,
        password: &Presented,
    ) -> Option<Proof> {
        let shown = self.shown(name, password);
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let proof = kept.proofs.get(&shown).filter(|proof| lives(proof, now)).copied();
        proof.filter(|_| kept.version == version)
    }

    /// Keeps a proof that was given under `version` of the directory.
    pub(super) fn put(&self, version: u64, name: &str, password: &Presented, proof: Proof) {
        let shown = self.shown(name, password);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if version < kept.version {
            return;
        }
        if version > kept.version {
            *kept = Kept { version, ..Kept::default() };
        }
        if kept.proofs.len() >= PROOFS_MAX {
            kept.proofs.retain(|_, kept| lives(kept, proof.at));
        }
        if kept.proofs.len() >= PROOFS_MAX {
            // Whoever is forgotten is stretched once more.
            kept.proofs.clear();
        }
        let _before = kept.proofs.insert(shown, proof);
    }

    fn shown(&self, name: &str, password: &Presented) -> Shown {
        let mut context = Context::with_key(&self.key);
        // Lengths first: no name and password are taken for another name and password.
        context.update(&name.len().to_be_bytes());
        context.update(name.as_bytes());
        context.update(password.as_bytes());
        let mut shown = Shown::default();
        shown.copy_from_slice(context.sign().as_ref());
        shown
    }
}

fn lives(proof: &Proof, now: Timestamp) -> bool {
    proof.at <= now && now < proof.at + PROOF_LIFE
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Remembered(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lockyard_base::{Guid, SeededEntropy};

    use super::*;
    use crate::{
        PrincipalId,
        directory::{CredentialId, Method},
    };

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn proof(at: Timestamp) -> Proof {
        let id = Guid::from_bytes([7; 16]);
        Proof::new(PrincipalId::new(id), CredentialId::new(id), Method::Password, at)
    }

    fn with_one() -> Remembered {
        let remembered = Remembered::new(&SeededEntropy::new(5));
        remembered.put(3, "ada", &Presented::from("secret"), proof(NOW));
        remembered
    }

    #[test]
    fn a_proof_is_remembered_for_its_name_and_password_alone() {
        let remembered = with_one();
        let get = |name: &str, password: &str| {
            remembered.get(3, NOW, name, &Presented::from(password)).is_some()
        };
        assert!(get("ada", "secret"));
        for (name, password) in [("ada", "secre"), ("adas", "ecret"), ("ad", "asecret"), ("", "")] {
            assert!(!get(name, password), "{name} {password}");
        }
        let other = Remembered::new(&SeededEntropy::new(6));
        let secret = Presented::from("secret");
        assert_ne!(other.shown("ada", &secret), remembered.shown("ada", &secret));
    }

    #[test]
    fn a_proof_is_forgotten_with_time_and_with_every_change() {
        let remembered = with_one();
        let secret = Presented::from("secret");
        let get = |version, at| remembered.get(version, at, "ada", &secret).is_some();
        let micro = Duration::from_micros(1);
        assert!(get(3, NOW + PROOF_LIFE.saturating_sub(micro)));
        assert!(!get(3, NOW + PROOF_LIFE));
        assert!(!get(3, Timestamp::from_micros(NOW.as_micros() - 1)), "the clock was set back");
        assert!(!get(4, NOW) && !get(2, NOW));
        remembered.put(2, "eve", &secret, proof(NOW));
        assert!(remembered.get(3, NOW, "eve", &secret).is_none(), "proved before the change");
        remembered.put(4, "eve", &secret, proof(NOW));
        assert!(!get(3, NOW) && !get(4, NOW));
        assert!(remembered.get(4, NOW, "eve", &secret).is_some());
    }

    #[test]
    fn no_more_proofs_are_kept_than_there_is_room_for() {
        let remembered = with_one();
        let secret = Presented::from("secret");
        for number in 1..PROOFS_MAX {
            remembered.put(3, &number.to_string(), &secret, proof(NOW));
        }
        let len = || remembered.kept.lock().unwrap().proofs.len();
        assert_eq!(len(), PROOFS_MAX);
        remembered.put(3, "more", &secret, proof(NOW));
        assert_eq!(len(), 1);
    }
}
