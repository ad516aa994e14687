//! Lockyard: a container registry whose content is sealed under a key that its customer holds.
//!
//! This crate is the composition root. It reads the command line, the configuration and the
//! environment once, opens the rooms in their order, joins them, and runs until it is told to
//! stop. It decides nothing that a room can decide: what a registry does is in
//! `lockyard-registry`, what a client sees in `lockyard-web`, who holds keys in
//! `lockyard-keyring` and `lockyard-vault`.

mod admin;
mod command;
mod config;
mod counted;
mod data_dir;
mod export;
mod failure;
mod greeting;
mod hygiene;
mod instance;
mod jobs;
mod listeners;
mod machine;
mod otlp;
mod private_file;
mod run_file;
mod say;
mod serve;
mod service_secret;
mod telemetry;
mod tending;
mod tls;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;

/// Requests wander between threads, and the system's allocator has them wait for each other then.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match command::run(command::Cli::parse()) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
