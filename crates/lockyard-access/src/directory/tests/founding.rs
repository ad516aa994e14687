//! First entries, entries of before there was a directory, lost owners, and failing commits.

use std::sync::Arc;

use lockyard_base::Guid;

use super::world::{PASSWORD, World, ground, sign_in};
use crate::{
    ClientId,
    decision::{Action, Plane},
    directory::{
        Cost, Directory, DirectoryError, Founding, Method, Presented, ProveError, row, secret,
    },
};

fn secret(text: &str) -> Presented {
    Presented::from(text)
}

#[tokio::test]
async fn a_founded_directory_lets_its_owner_and_the_first_person_do_everything() {
    let world = World::new();
    for directory in [Arc::clone(&world.directory), world.reopened()] {
        let snapshot = directory.snapshot();
        assert_eq!(snapshot.tenant(), world.founding.tenant);
        assert_eq!(snapshot.subscription().id, world.founding.subscription);
        let shown = secret(world.founding.secret.dangerous_expose());
        let owner = directory.prove_secret(world.founding.client, &shown).unwrap();
        assert_eq!(owner.method(), Method::Secret);
        let password = world.founding.password.dangerous_expose();
        let person = sign_in(&directory, "OWNER@lockyard.test", password).await.unwrap();
        assert_eq!(person.principal(), snapshot.first_person());
        for principal in [owner.principal(), person.principal()] {
            for (plane, action) in [
                (Plane::Control, "Microsoft.ContainerRegistry/registries/write"),
                (Plane::Data, "Microsoft.KeyVault/vaults/keys/wrap/action"),
            ] {
                let action = Action::parse(plane, action).unwrap();
                let here = world.subscription();
                assert!(snapshot.decide(principal, &action, &here).allows(), "{action}");
                let everywhere = lockyard_arm::Scope::root();
                assert!(!snapshot.decide(principal, &action, &everywhere).allows());
            }
        }
    }
}

#[test]
fn a_directory_is_founded_once() {
    let world = World::new();
    let again = Directory::found(
        world.records.clone(),
        Arc::clone(&world.clock) as _,
        Arc::clone(&world.entropy),
        &Founding::generate(&*world.entropy, "lockyard.test"),
        Cost::NEGLIGIBLE,
    );
    assert!(matches!(again, Err(DirectoryError::Founded)));
    assert_eq!(world.reopened().snapshot().tenant(), world.founding.tenant);
}

#[tokio::test]
async fn the_owner_of_an_old_data_directory_is_carried_over() {
    let (records, clock, entropy, _dir) = ground();
    assert!(matches!(
        Directory::open(records.clone(), clock.clone(), entropy.clone()),
        Err(DirectoryError::Unfounded)
    ));
    assert!(Directory::carry_over(&records, &*clock, &*entropy, "old.test").unwrap().is_none());
    // As a version before this one wrote it: version byte, four length-prefixed fields.
    let ids = [[1_u8; 16], [2; 16], [3; 16]];
    let mut old = vec![1_u8];
    let hash = secret::hash(b"the old secret");
    for field in [&ids[0][..], &ids[1], &ids[2], &hash] {
        old.extend_from_slice(&u32::try_from(field.len()).unwrap().to_be_bytes());
        old.extend_from_slice(field);
    }
    records.put("owner", b"", &old).unwrap();

    Directory::carry_over(&records, &*clock, &*entropy, "old.test").unwrap().unwrap();
    assert!(records.get("owner", b"").unwrap().is_none());
    let directory =
        Directory::open_at_cost(records.clone(), clock.clone(), entropy.clone(), Cost::NEGLIGIBLE);
    let directory = directory.unwrap();
    let snapshot = directory.snapshot();
    assert_eq!(snapshot.tenant().guid(), Guid::from_bytes(ids[0]));
    assert_eq!(snapshot.subscription().id.guid(), Guid::from_bytes(ids[1]));
    let client = ClientId::new(Guid::from_bytes(ids[2]));
    directory.prove_secret(client, &secret("the old secret")).unwrap();
    assert!(directory.prove_secret(client, &secret("another")).is_err());
    // Nobody was ever told a password of the first person.
    let person = sign_in(&directory, "owner@old.test", "").await;
    assert!(matches!(person, Err(ProveError::Wrong)));
    let again = Directory::carry_over(&records, &*clock, &*entropy, "old.test").unwrap();
    assert!(again.is_none());
}

