//! What must hold of every state of the directory: limits, and that everything named is there.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ChangeError, PrincipalKind, Thing,
    limit::{
        APPLICATIONS_MAX, ASSIGNMENTS_MAX, CERTIFICATES_MAX, FEDERATED_MAX, GROUP_DEPTH_MAX,
        MEMBERS_MAX, PRINCIPALS_MAX, ROLES_MAX, SECRETS_MAX, URIS_MAX,
    },
    principal::folded,
    snapshot::State,
};
use crate::{PrincipalId, decision::built_in};

/// Holds a whole state against all rules.
pub(super) fn state(state: &State) -> Result<(), ChangeError> {
    at_most(state.principals.len(), PRINCIPALS_MAX, Thing::Principal)?;
    at_most(state.applications.len(), APPLICATIONS_MAX, Thing::Application)?;
    at_most(state.assignments.len(), ASSIGNMENTS_MAX, Thing::Assignment)?;
    at_most(state.roles.len(), ROLES_MAX, Thing::Role)?;
    names(state)?;
    for application in state.applications.values() {
        at_most(application.secrets.len(), SECRETS_MAX, Thing::Secret)?;
        at_most(application.certificates.len(), CERTIFICATES_MAX, Thing::Certificate)?;
        at_most(application.federated.len(), FEDERATED_MAX, Thing::Federated)?;
        at_most(application.redirect_uris.len(), URIS_MAX, Thing::Uri)?;
        at_most(application.identifier_uris.len(), URIS_MAX, Thing::Uri)?;
    }
    assignments(state)?;
    groups(state)
}

fn at_most(count: usize, max: usize, thing: Thing) -> Result<(), ChangeError> {
    if count <= max { Ok(()) } else { Err(ChangeError::TooMany { thing, max }) }
}

/// No two principals share a client id, a sign-in name or a resource.
fn names(state: &State) -> Result<(), ChangeError> {
    let (mut clients, mut upns, mut resources) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for entry in state.principals.values() {
        let principal = &entry.principal;
        if principal.client.is_some_and(|client| !clients.insert(client)) {
            return Err(ChangeError::Exists(Thing::ServicePrincipal));
        }
        if principal.upn.as_deref().is_some_and(|upn| !upns.insert(folded(upn))) {
            return Err(ChangeError::Exists(Thing::User));
        }
        if let PrincipalKind::ManagedIdentity(resource) = &principal.kind
            && !resources.insert(resource)
        {
            return Err(ChangeError::Exists(Thing::ManagedIdentity));
        }
        if principal.kind == PrincipalKind::ServicePrincipal
            && !principal.client.is_some_and(|client| state.applications.contains_key(&client))
        {
            return Err(ChangeError::Missing(Thing::Application));
        }
    }
    Ok(())
}

/// Assignments are of roles that are here to principals that are here, each once.
fn assignments(state: &State) -> Result<(), ChangeError> {
    let mut seen = BTreeSet::new();
    for assignment in state.assignments.values() {
        if !state.principals.contains_key(&assignment.principal) {
            return Err(ChangeError::Missing(Thing::Principal));
        }
        let known = state.roles.contains_key(&assignment.role)
            || built_in().iter().any(|role| role.id == assignment.role);
        if !known {
            return Err(ChangeError::Missing(Thing::Role));
        }
        let scope = assignment.scope.to_string().to_ascii_lowercase();
        if !seen.insert((assignment.principal, assignment.role, scope)) {
            return Err(ChangeError::Exists(Thing::Assignment));
        }
    }
    Ok(())
}

/// Members are here, no group is in itself, and groups do not lie too deep.
fn groups(state: &State) -> Result<(), ChangeError> {
    let mut depths = BTreeMap::new();
    for (id, entry) in &state.principals {
        let Some(members) = entry.members() else { continue };
        at_most(members.len(), MEMBERS_MAX, Thing::Member)?;
        if members.iter().any(|member| !state.principals.contains_key(member)) {
            return Err(ChangeError::Missing(Thing::Member));
        }
        if depth(state, *id, 1, &mut depths)? > GROUP_DEPTH_MAX {
            return Err(ChangeError::TooDeep);
        }
    }
    Ok(())
}

/// How many groups lie inside each other from this one on, itself included.
///
/// A way down that is longer than there are groups leads in a circle.
fn depth(
    state: &State,
    group: PrincipalId,
    steps: usize,
    known: &mut BTreeMap<PrincipalId, usize>,
) -> Result<usize, ChangeError> {
    if let Some(depth) = known.get(&group) {
        return Ok(*depth);
    }
    if steps > GROUP_DEPTH_MAX + 1 {
        return Err(if is_in_itself(state, group) {
            ChangeError::Cycle
        } else {
            ChangeError::TooDeep
        });
    }
    let members = state.principals.get(&group).and_then(|entry| entry.members());
    let mut deepest = 0;
    for member in members.into_iter().flatten() {
        if state.principals.get(member).is_some_and(|entry| entry.members().is_some()) {
            deepest = deepest.max(depth(state, *member, steps + 1, known)?);
        }
    }
    known.insert(group, deepest + 1);
    Ok(deepest + 1)
}

/// Whether a way down from this group leads back to a group on the way.
fn is_in_itself(state: &State, group: PrincipalId) -> bool {
    let (mut seen, mut open) = (BTreeSet::new(), vec![group]);
    while let Some(next) = open.pop() {
        let members = state.principals.get(&next).and_then(|entry| entry.members());
        for member in members.into_iter().flatten() {
            if *member == group {
                return true;
            }
            if seen.insert(*member) {
                open.push(*member);
            }
        }
    }
    false
}
