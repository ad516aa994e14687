//! The directory's face.

use lockyard_access::decision::role_id;
use lockyard_web::FixedHost;
use serde_json::{Value, json};

use crate::{office::Visitor, support::World};

const GRAPH: FixedHost = FixedHost::Graph;

async fn listed(visitor: &Visitor, target: &str) -> Vec<Value> {
    let reply = visitor.get(target).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply.json()["value"].as_array().unwrap().clone()
}

async fn made(visitor: &Visitor, target: &str, body: Value) -> Value {
    let reply = visitor.send("POST", target, Some(body)).await;
    assert!(reply.status.is_success(), "{target}: {}", reply.text());
    reply.json()
}

#[tokio::test]
async fn an_application_gets_a_password_and_becomes_somebody() {
    let world = World::new().await;
    let owner = world.owner_at(GRAPH).await;
    let none = "/v1.0/applications?$filter=startswith(displayName,'robot')";
    assert_eq!(listed(&owner, none).await, Vec::<Value>::new());
    let application = made(&owner, "/v1.0/applications", json!({"displayName": "robot"})).await;
    assert_eq!(application["displayName"], "robot");
    assert_eq!(application["passwordCredentials"], json!([]));
    let (id, app_id) =
        (application["id"].as_str().unwrap(), application["appId"].as_str().unwrap());
    assert_ne!(id, app_id);

    let end = "2000-01-01T00:00:00Z";
    let wanted = json!({"passwordCredential": {"displayName": "rbac", "endDateTime": end}});
    let add = format!("/v1.0/applications/{id}/addPassword");
    let past = owner.send("POST", &add, Some(wanted)).await;
    assert_eq!(past.code(), "400 Request_BadRequest");
    let told = made(&owner, &add, json!({"passwordCredential": {"displayName": "rbac"}})).await;
    let secret = told["secretText"].as_str().unwrap();
    assert_eq!(secret.len(), 43);
    let shown = owner.get(&format!("/v1.0/applications/{id}")).await;
    assert!(!shown.text().contains(secret) && shown.text().contains("\"rbac\""));
    assert_eq!(shown.header("cache-control"), "no-store");

    let body = json!({"appId": app_id, "accountEnabled": true});
    let principal = made(&owner, "/v1.0/servicePrincipals", body.clone()).await;
    let again = owner.send("POST", "/v1.0/servicePrincipals", Some(body)).await;
    assert_eq!(again.code(), "409 Request_MultipleObjectsWithSameKeyValue");
    let by_name =
        format!("/v1.0/servicePrincipals?$filter=servicePrincipalNames/any(c:c eq '{app_id}')");
    assert_eq!(listed(&owner, &by_name).await[0]["id"], principal["id"]);
    let client = app_id.parse().unwrap();
    let token = world.office.token(client, secret, FixedHost::Management).await;
    let robot = world.visitor(FixedHost::Management, Some(token.clone()));
    assert_eq!(robot.get("/subscriptions?api-version=2022-12-01").await.status, 200);

    let key = json!({"keyId": told["keyId"]});
    let remove = format!("/v1.0/applications/{id}/removePassword");
    assert_eq!(owner.send("POST", &remove, Some(key.clone())).await.status, 204);
    assert_eq!(owner.send("POST", &remove, Some(key)).await.code(), "404 Request_ResourceNotFound");
    let voided = robot.get("/subscriptions?api-version=2022-12-01").await;
    assert_eq!(voided.code(), "401 InvalidAuthenticationToken");

    let target = format!("/v1.0/applications/{id}");
    assert_eq!(owner.send("DELETE", &target, None).await.status, 204);
    assert_eq!(owner.get(&target).await.code(), "404 Request_ResourceNotFound");
    assert_eq!(listed(&owner, &by_name).await, Vec::<Value>::new());
}

