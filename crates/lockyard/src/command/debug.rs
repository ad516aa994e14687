//! `lockyard debug`: tools that take content out of its seals.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::offline;
use crate::{
    admin::RegistryRequest,
    config::{DataFlags, Environment},
    failure::{Failure, OrFail as _, Outcome},
};

#[derive(Debug, Subcommand)]
pub(super) enum DebugCommand {
    /// Write the sealed parts of a blob with their associated data and keys, for Tink
    ExportPart(ExportPart),
}

#[derive(Args, Debug)]
pub(super) struct ExportPart {
    /// Say that you know: whoever reads the keyset files can read the blob
    #[arg(long)]
    dangerous: bool,
    /// The registry
    #[arg(long)]
    registry: String,
    /// The repository
    #[arg(long)]
    repository: String,
    /// The blob's digest
    #[arg(long)]
    digest: String,
    /// A directory for the files
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    data: DataFlags,
}

pub(super) fn run(command: DebugCommand, env: &Environment) -> Outcome {
    let DebugCommand::ExportPart(command) = command;
    if !command.dangerous {
        return Err(Failure::text("this writes keys of content in the clear").advise(
            "say `--dangerous` if that is what you want, and delete the files afterwards",
        ));
    }
    let request = RegistryRequest::ExportPart {
        registry: command.registry,
        repository: command.repository,
        digest: command.digest,
        out: std::path::absolute(command.out).or_fail()?,
    };
    super::print(offline::on_registries(&super::data(command.data, env)?, request)?);
    Ok(())
}
