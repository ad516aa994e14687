//! Key vaults as Resource Manager shows them.

use lockyard_access::decision::role_id;
use lockyard_audit::Operation;
use lockyard_web::FixedHost;
use serde_json::{Value, json};

use crate::{
    office::Visitor,
    support::{Reply, World},
};

const V: &str = "api-version=2026-02-01";
const MANAGEMENT: FixedHost = FixedHost::Management;

/// A world with the resource group `rg1`, its owner, and where vaults are in it.
struct Yard {
    world: World,
    owner: Visitor,
    sub: String,
    vaults: String,
}

impl Yard {
    async fn new() -> Self {
        let world = World::new().await;
        let owner = world.owner_at(MANAGEMENT).await.from("192.0.2.7");
        let sub = world.office.subscription();
        let group = format!("{sub}/resourceGroups/rg1?{V}");
        assert_eq!(owner.put(&group, json!({"location": "eastus"})).await.status, 201);
        let vaults = format!("{sub}/resourceGroups/rg1/providers/Microsoft.KeyVault/vaults");
        Self { world, owner, sub, vaults }
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}?{V}", self.vaults)
    }

    fn tenant(&self) -> String {
        self.world.office.founding.tenant.to_string()
    }

    /// What az sends for a vault whose creator typed nothing of the permission model.
    fn body(&self) -> Value {
        json!({"location": "eastus", "properties": {
            "tenantId": self.tenant(),
            "sku": {"name": "standard", "family": "A"},
            "accessPolicies": [],
            "enableRbacAuthorization": true,
            "enableSoftDelete": true,
            "enablePurgeProtection": true,
            "softDeleteRetentionInDays": 90,
            "networkAcls": {"bypass": "AzureServices", "defaultAction": "Allow"},
        }})
    }

    /// The owner by az's `keyvault create`, with these options typed.
    fn creating(&self, options: &'static str) -> Visitor {
        self.owner.with("CommandName", "keyvault create").with("ParameterSetName", options)
    }

    async fn made(&self, name: &str, options: &'static str) -> Value {
        let reply = self.creating(options).put(&self.at(name), self.body()).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()
    }
}

