//! `lockyard scrub` and `lockyard gc`: what keeps an instance well, started by its operator.
//!
//! Exit codes: 0 if all is well, 3 if something is wrong with what is stored, 1 if the command could
//! not do what it was asked. Reports go to standard output, progress to standard error.

use std::process::ExitCode;

use clap::Args;

use super::offline;
use crate::{
    admin::{Report, UpkeepRequest, Verdict},
    config::{DataFlags, Environment},
    failure::Outcome,
};

/// Exit code for findings.
const FINDINGS: u8 = 3;

#[derive(Args, Debug)]
pub(super) struct Scrub {
    /// Read at most so many MiB per second [default: as fast as it goes]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    rate: Option<u64>,
    /// Go on where an unfinished scrub stopped
    #[arg(long)]
    resume: bool,
    /// Report in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFlags,
}

#[derive(Args, Debug)]
pub(super) struct Collect {
    /// Only say what would go and why, with names of repositories
    #[arg(long)]
    dry_run: bool,
    /// Report in JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataFlags,
}

pub(super) fn scrub(command: Scrub, env: &Environment) -> Outcome<ExitCode> {
    let Scrub { rate, resume, json, data } = command;
    let rate = rate.map(|megabytes| megabytes << 20);
    run(data, env, UpkeepRequest::Scrub { rate, resume, json })
}

pub(super) fn collect(command: Collect, env: &Environment) -> Outcome<ExitCode> {
    let Collect { dry_run, json, data } = command;
    run(data, env, UpkeepRequest::Collect { dry_run, json })
}

fn run(flags: DataFlags, env: &Environment, request: UpkeepRequest) -> Outcome<ExitCode> {
    let Report { lines, verdict } = offline::upkeep(&super::data(flags, env)?, request)?;
    super::print(lines);
    Ok(match verdict {
        Verdict::Clean => ExitCode::SUCCESS,
        Verdict::Findings => ExitCode::from(FINDINGS),
        Verdict::Unfinished => ExitCode::FAILURE,
    })
}
