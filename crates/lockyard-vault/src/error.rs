//! What goes wrong: opening a vault directory, and asking something of the vaults in it.
//!
//! [`VaultError`] is one enum for every verb, so that a face needs one table: each variant has a
//! status, a code and, where the service has one, an inner code (BEHAVIOUR 2.5). Its `Display` is
//! our own sentence for operators; faces render the documented sentences from the variants' values.

use std::{io, path::PathBuf};

use lockyard_base::{Guid, RowId};
use lockyard_keyring::{KeyId, VaultAddress, VersionedKeyId};
use thiserror::Error;

use crate::{
    access::{KeyOperation, Refusal, RolesUnavailable},
    crypto::CryptoError,
    database::DatabaseError,
};

/// A vault directory could not be opened; nothing in it was changed.
#[derive(Debug, Error)]
pub enum OpenVaultError {
    /// The file system refused.
    #[error("cannot use `{path}` for the vault; give another directory with `--vault-dir`")]
    Directory {
        /// The directory, or a file in it.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Others than the owner could read the vault.
    #[error("`{path}` is open to other users (mode {mode:03o}); run `chmod {cure}` on it")]
    Exposed {
        /// The directory or the database.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The mode that it should have.
        cure: &'static str,
    },
    /// Another process, or another part of this one, has the vault open.
    #[error(
        "another process uses the vault directory `{path}`; \
         stop it or give another directory with `--vault-dir`"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// A directory without a vault holds something else, and is left alone.
    #[error("`{path}` holds `{stranger}` but no vault; give an empty directory with `--vault-dir`")]
    NotAVault {
        /// The directory.
        path: PathBuf,
        /// One of the things in it.
        stranger: String,
    },
    /// `vault.db` belongs to another program.
    #[error("`vault.db` is not a vault's database; give another directory with `--vault-dir`")]
    ForeignDatabase,
    /// A newer version of Lockyard wrote the vault.
    #[error(
        "the vault has schema {found} and this version knows schemas up to {known}; \
         run the version that wrote it, or a newer one"
    )]
    Newer {
        /// The schema of the database.
        found: i64,
        /// The newest schema that this version reads.
        known: i64,
    },
    /// The vault was made with another root key.
    #[error(
        "the vault key does not belong to this vault; give the right file with `--vault-key FILE`"
    )]
    WrongRootKey,
    /// The database is damaged.
    #[error("the vault's database is damaged; restore the vault directory from a backup")]
    Damaged(#[source] Option<DatabaseError>),
    /// SQLite could not work.
    #[error("cannot open the vault's database")]
    Database(#[source] DatabaseError),
}

/// A verb on the vault did not do what it was asked.
///
/// Nothing was changed, with one exception: after [`VaultError::Database`] a change was made whole
/// or not at all, and only reading it back tells which.
#[derive(Debug, Error)]
pub enum VaultError {
    /// A parameter of a data-plane request is wrong; the sentence says how.
    #[error("{0}")]
    BadParameter(String),
    /// The algorithm refuses its input.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A property of a management request is wrong; the sentence says how.
    #[error("{0}")]
    BadRequest(String),
    /// The name breaks the rules for vaults.
    #[error("`{0}` is no vault: 3 to 24 letters, digits and single hyphens, a letter first")]
    VaultNameNotValid(String),
    /// The name is the host of a vault elsewhere.
    #[error("`{0}` is the host of an external vault; an embedded vault has a bare name")]
    NotEmbedded(VaultAddress),
    /// A key cannot expire before it is valid.
    #[error("the key would expire before it is valid")]
    EmptyValidity,
    /// Purge protection forbids to purge the vault.
    #[error("vault `{0}` is purge protected; it is purged when its retention ends")]
    VaultPurgeProtected(VaultAddress),
    /// Whoever switches the permission model decides whose grants count.
    #[error(
        "to switch the permission model of vault `{0}` takes the right to give roles at it, \
         `Microsoft.Authorization/roleAssignments/write`"
    )]
    ModelSwitchForbidden(VaultAddress),
    /// The caller's token is another tenant's.
    #[error("the token is of tenant `{caller}`, and the vault belongs to `{vault}`")]
    WrongTenant {
        /// The vault's tenant.
        vault: Guid,
        /// The caller's.
        caller: Guid,
    },
    /// No access policy gives the permission.
    #[error("`{}` has no {} permission in vault `{}`", .0.caller.object, .0.operation, .0.vault)]
    ForbiddenByPolicy(Box<Refusal>),
    /// No role gives the action.
    #[error("`{}` has no role with {} on `{}`", .0.caller.object, .0.operation.action(), .0.resource)]
    ForbiddenByRbac(Box<Refusal>),
    /// The firewall lets nobody in from there.
    #[error(
        "the firewall of vault `{}` refuses the request; allow its address, or trusted services",
        .0.vault
    )]
    ForbiddenByFirewall(Box<Refusal>),
    /// The version is disabled.
    #[error("operation {1} is not allowed on a disabled key: `{0}`")]
    KeyDisabled(VersionedKeyId, KeyOperation),
    /// The version may not be used for anything new yet.
    #[error("operation {1} is not allowed on a key that is not yet valid: `{0}`")]
    KeyNotYetValid(VersionedKeyId, KeyOperation),
    /// The version may not be used for anything new any more.
    #[error("operation {1} is not allowed on an expired key: `{0}`")]
    KeyExpired(VersionedKeyId, KeyOperation),
    /// The key's own list does not have the operation.
    #[error("operation {1} is not permitted on this key: `{0}`")]
    KeyOperationForbidden(VersionedKeyId, KeyOperation),
    /// Purge protection forbids to purge a key.
    #[error("the vault is purge protected; key `{0}` is purged when its retention ends")]
    KeyPurgeProtected(KeyId),
    /// There is no such vault here.
    #[error("there is no vault `{0}`")]
    VaultNotFound(VaultAddress),
    /// There is no such vault among the deleted ones.
    #[error("there is no deleted vault `{0}`")]
    DeletedVaultNotFound(VaultAddress),
    /// The vault has no such key.
    #[error("there is no key `{0}`")]
    KeyNotFound(KeyId),
    /// The vault has no such deleted key.
    #[error("there is no deleted key `{0}`")]
    DeletedKeyNotFound(KeyId),
    /// The key has no such version.
    #[error("there is no key version `{0}`")]
    VersionNotFound(VersionedKeyId),
    /// The name is taken.
    #[error("vault `{0}` exists already")]
    VaultExists(VaultAddress),
    /// The name belongs to a deleted vault.
    #[error("vault `{0}` is deleted and can be recovered; recover or purge it")]
    VaultDeleted(VaultAddress),
    /// The name belongs to a deleted key.
    #[error("key `{0}` is deleted and can be recovered; recover or purge it")]
    KeyDeleted(KeyId),
    /// A backup is restored only where there is no such key.
    #[error("key `{0}` exists already")]
    KeyExists(KeyId),
    /// Others change the vault all the time; asking again helps.
    #[error("vault `{0}` changed meanwhile; try again")]
    Contended(VaultAddress),
    /// Role assignments cannot be read; nothing is concluded.
    #[error(transparent)]
    RolesUnavailable(#[from] RolesUnavailable),
    /// A row was changed, or lies where it does not belong.
    #[error("row {row} of table `{table}` is damaged; restore the vault from a backup")]
    DamagedRow {
        /// The table.
        table: &'static str,
        /// The row's id.
        row: RowId,
    },
    /// The database's own structure is damaged.
    #[error("the vault's database is damaged; restore it from a backup")]
    Damaged(#[source] DatabaseError),
    /// The database could not be read or written.
    #[error("the vault's database cannot be used")]
    Database(#[source] DatabaseError),
}

/// How a [`VaultError`] looks to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode {
    /// The HTTP status.
    pub status: u16,
    /// `error.code`.
    pub code: &'static str,
    /// `error.innererror.code`.
    pub inner: Option<&'static str>,
}

impl VaultError {
    /// The status and codes that clients see (BEHAVIOUR 2.5).
    pub fn code(&self) -> ErrorCode {
        let plain = |status, code| ErrorCode { status, code, inner: None };
        let inner = |status, code, inner| ErrorCode { status, code, inner: Some(inner) };
        match self {
            Self::BadParameter(_) | Self::EmptyValidity => plain(400, "BadParameter"),
            Self::Crypto(error) => match error {
                CryptoError::WrongAlgorithm
                | CryptoError::DigestLength
                | CryptoError::TooLong
                | CryptoError::NotDecrypted
                | CryptoError::BadComponents => plain(400, "BadParameter"),
                CryptoError::Failed => plain(500, "InternalServerError"),
            },
            Self::BadRequest(_) => plain(400, "BadRequest"),
            Self::VaultNameNotValid(_) | Self::NotEmbedded(_) => plain(400, "VaultNameNotValid"),
            Self::VaultPurgeProtected(_) => plain(400, "MethodNotAllowed"),
            Self::ModelSwitchForbidden(_) => plain(403, "InsufficientPermissions"),
            Self::WrongTenant { .. } => plain(401, "Unauthorized"),
            Self::ForbiddenByPolicy(_) => inner(403, "Forbidden", "ForbiddenByPolicy"),
            Self::ForbiddenByRbac(_) => inner(403, "Forbidden", "ForbiddenByRbac"),
            Self::ForbiddenByFirewall(_) => inner(403, "Forbidden", "ForbiddenByFirewall"),
            Self::KeyDisabled(..) => inner(403, "Forbidden", "KeyDisabled"),
            Self::KeyNotYetValid(..) => inner(403, "Forbidden", "KeyNotYetValid"),
            Self::KeyExpired(..) => inner(403, "Forbidden", "KeyExpired"),
            Self::KeyOperationForbidden(..) => inner(403, "Forbidden", "KeyOperationForbidden"),
            Self::KeyPurgeProtected(_) => plain(403, "Forbidden"),
            Self::VaultNotFound(_) => plain(404, "ResourceNotFound"),
            Self::DeletedVaultNotFound(_) => plain(404, "SoftDeletedVaultDoesNotExist"),
            Self::KeyNotFound(_) | Self::DeletedKeyNotFound(_) | Self::VersionNotFound(_) => {
                plain(404, "KeyNotFound")
            }
            Self::VaultExists(_) => plain(409, "VaultAlreadyExists"),
            Self::VaultDeleted(_) => plain(409, "ConflictError"),
            Self::KeyDeleted(_) => inner(409, "Conflict", "ObjectIsDeletedButRecoverable"),
            Self::KeyExists(_) | Self::Contended(_) => plain(409, "Conflict"),
            Self::DamagedRow { .. } | Self::Damaged(_) => plain(500, "InternalServerError"),
            Self::RolesUnavailable(_) | Self::Database(_) => plain(503, "ServiceUnavailable"),
        }
    }
}

impl From<rusqlite::Error> for VaultError {
    /// Tells damage from trouble.
    fn from(error: rusqlite::Error) -> Self {
        let error = DatabaseError::from(error);
        if error.is_damage() { Self::Damaged(error) } else { Self::Database(error) }
    }
}
