//! The real `az keyvault`, unmodified: vaults and their keys, as people and scripts use them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::audit::recorded;
use crate::az::{Bootstrap, Cli, serve};
use crate::outside::{Need::Az, Story, stories};
use crate::world::{Server, World};

/// The stories of this room.
pub(crate) fn stories() -> Vec<Story> {
    stories![
        #[needs(Az)]
        both_ways_of_the_reference_let_a_service_use_a_key,
        #[needs(Az)]
        az_knows_a_vaults_whole_life,
        #[needs(Az)]
        az_knows_a_keys_whole_life,
    ]
}

/// An instance, its owner's `az`, and the resource group `rg1`.
struct Yard {
    world: World,
    server: Server,
    owner: Cli,
    bootstrap: Bootstrap,
}

impl Yard {
    fn new() -> Self {
        let world = World::new();
        let server = serve(&world);
        let (owner, bootstrap) = (Cli::new(&world, &server, "owner"), Bootstrap::of(&world));
        owner.login_owner(&bootstrap);
        owner.run(&["group", "create", "-n", "rg1", "-l", "eastus"]);
        Self { world, server, owner, bootstrap }
    }

    fn vault_id(&self, name: &str) -> String {
        let sub = self.bootstrap.subscription();
        format!("{sub}/resourceGroups/rg1/providers/Microsoft.KeyVault/vaults/{name}")
    }

    /// Somebody without any role, signed in; with the object id.
    fn robot(&self) -> (Cli, String) {
        let made = self.owner.json(&["ad", "sp", "create-for-rbac", "-n", "robot"]);
        let word = |name: &str| made[name].as_str().expect("az prints it").to_owned();
        let (client, secret) = (word("appId"), word("password"));
        let object = self.owner.run(&["ad", "sp", "show", "--id", &client, "--query", "id"]);
        let cli = Cli::new(&self.world, &self.server, "robot");
        cli.login(&self.bootstrap, &client, &secret);
        (cli, object.trim_matches('"').to_owned())
    }
}

