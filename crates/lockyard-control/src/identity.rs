//! User-assigned managed identities as resources: what `az identity`, SDKs and templates ask of
//! Resource Manager.
//!
//! The identity itself is a principal of the directory, which knows its resource id. Location and
//! tags lie in a record beside it, under the object id; an identity that an operator made has none.
//! The principal comes first and goes first: a crash between leaves an identity without tags, or a
//! record of nobody, and never a right.
//!
//! Deleting one is never refused: whatever acts as it loses its rights at once (BEHAVIOUR rule 37).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use lockyard_access::{
    Directory, PrincipalId, Records, Snapshot,
    decision::{Action, known},
    directory::{ChangeError, Principal, PrincipalKind, Thing},
};
use lockyard_arm::{Body, ResourceId, Scope, ScopeLevel};
use lockyard_audit::Operation;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Call, ControlError, Page, Put, decided,
    error::of_change,
    group::{self, Groups, Tags, location_name, tags},
    provider::{Listed, Provider},
    subscription::must_be_ours,
    trail::{Deed, Trail},
};

/// The type of a user-assigned identity.
pub(crate) const TYPE: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";
/// The kind of the records; the name is the object id.
const KIND: &str = "user-assigned-identity";
/// The form of the records that this program writes.
const FORM: u8 = 1;
/// The longest name of an identity, as in Azure.
pub const IDENTITY_NAME_CHARS_MAX: usize = 128;

/// What an identity is as a resource, besides who it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outline {
    v: u8,
    location: String,
    tags: Tags,
}

impl Outline {
    /// That of an identity which an operator made.
    fn plain() -> Self {
        Self { v: FORM, location: "local".to_owned(), tags: Tags::new() }
    }

    /// What an identity is to be, of what is kept of it and what is asked for.
    fn wanted(
        id: &ResourceId,
        there: Option<Self>,
        location: Option<String>,
        tags: Tags,
    ) -> Result<Self, ControlError> {
        let location = match (there, location) {
            (Some(there), Some(location)) if there.location != location => {
                return Err(moves(id, &there.location));
            }
            (Some(there), _) => there.location,
            (None, Some(location)) => location,
            (None, None) => Self::plain().location,
        };
        Ok(Self { v: FORM, location, tags })
    }

    fn read(value: &[u8]) -> Result<Self, ControlError> {
        let outline: Self =
            serde_json::from_slice(value).map_err(|error| ControlError::Failed(Box::new(error)))?;
        if outline.v == FORM {
            Ok(outline)
        } else {
            Err(ControlError::Failed("an identity's record has another form".into()))
        }
    }

    fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("names and texts are what JSON can hold")
    }
}

/// The provider of user-assigned identities.
#[derive(Clone)]
pub(crate) struct Identities {
    directory: Arc<Directory>,
    records: Records,
    groups: Groups,
    trail: Trail,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identities")
    }
}

impl Identities {
    pub(crate) fn new(
        directory: Arc<Directory>,
        records: Records,
        groups: Groups,
        trail: Trail,
    ) -> Self {
        Self { directory, records, groups, trail }
    }

    /// What is kept of an identity; all of these block.
    fn kept(&self, id: PrincipalId) -> Result<Option<Outline>, ControlError> {
        self.records.get(KIND, &name_of(id))?.map(|value| Outline::read(&value)).transpose()
    }

    fn keep(&self, id: PrincipalId, outline: &Outline) -> Result<(), ControlError> {
        Ok(self.records.put(KIND, &name_of(id), &outline.write())?)
    }

    fn outline(&self, id: PrincipalId) -> Result<Outline, ControlError> {
        Ok(self.kept(id)?.unwrap_or_else(Outline::plain))
    }

    fn shown(&self, one: &Principal) -> Result<Value, ControlError> {
        Ok(rendered(one, &self.outline(one.id)?, &self.directory.snapshot()))
    }

