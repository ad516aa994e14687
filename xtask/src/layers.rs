//! Which of our crates may know which: the table of layers, compared with `cargo metadata`.
//!
//! Inner rings know nothing of outer ones. A new arrow is then a reviewed line here, never an
//! accident, and an arrow that nobody uses any more leaves the table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use crate::process;

/// Every crate of the workspace with the crates of ours that it is built on, from the inside out.
const LAYERS: [(&str, &[&str]); 18] = [
    // ring 0: words
    ("base", &[]),
    ("oci", &[]),
    ("arm", &["base"]),
    // ring 1: the only code that touches keys for content
    ("seal", &["base"]),
    ("keyring", &["base", "seal"]),
    // ring 2: where things are kept, who wraps keys
    ("store", &["base"]),
    ("blobs", &["base", "seal", "keyring"]),
    ("egress", &[]),
    ("audit", &["base", "seal", "blobs"]),
    // ring 3: what Lockyard does; no HTTP, no SQL
    ("access", &["arm", "base", "egress", "seal", "keyring", "store"]),
    ("vault", &["base", "seal", "keyring", "audit"]),
    ("registry", &["access", "arm", "base", "oci", "seal", "keyring", "store", "blobs"]),
    ("control", &["access", "arm", "audit", "base", "keyring", "vault"]),
    // ring 4: the faces
    ("web", &["access", "arm", "audit", "base", "control", "oci", "keyring", "registry", "vault"]),
    // ring 5: composition and chores
    (
        "lockyard",
        &[
            "access", "arm", "audit", "base", "control", "egress", "oci", "keyring", "store",
            "blobs", "vault", "registry", "web",
        ],
    ),
    ("bench", &[]),
    // dev only
    ("testkit", &["base", "oci", "keyring", "store", "blobs", "registry"]),
    ("xtask", &[]),
];

/// Dependencies that only some rooms may have, each for the reason of its ring.
const RESERVED: [(&str, &[&str]); 6] = [
    ("rusqlite", &["store", "vault", "testkit"]),
    ("postgres", &["store"]),
    (
        "aws-lc-rs",
        &["access", "seal", "keyring", "audit", "vault", "registry", "lockyard", "bench"],
    ),
    ("axum", &["web", "lockyard"]),
    ("hyper", &["egress", "web", "lockyard"]),
    ("clap", &["lockyard"]),
];

/// Returns a sentence for each arrow that the table does not allow.
pub(crate) fn findings(root: &Path) -> Vec<String> {
    let mut cargo = Command::new(process::environment("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root).args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata = process::capture(&mut cargo).unwrap_or_default();
    match arrows(&metadata) {
        Some(arrows) => compare(&arrows),
        None => vec!["`cargo metadata` can't be read".to_owned()],
    }
}

/// What one crate depends on.
#[derive(Debug, Default)]
struct Arrows {
    ours: BTreeSet<String>,
    ours_in_tests: BTreeSet<String>,
    others: BTreeSet<String>,
}

/// Reads cargo's description of the workspace.
fn arrows(metadata: &str) -> Option<BTreeMap<String, Arrows>> {
    let metadata: serde_json::Value = serde_json::from_str(metadata).ok()?;
    let mut all = BTreeMap::new();
    for package in metadata.get("packages")?.as_array()? {
        let mut arrows = Arrows::default();
        for dependency in package.get("dependencies")?.as_array()? {
            let name = dependency.get("name")?.as_str()?;
            let in_tests = dependency.get("kind")?.as_str() == Some("dev");
            let ours = dependency.get("path").is_some_and(serde_json::Value::is_string);
            match (ours, in_tests) {
                (true, true) => arrows.ours_in_tests.insert(short(name)),
                (true, false) => arrows.ours.insert(short(name)),
                (false, false) => arrows.others.insert(name.to_owned()),
                (false, true) => false,
            };
        }
        all.insert(short(package.get("name")?.as_str()?), arrows);
    }
    Some(all)
}

/// Returns a crate's name as the table has it.
fn short(name: &str) -> String {
    name.strip_prefix("lockyard-").unwrap_or(name).to_owned()
}

/// Holds what is against what should be.
fn compare(arrows: &BTreeMap<String, Arrows>) -> Vec<String> {
    let mut findings = Vec::new();
    let table: BTreeMap<&str, &[&str]> = LAYERS.into_iter().collect();
    for (name, found) in arrows {
        let Some(allowed) = table.get(name.as_str()) else {
            findings.push(format!("crate `{name}` is not in the table of xtask/src/layers.rs"));
            continue;
        };
        for inner in &found.ours {
            if !allowed.contains(&inner.as_str()) {
                findings.push(format!("`{name}` depends on `{inner}`, which its layer forbids"));
            }
        }
        // Tests may reach further in than the code, and name their own crate to turn on a feature.
        let place = |crate_name: &str| LAYERS.iter().position(|(layer, _)| *layer == crate_name);
        for inner in &found.ours_in_tests {
            if place(inner) > place(name) {
                findings.push(format!("tests of `{name}` depend on `{inner}`, which lies outside"));
            }
        }
        for inner in *allowed {
            if !found.ours.contains(*inner) {
                findings.push(format!("the table lets `{name}` use `{inner}`, which it does not"));
            }
        }
        for (dependency, holders) in RESERVED {
            if found.others.contains(dependency) && !holders.contains(&name.as_str()) {
                findings.push(format!("`{name}` depends on {dependency}, reserved to {holders:?}"));
            }
        }
    }
    findings.extend(
        table
            .keys()
            .filter(|name| !arrows.contains_key(**name))
            .map(|name| format!("the table names `{name}`, which is no crate of the workspace")),
    );
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arrow_that_points_outward_is_found() {
        let metadata = r#"{"packages":[{"name":"lockyard-seal","dependencies":[
            {"name":"lockyard-base","kind":null,"path":"/x"},
            {"name":"lockyard-keyring","kind":"dev","path":"/x"},
            {"name":"axum","kind":null}]}]}"#;
        let findings = compare(&arrows(metadata).expect("the metadata is well formed"));
        let outward = "tests of `seal` depend on `keyring`, which lies outside";
        assert!(findings.iter().any(|finding| finding == outward), "{findings:?}");
        assert!(findings.iter().any(|finding| finding.contains("axum, reserved to")));
    }

    #[test]
    fn the_table_only_points_inward() {
        let mut inner = BTreeSet::new();
        for (name, uses) in LAYERS {
            assert!(uses.iter().all(|used| inner.contains(used)), "{name}");
            inner.insert(name);
        }
    }
}
