//! The control plane's front: one verb for each thing that a face can ask.

use std::sync::Arc;

use lockyard_access::{
    Directory, Records, Snapshot, TenantId,
    decision::{Action, known},
};
use lockyard_arm::{Condition, ResourceGroupName, ResourceId, ResourceType, Scope};
use lockyard_base::{Clock, Guid};
use serde_json::{Value, json};

use crate::{
    Call, ControlError, Put,
    authorization::{Assignments, Definitions},
    decided,
    error::of_change,
    group::{self, Groups},
    provider::Providers,
    subscription,
};

/// Subscriptions, resource groups, and the resources in them.
#[derive(Debug)]
pub struct Control {
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    groups: Groups,
    providers: Providers,
    /// Resources that the instance itself keeps: the default registry.
    fixtures: Vec<ResourceId>,
}

impl Control {
    /// Opens the control plane, and makes the groups that `fixtures` lie in; blocks.
    ///
    /// `fixtures` are resources that the instance keeps by other means than this room: they are
    /// listed, and their groups cannot be deleted.
    pub fn open(
        records: Records,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        fixtures: Vec<ResourceId>,
    ) -> Result<Arc<Self>, ControlError> {
        let groups = Groups::new(records);
        for fixture in &fixtures {
            if let (Some(id), Some(name)) = (fixture.subscription(), fixture.resource_group()) {
                groups.ensure(&Scope::of_resource_group(id, name.clone()), clock.wall())?;
            }
        }
        let assignments = Assignments::new(Arc::clone(&directory), groups.clone());
        let definitions = Definitions::new(Arc::clone(&directory));
        let providers = Providers::new(vec![
            ("Microsoft.Authorization/roleAssignments", Arc::new(assignments)),
            ("Microsoft.Authorization/roleDefinitions", Arc::new(definitions)),
        ]);
        Ok(Arc::new(Self { directory, clock, groups, providers, fixtures }))
    }

    /// The tenant that everything here belongs to.
    pub fn tenant(&self) -> TenantId {
        self.directory.snapshot().tenant()
    }

    /// The caller's tenants: the one that there is. Whoever is in it may see it.
    pub fn tenants(&self, _call: &Call) -> Vec<Value> {
        vec![subscription::tenant(&self.directory.snapshot())]
    }

    /// The subscriptions in which the caller has any role.
    pub fn subscriptions(&self, call: &Call) -> Vec<Value> {
        let snapshot = self.directory.snapshot();
        let visible = subscription::is_visible(call, &snapshot);
        let all = [subscription::rendered(snapshot.subscription(), snapshot.tenant())];
        all.into_iter().filter(|_| visible).collect()
    }

    /// A subscription.
    pub fn subscription(&self, call: &Call, id: Guid) -> Result<Value, ControlError> {
        let snapshot = self.visible(call, id)?;
        Ok(subscription::rendered(snapshot.subscription(), snapshot.tenant()))
    }

    /// The locations that resources of a subscription may name.
    pub fn locations(&self, call: &Call, id: Guid) -> Result<Vec<Value>, ControlError> {
        let _snapshot = self.visible(call, id)?;
        Ok(subscription::locations(id))
    }

    /// The resource providers that there are, with their types.
    pub fn providers(&self, call: &Call, id: Guid) -> Result<Vec<Value>, ControlError> {
        let _snapshot = self.visible(call, id)?;
        let mut shown: Vec<(&str, Vec<Value>)> = Vec::new();
        let groups = ["Microsoft.Resources/resourceGroups"];
        for name in self.providers.types().chain(groups) {
            let Some((namespace, kind)) = name.split_once('/') else { continue };
            let kind = json!({ "resourceType": kind, "locations": [], "apiVersions": [] });
            match shown.iter_mut().find(|(known, _)| *known == namespace) {
                Some((_, kinds)) => kinds.push(kind),
                None => shown.push((namespace, vec![kind])),
            }
        }
        let rendered = |(namespace, kinds): (&str, Vec<Value>)| {
            json!({
                "id": format!("/subscriptions/{id}/providers/{namespace}"),
                "namespace": namespace,
                "registrationState": "Registered",
                "resourceTypes": kinds,
            })
        };
        Ok(shown.into_iter().map(rendered).collect())
    }

