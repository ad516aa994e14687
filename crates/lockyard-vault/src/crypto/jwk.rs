//! Private keys that come from outside, as the components of a JSON Web Key (RFC 7518, section 6).
//!
//! Whoever reads the JSON decodes base64url and hands the bytes over; they are wiped on drop and
//! never printed.

use std::fmt;

use zeroize::Zeroizing;

use super::{Curve, KeyShape};

/// A private key to import.
pub enum PrivateJwk {
    /// RSA.
    Rsa(Box<RsaPrivateJwk>),
    /// An elliptic curve's.
    Ec {
        /// The curve.
        curve: Curve,
        /// The public point's x coordinate, big-endian.
        x: Vec<u8>,
        /// The public point's y coordinate, big-endian.
        y: Vec<u8>,
        /// The private number, big-endian.
        d: Zeroizing<Vec<u8>>,
    },
}

/// The components of an RSA key, big-endian; names as in RFC 7518. All are needed.
pub struct RsaPrivateJwk {
    /// Modulus.
    pub n: Vec<u8>,
    /// Public exponent.
    pub e: Vec<u8>,
    /// Private exponent.
    pub d: Zeroizing<Vec<u8>>,
    /// First prime.
    pub p: Zeroizing<Vec<u8>>,
    /// Second prime.
    pub q: Zeroizing<Vec<u8>>,
    /// `d mod (p - 1)`.
    pub dp: Zeroizing<Vec<u8>>,
    /// `d mod (q - 1)`.
    pub dq: Zeroizing<Vec<u8>>,
    /// `q⁻¹ mod p`.
    pub qi: Zeroizing<Vec<u8>>,
}

impl PrivateJwk {
    /// The shape that the components claim; `None` if the vault makes no such keys.
    pub fn shape(&self) -> Option<KeyShape> {
        match self {
            Self::Rsa(rsa) => super::public::rsa_shape(&rsa.n),
            Self::Ec { curve, .. } => Some(KeyShape::Ec(*curve)),
        }
    }
}

impl fmt::Debug for PrivateJwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateJwk(…)")
    }
}

impl fmt::Debug for RsaPrivateJwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RsaPrivateJwk(…)")
    }
}