#[tokio::test]
async fn people_have_a_me_and_applications_do_not() {
    let world = World::new().await;
    let owner = world.owner_at(GRAPH).await;
    assert_eq!(owner.get("/v1.0/me").await.code(), "400 BadRequest");
    let person = world.visitor(GRAPH, Some(world.office.person(GRAPH).await));
    let me = person.get("/v1.0/me").await.json();
    assert_eq!(me["userPrincipalName"], world.office.founding.upn.as_str());
    let upn = &world.office.founding.upn;
    let found = listed(&owner, &format!("/v1.0/users?$filter=userPrincipalName eq '{upn}'")).await;
    assert_eq!(found[0]["id"], me["id"]);
    assert_eq!(owner.get(&format!("/v1.0/users/{upn}")).await.json()["id"], me["id"]);
}

#[tokio::test]
async fn objects_are_found_by_their_ids_whatever_they_are() {
    let world = World::new().await;
    let owner = world.owner_at(GRAPH).await;
    let (_, principal, _) = world.office.stranger(world.now());
    let group = made(&owner, "/v1.0/groups", json!({"displayName": "team"})).await;
    let nobody = "00000000-0000-4000-8000-000000000000";
    let ids = json!([principal.to_string(), group["id"], nobody]);
    let types = json!(["user", "group", "servicePrincipal", "directoryObjectPartnerReference"]);
    let by_ids = "/v1.0/directoryObjects/getByIds";
    let found = made(&owner, by_ids, json!({"ids": ids, "types": types})).await;
    let kinds: Vec<&str> = found["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["@odata.type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["#microsoft.graph.servicePrincipal", "#microsoft.graph.group"]);
    let found = made(&owner, by_ids, json!({"ids": ids, "types": ["group"]})).await;
    assert_eq!(found["value"].as_array().unwrap().len(), 1);
    let many = |count| json!({"ids": vec![nobody; count]});
    assert_eq!(owner.send("POST", by_ids, Some(many(1000))).await.status, 200);
    let more = owner.send("POST", by_ids, Some(many(1001))).await;
    assert_eq!(more.code(), "400 Request_BadRequest");
    let wrong = owner.send("POST", by_ids, Some(json!({"ids": ["x"]}))).await;
    assert_eq!(wrong.code(), "400 Request_BadRequest");
}

#[tokio::test]
async fn whoever_has_no_right_sees_only_themselves() {
    let world = World::new().await;
    let office = &world.office;
    let (client, principal, secret) = office.stranger(world.now());
    let stranger = world.visitor(GRAPH, Some(office.token(client, &secret, GRAPH).await));
    let own =
        format!("/v1.0/servicePrincipals?$filter=servicePrincipalNames/any(c:c eq '{client}')");
    assert_eq!(listed(&stranger, &own).await[0]["id"], principal.to_string());
    assert_eq!(stranger.get(&format!("/v1.0/servicePrincipals/{principal}")).await.status, 200);
    let denied = "403 Authorization_RequestDenied";
    for target in ["/v1.0/servicePrincipals", "/v1.0/users", "/v1.0/applications"] {
        assert_eq!(stranger.get(target).await.code(), denied, "{target}");
    }
    // A contributor manages resources, not people: giving itself the owner's secret is no way up.
    office.assign(principal, role_id::CONTRIBUTOR, &office.subscription());
    assert_eq!(stranger.get("/v1.0/users").await.status, 200);
    let snapshot = office.directory.snapshot();
    let owner = snapshot.application(office.founding.client).unwrap().id;
    let add = format!("/v1.0/applications/{owner}/addPassword");
    assert_eq!(stranger.send("POST", &add, None).await.code(), denied);
    let keys = Some(json!({"keyCredentials": []}));
    let patch = format!("/v1.0/applications/{owner}");
    assert_eq!(stranger.send("PATCH", &patch, keys).await.code(), denied);
    assert_eq!(stranger.send("PATCH", &patch, None).await.code(), denied);
}

