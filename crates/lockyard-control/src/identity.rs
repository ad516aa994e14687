//! User-assigned managed identities as resources: what `az identity`, SDKs and templates ask of
//! Resource Manager.
//!
//! The identity itself is a principal of the directory, which knows its resource id. Location and
//! tags lie in a record beside it, under the object id; an identity that an operator made has none.
//! The principal comes first and goes first: a crash between leaves an identity without tags, or a
//! record of nobody, and never a right.
//!
//! Deleting one is never refused: whatever acts as it loses its rights at once (BEHAVIOUR rule 37).

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use lockyard_access::{
    Directory, PrincipalId, Records, Snapshot,
    decision::{Action, known},
    directory::{ChangeError, Principal, PrincipalKind, Thing},
};
use lockyard_arm::{Body, ResourceId, Scope, ScopeLevel};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Call, ControlError, Put,
    control::allowed,
    decided,
    error::of_change,
    group::{self, Groups, Tags, location_name, tags},
    provider::{Listed, Provider},
    subscription::must_be_ours,
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
pub(crate) struct Identities {
    directory: Arc<Directory>,
    records: Records,
    groups: Groups,
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identities")
    }
}

impl Identities {
    pub(crate) fn new(directory: Arc<Directory>, records: Records, groups: Groups) -> Self {
        Self { directory, records, groups }
    }

    async fn outline(&self, id: PrincipalId) -> Result<Option<Outline>, ControlError> {
        let name = name_of(id);
        let found = self.records.read(move |txn| txn.get(KIND, &name)).await?;
        found.map(|record| Outline::read(&record.value)).transpose()
    }

    async fn keep(&self, id: PrincipalId, outline: &Outline) -> Result<(), ControlError> {
        let (name, value) = (name_of(id), outline.write());
        let put = self.records.write(move |txn| txn.put(KIND, &name, &value));
        Ok(put.await?)
    }

    async fn forget(&self, id: PrincipalId) -> Result<(), ControlError> {
        let name = name_of(id);
        let removed = self.records.write(move |txn| txn.remove(KIND, &name).map(drop));
        Ok(removed.await?)
    }

    async fn shown(&self, one: &Principal) -> Result<Value, ControlError> {
        let outline = self.outline(one.id).await?.unwrap_or_else(Outline::plain);
        Ok(rendered(one, &outline, &self.directory.snapshot()))
    }

    /// Refuses an id that no identity can have, and a group that is not there.
    async fn must_fit(&self, snapshot: &Snapshot, id: &ResourceId) -> Result<(), ControlError> {
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
        match self.groups.find(&group).await? {
            Some(_) => Ok(()),
            None => Err(group::missing(id.resource_group())),
        }
    }

    /// Deletes an identity while the caller may, with its record.
    async fn remove(
        &self,
        call: &Call,
        (action, scope): (Action, Scope),
        id: PrincipalId,
    ) -> Result<(), ControlError> {
        let decide = allowed(call, action, scope);
        let delete = move |directory: &Directory| directory.delete_principal(id);
        match decided::change(&self.directory, decide, delete).await? {
            Ok(()) | Err(ChangeError::Missing(Thing::Principal)) => self.forget(id).await,
            Err(error) => Err(of_change("Conflict", error)),
        }
    }
}

#[async_trait]
impl Provider for Identities {
    async fn get(&self, call: &Call, id: &ResourceId) -> Result<Value, ControlError> {
        let snapshot = self.directory.snapshot();
        call.must(&snapshot, &known::IDENTITY_READ, id.scope())?;
        let found = snapshot.by_resource(id).ok_or_else(|| missing(id))?;
        self.shown(found).await
    }

    async fn list(&self, call: &Call, under: &Scope) -> Result<Vec<Value>, ControlError> {
        let snapshot = self.directory.snapshot();
        let may = |scope: &Scope| call.must(&snapshot, &known::IDENTITY_READ, scope);
        let mut shown = Vec::new();
        for (one, resource) in all(&snapshot, under) {
            if may(resource.scope()).is_ok() {
                shown.push(self.shown(one).await?);
            }
        }
        if shown.is_empty() {
            // Nobody is told that there are none who may not know.
            may(under)?;
        }
        Ok(shown)
    }

