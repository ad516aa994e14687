//! Resource Manager's face.

use lockyard_access::decision::role_id;
use lockyard_web::{FixedHost, limit::ARM_BODY_BYTES_MAX};
use serde_json::json;

use crate::{office::Visitor, support::World};

const V: &str = "api-version=2024-11-01";
const MANAGEMENT: FixedHost = FixedHost::Management;

/// Assigns a role to a principal and returns the answer's status or error.
async fn give(owner: &Visitor, scope: &str, n: u8, role: &str, principal: &str) -> String {
    let name = format!("00000000-0000-4000-8000-0000000000{n:02x}");
    let target = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}?{V}");
    let role = format!("/subscriptions/x/providers/Microsoft.Authorization/roleDefinitions/{role}");
    let body = json!({"properties": {"roleDefinitionId": role, "principalId": principal}});
    let reply = owner.put(&target, body).await;
    if reply.status.is_success() { reply.status.as_u16().to_string() } else { reply.code() }
}

#[tokio::test]
async fn anybody_may_ask_where_everything_is_and_nothing_ends_with_a_slash() {
    let world = World::new().await;
    let reply =
        world.visitor(MANAGEMENT, None).get("/metadata/endpoints?api-version=2022-09-01").await;
    assert_eq!(reply.status, 200);
    insta::assert_snapshot!(serde_json::to_string_pretty(&reply.json()).unwrap(), @r#"
    {
      "authentication": {
        "audiences": [
          "https://management.yard.example:8443"
        ],
        "identityProvider": "AAD",
        "loginEndpoint": "https://login.yard.example:8443",
        "tenant": "common"
      },
      "graph": "https://graph.yard.example:8443",
      "graphAudience": "https://graph.yard.example:8443",
      "microsoftGraphResourceId": "https://graph.yard.example:8443",
      "name": "Lockyard",
      "portal": "https://portal.yard.example:8443",
      "resourceManager": "https://management.yard.example:8443",
      "suffixes": {
        "acrLoginServer": "cr.yard.example:8443",
        "keyVaultDns": "vault.yard.example:8443"
      }
    }
    "#);
    assert!(!reply.text().contains("/\""), "{}", reply.text());
    let doubled = world.visitor(MANAGEMENT, None).get("//metadata/endpoints").await;
    assert_eq!(doubled.status, 200);
}

#[tokio::test]
async fn nobody_without_a_token_learns_anything_but_where_to_sign_in() {
    let world = World::new().await;
    let stranger = world.visitor(MANAGEMENT, None);
    let reply = stranger.get(&format!("/subscriptions?{V}")).await;
    assert_eq!(reply.code(), "401 AuthenticationFailed");
    let tenant = world.office.founding.tenant;
    assert_eq!(
        reply.header("www-authenticate"),
        format!("Bearer authorization_uri=\"https://login.yard.example:8443/{tenant}\"")
    );
    assert_eq!(stranger.get("/no/such/thing").await.code(), "401 AuthenticationFailed");

    let forged = world.visitor(MANAGEMENT, Some("a.b.c".to_owned()));
    let reply = forged.get(&format!("/subscriptions?{V}")).await;
    assert_eq!(reply.code(), "401 InvalidAuthenticationToken");
    assert!(reply.header("www-authenticate").ends_with("error=\"invalid_token\""));

    // A token for the directory is none for Resource Manager.
    let graph = world.office.owner(FixedHost::Graph).await;
    let reply = world.visitor(MANAGEMENT, Some(graph)).get(&format!("/subscriptions?{V}")).await;
    assert_eq!(reply.code(), "401 InvalidAuthenticationToken");
}

#[tokio::test]
async fn every_call_names_a_version_and_any_date_is_one() {
    let world = World::new().await;
    let owner = world.owner_at(MANAGEMENT).await;
    assert_eq!(owner.get("/subscriptions").await.code(), "400 MissingApiVersionParameter");
    let latest = owner.get("/subscriptions?api-version=latest").await;
    assert_eq!(latest.code(), "400 InvalidApiVersionParameter");
    for version in ["2010-01-01", "2199-12-31-preview"] {
        assert_eq!(owner.get(&format!("/subscriptions?api-version={version}")).await.status, 200);
    }
    assert_eq!(owner.get("/subscriptions?API-Version=2024-11-01").await.status, 200);
}

#[tokio::test]
async fn a_subscription_is_seen_by_whoever_has_a_role_in_it() {
    let world = World::new().await;
    let (office, sub) = (&world.office, world.office.subscription());
    let owner = world.owner_at(MANAGEMENT).await;
    let all = owner.get(&format!("/subscriptions?{V}")).await.json();
    assert_eq!(all["value"][0]["id"], sub.as_str());
    assert_eq!(all["value"][0]["tenantId"], office.founding.tenant.to_string());
    let tenants = owner.get(&format!("/tenants?{V}")).await.json();
    assert_eq!(tenants["value"][0]["tenantId"], office.founding.tenant.to_string());

    let (client, principal, secret) = office.stranger(world.now());
    let token = office.token(client, &secret, MANAGEMENT).await;
    let stranger = world.visitor(MANAGEMENT, Some(token));
    assert_eq!(stranger.get(&format!("/subscriptions?{V}")).await.json()["value"], json!([]));
    assert_eq!(stranger.get(&format!("{sub}?{V}")).await.code(), "403 AuthorizationFailed");

    let registry = crate::office::registry_id(office.founding.subscription.guid());
    office.assign(principal, role_id::ACR_PULL, &registry.to_string());
    let seen = stranger.get(&format!("/subscriptions?{V}")).await.json();
    assert_eq!(seen["count"]["value"], 1);
    let locations = stranger.get(&format!("{sub}/locations?{V}")).await.json();
    assert!(locations["value"].as_array().unwrap().iter().any(|l| l["name"] == "eastus"));
    let other = "/subscriptions/99999999-2222-4333-8444-555555555555";
    assert_eq!(stranger.get(&format!("{other}?{V}")).await.code(), "404 SubscriptionNotFound");
}

#[tokio::test]
async fn a_resource_group_lives_and_dies_with_the_roles_in_it() {
    let world = World::new().await;
    let sub = world.office.subscription();
    let owner = world.owner_at(MANAGEMENT).await;
    let (lower, upper) =
        (format!("{sub}/resourcegroups/rg1?{V}"), format!("{sub}/resourceGroups/RG1?{V}"));
    assert_eq!(owner.get(&lower).await.code(), "404 ResourceGroupNotFound");
    assert_eq!(owner.send("HEAD", &lower, None).await.status, 404);

    let made = owner.put(&lower, json!({"location": "East US", "tags": {"a": "b"}})).await;
    assert_eq!(made.status, 201);
    let expected = json!({
        "id": format!("{sub}/resourceGroups/rg1"),
        "name": "rg1",
        "type": "Microsoft.Resources/resourceGroups",
        "location": "eastus",
        "tags": {"a": "b"},
        "properties": {"provisioningState": "Succeeded"},
    });
    assert_eq!(made.json(), expected);
    let again = owner.put(&upper, json!({"Location": "eastus"})).await;
    assert_eq!((again.status.as_u16(), again.json()["name"].as_str()), (200, Some("rg1")));
    assert_eq!(again.json()["tags"], json!({}));
    let moved = owner.put(&upper, json!({"location": "westeurope"})).await;
    assert_eq!(moved.code(), "409 InvalidResourceGroupLocation");
    let patched = owner.send("PATCH", &lower, Some(json!({"tags": {"x": "y"}}))).await;
    assert_eq!(patched.json()["tags"], json!({"x": "y"}));
    assert_eq!(owner.send("HEAD", &upper, None).await.status, 204);

    let (_, principal, _) = world.office.stranger(world.now());
    let role = role_id::READER.to_string();
    let at = format!("{sub}/resourceGroups/rg1");
    assert_eq!(give(&owner, &at, 1, &role, &principal.to_string()).await, "201");
    assert_eq!(owner.send("DELETE", &lower, None).await.status, 200);
    assert_eq!(owner.get(&lower).await.code(), "404 ResourceGroupNotFound");
    assert_eq!(owner.send("DELETE", &lower, None).await.code(), "404 ResourceGroupNotFound");
    let left = world.office.directory.snapshot();
    assert!(left.assignments().all(|assignment| assignment.principal != principal));

    let all = owner.get(&format!("{sub}/resourcegroups?{V}")).await.json();
    assert_eq!(all["value"][0]["name"], "lockyard");
    assert_eq!(all["value"].as_array().unwrap().len(), 1);
    let kept = owner.send("DELETE", &format!("{sub}/resourceGroups/lockyard?{V}"), None).await;
    assert_eq!(kept.code(), "409 ResourceGroupDeletionBlocked");
}

#[tokio::test]
async fn a_resource_group_that_cannot_be_is_refused() {
    let world = World::new().await;
    let sub = world.office.subscription();
    let owner = world.owner_at(MANAGEMENT).await;
    let target = format!("{sub}/resourceGroups/rg1?{V}");
    let many: serde_json::Map<_, _> = (0..51).map(|n| (format!("t{n}"), json!(""))).collect();
    for (body, code) in [
        (json!({}), "400 LocationRequired"),
        (json!([]), "400 InvalidRequestContent"),
        (json!({"location": 1}), "400 InvalidRequestContent"),
        (json!({"location": "../etc"}), "400 LocationNotAvailableForResourceGroup"),
        (json!({"location": "eastus", "tags": []}), "400 InvalidRequestContent"),
        (json!({"location": "eastus", "tags": {"a": 1}}), "400 InvalidRequestContent"),
        (json!({"location": "eastus", "tags": {"a<b": ""}}), "400 InvalidTag"),
        (json!({"location": "eastus", "tags": {"a": "x".repeat(257)}}), "400 InvalidTag"),
        (json!({"location": "eastus", "tags": {"a": "", "A": ""}}), "400 DuplicateTagNames"),
        (json!({"location": "eastus", "tags": many}), "400 TooManyTags"),
    ] {
        assert_eq!(owner.put(&target, body.clone()).await.code(), code, "{body}");
    }
    for bytes in [&b"{"[..], b"\xff", b"{\"location\":}"] {
        let reply = owner.send_bytes("PUT", &target, bytes.to_vec()).await;
        assert_eq!(reply.code(), "400 InvalidRequestContent");
    }
    let body = |length: usize| {
        let mut text = br#"{"location":"eastus"}"#.to_vec();
        text.resize(length, b' ');
        text
    };
    let large = owner.send_bytes("PUT", &target, body(ARM_BODY_BYTES_MAX + 1)).await;
    assert_eq!(large.code(), "413 RequestContentTooLarge");
    assert_eq!(owner.send_bytes("PUT", &target, body(ARM_BODY_BYTES_MAX)).await.status, 201);
    let bad = owner.put(&format!("{sub}/resourceGroups/a%2Fb?{V}"), json!({})).await;
    assert_eq!(bad.code(), "404 NotFound");
    let posted = owner.send("POST", &target, None).await;
    assert_eq!(posted.code(), "405 HttpMethodNotSupported");
    assert_eq!(posted.header("allow"), "GET, HEAD, PUT, PATCH, DELETE");
}

#[tokio::test]
async fn roles_are_found_by_name_and_given_once() {
    let world = World::new().await;
    let (office, sub) = (&world.office, world.office.subscription());
    let owner = world.owner_at(MANAGEMENT).await;
    let registry = crate::office::registry_id(office.founding.subscription.guid()).to_string();
    let found = owner
        .get(&format!(
            "{registry}/providers/Microsoft.Authorization/roleDefinitions?$filter=roleName eq 'AcrPull'&{V}"
        ))
        .await
        .json();
    let role = &found["value"][0];
    let id =
        format!("{sub}/providers/Microsoft.Authorization/roleDefinitions/{}", role_id::ACR_PULL);
    assert_eq!(
        (found["value"].as_array().unwrap().len(), role["id"].as_str()),
        (1, Some(id.as_str()))
    );
    assert_eq!(role["properties"]["type"], "BuiltInRole");
    let every = owner
        .get(&format!("{sub}/providers/Microsoft.Authorization/roleDefinitions?{V}"))
        .await
        .json();
    assert_eq!(every["value"].as_array().unwrap().len(), 15);
    let one = owner.get(&format!("{id}?{V}")).await.json();
    assert_eq!(&one, role);

    let (client, principal, secret) = office.stranger(world.now());
    let (who, pull) = (principal.to_string(), role_id::ACR_PULL.to_string());
    assert_eq!(give(&owner, &registry, 1, &pull, &who).await, "201");
    assert_eq!(give(&owner, &registry, 1, &pull, &who).await, "200");
    assert_eq!(give(&owner, &registry, 2, &pull, &who).await, "409 RoleAssignmentExists");
    assert_eq!(
        give(&owner, &registry, 1, &role_id::ACR_PUSH.to_string(), &who).await,
        "409 RoleAssignmentUpdateNotPermitted"
    );
    let nobody = "00000000-0000-4000-8000-000000000000";
    assert_eq!(give(&owner, &sub, 3, &pull, nobody).await, "400 PrincipalNotFound");
    assert_eq!(give(&owner, &sub, 3, nobody, &who).await, "404 RoleDefinitionDoesNotExist");
    let gone = format!("{sub}/resourceGroups/gone");
    assert_eq!(give(&owner, &gone, 3, &pull, &who).await, "404 ResourceGroupNotFound");

    let list = |filter: String, under: String| {
        let owner = owner.clone();
        async move {
            let roles = "providers/Microsoft.Authorization/roleAssignments";
            let all = owner.get(&format!("{under}/{roles}?{V}{filter}")).await.json();
            all["value"].as_array().unwrap().len()
        }
    };
    // The owner and the first person have two roles each.
    assert_eq!(list(String::new(), sub.clone()).await, 5);
    assert_eq!(list("&$filter=atScope()".to_owned(), sub.clone()).await, 4);
    assert_eq!(list("&$filter=atScope()".to_owned(), registry.clone()).await, 5);
    assert_eq!(list(format!("&$filter=principalId eq '{who}'"), sub.clone()).await, 1);
    assert_eq!(list(format!("&$filter=assignedTo('{who}')"), sub.clone()).await, 1);
    let odd = owner
        .get(&format!(
            "{sub}/providers/Microsoft.Authorization/roleAssignments?{V}&$filter=x eq 'y'"
        ))
        .await;
    assert_eq!(odd.code(), "400 InvalidFilter");

    // Whoever was given the role sees their registry and nothing else, and cannot give it on.
    let token = office.token(client, &secret, MANAGEMENT).await;
    let puller = world.visitor(MANAGEMENT, Some(token));
    assert_eq!(give(&puller, &registry, 4, &pull, &who).await, "403 AuthorizationFailed");
    let name = "00000000-0000-4000-8000-000000000001";
    let target = format!("{registry}/providers/Microsoft.Authorization/roleAssignments/{name}?{V}");
    assert_eq!(puller.send("DELETE", &target, None).await.code(), "403 AuthorizationFailed");
    let gone = owner.send("DELETE", &target, None).await;
    assert_eq!((gone.status.as_u16(), gone.json()["name"].as_str()), (200, Some(name)));
    assert_eq!(owner.send("DELETE", &target, None).await.status, 204);
    assert_eq!(owner.get(&target).await.code(), "404 RoleAssignmentNotFound");
}

#[tokio::test]
async fn a_condition_is_refused_rather_than_ignored() {
    let world = World::new().await;
    let owner = world.owner_at(MANAGEMENT).await;
    let (_, principal, _) = world.office.stranger(world.now());
    let target = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-000000000009?{V}",
        world.office.subscription()
    );
    let body = json!({"properties": {
        "roleDefinitionId": role_id::READER.to_string(),
        "principalId": principal.to_string(),
        "principalType": "ServicePrincipal",
        "condition": "@Resource[x] StringEquals 'y'",
    }});
    assert_eq!(owner.put(&target, body.clone()).await.code(), "400 InvalidRequestContent");
    let mut plain = body;
    plain["properties"]["condition"] = json!(null);
    plain["properties"]["principalType"] = json!("User");
    assert_eq!(owner.put(&target, plain.clone()).await.code(), "400 UnmatchedPrincipalType");
    plain["properties"]["principalType"] = json!("serviceprincipal");
    assert_eq!(owner.put(&target, plain).await.status, 201);
}

