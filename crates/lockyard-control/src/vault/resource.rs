//! Vaults: made, shown, changed, recovered, deleted.

use std::sync::Arc;

use async_trait::async_trait;
use lockyard_access::{Snapshot, decision::known};
use lockyard_arm::{ResourceId, Scope};
use lockyard_audit::Operation;
use lockyard_base::Guid;
use lockyard_vault::{CreateMode, Placement, PutVault, VaultChange, VaultProperties, VaultRequest};
use serde_json::Value;

use super::{Vaults, address, body, place, rendered};
use crate::{
    Call, ControlError, Page, Put, group,
    provider::{Listed, Provider},
    resources,
    subscription::may,
    trail::{Deed, dropped},
};

/// The provider of `Microsoft.KeyVault/vaults`.
#[derive(Debug)]
pub(super) struct VaultResources(pub(super) Arc<Vaults>);

#[async_trait]
impl Provider for VaultResources {
    async fn get(&self, call: &Call, id: &ResourceId) -> Result<Value, ControlError> {
        let (vaults, asking, at) = (Arc::clone(&self.0), call.clone(), id.clone());
        let deed = Deed::read(Operation::VAULT_GET, id);
        let work = move |_: &mut Deed| {
            vaults.seen(&asking, &known::VAULT_READ, at.scope())?;
            vaults.find(&at).map(|vault| rendered::vault(&vault, &vaults.suffix))
        };
        self.0.trail.act(call, deed, work).await
    }

    async fn list(&self, call: &Call, under: &Scope) -> Result<Page, ControlError> {
        if let Some(condition) = call.filter.first() {
            return Err(resources::not_narrowed(condition));
        }
        let (vaults, asking, at) = (Arc::clone(&self.0), call.clone(), under.clone());
        let deed = Deed::read(Operation::VAULT_LIST, under);
        let work = move |_: &mut Deed| vaults.list(&asking, &at);
        self.0.trail.act(call, deed, work).await
    }

    async fn put(&self, call: &Call, id: &ResourceId, body: &Value) -> Result<Put, ControlError> {
        let wanted = body::whole(call, body)?;
        let operation = match wanted.mode {
            CreateMode::Default => Operation::VAULT_PUT,
            CreateMode::Recover => Operation::VAULT_RECOVER,
        };
        let (vaults, asking, at) = (Arc::clone(&self.0), call.clone(), id.clone());
        let work = move |deed: &mut Deed| vaults.put(&asking, &at, wanted, deed);
        self.0.trail.act(call, Deed::change(operation, id), work).await
    }

    async fn patch(
        &self,
        call: &Call,
        id: &ResourceId,
        body: &Value,
    ) -> Result<Value, ControlError> {
        let (tenant, change) = body::part(call, body)?;
        let (vaults, asking, at) = (Arc::clone(&self.0), call.clone(), id.clone());
        let work = move |deed: &mut Deed| {
            let patched = vaults.decided(&asking, &known::VAULT_WRITE, at.scope(), |snapshot| {
                let present = vaults.find(&at)?;
                if tenant.is_some_and(|tenant| tenant != present.place.tenant) {
                    return Err(other_tenant(present.place.tenant));
                }
                let change = with_model(change, &asking, &at, snapshot);
                Ok(vaults.vault.patch_vault(&present.name, change)?)
            })?;
            deed.reason = reason(&patched);
            Ok(rendered::vault(&patched, &vaults.suffix))
        };
        self.0.trail.act(call, Deed::change(Operation::VAULT_PATCH, id), work).await
    }

    async fn delete(&self, call: &Call, id: &ResourceId) -> Result<Option<Value>, ControlError> {
        let (vaults, asking, at) = (Arc::clone(&self.0), call.clone(), id.clone());
        let work = move |deed: &mut Deed| {
            let turn = vaults.turn();
            let gone =
                vaults.decided(&asking, &known::VAULT_DELETE, at.scope(), |_| {
                    match vaults.find(&at) {
                        Ok(vault) => Ok(Some(vaults.vault.delete_vault(&vault.name)?)),
                        Err(ControlError::Missing(_)) => Ok(None),
                        Err(error) => Err(error),
                    }
                })?;
            deed.reason = dropped(vaults.drop_roles(at.scope())?);
            drop(turn);
            Ok(gone.map(|vault| rendered::vault(&vault, &vaults.suffix)))
        };
        self.0.trail.act(call, Deed::change(Operation::VAULT_DELETE, id), work).await
    }

    async fn listed(&self, under: &Scope) -> Result<Vec<Listed>, ControlError> {
        let (vaults, under) = (Arc::clone(&self.0), under.clone());
        self.0.directory.blocking(move |_| vaults.listed(&under)).await
    }

    fn inside(&self, group: &Scope) -> Result<Vec<ResourceId>, ControlError> {
        Ok(self.0.listed(group)?.into_iter().map(|one| one.id).collect())
    }

