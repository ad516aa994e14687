//! The embedded key vault: customer keys that are used here and never leave.
//!
//! A vault directory is a world of its own: its own database, its own root key, its own backups,
//! so that it can live on another machine or disk than the registries whose keys it holds.
//! [`Vault`] keeps RSA keys and grants, sealed; [`EmbeddedProvider`] lets registries use them
//! through the keyring's `KeyProvider` seam, as the identity that they were granted to.
//!
//! This crate never speaks HTTP, never sees content or a registry key, and never hands out a
//! private key. Normative text of what lies on disk: `docs/spec/vault.md`.

mod database;
mod directory;
mod embedded;
mod grants;
mod keys;
mod root_key;
mod rows;
mod rsa;
mod schema;
mod vault;

pub use database::DatabaseError;
pub use embedded::EmbeddedProvider;
pub use keys::{KeyTarget, Validity};
pub use root_key::{RootKeyError, VaultRootKey};
pub use rsa::RsaSize;
pub use vault::{OpenVaultError, Vault, VaultError};

#[cfg(test)]
mod tests;
