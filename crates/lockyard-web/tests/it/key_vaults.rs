//! Key vaults as Resource Manager shows them.

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
