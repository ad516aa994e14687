//! The seam to a key vault: whoever holds a customer key implements [`KeyProvider`].
//!
//! The port is small on purpose: wrap, unwrap, tell the versions, tell your health. It says
//! nothing about how a vault is reached. What matters most is the *kind* of a failure, because
//! each kind leads to another act: a denial locks, damage locks and alarms, everything else rides
//! on until the hard stop.

use std::{fmt, str::FromStr};

use async_trait::async_trait;
use lockyard_base::{Entropy, Guid, Timestamp};
use subtle::ConstantTimeEq as _;
use thiserror::Error;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// Holds customer keys and uses them for whoever it authorizes.
#[async_trait]
pub trait KeyProvider: Send + Sync + fmt::Debug {
    /// Wraps `share` under exactly this key version, as `caller`.
    async fn wrap_key(
        &self,
        caller: &Identity,
        key: &VersionedKeyId,
        share: &CustomerShare,
    ) -> Result<WrappedShare, ProviderError>;

    /// Unwraps what [`KeyProvider::wrap_key`] wrapped under this key version, as `caller`.
    async fn unwrap_key(
        &self,
        caller: &Identity,
        key: &VersionedKeyId,
        wrapped: &WrappedShare,
    ) -> Result<CustomerShare, ProviderError>;

    /// Lists the versions of a key, newest first.
    async fn versions(
        &self,
        caller: &Identity,
        key: &KeyId,
    ) -> Result<Vec<KeyVersion>, ProviderError>;

    /// Answers if the provider can be reached at all.
    async fn health(&self) -> Result<(), ProviderError>;

    /// A number that rises with every change that may grant or deny a use.
    ///
    /// A provider that cannot tell returns a receiver that never changes; its registries are then
    /// re-checked by lease alone.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// Why a provider did not do what it was asked. The text is for the operator's log and, for
/// denials, for the registry's clients: it names keys and cures, never secrets.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProviderError {
    /// The provider refuses: the registry locks now.
    #[error("the vault denies the use of the key: {1}")]
    Denied(Denial, String),
    /// The answer cannot be right: the registry locks now and somebody must look.
    #[error("the vault's answer is damaged: {0}")]
    Damaged(String),
    /// No answer that counts (time-out, 5xx, 429, firewall, unknown): nothing is concluded.
    #[error("the vault cannot be reached: {0}")]
    Unreachable(String),
}

/// What a provider denies for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denial {
    /// The key or the version is disabled.
    KeyDisabled,
    /// The key was deleted or never was.
    KeyNotFound,
    /// The key is there, this version is not.
    VersionNotFound,
    /// The vault was deleted.
    VaultNotFound,
    /// Neither a policy nor a role lets this identity use the key.
    NotAuthorized,
    /// The identity no longer exists.
    IdentityGone,
}

/// The managed identity as which a registry calls its vault; shown as a UUID.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity(Guid);

impl Identity {
    /// Draws a new identity.
    pub fn random(entropy: &dyn Entropy) -> Self {
        Self(Guid::random(entropy))
    }

    /// The identity that has these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Guid::from_bytes(bytes))
    }

    /// The 16 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

/// A name of a vault, key or key version broke its rules.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyNameError {
    /// BEHAVIOUR 2.4: 3 to 24 letters, digits and single hyphens, a letter first; or a host name.
    #[error(
        "`{0}` is no vault: 3 to 24 letters, digits and single hyphens, starting with a letter"
    )]
    Vault(String),
    /// BEHAVIOUR 2.4: 1 to 127 letters, digits and hyphens.
    #[error("`{0}` is no key name: 1 to 127 letters, digits and hyphens")]
    Key(String),
    /// BEHAVIOUR 2.4: 32 hexadecimal digits.
    #[error("`{0}` is no key version: 32 hexadecimal digits")]
    Version(String),
    /// The text is not `vault/key/version`.
    #[error("`{0}` does not name a key as `vault/key/version`")]
    Form(String),
}