    /// Refuses an id that no identity can have, and a group that is not there.
    fn must_fit(&self, snapshot: &Snapshot, id: &ResourceId) -> Result<(), ControlError> {
        let group = match (id.subscription(), id.resource_group()) {
            (Some(subscription), Some(name)) => {
                must_be_ours(snapshot, subscription)?;
                Scope::of_resource_group(subscription, name.clone())
            }
            _ => return Err(misplaced()),
        };
        if id.scope().parent().is_none_or(|parent| parent.level() != ScopeLevel::ResourceGroup) {
            return Err(misplaced());
        }
        let name = id.name();
        let fits = name.chars().count() <= IDENTITY_NAME_CHARS_MAX
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if !fits {
            let message = format!(
                "the name of an identity has at most {IDENTITY_NAME_CHARS_MAX} letters, digits, \
                 hyphens and underscores, and begins with a letter or digit"
            );
            return Err(ControlError::invalid("InvalidResourceName", message));
        }
        match self.groups.find_blocking(&group)? {
            Some(_) => Ok(()),
            None => Err(group::missing(id.resource_group())),
        }
    }

    /// The identities that the caller may see.
    fn list_blocking(&self, call: &Call, under: &Scope) -> Result<Page, ControlError> {
        let snapshot = self.directory.snapshot();
        let may = |scope: &Scope| call.must(&snapshot, &known::IDENTITY_READ, scope);
        let place = |resource: &ResourceId| resource.scope().folded().to_owned();
        let mut seen: Vec<_> =
            all(&snapshot, under).filter(|(_, resource)| may(resource.scope()).is_ok()).collect();
        if seen.is_empty() {
            // Nobody is told that there are none who may not know.
            may(under)?;
        }
        seen.sort_by_cached_key(|(_, resource)| place(resource));
        let part = call.page.part(seen, |(_, resource)| place(resource));
        part.try_shown(|(one, _)| self.shown(one))
    }

    /// Makes an identity or changes its tags.
    fn put_blocking(
        &self,
        call: &Call,
        id: &ResourceId,
        body: &Value,
        deed: &mut Deed,
    ) -> Result<Put, ControlError> {
        let (this, asked, at) = (self.clone(), call.clone(), id.clone());
        let decide = move |snapshot: &Snapshot| {
            asked.must(snapshot, &known::IDENTITY_WRITE, at.scope())?;
            this.must_fit(snapshot, &at)
        };
        let snapshot = self.directory.snapshot();
        decide(&snapshot)?;
        let body = Body::of(body)?;
        let location = body.text("location")?.map(location_name).transpose()?;
        let tags = tags(&body)?;
        if location.is_none() && snapshot.by_resource(id).is_none() {
            let message = "an identity needs a `location`";
            return Err(ControlError::invalid("LocationRequired", message));
        }
        let make = |directory: &Directory| {
            if directory.snapshot().by_resource(id).is_some() {
                return Ok(false);
            }
            directory.create_managed_identity(id.clone()).map(|_| true)
        };
        let made = match decided::change_blocking(&self.directory, decide.clone(), make)? {
            Err(ChangeError::Exists(Thing::ManagedIdentity)) => false,
            made => made.map_err(|error| of_change("Conflict", error))?,
        };
        let shown = decided::effect_blocking(&self.directory, decide, || {
            let snapshot = self.directory.snapshot();
            let one = snapshot.by_resource(id).ok_or(ControlError::Overtaken)?;
            deed.reason = told(one);
            let outline = Outline::wanted(id, self.kept(one.id)?, location, tags)?;
            self.keep(one.id, &outline)?;
            Ok(rendered(one, &outline, &snapshot))
        })?;
        Ok(if made { Put::Created(shown) } else { Put::Replaced(shown) })
    }

