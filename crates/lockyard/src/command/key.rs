//! `lockyard vault key`: customer keys in the embedded vault.

use clap::{Args, Subcommand};

use super::offline;
use crate::{
    admin::KeyRequest,
    config::{DataFlags, Environment},
    failure::Outcome,
};

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// List keys with their versions
    List(List),
    /// Make an RSA key, or a new version of one
    Create(Create),
    /// Forbid the use of a key: registries that it protects lock at once
    Disable(Target),
    /// Allow the use of a key again
    Enable(Target),
}

#[derive(Args, Debug)]
pub(super) struct List {
    /// Only the keys of this vault
    vault: Option<String>,
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// The key as VAULT/NAME
    key: String,
    /// The size of the RSA modulus in bits: 2048, 3072 or 4096
    #[arg(long, default_value_t = 3072)]
    size: usize,
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct Target {
    /// The key as VAULT/NAME, or one version as VAULT/NAME/VERSION
    key: String,
    #[command(flatten)]
    data: DataFlags,
}

pub(super) fn run(command: KeyCommand, env: &Environment) -> Outcome {
    let (flags, request) = match command {
        KeyCommand::List(List { vault, data }) => (data, KeyRequest::List { vault }),
        KeyCommand::Create(Create { key, size, data }) => {
            (data, KeyRequest::Create { key, bits: size })
        }
        KeyCommand::Disable(Target { key, data }) => (data, KeyRequest::Disable { key }),
        KeyCommand::Enable(Target { key, data }) => (data, KeyRequest::Enable { key }),
    };
    super::print(offline::on_keys(&super::data(flags, env)?, request)?);
    Ok(())
}
