//! `cargo xtask fuzz`: builds the fuzz targets and lets each look for trouble for a while.
//!
//! It needs a C++ compiler and nothing else: the coverage that libFuzzer is guided by comes from
//! the stable compiler. What it found lies below `target/fuzz`: the corpus grows from run to run,
//! and an input that fails is kept as `target/fuzz/<target>/crash-…`.

use std::path::Path;
use std::process::Command;

use crate::process;

/// How long each target runs unless told otherwise.
const SECONDS: u32 = 60;

/// What the compiler adds to a build, so that libFuzzer sees where an input leads.
const INSTRUMENTED: &str = "--cfg fuzzing -Ccodegen-units=1 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    targets: Vec<String>,
    seconds: u32,
}

/// Runs the targets and returns whether none failed.
pub(crate) fn run(root: &Path, arguments: &[String]) -> bool {
    let Some(wish) = Wish::parse(arguments) else {
        process::say("usage: cargo xtask fuzz [TARGET…] [--seconds N]");
        return false;
    };
    let targets = if wish.targets.is_empty() { every_target(root) } else { wish.targets };
    let Some(host) = host() else {
        process::say("xtask: `rustc -vV` does not say for which machine it compiles");
        return false;
    };
    let folder = root.join("target/fuzz");
    if !process::timed("fuzz targets", || build(root, &folder, &host)) {
        return false;
    }
    let mut failed = Vec::new();
    for target in &targets {
        let program = folder.join(&host).join("release").join(target);
        let found = folder.join(target);
        if !process::timed(target, || search(&program, &found, wish.seconds)) {
            failed.push(target.as_str());
        }
    }
    process::say(&format!("fuzz: {} targets, failed: [{}]", targets.len(), failed.join(", ")));
    failed.is_empty() && !targets.is_empty()
}

impl Wish {
    fn parse(arguments: &[String]) -> Option<Self> {
        let mut wish = Self { targets: Vec::new(), seconds: SECONDS };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--seconds" => wish.seconds = words.next()?.parse().ok()?,
                flag if flag.starts_with('-') => return None,
                target => wish.targets.push(target.to_owned()),
            }
        }
        Some(wish)
    }
}

/// Every target has a file of its name.
fn every_target(root: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(root.join("fuzz/targets")) else { return Vec::new() };
    let stems = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_stem()?.to_str().map(str::to_owned)
    });
    let mut targets: Vec<String> = stems.collect();
    targets.sort();
    targets
}

/// The machine that we run on; naming it keeps the instruments out of build scripts.
fn host() -> Option<String> {
    let told = process::capture(Command::new("rustc").arg("-vV"))?;
    told.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned)
}

fn build(root: &Path, folder: &Path, host: &str) -> bool {
    let cargo = process::environment("CARGO").unwrap_or_else(|| "cargo".into());
    process::run(
        Command::new(cargo)
            .current_dir(root.join("fuzz"))
            .args(["build", "--release", "--locked", "--target", host, "--target-dir"])
            .arg(folder)
            .env("RUSTFLAGS", INSTRUMENTED),
    )
}

fn search(program: &Path, found: &Path, seconds: u32) -> bool {
    let corpus = found.join("corpus");
    if std::fs::create_dir_all(&corpus).is_err() {
        return false;
    }
    process::run(
        Command::new(program)
            .arg(format!("-max_total_time={seconds}"))
            .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"])
            .arg(format!("-artifact_prefix={}/", found.display()))
            .arg(corpus),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(words: &[&str]) -> Option<Wish> {
        Wish::parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_wish_names_targets_and_seconds() {
        let targets = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(wish(&["a", "--seconds", "5", "b"]), Some(Wish { targets, seconds: 5 }));
        assert_eq!(wish(&[]), Some(Wish { targets: Vec::new(), seconds: SECONDS }));
        for wrong in [&["--seconds"][..], &["--seconds", "x"], &["--fast"]] {
            assert_eq!(wish(wrong), None);
        }
    }
}
