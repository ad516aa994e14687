//! Keys as resources of Resource Manager, as templates make them: made if they are not there,
//! shown, listed; never changed and never used.
//!
//! Who may is decided by roles on the control plane alone. Nothing here uses a key, so that no
//! policy or data role is asked for; what is made belongs to whom the vault gives it.

use std::sync::Arc;

use async_trait::async_trait;
use lockyard_access::decision::{Action, known};
use lockyard_arm::{Body, BodyError, ResourceId, Scope};
use lockyard_audit::Operation;
use lockyard_base::Timestamp;
use lockyard_keyring::{KeyId, KeyVersionName};
use lockyard_vault::{
    Curve, KeyBundle, KeyOperation, KeyOperations, KeyResource, KeySettings, KeyShape, NewKey,
    RsaSize, Tags, Validity, VaultProperties,
};
use serde_json::{Map, Value, json};

use super::{NAMESPACE, Vaults, body::key_tags, missing, rendered, rotation, vault_above};
use crate::{Call, ControlError, Page, Put, provider::Provider, resources, trail::Deed};

/// The last second that an attribute can name: the end of the year 9999.
const SECONDS_MAX: i64 = 253_402_300_799;
const MICROS: i64 = 1_000_000;

/// The provider of `Microsoft.KeyVault/vaults/keys`.
#[derive(Debug)]
pub(super) struct Keys(pub(super) Arc<Vaults>);

/// The provider of `Microsoft.KeyVault/vaults/keys/versions`.
#[derive(Debug)]
pub(super) struct Versions(pub(super) Arc<Vaults>);

#[async_trait]
impl Provider for Keys {
    async fn get(&self, call: &Call, id: &ResourceId) -> Result<Value, ControlError> {
        let (vaults, at, what) = (Arc::clone(&self.0), id.clone(), known::VAULT_KEY_READ);
        let deed = reading(Operation::KEY_GET, id);
        let look = move |vault: &VaultProperties| {
            let key = key_id(vault, at.name())?;
            Ok(shown_key(&vaults, vault, &vaults.vault.key_resource(&key)?))
        };
        look_at(&self.0, call, deed, (what, id.scope()), look).await
    }

    async fn list(&self, call: &Call, under: &Scope) -> Result<Page, ControlError> {
        if let Some(condition) = call.filter.first() {
            return Err(resources::not_narrowed(condition));
        }
        let (vaults, what) = (Arc::clone(&self.0), known::VAULT_KEY_READ);
        let (page, deed) = (call.page.clone(), Deed::read(Operation::KEY_LIST, under));
        let look = move |vault: &VaultProperties| {
            // One more than the page has, so that it knows whether the list goes on.
            let keys = vaults.vault.key_resources(&vault.name, page.after(), page.limit() + 1)?;
            let place = |key: &KeyResource| key.bundle.id.key.name.as_str().to_ascii_lowercase();
            Ok(page.part(keys, place).shown(|key| shown_key(&vaults, vault, key)))
        };
        look_at(&self.0, call, deed, (what, under), look).await
    }

    async fn put(&self, call: &Call, id: &ResourceId, body: &Value) -> Result<Put, ControlError> {
        let wanted = wanted(body)?;
        let (vaults, asking, at) = (Arc::clone(&self.0), call.clone(), id.clone());
        let work = move |deed: &mut Deed| {
            let write = known::VAULT_KEY_WRITE;
            let vault_id = vault_above(at.scope()).ok_or_else(|| missing(&at))?;
            vaults.seen(&asking, &write, at.scope())?;
            let vault = vaults.find(&vault_id)?;
            let key = key_id(&vault, at.name())?;
            // Making a key takes up to seconds: nobody waits for that who changes the directory.
            let new = vaults.vault.prepared_key(&key, wanted)?;
            let made = vaults.decided(&asking, &write, at.scope(), |_| {
                let vault = vaults.find(&vault_id)?;
                Ok(vaults.vault.ensure_prepared(&key_id(&vault, at.name())?, new)?)
            })?;
            *deed = deed.clone().about(&made.key.bundle.id);
            let shown = shown_key(&vaults, &vault, &made.key);
            Ok(if made.created { Put::Created(shown) } else { Put::Replaced(shown) })
        };
        let resource = vault_above(id.scope()).unwrap_or_else(|| id.clone());
        let deed = Deed::change(Operation::KEY_CREATE, resource).about(id);
        self.0.trail.act(call, deed, work).await
    }
}

