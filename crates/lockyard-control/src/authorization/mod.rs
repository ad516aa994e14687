//! Roles and who has them, as resources of Resource Manager.
//!
//! Both types hang under every scope. They are kept in the directory, so that a change of them and
//! the next decision never disagree.

mod assignment;
mod definition;

use lockyard_arm::{Condition, ResourceId, Scope};
use lockyard_base::Guid;

use crate::ControlError;

pub(crate) use assignment::Assignments;
pub(crate) use definition::Definitions;

/// The namespace of both types.
const NAMESPACE: &str = "Microsoft.Authorization";

/// The id of a role or assignment, and the scope that it hangs under.
fn place(id: &ResourceId, code: &'static str) -> Result<(Scope, Guid), ControlError> {
    let name = id
        .name()
        .parse()
        .map_err(|_| ControlError::invalid(code, format!("the name '{}' is no UUID", id.name())))?;
    let scope = id.scope().parent().unwrap_or_else(Scope::root);
    Ok((scope, name))
}

/// The id of a role definition as it is published: always with the subscription, because clients
/// compare it as text (az-wire 7).
fn definition_id(subscription: Guid, role: lockyard_access::RoleDefinitionId) -> String {
    format!("/subscriptions/{subscription}/providers/{NAMESPACE}/roleDefinitions/{role}")
}

/// Refuses a condition that a list does not know.
fn unknown(condition: &Condition) -> ControlError {
    let name = match condition {
        Condition::Equals { property, .. }
        | Condition::Has { property, .. }
        | Condition::StartsWith { property, .. } => property,
        Condition::Call { function, .. } => function,
    };
    ControlError::invalid("InvalidFilter", format!("this list cannot be narrowed by `{name}`"))
}
