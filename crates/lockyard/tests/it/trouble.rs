//! Trouble while the server runs: bad requests, files that someone changed, a disk that is full.
//!
//! Each is a clear error in the protocol's envelope, the server goes on, and nothing is lost.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::disk::SmallDisk;
use crate::outside::{Need, Story, stories};
use crate::push;
use crate::world::{Server, World, eventually, refusal, serving};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The largest manifest (the distribution specification asks for at least this).
const MANIFEST_BYTES_MAX: usize = 4 << 20;

pub(crate) fn stories() -> Vec<Story> {
    stories![
        bad_requests_are_answered_in_the_envelope,
        a_manifest_may_have_four_mebibytes_and_not_one_byte_more,
        an_unknown_media_type_passes_and_schema_1_does_not,
        a_changed_part_is_never_served_and_pushing_again_heals,
        #[needs(Need::Root)]
        a_full_disk_refuses_pushes_and_loses_nothing,
        #[needs(Need::Root)]
        a_disk_that_is_full_before_the_start_is_told,
    ]
}

fn bad_requests_are_answered_in_the_envelope() {
    let world = World::new();
    let mut server = world.serve();
    let blob = push::noise("a blob", 1000);
    let other = push::digest(b"another blob");
    let location = push::begin(&server, "team/app");
    let put = |digest: &str| format!("PUT {}", push::with_digest(&location, digest));
    let manifest = "PUT /v2/team/app/manifests/v1".to_owned();
    let missing = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": {"mediaType": "a/b", "digest": other, "size": 12},
    }))
    .expect("JSON is written");
    let cases: [(String, &[u8], u16, &str); 11] = [
        (put(&other), &blob, 400, "DIGEST_INVALID"),
        (put("sha256:short"), &blob, 400, "DIGEST_INVALID"),
        (put("md5:d41d8cd98f00b204e9800998ecf8427e"), &blob, 400, "DIGEST_INVALID"),
        ("POST /v2/Team/App/blobs/uploads/".into(), b"", 400, "NAME_INVALID"),
        ("GET /v2/team/app/manifests/-dash".into(), b"", 404, "MANIFEST_UNKNOWN"),
        ("GET /v2/team/app/manifests/none".into(), b"", 404, "MANIFEST_UNKNOWN"),
        (format!("GET /v2/team/app/blobs/{other}"), b"", 404, "BLOB_UNKNOWN"),
        ("PATCH /v2/team/app/blobs/uploads/none".into(), b"x", 404, "BLOB_UPLOAD_UNKNOWN"),
        (manifest.clone(), b"not json", 400, "MANIFEST_INVALID"),
        (manifest.clone(), b"{}", 400, "MANIFEST_INVALID"),
        (manifest, &missing, 404, "MANIFEST_BLOB_UNKNOWN"),
    ];
    for (line, body, status, code) in cases {
        let reply = server.ask(&line, &[("content-type", MANIFEST)], body);
        assert!(
            reply.status == status || (reply.status == 400 && status == 404),
            "{line}: {reply:?}"
        );
        let (found, message) = reply.oci_error();
        let close = ["TAG_INVALID", "MANIFEST_INVALID", "NAME_UNKNOWN"].contains(&found.as_str());
        assert!(found == code || close, "{line}: {found} instead of {code}: {message}");
        assert!(!message.is_empty(), "{line}");
    }
    assert!(server.runs());
    // The session survives its bad ends.
    server.ask(&put(&push::digest(&blob)), &[], &blob).expect(201);
}

fn a_manifest_may_have_four_mebibytes_and_not_one_byte_more() {
    let world = World::new();
    let server = world.serve();
    let config = push::blob(&server, "team/app", b"{}");
    let with_filler = |filler: usize| {
        serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": [], "annotations": {"filler": "x".repeat(filler)}}))
        .expect("JSON is written")
    };
    let around = with_filler(0).len();
    let put = |bytes: &[u8]| {
        server.ask("PUT /v2/team/app/manifests/big", &[("content-type", MANIFEST)], bytes)
    };
    let exact = with_filler(MANIFEST_BYTES_MAX - around);
    assert_eq!(exact.len(), MANIFEST_BYTES_MAX);
    put(&exact).expect(201);
    let reply = put(&with_filler(MANIFEST_BYTES_MAX - around + 1)).expect(413);
    assert!(["MANIFEST_INVALID", "SIZE_INVALID"].contains(&reply.oci_error().0.as_str()));
    let back = server.get("/v2/team/app/manifests/big").expect(200);
    assert!(back.body == exact);
}

fn an_unknown_media_type_passes_and_schema_1_does_not() {
    let world = World::new();
    let server = world.serve();
    let config = push::blob(&server, "team/app", b"{}");
    let unknown = "application/vnd.example.never-heard-of.v7+json";
    let bytes = serde_json::to_vec(&json!({"schemaVersion": 2, "mediaType": unknown,
        "config": config, "layers": []}));
    let bytes = bytes.expect("JSON is written");
    let reply = server.ask("PUT /v2/team/app/manifests/odd", &[("content-type", unknown)], &bytes);
    if reply.status == 201 {
        let back = server.get("/v2/team/app/manifests/odd").expect(200);
        assert_eq!(back.header("content-type"), Some(unknown));
        assert!(back.body == bytes);
    } else {
        assert!((400..500).contains(&reply.status), "{reply:?}");
        assert_eq!(reply.oci_error().0, "MANIFEST_INVALID");
    }
    let schema_1 = br#"{"schemaVersion":1,"name":"a","tag":"b","fsLayers":[],"history":[]}"#;
    for kind in ["prettyjws", "json"] {
        let kind = format!("application/vnd.docker.distribution.manifest.v1+{kind}");
        let put = "PUT /v2/team/app/manifests/old";
        let reply = server.ask(put, &[("content-type", &kind)], schema_1);
        assert!([400, 415].contains(&reply.status), "{reply:?}");
        assert_eq!(reply.oci_error().0, "MANIFEST_INVALID");
    }
}

