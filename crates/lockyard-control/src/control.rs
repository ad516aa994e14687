//! The control plane's front: one verb for each thing that a face can ask.

use std::sync::{Arc, Mutex};

use lockyard_access::{Directory, Records, Snapshot, TenantId, decision::known};
use lockyard_arm::{ResourceGroupName, ResourceId, ResourceType, Scope};
use lockyard_audit::Audit;
use lockyard_base::{Clock, Guid};
use lockyard_vault::Vault;
use serde_json::{Value, json};

use crate::{
    Acted, Call, ControlError, Page, Put,
    authorization::{Assignments, Definitions},
    group::{self, GroupChanges, Groups},
    identity::{self, Identities},
    provider::{Provider, Providers},
    resources, subscription,
    trail::Trail,
    vault::{self, Vaults},
};

/// What the control plane stands on.
#[derive(Debug)]
pub struct Setup {
    /// Where groups are kept, and what belongs to identities.
    pub records: Records,
    /// Who there is, and who may do what.
    pub directory: Arc<Directory>,
    /// The embedded key vaults.
    pub vault: Arc<Vault>,
    /// What follows the name of a vault and a dot in its address.
    pub vault_suffix: String,
    /// Where operations are recorded.
    pub audit: Arc<dyn Audit>,
    /// Measures them.
    pub clock: Arc<dyn Clock>,
    /// Resources that the instance keeps by other means than this room: they are listed, and their
    /// groups cannot be deleted.
    pub fixtures: Vec<ResourceId>,
}

/// Subscriptions, resource groups, and the resources in them.
#[derive(Debug)]
pub struct Control {
    directory: Arc<Directory>,
    groups: Groups,
    changes: GroupChanges,
    providers: Providers,
    /// Resources that the instance itself keeps: the default registry.
    fixtures: Vec<ResourceId>,
}

impl Control {
    /// Opens the control plane, and makes the groups that the fixtures lie in; blocks.
    pub fn open(setup: Setup) -> Result<Arc<Self>, ControlError> {
        let Setup { records, directory, vault, vault_suffix, audit, clock, fixtures } = setup;
        let groups = Groups::new(records.clone());
        for fixture in &fixtures {
            if let (Some(id), Some(name)) = (fixture.subscription(), fixture.resource_group()) {
                groups.ensure(&Scope::of_resource_group(id, name.clone()), clock.wall())?;
            }
        }
        let trail = Trail::new(audit, Arc::clone(&clock));
        let vaults = Arc::new(Vaults {
            directory: Arc::clone(&directory),
            vault,
            groups: groups.clone(),
            trail: trail.clone(),
            suffix: vault_suffix,
            turn: Mutex::default(),
        });
        vaults.hear_of_roles()?;
        let assignments =
            Assignments::new(Arc::clone(&directory), groups.clone(), Arc::clone(&vaults));
        let definitions = Definitions::new(Arc::clone(&directory));
        let identities =
            Identities::new(Arc::clone(&directory), records, groups.clone(), trail.clone());
        let mut table: Vec<(&'static str, Arc<dyn Provider>)> = vec![
            ("Microsoft.Authorization/roleAssignments", Arc::new(assignments)),
            ("Microsoft.Authorization/roleDefinitions", Arc::new(definitions)),
        ];
        table.extend(vault::providers(&vaults));
        table.push((identity::TYPE, Arc::new(identities)));
        let providers = Providers::new(table);
        let changes = GroupChanges {
            directory: Arc::clone(&directory),
            groups: groups.clone(),
            providers: providers.clone(),
            trail,
            clock,
            fixtures: fixtures.clone(),
            existence: Arc::default(),
        };
        Ok(Arc::new(Self { directory, groups, changes, providers, fixtures }))
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
            return Err(resources::not_narrowed(condition));
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
        self.changes.put(call, Scope::of_resource_group(id, name.clone()), body).await
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
        self.changes.patch(call, scope, body).await.map(|group| group.rendered())
    }

    /// Deletes a resource group with all that is in it and the roles that were assigned there.
    pub async fn delete_group(
        &self,
        call: &Call,
        id: Guid,
        name: &ResourceGroupName,
    ) -> Result<(), ControlError> {
        self.changes.delete(call, Scope::of_resource_group(id, name.clone())).await
    }

    /// The resources at or below a scope that the caller may see, of every type.
    pub async fn resources(&self, call: &Call, under: &Scope) -> Result<Page, ControlError> {
        let snapshot = match under.subscription() {
            Some(id) => self.visible(call, id)?,
            None => self.directory.snapshot(),
        };
        let mut all: Vec<_> = self.fixtures.iter().map(resources::fixture).collect();
        for provider in self.providers.all() {
            all.extend(provider.listed(under).await?);
        }
        resources::shown(call, &snapshot, under, all)
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
    ) -> Result<Page, ControlError> {
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

    /// Changes what the body names of a resource.
    pub async fn patch(
        &self,
        call: &Call,
        id: &ResourceId,
        body: &Value,
    ) -> Result<Value, ControlError> {
        self.providers.of(&id.resource_type())?.patch(call, id, body).await
    }

    /// Does what a POST asks for: `kind` is a type one word longer than that of the resource
    /// `at`, and that word is an action of the resource; or it is a question to a provider.
    pub async fn act(
        &self,
        call: &Call,
        at: &Scope,
        kind: &ResourceType,
        body: &Value,
    ) -> Result<Acted, ControlError> {
        if let Ok(id) = ResourceId::try_from(at.clone())
            && let Some(action) = kind.kinds().last()
            && kind.is(&format!("{}/{action}", id.resource_type()))
        {
            return self.providers.of(&id.resource_type())?.act(call, &id, action, body).await;
        }
        self.providers.of(kind)?.ask(call, at, body).await
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
