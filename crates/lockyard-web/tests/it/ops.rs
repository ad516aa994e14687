//! The operator's face.

use std::sync::Arc;

use lockyard_web::Ops;
use tokio_util::sync::CancellationToken;

use crate::support::{Client, World};

fn ops(world: &World, stop: &CancellationToken) -> Client {
    let router = Ops {
        registries: Arc::clone(&world.faces.registries),
        keyring: Arc::clone(&world.keyring),
        metrics: world.faces.metrics.clone(),
        stop: stop.clone(),
    }
    .router();
    Client { router, host: "localhost:9464".to_owned(), login: None }
}

/// What was counted in a world so far.
pub(crate) async fn counted(world: &World) -> String {
    let ops = ops(world, &CancellationToken::new());
    ops.get("/metrics").await.text().to_owned()
}

#[tokio::test]
async fn a_locked_registry_is_reported_and_does_not_make_the_instance_unready() {
    let (world, stop) = (World::new().await, CancellationToken::new());
    let ops = ops(&world, &stop);
    assert_eq!(ops.get("/healthz").await.text(), "ok\n");
    world.vault.disable();
    world.keyring.changed().await;
    let ready = ops.get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(ready.text().starts_with("ready\n"), "{}", ready.text());
    assert!(ready.text().contains(&format!("registry {} unlocked\n", world.default)));
    assert_eq!(ready.text().matches(" locked\n").count(), 1);
    stop.cancel();
    assert_eq!(ops.get("/readyz").await.status, 503);
}

#[tokio::test]
async fn metrics_name_routes_and_ids_and_nothing_of_a_customers() {
    let world = World::new().await;
    let client = world.https("contoso.cr.yard.example");
    let digest = client.push("secret/name", b"content").await;
    assert_eq!(client.get(&format!("/v2/secret/name/blobs/{digest}")).await.status, 200);
    assert_eq!(client.get("/secret").await.status, 404);
    world.vault.disable();
    world.keyring.changed().await;
    let reply = ops(&world, &CancellationToken::new()).get("/metrics").await;
    let text = reply.text();
    for line in [
        r#"lockyard_requests_total{method="POST",route="/v2/{name}/blobs/uploads/",status="201"} 1"#,
        r#"lockyard_requests_total{method="GET",route="/v2/{name}/blobs/{digest}",status="200"} 1"#,
        r#"lockyard_requests_total{method="GET",route="other",status="404"} 1"#,
        "lockyard_received_bytes_total 7",
        &format!(r#"lockyard_registry_locked{{registry="{}"}} 0"#, world.default),
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(text.matches("lockyard_registry_locked{").count(), 2);
    assert!(!text.contains("secret"), "{text}");
    assert!(!text.contains("contoso"), "{text}");
}
