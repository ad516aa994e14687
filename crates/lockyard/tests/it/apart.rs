//! Two registries with the same content under different keys: what happens to one of them is no
//! matter of the other's, and neither reaches into the other.

use base64::Engine as _;
use serde_json::json;

use crate::house::House;
use crate::http::Reply;
use crate::outside::{Story, bad, stories};
use crate::push;
use crate::world::{World, eventually};

pub(crate) fn stories() -> Vec<Story> {
    stories![registries_under_different_keys_share_nothing_but_a_server]
}

/// The registries, and the key of each.
const FIRST: (&str, &str) = ("lockyard", "lockyard/registry");
const SECOND: (&str, &str) = ("second", "other/second");

/// Asks a registry by its public name, as the owner.
#[track_caller]
fn ask(house: &House<'_>, registry: (&str, &str), line: &str, body: &[u8]) -> Reply {
    let owner = house.world.owner();
    let login = format!("{}:{}", owner.user, owner.password);
    let login = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login));
    let headers = [("authorization", login.as_str()), ("content-type", "application/octet-stream")];
    house.desk.ask(&format!("{}.cr", registry.0), line, &headers, body)
}

fn registries_under_different_keys_share_nothing_but_a_server() {
    let world = World::new();
    let house = House::quickstart(&world);
    house.operator(&["vault", "key", "create", SECOND.1, "--size", "2048"]);
    let made = house.operator(&["registry", "create", SECOND.0, "--key", SECOND.1]);
    assert!(made.contains("unlocked"), "{made}");

    // The same bytes in both, and one blob in the first alone.
    let (common, own) = (push::noise("common", 300_000), push::noise("own", 300_000));
    let blob = |bytes: &[u8]| format!("/v2/team/app/blobs/{}", push::digest(bytes));
    let put = |registry, bytes: &[u8]| {
        let post = format!("POST /v2/team/app/blobs/uploads/?digest={}", push::digest(bytes));
        ask(&house, registry, &post, bytes).expect(201);
    };
    put(FIRST, &common);
    put(SECOND, &common);
    put(FIRST, &own);
    let get = |registry, bytes: &[u8]| ask(&house, registry, &format!("GET {}", blob(bytes)), b"");
    for registry in [FIRST, SECOND] {
        assert!(get(registry, &common).expect(200).body == common);
    }
    get(SECOND, &own).expect(404);

    // A mount works within a registry, and from nowhere else, however the source is called.
    let mount = |registry, from: &str| {
        let digest = push::digest(&own);
        let post = format!("POST /v2/team/other/blobs/uploads/?mount={digest}&from={from}");
        ask(&house, registry, &post, b"").status
    };
    for from in ["team/app", "lockyard/team/app", "lockyard.cr.localhost/team/app", "../lockyard"] {
        let status = mount(SECOND, from);
        assert!(status == 202 || (400..500).contains(&status), "mounted from `{from}`: {status}");
        assert_eq!(get(SECOND, &own).status, 404, "mounted from `{from}`");
    }
    assert_eq!(mount(FIRST, "team/app"), 201);

    // Either key is taken away while the other registry serves.
    for (locked, open) in [(FIRST, SECOND), (SECOND, FIRST)] {
        house.ask(&json!({"key": {"disable": {"key": locked.1}}}));
        eventually("it is locked", || get(locked, &common).status == 403);
        let (code, message) = get(locked, &common).oci_error();
        assert_eq!(code, "DENIED");
        assert!(message.contains(locked.0) && message.contains(locked.1), "{message}");
        assert!(get(open, &common).expect(200).body == common);
        put(open, format!("pushed while {} is locked", locked.0).as_bytes());
        house.ask(&json!({"key": {"enable": {"key": locked.1}}}));
        eventually("it is open", || get(locked, &common).status == 200);
    }
    // So are their identities: each uses its own key, and may not use the other's.
    let second = house.operator(&["registry", "show", SECOND.0]);
    assert!(!second.contains(&house.identity()), "one identity for both:\n{second}");
    let assign = ["registry", "assign-identity", FIRST.0, "--identity", SECOND.0];
    let told = bad(&mut house.command(&assign));
    assert!(told.contains("--grant"), "{told}");
}
