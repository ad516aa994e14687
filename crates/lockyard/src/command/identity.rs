//! `lockyard identity`: managed identities, and how programs of this machine become one.

use clap::{Args, Subcommand};

use super::offline;
use crate::{
    admin::IdentityRequest,
    config::{DataFlags, Environment},
    failure::Outcome,
};

#[derive(Debug, Subcommand)]
pub(super) enum IdentityCommand {
    /// Make a user-assigned managed identity
    Create(Create),
    /// List all managed identities
    List(List),
    /// Let a managed identity act again
    Enable(One),
    /// Let a managed identity act no more: registries that act as it lock at once
    Disable(One),
    /// Delete a managed identity with all its roles: registries that act as it lock at once
    Delete(One),
    /// Make the secret that programs send as IDENTITY_HEADER, and show it once; an older one ends
    Secret(One),
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// Its name
    name: String,
    /// Its resource group
    #[arg(long, value_name = "NAME", default_value = "lockyard")]
    resource_group: String,
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct One {
    /// The identity's client id
    client_id: String,
    #[command(flatten)]
    data: DataFlags,
}

pub(super) fn run(command: IdentityCommand, env: &Environment) -> Outcome {
    let (flags, request) = match command {
        IdentityCommand::Create(Create { name, resource_group, data }) => {
            (data, IdentityRequest::Create { name, group: resource_group })
        }
        IdentityCommand::List(List { data }) => (data, IdentityRequest::List),
        IdentityCommand::Enable(One { client_id, data }) => {
            (data, IdentityRequest::Enable { client: client_id })
        }
        IdentityCommand::Disable(One { client_id, data }) => {
            (data, IdentityRequest::Disable { client: client_id })
        }
        IdentityCommand::Delete(One { client_id, data }) => {
            (data, IdentityRequest::Delete { client: client_id })
        }
        IdentityCommand::Secret(One { client_id, data }) => {
            (data, IdentityRequest::Secret { client: client_id })
        }
    };
    super::print(offline::on_identities(&super::data(flags, env)?, request)?);
    Ok(())
}
