//! The names of algorithms, curves and sizes, and what fits what.
//!
//! Names are those of RFC 7518 as BEHAVIOUR 2.4 lists them; nothing here computes.

use aws_lc_rs::{
    digest::{self, Digest},
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED,
        ECDSA_P256K1_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
        ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm, RSA_PKCS1_2048_8192_SHA256,
        RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
        RSA_PKCS1_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
        RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaEncoding,
        RsaParameters,
    },
};

use super::CryptoError;
use crate::words::words;

words! {
    /// How a value is encrypted or a key wrapped (RFC 7518, section 4).
    EncryptionAlgorithm {
        /// RSAES-OAEP with SHA-256 and MGF1 with SHA-256; the one to use.
        RsaOaep256 = "RSA-OAEP-256",
        /// RSAES-OAEP with SHA-1 and MGF1 with SHA-1, for old clients.
        RsaOaep = "RSA-OAEP",
        /// RSAES-PKCS1-v1_5, for old clients.
        Rsa15 = "RSA1_5",
    }
}

words! {
    /// How a digest is signed (RFC 7518, section 3; RFC 8812 for `ES256K`).
    SignatureAlgorithm {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 = "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        Rs384 = "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        Rs512 = "RS512",
        /// RSASSA-PSS with SHA-256, the salt as long as the digest.
        Ps256 = "PS256",
        /// RSASSA-PSS with SHA-384, the salt as long as the digest.
        Ps384 = "PS384",
        /// RSASSA-PSS with SHA-512, the salt as long as the digest.
        Ps512 = "PS512",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// ECDSA on P-521 with SHA-512.
        Es512 = "ES512",
        /// ECDSA on secp256k1 with SHA-256.
        Es256K = "ES256K",
    }
}

words! {
    /// The elliptic curves that a vault makes keys on.
    Curve {
        /// NIST P-256.
        P256 = "P-256",
        /// NIST P-384.
        P384 = "P-384",
        /// NIST P-521.
        P521 = "P-521",
        /// secp256k1.
        P256K = "P-256K",
    }
}

/// The sizes of RSA key that a vault makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RsaSize {
    /// 2048 bits.
    R2048,
    /// 3072 bits.
    R3072,
    /// 4096 bits.
    R4096,
}

impl RsaSize {
    const ALL: [Self; 3] = [Self::R2048, Self::R3072, Self::R4096];

    /// The size of the modulus in bits.
    pub const fn bits(self) -> usize {
        match self {
            Self::R2048 => 2048,
            Self::R3072 => 3072,
            Self::R4096 => 4096,
        }
    }

    /// The size with this many bits.
    pub fn from_bits(bits: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.bits() == bits)
    }

    pub(super) const fn aws_lc(self) -> KeySize {
        match self {
            Self::R2048 => KeySize::Rsa2048,
            Self::R3072 => KeySize::Rsa3072,
            Self::R4096 => KeySize::Rsa4096,
        }
    }
}

/// A key's kind and its size or curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyShape {
    /// RSA.
    Rsa(RsaSize),
    /// An elliptic curve; such keys sign and verify only.
    Ec(Curve),
}

impl KeyShape {
    const ALL: [Self; 7] = [
        Self::Rsa(RsaSize::R2048),
        Self::Rsa(RsaSize::R3072),
        Self::Rsa(RsaSize::R4096),
        Self::Ec(Curve::P256),
        Self::Ec(Curve::P384),
        Self::Ec(Curve::P521),
        Self::Ec(Curve::P256K),
    ];

    /// The word that is stored for keys of this shape, and bound to them.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Rsa(RsaSize::R2048) => "RSA-2048",
            Self::Rsa(RsaSize::R3072) => "RSA-3072",
            Self::Rsa(RsaSize::R4096) => "RSA-4096",
            Self::Ec(Curve::P256) => "EC-P256",
            Self::Ec(Curve::P384) => "EC-P384",
            Self::Ec(Curve::P521) => "EC-P521",
            Self::Ec(Curve::P256K) => "EC-P256K",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.word() == word)
    }

    /// Whether it is an RSA key.
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa(_))
    }
}

impl Curve {
    /// The length of a coordinate and of the private number, in bytes.
    pub const fn coordinate_len(self) -> usize {
        match self {
            Self::P256 | Self::P256K => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The one algorithm that keys on this curve sign with.
    pub const fn algorithm(self) -> SignatureAlgorithm {
        match self {
            Self::P256 => SignatureAlgorithm::Es256,
            Self::P384 => SignatureAlgorithm::Es384,
            Self::P521 => SignatureAlgorithm::Es512,
            Self::P256K => SignatureAlgorithm::Es256K,
        }
    }

    pub(super) fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
            Self::P256K => &ECDSA_P256K1_SHA256_FIXED_SIGNING,
        }
    }

    pub(super) fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
            Self::P521 => &ECDSA_P521_SHA512_FIXED,
            Self::P256K => &ECDSA_P256K1_SHA256_FIXED,
        }
    }
}

impl SignatureAlgorithm {
    fn hash(self) -> &'static digest::Algorithm {
        match self {
            Self::Rs256 | Self::Ps256 | Self::Es256 | Self::Es256K => &digest::SHA256,
            Self::Rs384 | Self::Ps384 | Self::Es384 => &digest::SHA384,
            Self::Rs512 | Self::Ps512 | Self::Es512 => &digest::SHA512,
        }
    }

    /// The length in bytes of the digests that it signs.
    pub fn digest_len(self) -> usize {
        self.hash().output_len()
    }

    /// Takes over a digest that the asker computed.
    pub(super) fn digest(self, digest: &[u8]) -> Result<Digest, CryptoError> {
        Digest::import_less_safe(digest, self.hash()).map_err(|_| CryptoError::DigestLength)
    }

    pub(super) fn rsa_signing(self) -> Option<&'static dyn RsaEncoding> {
        Some(match self {
            Self::Rs256 => &RSA_PKCS1_SHA256,
            Self::Rs384 => &RSA_PKCS1_SHA384,
            Self::Rs512 => &RSA_PKCS1_SHA512,
            Self::Ps256 => &RSA_PSS_SHA256,
            Self::Ps384 => &RSA_PSS_SHA384,
            Self::Ps512 => &RSA_PSS_SHA512,
            Self::Es256 | Self::Es384 | Self::Es512 | Self::Es256K => return None,
        })
    }

    pub(super) fn rsa_verification(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
            Self::Es256 | Self::Es384 | Self::Es512 | Self::Es256K => return None,
        })
    }
}
