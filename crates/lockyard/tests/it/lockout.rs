//! What the product is for: a customer who disables the key closes the registry, at once and for
//! every request, and opens it again by enabling the key.

use std::process::Command;
use std::time::Duration;

use crate::http::Call;
use crate::outside::{Story, bounded, good, stories};
use crate::push::{self, Pushed};
use crate::world::{LOCKYARD, Server, World, eventually};

pub(crate) fn stories() -> Vec<Story> {
    stories![
        a_disabled_key_closes_the_registry_and_an_enabled_one_opens_it,
        a_registry_whose_key_is_disabled_stays_closed_across_a_restart,
        a_download_is_cut_although_its_client_never_reads,
        an_upload_under_way_is_refused_and_leaves_nothing,
        a_registry_without_a_customer_key_does_not_care,
    ]
}

/// The customer key of the registry that `quickstart` makes.
const QUICKSTART_KEY: &str = "lockyard/registry";

/// Returns a command of the operator on a world's running server.
pub(crate) fn vault_key(world: &World, verb: &str) -> Command {
    let mut command = bounded(LOCKYARD);
    command.args(["vault", "key", verb, QUICKSTART_KEY, "--data-dir"]).arg(world.data());
    command
}

/// Fails unless everything about an image is refused in the envelope that clients show.
#[track_caller]
fn is_closed(server: &Server, pushed: &Pushed) {
    let (repository, tag) = (&pushed.repository, &pushed.tag);
    let layer = push::digest(pushed.blobs.last().expect("an image has blobs"));
    let requests = [
        format!("GET /v2/{repository}/manifests/{tag}"),
        format!("GET /v2/{repository}/blobs/{layer}"),
        format!("GET /v2/{repository}/tags/list"),
        format!("GET /v2/{repository}/referrers/{}", pushed.digest()),
        "GET /v2/_catalog".to_owned(),
        format!("POST /v2/{repository}/blobs/uploads/"),
        format!("DELETE /v2/{repository}/manifests/{tag}"),
    ];
    for request in requests {
        let reply = server.ask(&request, &[], b"").expect(403);
        let (code, message) = reply.oci_error();
        assert_eq!(code, "DENIED", "{request}: {message}");
        for word in ["lockyard", "disabled", "enable"] {
            assert!(message.contains(word), "{request}: `{word}` is not in: {message}");
        }
    }
    let head = server.ask(&format!("HEAD /v2/{repository}/manifests/{tag}"), &[], b"");
    assert_eq!(head.status, 403);
}

fn a_disabled_key_closes_the_registry_and_an_enabled_one_opens_it() {
    let world = World::new();
    let server = world.quickstart();
    let pushed = push::small_image(&server, "team/app", "v1");
    for _ in 0..2 {
        good(&mut vault_key(&world, "disable"));
        eventually("the registry is closed", || server.get("/v2/_catalog").status == 403);
        is_closed(&server, &pushed);
        good(&mut vault_key(&world, "enable"));
        eventually("the registry is open", || server.get("/v2/_catalog").status == 200);
        pushed.check(&server);
    }
    push::small_image(&server, "team/app", "v2").check(&server);
}

fn a_registry_whose_key_is_disabled_stays_closed_across_a_restart() {
    let world = World::new();
    let server = world.quickstart();
    let pushed = push::small_image(&server, "team/app", "v1");
    good(&mut vault_key(&world, "disable"));
    server.stop();
    let server = world.serve();
    is_closed(&server, &pushed);
    good(&mut vault_key(&world, "enable"));
    eventually("the registry is open", || server.get("/v2/_catalog").status == 200);
    pushed.check(&server);
}

fn a_download_is_cut_although_its_client_never_reads() {
    let world = World::new();
    let server = world.quickstart();
    // Far more than the socket buffers of both sides hold.
    let bytes = push::noise("a long blob", 64 << 20);
    push::blob(&server, "team/app", &bytes);
    let get = format!("GET /v2/team/app/blobs/{}", push::digest(&bytes));
    let mut stalled = Call::begin(&server.http(), &get, &[], 0).expect("the server listens");
    let mut first = [0; 1024];
    let received = stalled.receive(&mut first).expect("the download begins");
    assert!(first.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&first));
    good(&mut vault_key(&world, "disable"));
    // The promise: no new byte is handed to a socket one second after the vault refuses.
    std::thread::sleep(Duration::from_secs(1));
    let received = received + stalled.drain();
    assert!(received < bytes.len(), "the download went on to its end");
    good(&mut vault_key(&world, "enable"));
    eventually("the registry is open", || server.get("/v2/_catalog").status == 200);
    let path = get.trim_start_matches("GET ");
    assert!(server.get(path).expect(200).body == bytes);
}

fn an_upload_under_way_is_refused_and_leaves_nothing() {
    let world = World::new();
    let server = world.quickstart();
    let bytes = push::noise("an upload", 8 << 20);
    let (first, second) = bytes.split_at(3 << 20);
    let location = push::begin(&server, "team/app");
    let put = format!("PUT {}", push::with_digest(&location, &push::digest(&bytes)));
    let mut call = Call::begin(&server.http(), &put, &[], bytes.len()).expect("the server listens");
    call.send(first).expect("the server reads");
    good(&mut vault_key(&world, "disable"));
    eventually("the registry is closed", || server.get("/v2/_catalog").status == 403);
    // The connection may be cut already; if it is answered, then not with success.
    let sent = call.send(second);
    if let Ok(reply) = call.finish() {
        assert!(reply.status >= 400, "an upload was acknowledged: {reply:?}, sent {sent:?}");
    }
    good(&mut vault_key(&world, "enable"));
    eventually("the registry is open", || server.get("/v2/_catalog").status == 200);
    server.get(&format!("/v2/team/app/blobs/{}", push::digest(&bytes))).expect(404);
    push::blob(&server, "team/app", &bytes);
}

fn a_registry_without_a_customer_key_does_not_care() {
    let world = World::new();
    let server = world.serve();
    let pushed = push::small_image(&server, "team/app", "v1");
    pushed.check(&server);
    // There is no customer key to disable, and the command says so.
    let told = crate::outside::bad(&mut vault_key(&world, "disable"));
    assert!(!told.contains("panicked"), "{told}");
    pushed.check(&server);
}
