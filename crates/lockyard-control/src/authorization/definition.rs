//! Role definitions: the built-in ones, and the custom ones that people make.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use lockyard_access::{
    Directory, RoleDefinition, RoleDefinitionId, Snapshot,
    decision::{ActionPattern, Permission, known},
    directory::ChangeError,
};
use lockyard_arm::{Body, BodyError, Condition, ResourceId, Scope};
use serde_json::{Value, json};

use super::{NAMESPACE, definition_id, place, unknown};
use crate::{
    Call, ControlError, Page, Put, decided, error::of_change, provider::Provider,
    subscription::must_be_ours,
};

/// The provider of `Microsoft.Authorization/roleDefinitions`.
pub(crate) struct Definitions {
    directory: Arc<Directory>,
}

impl fmt::Debug for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Definitions")
    }
}

impl Definitions {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        Self { directory }
    }
}

#[async_trait]
impl Provider for Definitions {
    async fn get(&self, call: &Call, id: &ResourceId) -> Result<Value, ControlError> {
        let snapshot = self.directory.snapshot();
        let (scope, name) = place(id, "InvalidRoleDefinitionId")?;
        call.must(&snapshot, &known::ROLE_DEFINITION_READ, &asked_at(&scope, &snapshot))?;
        match snapshot.role(RoleDefinitionId::new(name)) {
            Some(role) => Ok(rendered(role, &snapshot)),
            None => Err(missing(RoleDefinitionId::new(name))),
        }
    }

    async fn list(&self, call: &Call, under: &Scope) -> Result<Page, ControlError> {
        let snapshot = self.directory.snapshot();
        let under = &asked_at(under, &snapshot);
        call.must(&snapshot, &known::ROLE_DEFINITION_READ, under)?;
        let narrowing = Narrowing::of(&call.filter)?;
        let roles = snapshot.roles().filter(|role| narrowing.keeps(role, under));
        Ok(Page::whole(roles.map(|role| rendered(role, &snapshot)).collect()))
    }

    async fn put(&self, call: &Call, id: &ResourceId, body: &Value) -> Result<Put, ControlError> {
        let (_, name) = place(id, "InvalidRoleDefinitionId")?;
        let role = read(RoleDefinitionId::new(name), body)?;
        let snapshot = self.directory.snapshot();
        if snapshot.role(role.id).is_some_and(|role| !role.custom) {
            let message = "a built-in role cannot be changed, make a custom one";
            return Err(ControlError::invalid("RoleDefinitionIsBuiltIn", message));
        }
        let (asked, wanted) = (call.clone(), role.assignable_scopes.clone());
        let decide = move |snapshot: &Snapshot| {
            // Whoever changes a role changes what everybody has who has it: everywhere it was
            // assignable and everywhere it will be.
            let before = snapshot.role(RoleDefinitionId::new(name));
            let scopes = before.iter().flat_map(|role| &role.assignable_scopes);
            for scope in scopes.chain(&wanted) {
                if let Some(id) = scope.subscription() {
                    must_be_ours(snapshot, id)?;
                }
                asked.must(snapshot, &known::ROLE_DEFINITION_WRITE, scope)?;
            }
            Ok::<(), ControlError>(())
        };
        let put = role.clone();
        let store = move |directory: &Directory| directory.put_role(put);
        let stored = decided::change(&self.directory, decide, store).await?;
        stored.map_err(|error| match error {
            ChangeError::Exists(_) => ControlError::conflict(
                "RoleDefinitionWithSameNameExists",
                "another role has this name already",
            ),
            error => of_change("InvalidRoleDefinition", error),
        })?;
        let shown = rendered(&role, &self.directory.snapshot());
        // Azure answers 201 to a change as well, and clients take both.
        Ok(Put::Created(shown))
    }

    async fn delete(&self, call: &Call, id: &ResourceId) -> Result<Option<Value>, ControlError> {
        let snapshot = self.directory.snapshot();
        let (scope, name) = place(id, "InvalidRoleDefinitionId")?;
        let id = RoleDefinitionId::new(name);
        let Some(role) = snapshot.role(id) else {
            let at = asked_at(&scope, &snapshot);
            call.must(&snapshot, &known::ROLE_DEFINITION_DELETE, &at)?;
            return Ok(None);
        };
        if !role.custom {
            let message = "a built-in role cannot be deleted";
            return Err(ControlError::invalid("RoleDefinitionIsBuiltIn", message));
        }
        let asked = call.clone();
        let decide = move |snapshot: &Snapshot| {
            let there = snapshot.role(id).ok_or(ControlError::Overtaken)?;
            there
                .assignable_scopes
                .iter()
                .try_for_each(|scope| asked.must(snapshot, &known::ROLE_DEFINITION_DELETE, scope))
        };
        let delete = move |directory: &Directory| directory.delete_role(id);
        let gone = decided::change(&self.directory, decide, delete).await?;
        let gone = gone.map_err(|error| match error {
            ChangeError::InUse(_) => ControlError::invalid(
                "RoleDefinitionHasAssignments",
                "somebody still has this role, delete its assignments first",
            ),
            error => of_change("RoleDefinitionDoesNotExist", error),
        })?;
        Ok(gone.map(|role| rendered(&role, &snapshot)))
    }
}