    async fn put(&self, call: &Call, id: &ResourceId, body: &Value) -> Result<Put, ControlError> {
        let snapshot = self.directory.snapshot();
        call.must(&snapshot, &known::IDENTITY_WRITE, id.scope())?;
        self.must_fit(&snapshot, id).await?;
        let body = Body::of(body)?;
        let location = body.text("location")?.map(location_name).transpose()?;
        let tags = tags(&body)?;
        if location.is_none() && snapshot.by_resource(id).is_none() {
            let message = "an identity needs a `location`";
            return Err(ControlError::invalid("LocationRequired", message));
        }
        let (resource, decide) =
            (id.clone(), allowed(call, known::IDENTITY_WRITE, id.scope().clone()));
        let make = move |directory: &Directory| {
            if directory.snapshot().by_resource(&resource).is_some() {
                return Ok(false);
            }
            directory.create_managed_identity(resource).map(|_| true)
        };
        let made = match decided::change(&self.directory, decide, make).await? {
            Err(ChangeError::Exists(Thing::ManagedIdentity)) => false,
            made => made.map_err(|error| of_change("Conflict", error))?,
        };
        let snapshot = self.directory.snapshot();
        let one = snapshot.by_resource(id).ok_or(ControlError::Overtaken)?;
        let there = self.outline(one.id).await?;
        let location = match (&there, location) {
            (Some(there), Some(location)) if there.location != location => {
                return Err(moves(id, &there.location));
            }
            (Some(there), _) => there.location.clone(),
            (None, Some(location)) => location,
            (None, None) => Outline::plain().location,
        };
        let outline = Outline { v: FORM, location, tags };
        self.keep(one.id, &outline).await?;
        let shown = rendered(one, &outline, &snapshot);
        Ok(if made { Put::Created(shown) } else { Put::Replaced(shown) })
    }

    async fn patch(
        &self,
        call: &Call,
        id: &ResourceId,
        body: &Value,
    ) -> Result<Value, ControlError> {
        let snapshot = self.directory.snapshot();
        call.must(&snapshot, &known::IDENTITY_WRITE, id.scope())?;
        let one = snapshot.by_resource(id).ok_or_else(|| missing(id))?;
        let body = Body::of(body)?;
        let mut outline = self.outline(one.id).await?.unwrap_or_else(Outline::plain);
        if body.object("tags")?.is_there() {
            outline.tags = tags(&body)?;
            self.keep(one.id, &outline).await?;
        }
        Ok(rendered(one, &outline, &snapshot))
    }

    async fn delete(&self, call: &Call, id: &ResourceId) -> Result<Option<Value>, ControlError> {
        let snapshot = self.directory.snapshot();
        call.must(&snapshot, &known::IDENTITY_DELETE, id.scope())?;
        let Some(one) = snapshot.by_resource(id) else { return Ok(None) };
        let shown = self.shown(one).await?;
        let decision = (known::IDENTITY_DELETE, id.scope().clone());
        self.remove(call, decision, one.id).await?;
        Ok(Some(shown))
    }

    async fn listed(&self, under: &Scope) -> Result<Vec<Listed>, ControlError> {
        let snapshot = self.directory.snapshot();
        let mut listed = Vec::new();
        for (one, resource) in all(&snapshot, under) {
            let outline = self.outline(one.id).await?.unwrap_or_else(Outline::plain);
            let (id, tags) = (resource.clone(), json!(outline.tags));
            listed.push(Listed { id, location: outline.location, tags });
        }
        Ok(listed)
    }

    async fn clear(&self, call: &Call, group: &Scope) -> Result<(), ControlError> {
        let snapshot = self.directory.snapshot();
        for (one, _) in all(&snapshot, group) {
            let decision = (known::RESOURCE_GROUP_DELETE, group.clone());
            self.remove(call, decision, one.id).await?;
        }
        Ok(())
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
