//! `cargo xtask test`: every test there is, with everything that it needs.
//!
//! One `cargo test` of the whole workspace, so nothing is built twice; the variables set here turn
//! on the tests that need a PostgreSQL (`LOCKYARD_TEST_POSTGRES`) and other people's programs
//! (`LOCKYARD_INTEROP`). Without them the same tests say *ignored*, which is counted here as
//! skipped. In continuous integration (`CI=true`) a skipped test is a failure.

use std::path::Path;
use std::process::Command;

use crate::install::Interop;
use crate::postgres::Cluster;
use crate::process;
use crate::vectors::{self, Outcome};

/// Runs the tests and returns whether the result is good.
pub(crate) fn run(root: &Path, arguments: &[String]) -> bool {
    let interop = Interop::of(root);
    let (no_install, arguments) = match arguments.split_first() {
        Some((first, rest)) if first == "--no-install" => (true, rest),
        _ => (false, arguments),
    };
    let mut missing = if no_install { Vec::new() } else { interop.install() };
    let cluster = process::timed("throw-away PostgreSQL", Cluster::start);
    missing.extend(cluster.as_ref().err().cloned());
    tell_missing(&missing);

    let mut command = Command::new(process::environment("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(["test", "--no-fail-fast"]);
    if arguments.is_empty() {
        command.arg("--workspace");
    }
    command.args(arguments).env("LOCKYARD_INTEROP", interop.folder());
    if let Ok(cluster) = &cluster {
        command.env("LOCKYARD_TEST_POSTGRES", cluster.url());
        command.env("LOCKYARD_TEST_POSTGRES_DATA", cluster.data());
    }
    let mut tally = Tally::default();
    let well = process::timed("cargo test", || {
        process::run_listening(&mut command, |line| tally.listen(line))
    });
    drop(cluster);
    if arguments.is_empty() {
        process::timed("published vectors", || tally.add(&vectors::check(root, &interop)));
    }
    tell_missing(&missing);
    conclude(well, &tally)
}

/// Prints the summary and returns whether the run counts as good.
fn conclude(well: bool, tally: &Tally) -> bool {
    for name in &tally.names_failed {
        process::say(&format!("failed: {name}"));
    }
    for name in &tally.names_skipped {
        process::say(&format!("skipped: {name}"));
    }
    let Tally { passed, failed, skipped, .. } = tally;
    process::say(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
    if *skipped > 0 && process::environment("CI").as_deref() == Some("true") {
        process::say("xtask: in continuous integration a skipped test is a failure");
        return false;
    }
    if !well && *failed == 0 {
        process::say("xtask: `cargo test` failed before or between the tests, see above");
    }
    well && *failed == 0 && *passed > 0
}

/// Tells loudly what could not be had.
fn tell_missing(missing: &[String]) {
    for sentence in missing {
        process::say(&format!("xtask: MISSING: {sentence}; the tests that need it are skipped"));
    }
}

/// What the test binaries reported so far.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
    names_failed: Vec<String>,
    names_skipped: Vec<String>,
}

impl Tally {
    /// Adds checks that are no test binaries.
    fn add(&mut self, checks: &[(&str, Outcome)]) {
        for (name, outcome) in checks {
            match outcome {
                Outcome::Passed => self.passed += 1,
                Outcome::Failed => {
                    self.failed += 1;
                    self.names_failed.push((*name).to_owned());
                }
                Outcome::Skipped => {
                    self.skipped += 1;
                    self.names_skipped.push((*name).to_owned());
                }
            }
        }
    }

    /// Reads one line of a test binary's output, in the form of Rust's own harness.
    fn listen(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            self.passed += count_before(result, " passed");
            self.failed += count_before(result, " failed");
            self.skipped += count_before(result, " ignored");
        } else if let Some(test) = line.strip_prefix("test ") {
            if let Some(name) = test.strip_suffix(" ... FAILED") {
                self.names_failed.push(name.trim_end().to_owned());
            } else if let Some((name, _)) = test.split_once(" ... ignored") {
                self.names_skipped.push(name.trim_end().to_owned());
            }
        }
    }
}

/// Returns the number that stands before `word`, or 0.
fn count_before(result: &str, word: &str) -> u64 {
    let before = result.split_once(word).map_or("", |(before, _)| before);
    let digits = before.rsplit(|letter: char| !letter.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tally_adds_up_what_the_harness_prints() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test seal::a_swapped_segment_is_damaged ... ok",
            "test [needs podman] a_pull ... ignored",
            "test a_push ... FAILED",
            "test result: FAILED. 12 passed; 1 failed; 3 ignored; 0 measured; 0 filtered out; x",
            "test result: ok. 30 passed; 0 failed; 0 ignored; 0 measured; 7 filtered out",
        ] {
            tally.listen(line);
        }
        let expected = Tally {
            passed: 42,
            failed: 1,
            skipped: 3,
            names_failed: vec!["a_push".into()],
            names_skipped: vec!["[needs podman] a_pull".into()],
        };
        assert_eq!(tally, expected);
    }
}
