//! Digests of content, in the two algorithms that OCI Image 1.1 requires.
//!
//! A digest is kept as raw bytes, so that a spelling can never matter again after parsing. Its
//! compact binary form is what rows and blind indexes hold.

use std::{fmt, str::FromStr};

use sha2::{Digest as _, Sha256, Sha512};
use thiserror::Error;

/// A digest algorithm that content can be addressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, the one that clients use.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Every algorithm that is understood.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// The name as it stands before the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The length of a digest in bytes.
    pub const fn digest_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The byte that stands for the algorithm in everything persisted; never reused or changed.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
        }
    }

    /// The algorithm that `code` stands for.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.code() == code)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        if let Some(algorithm) = Self::ALL.into_iter().find(|a| a.as_str() == text) {
            Ok(algorithm)
        } else if is_algorithm(text) {
            Err(DigestError::UnsupportedAlgorithm { algorithm: text.to_owned() })
        } else {
            Err(DigestError::Malformed)
        }
    }
}

/// The name of content: an algorithm and the hash of the bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Raw);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Raw {
    Sha256([u8; 32]),
    Sha512([u8; 64]),
}

/// A text or byte string that is not a digest we can work with; answered with `DIGEST_INVALID`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DigestError {
    /// The text does not follow the grammar, or its hash is not the algorithm's.
    #[error("a digest is an algorithm, a colon and the hash in lower-case hexadecimal digits")]
    Malformed,
    /// The text may be a digest, but of an algorithm that is not understood.
    #[error("the digest algorithm `{algorithm}` is not supported, use sha256 or sha512")]
    UnsupportedAlgorithm {
        /// The name before the colon; at most 32 characters of `[a-z0-9+._-]`.
        algorithm: String,
    },
}

impl Digest {
    /// Computes the digest of `content`.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::sha256(Sha256::digest(content).into()),
            Algorithm::Sha512 => Self::sha512(Sha512::digest(content).into()),
        }
    }

    /// Makes the SHA-256 digest that has these bytes.
    pub const fn sha256(raw: [u8; 32]) -> Self {
        Self(Raw::Sha256(raw))
    }

    /// Makes the SHA-512 digest that has these bytes.
    pub const fn sha512(raw: [u8; 64]) -> Self {
        Self(Raw::Sha512(raw))
    }

    /// The algorithm of the hash.
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Raw::Sha256(_) => Algorithm::Sha256,
            Raw::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// The hash itself: 32 or 64 bytes.
    pub const fn raw(&self) -> &[u8] {
        match &self.0 {
            Raw::Sha256(raw) => raw,
            Raw::Sha512(raw) => raw,
        }
    }

    /// The hash in lower-case hexadecimal digits, without the algorithm.
    pub fn encoded(&self) -> String {
        hex::encode(self.raw())
    }

    /// The compact binary form: one byte for the algorithm (1 SHA-256, 2 SHA-512), then the hash.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.raw().len());
        bytes.push(self.algorithm().code());
        bytes.extend_from_slice(self.raw());
        bytes
    }

    /// Reads the compact binary form; any other length or first byte is malformed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DigestError> {
        let (&code, raw) = bytes.split_first().ok_or(DigestError::Malformed)?;
        let algorithm = Algorithm::from_code(code).ok_or(DigestError::Malformed)?;
        Self::from_raw(algorithm, raw).ok_or(DigestError::Malformed)
    }

    /// Makes the digest of `algorithm` with this hash, if the length fits.
    pub fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Sha256 => raw.try_into().ok().map(Self::sha256),
            Algorithm::Sha512 => raw.try_into().ok().map(Self::sha512),
        }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, encoded) = text.split_once(':').ok_or(DigestError::Malformed)?;
        let algorithm: Algorithm = algorithm.parse()?;
        if encoded.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(DigestError::Malformed);
        }
        let mut buffer = [0; 64];
        let raw = &mut buffer[..algorithm.digest_bytes()];
        hex::decode_to_slice(encoded, raw).map_err(|_| DigestError::Malformed)?;
        Self::from_raw(algorithm, raw).ok_or(DigestError::Malformed)
    }
}

impl TryFrom<&str> for Digest {
    type Error = DigestError;

