//! How keys look to clients: bundles, items and pages, with the URLs of today.
//!
//! Ids are stored as names; every URL is written with the public host and port that the instance
//! has now, never with what a request said.

use lockyard_control::shown_rotation_policy;
use lockyard_keyring::{KeyName, VaultAddress, VersionedKeyId};
use lockyard_vault::{
    DeletedAt, DeletedKey, KeyAttributes, KeyBundle, KeyItem, KeyShape, Page, PublicKey,
    RotationPolicy, Tags,
};
use serde_json::{Map, Value, json};

use super::{query::Query, told::encoded};
use crate::Names;

/// What every bundle says of the hardware behind it: there is none.
const PLATFORM: &str = "0";

/// The URLs of one vault.
#[derive(Clone, Debug)]
pub(super) struct Urls(String);

impl Urls {
    pub(super) fn new(names: &Names, vault: &VaultAddress) -> Self {
        let label = vault.as_str().to_ascii_lowercase();
        Self(format!("https://{label}.{}", names.suffix("vault")))
    }

    pub(super) fn version(&self, id: &VersionedKeyId) -> String {
        format!("{}/keys/{}/{}", self.0, id.key.name, id.version)
    }

    pub(super) fn key(&self, name: &KeyName) -> String {
        format!("{}/keys/{name}", self.0)
    }

    pub(super) fn deleted(&self, name: &KeyName) -> String {
        format!("{}/deletedkeys/{name}", self.0)
    }

    /// The URL of a request's target.
    pub(super) fn of(&self, target: &str) -> String {
        format!("{}{target}", self.0)
    }

    /// Where a listing goes on; `path` is its path.
    fn next(&self, path: &str, token: &str, query: &Query) -> String {
        let limit = query.page.limit.map(|limit| format!("&maxresults={limit}"));
        let limit = limit.unwrap_or_default();
        format!("{}{path}?api-version={}{limit}&$skiptoken={token}", self.0, query.version)
    }
}

/// A key version.
pub(super) fn bundle(urls: &Urls, bundle: &KeyBundle) -> Value {
    let mut key = Map::new();
    let kind = match (bundle.shape, bundle.hsm) {
        (KeyShape::Rsa(_), false) => "RSA",
        (KeyShape::Rsa(_), true) => "RSA-HSM",
        (KeyShape::Ec(_), false) => "EC",
        (KeyShape::Ec(_), true) => "EC-HSM",
    };
    let operations: Vec<&str> =
        bundle.operations.iter().map(lockyard_vault::KeyOperation::as_str).collect();
    let mut field = |name: &str, value: Value| drop(key.insert(name.to_owned(), value));
    field("kid", urls.version(&bundle.id).into());
    field("kty", kind.into());
    field("key_ops", operations.into());
    match &bundle.public {
        PublicKey::Rsa { n, e } => {
            field("n", encoded(n).into());
            field("e", encoded(e).into());
        }
        PublicKey::Ec { curve, x, y } => {
            field("crv", curve.as_str().into());
            field("x", encoded(x).into());
            field("y", encoded(y).into());
        }
    }
    let mut shown = json!({ "key": key, "attributes": attributes(&bundle.attributes) });
    put_tags(&mut shown, &bundle.tags);
    shown
}

/// A deleted key.
pub(super) fn deleted(urls: &Urls, deleted: &DeletedKey) -> Value {
    let mut shown = bundle(urls, &deleted.bundle);
    put_deletion(&mut shown, urls, &deleted.bundle.id.key.name, deleted.deleted);
    shown
}

/// A part of a listing.
pub(super) fn page(urls: &Urls, path: &str, query: &Query, page: &Page<KeyItem>) -> Value {
    let items: Vec<Value> = page.items.iter().map(|one| item(urls, one)).collect();
    let next = page.next.as_ref().map(|token| urls.next(path, token.as_str(), query));
    json!({ "value": items, "nextLink": next })
}

fn item(urls: &Urls, item: &KeyItem) -> Value {
    let mut kid = urls.key(&item.name);
    if let Some(version) = &item.version {
        kid.push('/');
        kid.push_str(version.as_str());
    }
    let mut shown = json!({ "kid": kid, "attributes": attributes(&item.attributes) });
    put_tags(&mut shown, &item.tags);
    if let Some(deletion) = item.deleted {
        put_deletion(&mut shown, urls, &item.name, deletion);
    }
    shown
}

fn attributes(all: &KeyAttributes) -> Value {
    let mut shown = json!({
        "enabled": all.enabled,
        "created": all.created.as_secs(),
        "updated": all.updated.as_secs(),
        "recoveryLevel": all.recovery_level.as_str(),
        "recoverableDays": all.recoverable_days,
        "exportable": false,
        "hsmPlatform": PLATFORM,
    });
    for (name, time) in [("nbf", all.validity.not_before), ("exp", all.validity.expires)] {
        if let Some(time) = time {
            shown[name] = time.as_secs().into();
        }
    }
    shown
}

fn put_tags(shown: &mut Value, tags: &Tags) {
    if !tags.is_empty() {
        let tags: Map<String, Value> =
            tags.iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        shown["tags"] = tags.into();
    }
}

fn put_deletion(shown: &mut Value, urls: &Urls, name: &KeyName, deletion: DeletedAt) {
    shown["recoveryId"] = urls.deleted(name).into();
    shown["deletedDate"] = deletion.deleted.as_secs().into();
    shown["scheduledPurgeDate"] = deletion.purge.as_secs().into();
}

/// A rotation policy.
pub(super) fn policy(urls: &Urls, name: &KeyName, policy: &RotationPolicy) -> Value {
    let mut shown = shown_rotation_policy(policy, |kind| kind.as_str().to_owned());
    shown["id"] = format!("{}/rotationpolicy", urls.key(name)).into();
    shown
}
