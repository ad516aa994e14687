//! Resource groups: made, changed, deleted, each decided, done and recorded on one blocking thread.
//!
//! What lies in a group and the group itself are kept in several databases, and the directory is
//! what ties them: whatever makes a resource in a group looks whether the group is there while the
//! directory lets nothing change, and a group goes only while nothing lies in it, in the same way.
//! So no group goes under a resource that is being made.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockyard_access::{
    Directory, Snapshot,
    decision::{Action, known},
};
use lockyard_arm::{ResourceGroupName, ResourceId, Scope};
use lockyard_audit::Operation;
use lockyard_base::Clock;
use serde_json::Value;

use super::{Group, Groups, missing};
use crate::{
    Call, ControlError, Put, decided,
    provider::Providers,
    subscription,
    trail::{Deed, Trail, dropped},
};

/// How often a group is cleared of what somebody makes in it meanwhile, before who deletes it is
/// asked to try again.
const CLEARINGS_MAX: usize = 8;

/// What the verbs of resource groups stand on.
#[derive(Clone, Debug)]
pub(crate) struct GroupChanges {
    pub(crate) directory: Arc<Directory>,
    pub(crate) groups: Groups,
    pub(crate) providers: Providers,
    pub(crate) trail: Trail,
    pub(crate) clock: Arc<dyn Clock>,
    /// Resources that the instance itself keeps: their groups stay.
    pub(crate) fixtures: Vec<ResourceId>,
    /// Held while a group is made or goes with its roles, so that no new one loses its first roles
    /// to the end of an old one.
    pub(crate) existence: Arc<Mutex<()>>,
}

impl GroupChanges {
    /// Makes a resource group or changes its tags.
    pub(crate) async fn put(
        &self,
        call: &Call,
        scope: Scope,
        body: &Value,
    ) -> Result<Put, ControlError> {
        let deed = Deed::change(Operation::RESOURCE_GROUP_PUT, &scope).refusals_counted();
        let (this, asking, body) = (self.clone(), call.clone(), body.clone());
        let work = move |deed: &mut Deed| {
            let decide = may(&asking, known::RESOURCE_GROUP_WRITE, &scope);
            decide(&this.directory.snapshot())?;
            let _alone = this.alone();
            if this.groups.find_blocking(&scope)?.is_none() {
                // What an interrupted deletion left behind is not to come back to life.
                let roles = this.drop_roles(&scope)?;
                if roles > 0 {
                    deed.reason = dropped(roles);
                }
            }
            let put = this.groups.put(&scope, &body, this.clock.wall())?;
            decided::effect_blocking(&this.directory, decide, put)
        };
        self.trail.act(call, deed, work).await
    }

    /// Changes what the body names of a resource group.
    pub(crate) async fn patch(
        &self,
        call: &Call,
        scope: Scope,
        body: &Value,
    ) -> Result<Group, ControlError> {
        let deed = Deed::change(Operation::RESOURCE_GROUP_PATCH, &scope).refusals_counted();
        let (this, asking, body) = (self.clone(), call.clone(), body.clone());
        let work = move |_: &mut Deed| {
            let decide = may(&asking, known::RESOURCE_GROUP_WRITE, &scope);
            decide(&this.directory.snapshot())?;
            let patch = this.groups.patch(&scope, &body)?;
            let found = decided::effect_blocking(&this.directory, decide, patch)?;
            found.ok_or_else(|| missing(scope.resource_group()))
        };
        self.trail.act(call, deed, work).await
    }

    /// Deletes a resource group with all that is in it and the roles that were assigned there;
    /// what goes with it is recorded like every deletion of its kind.
    ///
    /// Vaults in it are deleted as vaults always are, so that they can be recovered. Whoever is
    /// interrupted asks again; the roles go last, and go again when a group of the name is made.
    pub(crate) async fn delete(&self, call: &Call, scope: Scope) -> Result<(), ControlError> {
        let deed = Deed::change(Operation::RESOURCE_GROUP_DELETE, &scope).refusals_counted();
        let (this, asking) = (self.clone(), call.clone());
        let work = move |deed: &mut Deed| this.delete_blocking(&asking, &scope, deed);
        self.trail.act(call, deed, work).await
    }

    fn delete_blocking(
        &self,
        call: &Call,
        scope: &Scope,
        deed: &mut Deed,
    ) -> Result<(), ControlError> {
        may(call, known::RESOURCE_GROUP_DELETE, scope)(&self.directory.snapshot())?;
        if let Some(kept) = self.fixtures.iter().find(|kept| scope.contains(kept.scope())) {
            let name = scope.resource_group().map(ResourceGroupName::as_str).unwrap_or_default();
            let message = format!(
                "the resource group `{name}` holds `{}`, which this instance cannot be without",
                kept.name()
            );
            return Err(ControlError::conflict("ResourceGroupDeletionBlocked", message));
        }
        if self.groups.find_blocking(scope)?.is_none() {
            return Err(missing(scope.resource_group()));
        }
        let mut gone = 0;
        for _ in 0..CLEARINGS_MAX {
            self.clear(call, scope, &mut gone, deed)?;
            let decide = may(call, known::RESOURCE_GROUP_DELETE, scope);
            let _alone = self.alone();
            let removed =
                decided::effect_blocking(&self.directory, decide, || self.remove_if_empty(scope))?;
            match removed {
                Removed::Held => {}
                Removed::Missing => return Err(missing(scope.resource_group())),
                Removed::Gone => {
                    let roles = dropped(self.drop_roles(scope)?);
                    deed.reason = format!("{}; {roles}", taken(gone));
                    return Ok(());
                }
            }
        }
        Err(ControlError::Overtaken)
    }

    /// Forgets a group in which nothing lies; the directory lets nothing change meanwhile.
    fn remove_if_empty(&self, scope: &Scope) -> Result<Removed, ControlError> {
        for provider in self.providers.all() {
            if !provider.inside(scope)?.is_empty() {
                return Ok(Removed::Held);
            }
        }
        Ok(if self.groups.remove(scope)? { Removed::Gone } else { Removed::Missing })
    }

    /// Deletes what lies in a group; the deed says how much, whatever comes of it.
    fn clear(
        &self,
        call: &Call,
        scope: &Scope,
        gone: &mut usize,
        deed: &mut Deed,
    ) -> Result<(), ControlError> {
        for provider in self.providers.all() {
            for id in provider.inside(scope)? {
                provider.clear(call, scope, &id)?;
                *gone += 1;
                deed.reason = taken(*gone);
            }
        }
        Ok(())
    }

    fn alone(&self) -> MutexGuard<'_, ()> {
        self.existence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes away every role that was given at a group or inside it; blocks.
    fn drop_roles(&self, scope: &Scope) -> Result<usize, ControlError> {
        Ok(self.directory.unassign_within(scope)?.len())
    }
}

/// What became of a group that was to go.
enum Removed {
    Gone,
    /// Somebody else was faster.
    Missing,
    /// Something was made in it since it was cleared.
    Held,
}

/// The question whether the caller may do this to a group, to be asked beside the effect.
fn may(
    call: &Call,
    action: Action,
    scope: &Scope,
) -> impl Fn(&Snapshot) -> Result<(), ControlError> + Send + Sync + use<> {
    let (call, scope) = (call.clone(), scope.clone());
    move |snapshot| subscription::may(&call, snapshot, &action, &scope)
}

fn taken(resources: usize) -> String {
    format!("{resources} resources in it went with it")
}
