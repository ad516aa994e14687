//! Role assignments and custom roles.

use std::{collections::BTreeMap, sync::Arc};

use lockyard_arm::Scope;
use lockyard_base::Guid;

use super::{ChangeError, Directory, Thing, snapshot::State};
use crate::{
    PrincipalId, RoleAssignment, RoleDefinition, RoleDefinitionId,
    decision::{DESCRIPTION_BYTES_MAX, RoleDefinitionError, built_in},
};

/// A role assignment that is to be made.
#[derive(Clone, Debug)]
pub struct NewAssignment {
    /// Its id, chosen by whoever makes it.
    pub id: Guid,
    /// Who gets the role.
    pub principal: PrincipalId,
    /// The role.
    pub role: RoleDefinitionId,
    /// Where.
    pub scope: Scope,
    /// What people say about it.
    pub description: Option<String>,
    /// Who makes it.
    pub created_by: Option<PrincipalId>,
}

impl Directory {
    /// Gives somebody a role; giving again what is given under the same id changes nothing. Whether
    /// the caller may, the caller has decided. Blocks.
    pub fn assign(&self, new: NewAssignment) -> Result<RoleAssignment, ChangeError> {
        let NewAssignment { id, principal, role, scope, description, created_by } = new;
        if description.as_ref().is_some_and(|text| text.len() > DESCRIPTION_BYTES_MAX) {
            return Err(RoleDefinitionError::Description.into());
        }
        let created = self.now();
        self.change(|state| {
            if let Some(there) = state.assignments.get(&id) {
                let same = there.principal == principal
                    && there.role == role
                    && there.scope == scope
                    && there.description == description;
                let error = ChangeError::Exists(Thing::Assignment);
                return if same { Ok(RoleAssignment::clone(there)) } else { Err(error) };
            }
            let definition = state.role(role).ok_or(ChangeError::Missing(Thing::Role))?;
            if !definition.is_assignable_at(&scope) {
                return Err(ChangeError::NotAssignable);
            }
            let assignment =
                RoleAssignment { id, principal, role, scope, description, created, created_by };
            state.assignments.insert(id, Arc::new(assignment.clone()));
            Ok(assignment)
        })
    }

    /// Takes a role from somebody; returns what it was, or `None` if there is no such assignment.
    /// Blocks.
    pub fn unassign(&self, id: Guid) -> Result<Option<RoleAssignment>, ChangeError> {
        self.change(|state| {
            Ok(state.assignments.remove(&id).map(|assignment| assignment.as_ref().clone()))
        })
    }

    /// Takes away every role that was given at a scope or inside it; returns them. Blocks.
    pub fn unassign_within(&self, scope: &Scope) -> Result<Vec<RoleAssignment>, ChangeError> {
        self.change(|state| {
            let (gone, left) = std::mem::take(&mut state.assignments)
                .into_iter()
                .partition(|(_, assignment)| scope.contains(&assignment.scope));
            state.assignments = left;
            let gone: BTreeMap<Guid, Arc<RoleAssignment>> = gone;
            Ok(gone.into_values().map(|assignment| assignment.as_ref().clone()).collect())
        })
    }

    /// Makes a custom role or replaces the one with its id. Blocks.
    pub fn put_role(&self, role: RoleDefinition) -> Result<(), ChangeError> {
        role.check_custom()?;
        let role = RoleDefinition { custom: true, delegable: None, ..role };
        self.change(|state| {
            let named = state
                .roles
                .values()
                .any(|other| other.id != role.id && other.name.eq_ignore_ascii_case(&role.name));
            if named {
                return Err(ChangeError::Exists(Thing::Role));
            }
            state.roles.insert(role.id, Arc::new(role));
            Ok(())
        })
    }

    /// Deletes a custom role that nobody has; returns what it was. Blocks.
    pub fn delete_role(&self, id: RoleDefinitionId) -> Result<Option<RoleDefinition>, ChangeError> {
        self.change(|state| {
            if state.assignments.values().any(|assignment| assignment.role == id) {
                return Err(ChangeError::InUse(Thing::Role));
            }
            Ok(state.roles.remove(&id).map(|role| role.as_ref().clone()))
        })
    }
}

impl State {
    fn role(&self, id: RoleDefinitionId) -> Option<&RoleDefinition> {
        let custom = self.roles.get(&id).map(AsRef::as_ref);
        custom.or_else(|| built_in().iter().find(|role| role.id == id))
    }
}
