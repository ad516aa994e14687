//! RSA keys in memory: made, read from their stored form, and used for RSA-OAEP-256.
//!
//! aws-lc draws its own randomness for making keys and for padding: it offers no way to pass a
//! generator in, so these are the two places where `Entropy` is not asked. It clears the memory of
//! a private key when the key is freed.

use std::fmt;

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rsa::{
        KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
        PrivateDecryptingKey,
    },
};
use lockyard_keyring::CustomerShare;
use zeroize::Zeroizing;

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
        [Self::R2048, Self::R3072, Self::R4096].into_iter().find(|size| size.bits() == bits)
    }

    /// The word that is stored for keys of this size, and bound to them.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::R2048 => "RSA-2048",
            Self::R3072 => "RSA-3072",
            Self::R4096 => "RSA-4096",
        }
    }

    const fn aws_lc(self) -> KeySize {
        match self {
            Self::R2048 => KeySize::Rsa2048,
            Self::R3072 => KeySize::Rsa3072,
            Self::R4096 => KeySize::Rsa4096,
        }
    }
}

/// A private key, ready for use.
pub(crate) struct RsaKey {
    private: OaepPrivateDecryptingKey,
    public: OaepPublicEncryptingKey,
}

impl RsaKey {
    /// Makes a key and returns its PKCS#8 form, which is wiped on drop; `None` if aws-lc cannot.
    /// Takes up to seconds.
    pub(crate) fn generate(size: RsaSize) -> Option<Pkcs8V1Der<'static>> {
        let der = PrivateDecryptingKey::generate(size.aws_lc()).ok()?.as_der().ok()?;
        // Whatever is stored must be readable: a key that is not would be lost with its registry.
        let read = Self::from_pkcs8(der.as_ref())?;
        (read.bits() == size.bits()).then_some(der)
    }

    /// Reads a key from its PKCS#8 form.
    pub(crate) fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let private = PrivateDecryptingKey::from_pkcs8(der).ok()?;
        let public = OaepPublicEncryptingKey::new(private.public_key()).ok()?;
        Some(Self { private: OaepPrivateDecryptingKey::new(private).ok()?, public })
    }

    /// The size of the modulus in bits.
    pub(crate) fn bits(&self) -> usize {
        self.private.key_size_bits()
    }

    /// Wraps a share with RSA-OAEP-256 (SHA-256, MGF1 with SHA-256, empty label).
    pub(crate) fn wrap_share(&self, share: &CustomerShare) -> Option<Vec<u8>> {
        let mut wrapped = vec![0; self.public.ciphertext_size()];
        let length = self
            .public
            .encrypt(&OAEP_SHA256_MGF1SHA256, share.dangerous_expose(), &mut wrapped, None)
            .ok()?
            .len();
        wrapped.truncate(length);
        Some(wrapped)
    }

    /// Unwraps a share; `None` unless [`RsaKey::wrap_share`] wrapped it under this very key.
    pub(crate) fn unwrap_share(&self, wrapped: &[u8]) -> Option<CustomerShare> {
        let mut buffer = Zeroizing::new(vec![0; self.private.min_output_size()]);
        let share =
            self.private.decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut buffer, None).ok()?;
        let share: &[u8; 32] = (&*share).try_into().ok()?;
        Some(CustomerShare::from_bytes(share))
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RsaKey({} bits)", self.bits())
    }
}