    /// The resource groups of a subscription that the caller may see.
    pub async fn groups(&self, call: &Call, id: Guid) -> Result<Vec<Value>, ControlError> {
        let snapshot = self.visible(call, id)?;
        if let Some(condition) = call.filter.first() {
            return Err(group_filter(condition));
        }
        let mut shown = Vec::new();
        let all = self.groups.list(id).await?;
        for group in all.iter().map(group::Group::rendered) {
            let name = group["name"].as_str().and_then(|name| name.parse().ok());
            let Some(name) = name else { continue };
            let scope = Scope::of_resource_group(id, name);
            if call.must(&snapshot, &known::RESOURCE_GROUP_READ, &scope).is_ok() {
                shown.push(group);
            }
        }
        if shown.is_empty() {
            // Nobody is told that there are none who may not know.
            let scope = Scope::of_subscription(id);
            call.must(&snapshot, &known::RESOURCE_GROUP_READ, &scope)?;
        }
        Ok(shown)
    }

    /// A resource group.
    pub async fn group(
        &self,
        call: &Call,
        id: Guid,
        name: &ResourceGroupName,
    ) -> Result<Value, ControlError> {
        let scope = Scope::of_resource_group(id, name.clone());
        let snapshot = self.ours(id)?;
        call.must(&snapshot, &known::RESOURCE_GROUP_READ, &scope)?;
        let found = self.groups.find(&scope).await?;
        found.map(|group| group.rendered()).ok_or_else(|| group::missing(Some(name)))
    }

    /// Makes a resource group or changes its tags.
    pub async fn put_group(
        &self,
        call: &Call,
        id: Guid,
        name: &ResourceGroupName,
        body: &Value,
    ) -> Result<Put, ControlError> {
        let scope = Scope::of_resource_group(id, name.clone());
        let snapshot = self.ours(id)?;
        call.must(&snapshot, &known::RESOURCE_GROUP_WRITE, &scope)?;
        let put = self.groups.put(&scope, body, self.clock.wall())?;
        let decide = allowed(call, known::RESOURCE_GROUP_WRITE, scope);
        decided::effect(&self.directory, decide, put).await
    }

    /// Changes what the body names of a resource group.
    pub async fn patch_group(
        &self,
        call: &Call,
        id: Guid,
        name: &ResourceGroupName,
        body: &Value,
    ) -> Result<Value, ControlError> {
        let scope = Scope::of_resource_group(id, name.clone());
        let snapshot = self.ours(id)?;
        call.must(&snapshot, &known::RESOURCE_GROUP_WRITE, &scope)?;
        let patch = self.groups.patch(&scope, body)?;
        let decide = allowed(call, known::RESOURCE_GROUP_WRITE, scope);
        let found = decided::effect(&self.directory, decide, patch).await?;
        found.map(|group| group.rendered()).ok_or_else(|| group::missing(Some(name)))
    }

    /// Deletes a resource group with the roles that were assigned in it.
    ///
    /// The group goes first: a crash between leaves assignments that reach nothing.
    pub async fn delete_group(
        &self,
        call: &Call,
        id: Guid,
        name: &ResourceGroupName,
    ) -> Result<(), ControlError> {
        let scope = Scope::of_resource_group(id, name.clone());
        let snapshot = self.ours(id)?;
        call.must(&snapshot, &known::RESOURCE_GROUP_DELETE, &scope)?;
        if let Some(kept) = self.fixtures.iter().find(|kept| scope.contains(kept.scope())) {
            let message = format!(
                "the resource group `{name}` holds `{}`, which this instance cannot be without",
                kept.name()
            );
            return Err(ControlError::conflict("ResourceGroupDeletionBlocked", message));
        }
        let decide = allowed(call, known::RESOURCE_GROUP_DELETE, scope.clone());
        let remove = self.groups.remove(&scope);
        if !decided::effect(&self.directory, decide, remove).await? {
            return Err(group::missing(Some(name)));
        }
        let snapshot = self.directory.snapshot();
        let inside = snapshot.assignments().filter(|one| scope.contains(&one.scope));
        let inside: Vec<Guid> = inside.map(|assignment| assignment.id).collect();
        let unassign = move |directory: &Directory| {
            inside.into_iter().try_for_each(|id| directory.unassign(id).map(drop))
        };
        let gone = self.directory.blocking(unassign).await;
        gone.map_err(|error| of_change("RoleAssignmentNotFound", error))
    }

