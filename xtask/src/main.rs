//! The chores of this repository: `cargo xtask test`, `bench`, `soak` and `tidy`.
//!
//! Nothing here is linked into the server. It depends on next to nothing, because every first
//! command in a fresh clone waits for it to build.

mod apt;
mod bench;
mod fuzz;
mod install;
mod layers;
mod postgres;
mod process;
mod soak;
mod source;
mod suite;
mod tidy;
mod vectors;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <chore>

  test [--no-install] [cargo test arguments…]
          install what the tests need, start a throw-away PostgreSQL, run every test there is;
          with arguments, run `cargo test` with those instead of `--workspace`
  bench [SCENARIO…] [--rounds N] [--small] [--json FILE] [--url URL] [--debug] [--no-install]
          build a release, fetch the peers, and measure all of them side by side;
          `cargo xtask bench --help` has all flags and scenarios
  soak [--minutes N]
          load a release build for ten minutes and see that nothing grows
  fuzz [TARGET…] [--seconds N]
          let the fuzz targets look for inputs that no parser should stumble over
  tidy    check the house rules that no compiler checks";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let root = workspace_root();
    let well = match arguments.split_first() {
        Some((chore, rest)) if chore == "test" => suite::run(&root, rest),
        Some((chore, rest)) if chore == "bench" => bench::run(&root, rest),
        Some((chore, rest)) if chore == "fuzz" => fuzz::run(&root, rest),
        Some((chore, rest)) if chore == "soak" => soak::run(&root, rest),
        Some((chore, [])) if chore == "tidy" => report(&tidy::findings(&root)),
        _ => {
            process::say(USAGE);
            false
        }
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the findings of a check and returns whether there were none.
fn report(findings: &[String]) -> bool {
    for finding in findings {
        process::say(finding);
    }
    process::say(&format!("tidy: {} findings", findings.len()));
    findings.is_empty()
}

/// Returns the folder of the workspace's manifest.
fn workspace_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the workspace's folder").to_path_buf()
}