    /// Changes what the body names of an identity.
    fn patch_blocking(
        &self,
        call: &Call,
        id: &ResourceId,
        body: &Value,
        deed: &mut Deed,
    ) -> Result<Value, ControlError> {
        let (asked, at) = (call.clone(), id.scope().clone());
        let decide = move |snapshot: &Snapshot| asked.must(snapshot, &known::IDENTITY_WRITE, &at);
        decided::effect_blocking(&self.directory, decide, || {
            let snapshot = self.directory.snapshot();
            let one = snapshot.by_resource(id).ok_or_else(|| missing(id))?;
            deed.reason = told(one);
            let body = Body::of(body)?;
            let mut outline = self.outline(one.id)?;
            if body.object("tags")?.is_there() {
                outline.tags = tags(&body)?;
                self.keep(one.id, &outline)?;
            }
            Ok(rendered(one, &outline, &snapshot))
        })
    }

    /// Deletes an identity with its roles and its record while the caller may; `None` if it is not
    /// there.
    fn remove(
        &self,
        call: &Call,
        (action, scope): (Action, &Scope),
        id: &ResourceId,
        deed: &mut Deed,
    ) -> Result<Option<Value>, ControlError> {
        let snapshot = self.directory.snapshot();
        call.must(&snapshot, &action, scope)?;
        let Some(one) = snapshot.by_resource(id) else { return Ok(None) };
        let (shown, principal, roles) = (self.shown(one)?, one.id, Arc::new(AtomicUsize::new(0)));
        let (asked, at, lost) = (call.clone(), scope.clone(), Arc::clone(&roles));
        let decide = move |snapshot: &Snapshot| {
            // Asked last of the state in which they go.
            let own = snapshot.assignments().filter(|given| given.principal == principal);
            lost.store(own.count(), Ordering::Relaxed);
            asked.must(snapshot, &action, &at)
        };
        deed.reason = told(one);
        let delete = |directory: &Directory| directory.delete_principal(principal);
        match decided::change_blocking(&self.directory, decide, delete)? {
            Ok(()) | Err(ChangeError::Missing(Thing::Principal)) => {}
            Err(error) => return Err(of_change("Conflict", error)),
        }
        let roles = roles.load(Ordering::Relaxed);
        deed.reason = format!("{}; {roles} role assignments of it were dropped", told(one));
        self.records.remove(KIND, &name_of(principal))?;
        Ok(Some(shown))
    }
}

#[async_trait]
impl Provider for Identities {
    async fn get(&self, call: &Call, id: &ResourceId) -> Result<Value, ControlError> {
        let (this, asking, id) = (self.clone(), call.clone(), id.clone());
        let work = move |directory: &Directory| {
            let snapshot = directory.snapshot();
            asking.must(&snapshot, &known::IDENTITY_READ, id.scope())?;
            let found = snapshot.by_resource(&id).ok_or_else(|| missing(&id))?;
            this.shown(found)
        };
        self.directory.blocking(work).await
    }

    async fn list(&self, call: &Call, under: &Scope) -> Result<Page, ControlError> {
        let (this, asking, under) = (self.clone(), call.clone(), under.clone());
        self.directory.blocking(move |_| this.list_blocking(&asking, &under)).await
    }

    async fn put(&self, call: &Call, id: &ResourceId, body: &Value) -> Result<Put, ControlError> {
        let (this, asking, at, body) = (self.clone(), call.clone(), id.clone(), body.clone());
        let work = move |deed: &mut Deed| this.put_blocking(&asking, &at, &body, deed);
        self.trail.act(call, deed(Operation::IDENTITY_PUT, id), work).await
    }

    async fn patch(
        &self,
        call: &Call,
        id: &ResourceId,
        body: &Value,
    ) -> Result<Value, ControlError> {
        let (this, asking, at, body) = (self.clone(), call.clone(), id.clone(), body.clone());
        let work = move |deed: &mut Deed| this.patch_blocking(&asking, &at, &body, deed);
        self.trail.act(call, deed(Operation::IDENTITY_PATCH, id), work).await
    }

