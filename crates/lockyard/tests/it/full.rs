//! Full disks: at every point of a push, under the database, the parts and the vault each.
//!
//! Before each step of a push the disk is filled, or filled but for a few pages, so that each step
//! is once the one that fails. Whatever fails is told in the protocol's envelope; what was acknowledged
//! before is served all the time; with room again the same push succeeds without a restart.

use std::fs;
use std::process::Command;

use serde_json::json;

use crate::disk::SmallDisk;
use crate::http::{self, Reply};
use crate::lockout::vault_key;
use crate::outside::{Need, Story, bad, bounded, good, stories};
use crate::push;
use crate::world::{LOCKYARD, Server, World, eventually, serving};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The steps of a push, in turn.
const STEPS: [&str; 7] =
    ["POST", "small PATCH", "large PATCH", "PUT", "whole blob", "manifest", "tag move"];
/// How much room a step has that finds the disk full.
const ROOM_BYTES: [u64; 4] = [0, 4 << 10, 24 << 10, 64 << 10];

pub(crate) fn stories() -> Vec<Story> {
    stories![
        #[needs(Need::Root)]
        a_disk_that_is_full_at_any_point_of_a_push_loses_nothing,
        #[needs(Need::Root)]
        a_killed_server_says_that_its_disk_is_full_and_starts_when_there_is_room,
        #[needs(Need::Root)]
        full_parts_refuse_blobs_and_nothing_else,
        #[needs(Need::Root)]
        a_full_vault_refuses_changes_and_keeps_its_registry_open,
    ]
}

/// A push that finds the disk full at one of its steps.
struct Push<'s> {
    server: &'s Server,
    disk: &'s SmallDisk,
    number: usize,
    /// The step before which the disk is filled, and how much room it is left.
    full_at: Option<(&'static str, u64)>,
}

impl Push<'_> {
    /// Sends a request that must succeed or say that there is no room, and then which step it was.
    #[track_caller]
    fn step(
        &self,
        step: &'static str,
        line: &str,
        body: &[u8],
        status: u16,
    ) -> Result<Reply, &'static str> {
        if let Some((_, room)) = self.full_at.filter(|(at, _)| *at == step) {
            // A log that is there already gives room; an idle one is cut to nothing.
            let log = self.disk.0.join("data/lockyard.db-wal");
            eventually("the log is cut", || fs::metadata(&log).is_ok_and(|log| log.len() == 0));
            self.disk.fill_but(room);
        }
        or_full(self.server, step, line, body, status)
    }

    /// Pushes an image in many steps; says which of them found no room.
    fn run(&self) -> Result<push::Pushed, &'static str> {
        let number = self.number;
        let chunked = push::noise(&format!("chunked {number}"), 75_000);
        let whole = push::noise(&format!("whole {number}"), 20_000);
        let location = |reply: &Reply| push::path_of(reply.header("location").expect("a location"));
        let post = "POST /v2/team/app/blobs/uploads/";
        let begun = self.step(STEPS[0], post, b"", 202)?;
        let (first, second) = chunked.split_at(5000);
        let begun = self.step(STEPS[1], &format!("PATCH {}", location(&begun)), first, 202)?;
        let begun = self.step(STEPS[2], &format!("PATCH {}", location(&begun)), second, 202)?;
        let put = push::with_digest(&location(&begun), &push::digest(&chunked));
        self.step(STEPS[3], &format!("PUT {put}"), b"", 201)?;
        let post = format!("{post}?digest={}", push::digest(&whole));
        self.step(STEPS[4], &post, &whole, 201)?;
        let blob = |bytes: &[u8]| json!({"mediaType": "a/b", "digest": push::digest(bytes), "size": bytes.len()});
        let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
            "config": blob(&whole), "layers": [blob(&chunked)],
            "annotations": {"filler": "x".repeat(10_000)}});
        let manifest = manifest.to_string().into_bytes();
        let tag = format!("v{number}");
        let put = format!("PUT /v2/team/app/manifests/{tag}");
        self.step(STEPS[5], &put, &manifest, 201)?;
        self.step(STEPS[6], "PUT /v2/team/app/manifests/latest", &manifest, 201)?;
        let repository = "team/app".to_owned();
        Ok(push::Pushed { repository, tag, manifest, blobs: vec![chunked, whole] })
    }
}

/// Sends a request that must succeed or say that there is no room.
#[track_caller]
fn or_full(
    server: &Server,
    step: &'static str,
    line: &str,
    body: &[u8],
    status: u16,
) -> Result<Reply, &'static str> {
    let headers = [("content-type", MANIFEST)];
    let reply = http::request(&server.http(), line, &headers, body);
    if reply.status == status {
        return Ok(reply);
    }
    assert_eq!(reply.status, 507, "{step}: {}", reply.text());
    let (code, message) = reply.oci_error();
    assert!(!code.is_empty() && message.contains("full"), "{step}: {code} {message}");
    assert!(reply.header("retry-after").is_some(), "{step}: {:?}", reply.headers);
    Err(step)
}

/// Fails unless an offline scrub finds nothing.
#[track_caller]
fn scrub(data: &std::path::Path) {
    good(bounded(LOCKYARD).args(["scrub", "--data-dir"]).arg(data));
}

