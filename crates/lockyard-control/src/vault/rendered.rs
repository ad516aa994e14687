//! How vaults look to clients of Resource Manager.

use lockyard_arm::moment;
use lockyard_vault::{AccessPolicy, DeletedAt, Enablements, NetworkRules, Tags, VaultProperties};
use serde_json::{Map, Value, json};

use super::NAMESPACE;

/// A vault.
pub(super) fn vault(vault: &VaultProperties, suffix: &str) -> Value {
    let label = vault.name.as_str().to_ascii_lowercase();
    let Enablements { for_deployment, for_disk_encryption, for_template_deployment } =
        vault.enablements;
    let mut properties = json!({
        "sku": { "family": "A", "name": vault.sku.as_str() },
        "tenantId": vault.place.tenant.to_string(),
        "accessPolicies": policies(&vault.policies),
        "enabledForDeployment": for_deployment,
        "enabledForDiskEncryption": for_disk_encryption,
        "enabledForTemplateDeployment": for_template_deployment,
        "enableSoftDelete": true,
        "softDeleteRetentionInDays": vault.retention_days,
        "enableRbacAuthorization": vault.shows_rbac(),
        "vaultUri": format!("https://{label}.{suffix}/"),
        "provisioningState": "Succeeded",
        "publicNetworkAccess": vault.public_access.as_str(),
        "networkAcls": network(&vault.network),
        "permissionModel": model(vault),
    });
    if vault.purge_protection {
        // Clients know it as true or absent.
        properties["enablePurgeProtection"] = true.into();
    }
    json!({
        "id": vault.resource_id(),
        "name": vault.name.as_str(),
        "type": format!("{NAMESPACE}/vaults"),
        "location": vault.place.location,
        "tags": tags(&vault.tags),
        "systemData": {
            "createdAt": moment::written(vault.created),
            "lastModifiedAt": moment::written(vault.updated),
        },
        "properties": properties,
    })
}

/// How the permission model came about: a word of our own beside `enableRbacAuthorization`.
fn model(vault: &VaultProperties) -> Value {
    let mut shown = json!({
        "model": vault.model.as_str(),
        "decidedBy": vault.decision.by.as_str(),
        "decidedAt": moment::written(vault.decision.at),
    });
    if let Some(founder) = vault.founder {
        shown["creator"] = founder.to_string().into();
    }
    shown
}

/// Access policies, with the permissions as they were written.
pub(super) fn policies(policies: &[AccessPolicy]) -> Value {
    let policy = |policy: &AccessPolicy| {
        let permissions = &policy.permissions;
        let mut words = Map::new();
        for (kind, list) in [
            ("keys", &permissions.keys),
            ("secrets", &permissions.secrets),
            ("certificates", &permissions.certificates),
            ("storage", &permissions.storage),
        ] {
            if kind == "keys" || !list.is_empty() {
                drop(words.insert(kind.to_owned(), json!(list)));
            }
        }
        let mut shown = json!({
            "tenantId": policy.tenant.to_string(),
            "objectId": policy.object.to_string(),
            "permissions": words,
        });
        if let Some(application) = policy.application {
            shown["applicationId"] = application.to_string().into();
        }
        shown
    };
    policies.iter().map(policy).collect()
}

fn network(rules: &NetworkRules) -> Value {
    let ranges: Vec<Value> =
        rules.ranges.iter().map(|range| json!({ "value": range.to_string() })).collect();
    json!({
        "bypass": if rules.bypass_trusted_services { "AzureServices" } else { "None" },
        "defaultAction": if rules.allow_by_default { "Allow" } else { "Deny" },
        "ipRules": ranges,
        "virtualNetworkRules": [],
    })
}

/// The tags of a vault or key.
pub(super) fn tags(tags: &Tags) -> Value {
    tags.iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect::<Map<_, _>>()
        .into()
}

/// A deleted vault.
pub(super) fn deleted(vault: &VaultProperties, deleted: DeletedAt) -> Value {
    let (subscription, location) = (vault.place.subscription, &vault.place.location);
    let (name, under) =
        (vault.name.as_str(), format!("providers/{NAMESPACE}/locations/{location}"));
    let mut properties = json!({
        "vaultId": vault.resource_id(),
        "location": location,
        "tags": tags(&vault.tags),
        "deletionDate": moment::written(deleted.deleted),
        "scheduledPurgeDate": moment::written(deleted.purge),
    });
    if vault.purge_protection {
        properties["purgeProtectionEnabled"] = true.into();
    }
    json!({
        "id": format!("/subscriptions/{subscription}/{under}/deletedVaults/{name}"),
        "name": name,
        "type": format!("{NAMESPACE}/deletedVaults"),
        "properties": properties,
    })
}
