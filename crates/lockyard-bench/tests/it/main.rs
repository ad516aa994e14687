//! The bench measures what it says it does: every scenario, small, against the server as built.
//!
//! This checks the bench, and that the server does everything that the bench asks of it; it never
//! looks at how fast. Peers take part where `cargo xtask bench` has fetched them.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The server that lies beside the bench, built if nobody has built it yet.
fn lockyard() -> PathBuf {
    let bench = Path::new(env!("CARGO_BIN_EXE_lockyard-bench"));
    let program = bench.with_file_name("lockyard");
    if !program.is_file() {
        let release = bench.parent().is_some_and(|folder| folder.ends_with("release"));
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--package", "lockyard"]).args(release.then_some("--release"));
        assert!(cargo.status().expect("cargo starts").success());
    }
    program
}

#[test]
fn every_scenario_gives_figures() {
    let work = tempfile::Builder::new().prefix("bench-").tempdir().expect("a writable folder");
    let json = work.path().join("figures.json");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_lockyard-bench"));
    bench.args(["--small", "--rounds", "2"]);
    bench.arg("--work").arg(work.path()).arg("--json").arg(&json);
    bench.arg("--lockyard").arg(lockyard());
    let output = bench.output().expect("the bench starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");

    let text = std::fs::read(&json).expect("the figures are written");
    let document: serde_json::Value = serde_json::from_slice(&text).expect("they are JSON");
    let rows = document["rows"].as_array().expect("there are rows");
    for case in [
        "pull-1",
        "pull-8",
        "tls-pull",
        "push-1",
        "push-8",
        "small-push, 1 connections",
        "small-push, 8 connections",
        "manifest GET, 2 connections",
        "manifest GET, 64 connections",
        "manifest HEAD, 8 connections",
        "tags, cold, 10 tags",
        "tags, first page, 250 tags",
        "tags, next page, 250 tags",
        "memory, idle",
        "memory, peak of 8 pulls",
        "memory, peak of slow pulls",
    ] {
        let is_it =
            |row: &&serde_json::Value| row["case"] == case && row["contestant"] == "lockyard";
        let row = rows.iter().find(is_it).unwrap_or_else(|| panic!("no `{case}` in {document:#}"));
        assert!(row["value"]["median"].as_f64().expect("a number") > 0.0, "{row:#}");
    }
    let left = std::fs::read_dir(work.path()).expect("the folder is there").count();
    assert_eq!(left, 1, "only the figures are left");
}

#[test]
fn a_scenario_that_does_not_exist_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_lockyard-bench")).arg("pull-9").output();
    let output = output.expect("the bench starts");
    assert!(!output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "bench: there is no scenario `pull-9`\n");
}
