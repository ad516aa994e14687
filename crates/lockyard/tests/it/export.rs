//! What `lockyard debug export-part --dangerous` writes opens with Google's Tink: the format of
//! parts is one that other people's code reads.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::outside::{Need, Story, bad, bounded, good, script, stories};
use crate::push;
use crate::world::{LOCKYARD, World};

pub(crate) fn stories() -> Vec<Story> {
    stories![
        #[needs(Need::Python)]
        tink_opens_exported_parts,
        an_export_must_be_called_dangerous,
    ]
}

const REPOSITORY: &str = "team/app";

/// Returns the command that exports a blob of the default registry.
fn export(world: &World, digest: &str, out: &Path) -> Command {
    let mut command = bounded(LOCKYARD);
    command.args(["debug", "export-part", "--registry", "lockyard", "--repository", REPOSITORY]);
    command.args(["--digest", digest, "--out"]).arg(out);
    command.arg("--data-dir").arg(world.data());
    command
}

/// Fails unless Tink makes the blob of what was exported.
#[track_caller]
fn tink_opens(world: &World, out: &Path, bytes: &[u8]) {
    let opened = world.folder().join("opened");
    good(script("tink_export.py").arg(out).arg(&opened));
    assert!(fs::read(&opened).expect("Tink wrote it") == bytes, "Tink reads other bytes");
    for file in fs::read_dir(out).expect("it was made").filter_map(Result::ok) {
        let mode = file.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
    }
}

fn tink_opens_exported_parts() {
    let world = World::new();
    let server = world.quickstart();
    let bytes = push::noise("a blob of three parts", 2_500_000);
    let mut location = push::begin(&server, REPOSITORY);
    for piece in bytes.chunks(1_000_000) {
        let patch = server.ask(&format!("PATCH {location}"), &[], piece).expect(202);
        location = push::path_of(patch.header("location").expect("a PATCH has a location"));
    }
    let digest = push::digest(&bytes);
    let put = format!("PUT {}", push::with_digest(&location, &digest));
    server.ask(&put, &[], b"").expect(201);

    // From a running server, and from a directory at rest.
    let out = world.folder().join("online");
    good(export(&world, &digest, &out).arg("--dangerous"));
    tink_opens(&world, &out, &bytes);
    server.stop();
    let out = world.folder().join("offline");
    good(export(&world, &digest, &out).arg("--dangerous"));
    tink_opens(&world, &out, &bytes);
}

fn an_export_must_be_called_dangerous() {
    let world = World::new();
    let server = world.serve();
    let bytes = push::noise("a blob", 1000);
    push::blob(&server, REPOSITORY, &bytes);
    let out = world.folder().join("out");
    let told = bad(&mut export(&world, &push::digest(&bytes), &out));
    assert!(told.contains("--dangerous"), "{told}");
    assert!(!out.exists());
    let told = bad(export(&world, &push::digest(b"unknown"), &out).arg("--dangerous"));
    assert!(!told.contains("panicked") && !told.trim().is_empty(), "{told}");
}
