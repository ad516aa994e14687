//! The embedded key vault: customer keys that are used here and never leave.
//!
//! A vault directory is a world of its own: its own database, its own root key, its own backups,
//! so that it can live on another machine or disk than the registries whose keys it holds.
//! [`Vault`] keeps many vaults with their keys and policies, sealed. Three kinds of callers
//! come to it: operators and the control plane by its own verbs, which authorize nobody; clients by
//! [`DataPlane`], which authorizes every verb; registries by [`EmbeddedProvider`], through the
//! keyring's `KeyProvider` seam and the same decision as everybody else.
//!
//! This crate never speaks HTTP, never sees content or a registry key, and never hands out a
//! private key but sealed. Normative text of what lies on disk: `docs/spec/vault.md`.

mod access;
mod audited;
mod crypto;
mod database;
mod directory;
mod embedded;
mod error;
mod grants;
mod keys;
mod migration;
mod plane;
mod root_key;
mod rows;
mod schema;
mod stored;
mod vault;
mod vaults;
mod words;

pub use access::{
    AccessPolicy, Caller, IpRange, KeyOperation, KeyOperations, NetworkRules, NoRoles, Operation,
    Permissions, PolicyEdit, PublicAccess, Refusal, Roles, RolesUnavailable, Source, authorize,
};
pub use audited::AuditedProvider;
pub use crypto::{
    CryptoError, Curve, EncryptionAlgorithm, KeyShape, PrivateJwk, PublicKey, RsaPrivateJwk,
    RsaSize, SignatureAlgorithm,
};
pub use database::DatabaseError;
pub use embedded::{EmbeddedProvider, Principals};
pub use error::{ErrorCode, OpenVaultError, VaultError};
pub use keys::{
    DeletedKey, EnsuredKey, KeyAttributes, KeyBundle, KeyChange, KeyItem, KeyResource, KeySettings,
    KeyTarget, LifetimeAction, LifetimeActionKind, NewKey, PAGE_MAX, Page, PageRequest, PageToken,
    Period, PolicyError, PreparedKey, RotationPolicy, Rotations, Trigger, Validity,
};
pub use plane::{DataPlane, Output};
pub use root_key::{RootKeyError, VaultRootKey};
pub use vault::Vault;
pub use vaults::{
    CreateMode, DecidedBy, Decision, DeletedAt, Enablements, ModelChoice, NameAvailability,
    PermissionModel, Placement, Purged, PutVault, RecoveryLevel, Sku, Tags, VaultChange,
    VaultProperties, VaultRequest,
};
pub use words::UnknownWord;

#[cfg(test)]
mod tests;
