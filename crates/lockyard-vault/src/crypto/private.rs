//! Private keys: made, taken in from outside, read from their stored form, and used.
//!
//! The stored form of every private key is PKCS #8 version 1, DER. A key in memory is ready for one
//! purpose, since aws-lc keeps a type for each; what is not used is not parsed.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{
        KeyPairComponents as RsaKeyPairComponents, OaepPrivateDecryptingKey,
        Pkcs1PrivateDecryptingKey, PrivateDecryptingKey,
    },
    signature::{EcdsaKeyPair, KeyPair as _, RsaKeyPair, RsaPublicKeyComponents},
};
use zeroize::Zeroizing;

use super::{
    CryptoError, Curve, EncryptionAlgorithm, KeyShape, PrivateJwk, PublicKey, RsaPrivateJwk,
    SignatureAlgorithm,
    public::{oaep, point, rsa_shape, without_zeros},
};

/// A private key that is to be stored.
pub(crate) struct NewPrivate {
    /// PKCS #8 version 1, DER.
    pub(crate) pkcs8: Zeroizing<Vec<u8>>,
    pub(crate) public: PublicKey,
    pub(crate) shape: KeyShape,
}

impl NewPrivate {
    /// Makes a key; takes up to seconds for large RSA keys.
    pub(crate) fn generate(shape: KeyShape) -> Result<Self, CryptoError> {
        let failed = |_| CryptoError::Failed;
        let made = match shape {
            KeyShape::Rsa(size) => {
                let pair = RsaKeyPair::generate(size.aws_lc()).map_err(failed)?;
                Self::of_rsa(&pair)?
            }
            KeyShape::Ec(curve) => {
                let pair = EcdsaKeyPair::generate(curve.signing()).map_err(failed)?;
                Self::of_ec(curve, &pair)?
            }
        };
        if made.shape == shape { Ok(made) } else { Err(CryptoError::Failed) }
    }

    /// Takes over a key from outside; fails unless its components are consistent.
    pub(crate) fn import(key: &PrivateJwk) -> Result<Self, CryptoError> {
        match key {
            PrivateJwk::Rsa(rsa) => Self::import_rsa(rsa),
            PrivateJwk::Ec { curve, x, y, d } => {
                let length = curve.coordinate_len();
                let [x, y, d] = [&**x, &**y, d].map(|part| padded(part, length));
                let (Some(x), Some(y), Some(d)) = (x, y, d) else {
                    return Err(CryptoError::BadComponents);
                };
                let pair = EcdsaKeyPair::from_private_key_and_public_key(
                    curve.signing(),
                    &d,
                    &point(&x, &y),
                )
                .map_err(|_| CryptoError::BadComponents)?;
                Self::of_ec(*curve, &pair)
            }
        }
    }

    fn import_rsa(key: &RsaPrivateJwk) -> Result<Self, CryptoError> {
        if rsa_shape(&key.n).is_none() {
            return Err(CryptoError::BadComponents);
        }
        let public_key =
            RsaPublicKeyComponents { n: without_zeros(&key.n), e: without_zeros(&key.e) };
        let pair = RsaKeyPair::from_components(&RsaKeyPairComponents {
            public_key,
            d: &**key.d,
            p: &**key.p,
            q: &**key.q,
            dP: &**key.dp,
            dQ: &**key.dq,
            qInv: &**key.qi,
        })
        .map_err(|_| CryptoError::BadComponents)?;
        Self::of_rsa(&pair)
    }

    /// Reads a key back from its stored form.
    pub(crate) fn from_pkcs8(shape: KeyShape, der: &[u8]) -> Result<Self, CryptoError> {
        let failed = |_| CryptoError::BadComponents;
        let read = match shape {
            KeyShape::Rsa(_) => Self::of_rsa(&RsaKeyPair::from_pkcs8(der).map_err(failed)?)?,
            KeyShape::Ec(curve) => {
                let pair = EcdsaKeyPair::from_pkcs8(curve.signing(), der).map_err(failed)?;
                Self::of_ec(curve, &pair)?
            }
        };
        if read.shape == shape { Ok(read) } else { Err(CryptoError::BadComponents) }
    }

    fn of_rsa(pair: &RsaKeyPair) -> Result<Self, CryptoError> {
        let der: Pkcs8V1Der<'static> = pair.as_der().map_err(|_| CryptoError::Failed)?;
        let public = pair.public_key();
        let public = PublicKey::Rsa {
            n: public.modulus().big_endian_without_leading_zero().to_vec(),
            e: public.exponent().big_endian_without_leading_zero().to_vec(),
        };
        let shape = public.shape().ok_or(CryptoError::BadComponents)?;
        let pkcs8 = Zeroizing::new(der.as_ref().to_vec());
        // Whatever is stored must be readable: a key that is not would be lost with its registry.
        ReadyKey::from_pkcs8(shape, Purpose::Oaep, &pkcs8)?;
        Ok(Self { pkcs8, public, shape })
    }

    fn of_ec(curve: Curve, pair: &EcdsaKeyPair) -> Result<Self, CryptoError> {
        let der = pair.to_pkcs8v1().map_err(|_| CryptoError::Failed)?;
        let length = curve.coordinate_len();
        let (x, y) = match pair.public_key().as_ref().split_first() {
            Some((4, both)) if both.len() == 2 * length => both.split_at(length),
            _ => return Err(CryptoError::Failed),
        };
        let public = PublicKey::Ec { curve, x: x.to_vec(), y: y.to_vec() };
        let pkcs8 = Zeroizing::new(der.as_ref().to_vec());
        ReadyKey::from_pkcs8(KeyShape::Ec(curve), Purpose::Sign, &pkcs8)?;
        Ok(Self { pkcs8, public, shape: KeyShape::Ec(curve) })
    }
}

