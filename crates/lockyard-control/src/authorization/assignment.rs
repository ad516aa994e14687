//! Role assignments: who has which role where.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use lockyard_access::{
    Directory, PrincipalId, RoleAssignment, RoleDefinitionId, Snapshot,
    decision::known,
    directory::{ChangeError, NewAssignment, PrincipalKind, Thing},
};
use lockyard_arm::{Body, Condition, ResourceId, Scope, ScopeLevel, moment};
use lockyard_audit::Operation;
use lockyard_base::Guid;
use serde_json::{Value, json};

use super::{NAMESPACE, definition, definition_id, place, unknown};
use crate::{
    Call, ControlError, Page, Put, decided, error::of_change, group, provider::Provider,
    subscription::must_be_ours, trail::Deed, vault::Vaults,
};

/// The provider of `Microsoft.Authorization/roleAssignments`.
#[derive(Clone)]
pub(crate) struct Assignments {
    directory: Arc<Directory>,
    groups: group::Groups,
    vaults: Arc<Vaults>,
}

impl fmt::Debug for Assignments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Assignments")
    }
}

impl Assignments {
    pub(crate) fn new(
        directory: Arc<Directory>,
        groups: group::Groups,
        vaults: Arc<Vaults>,
    ) -> Self {
        Self { directory, groups, vaults }
    }

    /// Refuses a scope at which nothing can be, so that a misspelt one is told at once; blocks.
    fn must_exist(&self, snapshot: &Snapshot, scope: &Scope) -> Result<(), ControlError> {
        if scope.level() == ScopeLevel::ManagementGroup {
            let message = "there are no management groups here, use the subscription";
            return Err(ControlError::missing("ManagementGroupNotFound", message));
        }
        if let Some(id) = scope.subscription() {
            must_be_ours(snapshot, id)?;
            if let Some(name) = scope.resource_group() {
                let group = Scope::of_resource_group(id, name.clone());
                if self.groups.find_blocking(&group)?.is_none() {
                    return Err(group::missing(Some(name)));
                }
            }
        }
        self.vaults.must_exist(scope)
    }

    /// Gives a role; blocks.
    fn give(
        &self,
        call: &Call,
        (scope, name): (&Scope, Guid),
        wanted: &Wanted,
    ) -> Result<Put, ControlError> {
        let (this, asked, role, at) = (self.clone(), call.clone(), wanted.role, scope.clone());
        let decide = move |snapshot: &Snapshot| {
            asked.must_delegate(snapshot, &known::ROLE_ASSIGNMENT_WRITE, role, &at)?;
            // No role is given where something was deleted meanwhile.
            this.must_exist(snapshot, &at)
        };
        let snapshot = self.directory.snapshot();
        decide(&snapshot)?;
        wanted.check(&snapshot, scope)?;
        // The vault hears of it in any case: whoever was interrupted before asks again.
        let heard = || self.vaults.hear_of_role(scope, snapshot.role(wanted.role));
        if let Some(there) = snapshot.assignment(name) {
            let same = same(there, wanted, scope, &snapshot)?;
            return heard().map(|()| same);
        }
        if let Some(other) = wanted.given(&snapshot, scope) {
            return heard().and_then(|()| Err(exists(other)));
        }
        let new = NewAssignment {
            id: name,
            principal: wanted.principal,
            role: wanted.role,
            scope: scope.clone(),
            description: wanted.description.clone(),
            created_by: Some(call.caller),
        };
        let assign = |directory: &Directory| directory.assign(new);
        let made = decided::change_blocking(&self.directory, decide, assign)?;
        let now = self.directory.snapshot();
        match made {
            Ok(assignment) => heard().map(|()| Put::Created(rendered(&assignment, &now))),
            Err(ChangeError::Exists(_)) => {
                Err(exists(wanted.given(&now, scope).map_or(name, |other| other)))
            }
            Err(ChangeError::Missing(Thing::Role)) => Err(definition::missing(wanted.role)),
            Err(ChangeError::Missing(_)) => Err(no_principal(wanted.principal)),
            Err(error) => Err(of_change("InvalidRoleAssignment", error)),
        }
    }

    /// Takes a role away; blocks.
    fn take(
        &self,
        call: &Call,
        (scope, name): (&Scope, Guid),
        deed: &mut Deed,
    ) -> Result<Option<Value>, ControlError> {
        let delete = known::ROLE_ASSIGNMENT_DELETE;
        let snapshot = self.directory.snapshot();
        let Some(assignment) = found(&snapshot, scope, name) else {
            call.must(&snapshot, &delete, scope)?;
            return Ok(None);
        };
        deed.reason = told(assignment.role, assignment.principal);
        let (asked, at) = (call.clone(), scope.clone());
        let decide = move |snapshot: &Snapshot| {
            // Another one of this name may be there by now, somewhere else.
            let there = found(snapshot, &at, name).ok_or(ControlError::Overtaken)?;
            asked.must_delegate(snapshot, &delete, there.role, &at)
        };
        let unassign = |directory: &Directory| directory.unassign(name);
        let gone = decided::change_blocking(&self.directory, decide, unassign)?;
        let gone = gone.map_err(|error| of_change("RoleAssignmentNotFound", error))?;
        Ok(gone.map(|assignment| rendered(&assignment, &snapshot)))
    }
}

