//! What keys are made of and what they can do: RSA and elliptic curves, by aws-lc.
//!
//! No cipher is written here; this folder chooses, checks and names. aws-lc draws its own
//! randomness for making keys, for padding and for signatures: it offers no way to pass a
//! generator in, so these are the places where `Entropy` is not asked. It clears the memory of a
//! private key when the key is freed.

mod algorithm;
mod jwk;
mod private;
mod public;

pub use algorithm::{Curve, EncryptionAlgorithm, KeyShape, RsaSize, SignatureAlgorithm};
pub use jwk::{PrivateJwk, RsaPrivateJwk};
pub(crate) use private::{NewPrivate, Purpose, ReadyKey};
pub use public::PublicKey;

use thiserror::Error;

/// Why an algorithm did not do what it was asked; all are the asker's doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// The key is of another kind than the algorithm.
    #[error("the algorithm does not fit the key's type or curve")]
    WrongAlgorithm,
    /// A digest is not as long as the algorithm's.
    #[error("the digest does not have the length that the algorithm's hash has")]
    DigestLength,
    /// The plaintext does not fit into one operation.
    #[error("the value is too long for this key and algorithm")]
    TooLong,
    /// The ciphertext was not made with this key and algorithm, or was changed.
    #[error("the value was not encrypted with this key and algorithm")]
    NotDecrypted,
    /// Imported components are not a key of a size or curve that the vault takes.
    #[error("the components are no consistent key of a supported size or curve")]
    BadComponents,
    /// aws-lc failed for no reason of the asker's.
    #[error("the operation failed")]
    Failed,
}

#[cfg(test)]
mod cross_tests;
#[cfg(test)]
mod wycheproof_tests;