impl fmt::Debug for NewPrivate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NewPrivate({})", self.shape.word())
    }
}

/// What a private key in memory is ready for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// Decrypting what RSA-OAEP encrypted.
    Oaep,
    /// Decrypting what PKCS #1 version 1.5 encrypted.
    Pkcs1,
    /// Signing.
    Sign,
}

impl Purpose {
    /// What decrypting with this algorithm needs.
    pub(crate) fn decrypting(algorithm: EncryptionAlgorithm) -> Self {
        if oaep(algorithm).is_some() { Self::Oaep } else { Self::Pkcs1 }
    }
}

/// A private key, ready for one purpose.
pub(crate) enum ReadyKey {
    /// Decrypts RSA-OAEP.
    Oaep(OaepPrivateDecryptingKey),
    /// Decrypts PKCS #1 version 1.5.
    Pkcs1(Pkcs1PrivateDecryptingKey),
    /// Signs with RSA.
    Rsa(RsaKeyPair),
    /// Signs with ECDSA.
    Ec(Curve, EcdsaKeyPair),
}

impl ReadyKey {
    /// Reads a key of this shape from its stored form.
    pub(crate) fn from_pkcs8(
        shape: KeyShape,
        purpose: Purpose,
        der: &[u8],
    ) -> Result<Self, CryptoError> {
        let bad = |_| CryptoError::BadComponents;
        let failed = |_| CryptoError::Failed;
        let bits = match shape {
            KeyShape::Rsa(size) => size.bits(),
            KeyShape::Ec(curve) if purpose == Purpose::Sign => {
                let pair = EcdsaKeyPair::from_pkcs8(curve.signing(), der).map_err(bad)?;
                return Ok(Self::Ec(curve, pair));
            }
            KeyShape::Ec(_) => return Err(CryptoError::WrongAlgorithm),
        };
        let (ready, found) = match purpose {
            Purpose::Sign => {
                let pair = RsaKeyPair::from_pkcs8(der).map_err(bad)?;
                let found = pair.public_modulus_len() * 8;
                (Self::Rsa(pair), found)
            }
            Purpose::Oaep => {
                let key = PrivateDecryptingKey::from_pkcs8(der).map_err(bad)?;
                let key = OaepPrivateDecryptingKey::new(key).map_err(failed)?;
                let found = key.key_size_bits();
                (Self::Oaep(key), found)
            }
            Purpose::Pkcs1 => {
                let key = PrivateDecryptingKey::from_pkcs8(der).map_err(bad)?;
                let key = Pkcs1PrivateDecryptingKey::new(key).map_err(failed)?;
                let found = key.key_size_bits();
                (Self::Pkcs1(key), found)
            }
        };
        if found == bits { Ok(ready) } else { Err(CryptoError::BadComponents) }
    }

    /// Decrypts a value, or unwraps a key.
    pub(crate) fn decrypt(
        &self,
        algorithm: EncryptionAlgorithm,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let failed = |_| CryptoError::NotDecrypted;
        let (mut buffer, length);
        match (self, oaep(algorithm)) {
            (Self::Oaep(key), Some(hash)) => {
                buffer = Zeroizing::new(vec![0; key.min_output_size()]);
                length = key.decrypt(hash, ciphertext, &mut buffer, None).map_err(failed)?.len();
            }
            (Self::Pkcs1(key), None) => {
                buffer = Zeroizing::new(vec![0; key.min_output_size()]);
                length = key.decrypt(ciphertext, &mut buffer).map_err(failed)?.len();
            }
            _ => return Err(CryptoError::WrongAlgorithm),
        }
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Signs a digest.
    pub(crate) fn sign(
        &self,
        algorithm: SignatureAlgorithm,
        digest: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        match self {
            Self::Rsa(pair) => {
                let encoding = algorithm.rsa_signing().ok_or(CryptoError::WrongAlgorithm)?;
                let digest = algorithm.digest(digest)?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(encoding, &digest, &mut signature)
                    .map_err(|_| CryptoError::Failed)?;
                Ok(signature)
            }
            Self::Ec(curve, pair) if algorithm == curve.algorithm() => {
                let digest = algorithm.digest(digest)?;
                let signature = pair.sign_digest(&digest).map_err(|_| CryptoError::Failed)?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Ec(..) | Self::Oaep(_) | Self::Pkcs1(_) => Err(CryptoError::WrongAlgorithm),
        }
    }
}

impl fmt::Debug for ReadyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oaep(_) => "ReadyKey(RSA-OAEP)",
            Self::Pkcs1(_) => "ReadyKey(RSA1_5)",
            Self::Rsa(_) => "ReadyKey(RSA)",
            Self::Ec(..) => "ReadyKey(EC)",
        })
    }
}

/// A big-endian number in exactly this many bytes; `None` if it has more.
fn padded(number: &[u8], length: usize) -> Option<Zeroizing<Vec<u8>>> {
    let number = without_zeros(number);
    let missing = length.checked_sub(number.len())?;
    let mut whole = Zeroizing::new(vec![0; length]);
    whole.get_mut(missing..)?.copy_from_slice(number);
    Some(whole)
}
