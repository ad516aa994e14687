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
}

#[derive(Args, Debug)]
pub(super) struct Create {
    /// 5 to 50 letters and digits
    name: String,
    /// The customer key as VAULT/NAME [default: service-managed keys]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
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

pub(super) fn run(command: RegistryCommand, env: &Environment) -> Outcome {
    let (flags, request) = match command {
        RegistryCommand::Create(Create { name, key, data }) => {
            (data, RegistryRequest::Create { name, key })
        }
        RegistryCommand::List(List { data }) => (data, RegistryRequest::List),
        RegistryCommand::Show(Show { name, data }) => (data, RegistryRequest::Show { name }),
        RegistryCommand::Update(Update { name, anonymous_pull, data }) => {
            (data, RegistryRequest::Update { name, anonymous_pull })
        }
    };
    super::print(offline::on_registries(&super::data(flags, env)?, request)?);
    Ok(())
}