/// Roles are the same everywhere; whoever asks at the tenant is asked for rights where the roles
/// are used.
fn asked_at(scope: &Scope, snapshot: &Snapshot) -> Scope {
    if *scope == Scope::root() {
        Scope::of_subscription(snapshot.subscription().id.guid())
    } else {
        scope.clone()
    }
}

/// There is no such role.
pub(super) fn missing(id: RoleDefinitionId) -> ControlError {
    let message =
        format!("there is no role definition '{id}', `az role definition list` shows all");
    ControlError::missing("RoleDefinitionDoesNotExist", message)
}

/// What a list is narrowed to.
#[derive(Default)]
struct Narrowing {
    name: Option<String>,
    custom: Option<bool>,
    below: bool,
}

impl Narrowing {
    fn of(filter: &[Condition]) -> Result<Self, ControlError> {
        let mut narrowing = Self::default();
        for condition in filter {
            match condition {
                Condition::Equals { property, value } if property == "rolename" => {
                    narrowing.name = Some(value.clone());
                }
                Condition::Equals { property, value } if property == "type" => {
                    narrowing.custom = Some(value.eq_ignore_ascii_case("CustomRole"));
                }
                Condition::Call { function, argument: None } if function == "atscopeandbelow" => {
                    narrowing.below = true;
                }
                Condition::Call { function, argument: None } if function == "atscope" => {}
                other => return Err(unknown(other)),
            }
        }
        Ok(narrowing)
    }

    fn keeps(&self, role: &RoleDefinition, under: &Scope) -> bool {
        let named = self.name.as_ref().is_none_or(|name| role.name.eq_ignore_ascii_case(name));
        let kind = self.custom.is_none_or(|custom| role.custom == custom);
        let below = || role.assignable_scopes.iter().any(|scope| under.contains(scope));
        named && kind && (role.is_assignable_at(under) || (self.below && below()))
    }
}

fn rendered(role: &RoleDefinition, snapshot: &Snapshot) -> Value {
    let texts = |patterns: &[ActionPattern]| -> Vec<String> {
        patterns.iter().map(ToString::to_string).collect()
    };
    let permissions: Vec<Value> = role
        .permissions
        .iter()
        .map(|permission| {
            json!({
                "actions": texts(&permission.actions),
                "notActions": texts(&permission.not_actions),
                "dataActions": texts(&permission.data_actions),
                "notDataActions": texts(&permission.not_data_actions),
            })
        })
        .collect();
    let scopes: Vec<String> = role.assignable_scopes.iter().map(ToString::to_string).collect();
    json!({
        "id": definition_id(snapshot.subscription().id.guid(), role.id),
        "name": role.id.to_string(),
        "type": format!("{NAMESPACE}/roleDefinitions"),
        "properties": {
            "roleName": role.name,
            "type": if role.custom { "CustomRole" } else { "BuiltInRole" },
            "description": role.description,
            "assignableScopes": scopes,
            "permissions": permissions,
            "createdOn": null,
            "updatedOn": null,
            "createdBy": null,
            "updatedBy": null,
        },
    })
}

fn read(id: RoleDefinitionId, body: &Value) -> Result<RoleDefinition, ControlError> {
    let body = Body::of(body)?;
    let properties = body.object("properties")?;
    let patterns = |block: &Body<'_>, name: &str| -> Result<Vec<ActionPattern>, BodyError> {
        let texts = block.texts(name)?.into_iter();
        texts
            .map(|text| {
                ActionPattern::parse(text).map_err(|error| block.refuse(name, &error.to_string()))
            })
            .collect()
    };
    let permissions: Result<Vec<Permission>, ControlError> = properties
        .objects("permissions")?
        .iter()
        .map(|block| {
            let conditional = block.text("condition")?.is_some_and(|text| !text.is_empty());
            if conditional {
                return Err(block
                    .refuse("condition", "is not supported here, leave it out")
                    .into());
            }
            Ok(Permission {
                actions: patterns(block, "actions")?,
                not_actions: patterns(block, "notActions")?,
                data_actions: patterns(block, "dataActions")?,
                not_data_actions: patterns(block, "notDataActions")?,
            })
        })
        .collect();
    let scopes: Result<Vec<Scope>, BodyError> = properties
        .texts("assignableScopes")?
        .into_iter()
        .map(|text| {
            text.parse::<Scope>()
                .map_err(|error| properties.refuse("assignableScopes", &error.to_string()))
        })
        .collect();
    let role = RoleDefinition {
        id,
        name: properties.required("roleName")?.to_owned(),
        description: properties.text("description")?.unwrap_or_default().to_owned(),
        custom: true,
        permissions: permissions?,
        assignable_scopes: scopes?,
        delegable: None,
    };
    role.check_custom()
        .map_err(|error| ControlError::invalid("InvalidRoleDefinition", error.to_string()))?;
    Ok(role)
}
