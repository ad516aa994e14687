//! Nothing readable: no name, no digest and no byte of content is found in any file of the data
//! directory, nor in what the server says, whatever happened to it.
//!
//! The marks are searched as they are, in hex, in base64 and in 16-bit letters; digests raw too.

use std::time::Duration;

use serde_json::json;

use crate::http::Call;
use crate::outside::{Story, stories};
use crate::push::{self, Pushed};
use crate::search::{self, Mark};
use crate::world::{Server, World, eventually};

const REPOSITORY: &str = "marked-repository-zq81/inner-name-vk27";
const TAG: &str = "marked-tag-hx93";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) fn stories() -> Vec<Story> {
    stories![
        nothing_is_readable_while_the_server_runs,
        nothing_is_readable_after_a_kill_in_mid_upload,
        nothing_is_readable_after_everything_was_deleted,
        nothing_is_readable_after_an_orderly_end_without_a_customer_key,
        refused_requests_leave_no_names_in_the_log,
        the_search_itself_finds_every_form,
    ]
}

/// What a story pushed, and what must not be found of it.
struct Marked {
    image: Pushed,
    artifact: String,
    marks: Vec<Mark>,
}

/// Pushes an image and an artifact that refers to it, both full of marks.
fn push_marks(server: &Server) -> Marked {
    let config = format!("{{\"os\":\"linux\",\"author\":\"{}\"}}", mark("config"));
    // One layer ends within a segment, one is long enough for many.
    let short = format!("{} {}", mark("short-layer"), "x".repeat(100)).into_bytes();
    let mut long = push::noise("a long layer", 2 << 20);
    long.splice((1 << 20)..(1 << 20) + 4, mark("long-layer").into_bytes());
    let annotations = json!({"annotations": {mark("key"): mark("value")}});
    let blobs = [config.into_bytes(), short, long];
    let image = push::image(server, REPOSITORY, TAG, &blobs, &annotations);

    let artifact = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": format!("application/vnd.{}", mark("artifact-type")),
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
            "digest": push::digest(b"{}")},
        "layers": [],
        "subject": {"mediaType": MANIFEST, "digest": image.digest(), "size": image.manifest.len()},
    });
    push::blob(server, REPOSITORY, b"{}");
    let artifact = serde_json::to_vec(&artifact).expect("JSON is written");
    let put = format!("PUT /v2/{REPOSITORY}/manifests/{}", push::digest(&artifact));
    server.ask(&put, &[("content-type", MANIFEST)], &artifact).expect(201);

    let places = ["config", "short-layer", "long-layer", "key", "value", "artifact-type", "upload"];
    let mut marks: Vec<Mark> = places.iter().map(|place| Mark::text(&mark(place))).collect();
    marks.extend(REPOSITORY.split('/').chain([TAG]).map(Mark::text));
    let artifact = push::digest(&artifact);
    let digests = image.blobs.iter().map(|blob| push::digest(blob));
    let digests = digests.chain([image.digest(), artifact.clone(), push::digest(b"{}")]);
    marks.extend(digests.map(|digest| Mark::digest(&digest)));
    for blob in &image.blobs {
        let part = blob.get(blob.len() / 2..).and_then(|rest| rest.get(..24));
        marks.push(Mark::bytes("24 bytes from the middle of a blob", part.unwrap_or(blob)));
    }
    marks.push(Mark::bytes("a media type", b"vnd.oci.image.manifest"));
    Marked { image, artifact, marks }
}

/// Returns the mark that stands in one place.
fn mark(place: &str) -> String {
    format!("mark-{place}-q7w3")
}

/// Fails if any mark is found in the data directory or in what the servers said.
#[track_caller]
fn is_sealed(world: &World, server: &Server, marks: &[Mark]) {
    let mut found = search::found_in(&world.data(), marks);
    found.extend(search::found_in_bytes("the log", server.log().as_bytes(), marks));
    assert!(found.is_empty(), "readable:\n{}", found.join("\n"));
}

/// Begins a PATCH with a mark, sends a part of what it promised, and leaves it hanging.
fn hang_in_mid_upload(server: &Server) -> Call {
    let location = push::begin(server, REPOSITORY);
    let mut call = Call::begin(&server.http(), &format!("PATCH {location}"), &[], 8 << 20)
        .expect("the server takes an upload");
    let mut bytes = mark("upload").into_bytes();
    bytes.extend(push::noise("half an upload", 3 << 20));
    bytes.extend(mark("upload").into_bytes());
    call.send(&bytes).expect("the server reads an upload");
    call
}

fn nothing_is_readable_while_the_server_runs() {
    let world = World::new();
    let mut command = world.command("quickstart");
    command.args(["--log-level", "debug"]);
    let server = world.start(command);
    let marked = push_marks(&server);
    marked.image.check(&server);
    server.get(&format!("/v2/{REPOSITORY}/tags/list")).expect(200);
    server.get(&format!("/v2/{REPOSITORY}/referrers/{}", marked.image.digest())).expect(200);
    server.get("/v2/_catalog").expect(200);
    let hanging = hang_in_mid_upload(&server);
    is_sealed(&world, &server, &marked.marks);
    drop(hanging);
    let metrics = crate::http::request(&server.ops(), "GET /metrics", &[], b"").expect(200);
    let found = search::found_in_bytes("the metrics", &metrics.body, &marked.marks);
    assert!(found.is_empty(), "readable:\n{}", found.join("\n"));
}

