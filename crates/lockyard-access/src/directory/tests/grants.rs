//! Assignments, roles, and what is left when somebody goes.

use lockyard_base::Guid;

use super::world::World;
use crate::{
    PrincipalId, RoleDefinition, RoleDefinitionId,
    decision::{Action, ActionPattern, Permission, Plane, role_id},
    directory::{ChangeError, NewAssignment, limit::ASSIGNMENTS_MAX},
};

fn pull() -> Action {
    Action::parse(Plane::Control, "Microsoft.ContainerRegistry/registries/pull/read").unwrap()
}

fn grant(world: &World, principal: PrincipalId, role: RoleDefinitionId) -> NewAssignment {
    NewAssignment {
        id: Guid::random(&*world.entropy),
        principal,
        role,
        scope: world.subscription(),
        description: None,
        created_by: None,
    }
}

#[test]
fn a_role_holds_for_members_of_members_until_it_is_taken_away() {
    let world = World::new();
    let directory = &world.directory;
    let ann = world.user("ann");
    let (inner, outer) =
        (directory.create_group("inner").unwrap(), directory.create_group("outer").unwrap());
    directory.add_member(inner, ann).unwrap();
    directory.add_member(outer, inner).unwrap();
    let may = || world.snapshot().decide(ann, &pull(), &world.subscription()).allows();
    assert!(!may());
    let new = grant(&world, outer, role_id::ACR_PULL);
    let given = directory.assign(new.clone()).unwrap();
    assert!(may());
    assert_eq!(directory.assign(new).unwrap(), given, "giving it again changes nothing");
    directory.set_enabled(ann, false).unwrap();
    assert!(!may(), "whoever is disabled may do nothing");
    directory.set_enabled(ann, true).unwrap();
    assert_eq!(directory.unassign(given.id).unwrap(), Some(given.clone()));
    assert!(!may());
    assert_eq!(directory.unassign(given.id).unwrap(), None);
}

#[test]
fn whoever_goes_leaves_no_assignment_and_no_membership() {
    let world = World::new();
    let directory = &world.directory;
    let ann = world.user("ann");
    let group = directory.create_group("group").unwrap();
    directory.add_member(group, ann).unwrap();
    let given = directory.assign(grant(&world, ann, role_id::ACR_PULL)).unwrap();
    directory.delete_principal(ann).unwrap();
    let snapshot = world.reopened().snapshot();
    assert!(snapshot.principal(ann).is_none() && snapshot.assignment(given.id).is_none());
    assert!(snapshot.members(group).is_empty());
    assert!(directory.delete_principal(ann).is_err());
}

#[test]
fn what_cannot_be_assigned_is_refused() {
    let world = World::new();
    let directory = &world.directory;
    let ann = world.user("ann");
    let unknown = RoleDefinitionId::new(Guid::from_bytes([9; 16]));
    let refused = directory.assign(grant(&world, ann, unknown));
    assert!(matches!(refused, Err(ChangeError::Missing(_))));
    let nobody = PrincipalId::new(Guid::from_bytes([9; 16]));
    let refused = directory.assign(grant(&world, nobody, role_id::ACR_PULL));
    assert!(matches!(refused, Err(ChangeError::Missing(_))));
    directory.assign(grant(&world, ann, role_id::ACR_PULL)).unwrap();
    let twice = directory.assign(grant(&world, ann, role_id::ACR_PULL));
    assert!(matches!(twice, Err(ChangeError::Exists(_))));
}

