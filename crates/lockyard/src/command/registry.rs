//! `lockyard registry`: the registries of this instance.

use clap::{Args, Subcommand};

use super::offline;
use crate::{
    admin::RegistryRequest,
    config::{DataFlags, Environment},
    failure::Outcome,
};

#[derive(Debug, Subcommand)]
pub(super) enum RegistryCommand {
    /// Make a registry, reached at NAME.cr.DOMAIN
    Create(Create),
    /// List all registries
    List(List),
    /// Show one registry: its key, and whether it is unlocked
    Show(Show),
    /// Change one registry: whether everybody may pull from it
    Update(Update),
    /// Let a registry use its key as another managed identity, whatever became of the one it has
    AssignIdentity(AssignIdentity),
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// 5 to 50 letters and digits
    name: String,
    /// The customer key as VAULT/NAME [default: service-managed keys]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The managed identity as which it uses the key; it is given the right to
    /// [default: one with the registry's name, made if it is not there]
    #[arg(long, value_name = "IDENTITY", requires = "key")]
    identity: Option<String>,
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct List {
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct Show {
    /// The registry's name
    name: String,
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct Update {
    /// The registry's name
    name: String,
    /// Whether everybody may pull from it, without a login
    #[arg(long, value_name = "BOOL", action = clap::ArgAction::Set)]
    anonymous_pull: bool,
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct AssignIdentity {
    /// The registry's name
    name: String,
    /// A name, client id, object id or resource id of a managed identity, or `[system]` for the
    /// registry's own
    #[arg(long)]
    identity: String,
    /// Give the identity the use of the key first: a role at the vault, or an access policy
    #[arg(long)]
    grant: bool,
    #[command(flatten)]
    data: DataFlags,
}

pub(super) fn run(command: RegistryCommand, env: &Environment) -> Outcome {
    let (flags, request) = match command {
        RegistryCommand::Create(Create { name, key, identity, data }) => {
            (data, RegistryRequest::Create { name, key, identity })
        }
        RegistryCommand::List(List { data }) => (data, RegistryRequest::List),
        RegistryCommand::Show(Show { name, data }) => (data, RegistryRequest::Show { name }),
        RegistryCommand::Update(Update { name, anonymous_pull, data }) => {
            (data, RegistryRequest::Update { name, anonymous_pull })
        }
        RegistryCommand::AssignIdentity(AssignIdentity { name, identity, grant, data }) => {
            (data, RegistryRequest::AssignIdentity { name, identity, grant })
        }
    };
    super::print(offline::on_registries(&super::data(flags, env)?, request)?);
    Ok(())
}