#[async_trait]
impl Provider for Versions {
    async fn get(&self, call: &Call, id: &ResourceId) -> Result<Value, ControlError> {
        let (vaults, at, what) = (Arc::clone(&self.0), id.clone(), known::VAULT_KEY_VERSION_READ);
        let look = move |vault: &VaultProperties| {
            let key = parent_key(vault, at.scope().parent())?;
            let version: KeyVersionName = at.name().parse().map_err(|_| {
                ControlError::invalid("BadRequest", "a key version is 32 hexadecimal digits")
            })?;
            Ok(shown(&vaults, vault, &vaults.vault.key(&key, Some(&version))?, true))
        };
        look_at(&self.0, call, reading(Operation::KEY_GET, id), (what, id.scope()), look).await
    }

    async fn list(&self, call: &Call, under: &Scope) -> Result<Page, ControlError> {
        if let Some(condition) = call.filter.first() {
            return Err(resources::not_narrowed(condition));
        }
        let (vaults, what) = (Arc::clone(&self.0), known::VAULT_KEY_VERSION_READ);
        let (at, deed) = (under.clone(), Deed::read(Operation::KEY_LIST_VERSIONS, under));
        let look = move |vault: &VaultProperties| {
            let versions = vaults.vault.version_bundles(&parent_key(vault, Some(at))?)?;
            let shown = |version: &KeyBundle| shown(&vaults, vault, version, true);
            Ok(Page::whole(versions.iter().map(shown).collect()))
        };
        look_at(&self.0, call, deed, (what, under), look).await
    }
}

fn reading(operation: Operation, id: &ResourceId) -> Deed {
    Deed::read(operation, id)
}

/// Shows something of the vault that a scope lies in to a caller who may see it.
async fn look_at<T: Send + 'static>(
    vaults: &Arc<Vaults>,
    call: &Call,
    deed: Deed,
    (action, scope): (Action, &Scope),
    look: impl FnOnce(&VaultProperties) -> Result<T, ControlError> + Send + 'static,
) -> Result<T, ControlError> {
    let (this, asking, at) = (Arc::clone(vaults), call.clone(), scope.clone());
    let work = move |deed: &mut Deed| {
        this.seen(&asking, &action, &at)?;
        let Some(id) = vault_above(&at) else {
            let message = "keys are listed by vault, and their versions by key";
            return Err(ControlError::invalid("InvalidResourceId", message));
        };
        let vault = this.find(&id)?;
        *deed = deed.clone().at(vault.resource_id());
        look(&vault)
    };
    vaults.trail.act(call, deed, work).await
}

fn key_id(vault: &VaultProperties, name: &str) -> Result<KeyId, ControlError> {
    let name = name.parse().map_err(|_| {
        ControlError::invalid("BadRequest", "a key's name has 1 to 127 letters, digits and `-`")
    })?;
    Ok(KeyId { vault: vault.name.clone(), name })
}

fn parent_key(vault: &VaultProperties, key: Option<Scope>) -> Result<KeyId, ControlError> {
    key_id(vault, key.as_ref().and_then(Scope::name).unwrap_or_default())
}

/// Reads what a key is to be.
fn wanted(body: &Value) -> Result<NewKey, ControlError> {
    let body = Body::of(body)?;
    body.refuse_others(&["id", "name", "type", "location", "tags", "properties", "apiVersion"])?;
    let properties = body.object("properties")?;
    let known = ["attributes", "kty", "keyOps", "keySize", "curveName", "rotationPolicy"];
    properties.refuse_others(&known)?;
    let (shape, hsm) = shape(&properties)?;
    let attributes = properties.object("attributes")?;
    attributes.refuse_others(&["enabled", "nbf", "exp", "exportable"])?;
    if attributes.flag("exportable")? == Some(true) {
        let message = "cannot be true: keys never leave this vault";
        return Err(attributes.refuse("exportable", message).into());
    }
    let time = |name: &str| match attributes.integer(name)? {
        None => Ok(None),
        Some(seconds) if (0..=SECONDS_MAX).contains(&seconds) => {
            Ok(Some(Timestamp::from_micros(seconds * MICROS)))
        }
        Some(_) => Err(attributes.refuse(name, "must be a time in seconds since 1970")),
    };
    let settings = KeySettings {
        hsm,
        operations: operations(&properties)?,
        enabled: attributes.flag("enabled")?.unwrap_or(true),
        validity: Validity { not_before: time("nbf")?, expires: time("exp")? },
        tags: if body.object("tags")?.is_there() { key_tags(&body)? } else { Tags::default() },
    };
    Ok(NewKey { shape, settings, rotation: rotation::wanted(&properties)? })
}

