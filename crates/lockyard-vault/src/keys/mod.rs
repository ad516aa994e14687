//! Keys and their versions: what they are, and everything that is done to them but using them.
//!
//! The verbs here act for whoever was authorized already: the data plane (`plane`), operators, or
//! the control plane. A private key lies sealed in its version's row, bound to vault, key, version
//! and to every clear column that decides about its use; whoever changes one of them in the
//! database makes the key useless, never usable.

mod backup;
mod create;
mod delete;
mod list;
mod opened;
mod operator;
mod period;
mod rotation;
mod rows;
mod update;

use std::{fmt, str::FromStr};

use lockyard_base::Timestamp;
use lockyard_keyring::{KeyId, KeyName, KeyNameError, KeyVersionName, VersionedKeyId};

pub(crate) use backup::BackupKey;
pub(crate) use create::checked_new_key;
pub use create::{EnsuredKey, PreparedKey};
pub use list::{PAGE_MAX, Page, PageRequest, PageToken};
pub(crate) use opened::OpenedKeys;
pub use period::Period;
pub use rotation::{
    LifetimeAction, LifetimeActionKind, PolicyError, RotationPolicy, Rotations, Trigger,
};
pub(crate) use rows::{
    FoundKey, FoundVersion, KeyRecord, VersionRecord, VersionRow,
    with_record_place as with_key_record_place,
};

use crate::{
    access::KeyOperations,
    crypto::{KeyShape, PublicKey},
    vaults::{DeletedAt, RecoveryLevel, Tags},
};

/// A whole key, or one version of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyTarget {
    /// All versions of this key.
    Key(KeyId),
    /// This version alone.
    Version(VersionedKeyId),
}

impl KeyTarget {
    /// The key, or the key whose version it is.
    pub fn key(&self) -> &KeyId {
        match self {
            Self::Key(key) => key,
            Self::Version(version) => &version.key,
        }
    }
}

impl FromStr for KeyTarget {
    type Err = KeyNameError;

    /// Reads `vault/key` or `vault/key/version`.
    fn from_str(text: &str) -> Result<Self, KeyNameError> {
        match text.split('/').collect::<Vec<_>>()[..] {
            [vault, name] => Ok(Self::Key(KeyId { vault: vault.parse()?, name: name.parse()? })),
            _ => text.parse().map(Self::Version),
        }
    }
}

impl fmt::Display for KeyTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => key.fmt(f),
            Self::Version(version) => version.fmt(f),
        }
    }
}

/// When a key version may wrap, encrypt and sign; the reverse is allowed at all times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// Not before this time.
    pub not_before: Option<Timestamp>,
    /// Not from this time on.
    pub expires: Option<Timestamp>,
}

/// What a new key or version is to be, beside its name.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// Whether an `-HSM` kind was asked for; it is software-backed all the same.
    pub hsm: bool,
    /// `key_ops`; all that fits the kind if not stated.
    pub operations: Option<KeyOperations>,
    /// Whether it can be used at all.
    pub enabled: bool,
    /// When it can be used for something new.
    pub validity: Validity,
    /// Its tags.
    pub tags: Tags,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self {
            hsm: false,
            operations: None,
            enabled: true,
            validity: Validity::default(),
            tags: Tags::default(),
        }
    }
}

/// What a key is to be that is made with all that belongs to it, as the control plane makes keys.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// Its kind, size or curve.
    pub shape: KeyShape,
    /// What its first version is to be.
    pub settings: KeySettings,
    /// How it is rotated; `None` leaves it with the policy that keys have by default.
    pub rotation: Option<RotationPolicy>,
}

/// Attributes that an update states; `None` leaves one alone.
#[derive(Clone, Debug, Default)]
pub struct KeyChange {
    /// `attributes.enabled`.
    pub enabled: Option<bool>,
    /// `attributes.nbf`.
    pub not_before: Option<Timestamp>,
    /// `attributes.exp`.
    pub expires: Option<Timestamp>,
    /// `key_ops`.
    pub operations: Option<KeyOperations>,
    /// `tags`, all of them.
    pub tags: Option<Tags>,
}

/// A key version as clients see it; the private half is nowhere in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyBundle {
    /// Which one; faces render the URL.
    pub id: VersionedKeyId,
    /// Its kind, size or curve.
    pub shape: KeyShape,
    /// Whether its kind is shown as `-HSM`; `hsmPlatform` is `0` in any case: it is software.
    pub hsm: bool,
    /// Its public half.
    pub public: PublicKey,
    /// What it allows.
    pub operations: KeyOperations,
    /// Its attributes.
    pub attributes: KeyAttributes,
    /// Its tags.
    pub tags: Tags,
}

/// A key with what belongs to it rather than to a version, as the control plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyResource {
    /// Its newest version.
    pub bundle: KeyBundle,
    /// Its rotation policy, if anybody set one.
    pub rotation: Option<RotationPolicy>,
}

/// A key version's attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAttributes {
    /// Whether it can be used at all.
    pub enabled: bool,
    /// When it can be used for something new.
    pub validity: Validity,
    /// When it was made.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// What happens when it is deleted.
    pub recovery_level: RecoveryLevel,
    /// For how many days it can be recovered then.
    pub recoverable_days: u8,
}

/// A deleted key, with its newest version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedKey {
    /// Its newest version.
    pub bundle: KeyBundle,
    /// When it was deleted, and when it will be purged.
    pub deleted: DeletedAt,
}

/// A key or a version in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyItem {
    /// The key.
    pub name: KeyName,
    /// The version, in a listing of versions.
    pub version: Option<KeyVersionName>,
    /// The version's attributes, or those of the key's newest version.
    pub attributes: KeyAttributes,
    /// Its tags.
    pub tags: Tags,
    /// Set in a listing of deleted keys.
    pub deleted: Option<DeletedAt>,
}
