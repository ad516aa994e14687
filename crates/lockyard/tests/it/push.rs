//! Pushing without a client: the requests themselves, for stories that need exact bytes or
//! connections that stop in the middle. Also the plainest stories of the server's memory.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::outside::{Story, stories};
use crate::world::{Server, World};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub(crate) fn stories() -> Vec<Story> {
    stories![
        what_was_pushed_is_pulled_back_to_the_byte,
        a_second_start_finds_everything_as_it_was,
        an_upload_goes_on_after_the_server_was_killed,
        everything_acknowledged_survives_a_kill,
    ]
}

/// Something that was pushed: all that is needed to ask for it again.
#[derive(Debug, Clone)]
pub(crate) struct Pushed {
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) manifest: Vec<u8>,
    pub(crate) blobs: Vec<Vec<u8>>,
}

impl Pushed {
    /// Returns the manifest's digest.
    pub(crate) fn digest(&self) -> String {
        digest(&self.manifest)
    }

    /// Fails unless the server returns every byte.
    #[track_caller]
    pub(crate) fn check(&self, server: &Server) {
        let repository = &self.repository;
        for reference in [&self.tag, &self.digest()] {
            let reply = server.ask(
                &format!("GET /v2/{repository}/manifests/{reference}"),
                &[("accept", MANIFEST)],
                b"",
            );
            let reply = reply.expect(200);
            assert!(reply.body == self.manifest, "another manifest for `{reference}`");
            assert_eq!(reply.header("docker-content-digest"), Some(self.digest().as_str()));
        }
        for blob in &self.blobs {
            let reply = server.get(&format!("/v2/{repository}/blobs/{}", digest(blob))).expect(200);
            assert!(reply.body == *blob, "another blob of {} bytes", blob.len());
        }
    }
}

/// Returns the digest of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// Returns bytes that look random and are the same each time.
pub(crate) fn noise(seed: &str, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len + 32);
    let mut block = Sha256::digest(seed.as_bytes());
    while bytes.len() < len {
        bytes.extend_from_slice(&block);
        block = Sha256::digest(block);
    }
    bytes.truncate(len);
    bytes
}

/// Pushes a blob in one POST and one PUT.
#[track_caller]
pub(crate) fn blob(server: &Server, repository: &str, bytes: &[u8]) -> Value {
    let location = begin(server, repository);
    let put = format!("PUT {}", with_digest(&location, &digest(bytes)));
    let kind = [("content-type", "application/octet-stream")];
    server.ask(&put, &kind, bytes).expect(201);
    json!({"mediaType": "application/octet-stream", "digest": digest(bytes), "size": bytes.len()})
}

/// Begins an upload and returns its path.
#[track_caller]
pub(crate) fn begin(server: &Server, repository: &str) -> String {
    let reply = server.ask(&format!("POST /v2/{repository}/blobs/uploads/"), &[], b"").expect(202);
    path_of(reply.header("location").expect("an upload has a location"))
}

/// Returns the path and query of a location, which may be a whole URL.
pub(crate) fn path_of(location: &str) -> String {
    let rest = location.split_once("://").map_or(location, |(_, rest)| rest);
    let at = rest.find('/').expect("a location has a path");
    rest.split_at(at).1.to_owned()
}

/// Returns an upload's path with the digest that finishes it.
pub(crate) fn with_digest(location: &str, digest: &str) -> String {
    let joint = if location.contains('?') { '&' } else { '?' };
    format!("{location}{joint}digest={digest}")
}

/// Pushes an image of some blobs; the first is its config.
#[track_caller]
pub(crate) fn image(
    server: &Server,
    repository: &str,
    tag: &str,
    blobs: &[Vec<u8>],
    more: &Value,
) -> Pushed {
    let mut parts = blobs.iter().map(|bytes| blob(server, repository, bytes));
    let config = parts.next().expect("the first blob is the config");
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config,
        "layers": parts.collect::<Vec<Value>>(),
    });
    if let (Some(manifest), Some(more)) = (manifest.as_object_mut(), more.as_object()) {
        manifest.extend(more.clone());
    }
    let manifest = serde_json::to_vec_pretty(&manifest).expect("JSON is written");
    let put = format!("PUT /v2/{repository}/manifests/{tag}");
    server.ask(&put, &[("content-type", MANIFEST)], &manifest).expect(201);
    let (repository, tag) = (repository.to_owned(), tag.to_owned());
    Pushed { repository, tag, manifest, blobs: blobs.to_vec() }
}

/// Pushes a small image with a few layers around the sizes at which streams are cut.
#[track_caller]
pub(crate) fn small_image(server: &Server, repository: &str, tag: &str) -> Pushed {
    let sizes = [2, 0, 1, 65_535, 65_536, 1 << 20, (3 << 20) + 17];
    let blobs = sizes.map(|size| match size {
        2 => b"{}".to_vec(),
        _ => noise(&format!("{repository}:{tag}:{size}"), size),
    });
    image(server, repository, tag, &blobs, &json!({}))
}

fn what_was_pushed_is_pulled_back_to_the_byte() {
    let world = World::new();
    let server = world.serve();
    small_image(&server, "team/app", "v1").check(&server);
}

fn a_second_start_finds_everything_as_it_was() {
    for customer_key in [false, true] {
        let world = World::new();
        let verb = if customer_key { "quickstart" } else { "serve" };
        let server = world.start(world.command(verb));
        let pushed = small_image(&server, "team/app", "v1");
        let bootstrap = std::fs::read(world.data().join("bootstrap.json")).expect("it was written");
        server.stop();
        let server = world.start(world.command(verb));
        pushed.check(&server);
        let tags = server.get("/v2/team/app/tags/list").expect(200).json();
        assert_eq!(tags, json!({"name": "team/app", "tags": ["v1"]}));
        let after = std::fs::read(world.data().join("bootstrap.json")).expect("it lies there");
        assert!(bootstrap == after, "the owner's credentials were replaced");
    }
}

fn an_upload_goes_on_after_the_server_was_killed() {
    let world = World::new();
    let server = world.serve();
    let bytes = noise("an upload in two halves", 700_000);
    let (first, second) = bytes.split_at(300_001);
    let location = begin(&server, "team/app");
    let patch = server.ask(&format!("PATCH {location}"), &[], first).expect(202);
    let location = path_of(patch.header("location").expect("a PATCH answers with a location"));
    server.kill();
    let server = world.serve();
    let status = server.get(&location).expect(204);
    assert_eq!(status.header("range"), Some("0-300000"));
    let put = format!("PUT {}", with_digest(&location, &digest(&bytes)));
    server.ask(&put, &[], second).expect(201);
    let back = server.get(&format!("/v2/team/app/blobs/{}", digest(&bytes))).expect(200);
    assert!(back.body == bytes);
}

fn everything_acknowledged_survives_a_kill() {
    let world = World::new();
    let mut pushed = Vec::new();
    for round in 0..3 {
        let server = world.serve();
        for image in &pushed {
            Pushed::check(image, &server);
        }
        pushed.push(small_image(&server, &format!("team/app{round}"), "v1"));
        server.kill();
    }
}
