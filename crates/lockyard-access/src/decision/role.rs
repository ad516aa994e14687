//! Role definitions: what a role grants, and what a custom one may look like.

use std::{fmt, str::FromStr};

use lockyard_arm::Scope;
use lockyard_base::{Guid, ParseIdError};
use thiserror::Error;

use crate::decision::{Action, ActionPattern, Plane, built_in, known};

/// The most permission blocks of a role.
pub const PERMISSIONS_MAX: usize = 16;

/// The most patterns of a role in all its lists together.
pub const PATTERNS_MAX: usize = 1000;

/// The most scopes at which a custom role can be assigned.
pub const ASSIGNABLE_SCOPES_MAX: usize = 100;

/// The longest name of a role in characters.
pub const ROLE_NAME_CHARS_MAX: usize = 128;

/// The longest description in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 2048;

/// The id of a role definition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleDefinitionId(Guid);

impl RoleDefinitionId {
    /// The role definition with this id.
    pub const fn new(id: Guid) -> Self {
        Self(id)
    }

    /// The id.
    pub const fn guid(self) -> Guid {
        self.0
    }
}

impl fmt::Display for RoleDefinitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for RoleDefinitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoleDefinitionId({})", self.0)
    }
}

impl FromStr for RoleDefinitionId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        text.parse().map(Self)
    }
}

/// What a block of a role grants: what its lists name, less what its not-lists name.
///
/// A not-list takes away from its own block only; another block or another role may still grant it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permission {
    /// What is granted of managing resources.
    pub actions: Vec<ActionPattern>,
    /// What is left out of [`Self::actions`].
    pub not_actions: Vec<ActionPattern>,
    /// What is granted of using what is in resources.
    pub data_actions: Vec<ActionPattern>,
    /// What is left out of [`Self::data_actions`].
    pub not_data_actions: Vec<ActionPattern>,
}

impl Permission {
    fn grants(&self, action: &Action) -> bool {
        let (granted, left_out) = match action.plane() {
            Plane::Control => (&self.actions, &self.not_actions),
            Plane::Data => (&self.data_actions, &self.not_data_actions),
        };
        let any = |patterns: &[ActionPattern]| patterns.iter().any(|p| p.matches(action));
        any(granted) && !any(left_out)
    }

    fn patterns(&self) -> usize {
        [&self.actions, &self.not_actions, &self.data_actions, &self.not_data_actions]
            .into_iter()
            .map(Vec::len)
            .sum()
    }
}

/// A role: what somebody may do to whom it is assigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleDefinition {
    /// The id.
    pub id: RoleDefinitionId,
    /// The name that people use.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether somebody here made it; built-in roles never change.
    pub custom: bool,
    /// What it grants: what any of its blocks grants.
    pub permissions: Vec<Permission>,
    /// Where it can be assigned: at these scopes and inside them.
    pub assignable_scopes: Vec<Scope>,
    /// The roles that its holders may give and take away, if those are not all.
    pub delegable: Option<Vec<RoleDefinitionId>>,
}

impl RoleDefinition {
    /// Whether the role grants the action, wherever it is assigned.
    pub fn grants(&self, action: &Action) -> bool {
        let limited = self.delegable.is_some() && is_delegation(action);
        !limited && self.permits(action)
    }

    /// Whether the role grants giving or taking away the role `granted`.
    pub fn grants_delegation(&self, action: &Action, granted: RoleDefinitionId) -> bool {
        is_delegation(action)
            && self.permits(action)
            && self.delegable.as_ref().is_none_or(|roles| roles.contains(&granted))
    }

    fn permits(&self, action: &Action) -> bool {
        self.permissions.iter().any(|permission| permission.grants(action))
    }

    /// Whether the role can be assigned at `scope`.
    pub fn is_assignable_at(&self, scope: &Scope) -> bool {
        self.assignable_scopes.iter().any(|assignable| assignable.contains(scope))
    }

    /// Holds a custom role against what one may look like.
    pub fn check_custom(&self) -> Result<(), RoleDefinitionError> {
        use RoleDefinitionError as E;
        let chars = self.name.chars().count();
        let control = self.name.chars().chain(self.description.chars()).any(char::is_control);
        if !(1..=ROLE_NAME_CHARS_MAX).contains(&chars) || self.name.trim() != self.name || control {
            return Err(E::Name);
        }
        let taken = |role: &Self| role.id == self.id || role.name.eq_ignore_ascii_case(&self.name);
        if built_in().iter().any(taken) {
            return Err(E::BuiltIn);
        }
        if self.description.len() > DESCRIPTION_BYTES_MAX {
            return Err(E::Description);
        }
        let patterns: usize = self.permissions.iter().map(Permission::patterns).sum();
        if self.permissions.len() > PERMISSIONS_MAX || patterns > PATTERNS_MAX {
            return Err(E::TooMany);
        }
        if self.permissions.is_empty() {
            return Err(E::Nothing);
        }
        let scopes = self.assignable_scopes.len();
        if !(1..=ASSIGNABLE_SCOPES_MAX).contains(&scopes) {
            return Err(E::Scopes);
        }
        if self.assignable_scopes.contains(&Scope::root()) {
            return Err(E::Root);
        }
        Ok(())
    }
}

/// Whether the action gives or takes away a role.
fn is_delegation(action: &Action) -> bool {
    [known::ROLE_ASSIGNMENT_WRITE, known::ROLE_ASSIGNMENT_DELETE].contains(action)
}

/// Why a custom role cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RoleDefinitionError {
    /// The name is empty, too long, or has characters that are not seen.
    #[error(
        "a role's name has 1 to {ROLE_NAME_CHARS_MAX} characters, none of them a control \
         character, and no blanks around it"
    )]
    Name,
    /// The name or id is a built-in role's.
    #[error("a built-in role has this name or id and cannot be changed, choose another one")]
    BuiltIn,
    /// The description is too long.
    #[error("a role's description has at most {DESCRIPTION_BYTES_MAX} bytes")]
    Description,
    /// There are too many permissions.
    #[error("a role has at most {PERMISSIONS_MAX} permission blocks and {PATTERNS_MAX} actions")]
    TooMany,
    /// There are no permissions.
    #[error("a role has at least one permission block")]
    Nothing,
    /// There are no assignable scopes, or too many.
    #[error("a custom role has 1 to {ASSIGNABLE_SCOPES_MAX} assignable scopes")]
    Scopes,
    /// The tenant itself is not a place for custom roles.
    #[error("a custom role cannot be assignable at `/`, name a subscription or something in it")]
    Root,
}
