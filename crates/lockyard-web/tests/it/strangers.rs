//! Every route of Resource Manager and of Graph, asked by nobody and by somebody without rights.
//!
//! The faces list their routes' templates, and count requests by them; a route that is missing here
//! was not counted. The few that answer somebody without rights say so, with the reason.

use lockyard_web::{ARM_ROUTES, FixedHost, GRAPH_ROUTES};
use serde_json::{Value, json};

use crate::{office::registry_id, support::World};

/// What somebody without any role gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gets {
    /// A refusal.
    Refused,
    /// An answer that shows nothing but what is theirs.
    TheirOwn,
    /// An answer that is the same for everybody.
    Everybody,
}

use Gets::{Everybody, Refused, TheirOwn};

/// Method, path and what somebody without rights gets; `{sub}` is the subscription, `{id}` an id
/// of nobody.
const MANAGEMENT: &[(&str, &str, Gets)] = &[
    ("GET", "/metadata/endpoints", Everybody),
    // Everybody in the tenant may know the tenant.
    ("GET", "/tenants", TheirOwn),
    // Empty.
    ("GET", "/subscriptions", TheirOwn),
    ("GET", "{sub}", Refused),
    ("GET", "{sub}/locations", Refused),
    ("GET", "{sub}/providers", Refused),
    ("GET", "{sub}/resources", Refused),
    ("GET", "{sub}/resourcegroups/lockyard/resources", Refused),
    ("GET", "{sub}/resourcegroups", Refused),
    ("GET", "{sub}/resourcegroups/lockyard", Refused),
    ("HEAD", "{sub}/resourcegroups/lockyard", Refused),
    ("PUT", "{sub}/resourcegroups/new", Refused),
    ("PATCH", "{sub}/resourcegroups/lockyard", Refused),
    ("DELETE", "{sub}/resourcegroups/lockyard", Refused),
    ("GET", "{sub}/providers/Microsoft.Authorization/roleDefinitions", Refused),
    ("GET", "/providers/Microsoft.Authorization/roleDefinitions", Refused),
    ("GET", "{sub}/providers/Microsoft.Authorization/roleDefinitions/{id}", Refused),
    ("PUT", "{sub}/providers/Microsoft.Authorization/roleDefinitions/{id}", Refused),
    ("DELETE", "{sub}/providers/Microsoft.Authorization/roleDefinitions/{id}", Refused),
    ("GET", "{sub}/providers/Microsoft.Authorization/roleAssignments", Refused),
    ("GET", "/providers/Microsoft.Authorization/roleAssignments", Refused),
    ("GET", "{registry}/providers/Microsoft.Authorization/roleAssignments", Refused),
    ("GET", "{sub}/providers/Microsoft.Authorization/roleAssignments/{id}", Refused),
    ("PUT", "{sub}/providers/Microsoft.Authorization/roleAssignments/{id}", Refused),
    ("DELETE", "{sub}/providers/Microsoft.Authorization/roleAssignments/{id}", Refused),
    ("GET", "{sub}/providers/Microsoft.KeyVault/vaults", Refused),
    ("GET", "{group}/providers/Microsoft.KeyVault/vaults", Refused),
    ("GET", "{group}/providers/Microsoft.KeyVault/vaults/kvone", Refused),
    ("PUT", "{group}/providers/Microsoft.KeyVault/vaults/kvone", Refused),
    ("PATCH", "{group}/providers/Microsoft.KeyVault/vaults/kvone", Refused),
    ("DELETE", "{group}/providers/Microsoft.KeyVault/vaults/kvone", Refused),
    ("PUT", "{group}/providers/Microsoft.KeyVault/vaults/kvone/accessPolicies/add", Refused),
    ("GET", "{group}/providers/Microsoft.KeyVault/vaults/kvone/keys", Refused),
    ("GET", "{group}/providers/Microsoft.KeyVault/vaults/kvone/keys/k", Refused),
    ("PUT", "{group}/providers/Microsoft.KeyVault/vaults/kvone/keys/k", Refused),
    ("GET", "{group}/providers/Microsoft.KeyVault/vaults/kvone/keys/k/versions", Refused),
    ("GET", "{group}/providers/Microsoft.KeyVault/vaults/kvone/keys/k/versions/1", Refused),
    ("GET", "{sub}/providers/Microsoft.KeyVault/deletedVaults", Refused),
    ("GET", "{sub}/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/kvone", Refused),
    (
        "POST",
        "{sub}/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/kvone/purge",
        Refused,
    ),
    ("POST", "{sub}/providers/Microsoft.KeyVault/checkNameAvailability", Refused),
    ("POST", "{sub}/providers/Microsoft.KeyVault/checkMhsmNameAvailability", Refused),
    ("GET", "{sub}/providers/Microsoft.KeyVault/managedHSMs", Refused),
    ("GET", "{sub}/providers/Microsoft.KeyVault/deletedManagedHSMs", Refused),
];