fn nothing_is_readable_after_a_kill_in_mid_upload() {
    let world = World::new();
    let server = world.quickstart();
    let marked = push_marks(&server);
    let hanging = hang_in_mid_upload(&server);
    // What was sent is on its way to a file; how far it came makes no difference to the test.
    std::thread::sleep(Duration::from_millis(300));
    server.kill();
    drop(hanging);
    let log = world.folder().join("server.log");
    let mut found = search::found_in(&world.data(), &marked.marks);
    found.extend(search::found_in_bytes(
        "the log",
        &std::fs::read(log).expect("the log is readable"),
        &marked.marks,
    ));
    assert!(found.is_empty(), "readable:\n{}", found.join("\n"));
    let server = world.quickstart();
    marked.image.check(&server);
    is_sealed(&world, &server, &marked.marks);
}

fn nothing_is_readable_after_everything_was_deleted() {
    let world = World::new();
    let server = world.quickstart();
    let marked = push_marks(&server);
    for reference in [marked.artifact.clone(), TAG.to_owned(), marked.image.digest()] {
        let delete = format!("DELETE /v2/{REPOSITORY}/manifests/{reference}");
        server.ask(&delete, &[], b"").expect(202);
    }
    for blob in &marked.image.blobs {
        let delete = format!("DELETE /v2/{REPOSITORY}/blobs/{}", push::digest(blob));
        server.ask(&delete, &[], b"").expect(202);
    }
    is_sealed(&world, &server, &marked.marks);
    server.get(&format!("/v2/{REPOSITORY}/manifests/{TAG}")).expect(404);
    server.kill();
    let server = world.quickstart();
    is_sealed(&world, &server, &marked.marks);
}

fn nothing_is_readable_after_an_orderly_end_without_a_customer_key() {
    let world = World::new();
    let server = world.serve();
    let marked = push_marks(&server);
    server.stop();
    let found = search::found_in(&world.data(), &marked.marks);
    assert!(found.is_empty(), "readable:\n{}", found.join("\n"));
    let server = world.serve();
    marked.image.check(&server);
    is_sealed(&world, &server, &marked.marks);
}

fn the_search_itself_finds_every_form() {
    let world = World::new();
    let digest = push::digest(b"a blob");
    let marks = [Mark::text(&mark("config")), Mark::digest(&digest)];
    for (number, mark) in marks.iter().enumerate() {
        for form in &mark.forms {
            let folder = world.subfolder("searched/inner");
            let mut content = push::noise("before", 5_001);
            content.extend_from_slice(form);
            content.extend(push::noise("after", 70_000));
            std::fs::write(folder.join("file"), &content).expect("the world is writable");
            let found = search::found_in(&world.folder().join("searched"), &marks);
            assert_eq!(found.len(), 1, "mark {number}: {found:?}");
        }
    }
    // What base64 makes of a longer text holds the mark at one of three offsets.
    for before in ["", "x", "xy"] {
        let text = format!("{before}{}", mark("config"));
        let output = std::process::Command::new("sh")
            .args(["-c", "printf %s \"$0\" | base64 --wrap=0", &text])
            .output()
            .expect("`base64` is part of every Debian");
        let found = search::found_in_bytes("base64", &output.stdout, &marks);
        assert_eq!(found.len(), 1, "{before}: {found:?}");
    }
    let named = world.subfolder(&format!("named/{}", mark("config")));
    std::fs::write(named.join("file"), "").expect("the world is writable");
    assert_eq!(search::found_in(&world.folder().join("named"), &marks).len(), 1);
}

fn refused_requests_leave_no_names_in_the_log() {
    let world = World::new();
    let mut command = world.command("serve");
    command.args(["--log-level", "debug"]);
    let server = world.start(command);
    let unknown = push::digest(b"nobody has this");
    let paths = [
        format!("GET /v2/{REPOSITORY}/manifests/{TAG}"),
        format!("GET /v2/{REPOSITORY}/blobs/{unknown}"),
        format!("GET /v2/{REPOSITORY}/manifests/not*a*tag"),
        format!("GET /v2/UPPER-{TAG}/tags/list"),
        format!("GET /elsewhere/{TAG}?query={TAG}"),
        format!("BREW /v2/{REPOSITORY}/tags/list"),
    ];
    for line in &paths {
        let reply = server.ask(line, &[("user-agent", TAG), ("x-request-id", TAG)], b"");
        assert!((400..500).contains(&reply.status), "{line}: {}", reply.status);
    }
    let mut marks: Vec<Mark> = REPOSITORY.split('/').chain([TAG]).map(Mark::text).collect();
    marks.push(Mark::digest(&unknown));
    eventually("the requests are told", || !server.log().is_empty());
    is_sealed(&world, &server, &marks);
}
