//! The managed identities' listener.

use lockyard_access::{ClientId, PrincipalId};
use lockyard_web::IdentityEndpoint;

use super::*;

fn identity(login: &Login) -> (PrincipalId, ClientId) {
    let id = format!(
        "/subscriptions/{}/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/one",
        login.house.founding.subscription
    );
    login.house.directory.create_managed_identity(id.parse().unwrap()).unwrap()
}

/// The listener's face; `machine` is who every program may be.
fn face(login: &Login, machine: Option<ClientId>) -> Client {
    let faces = &login.world.faces;
    let endpoint = IdentityEndpoint {
        issuer: Arc::clone(&login.house.issuer),
        machine,
        clock: Arc::clone(&faces.clock),
        entropy: Arc::clone(&faces.entropy),
        metrics: faces.metrics.clone(),
        directory: Arc::clone(&faces.directory),
        audit: Arc::clone(&login.world.audit) as _,
    };
    Client { router: endpoint.router(), host: "127.0.0.1:4000".to_owned(), login: None }
}

const HEADER_PATH: &str =
    "/token?api-version=2019-08-01&resource=https://management.yard.example:8443/";
const MACHINE_PATH: &str =
    "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/";
const METADATA: (&str, &str) = ("metadata", "true");

#[tokio::test]
async fn both_forms_give_tokens_as_azure_does() {
    let login = Login::new().await;
    let (id, client) = identity(&login);
    let face = face(&login, Some(client));
    let secret = login.house.issuer.make_identity_secret(id).unwrap();
    let secret = ("x-identity-header", secret.dangerous_expose());
    for (path, headers) in [(HEADER_PATH, vec![secret, METADATA]), (MACHINE_PATH, vec![METADATA])] {
        let reply = face.send("GET", path, &headers, "").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let json = reply.json();
        assert_eq!(json["token_type"], "Bearer");
        assert!(json["expires_on"].as_str().unwrap().parse::<i64>().is_ok());
        assert_eq!(claims(json["access_token"].as_str().unwrap())["oid"], id.to_string());
    }
}

#[tokio::test]
async fn a_machine_is_nobody_unless_the_operator_says_who() {
    let login = Login::new().await;
    let _identity = identity(&login);
    assert_eq!(face(&login, None).send("GET", MACHINE_PATH, &[METADATA], "").await.status, 404);
}

#[tokio::test]
async fn only_programs_of_this_machine_are_answered() {
    let login = Login::new().await;
    let (_, client) = identity(&login);
    let face = face(&login, Some(client));
    for host in ["169.254.169.254", "localhost:4000", "[::1]:4000"] {
        let face = Client { host: host.to_owned(), ..face.clone() };
        assert_eq!(face.send("GET", MACHINE_PATH, &[METADATA], "").await.status, 200, "{host}");
    }
    for host in ["evil.test", "login.yard.example", "10.0.0.1", "127.0.0.1.evil.test"] {
        let face = Client { host: host.to_owned(), ..face.clone() };
        assert_eq!(face.send("GET", MACHINE_PATH, &[METADATA], "").await.status, 400, "{host}");
    }
    for mark in [
        ("origin", "https://evil.test"),
        ("origin", "null"),
        ("sec-fetch-site", "none"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-host", "127.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("via", "1.1 proxy"),
    ] {
        let reply = face.send("GET", MACHINE_PATH, &[METADATA, mark], "").await;
        assert_eq!(reply.status, 400, "{mark:?}");
    }
    // What Node's `fetch` says of itself.
    let node = [METADATA, ("sec-fetch-mode", "cors")];
    assert_eq!(face.send("GET", MACHINE_PATH, &node, "").await.status, 200);
    assert_eq!(face.send("GET", MACHINE_PATH, &[], "").await.status, 400);
    assert_eq!(face.send("GET", MACHINE_PATH, &[("metadata", "false")], "").await.status, 400);
    assert_eq!(face.send("POST", MACHINE_PATH, &[METADATA], "").await.status, 405);
}

#[tokio::test]
async fn a_wrong_secret_header_gives_nothing() {
    let login = Login::new().await;
    let _identity = identity(&login);
    let face = face(&login, None);
    for headers in [vec![], vec![("x-identity-header", "")], vec![("x-identity-header", "x")]] {
        let reply = face.send("GET", HEADER_PATH, &headers, "").await;
        assert_eq!(reply.status, 400, "{headers:?}");
        assert!(reply.json()["message"].is_string());
    }
    let secret = [("x-identity-header", "x")];
    assert_eq!(face.send("GET", "/token", &secret, "").await.status, 400);
}