/// A command with more words.
fn and<'w>(words: &[&'w str], more: &[&'w str]) -> Vec<&'w str> {
    [words, more].concat()
}

fn both_ways_of_the_reference_let_a_service_use_a_key() {
    let yard = Yard::new();
    let owner = &yard.owner;
    let (robot, object) = yard.robot();
    for name in ["kvone", "kvtwo"] {
        let create = ["keyvault", "create", "--name", name, "--resource-group", "rg1"];
        let made = owner.json(&and(&create, &["--enable-purge-protection"]));
        assert_eq!(made["properties"]["enablePurgeProtection"], true);
        let show = ["keyvault", "show", "--resource-group", "rg1", "--name", name];
        assert_eq!(
            owner.run(&and(&show, &["--query", "id", "--output", "tsv"])),
            yard.vault_id(name)
        );
        owner.run(&["keyvault", "key", "create", "--name", "key1", "--vault-name", name]);
        let denied =
            robot.refused(&["keyvault", "key", "show", "-n", "key1", "--vault-name", name]);
        assert!(denied.contains("ForbiddenByPolicy"), "{denied}");
    }
    let again = owner.refused(&["keyvault", "create", "-n", "kvone", "-g", "rg1"]);
    assert!(again.contains("already exist"), "{again}");

    let policy = ["keyvault", "set-policy", "--resource-group", "rg1", "--name", "kvone"];
    let rights = ["--object-id", &object, "--key-permissions", "get", "unwrapKey", "wrapKey"];
    owner.run(&and(&policy, &rights));
    let (role, scope) = ("Key Vault Crypto Service Encryption User", yard.vault_id("kvtwo"));
    let assign = ["role", "assignment", "create", "--assignee", &object, "--role", role];
    owner.run(&and(&assign, &["--scope", &scope]));

    for (name, roles, by) in [("kvone", false, "firstPolicy"), ("kvtwo", true, "firstRole")] {
        let show = ["keyvault", "key", "show", "--name", "key1", "--vault-name", name];
        let kid = ["--query", "key.kid", "--output", "tsv"];
        let shown = robot.run(&and(&show, &kid));
        assert!(shown.starts_with(&format!("https://{name}.vault.localhost/keys/key1/")));
        let denied =
            robot.refused(&["keyvault", "key", "create", "-n", "key2", "--vault-name", name]);
        assert!(denied.contains("(Forbidden)"), "{denied}");
        // Whoever made the vault keeps what it gave them.
        owner.run(&["keyvault", "key", "create", "--name", "key1", "--vault-name", name]);
        let uri = format!("{}?api-version=2026-02-01", yard.vault_id(name));
        let raw = owner.json(&["rest", "--method", "get", "--uri", &uri]);
        assert_eq!(raw["properties"]["enableRbacAuthorization"], roles);
        assert_eq!(raw["properties"]["permissionModel"]["decidedBy"], by);
    }

    let unset = ["keyvault", "delete-policy", "--resource-group", "rg1", "--name", "kvone"];
    owner.run(&and(&unset, &["--object-id", &object]));
    let unassign = ["role", "assignment", "delete", "--assignee", &object, "--role", role];
    owner.run(&and(&unassign, &["--scope", &scope]));
    for (name, told) in [("kvone", "ForbiddenByPolicy"), ("kvtwo", "ForbiddenByRbac")] {
        let denied =
            robot.refused(&["keyvault", "key", "show", "-n", "key1", "--vault-name", name]);
        assert!(denied.contains(told), "{denied}");
    }
}

fn az_knows_a_vaults_whole_life() {
    let yard = Yard::new();
    let owner = &yard.owner;
    // az checks names of HSMs alone.
    let hsm = owner.json(&["keyvault", "check-name", "-n", "kvone"]);
    assert_eq!(hsm["nameAvailable"], false);
    let provider = format!("{}/providers/Microsoft.KeyVault", yard.bootstrap.subscription());
    let uri = format!("{provider}/checkNameAvailability?api-version=2026-02-01");
    let body = r#"{"name":"kvone","type":"Microsoft.KeyVault/vaults"}"#;
    let check = ["rest", "--method", "post", "--uri", &uri, "--body", body];
    assert_eq!(owner.json(&check)["nameAvailable"], true);
    let create = ["keyvault", "create", "-n", "kvone", "-g", "rg1", "--tags", "a=b"];
    let policies = ["--enable-rbac-authorization", "false", "--retention-days", "7"];
    let made = owner.json(&and(&create, &policies));
    assert_eq!(made["properties"]["accessPolicies"].as_array().map(Vec::len), Some(1));
    assert_eq!(owner.json(&check)["reason"], "AlreadyExists");
    let names = ["keyvault", "list", "--query", "[].name", "-o", "tsv"];
    assert_eq!(owner.run(&names), "kvone");
    assert_eq!(owner.run(&and(&names, &["-g", "rg1"])), "kvone");

    // What one command reads and writes back, no other one loses.
    owner.run(&["keyvault", "network-rule", "add", "-n", "kvone", "--ip-address", "10.0.0.1/32"]);
    let deny = ["keyvault", "update", "-n", "kvone", "--default-action", "Deny", "--bypass"];
    owner.run(&and(&deny, &["None"]));
    let list = ["keyvault", "key", "list", "--vault-name", "kvone"];
    let refused = owner.refused(&list);
    assert!(refused.contains("ForbiddenByFirewall"), "{refused}");
    owner.run(&["keyvault", "network-rule", "add", "-n", "kvone", "--ip-address", "127.0.0.1"]);
    assert_eq!(owner.json(&list), json!([]));
    let rules = owner.json(&["keyvault", "network-rule", "list", "-n", "kvone"]);
    let ranges: Vec<&Value> =
        rules["ipRules"].as_array().expect("a list").iter().map(|rule| &rule["value"]).collect();
    assert_eq!(ranges, ["10.0.0.1/32", "127.0.0.1"], "as they were written");
    owner.run(&[
        "keyvault",
        "network-rule",
        "remove",
        "-n",
        "kvone",
        "--ip-address",
        "10.0.0.1/32",
    ]);
    owner.run(&[
        "keyvault",
        "set-policy",
        "-n",
        "kvone",
        "--object-id",
        NOBODY,
        "--key-permissions",
        "get",
    ]);
    owner.run(&["keyvault", "delete-policy", "-n", "kvone", "--object-id", NOBODY]);
    let kept = owner.json(&["keyvault", "show", "-n", "kvone"]);
    let properties = &kept["properties"];
    assert_eq!(properties["accessPolicies"], made["properties"]["accessPolicies"]);
    assert_eq!(
        (&kept["tags"], &properties["softDeleteRetentionInDays"]),
        (&made["tags"], &json!(7))
    );
    assert_eq!(
        (&properties["networkAcls"]["bypass"], &properties["networkAcls"]["defaultAction"]),
        (&json!("None"), &json!("Deny"))
    );
    let subnet = format!(
        "{}/resourceGroups/rg1/providers/Microsoft.Network/virtualNetworks/n/subnets/s",
        yard.bootstrap.subscription()
    );
    let told =
        owner.refused(&["keyvault", "network-rule", "add", "-n", "kvone", "--subnet", &subnet]);
    assert!(told.contains("virtualNetworkRules"), "{told}");

    owner.run(&["keyvault", "delete", "-n", "kvone"]);
    let missing = owner.refused(&["keyvault", "show", "-n", "kvone"]);
    assert!(missing.contains("not found within subscription"), "{missing}");
    let deleted = ["keyvault", "list-deleted", "--query", "[].name", "-o", "tsv"];
    assert_eq!(owner.run(&deleted), "kvone");
    let shown = owner.json(&["keyvault", "show-deleted", "-n", "kvone"]);
    assert_eq!(shown["properties"]["vaultId"], yard.vault_id("kvone"));
    let taken = owner.refused(&["keyvault", "create", "-n", "kvone", "-g", "rg1"]);
    assert!(taken.contains("recover"), "{taken}");
    let back = owner.json(&["keyvault", "recover", "-n", "kvone"]);
    assert_eq!(back["properties"]["networkAcls"], properties["networkAcls"]);
    owner.run(&["keyvault", "update", "-n", "kvone", "--enable-rbac-authorization", "true"]);
    owner.run(&["group", "delete", "-n", "rg1", "-y"]);
    assert_eq!(owner.run(&deleted), "kvone");
    owner.run(&["keyvault", "purge", "-n", "kvone"]);
    assert_eq!(owner.run(&deleted), "");
    owner.run(&["group", "create", "-n", "rg1", "-l", "eastus"]);
    owner.run(&["keyvault", "create", "-n", "kvone", "-g", "rg1", "--enable-purge-protection"]);
    owner.run(&["keyvault", "delete", "-n", "kvone"]);
    let kept = owner.refused(&["keyvault", "purge", "-n", "kvone"]);
    assert!(kept.contains("(MethodNotAllowed)"), "{kept}");

    let events = recorded(&yard.world);
    for operation in [
        "VaultPut",
        "VaultGet",
        "VaultDelete",
        "VaultGetDeleted",
        "VaultListDeleted",
        "VaultRecover",
        "VaultPurge",
        "KeyList",
    ] {
        let one = events.iter().find(|event| event["operationName"] == operation);
        let one = one.unwrap_or_else(|| panic!("{operation} is not in the trail"));
        assert_eq!(one["identity"]["claim"]["appid"], yard.bootstrap.word("clientId"));
        let client = one["properties"]["clientInfo"].as_str().expect("a text");
        assert!(client.contains("Python"), "{one}");
    }
}

/// The object id of somebody whom nobody knows.
const NOBODY: &str = "12121212-1212-4212-8212-121212121212";

fn az_knows_a_keys_whole_life() {
    let yard = Yard::new();
    let owner = &yard.owner;
    let create = ["keyvault", "create", "-n", "kvone", "-g", "rg1"];
    owner.run(&and(&create, &["--enable-rbac-authorization", "true"]));
    let key = |verb: &'static str| ["keyvault", "key", verb, "--vault-name", "kvone"];
    let named =
        |verb: &'static str, more: &[&'static str]| and(&and(&key(verb), &["-n", "key1"]), more);
    let tsv = ["-o", "tsv", "--query"];

    let made = owner.json(&named("create", &[]));
    assert_eq!(
        (&made["key"]["kty"], &made["attributes"]["enabled"]),
        (&json!("RSA"), &json!(true))
    );
    owner.run(&and(
        &key("create"),
        &[
            "-n",
            "key2",
            "--kty",
            "EC",
            "--curve",
            "P-256",
            "--ops",
            "sign",
            "verify",
            "--expires",
            "2030-01-01T00:00:00Z",
        ],
    ));
    assert_eq!(owner.json(&named("show", &[]))["key"]["kid"], made["key"]["kid"]);
    let kids = owner.run(&and(&key("list"), &and(&tsv, &["[].name"])));
    assert_eq!(kids.lines().collect::<Vec<_>>(), ["key1", "key2"]);
    let rotated = owner.json(&named("rotate", &[]));
    assert_ne!(rotated["key"]["kid"], made["key"]["kid"]);
    let versions = owner.run(&named("list-versions", &["-o", "tsv", "--query", "[].kid"]));
    assert_eq!(versions.lines().count(), 2);

    let policy = r#"{"lifetimeActions":[{"trigger":{"timeAfterCreate":"P90D"},"action":{"type":"Rotate"}}],"attributes":{"expiryTime":"P2Y"}}"#;
    let rotation = ["keyvault", "key", "rotation-policy"];
    let of = ["--vault-name", "kvone", "-n", "key1"];
    owner.run(&and(&and(&rotation, &["update"]), &and(&of, &["--value", policy])));
    let shown = owner.json(&and(&and(&rotation, &["show"]), &of));
    assert_eq!(shown["lifetimeActions"][0]["timeAfterCreate"], "P90D");

    let secret = STANDARD.encode("hello");
    let algorithm = ["--algorithm", "RSA-OAEP-256", "--value"];
    let sealed = owner
        .run(&and(&named("encrypt", &algorithm), &[&secret, "--query", "result", "-o", "tsv"]));
    let opened = owner
        .run(&and(&named("decrypt", &algorithm), &[&sealed, "--query", "result", "-o", "tsv"]));
    assert_eq!(opened, secret);

    let off = owner.json(&named("set-attributes", &["--enabled", "false"]));
    assert_eq!(off["attributes"]["enabled"], false);
    let refused = owner.refused(&and(&named("decrypt", &algorithm), &[&sealed]));
    assert!(refused.contains("KeyDisabled"), "{refused}");
    owner.run(&named("set-attributes", &["--enabled", "true"]));

    owner.run(&named("delete", &[]));
    let gone = owner.refused(&named("show", &[]));
    assert!(gone.contains("(KeyNotFound)"), "{gone}");
    let deleted = owner.run(&and(&key("list-deleted"), &and(&tsv, &["[].name"])));
    assert_eq!(deleted, "key1");
    owner.run(&named("show-deleted", &[]));
    owner.run(&named("recover", &[]));
    owner.run(&named("delete", &[]));
    owner.run(&named("purge", &[]));
    assert_eq!(owner.run(&and(&key("list"), &and(&tsv, &["[].name"]))), "key2");

    // A key that a template makes is one that the data plane knows.
    let uri = format!("{}/keys/key3?api-version=2026-02-01", yard.vault_id("kvone"));
    let body = r#"{"properties":{"kty":"RSA","keySize":3072}}"#;
    let put = ["rest", "--method", "put", "--uri", &uri, "--body", body];
    let made = owner.json(&put);
    let shown = owner.json(&and(&key("show"), &["-n", "key3"]));
    assert_eq!(shown["key"]["kid"], made["properties"]["keyUriWithVersion"]);
    assert_eq!(owner.json(&put)["properties"], made["properties"]);
}