#[tokio::test]
async fn a_custom_role_is_made_given_and_deleted() {
    let world = World::new().await;
    let (office, sub) = (&world.office, world.office.subscription());
    let owner = world.owner_at(MANAGEMENT).await;
    let id = "00000000-0000-4000-8000-0000000000aa";
    let target = format!("{sub}/providers/Microsoft.Authorization/roleDefinitions/{id}?{V}");
    let body = json!({"properties": {
        "roleName": "Group maker",
        "description": "Makes groups.",
        "type": "CustomRole",
        "permissions": [{"actions": ["Microsoft.Resources/subscriptions/resourceGroups/*"]}],
        "assignableScopes": [sub],
    }});
    assert_eq!(owner.put(&target, body.clone()).await.status, 201);
    let (client, principal, secret) = office.stranger(world.now());
    let maker = world.visitor(MANAGEMENT, Some(office.token(client, &secret, MANAGEMENT).await));
    let group = format!("{sub}/resourceGroups/made?{V}");
    let location = json!({"location": "eastus"});
    assert_eq!(maker.put(&group, location.clone()).await.code(), "403 AuthorizationFailed");
    assert_eq!(give(&owner, &sub, 1, id, &principal.to_string()).await, "201");
    assert_eq!(maker.put(&group, location).await.status, 201);
    assert_eq!(maker.put(&target, body.clone()).await.code(), "403 AuthorizationFailed");
    let used = owner.send("DELETE", &target, None).await;
    assert_eq!(used.code(), "400 RoleDefinitionHasAssignments");

    for (change, code) in [
        (json!({"roleName": "Owner"}), "400 InvalidRoleDefinition"),
        (json!({"permissions": []}), "400 InvalidRoleDefinition"),
        (json!({"permissions": [{"actions": ["a b"]}]}), "400 InvalidRequestContent"),
        (json!({"assignableScopes": ["/"]}), "400 InvalidRoleDefinition"),
        (json!({"assignableScopes": ["x"]}), "400 InvalidRequestContent"),
        (
            json!({"assignableScopes": ["/subscriptions/99999999-2222-4333-8444-555555555555"]}),
            "404 SubscriptionNotFound",
        ),
    ] {
        let mut body = body.clone();
        for (name, value) in change.as_object().unwrap() {
            body["properties"][name] = value.clone();
        }
        assert_eq!(owner.put(&target, body).await.code(), code, "{change}");
    }
    let built_in =
        format!("{sub}/providers/Microsoft.Authorization/roleDefinitions/{}?{V}", role_id::OWNER);
    assert_eq!(owner.put(&built_in, body).await.code(), "400 InvalidRoleDefinition");
    assert_eq!(owner.send("DELETE", &built_in, None).await.code(), "400 RoleDefinitionIsBuiltIn");
}