    fn try_from(text: &str) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; 128];
        let digits = &mut buffer[..2 * self.raw().len()];
        let encoded = hex::encode_to_slice(self.raw(), digits).ok();
        let text = encoded.and_then(|()| std::str::from_utf8(digits).ok());
        write!(f, "{}:{}", self.algorithm(), text.expect("the digits of a hash fit and are ASCII"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Whether `text` is an algorithm by the grammar of OCI Image 1.1 "Digests", and not too long.
fn is_algorithm(text: &str) -> bool {
    // 32 is where the referrers tag schema cuts an algorithm; longer ones are nobody's.
    text.len() <= 32
        && text
            .split(['+', '.', '_', '-'])
            .all(|part| !part.is_empty() && part.bytes().all(is_alphanumeric))
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY_SHA256: &str =
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const EMPTY_SHA512: &str = "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
         47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

    fn unsupported(algorithm: &str) -> DigestError {
        DigestError::UnsupportedAlgorithm { algorithm: algorithm.to_owned() }
    }

    #[test]
    fn the_digests_of_nothing_are_the_known_ones() {
        assert_eq!(Digest::of(Algorithm::Sha256, b"").to_string(), EMPTY_SHA256);
        assert_eq!(Digest::of(Algorithm::Sha512, b"").to_string(), EMPTY_SHA512);
        assert_eq!(EMPTY_SHA256.parse(), Ok(Digest::of(Algorithm::Sha256, b"")));
        assert_eq!(EMPTY_SHA512.parse(), Ok(Digest::of(Algorithm::Sha512, b"")));
    }

    #[test]
    fn malformed_digests_are_told_apart_from_unsupported_ones() {
        let upper = EMPTY_SHA256.to_uppercase().replace("SHA", "sha");
        let swapped = EMPTY_SHA256.replace("256", "512");
        let long = format!("{EMPTY_SHA256}0");
        for text in [
            "",
            ":",
            "sha256",
            "sha256:",
            ":abc",
            "sha256:abc",
            "sha256:zz",
            &upper,
            &swapped,
            &long,
            "SHA256:abc",
            "sha256::",
            "a b:c",
            "+a:b",
            "a++b:c",
            "sha 256:00",
        ] {
            assert_eq!(text.parse::<Digest>(), Err(DigestError::Malformed), "{text:?}");
        }
        for (text, algorithm) in [
            ("md5:d41d8cd98f00b204e9800998ecf8427e", "md5"),
            ("sha384:00", "sha384"),
            ("multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8", "multihash+base58"),
        ] {
            assert_eq!(text.parse::<Digest>(), Err(unsupported(algorithm)), "{text:?}");
        }
    }

    #[test]
    fn an_algorithms_name_may_be_32_characters_long_and_not_33() {
        for length in [31, 32] {
            let name = "a".repeat(length);
            assert_eq!(name.parse::<Algorithm>(), Err(unsupported(&name)));
        }
        assert_eq!("a".repeat(33).parse::<Algorithm>(), Err(DigestError::Malformed));
    }

    #[test]
    fn the_binary_form_is_what_rows_hold() {
        let bytes = Digest::of(Algorithm::Sha256, b"").to_bytes();
        assert_eq!((bytes.len(), &bytes[..3]), (33, &[1, 0xe3, 0xb0][..]));
        let bytes = Digest::of(Algorithm::Sha512, b"").to_bytes();
        assert_eq!((bytes.len(), &bytes[..3]), (65, &[2, 0xcf, 0x83][..]));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in any::<String>()) {
            drop(text.parse::<Digest>());
            drop(format!("sha256:{text}").parse::<Digest>());
        }

        #[test]
        fn every_digest_roundtrips(content: Vec<u8>, long: bool) {
            let algorithm = if long { Algorithm::Sha512 } else { Algorithm::Sha256 };
            let digest = Digest::of(algorithm, &content);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            prop_assert_eq!(Digest::from_bytes(&digest.to_bytes()), Ok(digest));
        }

        #[test]
        fn bytes_that_are_a_digest_are_its_only_form(bytes in prop::collection::vec(0..4_u8, 0..70)) {
            if let Ok(digest) = Digest::from_bytes(&bytes) {
                prop_assert_eq!(digest.to_bytes(), bytes);
            }
        }
    }
}