    /// The resources at or below a scope that the caller may see, of every type.
    pub fn resources(&self, call: &Call, under: &Scope) -> Result<Vec<Value>, ControlError> {
        let snapshot = match under.subscription() {
            Some(id) => self.visible(call, id)?,
            None => self.directory.snapshot(),
        };
        let wanted = narrowed(&call.filter)?;
        let may = |id: &ResourceId| {
            call.must(&snapshot, &known::RESOURCES_READ, id.scope()).is_ok()
                || call.must(&snapshot, &known::REGISTRY_READ, id.scope()).is_ok()
        };
        let kept = self.fixtures.iter().filter(|id| {
            under.contains(id.scope()) && wanted.iter().all(|narrow| narrow.keeps(id)) && may(id)
        });
        let rendered = |id: &ResourceId| {
            json!({
                "id": id.to_string(),
                "name": id.name(),
                "type": id.resource_type().to_string(),
                "location": "local",
                "tags": {},
            })
        };
        Ok(kept.map(rendered).collect())
    }

    /// A resource.
    pub async fn get(&self, call: &Call, id: &ResourceId) -> Result<Value, ControlError> {
        self.providers.of(&id.resource_type())?.get(call, id).await
    }

    /// The resources of a type at or below a scope.
    pub async fn list(
        &self,
        call: &Call,
        under: &Scope,
        kind: &ResourceType,
    ) -> Result<Vec<Value>, ControlError> {
        self.providers.of(kind)?.list(call, under).await
    }

    /// Makes a resource or replaces it.
    pub async fn put(
        &self,
        call: &Call,
        id: &ResourceId,
        body: &Value,
    ) -> Result<Put, ControlError> {
        self.providers.of(&id.resource_type())?.put(call, id, body).await
    }

    /// Deletes a resource and tells what it was; `None` if it was not there.
    pub async fn delete(
        &self,
        call: &Call,
        id: &ResourceId,
    ) -> Result<Option<Value>, ControlError> {
        self.providers.of(&id.resource_type())?.delete(call, id).await
    }

    fn ours(&self, id: Guid) -> Result<Arc<Snapshot>, ControlError> {
        let snapshot = self.directory.snapshot();
        subscription::must_be_ours(&snapshot, id)?;
        Ok(snapshot)
    }

    fn visible(&self, call: &Call, id: Guid) -> Result<Arc<Snapshot>, ControlError> {
        let snapshot = self.ours(id)?;
        if !subscription::is_visible(call, &snapshot) {
            call.must(&snapshot, &known::SUBSCRIPTION_READ, &Scope::of_subscription(id))?;
        }
        Ok(snapshot)
    }
}

/// The question whether the caller may do `action` at `scope`, to be asked beside the effect.
fn allowed(
    call: &Call,
    action: Action,
    scope: Scope,
) -> impl Fn(&Snapshot) -> Result<(), ControlError> + Send + Sync + use<> {
    let call = call.clone();
    move |snapshot| call.must(snapshot, &action, &scope)
}

/// What a list of resources is narrowed to.
enum Narrowing {
    Kind(String),
    Name(String),
    Group(String),
}

impl Narrowing {
    fn keeps(&self, id: &ResourceId) -> bool {
        match self {
            Self::Kind(kind) => id.resource_type().is(kind),
            Self::Name(name) => id.name().eq_ignore_ascii_case(name),
            Self::Group(group) => {
                id.resource_group().is_some_and(|own| own.as_str().eq_ignore_ascii_case(group))
            }
        }
    }
}

fn narrowed(filter: &[Condition]) -> Result<Vec<Narrowing>, ControlError> {
    let one = |condition: &Condition| match condition {
        Condition::Equals { property, value } => match property.as_str() {
            "resourcetype" => Ok(Narrowing::Kind(value.clone())),
            "name" => Ok(Narrowing::Name(value.clone())),
            "resourcegroup" => Ok(Narrowing::Group(value.clone())),
            _ => Err(group_filter(condition)),
        },
        Condition::Has { .. } | Condition::StartsWith { .. } | Condition::Call { .. } => {
            Err(group_filter(condition))
        }
    };
    filter.iter().map(one).collect()
}

fn group_filter(_condition: &Condition) -> ControlError {
    let message = "this list cannot be narrowed like this; leave `$filter` out";
    ControlError::invalid("InvalidFilter", message)
}