#[tokio::test]
async fn a_revoked_caller_is_refused_at_once() {
    let world = World::new().await;
    let office = &world.office;
    let (client, principal, secret) = office.stranger(world.now());
    let token = office.token(client, &secret, MANAGEMENT).await;
    let caller = world.visitor(MANAGEMENT, Some(token));
    assert_eq!(caller.get(&format!("/subscriptions?{V}")).await.status, 200);
    office.directory.set_enabled(principal, false).unwrap();
    let reply = caller.get(&format!("/subscriptions?{V}")).await;
    assert_eq!(reply.code(), "401 InvalidAuthenticationToken");
}

#[tokio::test]
async fn resources_of_no_known_kind_are_told_so() {
    let world = World::new().await;
    let sub = world.office.subscription();
    let owner = world.owner_at(MANAGEMENT).await;
    for (target, code) in [
        ("providers/Microsoft.Nothing/things", "404 InvalidResourceNamespace"),
        ("providers/Microsoft.Authorization/things", "404 InvalidResourceType"),
        ("providers/Microsoft.Authorization/roleAssignments/x", "400 InvalidRoleAssignmentId"),
        ("nothing", "404 NotFound"),
        ("resourceGroups/a.", "400 InvalidResourceId"),
    ] {
        assert_eq!(owner.get(&format!("{sub}/{target}?{V}")).await.code(), code, "{target}");
    }
    let all = owner.get(&format!("{sub}/resources?{V}")).await.json();
    assert_eq!(all["value"][0]["name"], "lockyard");
    let none = owner
        .get(&format!("{sub}/resources?$filter=resourceType eq 'Microsoft.KeyVault/vaults'&{V}"))
        .await;
    assert_eq!(none.json()["value"], json!([]));
}
