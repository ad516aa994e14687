//! The secrets this room works with, and how one secret is derived from another.
//!
//! A secret lives in its own heap cell that is wiped on drop. It can't be copied, compared,
//! serialized or printed; the one way to its bytes is named `dangerous_…`, so that a review can
//! find every use.

use std::fmt;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use lockyard_base::Entropy;
use secrecy::{ExposeSecret, SecretBox};
use zeroize::Zeroizing;

use crate::{Header, SegmentCipher};

/// The length in bytes of every symmetric secret: main keys, index keys, shares.
pub const KEY_LEN: usize = 32;

/// The key that a sealed stream is derived from: a blob key for a part, a row key for a row.
///
/// It never meets the cipher itself; each stream has a key of its own, derived by
/// [`MainKey::cipher`].
pub struct MainKey(Secret);

impl MainKey {
    /// Draws a fresh key.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        Self(Secret::generate(entropy))
    }

    /// Makes the key that has these bytes; the caller wipes its own copy.
    pub fn from_bytes(bytes: &[u8; KEY_LEN]) -> Self {
        Self(Secret::from_bytes(bytes))
    }

    /// The secret bytes, for whoever seals this key under another one.
    pub fn dangerous_expose(&self) -> &[u8; KEY_LEN] {
        self.0.dangerous_expose()
    }

    /// Derives the cipher of the one stream that has this `header` and is bound to `aad`.
    pub fn cipher(&self, header: &Header, aad: &[u8]) -> SegmentCipher {
        let derived = hkdf(header.salt(), self.0.dangerous_expose(), aad);
        SegmentCipher::new(&derived, *header.nonce_prefix())
    }
}

impl fmt::Debug for MainKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MainKey(…)")
    }
}

/// 32 secret bytes in a heap cell of their own.
pub(crate) struct Secret(SecretBox<[u8; KEY_LEN]>);

impl Secret {
    pub(crate) fn generate(entropy: &dyn Entropy) -> Self {
        let secret =
            Self(SecretBox::init_with_mut(|bytes: &mut [u8; KEY_LEN]| entropy.fill(bytes)));
        assert_ne!(secret.dangerous_expose(), &[0; KEY_LEN], "entropy filled the key");
        secret
    }

    pub(crate) fn from_bytes(bytes: &[u8; KEY_LEN]) -> Self {
        Self(SecretBox::init_with_mut(|cell: &mut [u8; KEY_LEN]| cell.copy_from_slice(bytes)))
    }

    pub(crate) fn dangerous_expose(&self) -> &[u8; KEY_LEN] {
        self.0.expose_secret()
    }
}

/// Derives 32 bytes by HKDF-SHA-256 (RFC 5869), extract and expand.
pub fn hkdf(salt: &[u8], ikm: &[u8], info: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
    expand(&Salt::new(HKDF_SHA256, salt).extract(ikm), info)
}

/// Derives 32 bytes by HKDF-Expand alone (RFC 5869 section 2.3) from a key that is already uniform.
pub fn hkdf_expand(prk: &[u8; KEY_LEN], info: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
    expand(&Prk::new_less_safe(HKDF_SHA256, prk), info)
}

fn expand(prk: &Prk, info: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
    struct OneKey;
    impl KeyType for OneKey {
        fn len(&self) -> usize {
            KEY_LEN
        }
    }

    let mut out = Zeroizing::new([0; KEY_LEN]);
    prk.expand(&[info], OneKey)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .expect("HKDF-SHA-256 yields 32 bytes for every input");
    assert_ne!(*out, [0; KEY_LEN], "a derived key was written");
    out
}

#[cfg(test)]
mod tests {
    use lockyard_base::SeededEntropy;

    use super::*;

    #[test]
    fn hkdf_agrees_with_the_first_and_third_test_case_of_rfc_5869() {
        let ikm = [0x0b; 22];
        let salt = hex::decode("000102030405060708090a0b0c").unwrap();
        let info = hex::decode("f0f1f2f3f4f5f6f7f8f9").unwrap();
        assert_eq!(
            hex::encode(*hkdf(&salt, &ikm, &info)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        );
        assert_eq!(
            hex::encode(*hkdf(&[], &ikm, &[])),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        );
    }

    #[test]
    fn expanding_alone_agrees_with_the_first_test_case_of_rfc_5869() {
        let prk = hex::decode("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
        let prk: [u8; KEY_LEN] = prk.unwrap().try_into().unwrap();
        let info = hex::decode("f0f1f2f3f4f5f6f7f8f9").unwrap();
        assert_eq!(
            hex::encode(*hkdf_expand(&prk, &info)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        );
    }

    #[test]
    fn a_key_does_not_print_its_bytes() {
        let key = MainKey::from_bytes(&[0xa5; KEY_LEN]);
        let printed = format!("{key:?}");
        assert!(!printed.contains("a5") && !printed.contains("165"), "{printed}");
    }

    #[test]
    fn two_generated_keys_differ() {
        let entropy = SeededEntropy::new(1);
        let (a, b) = (MainKey::generate(&entropy), MainKey::generate(&entropy));
        assert_ne!(a.dangerous_expose(), b.dangerous_expose());
    }
}