fn shape(properties: &Body<'_>) -> Result<(KeyShape, bool), BodyError> {
    let word = properties.required("kty")?.to_ascii_uppercase();
    let hsm = word.ends_with("-HSM");
    let shape = match word.trim_end_matches("-HSM") {
        "RSA" => {
            let bits = properties.integer("keySize")?.unwrap_or(2048);
            let size = usize::try_from(bits).ok().and_then(RsaSize::from_bits);
            KeyShape::Rsa(
                size.ok_or_else(|| properties.refuse("keySize", "must be 2048, 3072 or 4096"))?,
            )
        }
        "EC" => {
            let curve = properties.text("curveName")?.unwrap_or("P-256");
            let curve: Curve = curve.parse().map_err(|_| {
                properties.refuse("curveName", "must be P-256, P-384, P-521 or P-256K")
            })?;
            KeyShape::Ec(curve)
        }
        _ => return Err(properties.refuse("kty", "must be RSA, RSA-HSM, EC or EC-HSM")),
    };
    Ok((shape, hsm))
}

fn operations(properties: &Body<'_>) -> Result<Option<KeyOperations>, BodyError> {
    if properties.list("keyOps")?.is_none() {
        return Ok(None);
    }
    let read = |word: &str| {
        word.parse::<KeyOperation>()
            .map_err(|_| properties.refuse("keyOps", "has a word that is no operation"))
    };
    properties.texts("keyOps")?.into_iter().map(read).collect::<Result<_, _>>().map(Some)
}

/// A key, with its rotation policy if anybody set one.
fn shown_key(vaults: &Vaults, vault: &VaultProperties, key: &KeyResource) -> Value {
    let mut shown = shown(vaults, vault, &key.bundle, false);
    if let Some(policy) = &key.rotation {
        shown["properties"]["rotationPolicy"] = rotation::shown(policy);
    }
    shown
}

/// A key, or a version of it.
fn shown(vaults: &Vaults, vault: &VaultProperties, key: &KeyBundle, version: bool) -> Value {
    let label = vault.name.as_str().to_ascii_lowercase();
    let (name, number) = (&key.id.key.name, &key.id.version);
    let uri = format!("https://{label}.{}/keys/{name}", vaults.suffix);
    let mut attributes = json!({
        "enabled": key.attributes.enabled,
        "created": key.attributes.created.as_secs(),
        "updated": key.attributes.updated.as_secs(),
        "recoveryLevel": key.attributes.recovery_level.as_str(),
        "exportable": false,
    });
    let Validity { not_before, expires } = key.attributes.validity;
    for (name, time) in [("nbf", not_before), ("exp", expires)] {
        if let Some(time) = time {
            attributes[name] = time.as_secs().into();
        }
    }
    let hsm = if key.hsm { "-HSM" } else { "" };
    let operations: Vec<&str> = key.operations.iter().map(KeyOperation::as_str).collect();
    let mut properties = Map::new();
    let mut field = |name: &str, value: Value| drop(properties.insert(name.to_owned(), value));
    field("attributes", attributes);
    field("keyOps", operations.into());
    field("keyUri", uri.as_str().into());
    field("keyUriWithVersion", format!("{uri}/{number}").into());
    match key.shape {
        KeyShape::Rsa(size) => {
            field("kty", format!("RSA{hsm}").into());
            field("keySize", size.bits().into());
        }
        KeyShape::Ec(curve) => {
            field("kty", format!("EC{hsm}").into());
            field("curveName", curve.as_str().into());
        }
    }
    let id = format!("{}/keys/{name}", vault.resource_id());
    let (id, name, kind) = if version {
        (format!("{id}/versions/{number}"), number.to_string(), "vaults/keys/versions")
    } else {
        (id, name.to_string(), "vaults/keys")
    };
    json!({
        "id": id,
        "name": name,
        "type": format!("{NAMESPACE}/{kind}"),
        "location": vault.place.location,
        "tags": rendered::tags(&key.tags),
        "properties": properties,
    })
}