fn a_disk_that_is_full_at_any_point_of_a_push_loses_nothing() {
    let world = World::new();
    let disk = SmallDisk::mount(world.subfolder("disk"), 48);
    let data = disk.0.join("data");
    let start = || world.try_start(serving(LOCKYARD, "serve", &data), &data);
    let mut server = start().expect("there is room to start");
    let mut kept: Vec<push::Pushed> = vec![push::small_image(&server, "team/first", "v1")];
    let cases = STEPS.into_iter().flat_map(|step| ROOM_BYTES.map(|room| (step, room)));
    let mut refused = 0;
    for (number, (step, room)) in cases.enumerate() {
        let mut push = Push { server: &server, disk: &disk, number, full_at: Some((step, room)) };
        let pushed = push.run();
        // Whatever the disk holds, what was acknowledged is served.
        for pushed in kept.iter().rev().take(2) {
            pushed.check(&server);
        }
        match pushed {
            Ok(_) => assert!(room > 0, "`{step}` succeeds without room"),
            Err(_) => refused += 1,
        }
        fs::remove_file(disk.0.join("filler")).expect("it lies there");
        push.full_at = None;
        let pushed = push.run();
        kept.push(pushed.unwrap_or_else(|step| panic!("{step} is refused although there is room")));
        assert!(server.runs());
    }
    assert!(refused > STEPS.len(), "the disk was full for {refused} pushes only");
    for pushed in &kept {
        pushed.check(&server);
    }
    server.kill();
    scrub(&data);
    let server = start().expect("it starts again");
    for pushed in &kept {
        pushed.check(&server);
    }
}

fn a_killed_server_says_that_its_disk_is_full_and_starts_when_there_is_room() {
    let world = World::new();
    let disk = SmallDisk::mount(world.subfolder("disk"), 16);
    let data = disk.0.join("data");
    let start = || world.try_start(serving(LOCKYARD, "serve", &data), &data);
    let server = start().expect("there is room to start");
    let pushed = push::small_image(&server, "team/app", "v1");
    server.kill();
    // The log must be folded in, and there may be no room for that either.
    for pages in 0..12 {
        let filler = disk.fill_but(pages * 4096);
        match start() {
            Ok(server) => {
                pushed.check(&server);
                server.kill();
            }
            Err(told) => {
                let told = told.to_lowercase();
                let full = told.contains("space") || told.contains("full");
                assert!(full && told.contains("to do"), "{told}");
            }
        }
        fs::remove_file(filler).expect("it lies there");
    }
    let server = start().expect("with room it starts");
    pushed.check(&server);
    server.stop();
    scrub(&data);
}

fn full_parts_refuse_blobs_and_nothing_else() {
    let world = World::new();
    world.serve().stop();
    // Nothing was pushed yet: the store makes its folders anew.
    let disk = SmallDisk::mount(world.data().join("parts"), 16);
    let mut server = world.serve();
    let pushed = push::small_image(&server, "team/app", "v1");
    let filler = disk.fill_but(4096);
    for size in [10, 5000, 20_000, 2 << 20] {
        // Short ones lie in rows, which have a disk of their own.
        let in_row = size <= 16 << 10;
        let bytes = push::noise(&format!("no room for {size}"), size);
        let post = format!("POST /v2/team/app/blobs/uploads/?digest={}", push::digest(&bytes));
        let answer = or_full(&server, "blob", &post, &bytes, 201);
        assert_eq!(answer.is_ok(), in_row, "{size} bytes found room, or none");
        let location = push::begin(&server, "team/app");
        let answer = or_full(&server, "PATCH", &format!("PATCH {location}"), &bytes, 202);
        assert_eq!(answer.is_ok(), in_row, "{size} bytes found room, or none");
        // The session is as it was, or has all of them.
        let status = server.get(&location);
        let range = status.clone().expect(204).header("range").map(str::to_owned);
        let end = size - 1;
        assert!(
            [None, Some("0-0".to_owned()), Some(format!("0-{end}"))].contains(&range),
            "{range:?}"
        );
    }
    // Rows have their own disk: tags move, blobs are mounted, everything is pulled.
    let put = "PUT /v2/team/app/manifests/v2";
    server.ask(put, &[("content-type", MANIFEST)], &pushed.manifest).expect(201);
    let mount = push::digest(&pushed.blobs[6]);
    let mount = format!("POST /v2/team/copy/blobs/uploads/?mount={mount}&from=team/app");
    server.ask(&mount, &[], b"").expect(201);
    pushed.check(&server);
    assert!(server.runs());
    fs::remove_file(filler).expect("it lies there");
    push::small_image(&server, "team/app", "v3").check(&server);
    server.stop();
    // The mount goes with this story; what lies under it is empty.
    scrub(&world.data());
}

fn a_full_vault_refuses_changes_and_keeps_its_registry_open() {
    let world = World::new();
    let disk = SmallDisk::mount(world.subfolder("vault-disk"), 2);
    let vault = disk.0.join("vault");
    let start = || {
        let mut command = world.command("quickstart");
        command.arg("--vault-dir").arg(&vault);
        world.start(command)
    };
    let server = start();
    let pushed = push::small_image(&server, "team/app", "v1");
    let with_vault = |verb: &str| -> Command {
        let mut command = vault_key(&world, verb);
        command.arg("--vault-dir").arg(&vault);
        command
    };
    let filler = disk.fill();
    for verb in ["create", "disable", "create"] {
        let told = bad(&mut with_vault(verb)).to_lowercase();
        assert!(told.contains("space") || told.contains("full"), "{verb}: {told}");
    }
    // Nothing was changed: the key is as it was, and the registry is open for everything.
    pushed.check(&server);
    push::small_image(&server, "team/app", "v2").check(&server);
    fs::remove_file(filler).expect("it lies there");
    good(&mut with_vault("disable"));
    eventually("the registry is closed", || server.get("/v2/_catalog").status == 403);
    good(&mut with_vault("enable"));
    eventually("the registry is open", || server.get("/v2/_catalog").status == 200);
    pushed.check(&server);
    server.kill();
    let server = start();
    eventually("the registry is open", || server.get("/v2/_catalog").status == 200);
    pushed.check(&server);
}