#[test]
fn a_custom_role_is_assigned_where_it_may_be_and_stays_while_it_is_used() {
    let world = World::new();
    let directory = &world.directory;
    let ann = world.user("ann");
    let here = world.subscription();
    let inside: lockyard_arm::Scope = format!("{here}/resourceGroups/inside").parse().unwrap();
    let pattern = ActionPattern::parse("Microsoft.ContainerRegistry/registries/pull/read");
    let permission = Permission { actions: vec![pattern.unwrap()], ..Permission::default() };
    let role = RoleDefinition {
        id: RoleDefinitionId::new(Guid::random(&*world.entropy)),
        name: "Puller".to_owned(),
        description: String::new(),
        custom: true,
        permissions: vec![permission],
        assignable_scopes: vec![inside.clone()],
        delegable: None,
    };
    directory.put_role(role.clone()).unwrap();
    let namesake =
        RoleDefinition { id: RoleDefinitionId::new(Guid::from_bytes([9; 16])), ..role.clone() };
    assert!(matches!(directory.put_role(namesake), Err(ChangeError::Exists(_))));
    let outside = directory.assign(grant(&world, ann, role.id));
    assert!(matches!(outside, Err(ChangeError::NotAssignable)));
    let new = NewAssignment { scope: inside.clone(), ..grant(&world, ann, role.id) };
    let given = directory.assign(new).unwrap();
    let snapshot = world.reopened().snapshot();
    assert!(snapshot.decide(ann, &pull(), &inside).allows());
    assert!(!snapshot.decide(ann, &pull(), &here).allows());
    assert!(matches!(directory.delete_role(role.id), Err(ChangeError::InUse(_))));
    directory.unassign(given.id).unwrap();
    assert_eq!(directory.delete_role(role.id).unwrap(), Some(role.clone()));
    assert_eq!(directory.delete_role(role.id).unwrap(), None);
}

#[test]
fn there_are_as_many_assignments_as_there_may_be_and_no_more() {
    let world = World::new();
    let ann = world.user("ann");
    let here = world.subscription();
    let at = |number: usize| NewAssignment {
        scope: format!("{here}/resourceGroups/g{number}").parse().unwrap(),
        ..grant(&world, ann, role_id::ACR_PULL)
    };
    // The first start made four of them; one change stands for many.
    world
        .directory
        .change(|state| {
            for number in 4..ASSIGNMENTS_MAX - 1 {
                let NewAssignment { id, principal, role, scope, .. } = at(number);
                let (description, created_by) = (None, None);
                let created = world.in_seconds(0);
                let assignment = crate::RoleAssignment {
                    id,
                    principal,
                    role,
                    scope,
                    description,
                    created,
                    created_by,
                };
                state.assignments.insert(id, std::sync::Arc::new(assignment));
            }
            Ok(())
        })
        .unwrap();
    world.directory.assign(at(ASSIGNMENTS_MAX)).unwrap();
    let more = world.directory.assign(at(ASSIGNMENTS_MAX + 1));
    assert!(matches!(more, Err(ChangeError::TooMany { max: ASSIGNMENTS_MAX, .. })));
    assert_eq!(world.reopened().snapshot().assignments().count(), ASSIGNMENTS_MAX);
}

#[test]
fn a_guard_is_asked_of_the_state_that_is_changed() {
    let world = World::new();
    let ann = world.user("ann");
    let given = world.directory.assign(grant(&world, ann, role_id::OWNER)).unwrap();
    let (action, scope) = (pull(), world.subscription());
    let guarded = world.directory.only_if(move |at| at.decide(ann, &action, &scope).allows());
    let (first, second) =
        (guarded.create_group("first"), guarded.unchanged(|| Ok::<_, ChangeError>(())));
    assert!(first.is_ok() && second.is_ok());
    world.directory.unassign(given.id).unwrap();
    let before = world.snapshot().version();
    let late = guarded.create_group("second");
    assert!(matches!(late, Err(ChangeError::Denied)), "{late:?}");
    let late = guarded.unassign(given.id);
    assert!(matches!(late, Err(ChangeError::Denied)), "{late:?}");
    let mut done = false;
    let late = guarded.unchanged(|| {
        done = true;
        Ok::<_, ChangeError>(())
    });
    assert!(matches!(late, Err(ChangeError::Denied)) && !done, "{late:?}");
    assert_eq!(world.snapshot().version(), before);
    // The directory itself has no guard, and what is changed through either is seen by both.
    let third = world.directory.create_group("third").unwrap();
    assert!(guarded.snapshot().principal(third).is_some());
}
