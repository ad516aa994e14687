//! What clients of a locked registry are told.

use std::time::Duration;

use axum::body::Body;

use crate::support::World;

#[tokio::test]
async fn a_denied_key_locks_its_registry_and_its_clients_are_told_why() {
    let world = World::new().await;
    let client = world.https("contoso.cr.yard.example");
    let digest = client.push("app", b"content").await;
    let target = format!("/v2/app/blobs/{digest}");
    world.vault.disable();
    world.keyring.changed().await;
    for (method, path) in [
        ("GET", "/v2/_catalog"),
        ("GET", "/v2/app/tags/list"),
        ("HEAD", target.as_str()),
        ("GET", &target),
        ("POST", "/v2/app/blobs/uploads/"),
        ("PUT", "/v2/app/manifests/v1"),
    ] {
        let reply = client.send(method, path, &[], Body::empty()).await;
        assert_eq!(reply.status, 403, "{method} {path}");
        if method != "HEAD" {
            insta::assert_snapshot!("locked_denied", reply.error());
        }
    }
    // Clients keep the answer to their first question to themselves; the next one is shown.
    assert_eq!(client.get("/v2/").await.status, 200);
    let other = world.https("lockyard.cr.yard.example");
    assert_eq!(other.get("/v2/_catalog").await.status, 200);
    world.vault.enable();
    world.keyring.changed().await;
    assert_eq!(client.get(&target).await.text(), "content");
}

#[tokio::test]
async fn an_unreachable_vault_is_ridden_out_until_the_hard_stop_and_then_asks_for_patience() {
    let world = World::new().await;
    let client = world.https("contoso.cr.yard.example");
    world.vault.vanish();
    world.clock.advance(Duration::from_secs(599));
    world.keyring.tick().await;
    assert_eq!(client.get("/v2/_catalog").await.status, 200);
    world.clock.advance(Duration::from_secs(2));
    world.keyring.tick().await;
    let reply = client.get("/v2/_catalog").await;
    assert_eq!(reply.header("retry-after"), "10");
    insta::assert_snapshot!(reply.error());
    world.vault.enable();
    world.clock.advance(Duration::from_secs(10));
    world.keyring.tick().await;
    assert_eq!(client.get("/v2/_catalog").await.status, 200);
}