const GRAPH: &[(&str, &str, Gets)] = &[
    // For people only; an application without rights asks here.
    ("GET", "/v1.0/me", Refused),
    // Nobody owns anything.
    ("GET", "/v1.0/me/ownedObjects", TheirOwn),
    ("GET", "/v1.0/applications/{id}/owners", TheirOwn),
    ("POST", "/v1.0/directoryObjects/getByIds", Refused),
    ("GET", "/v1.0/directoryObjects/{id}", Refused),
    ("GET", "/v1.0/users", Refused),
    ("POST", "/v1.0/users", Refused),
    ("GET", "/v1.0/users/{id}", Refused),
    ("DELETE", "/v1.0/users/{id}", Refused),
    ("POST", "/v1.0/users/{id}/getMemberGroups", Refused),
    ("GET", "/v1.0/groups", Refused),
    ("POST", "/v1.0/groups", Refused),
    ("GET", "/v1.0/groups/{id}", Refused),
    ("DELETE", "/v1.0/groups/{id}", Refused),
    ("GET", "/v1.0/groups/{id}/members", Refused),
    ("POST", "/v1.0/groups/{id}/members/$ref", Refused),
    ("DELETE", "/v1.0/groups/{id}/members/{id}/$ref", Refused),
    ("GET", "/v1.0/servicePrincipals", Refused),
    ("POST", "/v1.0/servicePrincipals", Refused),
    ("GET", "/v1.0/servicePrincipals/{id}", Refused),
    ("PATCH", "/v1.0/servicePrincipals/{id}", Refused),
    ("DELETE", "/v1.0/servicePrincipals/{id}", Refused),
    ("GET", "/v1.0/applications", Refused),
    ("POST", "/v1.0/applications", Refused),
    ("GET", "/v1.0/applications/{id}", Refused),
    ("PATCH", "/v1.0/applications/{id}", Refused),
    ("DELETE", "/v1.0/applications/{id}", Refused),
    ("POST", "/v1.0/applications/{id}/addPassword", Refused),
    ("POST", "/v1.0/applications/{id}/removePassword", Refused),
    ("GET", "/v1.0/applications/{id}/federatedIdentityCredentials", Refused),
    ("POST", "/v1.0/applications/{id}/federatedIdentityCredentials", Refused),
    ("GET", "/v1.0/applications/{id}/federatedIdentityCredentials/x", Refused),
    ("DELETE", "/v1.0/applications/{id}/federatedIdentityCredentials/x", Refused),
];

/// A body with everything that any route wants, so that none is refused for what it lacks.
fn body(sub: &str) -> Value {
    let id = "00000000-0000-4000-8000-000000000001";
    json!({
        "location": "eastus",
        "properties": {
            "roleDefinitionId": "acdd72a7-3385-48ef-bd42-f606fba81ae7",
            "principalId": id,
            "roleName": "x",
            "permissions": [{"actions": ["*"]}],
            "assignableScopes": [sub],
        },
        "displayName": "x",
        "userPrincipalName": "x@yard.example",
        "passwordProfile": {"password": "correct horse battery"},
        "appId": id,
        "keyId": id,
        "ids": [id],
        "@odata.id": id,
        "name": "x",
        "issuer": "https://x.example",
        "subject": "x",
        "audiences": ["x"],
    })
}

/// A body that the key vaults' routes want: they refuse what they do not know.
fn key_vault_body(path: &str) -> Value {
    if path.ends_with("checkNameAvailability") {
        return json!({"name": "kvone", "type": "Microsoft.KeyVault/vaults"});
    }
    let properties = if path.contains("accessPolicies") {
        json!({"accessPolicies": []})
    } else if path.contains("/keys/") {
        json!({"kty": "RSA"})
    } else {
        json!({
            "tenantId": "00000000-0000-4000-8000-000000000001",
            "sku": {"family": "A", "name": "standard"},
        })
    };
    json!({"location": "eastus", "properties": properties})
}

async fn check(host: FixedHost, routes: &[(&str, &str, Gets)], templates: &[&str]) {
    let world = World::new().await;
    let office = &world.office;
    let (client, _, secret) = office.stranger(world.now());
    let nobody = world.visitor(host, None);
    let stranger = world.visitor(host, Some(office.token(client, &secret, host).await));
    let sub = office.subscription();
    let registry = registry_id(office.founding.subscription.guid()).to_string();
    for (method, path, gets) in routes {
        let path = path
            .replace("{sub}", &sub)
            .replace("{registry}", &registry)
            .replace("{group}", &format!("{sub}/resourceGroups/lockyard"))
            .replace("{id}", "00000000-0000-4000-8000-000000000001");
        let target = format!("{path}?api-version=2024-11-01");
        let body = match *method {
            "PATCH" if path.contains("Microsoft.KeyVault") => Some(json!({})),
            "PUT" | "POST" if path.contains("Microsoft.KeyVault") => Some(key_vault_body(&path)),
            "PUT" | "PATCH" | "POST" => Some(body(&sub)),
            _ => None,
        };
        let reply = nobody.send(method, &target, body.clone()).await;
        let expected = if *gets == Everybody { 200 } else { 401 };
        assert_eq!(reply.status, expected, "nobody: {method} {path}: {}", reply.text());
        assert_eq!(reply.headers.contains_key("www-authenticate"), expected == 401, "{path}");

        let reply = stranger.send(method, &target, body).await;
        let expected: &[u16] = match gets {
            // az wants 400 or 403 where a person is asked for.
            Refused if path == "/v1.0/me" => &[400],
            Refused => &[403],
            TheirOwn | Everybody => &[200],
        };
        assert!(
            expected.contains(&reply.status.as_u16()),
            "stranger: {method} {path}: {} {}",
            reply.status,
            reply.text()
        );
    }
    let counted = crate::ops::counted(&world).await;
    for template in templates {
        let label = format!("route=\"{template}\"");
        assert!(counted.contains(&label), "the table above has no request to {template}");
    }
}

#[tokio::test]
async fn resource_manager_refuses_whoever_has_no_right() {
    check(FixedHost::Management, MANAGEMENT, &ARM_ROUTES).await;
}

#[tokio::test]
async fn graph_refuses_whoever_has_no_right() {
    check(FixedHost::Graph, GRAPH, &GRAPH_ROUTES).await;
}
