//! Public keys: encrypting, wrapping and verifying need nothing secret.

use aws_lc_rs::{
    rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPublicEncryptingKey,
        Pkcs1PublicEncryptingKey, PublicEncryptingKey,
    },
    signature::{RsaPublicKeyComponents, UnparsedPublicKey},
};

use super::{CryptoError, Curve, EncryptionAlgorithm, KeyShape, RsaSize, SignatureAlgorithm};

/// A key's public half, as the components of a JSON Web Key; big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA.
    Rsa {
        /// Modulus, without leading zeros.
        n: Vec<u8>,
        /// Public exponent, without leading zeros.
        e: Vec<u8>,
    },
    /// A point on a curve; both coordinates have the curve's full length.
    Ec {
        /// The curve.
        curve: Curve,
        /// The x coordinate.
        x: Vec<u8>,
        /// The y coordinate.
        y: Vec<u8>,
    },
}

impl PublicKey {
    /// The key's shape; `None` for an RSA modulus of another size than the vault's.
    pub fn shape(&self) -> Option<KeyShape> {
        match self {
            Self::Rsa { n, .. } => rsa_shape(n),
            Self::Ec { curve, .. } => Some(KeyShape::Ec(*curve)),
        }
    }

    /// Encrypts a value, or wraps a key.
    pub(crate) fn encrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        plaintext: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let Self::Rsa { n, e } = self else { return Err(CryptoError::WrongAlgorithm) };
        let key: PublicEncryptingKey = RsaPublicKeyComponents { n, e }
            .try_into()
            .map_err(|_: aws_lc_rs::error::Unspecified| CryptoError::Failed)?;
        let mut output = vec![0; key.key_size_bytes()];
        let (length, longest) = if let Some(hash) = oaep(algorithm) {
            let key = OaepPublicEncryptingKey::new(key).map_err(|_| CryptoError::Failed)?;
            let length = key.encrypt(hash, plaintext, &mut output, None).map(|out| out.len());
            (length, key.max_plaintext_size(hash))
        } else {
            let key = Pkcs1PublicEncryptingKey::new(key).map_err(|_| CryptoError::Failed)?;
            let length = key.encrypt(plaintext, &mut output).map(|out| out.len());
            (length, key.max_plaintext_size())
        };
        let length = length.map_err(|_| {
            if plaintext.len() > longest { CryptoError::TooLong } else { CryptoError::Failed }
        })?;
        output.truncate(length);
        Ok(output)
    }

    /// Whether `signature` is one of `digest`; a malformed signature is simply none.
    pub(crate) fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        digest: &[u8],
        signature: &[u8],
    ) -> Result<bool, CryptoError> {
        match self {
            Self::Rsa { n, e } => {
                let parameters = algorithm.rsa_verification().ok_or(CryptoError::WrongAlgorithm)?;
                let digest = algorithm.digest(digest)?;
                let key = RsaPublicKeyComponents { n, e }
                    .to_parsed_public_key(parameters)
                    .map_err(|_| CryptoError::Failed)?;
                Ok(key.verify_digest_sig(&digest, signature).is_ok())
            }
            Self::Ec { curve, x, y } => {
                if algorithm != curve.algorithm() {
                    return Err(CryptoError::WrongAlgorithm);
                }
                let digest = algorithm.digest(digest)?;
                let key = UnparsedPublicKey::new(curve.verification(), point(x, y));
                Ok(key.verify_digest(&digest, signature).is_ok())
            }
        }
    }
}

/// The OAEP parameters of an algorithm; `None` for PKCS #1 version 1.5.
pub(super) fn oaep(algorithm: EncryptionAlgorithm) -> Option<&'static OaepAlgorithm> {
    match algorithm {
        EncryptionAlgorithm::RsaOaep256 => Some(&OAEP_SHA256_MGF1SHA256),
        EncryptionAlgorithm::RsaOaep => Some(&OAEP_SHA1_MGF1SHA1),
        EncryptionAlgorithm::Rsa15 => None,
    }
}

/// The shape of RSA keys with this modulus.
pub(super) fn rsa_shape(n: &[u8]) -> Option<KeyShape> {
    let n = without_zeros(n);
    let unused = n.first()?.leading_zeros();
    let bits = (n.len() * 8).checked_sub(usize::try_from(unused).ok()?)?;
    RsaSize::from_bits(bits).map(KeyShape::Rsa)
}

/// A big-endian number without leading zeros.
pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The uncompressed form of a point (SEC 1, section 2.3.3).
pub(super) fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}