/// What the trail says of an assignment.
fn told(role: RoleDefinitionId, principal: PrincipalId) -> String {
    format!("role {role}, principal {principal}")
}

#[async_trait]
impl Provider for Assignments {
    async fn get(&self, call: &Call, id: &ResourceId) -> Result<Value, ControlError> {
        let snapshot = self.directory.snapshot();
        let (scope, name) = place(id, "InvalidRoleAssignmentId")?;
        call.must(&snapshot, &known::ROLE_ASSIGNMENT_READ, &scope)?;
        match found(&snapshot, &scope, name) {
            Some(assignment) => Ok(rendered(assignment, &snapshot)),
            None => Err(missing(name)),
        }
    }

    async fn list(&self, call: &Call, under: &Scope) -> Result<Page, ControlError> {
        let snapshot = self.directory.snapshot();
        call.must(&snapshot, &known::ROLE_ASSIGNMENT_READ, under)?;
        let narrowing = Narrowing::of(&call.filter, &snapshot)?;
        let kept = snapshot.assignments().filter(|assignment| narrowing.keeps(assignment, under));
        // They come in the order of their ids.
        let part = call.page.part(kept, |assignment| assignment.id.to_string());
        Ok(part.shown(|assignment| rendered(assignment, &snapshot)))
    }

    async fn put(&self, call: &Call, id: &ResourceId, body: &Value) -> Result<Put, ControlError> {
        let (scope, name) = place(id, "InvalidRoleAssignmentId")?;
        let wanted = Wanted::read(body)?;
        let mut deed = Deed::change(Operation::ROLE_ASSIGNMENT_PUT, &scope).about(id);
        deed.reason = told(wanted.role, wanted.principal);
        let (this, asking) = (self.clone(), call.clone());
        let work = move |_: &mut Deed| this.give(&asking, (&scope, name), &wanted);
        self.vaults.trail.act(call, deed, work).await
    }

    async fn delete(&self, call: &Call, id: &ResourceId) -> Result<Option<Value>, ControlError> {
        let (scope, name) = place(id, "InvalidRoleAssignmentId")?;
        let deed = Deed::change(Operation::ROLE_ASSIGNMENT_DELETE, &scope).about(id);
        let (this, asking) = (self.clone(), call.clone());
        let work = move |deed: &mut Deed| this.take(&asking, (&scope, name), deed);
        self.vaults.trail.act(call, deed, work).await
    }
}

/// The assignment of this name, if it is at this scope.
fn found<'s>(snapshot: &'s Snapshot, scope: &Scope, name: Guid) -> Option<&'s RoleAssignment> {
    snapshot.assignment(name).filter(|assignment| assignment.scope == *scope)
}

fn missing(name: Guid) -> ControlError {
    let message = format!("there is no role assignment '{name}' at this scope");
    ControlError::missing("RoleAssignmentNotFound", message)
}

/// az takes this code for success and looks for the assignment itself (az-wire 7).
fn exists(other: Guid) -> ControlError {
    let id = other.to_string().replace('-', "");
    let message = format!("this role is assigned already; the ID of the role assignment is {id}");
    ControlError::conflict("RoleAssignmentExists", message)
}

/// az repeats for minutes what is said in Azure's own words, since directories there take time to
/// learn of new principals; ours does not, so that these are other words.
fn no_principal(id: PrincipalId) -> ControlError {
    let message = format!("nobody in the directory has the object id '{id}'");
    ControlError::invalid("PrincipalNotFound", message)
}

/// An assignment of this id is there: the same again is no change, another one is refused.
fn same(
    there: &RoleAssignment,
    wanted: &Wanted,
    scope: &Scope,
    snapshot: &Snapshot,
) -> Result<Put, ControlError> {
    let same = (there.principal, there.role) == (wanted.principal, wanted.role)
        && there.scope == *scope
        && (wanted.description.is_none() || wanted.description == there.description);
    if same {
        return Ok(Put::Replaced(rendered(there, snapshot)));
    }
    let message = "a role assignment of this id is there and cannot be changed, delete it first";
    Err(ControlError::conflict("RoleAssignmentUpdateNotPermitted", message))
}

/// The assignment that a body asks for.
struct Wanted {
    principal: PrincipalId,
    kind: Option<String>,
    role: RoleDefinitionId,
    description: Option<String>,
}

