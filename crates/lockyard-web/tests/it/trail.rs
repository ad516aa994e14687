//! What the audit trail knows of sign-ins, of tokens and of changes.

use lockyard_access::decision::role_id;
use lockyard_audit::Event;
use lockyard_web::FixedHost;
use serde_json::json;

use crate::support::{Client, Reply, World, basic};

const AGENT: (&str, &str) = ("user-agent", "a client/1.0");
const AZ: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";

async fn token(world: &World, form: &[(&str, &str)]) -> Reply {
    let client = Client { login: None, ..world.https("login.yard.example:8443") };
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    encoded.extend_pairs(form);
    let headers = [("content-type", "application/x-www-form-urlencoded"), AGENT];
    let path = "/common/oauth2/v2.0/token?hint=secret-of-the-query";
    client.send("POST", path, &headers, encoded.finish()).await
}

/// The owner's form, with a secret.
async fn owner(world: &World, secret: &str) -> Reply {
    let client = world.office.founding.client.to_string();
    let scope = "https://management.yard.example:8443/.default";
    let of = [("grant_type", "client_credentials"), ("client_id", &*client)];
    token(world, &[&of[..], &[("client_secret", secret), ("scope", scope)]].concat()).await
}

fn told(event: &Event) -> (&str, u16, &str) {
    (event.operation.as_str(), event.outcome.status, &event.reason)
}

fn counted(world: &World) -> Vec<&'static str> {
    world.audit.unauthenticated().into_iter().map(|(kind, _)| kind).collect()
}

#[tokio::test]
async fn whoever_gets_a_token_is_recorded_and_whoever_does_not_is_counted() {
    let world = World::new().await;
    let secret = world.office.founding.secret.dangerous_expose().to_owned();
    let reply = owner(&world, &secret).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let events = world.audit.events();
    let [event] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(told(event), ("TokenIssue", 200, "client_credentials"));
    let snapshot = world.faces.directory.snapshot();
    assert_eq!(event.resource, format!("/tenants/{}", snapshot.tenant()));
    assert_eq!(event.caller.object_id, snapshot.owner().1.to_string());
    assert_eq!(event.caller.application_id, world.office.founding.client.to_string());
    assert_eq!(event.request.client, AGENT.1);
    // The query is the client's own and may hold anything.
    let uri = "https://login.yard.example:8443/common/oauth2/v2.0/token";
    assert_eq!(event.request.uri, uri);
    assert_eq!(event.correlation, reply.header("x-correlation-id"));
    assert!(event.done);

    assert_eq!(owner(&world, "wrong").await.status, 401);
    let person = |password| {
        let upn = world.office.founding.upn.clone();
        let world = &world;
        async move {
            let of = [("grant_type", "password"), ("client_id", AZ), ("username", &*upn)];
            let scope = ("scope", "https://graph.yard.example:8443/.default");
            token(world, &[&of[..], &[("password", password), scope]].concat()).await.status
        }
    };
    assert_eq!(person("wrong").await, 400);
    assert_eq!(counted(&world), ["WrongSecret", "WrongPassword"]);
    assert_eq!(world.audit.events().len(), 1);
    // A request that makes no sense is nobody's failure.
    assert_eq!(token(&world, &[("grant_type", "nonsense")]).await.status, 400);
    assert_eq!(counted(&world).len(), 2);
}

