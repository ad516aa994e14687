//! Who asks, and how.

use lockyard_access::{
    PrincipalId, RoleDefinitionId, Snapshot,
    decision::{Action, Decision},
};
use lockyard_arm::{ApiVersion, AzCommand, Condition, Scope};
use lockyard_audit::Asked;

use crate::{ControlError, PageRequest};

/// One call of somebody who proved who they are.
#[derive(Clone, Debug)]
pub struct Call {
    /// Who asks.
    pub caller: PrincipalId,
    /// The version of the interface that the caller knows.
    pub version: ApiVersion,
    /// What a list is narrowed to.
    pub filter: Vec<Condition>,
    /// Which part of a list is asked for.
    pub page: PageRequest,
    /// What the audit trail is to have of the request.
    pub origin: Origin,
    /// The command that somebody typed, if az says it.
    pub command: Option<AzCommand>,
}

/// Where a call came from, as the audit trail has it.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Who asks, as far as it is told.
    pub caller: lockyard_audit::Caller,
    /// What was asked.
    pub request: Asked,
    /// Ties what is recorded to a request.
    pub correlation: String,
}

impl Call {
    /// Refuses unless the caller may do `action` at `scope`.
    pub(crate) fn must(
        &self,
        snapshot: &Snapshot,
        action: &Action,
        scope: &Scope,
    ) -> Result<(), ControlError> {
        decided(snapshot.decide(self.caller, action, scope), self.caller, action, scope)
    }

    /// Refuses unless the caller may give or take away `granted` at `scope`.
    pub(crate) fn must_delegate(
        &self,
        snapshot: &Snapshot,
        action: &Action,
        granted: RoleDefinitionId,
        scope: &Scope,
    ) -> Result<(), ControlError> {
        let decision = snapshot.decide_delegation(self.caller, action, granted, scope);
        decided(decision, self.caller, action, scope)
    }
}

fn decided(
    decision: Decision,
    caller: PrincipalId,
    action: &Action,
    scope: &Scope,
) -> Result<(), ControlError> {
    match decision {
        Decision::Allow { .. } => Ok(()),
        Decision::Deny => Err(ControlError::Denied {
            caller,
            action: action.clone(),
            scope: Box::new(scope.clone()),
        }),
    }
}