impl Wanted {
    fn read(body: &Value) -> Result<Self, ControlError> {
        let body = Body::of(body)?;
        let properties = body.object("properties")?;
        // A condition narrows what is given: leaving it out would give more than was meant.
        for name in ["condition", "delegatedManagedIdentityResourceId"] {
            if properties.text(name)?.is_some_and(|text| !text.is_empty()) {
                return Err(properties.refuse(name, "is not supported here, leave it out").into());
            }
        }
        let role = properties.required("roleDefinitionId")?;
        let role = role.rsplit('/').next().unwrap_or_default().parse();
        let principal = properties.required("principalId")?.parse();
        Ok(Self {
            principal: principal
                .map_err(|_| properties.refuse("principalId", "must be an object id, a UUID"))?,
            kind: properties.text("principalType")?.map(str::to_owned),
            role: role.map_err(|_| {
                properties.refuse("roleDefinitionId", "must end with a role's id, a UUID")
            })?,
            description: properties.text("description")?.map(str::to_owned),
        })
    }

    fn check(&self, snapshot: &Snapshot, scope: &Scope) -> Result<(), ControlError> {
        let role = snapshot.role(self.role).ok_or_else(|| definition::missing(self.role))?;
        if !role.is_assignable_at(scope) {
            let message = format!("the role `{}` cannot be assigned at '{scope}'", role.name);
            return Err(ControlError::invalid("RoleDefinitionNotAssignable", message));
        }
        let principal =
            snapshot.principal(self.principal).ok_or_else(|| no_principal(self.principal))?;
        let kind = kind(&principal.kind);
        match &self.kind {
            Some(said) if !said.eq_ignore_ascii_case(kind) => {
                let message = format!("the principal is of type `{kind}`, not `{said}`");
                Err(ControlError::invalid("UnmatchedPrincipalType", message))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The assignment that gives this already.
    fn given(&self, snapshot: &Snapshot, scope: &Scope) -> Option<Guid> {
        let given = snapshot.assignments().find(|assignment| {
            (assignment.principal, assignment.role) == (self.principal, self.role)
                && assignment.scope == *scope
        });
        given.map(|assignment| assignment.id)
    }
}

fn kind(kind: &PrincipalKind) -> &'static str {
    match kind {
        PrincipalKind::User => "User",
        PrincipalKind::ServicePrincipal | PrincipalKind::ManagedIdentity(_) => "ServicePrincipal",
        PrincipalKind::Group => "Group",
    }
}

/// What a list is narrowed to.
#[derive(Default)]
struct Narrowing {
    at_scope: bool,
    exactly: bool,
    principal: Option<PrincipalId>,
    /// Somebody and all their groups.
    holders: Option<Vec<PrincipalId>>,
}

impl Narrowing {
    fn of(filter: &[Condition], snapshot: &Snapshot) -> Result<Self, ControlError> {
        let mut narrowing = Self::default();
        let object = |text: &str| {
            text.parse::<PrincipalId>().map_err(|_| {
                ControlError::invalid("InvalidFilter", "a principal is named by its object id")
            })
        };
        for condition in filter {
            match condition {
                Condition::Call { function, argument: None } if function == "atscope" => {
                    narrowing.at_scope = true;
                }
                Condition::Call { function, argument: None } if function == "atexactscope" => {
                    narrowing.exactly = true;
                }
                Condition::Call { function, argument: Some(id) } if function == "assignedto" => {
                    let id = object(id)?;
                    let mut holders = snapshot.groups_of(id);
                    holders.push(id);
                    narrowing.holders = Some(holders);
                }
                Condition::Equals { property, value } if property == "principalid" => {
                    narrowing.principal = Some(object(value)?);
                }
                other => return Err(unknown(other)),
            }
        }
        Ok(narrowing)
    }

    fn keeps(&self, assignment: &RoleAssignment, under: &Scope) -> bool {
        let above = assignment.scope.contains(under);
        let below = under.contains(&assignment.scope);
        let place = if self.exactly {
            above && below
        } else if self.at_scope {
            above
        } else {
            above || below
        };
        place
            && self.principal.is_none_or(|principal| assignment.principal == principal)
            && self.holders.as_ref().is_none_or(|all| all.contains(&assignment.principal))
    }
}

fn rendered(assignment: &RoleAssignment, snapshot: &Snapshot) -> Value {
    let RoleAssignment { id, principal, role, scope, description, created, created_by } =
        assignment;
    let of = snapshot.principal(*principal).map_or("Unknown", |one| kind(&one.kind));
    let (created, by) = (moment::written(*created), created_by.map(|by| by.to_string()));
    let under = if *scope == Scope::root() { String::new() } else { scope.to_string() };
    json!({
        "id": format!("{under}/providers/{NAMESPACE}/roleAssignments/{id}"),
        "name": id.to_string(),
        "type": format!("{NAMESPACE}/roleAssignments"),
        "properties": {
            "roleDefinitionId": definition_id(snapshot.subscription().id.guid(), *role),
            "principalId": principal.to_string(),
            "principalType": of,
            "scope": scope.to_string(),
            "condition": null,
            "conditionVersion": null,
            "createdOn": created,
            "updatedOn": created,
            "createdBy": by,
            "updatedBy": by,
            "delegatedManagedIdentityResourceId": null,
            "description": description,
        },
    })
}