#[tokio::test]
async fn a_reset_owner_has_new_credentials_and_nothing_old() {
    let world = World::new();
    let directory = &world.directory;
    let (client, owner) = world.snapshot().owner();
    let person = world.snapshot().first_person();
    directory.set_enabled(owner, false).unwrap();
    for assignment in world.snapshot().assignments() {
        directory.unassign(assignment.id).unwrap();
    }
    for _ in 0..9 {
        let _refused = sign_in(directory, "owner@lockyard.test", "wrong").await;
    }
    world.wait(1);
    let reset = directory.reset_owner().unwrap();
    let old = secret(world.founding.secret.dangerous_expose());
    assert!(matches!(directory.prove_secret(client, &old), Err(ProveError::Wrong)));
    let proof = directory.prove_secret(client, &secret(reset.secret.dangerous_expose())).unwrap();
    assert_eq!((reset.client, proof.principal()), (client, owner));
    let password = reset.password.dangerous_expose();
    let proof = sign_in(directory, &reset.upn, password).await.unwrap();
    assert_eq!(proof.principal(), person);
    let snapshot = world.reopened().snapshot();
    assert_eq!(snapshot.assignments().count(), 4);
    for id in [owner, person] {
        let principal = snapshot.principal(id).unwrap();
        assert!(principal.enabled && principal.sessions_valid_from > principal.created);
    }
}

#[tokio::test]
async fn a_deleted_owner_is_made_again() {
    let world = World::new();
    let directory = &world.directory;
    let (client, owner) = world.snapshot().owner();
    directory.delete_principal(world.snapshot().first_person()).unwrap();
    directory.delete_principal(owner).unwrap();
    directory.delete_application(client).unwrap();
    // Somebody else has taken the name since.
    world.user("owner");
    let reset = directory.reset_owner().unwrap();
    assert_eq!(reset.upn, "owner-2@lockyard.test");
    directory.prove_secret(client, &secret(reset.secret.dangerous_expose())).unwrap();
    sign_in(directory, &reset.upn, reset.password.dangerous_expose()).await.unwrap();
    sign_in(directory, "owner@lockyard.test", PASSWORD).await.unwrap();
    assert_eq!(world.snapshot().principal(owner).unwrap().client, Some(client));
}

#[test]
fn a_change_that_another_process_overtook_is_refused_and_read_again() {
    let world = World::new();
    let other = world.reopened();
    let before = world.snapshot().version();
    let guest = other.create_group("guests").unwrap();
    assert!(world.directory.create_group("friends").is_err());
    assert!(world.snapshot().principal(guest).is_some(), "what is there was read again");
    assert!(world.snapshot().by_name("friends").is_empty());
    world.directory.create_group("friends").unwrap();
    assert_eq!(world.snapshot().version(), before + 2);
}

#[test]
fn a_damaged_row_is_told_and_nothing_is_left_out() {
    let world = World::new();
    let version = |text: &str| format!(r#"{{"tenant":"{text}"}}"#);
    world.records.put(row::HOUSE, b"", version("x").as_bytes()).unwrap();
    let clock = Arc::clone(&world.clock) as _;
    let opened = Directory::open(world.records.clone(), clock, Arc::clone(&world.entropy));
    assert!(matches!(opened, Err(DirectoryError::Damaged)));
}

#[test]
fn changes_are_told_after_their_snapshot_can_be_had() {
    let world = World::new();
    let mut changes = world.directory.changes();
    assert!(!changes.has_changed().unwrap());
    world.directory.create_group("guests").unwrap();
    assert_eq!(*changes.borrow_and_update(), world.snapshot().version());
    // What changes nothing is no change.
    let id = world.snapshot().first_person();
    world.directory.set_enabled(id, true).unwrap();
    assert!(!changes.has_changed().unwrap());
}
