//! How sealed records are written: JSON with names of its own (normative: `docs/spec/vault.md`).
//!
//! These types exist so that the words in which the domain thinks can change without making old
//! vaults unreadable. Nothing here is a private key; those lie in columns of their own. Whoever
//! reads gets `None` for anything that this version would not have written: a record that opened
//! was written by us, so that such a one is damage.

use std::collections::BTreeMap;

use lockyard_base::{Guid, Timestamp};
use lockyard_keyring::VaultAddress;
use serde::{Deserialize, Serialize};

use crate::{
    access::{AccessPolicy, IpRange, NetworkRules, Permissions},
    crypto::PublicKey,
    keys::{KeyRecord, LifetimeAction, RotationPolicy, Trigger, VersionRecord},
    vaults::{Decision, DeletedAt, Enablements, Placement, Tags, VaultProperties},
};

const FORMAT: u8 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredVaultRecord {
    format: u8,
    tenant: String,
    subscription: String,
    group: String,
    location: String,
    sku: String,
    tags: BTreeMap<String, String>,
    policies: Vec<StoredPolicy>,
    model: String,
    decided_by: String,
    decided_at: i64,
    founder: Option<String>,
    bypass: bool,
    allow: bool,
    ranges: Vec<String>,
    public_access: String,
    enablements: [bool; 3],
    retention_days: u8,
    purge_protection: bool,
    created: i64,
    updated: i64,
    deleted: Option<(i64, i64)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPolicy {
    tenant: String,
    object: String,
    application: Option<String>,
    keys: Vec<String>,
    secrets: Vec<String>,
    certificates: Vec<String>,
    storage: Vec<String>,
}

pub(crate) fn write_vault(vault: &VaultProperties) -> Vec<u8> {
    let policy = |policy: &AccessPolicy| StoredPolicy {
        tenant: policy.tenant.to_string(),
        object: policy.object.to_string(),
        application: policy.application.map(|id| id.to_string()),
        keys: policy.permissions.keys.clone(),
        secrets: policy.permissions.secrets.clone(),
        certificates: policy.permissions.certificates.clone(),
        storage: policy.permissions.storage.clone(),
    };
    let Enablements { for_deployment, for_disk_encryption, for_template_deployment } =
        vault.enablements;
    json(&StoredVaultRecord {
        format: FORMAT,
        tenant: vault.place.tenant.to_string(),
        subscription: vault.place.subscription.to_string(),
        group: vault.place.resource_group.clone(),
        location: vault.place.location.clone(),
        sku: vault.sku.to_string(),
        tags: vault.tags.as_map().clone(),
        policies: vault.policies.iter().map(policy).collect(),
        model: vault.model.to_string(),
        decided_by: vault.decision.by.to_string(),
        decided_at: vault.decision.at.as_micros(),
        founder: vault.founder.map(|id| id.to_string()),
        bypass: vault.network.bypass_trusted_services,
        allow: vault.network.allow_by_default,
        ranges: vault.network.ranges.iter().map(ToString::to_string).collect(),
        public_access: vault.public_access.to_string(),
        enablements: [for_deployment, for_disk_encryption, for_template_deployment],
        retention_days: vault.retention_days,
        purge_protection: vault.purge_protection,
        created: vault.created.as_micros(),
        updated: vault.updated.as_micros(),
        deleted: vault.deleted.map(times),
    })
}

pub(crate) fn read_vault(name: VaultAddress, record: &[u8]) -> Option<VaultProperties> {
    let stored: StoredVaultRecord = serde_json::from_slice(record).ok()?;
    if stored.format != FORMAT {
        return None;
    }
    let policy = |stored: StoredPolicy| {
        Some(AccessPolicy {
            tenant: guid(&stored.tenant)?,
            object: guid(&stored.object)?,
            application: stored.application.as_deref().map(guid_or_none).transpose().ok()?,
            permissions: Permissions {
                keys: stored.keys,
                secrets: stored.secrets,
                certificates: stored.certificates,
                storage: stored.storage,
            },
        })
    };
    let [for_deployment, for_disk_encryption, for_template_deployment] = stored.enablements;
    let ranges = stored.ranges.iter().map(|range| range.parse::<IpRange>().ok());
    Some(VaultProperties {
        name,
        place: Placement {
            tenant: guid(&stored.tenant)?,
            subscription: guid(&stored.subscription)?,
            resource_group: stored.group,
            location: stored.location,
        },
        sku: stored.sku.parse().ok()?,
        tags: Tags::stored(stored.tags),
        policies: stored.policies.into_iter().map(policy).collect::<Option<_>>()?,
        model: stored.model.parse().ok()?,
        decision: Decision {
            by: stored.decided_by.parse().ok()?,
            at: Timestamp::from_micros(stored.decided_at),
        },
        founder: stored.founder.as_deref().map(guid_or_none).transpose().ok()?,
        network: NetworkRules {
            bypass_trusted_services: stored.bypass,
            allow_by_default: stored.allow,
            ranges: ranges.collect::<Option<_>>()?,
        },
        public_access: stored.public_access.parse().ok()?,
        enablements: Enablements { for_deployment, for_disk_encryption, for_template_deployment },
        retention_days: stored.retention_days,
        purge_protection: stored.purge_protection,
        created: Timestamp::from_micros(stored.created),
        updated: Timestamp::from_micros(stored.updated),
        deleted: stored.deleted.map(deleted_at),
    })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKeyRecord {
    format: u8,
    created: i64,
    deleted: Option<(i64, i64)>,
    policy: Option<StoredRotation>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRotation {
    actions: Vec<StoredAction>,
    expiry: Option<String>,
    created: Option<i64>,
    updated: Option<i64>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredAction {
    kind: String,
    after_create: bool,
    period: String,
}

pub(crate) fn write_key(record: &KeyRecord) -> Vec<u8> {
    let action = |action: &LifetimeAction| {
        let (after_create, period) = match &action.trigger {
            Trigger::AfterCreate(period) => (true, period),
            Trigger::BeforeExpiry(period) => (false, period),
        };
        StoredAction { kind: action.kind.to_string(), after_create, period: period.to_string() }
    };
    json(&StoredKeyRecord {
        format: FORMAT,
        created: record.created.as_micros(),
        deleted: record.deleted.map(times),
        policy: record.policy.as_ref().map(|policy| StoredRotation {
            actions: policy.actions.iter().map(action).collect(),
            expiry: policy.expiry.as_ref().map(ToString::to_string),
            created: policy.created.map(Timestamp::as_micros),
            updated: policy.updated.map(Timestamp::as_micros),
        }),
    })
}

pub(crate) fn read_key(record: &[u8]) -> Option<KeyRecord> {
    let stored: StoredKeyRecord = serde_json::from_slice(record).ok()?;
    if stored.format != FORMAT {
        return None;
    }
    let action = |stored: StoredAction| {
        let period = stored.period.parse().ok()?;
        let trigger = if stored.after_create {
            Trigger::AfterCreate(period)
        } else {
            Trigger::BeforeExpiry(period)
        };
        Some(LifetimeAction { kind: stored.kind.parse().ok()?, trigger })
    };
    let policy = |stored: StoredRotation| {
        Some(RotationPolicy {
            actions: stored.actions.into_iter().map(action).collect::<Option<_>>()?,
            expiry: stored.expiry.map(|period| period.parse()).transpose().ok()?,
            created: stored.created.map(Timestamp::from_micros),
            updated: stored.updated.map(Timestamp::from_micros),
        })
    };
    Some(KeyRecord {
        created: Timestamp::from_micros(stored.created),
        deleted: stored.deleted.map(deleted_at),
        policy: match stored.policy {
            Some(stored) => Some(policy(stored)?),
            None => None,
        },
    })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredVersionRecord {
    format: u8,
    public: StoredPublic,
    operations: Vec<String>,
    tags: BTreeMap<String, String>,
    hsm: bool,
    created: i64,
    updated: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum StoredPublic {
    Rsa { n: String, e: String },
    Ec { curve: String, x: String, y: String },
}

pub(crate) fn write_version(record: &VersionRecord) -> Vec<u8> {
    let public = match &record.public {
        PublicKey::Rsa { n, e } => StoredPublic::Rsa { n: hex::encode(n), e: hex::encode(e) },
        PublicKey::Ec { curve, x, y } => {
            StoredPublic::Ec { curve: curve.to_string(), x: hex::encode(x), y: hex::encode(y) }
        }
    };
    json(&StoredVersionRecord {
        format: FORMAT,
        public,
        operations: record.operations.iter().map(|operation| operation.to_string()).collect(),
        tags: record.tags.as_map().clone(),
        hsm: record.hsm,
        created: record.created.as_micros(),
        updated: record.updated.as_micros(),
    })
}

pub(crate) fn read_version(record: &[u8]) -> Option<VersionRecord> {
    let stored: StoredVersionRecord = serde_json::from_slice(record).ok()?;
    if stored.format != FORMAT {
        return None;
    }
    let public = match stored.public {
        StoredPublic::Rsa { n, e } => {
            PublicKey::Rsa { n: hex::decode(n).ok()?, e: hex::decode(e).ok()? }
        }
        StoredPublic::Ec { curve, x, y } => PublicKey::Ec {
            curve: curve.parse().ok()?,
            x: hex::decode(x).ok()?,
            y: hex::decode(y).ok()?,
        },
    };
    Some(VersionRecord {
        public,
        operations: stored
            .operations
            .iter()
            .map(|operation| operation.parse().ok())
            .collect::<Option<_>>()?,
        tags: Tags::stored(stored.tags),
        hsm: stored.hsm,
        created: Timestamp::from_micros(stored.created),
        updated: Timestamp::from_micros(stored.updated),
    })
}

fn json(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records have string keys and nothing that can fail")
}

fn guid(text: &str) -> Option<Guid> {
    text.parse().ok()
}

fn guid_or_none(text: &str) -> Result<Guid, lockyard_base::ParseIdError> {
    text.parse()
}

fn times(deleted: DeletedAt) -> (i64, i64) {
    (deleted.deleted.as_micros(), deleted.purge.as_micros())
}

fn deleted_at((deleted, purge): (i64, i64)) -> DeletedAt {
    DeletedAt { deleted: Timestamp::from_micros(deleted), purge: Timestamp::from_micros(purge) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records as `docs/spec/vault.md` describes them: what an older version wrote reads for ever.
    const VAULT: &str = r#"{"format":1,"tenant":"11111111-1111-1111-1111-111111111111","subscription":"22222222-2222-2222-2222-222222222222","group":"rg1","location":"eastus","sku":"premium","tags":{"a":"b"},"policies":[{"tenant":"11111111-1111-1111-1111-111111111111","object":"33333333-3333-3333-3333-333333333333","application":"44444444-4444-4444-4444-444444444444","keys":["Get"],"secrets":[],"certificates":["all"],"storage":[]}],"model":"undecided","decided_by":"nobody","decided_at":1,"founder":"33333333-3333-3333-3333-333333333333","bypass":true,"allow":false,"ranges":["10.0.0.0/8","2001:db8::1"],"public_access":"Disabled","enablements":[true,false,true],"retention_days":7,"purge_protection":true,"created":2,"updated":3,"deleted":[4,5]}"#;
    const KEY: &str = r#"{"format":1,"created":1,"deleted":[2,3],"policy":{"actions":[{"kind":"Rotate","after_create":true,"period":"P90D"},{"kind":"Notify","after_create":false,"period":"P30D"}],"expiry":"P2Y","created":4,"updated":5}}"#;
    const RSA: &str = r#"{"format":1,"public":{"rsa":{"n":"c0ffee","e":"010001"}},"operations":["encrypt","decrypt","sign","verify","wrapKey","unwrapKey"],"tags":{},"hsm":true,"created":1,"updated":2}"#;
    const EC: &str = r#"{"format":1,"public":{"ec":{"curve":"P-256K","x":"01","y":"02"}},"operations":["sign"],"tags":{"x":"y"},"hsm":false,"created":1,"updated":2}"#;

    #[test]
    fn records_are_written_as_the_specification_says() {
        let vault = read_vault("kvone".parse().unwrap(), VAULT.as_bytes()).expect("reads");
        assert_eq!(String::from_utf8(write_vault(&vault)).unwrap(), VAULT);
        let key = read_key(KEY.as_bytes()).expect("reads");
        assert_eq!(String::from_utf8(write_key(&key)).unwrap(), KEY);
        for text in [RSA, EC] {
            let version = read_version(text.as_bytes()).expect("reads");
            assert_eq!(String::from_utf8(write_version(&version)).unwrap(), text);
        }
    }

    #[test]
    fn what_this_version_would_not_have_written_is_not_read() {
        let name = || "kvone".parse().unwrap();
        for (from, to) in [
            (r#""format":1"#, r#""format":2"#),
            (r#""format":1"#, r#""format":1,"later":0"#),
            (r#""model":"undecided""#, r#""model":"open""#),
            ("10.0.0.0/8", "10.0.0.0/99"),
            ("33333333-", "333333333"),
        ] {
            assert!(read_vault(name(), VAULT.replace(from, to).as_bytes()).is_none(), "{to}");
        }
        for (from, to) in [("format\":1", "format\":0"), ("P90D", "P0D"), ("Rotate", "Purge")] {
            assert!(read_key(KEY.replace(from, to).as_bytes()).is_none(), "{to}");
        }
        for (from, to) in [("rsa", "oct"), ("c0ffee", "coffee"), ("unwrapKey", "release")] {
            assert!(read_version(RSA.replace(from, to).as_bytes()).is_none(), "{to}");
        }
    }
}