    fn clear(&self, call: &Call, group: &Scope, id: &ResourceId) -> Result<(), ControlError> {
        let vaults = &self.0;
        let work = |deed: &mut Deed| {
            let turn = vaults.turn();
            vaults.decided(call, &known::RESOURCE_GROUP_DELETE, group, |_| {
                match vaults.find(id) {
                    Ok(vault) => Ok(vaults.vault.delete_vault(&vault.name).map(drop)?),
                    // Somebody else was faster.
                    Err(ControlError::Missing(_)) => Ok(()),
                    Err(error) => Err(error),
                }
            })?;
            let roles = dropped(vaults.drop_roles(id.scope())?);
            deed.reason = format!("its resource group is deleted; {roles}");
            drop(turn);
            Ok(())
        };
        vaults.trail.act_blocking(call, Deed::change(Operation::VAULT_DELETE, id), work)
    }
}

impl Vaults {
    /// The vaults under a scope, in lists of resources of every type; blocks.
    fn listed(&self, under: &Scope) -> Result<Vec<Listed>, ControlError> {
        let all = self.vault.live_vaults()?;
        Ok(all.iter().filter_map(listed).filter(|one| under.contains(one.id.scope())).collect())
    }

    /// The vaults under a scope that the caller may see; blocks.
    fn list(&self, call: &Call, under: &Scope) -> Result<Page, ControlError> {
        let snapshot = self.directory.snapshot();
        let seen = |scope: &Scope| may(call, &snapshot, &known::VAULT_READ, scope);
        let mut shown = Vec::new();
        for vault in self.vault.live_vaults()? {
            let Ok(scope) = vault.resource_id().parse::<Scope>() else { continue };
            if under.contains(&scope) && seen(&scope).is_ok() {
                shown.push(vault);
            }
        }
        if shown.is_empty() {
            // Nobody is told that there are none who may not know.
            seen(under)?;
        }
        let part = call.page.part(shown, place);
        Ok(part.shown(|vault| rendered::vault(vault, &self.suffix)))
    }

    /// Makes, changes or recovers a vault; blocks.
    fn put(
        &self,
        call: &Call,
        id: &ResourceId,
        wanted: body::Wanted,
        deed: &mut Deed,
    ) -> Result<Put, ControlError> {
        let turn = self.turn();
        let write = known::VAULT_WRITE;
        may(call, &self.directory.snapshot(), &write, id.scope())?;
        let name = address(id.name())?;
        if self.vault.vault(&name)?.is_none() {
            // What an interrupted deletion left behind is not to come back to life.
            self.drop_roles(id.scope())?;
        }
        // That its group is there is looked for as long as that stays so: groups go only when
        // nothing lies in them, while the directory lets nothing change as well.
        let put = self.decided(call, &write, id.scope(), |snapshot| {
            let request = self.request(call, id, wanted, snapshot)?;
            let change = with_model(request.change, call, id, snapshot);
            Ok(self.vault.put_vault(&name, VaultRequest { change, ..request })?)
        })?;
        drop(turn);
        deed.reason = reason(put.properties());
        let shown = rendered::vault(put.properties(), &self.suffix);
        Ok(match put {
            PutVault::Created(_) => Put::Created(shown),
            PutVault::Updated(_) | PutVault::Recovered(_) => Put::Replaced(shown),
        })
    }

    /// What is asked of the vaults, once it is known that it may be; blocks.
    fn request(
        &self,
        call: &Call,
        id: &ResourceId,
        wanted: body::Wanted,
        snapshot: &Snapshot,
    ) -> Result<VaultRequest, ControlError> {
        let (Some(subscription), Some(group)) = (id.subscription(), id.resource_group()) else {
            let message = "a key vault lies in a resource group";
            return Err(ControlError::invalid("InvalidResourceId", message));
        };
        let scope = Scope::of_resource_group(subscription, group.clone());
        if self.groups.find_blocking(&scope)?.is_none() {
            return Err(group::missing(Some(group)));
        }
        let tenant = snapshot.tenant().guid();
        if wanted.tenant != tenant {
            return Err(other_tenant(tenant));
        }
        let location = &wanted.location;
        let place = Placement::new(tenant, subscription, group.as_str(), location)?;
        let change = VaultChange { model: wanted.model(call), ..wanted.change };
        Ok(VaultRequest { place, mode: wanted.mode, change })
    }
}

/// Whether the caller could give the roles that a switch of the model makes count, or stop
/// counting: to switch a vault that has been decided takes the right to do that.
fn with_model(
    change: VaultChange,
    call: &Call,
    id: &ResourceId,
    snapshot: &Snapshot,
) -> VaultChange {
    let may = call.must(snapshot, &known::ROLE_ASSIGNMENT_WRITE, id.scope()).is_ok();
    VaultChange { may_switch_model: may, ..change }
}

fn other_tenant(ours: Guid) -> ControlError {
    let message = format!(
        "`properties.tenantId` must be the tenant of the subscription, `{ours}`: nobody of another \
         one could use the vault"
    );
    ControlError::invalid("BadRequest", message)
}

/// A vault in lists of resources of every type.
fn listed(vault: &VaultProperties) -> Option<Listed> {
    let id = vault.resource_id().parse().ok()?;
    let (location, tags) = (vault.place.location.clone(), rendered::tags(&vault.tags));
    Some(Listed { id, location, tags })
}

/// What the trail says of how a vault's permission model stands.
fn reason(vault: &VaultProperties) -> String {
    let (model, by) = (vault.model, vault.decision.by);
    match vault.founder {
        Some(founder) => format!("permission model: {model}, decided by {by}, made by {founder}"),
        None => format!("permission model: {model}, decided by {by}"),
    }
}