/// The answer, which must be a good one, as JSON.
#[track_caller]
fn good(reply: &Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn a_vault_lives_and_dies_as_az_knows_it() {
    let yard = Yard::new().await;
    let made = yard.made("KvOne", "--name -g --enable-purge-protection").await;
    let owner = yard.world.office.directory.snapshot().owner().1.to_string();
    let (tenant, now) = (yard.tenant(), "2023-11-14T22:13:20Z");
    let everything = json!({
        "keys": ["all"], "secrets": ["all"], "certificates": ["all"], "storage": ["all"]
    });
    let expected = json!({
        "id": format!("{}/KvOne", yard.vaults),
        "name": "KvOne",
        "type": "Microsoft.KeyVault/vaults",
        "location": "eastus",
        "tags": {},
        "systemData": {"createdAt": now, "lastModifiedAt": now},
        "properties": {
            "sku": {"family": "A", "name": "standard"},
            "tenantId": tenant,
            "accessPolicies": [
                {"tenantId": tenant, "objectId": owner, "permissions": everything}
            ],
            "enabledForDeployment": false,
            "enabledForDiskEncryption": false,
            "enabledForTemplateDeployment": false,
            "enableSoftDelete": true,
            "softDeleteRetentionInDays": 90,
            "enableRbacAuthorization": false,
            "enablePurgeProtection": true,
            "vaultUri": "https://kvone.vault.yard.example:8443/",
            "provisioningState": "Succeeded",
            "publicNetworkAccess": "Enabled",
            "networkAcls": {
                "bypass": "AzureServices", "defaultAction": "Allow",
                "ipRules": [], "virtualNetworkRules": []
            },
            "permissionModel": {
                "model": "undecided", "decidedBy": "nobody", "decidedAt": now, "creator": owner
            },
        },
    });
    assert_eq!(made, expected);
    let upper = yard.at("KVONE").replace("resourceGroups", "RESOURCEGROUPS");
    assert_eq!(good(&yard.owner.get(&upper).await), made);
    let filter = "$filter=resourceType eq 'Microsoft.KeyVault/vaults' and name eq 'kvone'";
    let found = yard.owner.get(&format!("{}/resources?{filter}&{V}", yard.sub)).await;
    assert_eq!(
        good(&found)["value"],
        json!([{
            "id": made["id"], "name": "KvOne", "type": made["type"], "location": "eastus",
            "tags": {}
        }])
    );
    for under in [yard.sub.clone(), format!("{}/resourcegroups/RG1", yard.sub)] {
        let list = format!("{under}/providers/microsoft.keyvault/VAULTS?{V}");
        assert_eq!(good(&yard.owner.get(&list).await)["value"], json!([made]));
    }

    let gone = yard.owner.send("DELETE", &upper, None).await;
    assert_eq!(gone.status, 200);
    assert_eq!(yard.owner.get(&upper).await.code(), "404 ResourceNotFound");
    assert_eq!(yard.owner.send("DELETE", &upper, None).await.status, 204);
    let deleted = format!("{}/providers/Microsoft.KeyVault/deletedVaults?{V}", yard.sub);
    let all = good(&yard.owner.get(&deleted).await);
    assert_eq!(
        all["value"],
        json!([{
            "id": format!(
                "{}/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/KvOne", yard.sub
            ),
            "name": "KvOne",
            "type": "Microsoft.KeyVault/deletedVaults",
            "properties": {
                "vaultId": made["id"], "location": "eastus", "tags": {},
                "deletionDate": now, "scheduledPurgeDate": "2024-02-12T22:13:20Z",
                "purgeProtectionEnabled": true
            }
        }])
    );
    let one = all["value"][0]["id"].as_str().unwrap();
    assert_eq!(good(&yard.owner.get(&format!("{one}?{V}")).await), all["value"][0]);
    let purged = yard.owner.send("POST", &format!("{one}/purge?{V}"), None).await;
    assert_eq!(purged.code(), "400 MethodNotAllowed");

    let recover = json!({"location": "eastus", "properties": {
        "tenantId": tenant, "sku": {"family": "A", "name": "standard"}, "createMode": "recover"
    }});
    let recovered = good(&yard.owner.put(&yard.at("kvone"), recover).await);
    assert_eq!(recovered["properties"], made["properties"]);
    assert_eq!(good(&yard.owner.get(&deleted).await)["value"], json!([]));
}

/// The model of a vault's answer, and who decided it.
fn model(vault: &Value) -> (&str, &str) {
    let model = &vault["properties"]["permissionModel"];
    (model["model"].as_str().unwrap(), model["decidedBy"].as_str().unwrap())
}

#[tokio::test]
async fn only_who_typed_nothing_of_the_model_leaves_it_undecided() {
    let yard = Yard::new().await;
    let az = |command, options| {
        yard.owner.with("CommandName", command).with("ParameterSetName", options)
    };
    let create = "keyvault create";
    for (number, (visitor, expected)) in [
        (az(create, "--name --resource-group"), ("undecided", "nobody")),
        (az("KeyVault Create", ""), ("undecided", "nobody")),
        (az(create, "-n --enable-rbac-authorization"), ("roles", "creator")),
        (az(create, "-n --enable-rbac"), ("roles", "creator")),
        (az(create, "-n --no-self-perms"), ("roles", "creator")),
        (az("keyvault update", "-n"), ("roles", "creator")),
        (az("deployment group create", "-n"), ("roles", "creator")),
        (yard.owner.with("CommandName", create), ("roles", "creator")),
        (yard.owner.clone(), ("roles", "creator")),
    ]
    .into_iter()
    .enumerate()
    {
        let made = visitor.put(&yard.at(&format!("kv-{number}")), yard.body()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(model(&made.json()), expected, "{number}");
    }
    // Whoever brings policies has thought about it.
    let mut body = yard.body();
    body["properties"]["accessPolicies"] = json!([{
        "tenantId": yard.tenant(), "objectId": yard.tenant(), "permissions": {"keys": ["get"]}
    }]);
    let made = yard.creating("-n").put(&yard.at("kv-with"), body).await.json();
    assert_eq!(model(&made), ("roles", "creator"));
    // A live vault is not created, and its creator's policy is not wiped.
    let again = good(&yard.creating("-n").put(&yard.at("kv-0"), yard.body()).await);
    assert_eq!(model(&again), ("undecided", "nobody"));
    assert_eq!(again["properties"]["accessPolicies"].as_array().unwrap().len(), 1);
    // Typing what is shown chooses it.
    let typed = az("keyvault update", "-n --enable-rbac-authorization");
    let chosen = good(&typed.put(&yard.at("kv-0"), again).await);
    assert_eq!(model(&chosen), ("policies", "statement"));
    let deleted = yard.owner.send("DELETE", &yard.at("kv-1"), None).await;
    assert_eq!(deleted.status, 200);
    let taken = yard.creating("-n").put(&yard.at("kv-1"), yard.body()).await;
    assert_eq!(taken.code(), "409 ConflictError");
}

#[tokio::test]
async fn who_says_nothing_of_the_model_gets_what_the_version_has() {
    let yard = Yard::new().await;
    for (version, name, roles) in [
        ("2018-02-14", "kvold", false),
        ("2026-01-31", "kvolder", false),
        ("2026-02-01", "kvnew", true),
        ("2199-01-01-preview", "kvnewer", true),
    ] {
        for silent in [Some(json!(null)), None] {
            let mut body = yard.body();
            let properties = body["properties"].as_object_mut().unwrap();
            let _before = properties.remove("enableRbacAuthorization");
            if let Some(null) = silent {
                let _none = properties.insert("enableRbacAuthorization".to_owned(), null);
            }
            let target = format!("{}/{name}?api-version={version}", yard.vaults);
            let reply = yard.owner.put(&target, body).await;
            assert!(reply.status.is_success(), "{}", reply.text());
            assert_eq!(reply.json()["properties"]["enableRbacAuthorization"], roles, "{version}");
        }
    }
}

#[tokio::test]
async fn what_is_read_and_written_back_is_as_it_was() {
    let yard = Yard::new().await;
    let mut body = yard.body();
    body["tags"] = json!({"Cost": "12", "empty": ""});
    for (name, value) in [
        ("enableRbacAuthorization", json!(false)),
        ("publicNetworkAccess", json!("enabled")),
        ("enabledForDeployment", json!(true)),
        (
            "networkAcls",
            json!({"bypass": "none", "defaultAction": "deny", "virtualNetworkRules": [],
                   "ipRules": [{"value": "192.0.2.0/24"}, {"value": "2001:db8::1"}]}),
        ),
        (
            "accessPolicies",
            json!([{
                "tenantId": yard.tenant(), "objectId": yard.tenant(),
                "applicationId": yard.tenant(),
                "permissions": {"keys": ["unwrapkey", "GET"], "secrets": ["all"]}
            }]),
        ),
    ] {
        body["properties"][name] = value;
    }
    let made = yard.owner.put(&yard.at("kvone"), body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let again = good(&yard.owner.put(&yard.at("kvone"), made.clone()).await);
    assert_eq!(again, made);
    // Names of properties are read in any case.
    let text = made.to_string().replace("networkAcls", "NetworkACLs").replace("tags", "Tags");
    let loud = yard.owner.put(&yard.at("kvone"), serde_json::from_str(&text).unwrap()).await;
    assert_eq!(good(&loud), made);
    let patch = json!({"tags": {"a": "b"}, "properties": {"publicNetworkAccess": "Disabled"}});
    let patched = good(&yard.owner.send("PATCH", &yard.at("kvone"), Some(patch)).await);
    assert_eq!(patched["tags"], json!({"a": "b"}));
    let mut expected = made["properties"].clone();
    expected["publicNetworkAccess"] = json!("Disabled");
    assert_eq!(patched["properties"], expected);
}

#[tokio::test]
async fn what_has_no_meaning_here_is_refused_with_a_sentence() {
    let yard = Yard::new().await;
    let made = yard.made("kvone", "-n --enable-rbac-authorization").await;
    let id = yard.tenant();
    let policy = |change: Value| {
        let mut policy = json!({"tenantId": id, "objectId": id, "permissions": {"keys": ["get"]}});
        policy.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({"accessPolicies": [policy]})
    };
    let network = |change: Value| {
        let mut rules = json!({"defaultAction": "Deny"});
        rules.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({"networkAcls": rules})
    };
    let many: Vec<Value> = (0..=1000).map(|_| json!({"value": "192.0.2.1"})).collect();
    let bad = "400 InvalidRequestContent";
    for (properties, code) in [
        (json!({"tenantId": null}), bad),
        (json!({"tenantId": "x"}), bad),
        (json!({"tenantId": "99999999-2222-4333-8444-555555555555"}), "400 BadRequest"),
        (json!({"sku": null}), bad),
        (json!({"sku": {"family": "B", "name": "standard"}}), bad),
        (json!({"sku": {"family": "A", "name": "gold"}}), bad),
        (json!({"createMode": "overwrite"}), bad),
        (json!({"enableSoftDelete": false}), "400 BadRequest"),
        (json!({"softDeleteRetentionInDays": 89}), "400 BadRequest"),
        (json!({"enablePurgeProtection": false}), "400 BadRequest"),
        (json!({"publicNetworkAccess": "sometimes"}), bad),
        (json!({"enableRbacAuthorization": "yes"}), bad),
        (json!({"privateEndpointConnections": [{"id": "x"}]}), bad),
        (json!({"enabledForSomethingNew": true}), bad),
        (network(json!({"defaultAction": null})), bad),
        (network(json!({"defaultAction": "Maybe"})), bad),
        (network(json!({"bypass": "Everybody"})), bad),
        (network(json!({"virtualNetworkRules": [{"id": "x"}]})), bad),
        (network(json!({"ipRules": [{"value": "192.0.2.300"}]})), "400 BadRequest"),
        (network(json!({"ipRules": [{"value": "192.0.2.1", "action": "Deny"}]})), bad),
        (network(json!({"ipRules": ["192.0.2.1"]})), bad),
        (network(json!({"ipRules": many})), "400 BadRequest"),
        (policy(json!({"objectId": null})), bad),
        (policy(json!({"objectId": "me"})), bad),
        (policy(json!({"tenantId": "99999999-2222-4333-8444-555555555555"})), "400 BadRequest"),
        (policy(json!({"permissions": {"keys": ["fly"]}})), "400 BadRequest"),
        (policy(json!({"permissions": {"magic": ["all"]}})), bad),
        (json!({"accessPolicies": {}}), bad),
    ] {
        let mut body = made.clone();
        body["properties"].as_object_mut().unwrap().extend(properties.as_object().unwrap().clone());
        let reply = yard.owner.put(&yard.at("kvone"), body).await;
        assert_eq!(reply.code(), code, "{properties}: {}", reply.text());
    }
    for (body, code) in [
        (json!([]), bad),
        (json!({}), "400 LocationRequired"),
        (json!({"location": "eastus"}), bad),
        (json!({"location": "../etc"}), "400 LocationNotAvailableForResourceGroup"),
        (json!({"location": "eastus", "identity": {"type": "SystemAssigned"}}), bad),
        (json!({"location": "eastus", "tags": {"a<": ""}}), bad),
    ] {
        let reply = yard.owner.put(&yard.at("kvone"), body.clone()).await;
        assert_eq!(reply.code(), code, "{body}: {}", reply.text());
    }
    let moved = {
        let mut body = made.clone();
        body["location"] = json!("westus2");
        yard.owner.put(&yard.at("kvone"), body).await
    };
    assert_eq!(moved.code(), "400 BadRequest");
    for (name, code) in [
        ("kv", "400 VaultNameNotValid"),
        ("1kv", "400 VaultNameNotValid"),
        ("kv--one", "400 VaultNameNotValid"),
        ("kv.one", "400 VaultNameNotValid"),
        (&*"k".repeat(25), "400 VaultNameNotValid"),
    ] {
        assert_eq!(yard.owner.put(&yard.at(name), yard.body()).await.code(), code, "{name}");
        assert_eq!(yard.owner.get(&yard.at(name)).await.code(), "404 ResourceNotFound");
    }
    let elsewhere = yard.at("kvone").replace("/rg1/", "/lockyard/");
    assert_eq!(yard.owner.get(&elsewhere).await.code(), "404 ResourceNotFound");
    assert_eq!(yard.owner.send("DELETE", &elsewhere, None).await.status, 204);
    let other = yard.owner.put(&elsewhere, yard.body()).await;
    assert_eq!(other.code(), "409 VaultAlreadyExists");
    let nowhere = yard.at("kvtwo").replace("/rg1/", "/rg2/");
    let reply = yard.owner.put(&nowhere, yard.body()).await;
    assert_eq!(reply.code(), "404 ResourceGroupNotFound");
    let act = yard.at("kvone").replace('?', "/explode?");
    assert_eq!(yard.owner.send("POST", &act, None).await.code(), "405 HttpMethodNotSupported");
    assert_eq!(good(&yard.owner.get(&yard.at("kvone")).await), made, "nothing of it happened");
}

#[tokio::test]
async fn policies_are_added_replaced_and_removed() {
    let yard = Yard::new().await;
    let _made = yard.made("kvone", "-n").await;
    let (_, somebody, _) = yard.world.office.stranger(yard.world.now());
    let edit = async |word: &str, keys: &[&str]| {
        let target = yard.at("kvone").replace('?', &format!("/accessPolicies/{word}?"));
        let entry = json!({
            "tenantId": yard.tenant(), "objectId": somebody.to_string(),
            "permissions": {"keys": keys}
        });
        let body = json!({"properties": {"accessPolicies": [entry]}});
        yard.owner.put(&target, body).await
    };
    let keys = |reply: &Reply| {
        good(reply)["properties"]["accessPolicies"][1]["permissions"]["keys"].clone()
    };
    let added = edit("add", &["get"]).await;
    assert_eq!(good(&added)["id"], format!("{}/kvone/accessPolicies/", yard.vaults));
    assert_eq!(keys(&edit("ADD", &["WrapKey"]).await), json!(["get", "WrapKey"]));
    assert_eq!(keys(&edit("replace", &["sign"]).await), json!(["sign"]));
    let shown = good(&yard.owner.get(&yard.at("kvone")).await);
    assert_eq!(model(&shown), ("policies", "firstPolicy"));
    assert_eq!(keys(&edit("remove", &["sign"]).await), Value::Null);
    assert_eq!(edit("set", &[]).await.code(), "400 BadRequest");
    let none = yard.at("kvone").replace('?', "/accessPolicies/add?");
    assert_eq!(yard.owner.put(&none, json!({})).await.code(), "400 InvalidRequestContent");
    assert_eq!(yard.owner.get(&none).await.code(), "405 HttpMethodNotSupported");
}

/// Gives somebody a role at a scope, through Resource Manager.
async fn give(yard: &Yard, scope: &str, n: u8, role: &str, to: &str) -> Reply {
    let name = format!("00000000-0000-4000-8000-0000000000{n:02x}");
    let target = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}?{V}");
    let body = json!({"properties": {"roleDefinitionId": role, "principalId": to}});
    yard.owner.put(&target, body).await
}

#[tokio::test]
async fn the_first_role_to_data_at_a_vault_decides_and_goes_with_the_vault() {
    let yard = Yard::new().await;
    let _made = yard.made("kvone", "-n").await;
    let (_, somebody, _) = yard.world.office.stranger(yard.world.now());
    let (to, vault) = (somebody.to_string(), format!("{}/kvone", yard.vaults));
    let user = role_id::KEY_VAULT_CRYPTO_USER.to_string();
    let shown = async || good(&yard.owner.get(&yard.at("kvone")).await);
    // Elsewhere, or without data: nothing is decided by that.
    let group = format!("{}/resourceGroups/rg1", yard.sub);
    assert_eq!(give(&yard, &group, 1, &user, &to).await.status, 201);
    let reader = role_id::READER.to_string();
    assert_eq!(give(&yard, &vault, 2, &reader, &to).await.status, 201);
    assert_eq!(model(&shown().await), ("undecided", "nobody"));
    let missing = give(&yard, &format!("{}/kvtwo", yard.vaults), 3, &user, &to).await;
    assert_eq!(missing.code(), "404 ResourceNotFound");
    assert_eq!(give(&yard, &vault, 4, &user, &to).await.status, 201);
    assert_eq!(model(&shown().await), ("roles", "firstRole"));
    let key = format!("{vault}/keys/k");
    assert_eq!(give(&yard, &key, 5, &user, &to).await.status, 201);

    let left = || {
        let snapshot = yard.world.office.directory.snapshot();
        let all = snapshot.assignments().filter(|one| one.principal == somebody);
        all.map(|one| one.scope.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(left().len(), 4);
    assert_eq!(yard.owner.send("DELETE", &yard.at("kvone"), None).await.status, 200);
    assert_eq!(left(), [group.as_str()]);
    let recover = json!({"location": "eastus", "properties": {
        "tenantId": yard.tenant(), "sku": {"name": "standard"}, "createMode": "recover"
    }});
    assert_eq!(
        model(&good(&yard.owner.put(&yard.at("kvone"), recover).await)),
        ("roles", "firstRole")
    );
    assert_eq!(left(), [group.as_str()], "they do not come back");

    // A resource group takes its vaults with it, softly.
    assert_eq!(give(&yard, &vault, 6, &user, &to).await.status, 201);
    let gone = yard.owner.send("DELETE", &format!("{group}?{V}"), None).await;
    assert_eq!(gone.status, 200);
    assert_eq!(left(), Vec::<String>::new());
    let deleted = format!("{}/providers/Microsoft.KeyVault/deletedVaults?{V}", yard.sub);
    assert_eq!(good(&yard.owner.get(&deleted).await)["value"][0]["name"], "kvone");
    let events = yard.world.audit.events();
    let last = events.iter().rev().find(|one| one.operation == Operation::VAULT_DELETE).unwrap();
    assert_eq!(last.resource, vault);
    assert_eq!(last.reason, "its resource group is deleted; 1 role assignments at it were dropped");
}

#[tokio::test]
async fn each_verb_takes_its_own_right() {
    let yard = Yard::new().await;
    let _made = yard.made("kvone", "-n --enable-rbac-authorization").await;
    let mut plain = yard.body();
    plain["properties"].as_object_mut().unwrap().remove("enablePurgeProtection");
    let world = &yard.world;
    let (deleted, add) = (
        format!("{}/providers/Microsoft.KeyVault/deletedVaults?{V}", yard.sub),
        yard.at("kvone").replace('?', "/accessPolicies/add?"),
    );
    for (number, (role, may)) in [
        // GET, PUT, policies, switch, deleted list, purge, DELETE
        (role_id::READER, [true, false, false, false, true, false, false]),
        (role_id::CONTRIBUTOR, [true, true, true, false, true, true, true]),
        (role_id::KEY_VAULT_CONTRIBUTOR, [true, true, true, false, true, false, true]),
        (role_id::KEY_VAULT_ADMINISTRATOR, [true, false, false, false, true, false, false]),
        (role_id::KEY_VAULT_PURGE_OPERATOR, [false, false, false, false, true, true, false]),
        (
            role_id::KEY_VAULT_DATA_ACCESS_ADMINISTRATOR,
            [true, false, false, false, false, false, false],
        ),
        (role_id::OWNER, [true, true, true, true, true, true, true]),
    ]
    .into_iter()
    .enumerate()
    {
        let (client, principal, secret) = world.office.stranger(world.now());
        let n = u8::try_from(number).unwrap() + 16;
        assert_eq!(
            give(&yard, &yard.sub, n, &role.to_string(), &principal.to_string()).await.status,
            201
        );
        let token = world.office.token(client, &secret, MANAGEMENT).await;
        let visitor = world.visitor(MANAGEMENT, Some(token));
        let name = format!("gone-{number}");
        assert_eq!(yard.owner.put(&yard.at(&name), plain.clone()).await.status, 201);
        assert_eq!(yard.owner.send("DELETE", &yard.at(&name), None).await.status, 200);
        let purge = format!(
            "{}/providers/Microsoft.KeyVault/locations/eastus/deletedVaults/{name}/purge?{V}",
            yard.sub
        );
        let at = yard.at("kvone");
        let same = good(&yard.owner.get(&at).await);
        let policies = json!({"properties": {"accessPolicies": []}});
        let switch = json!({"properties": {"enableRbacAuthorization": false}});
        let replies = [
            visitor.get(&at).await,
            visitor.put(&at, same.clone()).await,
            visitor.put(&add, policies).await,
            visitor.send("PATCH", &at, Some(switch)).await,
            visitor.get(&deleted).await,
            visitor.send("POST", &purge, None).await,
            visitor.send("DELETE", &yard.at("kv-nosuch"), None).await,
        ];
        for (verb, (reply, may)) in replies.iter().zip(may).enumerate() {
            let denied = reply.status.as_u16() == 403;
            assert_eq!(!denied, may, "{role}, verb {verb}: {} {}", reply.status, reply.text());
            assert!(
                may || reply.text().contains("AuthorizationFailed")
                    || reply.text().contains("InsufficientPermissions")
            );
        }
        let back = json!({"properties": {"enableRbacAuthorization": true}});
        let _same = good(&yard.owner.send("PATCH", &at, Some(back)).await);
    }
}

#[tokio::test]
async fn a_name_is_checked_and_there_are_no_hsms() {
    let yard = Yard::new().await;
    let _made = yard.made("kvone", "-n").await;
    let ask = |word: &str| format!("{}/providers/Microsoft.KeyVault/{word}?{V}", yard.sub);
    let check = async |name: &str| {
        let body = json!({"name": name, "type": "microsoft.keyvault/Vaults"});
        good(&yard.owner.send("POST", &ask("CheckNameAvailability"), Some(body)).await)
    };
    assert_eq!(check("kvtwo").await, json!({"nameAvailable": true}));
    assert_eq!(check("KVONE").await["reason"], "AlreadyExists");
    assert_eq!(check("kv--one").await["reason"], "AccountNameInvalid");
    let _gone = yard.owner.send("DELETE", &yard.at("kvone"), None).await;
    assert_eq!(check("kvone").await["reason"], "AlreadyExists");
    for body in [json!({}), json!({"name": "kvone"}), json!({"name": "kvone", "type": "x"})] {
        let reply = yard.owner.send("POST", &ask("checkNameAvailability"), Some(body)).await;
        assert_eq!(reply.code(), "400 InvalidRequestContent");
    }
    let hsm = json!({"name": "kvone", "type": "Microsoft.KeyVault/managedHSMs"});
    let hsm = yard.owner.send("POST", &ask("checkMhsmNameAvailability"), Some(hsm)).await;
    assert_eq!(good(&hsm)["nameAvailable"], false);
    for list in ["managedHSMs", "deletedManagedHSMs"] {
        assert_eq!(good(&yard.owner.get(&ask(list)).await)["value"], json!([]));
    }
    let reply = yard.owner.send("POST", &ask("vaults"), None).await;
    assert_eq!(reply.code(), "405 HttpMethodNotSupported");
}

#[tokio::test]
async fn a_key_is_made_once_shown_and_listed() {
    let yard = Yard::new().await;
    let _made = yard.made("kvone", "-n").await;
    let keys = format!("{}/kvone/keys", yard.vaults);
    let at = |name: &str| format!("{keys}/{name}?{V}");
    let body = json!({"tags": {"a": "b"}, "properties": {
        "kty": "RSA", "keyOps": ["wrapKey", "unwrapKey"], "attributes": {"enabled": true, "exp": 4_102_444_800_u32}
    }});
    let made = yard.owner.put(&at("K1"), body.clone()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let made = made.json();
    let uri = "https://kvone.vault.yard.example:8443/keys/K1";
    assert_eq!(made["id"], format!("{keys}/K1"));
    let properties = &made["properties"];
    assert_eq!((&properties["keyUri"], &properties["keySize"]), (&json!(uri), &json!(2048)));
    assert_eq!(properties["keyOps"], json!(["wrapKey", "unwrapKey"]));
    assert_eq!(
        (&made["tags"], &properties["attributes"]["exp"]),
        (&json!({"a": "b"}), &json!(4_102_444_800_u32))
    );
    let again = yard.owner.put(&at("k1"), json!({"properties": {"kty": "EC"}})).await;
    assert_eq!(good(&again), made, "it is there, and stays as it is");
    assert_eq!(good(&yard.owner.get(&at("k1")).await), made);
    assert_eq!(good(&yard.owner.get(&format!("{keys}?{V}")).await)["value"], json!([made]));
    let versions = format!("{keys}/k1/versions");
    let listed = good(&yard.owner.get(&format!("{versions}?{V}")).await);
    let version = &listed["value"][0];
    assert_eq!(version["properties"], made["properties"]);
    let one = format!("{versions}/{}?{V}", version["name"].as_str().unwrap());
    assert_eq!(good(&yard.owner.get(&one).await), *version);

    let bad = "400 InvalidRequestContent";
    for (properties, code) in [
        (json!({}), bad),
        (json!({"kty": "oct"}), bad),
        (json!({"kty": "RSA", "keySize": 1024}), bad),
        (json!({"kty": "EC", "curveName": "P-512"}), bad),
        (json!({"kty": "EC", "keyOps": ["wrapKey"]}), "400 BadParameter"),
        (json!({"kty": "RSA", "keyOps": ["fly"]}), bad),
        (json!({"kty": "RSA", "attributes": {"exportable": true}}), bad),
        (json!({"kty": "RSA", "attributes": {"exp": -1}}), bad),
        (json!({"kty": "RSA", "attributes": {"nbf": 2, "exp": 1}}), "400 BadParameter"),
        (json!({"kty": "RSA", "release_policy": {"data": "x"}}), bad),
        (json!({"kty": "RSA", "rotationPolicy": {"attributes": {"expiryTime": "P1D"}}}), bad),
    ] {
        let reply = yard.owner.put(&at("k2"), json!({"properties": properties})).await;
        assert_eq!(reply.code(), code, "{properties}");
    }
    assert_eq!(yard.owner.get(&at("k2")).await.code(), "404 KeyNotFound");
    assert_eq!(yard.owner.get(&at("k~2")).await.code(), "400 BadRequest");
    assert_eq!(yard.owner.get(&format!("{versions}/1?{V}")).await.code(), "400 BadRequest");
    assert_eq!(
        yard.owner.send("DELETE", &at("k1"), None).await.code(),
        "405 HttpMethodNotSupported"
    );
    let gone = at("k1").replace("/kvone/", "/kvtwo/");
    assert_eq!(yard.owner.put(&gone, body).await.code(), "404 ResourceNotFound");
}

#[tokio::test]
async fn a_list_goes_on_where_its_link_says() {
    let yard = Yard::new().await;
    for name in ["kvone", "kvtwo", "kvthree"] {
        let _made = yard.made(name, "-n").await;
    }
    let host = "https://management.yard.example:8443";
    let filter = "$filter=resourceType%20eq%20%27Microsoft.KeyVault/vaults%27";
    for list in [
        format!("{}?$top=2&{V}", yard.vaults),
        format!("{}?{V}&%24Top=2", yard.vaults),
        format!("{}/resources?{filter}&$top=2&{V}", yard.sub),
    ] {
        let first = good(&yard.owner.get(&list).await);
        let names = |page: &Value| -> Vec<String> {
            let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
            page["value"].as_array().unwrap().iter().map(name).collect()
        };
        assert_eq!(names(&first), ["kvone", "kvthree"]);
        let next = first["nextLink"].as_str().unwrap().strip_prefix(host).unwrap();
        let token = next.strip_prefix(&format!("{list}&$skiptoken=")).unwrap();
        assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{token}");
        // Some clients encode the dollar anew, and ask for pages of another size.
        for link in [next.to_owned(), next.replace('$', "%24").replace("op=2", "op=1")] {
            let second = good(&yard.owner.get(&link).await);
            assert_eq!(names(&second), ["kvtwo"], "{link}");
            assert_eq!(second.get("nextLink"), None, "{link}");
        }
        let one = list.replace("op=2", "op=1");
        let again = good(&yard.owner.get(&format!("{one}&$skipToken={token}&x=y")).await);
        assert_eq!(again.get("nextLink"), None);
        let middle = good(&yard.owner.get(&one).await);
        let middle = middle["nextLink"].as_str().unwrap().strip_prefix(host).unwrap();
        let middle = good(&yard.owner.get(middle).await);
        assert_eq!(names(&middle), ["kvthree"]);
        let link = middle["nextLink"].as_str().unwrap();
        assert_eq!(link, format!("{host}{one}&$skiptoken={token}"), "one token, the newest");
    }
    for (wrong, code) in [
        ("$top=0", "400 InvalidTop"),
        ("$top=-1", "400 InvalidTop"),
        ("$top=", "400 InvalidTop"),
        ("%24top=x", "400 InvalidTop"),
        ("$skiptoken=", "400 InvalidSkipToken"),
        ("$skiptoken=kvone", "400 InvalidSkipToken"),
        ("$skipToken=ff", "400 InvalidSkipToken"),
    ] {
        let reply = yard.owner.get(&format!("{}?{wrong}&{V}", yard.vaults)).await;
        assert_eq!(reply.code(), code, "{wrong}");
    }
}

#[tokio::test]
async fn every_operation_is_recorded_before_it_is_told() {
    let yard = Yard::new().await;
    let (world, owner) = (&yard.world, yard.owner.with("user-agent", "az"));
    let reply = owner.with("CommandName", "keyvault create").with("ParameterSetName", "-n");
    assert_eq!(reply.put(&yard.at("kvone"), yard.body()).await.status, 201);
    let events = world.audit.events();
    let event = events.last().unwrap();
    let vault = format!("{}/kvone", yard.vaults);
    let founding = &world.office.founding;
    let object = world.office.directory.snapshot().owner().1.to_string();
    assert_eq!(
        (event.operation, event.operation_version.as_str()),
        (Operation::VAULT_PUT, "2026-02-01")
    );
    assert_eq!((&event.resource, &event.request.id, event.done), (&vault, &vault, true));
    assert_eq!(event.caller.address, "192.0.2.7".parse().ok());
    assert_eq!(
        (&event.caller.object_id, &event.caller.application_id),
        (&object, &founding.client.to_string())
    );
    assert_eq!((event.request.client.as_str(), event.correlation.len()), ("az", 32));
    assert_eq!(event.request.uri, format!("https://management.yard.example:8443{vault}?{V}"));
    assert_eq!(
        event.reason,
        format!("permission model: undecided, decided by nobody, made by {object}")
    );

    let (_, stranger, secret) = world.office.stranger(world.now());
    let client = world.office.directory.snapshot().principal(stranger).unwrap().client.unwrap();
    let token = world.office.token(client, &secret, MANAGEMENT).await;
    let denied = world.visitor(MANAGEMENT, Some(token)).get(&yard.at("kvone")).await;
    assert_eq!(denied.code(), "403 AuthorizationFailed");
    let recorded = world.audit.events().last().unwrap().clone();
    assert_eq!((recorded.operation, recorded.outcome.status), (Operation::VAULT_GET, 403));
    assert_eq!(recorded.caller.object_id, stranger.to_string());

    let role = role_id::READER.to_string();
    assert_eq!(give(&yard, &vault, 1, &role, &stranger.to_string()).await.status, 201);
    let given = world.audit.events().last().unwrap().clone();
    assert_eq!((given.operation, &given.resource), (Operation::ROLE_ASSIGNMENT_PUT, &vault));
    assert_eq!(given.reason, format!("role {role}, principal {stranger}"));

    // Nobody looks without a record; what is done is done, so that a right can always be taken.
    world.audit.refuse(true);
    assert_eq!(owner.get(&yard.at("kvone")).await.code(), "503 ServiceUnavailable");
    let missing = owner.get(&yard.at("kvtwo")).await;
    assert_eq!(missing.code(), "404 ResourceNotFound");
    let patch = json!({"properties": {"publicNetworkAccess": "Disabled"}});
    let patched = good(&owner.send("PATCH", &yard.at("kvone"), Some(patch)).await);
    assert_eq!(patched["properties"]["publicNetworkAccess"], "Disabled");
    world.audit.refuse(false);

    let nobody = world.visitor(MANAGEMENT, None).from("192.0.2.9");
    assert_eq!(nobody.get(&yard.at("kvone")).await.status, 401);
    let forged = world.visitor(MANAGEMENT, Some("a.b.c".to_owned())).get("/x").await;
    assert_eq!(forged.status, 401);
    let counted = world.audit.unauthenticated();
    assert_eq!(counted, [("NoToken", "192.0.2.9".parse().ok()), ("InvalidToken", None)]);
}
