//! The command line: what can be asked for, and who does it.

mod audit;
mod debug;
mod identity;
mod key;
mod offline;
mod owner;
mod registry;
mod service_key;
mod slot;
mod upkeep;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{DataConfig, DataFlags, Environment, LogFormat, LogLevel, ServeConfig, ServeFlags},
    failure::{Failure, Outcome},
    hygiene,
    instance::Protection,
    say::say,
    serve, telemetry,
};

/// A container registry whose content is sealed under a key that its customer holds.
#[derive(Debug, Parser)]
#[command(name = "lockyard", version, disable_help_subcommand = true, args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the registry
    Serve(ServeFlags),
    /// Run the registry with a customer key in the embedded vault, and show how to try it
    Quickstart(ServeFlags),
    /// The embedded key vault
    Vault(Room<VaultCommand>),
    /// The registries of this instance
    Registry(Room<registry::RegistryCommand>),
    /// Managed identities, and how programs of this machine become one
    Identity(Room<identity::IdentityCommand>),
    /// Read everything that is stored and say what is wrong
    Scrub(upkeep::Scrub),
    /// Take away what no manifest needs; a server does so by itself every hour
    Gc(upkeep::Collect),
    /// The audit trail of the embedded vault; also while a server runs
    Audit(Room<audit::AuditCommand>),
    /// The instance's own key and its owner; the server must be stopped
    Admin(Room<AdminCommand>),
    /// Tools for looking into sealed data
    Debug(Room<debug::DebugCommand>),
}

/// A family of commands.
#[derive(Args, Debug)]
struct Room<C: Subcommand> {
    #[command(subcommand)]
    command: C,
}

#[derive(Debug, Subcommand)]
enum VaultCommand {
    /// Customer keys
    Key(Room<key::KeyCommand>),
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Ways to open the service key: key file, passphrase, recovery code
    Slot(Room<slot::SlotCommand>),
    /// Make another service key, and seal under it what the old one seals; no content is rewritten
    RotateServiceKey(service_key::Rotate),
    /// Give the owner and the first person new credentials, shown once; the old ones are over
    ResetOwner(owner::ResetOwner),
}

/// Runs a command to its end.
pub(crate) fn run(cli: Cli) -> Outcome<ExitCode> {
    let env = Environment::read();
    let done = match cli.command {
        Command::Scrub(command) => return upkeep::scrub(command, &env),
        Command::Audit(room) => return audit::run(room.command, &env),
        Command::Gc(command) => return upkeep::collect(command, &env),
        Command::Serve(flags) => serve(flags, &env, Protection::ServiceManaged),
        Command::Quickstart(flags) => serve(flags, &env, Protection::CustomerKey),
        Command::Vault(room) => {
            let VaultCommand::Key(room) = room.command;
            key::run(room.command, &env)
        }
        Command::Registry(room) => registry::run(room.command, &env),
        Command::Identity(room) => identity::run(room.command, &env),
        Command::Admin(room) => match room.command {
            AdminCommand::Slot(room) => slot::run(room.command, &env),
            AdminCommand::RotateServiceKey(command) => service_key::rotate(command, &env),
            AdminCommand::ResetOwner(command) => owner::reset(command, &env),
        },
        Command::Debug(room) => debug::run(room.command, &env),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn serve(flags: ServeFlags, env: &Environment, protection: Protection) -> Outcome {
    let config = ServeConfig::resolve(flags, env).map_err(|error| Failure::usage(&error))?;
    telemetry::start(config.log_format, config.log_level);
    hygiene::harden();
    serve::run(&config, protection)
}

/// Where a command finds its data; hardens the process on the way, since keys come next.
fn data(flags: DataFlags, env: &Environment) -> Outcome<DataConfig> {
    let data = DataConfig::resolve(flags, env).map_err(|error| Failure::usage(&error))?;
    telemetry::start(LogFormat::Human, LogLevel::Warn);
    hygiene::harden();
    Ok(data)
}

fn print(lines: Vec<String>) {
    for line in lines {
        say(line);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_address_that_others_can_reach_is_refused_for_the_plain_listener() {
        let parsed = Cli::try_parse_from(["lockyard", "serve", "--http", "0.0.0.0:5000"]);
        let error = parsed.expect_err("not loopback");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("not a loopback address"), "{error}");
    }
}
