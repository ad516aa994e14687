//! Operator commands on registries.

use std::sync::Arc;

use lockyard_audit::Operation;
use lockyard_keyring::VersionedKeyId;
use lockyard_oci::RegistryName;
use lockyard_registry::RegistrySummary;
use lockyard_vault::KeyTarget;

use super::RegistryRequest;
use crate::{
    export,
    failure::{Failure, OrFail as _, Outcome},
    instance::{
        Deed, Instance, blocking, identity_in_words, key_in_words as key,
        standing_in_words as standing, unknown_registry as unknown,
    },
};

impl RegistryRequest {
    /// What the audit trail is to have of this, if it changes anything or hands out keys.
    fn deed(&self) -> Option<Deed> {
        let (operation, id, client) = match self {
            Self::List | Self::Show { .. } => return None,
            Self::Create { name, .. } => {
                ("RegistryCreate", name.clone(), "lockyard registry create")
            }
            Self::Update { name, .. } => {
                ("RegistryUpdate", name.clone(), "lockyard registry update")
            }
            Self::AssignIdentity { name, identity, .. } => (
                "RegistryIdentityChange",
                format!("{name} as {identity}"),
                "lockyard registry assign-identity",
            ),
            Self::ExportPart { registry, repository, digest, .. } => (
                "BlobKeysExport",
                format!("{registry}/{repository}@{digest}"),
                "lockyard debug export-part",
            ),
        };
        Some(Deed { operation: Operation::new(operation), vault: None, id, client })
    }
}

/// Performs a command and records it; answers in lines for the operator.
///
/// Keys are handed out once that is recorded, like every use of a key; if it fails then, that is
/// recorded too. Changes are recorded when they are made.
pub(crate) async fn perform(instance: &Instance, request: RegistryRequest) -> Outcome<Vec<String>> {
    let deed = request.deed();
    let hands_out = matches!(request, RegistryRequest::ExportPart { .. });
    if let Some(deed) = deed.clone().filter(|_| hands_out)
        && let Some(warning) = instance.opened_vault().record(deed, None).await
    {
        let why = warning.trim_start_matches("warning: ");
        let text = format!("no key is handed out unrecorded: {why}");
        return Err(Failure::text(text).advise("free some space on the audit trail's disk"));
    }
    let done = done(instance, request).await;
    let Some(deed) = deed.filter(|_| !hands_out || done.is_err()) else { return done };
    let failure = done.as_ref().err().map(ToString::to_string);
    let warning = instance.opened_vault().record(deed, failure).await;
    let mut lines = done?;
    lines.extend(warning);
    Ok(lines)
}

async fn done(instance: &Instance, request: RegistryRequest) -> Outcome<Vec<String>> {
    match request {
        RegistryRequest::Create { name, key, identity } => {
            let name: RegistryName = name.parse().or_fail()?;
            let key = match key {
                Some(key) => Some(newest(instance, key.parse().or_fail()?).await?),
                None => None,
            };
            instance.create_registry(&name, key, identity).await?;
            show(instance, &name).await
        }
        RegistryRequest::List => {
            let found = instance.registries.list().await.or_fail()?;
            Ok(found.iter().map(|summary| line(instance, summary)).collect())
        }
        RegistryRequest::Show { name } => show(instance, &name.parse().or_fail()?).await,
        RegistryRequest::Update { name, anonymous_pull } => {
            let name: RegistryName = name.parse().or_fail()?;
            let registries = &instance.registries;
            if !registries.set_anonymous_pull(&name, anonymous_pull).await.or_fail()? {
                return Err(unknown(&name));
            }
            show(instance, &name).await
        }
        RegistryRequest::AssignIdentity { name, identity, grant } => {
            let name: RegistryName = name.parse().or_fail()?;
            instance.assign_identity(&name, &identity, grant).await?;
            show(instance, &name).await
        }
        RegistryRequest::ExportPart { registry, repository, digest, out } => {
            let blob = export::Blob {
                registry: registry.parse().or_fail()?,
                repository: repository.parse().or_fail()?,
                digest: digest.parse().or_fail()?,
            };
            export::run(instance, &blob, &out).await
        }
    }
}

/// How every registry with a customer key stands.
pub(super) async fn standings(instance: &Instance) -> Outcome<Vec<String>> {
    let found = instance.registries.list().await.or_fail()?;
    let customers = found.iter().filter(|summary| summary.customer_key.is_some());
    Ok(customers.map(|summary| line(instance, summary)).collect())
}

async fn show(instance: &Instance, name: &RegistryName) -> Outcome<Vec<String>> {
    let found = instance.registries.list().await.or_fail()?;
    let summary =
        found.into_iter().find(|summary| summary.name == *name).ok_or_else(|| unknown(name))?;
    let entry = instance.registries.find(name).await.or_fail()?.ok_or_else(|| unknown(name))?;
    let everybody = "on, everybody may pull without a login";
    let anonymous_pull = if entry.anonymous_pull() { everybody } else { "off" };
    let mut lines = vec![
        format!("name:            {}", summary.name),
        format!("id:              {}", summary.id),
        format!("customer key:    {}", key(&summary)),
        format!("standing:        {}", standing(instance, &summary)),
        format!("anonymous pull:  {anonymous_pull}"),
    ];
    if let Some(identity) = summary.identity {
        let words = identity_in_words(&*instance.directory()?, identity);
        lines.insert(3, format!("identity:        {words}"));
    }
    if let Some(since) = instance.keyring.confirmed_since(summary.id)
        && summary.customer_key.is_some()
    {
        lines.push(format!("confirmed:       {} s ago", since.as_secs()));
    }
    Ok(lines)
}

fn line(instance: &Instance, summary: &RegistrySummary) -> String {
    let name = &summary.name;
    format!("registry `{name}`, customer key {}: {}", key(summary), standing(instance, summary))
}

/// The version that a new registry wraps with: the one named, or the newest enabled one.
async fn newest(instance: &Instance, target: KeyTarget) -> Outcome<VersionedKeyId> {
    let key = match target {
        KeyTarget::Version(version) => return Ok(version),
        KeyTarget::Key(key) => key,
    };
    let (vault, wanted) = (Arc::clone(&instance.vault), key.clone());
    let versions = blocking(move || vault.versions(&wanted)).await?;
    versions.into_iter().find(|version| version.enabled).map(|version| version.id).ok_or_else(
        || {
            Failure::text(format!("no version of key `{key}` is enabled"))
                .advise(format!("enable one with `lockyard vault key enable {key}`"))
        },
    )
}
