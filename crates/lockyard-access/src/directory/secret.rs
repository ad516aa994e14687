//! What people and programs show to prove who they are, and what is kept of it.
//!
//! A client secret has 256 random bits, so that a plain SHA-256 of it is kept (DESIGN 12): there is
//! nothing to guess and nothing to stretch.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use lockyard_base::{Entropy, Timestamp};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::CredentialId;

/// A secret or password that somebody shows; wiped on drop.
pub struct Presented(Zeroizing<String>);

impl Presented {
    /// Takes it over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Presented {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl fmt::Debug for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Presented(…)")
    }
}

/// A secret or password that was just made, to be shown once; wiped on drop.
pub struct NewSecret(Zeroizing<String>);

impl NewSecret {
    /// A client secret of 256 random bits.
    ///
    /// It begins with a letter or a digit: what begins with a hyphen, command lines take for an
    /// option (`az login -p …`). Drawing again costs a twentieth of a bit.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        loop {
            let bits = Zeroizing::new(entropy.bytes::<32>());
            let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(bits.as_slice()));
            if text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
                return Self(text);
            }
        }
    }

    /// A password that a person can type: five groups of five letters and digits, of which none is
    /// mistaken for another; 125 random bits.
    pub fn password(entropy: &dyn Entropy) -> Self {
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let bits = Zeroizing::new(entropy.bytes::<25>());
        let mut text = Zeroizing::new(String::with_capacity(29));
        for (place, byte) in bits.iter().enumerate() {
            if place > 0 && place % 5 == 0 {
                text.push('-');
            }
            text.push(char::from(LETTERS[usize::from(byte % 32)]));
        }
        Self(text)
    }

    /// The text to hand to whom it belongs.
    pub fn dangerous_expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewSecret(…)")
    }
}

/// What is kept of a client secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret {
    /// The secret's id.
    pub id: CredentialId,
    /// What people call it.
    pub display_name: Option<String>,
    /// Its first three characters, so that people can tell which one it is.
    pub hint: String,
    /// From when it is valid.
    pub starts: Timestamp,
    /// Until when it is valid.
    pub expires: Timestamp,
    hash: [u8; 32],
}

/// How many characters of a secret are kept as a hint.
const HINT_CHARS: usize = 3;

impl ClientSecret {
    pub(super) fn new(
        id: CredentialId,
        display_name: Option<String>,
        secret: &NewSecret,
        starts: Timestamp,
        expires: Timestamp,
    ) -> Self {
        let text = secret.dangerous_expose();
        let hint = text.chars().take(HINT_CHARS).collect();
        Self { id, display_name, hint, starts, expires, hash: hash(text.as_bytes()) }
    }

    /// One whose secret is not known any more.
    pub(super) fn from_hash(
        id: CredentialId,
        display_name: Option<String>,
        hint: String,
        (starts, expires): (Timestamp, Timestamp),
        hash: [u8; 32],
    ) -> Self {
        Self { id, display_name, hint, starts, expires, hash }
    }

    pub(super) fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Whether `hashed` is the hash of this secret; takes the same time for every wrong one.
    pub(super) fn is(&self, hashed: &[u8; 32]) -> bool {
        self.hash.ct_eq(hashed).into()
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientSecret({})", self.id)
    }
}

pub(super) fn hash(secret: &[u8]) -> [u8; 32] {
    digest(&SHA256, secret).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;

    use super::*;

    #[test]
    fn no_secret_looks_like_an_option() {
        let entropy = SeededEntropy::new(6);
        for _ in 0..500 {
            let secret = NewSecret::generate(&entropy);
            assert!(secret.dangerous_expose().starts_with(|c: char| c.is_ascii_alphanumeric()));
        }
    }

    #[test]
    fn a_secret_and_a_password_have_their_length_and_show_nothing() {
        let entropy = SeededEntropy::new(5);
        let (secret, password) = (NewSecret::generate(&entropy), NewSecret::password(&entropy));
        assert_eq!(secret.dangerous_expose().len(), 43);
        assert_eq!(password.dangerous_expose().len(), 29);
        assert_eq!(password.dangerous_expose().split('-').count(), 5);
        assert_eq!(format!("{secret:?} {password:?}"), "NewSecret(…) NewSecret(…)");
        let shown = Presented::from("told");
        assert_eq!(format!("{shown:?}"), "Presented(…)");
    }
}
