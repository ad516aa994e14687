//! What somebody may do: one pure function over assignments, role definitions and scopes.
//!
//! It denies by default and knows no exceptions: the owner of the instance is somebody with role
//! assignments. Every verb asks beside its effect, with the caller and all the groups that the
//! caller is in. Nothing here does I/O or reads a clock, so that the whole of it can be laid down
//! in a table that a person can read (`tests/permissions.txt`).

mod action;
mod built_in;
mod pattern;
mod role;

use std::fmt;

use lockyard_arm::Scope;
use lockyard_base::{Guid, ParseIdError, Timestamp};

pub use action::{ACTION_BYTES_MAX, Action, ActionError, Plane, known};
pub use built_in::{built_in, role_id};
pub use pattern::ActionPattern;
pub use role::{
    ASSIGNABLE_SCOPES_MAX, DESCRIPTION_BYTES_MAX, PATTERNS_MAX, PERMISSIONS_MAX, Permission,
    ROLE_NAME_CHARS_MAX, RoleDefinition, RoleDefinitionError, RoleDefinitionId,
};

/// The object id of a principal: a user, group, service principal or managed identity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrincipalId(Guid);

impl PrincipalId {
    /// The principal with this object id.
    pub const fn new(id: Guid) -> Self {
        Self(id)
    }

    /// The object id.
    pub const fn guid(self) -> Guid {
        self.0
    }
}

impl fmt::Display for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PrincipalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrincipalId({})", self.0)
    }
}

impl std::str::FromStr for PrincipalId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse().map(Self)
    }
}

/// Gives a principal a role at a scope and at everything that the scope contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// The assignment's own id: the last piece of its resource id.
    pub id: Guid,
    /// Who gets the role; all members, if it is a group.
    pub principal: PrincipalId,
    /// The role.
    pub role: RoleDefinitionId,
    /// Where the role holds.
    pub scope: Scope,
    /// What people said about it.
    pub description: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it; nobody, for those that the first start made.
    pub created_by: Option<PrincipalId>,
}

/// The answer to whether somebody may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow {
        /// An assignment that grants it; the first of several.
        assignment: Guid,
    },
    /// No assignment grants it.
    Deny,
}

impl Decision {
    /// Whether the answer is yes.
    pub const fn allows(self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

/// Decides whether any of `principals` may do `action` at `scope`.
///
/// `principals` are the caller and every group that the caller is in, directly or not. Assignments
/// of a role that `roles` does not know grant nothing.
pub fn decide<'a>(
    principals: &[PrincipalId],
    action: &Action,
    scope: &Scope,
    assignments: impl IntoIterator<Item = &'a RoleAssignment>,
    roles: &impl Fn(RoleDefinitionId) -> Option<&'a RoleDefinition>,
) -> Decision {
    first(principals, scope, assignments, roles, &|role| role.grants(action))
}

/// Decides whether any of `principals` may give or take away the role `granted` at `scope`.
///
/// `action` is [`known::ROLE_ASSIGNMENT_WRITE`] or [`known::ROLE_ASSIGNMENT_DELETE`]. Some roles
/// let their holders hand out certain roles only; [`decide`], which knows no role that is handed
/// out, never counts those.
pub fn decide_delegation<'a>(
    principals: &[PrincipalId],
    action: &Action,
    granted: RoleDefinitionId,
    scope: &Scope,
    assignments: impl IntoIterator<Item = &'a RoleAssignment>,
    roles: &impl Fn(RoleDefinitionId) -> Option<&'a RoleDefinition>,
) -> Decision {
    first(principals, scope, assignments, roles, &|role| role.grants_delegation(action, granted))
}

fn first<'a>(
    principals: &[PrincipalId],
    scope: &Scope,
    assignments: impl IntoIterator<Item = &'a RoleAssignment>,
    roles: &impl Fn(RoleDefinitionId) -> Option<&'a RoleDefinition>,
    grants: &dyn Fn(&RoleDefinition) -> bool,
) -> Decision {
    assignments
        .into_iter()
        .find(|assignment| {
            principals.contains(&assignment.principal)
                && assignment.scope.contains(scope)
                && roles(assignment.role).is_some_and(grants)
        })
        .map_or(Decision::Deny, |assignment| Decision::Allow { assignment: assignment.id })
}