macro_rules! name {
    ($(#[$meta:meta])* $name:ident, $error:path, $valid:expr) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = KeyNameError;

            fn from_str(text: &str) -> Result<Self, KeyNameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err($error(text.to_owned())) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// Where a key lives: the bare name of an embedded vault, or the host of an external one.
    VaultAddress, KeyNameError::Vault, |text| {
        if text.contains('.') {
            return text.len() <= 253
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:".contains(&b));
        }
        (3..=24).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && !text.ends_with('-')
            && !text.contains("--")
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    }
}
name! {
    /// A key's name within its vault.
    KeyName, KeyNameError::Key, |text| {
        (1..=127).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    }
}
name! {
    /// The name of one version of a key.
    KeyVersionName, KeyNameError::Version, |text| {
        text.len() == 32
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    }
}

/// A key, whichever version. Stored as names and rendered as a URL at the edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId {
    /// The vault that holds the key.
    pub vault: VaultAddress,
    /// The key's name there.
    pub name: KeyName,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vault, self.name)
    }
}

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionedKeyId {
    /// The key.
    pub key: KeyId,
    /// Its version.
    pub version: KeyVersionName,
}

impl fmt::Display for VersionedKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.key, self.version)
    }
}

impl FromStr for VersionedKeyId {
    type Err = KeyNameError;

    fn from_str(text: &str) -> Result<Self, KeyNameError> {
        let mut pieces = text.split('/');
        let (Some(vault), Some(name), Some(version), None) =
            (pieces.next(), pieces.next(), pieces.next(), pieces.next())
        else {
            return Err(KeyNameError::Form(text.to_owned()));
        };
        Ok(Self {
            key: KeyId { vault: vault.parse()?, name: name.parse()? },
            version: version.parse()?,
        })
    }
}

/// What a vault tells about one version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyVersion {
    /// Which version.
    pub id: VersionedKeyId,
    /// Whether it may be used at all.
    pub enabled: bool,
    /// Not to be used for wrapping before this time.
    pub not_before: Option<Timestamp>,
    /// Not to be used for wrapping from this time on; unwrapping stays allowed.
    pub expires: Option<Timestamp>,
    /// The key's kind.
    pub kind: KeyKind,
}

/// The kinds of keys that vaults hold; registries take RSA only (BEHAVIOUR rule 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// An RSA key, in software or hardware.
    Rsa,
    /// Anything else.
    Other,
}

/// The customer's half of a registry key: 32 secret bytes that leave the process only wrapped.
pub struct CustomerShare(Box<Zeroizing<[u8; 32]>>);

impl CustomerShare {
    /// Draws a new share.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let mut share = Self(Box::new(Zeroizing::new([0; 32])));
        entropy.fill(share.0.as_mut_slice());
        share
    }

    /// Takes over 32 unwrapped bytes; the caller wipes its own copy.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(*bytes)))
    }

    /// Whether two shares are the same; takes the same time either way.
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }

    /// The secret bytes, for wrapping and deriving only.
    pub fn dangerous_expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for CustomerShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerShare(…)")
    }
}

/// A customer share wrapped by a vault (RSA-OAEP-256); not secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedShare(Vec<u8>);

impl WrappedShare {
    /// Takes over the vault's answer.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The wrapped bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_versioned_key_id_reads_back_from_its_text() {
        let text = "myvault/my-key/0123456789abcdef0123456789abcdef";
        assert_eq!(text.parse::<VersionedKeyId>().expect("valid").to_string(), text);
    }

    #[test]
    fn names_outside_the_rules_are_refused() {
        for vault in ["ab", "1abc", "a--b", "abc-", "a_b", &"a".repeat(25)] {
            assert!(vault.parse::<VaultAddress>().is_err(), "{vault}");
        }
        for vault in ["abc", &"a".repeat(24), "myvault.vault.example.org:8443"] {
            assert!(vault.parse::<VaultAddress>().is_ok(), "{vault}");
        }
        assert!("".parse::<KeyName>().is_err());
        assert!("a".repeat(127).parse::<KeyName>().is_ok());
        assert!("a".repeat(128).parse::<KeyName>().is_err());
        assert!("ABCDEF".repeat(6).parse::<KeyVersionName>().is_err());
    }

    #[test]
    fn an_identity_shows_as_a_uuid() {
        let identity = Identity::from_bytes([0x11; 16]);
        assert_eq!(identity.to_string(), "11111111-1111-1111-1111-111111111111");
    }
}