    async fn delete(&self, call: &Call, id: &ResourceId) -> Result<Option<Value>, ControlError> {
        let (this, asking, at) = (self.clone(), call.clone(), id.clone());
        let work = move |deed: &mut Deed| {
            this.remove(&asking, (known::IDENTITY_DELETE, at.scope()), &at, deed)
        };
        self.trail.act(call, deed(Operation::IDENTITY_DELETE, id), work).await
    }

    async fn listed(&self, under: &Scope) -> Result<Vec<Listed>, ControlError> {
        let (this, under) = (self.clone(), under.clone());
        let work = move |directory: &Directory| {
            let snapshot = directory.snapshot();
            let listed = all(&snapshot, &under).map(|(one, resource)| {
                let outline = this.outline(one.id)?;
                let (id, tags) = (resource.clone(), json!(outline.tags));
                Ok(Listed { id, location: outline.location, tags })
            });
            listed.collect()
        };
        self.directory.blocking(work).await
    }

    fn inside(&self, group: &Scope) -> Result<Vec<ResourceId>, ControlError> {
        let snapshot = self.directory.snapshot();
        Ok(all(&snapshot, group).map(|(_, resource)| resource.clone()).collect())
    }

    fn clear(&self, call: &Call, group: &Scope, id: &ResourceId) -> Result<(), ControlError> {
        let work = |deed: &mut Deed| {
            let may = (known::RESOURCE_GROUP_DELETE, group);
            let gone = self.remove(call, may, id, deed);
            deed.reason = format!("its resource group is deleted; {}", deed.reason);
            gone.map(drop)
        };
        self.trail.act_blocking(call, deed(Operation::IDENTITY_DELETE, id), work)
    }
}

/// What the trail says of an identity: who it is to those who give roles and to those who sign in.
fn told(one: &Principal) -> String {
    match one.client {
        Some(client) => format!("principal {}, client {client}", one.id),
        None => format!("principal {}", one.id),
    }
}

/// The user-assigned identities at or below a scope.
fn all<'s>(
    snapshot: &'s Snapshot,
    under: &Scope,
) -> impl Iterator<Item = (&'s Principal, &'s ResourceId)> {
    snapshot.principals().filter_map(move |one| match &one.kind {
        PrincipalKind::ManagedIdentity(resource)
            if resource.resource_type().is(TYPE) && under.contains(resource.scope()) =>
        {
            Some((one, resource))
        }
        PrincipalKind::ManagedIdentity(_)
        | PrincipalKind::User
        | PrincipalKind::ServicePrincipal
        | PrincipalKind::Group => None,
    })
}

fn name_of(id: PrincipalId) -> Vec<u8> {
    id.to_string().into_bytes()
}

/// What is about to be done to an identity.
fn deed(operation: Operation, id: &ResourceId) -> Deed {
    Deed::change(operation, id).refusals_counted()
}

fn rendered(one: &Principal, outline: &Outline, snapshot: &Snapshot) -> Value {
    let PrincipalKind::ManagedIdentity(id) = &one.kind else { return Value::Null };
    json!({
        "id": id.to_string(),
        "name": id.name(),
        "type": TYPE,
        "location": outline.location,
        "tags": outline.tags,
        "properties": {
            "tenantId": snapshot.tenant().to_string(),
            "principalId": one.id.to_string(),
            "clientId": one.client.map(|client| client.to_string()),
            "isolationScope": "None",
        },
    })
}

fn missing(id: &ResourceId) -> ControlError {
    let group = id.resource_group().map(ToString::to_string).unwrap_or_default();
    let message = format!(
        "there is no managed identity '{}' in the resource group '{group}', `az identity list` \
         shows all",
        id.name()
    );
    ControlError::missing("ResourceNotFound", message)
}

fn misplaced() -> ControlError {
    let message = "a managed identity lies in a resource group, and in nothing else";
    ControlError::invalid("InvalidResourceId", message)
}

fn moves(id: &ResourceId, location: &str) -> ControlError {
    let message = format!(
        "the identity `{}` is in location `{location}`; leave the location as it is or choose \
         another name",
        id.name()
    );
    ControlError::conflict("InvalidResourceLocation", message)
}
