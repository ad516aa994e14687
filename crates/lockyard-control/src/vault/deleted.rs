//! Deleted vaults: listed, shown, purged. A PUT of the vault recovers one.

use std::sync::Arc;

use async_trait::async_trait;
use lockyard_access::decision::known;
use lockyard_arm::{ResourceId, Scope, ScopeLevel};
use lockyard_audit::Operation;
use lockyard_vault::{VaultError, VaultProperties};
use serde_json::Value;

use super::{Vaults, address, place, rendered};
use crate::{Acted, Call, ControlError, Page, provider::Provider, trail::Deed};

/// The provider of `Microsoft.KeyVault/deletedVaults`, which is only a list.
#[derive(Debug)]
pub(super) struct AllDeleted(pub(super) Arc<Vaults>);

/// The provider of `Microsoft.KeyVault/locations/deletedVaults`.
#[derive(Debug)]
pub(super) struct Deleted(pub(super) Arc<Vaults>);

#[async_trait]
impl Provider for AllDeleted {
    async fn list(&self, call: &Call, under: &Scope) -> Result<Page, ControlError> {
        if under.level() != ScopeLevel::Subscription {
            let message = "deleted vaults are listed by subscription";
            return Err(ControlError::invalid("InvalidResourceId", message));
        }
        let (vaults, asking, at) = (Arc::clone(&self.0), call.clone(), under.clone());
        let work = move |_: &mut Deed| {
            vaults.seen(&asking, &known::DELETED_VAULTS_READ, &at)?;
            let all = vaults.vault.deleted_vaults()?;
            let ours = all.iter().filter(|one| at.subscription() == Some(one.place.subscription));
            let ours = ours.filter_map(|one| one.deleted.map(|when| (one, when)));
            let part = asking.page.part(ours, |(vault, _)| place(vault));
            Ok(part.shown(|(vault, when)| rendered::deleted(vault, *when)))
        };
        let deed = Deed::read(Operation::VAULT_LIST_DELETED, under);
        self.0.trail.act(call, deed, work).await
    }
}

#[async_trait]
impl Provider for Deleted {
    async fn get(&self, call: &Call, id: &ResourceId) -> Result<Value, ControlError> {
        let (vaults, asking, at) = (Arc::clone(&self.0), call.clone(), id.clone());
        let work = move |deed: &mut Deed| {
            vaults.seen(&asking, &known::DELETED_VAULT_READ, &subscription(&at))?;
            let found = vaults.deleted(&at)?;
            *deed = deed.clone().at(found.resource_id());
            let when = found.deleted.ok_or_else(|| missing(&found))?;
            Ok(rendered::deleted(&found, when))
        };
        self.0.trail.act(call, Deed::read(Operation::VAULT_GET_DELETED, id), work).await
    }

    async fn act(
        &self,
        call: &Call,
        id: &ResourceId,
        action: &str,
        _body: &Value,
    ) -> Result<Acted, ControlError> {
        if !action.eq_ignore_ascii_case("purge") {
            let message = format!("a deleted vault can be purged; there is no action `{action}`");
            return Err(ControlError::unsupported(message));
        }
        let (vaults, asking, at) = (Arc::clone(&self.0), call.clone(), id.clone());
        let work = move |deed: &mut Deed| {
            let turn = vaults.turn();
            let purge = known::DELETED_VAULT_PURGE;
            vaults.decided(&asking, &purge, &subscription(&at), |_| {
                let found = vaults.deleted(&at)?;
                *deed = deed.clone().at(found.resource_id());
                Ok(vaults.vault.purge_vault(&found.name)?)
            })?;
            drop(turn);
            Ok(Acted::Done)
        };
        self.0.trail.act(call, Deed::change(Operation::VAULT_PURGE, id), work).await
    }
}

impl Vaults {
    /// The deleted vault of this id; blocks.
    fn deleted(&self, id: &ResourceId) -> Result<VaultProperties, ControlError> {
        let name = address(id.name())?;
        let location = id.scope().parent().and_then(|at| at.name().map(str::to_owned));
        let location = location.unwrap_or_default().replace(' ', "");
        let found = self.vault.deleted_vault(&name)?.filter(|vault| {
            vault.place.location.eq_ignore_ascii_case(&location)
                && Some(vault.place.subscription) == id.subscription()
        });
        found.ok_or_else(|| VaultError::DeletedVaultNotFound(name).into())
    }
}

fn missing(vault: &VaultProperties) -> ControlError {
    VaultError::DeletedVaultNotFound(vault.name.clone()).into()
}

/// Where rights to deleted vaults count: they lie in no group any more.
fn subscription(id: &ResourceId) -> Scope {
    id.subscription().map_or_else(Scope::root, Scope::of_subscription)
}
