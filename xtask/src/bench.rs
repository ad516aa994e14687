//! `cargo xtask bench`: builds what is measured and what measures, fetches the peers, and starts.
//!
//! The measuring is a program of its own, because it needs TLS and hashes, and every first command
//! in a fresh clone waits for this one. Peers come from Debian and are unpacked into `target`: as
//! installed packages they would start as services.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{apt, process};

/// A peer's program and its package.
const PEERS: [(&str, &str); 2] = [("docker-registry", "docker-registry"), ("nginx", "nginx")];

/// What else is run, from packages that start nothing.
const TOOLS: [(&str, &str); 2] = [("skopeo", "skopeo"), ("setpriv", "util-linux")];

/// Measures and returns whether that went well.
pub(crate) fn run(root: &Path, arguments: &[String]) -> bool {
    let (own, arguments): (Vec<&String>, Vec<&String>) =
        arguments.iter().partition(|word| ["--debug", "--no-install"].contains(&word.as_str()));
    let said = |flag: &str| own.iter().any(|word| *word == flag);
    let target = process::environment("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = root.join(target);
    let alone = arguments.iter().any(|word| *word == "--url" || *word == "--help");
    let profile = if said("--debug") { "debug" } else { "release" };

    // Built one by one: together, one would get features of dependencies that the other needs.
    let packages: &[&str] =
        if alone { &["lockyard-bench"] } else { &["lockyard", "lockyard-bench"] };
    if !packages.iter().all(|package| build(root, package, profile)) {
        return false;
    }
    let programs = target.join(profile);
    let mut bench = Command::new(programs.join("lockyard-bench"));
    bench.arg("--work").arg(target.join("bench"));
    if !alone {
        bench.arg("--lockyard").arg(programs.join("lockyard"));
        if !said("--no-install")
            && let Err(sentence) = apt::install(&apt::missing(&TOOLS))
        {
            process::say(&format!("xtask: MISSING: {sentence}"));
        }
        let folder = target.join("bench/peers");
        for (program, package) in PEERS {
            match peer(program, package, &folder, said("--no-install")) {
                Ok(path) => bench.arg(format!("--{program}")).arg(path),
                Err(sentence) => {
                    process::say(&format!("xtask: MISSING: {sentence}; it is not measured"));
                    continue;
                }
            };
        }
    }
    bench.args(arguments);
    process::run(&mut bench)
}

fn build(root: &Path, package: &str, profile: &str) -> bool {
    let mut cargo = Command::new(process::environment("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["build", "--quiet", "--package", package]);
    if profile == "release" {
        cargo.arg("--release");
    }
    process::timed(&format!("building {package}"), || process::run(&mut cargo))
}

/// Returns a peer's program: the machine's, else one that is unpacked below `folder`.
fn peer(program: &str, package: &str, folder: &Path, no_install: bool) -> Result<PathBuf, String> {
    if let Some(installed) = process::find(program) {
        return Ok(installed);
    }
    let folder = folder.join(package);
    let unpacked = || {
        let folders = ["usr/bin", "usr/sbin"].map(|bin| folder.join(bin).join(program));
        folders.into_iter().find(|path| path.is_file())
    };
    if unpacked().is_none() && !no_install {
        apt::unpack(&[package], &folder)?;
    }
    unpacked().ok_or_else(|| format!("there is no `{program}`"))
}
