//! Registries as managed identities: who a registry is for the key vault, and what it may there.
//!
//! A registry has no way of its own to its customer key. It is a principal of the directory, and
//! what lets it use the key is a role assignment or an access policy like anybody's, which whoever
//! administers the vault sees and takes away.

use std::sync::Arc;

use lockyard_access::{
    ClientId, Directory, PrincipalId,
    decision::role_id,
    directory::{NewAssignment, Principal, PrincipalKind},
};
use lockyard_arm::{ResourceId, Scope};
use lockyard_base::{Entropy, Guid};
use lockyard_keyring::{Denial, Identity, ProviderError, VaultAddress};
use lockyard_oci::RegistryName;
use lockyard_registry::RegistryError;
use lockyard_vault::{
    AccessPolicy, PermissionModel, Permissions, PolicyEdit, Vault, VaultProperties,
};

use super::{
    Instance, blocking_outcome,
    control::{GROUP, place_vaults, registry_id},
};
use crate::failure::{Failure, OrFail as _, Outcome};

/// The word for a registry's own identity, as the Azure CLI writes it.
const SYSTEM: &str = "[system]";

/// The resource id of a user-assigned identity.
pub(crate) fn user_assigned(directory: &Directory, group: &str, name: &str) -> Outcome<ResourceId> {
    let subscription = directory.snapshot().subscription().id.guid();
    let group = Scope::of_resource_group(subscription, group.parse().or_fail()?);
    let id = group.child(Some("Microsoft.ManagedIdentity"), "userAssignedIdentities", name);
    id.or_fail()?.try_into().or_fail()
}

/// Which managed identity an operator means for a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The one of this name in the instance's own resource group.
    Named(String),
    /// The registry's own.
    System,
    /// The one with this client id or object id.
    Id(Guid),
    /// The one of this resource.
    Resource(ResourceId),
}

impl Wanted {
    /// Reads a name, a resource id, a client id, an object id, or `[system]`.
    pub(super) fn parse(text: &str) -> Outcome<Self> {
        if text.eq_ignore_ascii_case(SYSTEM) {
            Ok(Self::System)
        } else if let Ok(id) = text.parse() {
            Ok(Self::Id(id))
        } else if text.starts_with('/') {
            Ok(Self::Resource(text.parse().or_fail()?))
        } else {
            Ok(Self::Named(text.to_owned()))
        }
    }

    /// The identity, which must be there unless it is the registry's own.
    pub(super) fn find(
        &self,
        directory: &Directory,
        registry: &RegistryName,
    ) -> Outcome<PrincipalId> {
        let snapshot = directory.snapshot();
        let found = match self {
            Self::Named(name) => snapshot.by_resource(&user_assigned(directory, GROUP, name)?),
            Self::Resource(id) => snapshot.by_resource(id),
            Self::Id(id) => snapshot
                .by_client(ClientId::new(*id))
                .or_else(|| snapshot.principal(PrincipalId::new(*id))),
            Self::System => return ensure(directory, registry_id(directory, registry)?),
        };
        let found = found.filter(|one| matches!(one.kind, PrincipalKind::ManagedIdentity(_)));
        found.map(|one| one.id).ok_or_else(|| {
            Failure::text("there is no such managed identity").advise(
                "`lockyard identity list` shows those that there are, `lockyard identity create` \
                 makes one",
            )
        })
    }
}

/// The identity of a resource, which is made if it is not there yet.
pub(super) fn ensure(directory: &Directory, resource: ResourceId) -> Outcome<PrincipalId> {
    if let Some(there) = directory.snapshot().by_resource(&resource) {
        return Ok(there.id);
    }
    Ok(directory.create_managed_identity(resource).or_fail()?.0)
}

/// The identity of this name for a new registry, which is made if it is not there yet.
pub(super) fn ensure_named(directory: &Directory, name: &str) -> Outcome<PrincipalId> {
    ensure(directory, user_assigned(directory, GROUP, name)?)
}

/// Lets an identity use the keys of a vault as registries do: by a role at the vault, or by a
/// policy where the vault goes by policies. Again changes nothing.
pub(super) fn allow(
    directory: &Directory,
    vault: &Vault,
    entropy: &dyn Entropy,
    name: &VaultAddress,
    identity: PrincipalId,
) -> Outcome {
    place_vaults(directory, vault)?;
    let found = vault.vault(name).or_fail()?.filter(|found| found.deleted.is_none());
    let found = found.ok_or_else(|| Failure::text(format!("there is no vault `{name}`")))?;
    match found.model {
        PermissionModel::Roles => assign(directory, entropy, &found, identity),
        PermissionModel::Policies | PermissionModel::Undecided => {
            let policy = AccessPolicy {
                tenant: found.place.tenant,
                object: identity.guid(),
                application: None,
                permissions: Permissions::of_a_registry(),
            };
            vault.edit_policies(name, PolicyEdit::Add, vec![policy]).or_fail().map(drop)
        }
    }
}

