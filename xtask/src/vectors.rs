//! Holds the published vectors against other people's code: Google Tink and Python's library.
//!
//! Streams are checked in both directions: Tink opens ours, and what Tink seals our own example
//! program opens. The programs lie in `tests/interop`; these checks count as tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::install::Interop;
use crate::process;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    Skipped,
}

/// Runs every check and returns each one's name and outcome.
pub(crate) fn check(root: &Path, interop: &Interop) -> Vec<(&'static str, Outcome)> {
    let published = root.join("docs/spec/vectors");
    let programs = root.join("tests/interop");
    let streams = published.join("sealed-stream.json");
    let tink_streams = interop.folder().join("tink-streams.json");
    let tink = interop.folder().join("venv/bin/python");
    // Built by `cargo test`, as every example is.
    let ours = interop.target().join("debug/examples/vectors");
    let python = process::find("python3").unwrap_or_else(|| PathBuf::from("python3"));
    let arguments = |first: PathBuf, second: &Path, rest: &[&Path]| {
        let mut all = vec![first, second.to_path_buf()];
        all.extend(rest.iter().map(|path| path.to_path_buf()));
        all
    };
    let checks = [
        (
            "vectors::tink_opens_our_streams_and_seals_its_own",
            arguments(tink, &programs.join("tink_check.py"), &[&streams, &tink_streams]),
        ),
        (
            "vectors::we_open_the_streams_that_tink_sealed",
            arguments(ours, Path::new("open"), &[&tink_streams]),
        ),
        (
            "vectors::the_key_hierarchy_is_what_the_standard_library_computes",
            arguments(python, &programs.join("keys_check.py"), &[&published.join("keys.json")]),
        ),
    ];
    checks.map(|(name, command)| (name, run(name, &command))).into()
}

/// Runs one check and prints it like a test.
fn run(name: &str, words: &[PathBuf]) -> Outcome {
    let (program, arguments) = words.split_first().expect("each check names a program");
    let outcome = if !program.is_file() {
        Outcome::Skipped
    } else if process::run(Command::new(program).args(arguments)) {
        Outcome::Passed
    } else {
        Outcome::Failed
    };
    let word = match outcome {
        Outcome::Passed => "ok",
        Outcome::Failed => "FAILED",
        Outcome::Skipped => "ignored",
    };
    process::say(&format!("test {name} ... {word}"));
    outcome
}