/// Returns the files of the sealed parts.
fn part_files(data: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(data.join("parts")).expect("parts lie there");
    let folders =
        folders.filter_map(Result::ok).filter_map(|folder| fs::read_dir(folder.path()).ok());
    let files = folders.flatten().filter_map(Result::ok).map(|file| file.path());
    files.filter(|path| path.is_file()).collect()
}

fn a_changed_part_is_never_served_and_pushing_again_heals() {
    let world = World::new();
    let mut server = world.serve();
    let bytes = push::noise("a blob to be damaged", 300_000);
    push::blob(&server, "team/app", &bytes);
    let files = part_files(&world.data());
    let [file] = files.as_slice() else { panic!("one blob, one part: {files:?}") };
    let sealed = fs::read(file).expect("it is readable");
    let get = format!("/v2/team/app/blobs/{}", push::digest(&bytes));
    for at in [0, 20, 50, sealed.len() / 2, sealed.len() - 1] {
        let mut changed = sealed.clone();
        *changed.get_mut(at).expect("within the part") ^= 1;
        fs::write(file, &changed).expect("it is writable");
        never_served(&server, &get, &bytes);
    }
    for cut in [0, 39, sealed.len() / 2, sealed.len() - 1] {
        fs::write(file, sealed.get(..cut).expect("within the part")).expect("it is writable");
        never_served(&server, &get, &bytes);
    }
    fs::remove_file(file).expect("it lies there");
    never_served(&server, &get, &bytes);
    assert!(server.runs());
    push::blob(&server, "team/app", &bytes);
    assert!(server.get(&get).expect(200).body == bytes, "pushing again does not heal");
}

/// Fails if a damaged blob is served: whatever comes must be an error, or a prefix that is cut.
fn never_served(server: &Server, path: &str, good: &[u8]) {
    match crate::http::try_request(&server.http(), &format!("GET {path}"), &[], b"") {
        Ok(reply) if reply.status == 200 => {
            assert!(reply.body.len() < good.len(), "a damaged blob was served to its end");
            assert!(good.starts_with(&reply.body), "bytes were served that nobody pushed");
        }
        Ok(reply) => assert_eq!(reply.oci_error().0, "BLOB_UNKNOWN", "{reply:?}"),
        Err(_) => {}
    }
}

fn a_full_disk_refuses_pushes_and_loses_nothing() {
    let world = World::new();
    let disk = SmallDisk::mount(world.subfolder("disk"), 24);
    let data = disk.0.join("data");
    let start = || world.try_start(serving(crate::world::LOCKYARD, "serve", &data), &data);
    let mut server = start().expect("there is room to start");
    let mut kept = vec![push::small_image(&server, "team/app", "v0")];
    let refusal = loop {
        assert!(kept.len() < 30, "the disk does not fill");
        let bytes = push::noise(&format!("filling {}", kept.len()), 3 << 20);
        let location = push::begin(&server, "team/app");
        let put = format!("PUT {}", push::with_digest(&location, &push::digest(&bytes)));
        let reply = server.ask(&put, &[], &bytes);
        if reply.status != 201 {
            break reply;
        }
        kept.push(push::Pushed { blobs: vec![bytes], ..kept[0].clone() });
    };
    assert!([500, 503, 507].contains(&refusal.status), "{refusal:?}");
    let (_, message) = refusal.oci_error();
    assert!(!message.is_empty());
    // Even with no byte left, what was acknowledged is served, and refusals stay answers.
    let filler = disk.fill();
    for _ in 0..5 {
        let manifest = &kept[0].manifest;
        let headers = [("content-type", MANIFEST)];
        let reply = server.ask("PUT /v2/team/app/manifests/v1", &headers, manifest);
        assert!(reply.status == 201 || reply.status >= 500, "{reply:?}");
    }
    for pushed in &kept {
        pushed.check(&server);
    }
    assert!(server.runs());
    fs::remove_file(filler).expect("it lies there");
    disk.resize(64);
    eventually("there is room again", || {
        let again = push::noise("again", 1000);
        let post = format!("POST /v2/team/app/blobs/uploads/?digest={}", push::digest(&again));
        server.ask(&post, &[], &again).status == 201
    });
    server.kill();
    let server = start().expect("it starts again");
    for pushed in &kept {
        pushed.check(&server);
    }
}

fn a_disk_that_is_full_before_the_start_is_told() {
    let world = World::new();
    let disk = SmallDisk::mount(world.subfolder("disk"), 1);
    let filler = disk.fill();
    let data = disk.0.join("data");
    let told = refusal(serving(crate::world::LOCKYARD, "serve", &data));
    assert!(told.to_lowercase().contains("space"), "{told}");
    fs::remove_file(filler).expect("it lies there");
    disk.resize(64);
    let server = world.try_start(serving(crate::world::LOCKYARD, "serve", &data), &data);
    push::small_image(&server.expect("with room it starts"), "team/app", "v1");
}
