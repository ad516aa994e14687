//! Which hosts are served by which door, and who may come in.

use axum::body::Body;
use http::{Request, Version};
use tower::ServiceExt as _;

use lockyard_web::Connection;

use crate::support::World;

#[tokio::test]
async fn the_plain_door_serves_this_machine_without_a_login() {
    let world = World::new().await;
    for host in ["localhost:5000", "LOCALHOST:5000", "127.0.0.1:5000", "[::1]:5000"] {
        let client = crate::support::Client { host: host.to_owned(), ..world.http() };
        let reply = client.get("/v2/").await;
        assert_eq!((reply.status.as_u16(), reply.text()), (200, "{}"), "{host}");
        assert_eq!(reply.header("docker-distribution-api-version"), "registry/2.0");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn the_plain_door_refuses_every_other_host() {
    let world = World::new().await;
    for host in [
        "localhost",
        "localhost:80",
        "localhost:5001",
        "127.0.0.2:5000",
        "evil.example:5000",
        "lockyard.cr.yard.example:5000",
        "localhost.evil.example:5000",
        "0.0.0.0:5000",
    ] {
        let client = crate::support::Client { host: host.to_owned(), ..world.http() };
        assert_eq!(client.get("/v2/").await.status, 421, "{host}");
    }
    let client = crate::support::Client { host: "evil.example".to_owned(), ..world.http() };
    insta::assert_snapshot!(client.get("/v2/").await.error());
}

#[tokio::test]
async fn the_plain_door_refuses_browsers() {
    let world = World::new().await;
    let client = world.http();
    for (name, value) in [
        ("origin", "http://localhost:5000"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-mode", "no-cors"),
        ("Sec-Fetch-Dest", "image"),
    ] {
        let reply = client.send("GET", "/v2/", &[(name, value)], Body::empty()).await;
        assert_eq!(reply.status, 403, "{name}");
    }
    let reply = client.send("GET", "/v2/", &[("origin", "null")], Body::empty()).await;
    insta::assert_snapshot!(reply.error());
}

#[tokio::test]
async fn the_plain_door_can_ask_for_a_login() {
    let mut world = World::new().await;
    world.faces.http_login = true;
    let mut client = world.http();
    assert_eq!(client.get("/v2/").await.status, 401);
    client.login = Some(world.login.clone());
    assert_eq!(client.get("/v2/").await.status, 200);
}

#[tokio::test]
async fn the_https_door_serves_registries_by_their_hosts() {
    let world = World::new().await;
    for host in [
        "lockyard.cr.yard.example:8443",
        "contoso.cr.yard.example",
        "CONTOSO.cr.Yard.Example.:1",
        "localhost:8443",
        "127.0.0.1:8443",
        "[::1]:8443",
    ] {
        assert_eq!(world.https(host).get("/v2/").await.status, 200, "{host}");
    }
    let default = world.https("localhost:8443");
    let digest = default.push("app", b"of the default registry").await;
    let target = format!("/v2/app/blobs/{digest}");
    assert_eq!(world.https("lockyard.cr.yard.example").head(&target).await.status, 200);
    assert_eq!(world.http().head(&target).await.status, 200);
    assert_eq!(world.https("contoso.cr.yard.example").head(&target).await.status, 404);
}

#[tokio::test]
async fn the_https_door_sends_strangers_away() {
    let world = World::new().await;
    for host in ["example.org", "yard.example", "portal.yard.example", "a.b.vault.yard.example"] {
        assert_eq!(world.https(host).get("/v2/").await.status, 421, "{host}");
    }
    insta::assert_snapshot!(world.https("example.org").get("/v2/").await.error());
    // A vault's host has a house of its own, which knows no registry.
    assert_eq!(world.https("keys.vault.yard.example").get("/v2/").await.status, 401);
    for host in ["nosuch.cr.yard.example", "x.cr.yard.example", "not-a-name.cr.yard.example"] {
        let reply = world.https(host).get("/v2/").await;
        assert_eq!(reply.status, 404, "{host}");
        insta::assert_snapshot!("no_such_registry", reply.error());
    }
}

#[tokio::test]
async fn a_request_without_a_good_host_is_refused() {
    let world = World::new().await;
    for host in ["a b", "user@localhost", "localhost:99999"] {
        assert_eq!(world.https(host).get("/v2/").await.status, 400, "{host}");
    }
    let request = Request::get("/v2/").body(Body::empty()).unwrap();
    let response = world.faces.https(crate::support::HTTPS_PORT).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn limits_on_addresses_and_headers_hold() {
    let world = World::new().await;
    let client = world.http();
    let target = |bytes: usize| format!("/v2/?{}", "a".repeat(bytes - 5));
    let max = lockyard_web::limit::URL_BYTES_MAX;
    for (bytes, status) in [(max - 1, 200), (max, 200), (max + 1, 414)] {
        assert_eq!(client.get(&target(bytes)).await.status, status, "{bytes}");
    }
    let max = lockyard_web::limit::HEADER_BYTES_MAX;
    let rest = "host".len() + client.host.len() + "x-long".len();
    for (bytes, status) in [(max - 1, 200), (max, 200), (max + 1, 431)] {
        let long = "a".repeat(bytes - rest);
        let reply = client.send("GET", "/v2/", &[("x-long", &long)], Body::empty()).await;
        assert_eq!(reply.status, status, "{bytes}");
    }
}

#[tokio::test]
async fn an_http2_connection_serves_one_host() {
    let world = World::new().await;
    let (router, connection) = (world.faces.https(crate::support::HTTPS_PORT), Connection::new());
    let ask = async |host: &str, version: Version| {
        let request = Request::get(format!("https://{host}/v2/"))
            .version(version)
            .header("authorization", &world.login)
            .extension(connection.clone())
            .body(Body::empty())
            .unwrap();
        router.clone().oneshot(request).await.unwrap().status().as_u16()
    };
    assert_eq!(ask("contoso.cr.yard.example", Version::HTTP_2).await, 200);
    assert_eq!(ask("contoso.cr.yard.example", Version::HTTP_2).await, 200);
    assert_eq!(ask("lockyard.cr.yard.example", Version::HTTP_2).await, 421);
    assert_eq!(ask("lockyard.cr.yard.example", Version::HTTP_11).await, 200);
}
