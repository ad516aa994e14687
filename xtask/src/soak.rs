//! `cargo xtask soak`: a long load on a release build, with a table of what the server needs.
//!
//! Not part of the tests, because nobody waits ten minutes for them.

use std::path::Path;
use std::process::Command;

use crate::install::Interop;
use crate::process;

const MINUTES: &str = "10";

/// Runs the load and returns whether nothing grew.
pub(crate) fn run(root: &Path, arguments: &[String]) -> bool {
    let minutes = match arguments {
        [] => MINUTES,
        [flag, minutes] if flag == "--minutes" => minutes,
        _ => {
            process::say("usage: cargo xtask soak [--minutes N]");
            return false;
        }
    };
    let interop = Interop::of(root);
    for sentence in interop.install() {
        process::say(&format!("xtask: MISSING: {sentence}"));
    }
    let cargo = process::environment("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args(["test", "--release", "--package", "lockyard", "--test", "it", "--", "soak::"])
        .env("LOCKYARD_INTEROP", interop.folder())
        .env("LOCKYARD_SOAK_MINUTES", minutes);
    process::run(&mut command)
}