#[tokio::test]
async fn logins_at_a_registry_are_recorded_without_what_they_are_for() {
    let world = World::new().await;
    let client = world.https("contoso.cr.yard.example");
    let path = "/oauth2/token?scope=repository:hidden-name:pull&service=x";
    assert_eq!(client.send("GET", path, &[AGENT], "").await.status, 200);
    assert_eq!(client.get("/v2/_catalog").await.status, 200);
    let events = world.audit.events();
    let [issued, signed_in] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(told(issued), ("RegistryTokenIssue", 200, "basic"));
    assert_eq!(told(signed_in), ("SignIn", 200, "basic"));
    for event in [issued, signed_in] {
        assert_eq!(event.resource, "/registries/contoso");
        assert!(!format!("{event:?}").contains("hidden-name"));
        assert!(!event.caller.object_id.is_empty());
    }
    let stranger = Client { login: None, ..client.clone() };
    assert_eq!(stranger.get("/v2/_catalog").await.status, 401);
    let _token = stranger.get(path).await;
    assert_eq!(counted(&world), Vec::<&str>::new(), "who shows nothing fails at nothing");
    let liar = Client { login: Some(basic("nobody", "nothing")), ..client };
    assert_eq!(liar.get("/v2/_catalog").await.status, 401);
    assert_eq!(liar.get(path).await.status, 401);
    assert_eq!(counted(&world), ["WrongPassword", "WrongPassword"]);
    assert_eq!(world.audit.events().len(), 2);
}

#[tokio::test]
async fn changes_of_the_directory_and_of_roles_are_recorded_with_what_came_of_them() {
    let world = World::new().await;
    let graph = world.owner_at(FixedHost::Graph).await.from("192.0.2.7");
    let made = graph.send("POST", "/v1.0/groups", Some(json!({"displayName": "team"}))).await;
    assert_eq!(made.status, 201);
    let group = made.json()["id"].as_str().unwrap().to_owned();
    let management = world.owner_at(FixedHost::Management).await;
    let assignment = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/{group}",
        world.office.subscription()
    );
    let target = format!("{assignment}?api-version=2022-04-01");
    let body = json!({"properties": {
        "roleDefinitionId": role_id::READER.to_string(), "principalId": group,
    }});
    assert_eq!(management.put(&target, body.clone()).await.status, 201);
    let (client, _, secret) = world.office.stranger(world.now());
    let stranger = world.office.token(client, &secret, FixedHost::Management).await;
    let stranger = world.visitor(FixedHost::Management, Some(stranger));
    assert_eq!(stranger.put(&target, body).await.status, 403);
    assert_eq!(management.get(&target).await.status, 200);
    assert_eq!(management.send("DELETE", &target, None).await.status, 200);
    let events = world.audit.events();
    let names: Vec<(&str, u16)> =
        events.iter().map(|event| (event.operation.as_str(), event.outcome.status)).collect();
    let expected = [
        ("GroupWrite", 201),
        ("RoleAssignmentPut", 200),
        ("RoleAssignmentPut", 403),
        ("RoleAssignmentDelete", 200),
    ];
    assert_eq!(names, expected);
    assert_eq!(events[0].caller.address, "192.0.2.7".parse().ok());
    assert_eq!(events[0].request.id, "/v1.0/groups");
    assert_eq!(
        (&*events[1].request.id, &*events[1].operation_version),
        (&*assignment, "2022-04-01")
    );
    assert_eq!(events[2].caller.application_id, client.to_string());
    let visitor = world.visitor(FixedHost::Graph, None);
    assert_eq!(visitor.get("/v1.0/me").await.status, 401);
    assert_eq!(visitor.send("POST", "/v1.0/groups", Some(json!({}))).await.status, 401);
    assert_eq!(counted(&world), ["NoToken", "NoToken"]);
    assert_eq!(world.audit.events().len(), 4);
}

#[tokio::test]
async fn a_full_trail_keeps_nobody_from_signing_in_and_taking_rights_away() {
    let world = World::new().await;
    let graph = world.owner_at(FixedHost::Graph).await;
    let made = graph.send("POST", "/v1.0/groups", Some(json!({"displayName": "team"}))).await;
    let group = made.json()["id"].as_str().unwrap().to_owned();
    world.audit.refuse(true);
    let secret = world.office.founding.secret.dangerous_expose().to_owned();
    assert_eq!(owner(&world, &secret).await.status, 200);
    assert_eq!(world.https("contoso.cr.yard.example").get("/v2/_catalog").await.status, 200);
    let gone = graph.send("DELETE", &format!("/v1.0/groups/{group}"), None).await;
    assert_eq!(gone.status, 204);
    assert_eq!(world.audit.events().len(), 1, "only what was before");
}
