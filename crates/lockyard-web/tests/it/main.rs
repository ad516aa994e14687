//! The HTTP faces as their clients see them, over real registries in a directory of their own.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod blob;
mod doors;
mod graph;
mod key_vaults;
mod list;
mod locked;
mod login;
mod management;
mod manifest;
mod office;
mod ops;
mod socket;
mod strangers;
mod support;
mod tokens;
mod trail;
mod unauthorized;
mod upload;
mod vault;
mod vault_permissions;