fn assign(
    directory: &Directory,
    entropy: &dyn Entropy,
    vault: &VaultProperties,
    principal: PrincipalId,
) -> Outcome {
    let role = role_id::KEY_VAULT_CRYPTO_SERVICE_ENCRYPTION_USER;
    let scope: Scope = vault.resource_id().parse().or_fail()?;
    let snapshot = directory.snapshot();
    let given = snapshot
        .assignments()
        .any(|one| (one.principal, one.role) == (principal, role) && one.scope == scope);
    if given {
        return Ok(());
    }
    let new = NewAssignment {
        id: Guid::random(entropy),
        principal,
        role,
        scope,
        description: Some("a registry's use of its customer key".to_owned()),
        created_by: None,
    };
    directory.assign(new).or_fail().map(drop)
}

/// As whom a registry asks for its key, in words.
pub(crate) fn identity_in_words(directory: &Directory, identity: Identity) -> String {
    let snapshot = directory.snapshot();
    let id = PrincipalId::new(Guid::from_bytes(*identity.as_bytes()));
    match snapshot.principal(id) {
        Some(Principal { kind: PrincipalKind::ManagedIdentity(resource), enabled, .. }) => {
            let state = if *enabled { "" } else { ", disabled" };
            format!("{resource}, object id {id}{state}")
        }
        _ => format!("gone, its object id was {id}"),
    }
}

/// There is no such registry.
pub(crate) fn unknown_registry(name: &RegistryName) -> Failure {
    Failure::text(format!("there is no registry `{name}`"))
}

impl Instance {
    /// Makes a registry act as another managed identity; with `grant` that one gets the use of the
    /// key first.
    pub(crate) async fn assign_identity(
        &self,
        name: &RegistryName,
        identity: &str,
        grant: bool,
    ) -> Outcome {
        let (wanted, directory) = (Wanted::parse(identity)?, self.directory()?);
        let found = self.registries.list().await.or_fail()?;
        let summary = found.into_iter().find(|summary| summary.name == *name);
        let summary = summary.ok_or_else(|| unknown_registry(name))?;
        let registry = name.clone();
        let principal = blocking_outcome(move || wanted.find(&directory, &registry)).await?;
        if let Some(key) = summary.customer_key.filter(|_| grant) {
            self.allow(&key.key.vault, principal, "lockyard registry assign-identity").await?;
        }
        let identity = Identity::from_bytes(*principal.guid().as_bytes());
        self.registries.assign_identity(summary.id, identity).await.map_err(|error| {
            let failure = Failure::new(&error);
            match error {
                RegistryError::CustomerKey(ProviderError::Denied(Denial::NotAuthorized, _))
                    if !grant =>
                {
                    failure.advise("`--grant` gives the identity the use of the key first")
                }
                _ => failure,
            }
        })?;
        Ok(())
    }

    /// Brings what operators and older versions left behind into the directory's order, before any
    /// registry is admitted: vaults get a place, and identities that only a grant of the vault knew
    /// become managed identities with a policy.
    ///
    /// Only a grant makes an identity here. One that was deleted has none, and stays deleted.
    pub(crate) async fn settle(&self) -> Outcome {
        let directory = self.directory()?;
        let vault = Arc::clone(&self.vault);
        let found = self.registries.list().await.or_fail()?;
        let used: Vec<(RegistryName, Identity)> = found
            .into_iter()
            .filter_map(|summary| summary.identity.map(|identity| (summary.name, identity)))
            .collect();
        blocking_outcome(move || {
            place_vaults(&directory, &vault)?;
            let granted = vault.old_grants().or_fail()?;
            let mut wanted = Vec::new();
            for (registry, identity) in used.iter().filter(|(_, one)| granted.contains(one)) {
                adopt(&directory, registry, *identity)?;
                wanted.push(*identity);
            }
            for (vault, identity) in vault.convert_grants(&wanted).or_fail()? {
                tracing::info!(%vault, %identity, "an old grant became an access policy");
            }
            Ok(())
        })
        .await
    }
}

/// Makes a managed identity of one that only a grant knew, under the object id that it had.
fn adopt(directory: &Directory, registry: &RegistryName, identity: Identity) -> Outcome {
    let id = PrincipalId::new(Guid::from_bytes(*identity.as_bytes()));
    if directory.snapshot().principal(id).is_some() {
        return Ok(());
    }
    let mut resource = user_assigned(directory, GROUP, registry.as_str())?;
    if directory.snapshot().by_resource(&resource).is_some() {
        resource = user_assigned(directory, GROUP, &format!("{registry}-{id}"))?;
    }
    directory.adopt_managed_identity(id, resource).or_fail()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_names_an_identity_in_each_way() {
        let id = "11111111-1111-1111-1111-111111111111";
        let resource = format!(
            "/subscriptions/{id}/resourceGroups/g/providers/Microsoft.ManagedIdentity\
             /userAssignedIdentities/i"
        );
        let parse = |text: &str| Wanted::parse(text).expect("an identity");
        assert_eq!(parse("[System]"), Wanted::System);
        assert_eq!(parse(id), Wanted::Id(id.parse().expect("a GUID")));
        assert_eq!(parse(&resource), Wanted::Resource(resource.parse().expect("an id")));
        assert_eq!(parse("robot"), Wanted::Named("robot".to_owned()));
        assert!(Wanted::parse("/subscriptions").is_err());
    }
}