#[tokio::test]
async fn groups_have_members_and_members_have_groups() {
    let world = World::new().await;
    let owner = world.owner_at(GRAPH).await;
    let (_, principal, _) = world.office.stranger(world.now());
    let group = made(&owner, "/v1.0/groups", json!({"displayName": "team"})).await;
    let id = group["id"].as_str().unwrap();
    let link = format!("https://graph.yard.example:8443/v1.0/directoryObjects/{principal}");
    let add = format!("/v1.0/groups/{id}/members/$ref");
    let body = Some(json!({"@odata.id": link}));
    assert_eq!(owner.send("POST", &add, body).await.status, 204);
    let itself = Some(json!({"@odata.id": format!("x/{id}")}));
    assert_eq!(owner.send("POST", &add, itself).await.code(), "400 Request_BadRequest");
    let members = format!("/v1.0/groups/{id}/members");
    assert_eq!(listed(&owner, &members).await[0]["id"], principal.to_string());
    let of = format!("/v1.0/servicePrincipals/{principal}/getMemberGroups");
    let groups = made(&owner, &of, json!({"securityEnabledOnly": false})).await;
    assert_eq!(groups["value"], json!([id]));
    let out = format!("/v1.0/groups/{id}/members/{principal}/$ref");
    assert_eq!(owner.send("DELETE", &out, None).await.status, 204);
    assert_eq!(listed(&owner, &members).await, Vec::<Value>::new());
    let target = format!("/v1.0/groups/{id}");
    assert_eq!(owner.send("DELETE", &target, None).await.status, 204);
    assert_eq!(owner.get(&target).await.code(), "404 Request_ResourceNotFound");
}

#[tokio::test]
async fn users_and_federated_credentials_come_and_go() {
    let world = World::new().await;
    let owner = world.owner_at(GRAPH).await;
    let user = json!({
        "displayName": "Ada", "userPrincipalName": "ada@yard.example", "accountEnabled": true,
        "passwordProfile": {"password": "correct horse battery"},
    });
    let ada = made(&owner, "/v1.0/users", user.clone()).await;
    let twice = owner.send("POST", "/v1.0/users", Some(user)).await;
    assert_eq!(twice.code(), "409 Request_MultipleObjectsWithSameKeyValue");
    let target = format!("/v1.0/users/{}", ada["id"].as_str().unwrap());
    assert_eq!(owner.send("DELETE", &target, None).await.status, 204);

    let (client, ..) = world.office.stranger(world.now());
    let id = world.office.directory.snapshot().application(client).unwrap().id;
    let all = format!("/v1.0/applications/{id}/federatedIdentityCredentials");
    let credential = json!({
        "name": "ci", "issuer": "https://token.example", "subject": "repo:a/b",
        "audiences": ["api://AzureADTokenExchange"],
    });
    made(&owner, &all, credential).await;
    assert_eq!(listed(&owner, &all).await[0]["subject"], "repo:a/b");
    let wrong = json!({"name": "x", "issuer": "http://x", "subject": "y", "audiences": ["z"]});
    assert_eq!(owner.send("POST", &all, Some(wrong)).await.code(), "400 Request_BadRequest");
    let one = format!("{all}/ci");
    assert_eq!(owner.get(&one).await.json()["name"], "ci");
    assert_eq!(owner.send("DELETE", &one, None).await.status, 204);
    assert_eq!(owner.get(&one).await.code(), "404 Request_ResourceNotFound");
}

#[tokio::test]
async fn what_graph_cannot_do_is_told() {
    let world = World::new().await;
    let owner = world.owner_at(GRAPH).await;
    for (method, target, code) in [
        ("GET", "/v1.0/devices", "404 ResourceNotFound"),
        ("GET", "/v2.0/users", "404 ResourceNotFound"),
        ("PUT", "/v1.0/users", "405 Request_BadRequest"),
        ("GET", "/v1.0/users?$filter=x", "400 Request_BadRequest"),
        ("GET", "/v1.0/users?$filter=shoeSize eq '4'", "400 Request_UnsupportedQuery"),
        ("GET", "/v1.0/users/nobody@yard.example", "404 Request_ResourceNotFound"),
        ("POST", "/v1.0/applications", "400 Request_BadRequest"),
    ] {
        assert_eq!(owner.send(method, target, None).await.code(), code, "{method} {target}");
    }
    let broken = owner.send_bytes("POST", "/v1.0/applications", b"{".to_vec()).await;
    assert_eq!(broken.code(), "400 Request_BadRequest");
}
