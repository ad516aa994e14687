//! Rotation policies and the job that acts on them.

use std::time::Duration;

use lockyard_base::Clock as _;
use lockyard_vault::{
    KeyChange, KeySettings, LifetimeAction, LifetimeActionKind, NewKey, RotationPolicy, Tags,
    Trigger, VaultChange,
};

use crate::support::{QUICK, World, admin, key, make, told};

const DAY: Duration = Duration::from_hours(24);

fn action(kind: LifetimeActionKind, after: bool, period: &str) -> LifetimeAction {
    let period = period.parse().unwrap();
    let trigger = if after { Trigger::AfterCreate(period) } else { Trigger::BeforeExpiry(period) };
    LifetimeAction { kind, trigger }
}

fn policy(actions: Vec<LifetimeAction>, expiry: Option<&str>) -> RotationPolicy {
    let expiry = expiry.map(|period| period.parse().unwrap());
    RotationPolicy { actions, expiry, created: None, updated: None }
}

#[test]
fn policies_outside_the_rules_are_refused() {
    use LifetimeActionKind::{Notify, Rotate};
    let world = World::new();
    let vault = world.open();
    let name = make(&vault, "kvone", VaultChange::default());
    let plane = admin(&vault, &name);
    let release = "release".parse().unwrap();
    let set = |actions, expiry| told(plane.set_rotation_policy(&release, &policy(actions, expiry)));
    assert_eq!(set(Vec::new(), None), "404 KeyNotFound");
    plane.create_key(&release, QUICK, &KeySettings::default()).unwrap();
    assert_eq!(plane.rotation_policy(&release).unwrap(), RotationPolicy::default());
    let bad = "400 BadParameter";
    for (actions, expiry, expected) in [
        (vec![], None, "ok"),
        (vec![action(Rotate, true, "P7D")], None, "ok"),
        (vec![action(Rotate, true, "P6D")], None, bad),
        (vec![action(Rotate, false, "P30D")], None, bad),
        (vec![action(Rotate, false, "P30D")], Some("P90D"), "ok"),
        (vec![action(Rotate, false, "P7D")], Some("P28D"), "ok"),
        (vec![], Some("P27D"), bad),
        (vec![], Some("P1M"), "ok"),
        (vec![action(Rotate, true, "P22D")], Some("P28D"), bad),
        (vec![action(Rotate, true, "P21D")], Some("P28D"), "ok"),
        (vec![action(Notify, false, "P30D")], None, "ok"),
        (vec![action(Notify, false, "P6D")], Some("P90D"), bad),
        (vec![action(Rotate, true, "P90D"), action(Notify, false, "P30D")], Some("P2Y"), "ok"),
        (vec![action(Rotate, true, "P90D"), action(Rotate, true, "P30D")], None, bad),
        (
            vec![
                action(Rotate, true, "P90D"),
                action(Notify, true, "P30D"),
                action(Notify, true, "P30D"),
            ],
            None,
            bad,
        ),
    ] {
        assert_eq!(set(actions.clone(), expiry), expected, "{actions:?} {expiry:?}");
    }
}

#[test]
fn the_job_rotates_when_it_is_time_and_only_once() {
    let world = World::new();
    let vault = world.open();
    let name = make(&vault, "kvone", VaultChange::default());
    let plane = admin(&vault, &name);
    let release = "release".parse().unwrap();
    let tags = Tags::for_key([("a".to_owned(), "b".to_owned())].into()).unwrap();
    let settings = KeySettings { hsm: true, tags, ..KeySettings::default() };
    let first = plane.create_key(&release, QUICK, &settings).unwrap();
    let rotate = policy(vec![action(LifetimeActionKind::Rotate, true, "P30D")], Some("P60D"));
    let stored = plane.set_rotation_policy(&release, &rotate).unwrap();
    assert_eq!(stored.created, Some(world.clock.wall()));
    assert_eq!(plane.rotation_policy(&release).unwrap(), stored);
    assert_eq!(plane.key(&release, None).unwrap(), first, "an expiry is for new versions only");
    let due = || vault.rotate_due(world.clock.wall()).unwrap();
    world.clock.advance((30 * DAY).checked_sub(Duration::from_micros(1)).unwrap());
    assert!(due().made.is_empty());
    world.clock.advance(Duration::from_micros(1));
    let made = due().made;
    assert_eq!(made.len(), 1);
    let second = plane.key(&release, None).unwrap();
    assert_eq!(made[0], second.id);
    assert_eq!((second.shape, second.hsm, &second.tags), (first.shape, true, &first.tags));
    assert_eq!(second.attributes.validity.expires, Some(world.clock.wall() + 60 * DAY));
    assert!(due().made.is_empty(), "not before the next thirty days");
    world.clock.advance(90 * DAY);
    assert_eq!(due().made.len(), 1, "once, however late");
    assert!(due().made.is_empty());
}

#[test]
fn a_key_comes_with_its_policy_or_not_at_all() {
    let world = World::new();
    let vault = world.open();
    let name = make(&vault, "kvone", VaultChange::default());
    let id = key("kvone", "release");
    let new = |period| NewKey {
        shape: QUICK,
        settings: KeySettings::default(),
        rotation: Some(policy(vec![action(LifetimeActionKind::Rotate, true, period)], None)),
    };
    assert_eq!(told(vault.prepared_key(&id, new("P6D"))), "400 BadParameter");
    let make = || vault.ensure_prepared(&id, vault.prepared_key(&id, new("P7D")).unwrap());

    // The second write of the making, which brings the policy, fails.
    let database = rusqlite::Connection::open(world.directory().join("vault.db")).unwrap();
    let broken = "CREATE TRIGGER broken BEFORE UPDATE ON key BEGIN SELECT RAISE(ABORT, ''); END";
    database.execute_batch(broken).unwrap();
    assert!(make().is_err());
    assert_eq!(vault.keys(&name).unwrap(), []);
    database.execute_batch("DROP TRIGGER broken").unwrap();

    let made = make().unwrap();
    let stored = made.key.rotation.clone().unwrap();
    assert_eq!((made.created, stored.created), (true, Some(world.clock.wall())));
    assert_eq!(vault.key_resource(&id).unwrap(), made.key);
    assert_eq!(admin(&vault, &name).rotation_policy(&id.name).unwrap(), stored);
    let again = vault.ensure_prepared(&id, vault.prepared_key(&id, new("P9D")).unwrap()).unwrap();
    assert_eq!((again.created, again.key), (false, made.key), "it stays as it is");
    world.clock.advance(7 * DAY);
    assert_eq!(vault.rotate_due(world.clock.wall()).unwrap().made.len(), 1);
}

#[test]
fn a_rotation_before_expiry_follows_the_expiry() {
    let world = World::new();
    let vault = world.open();
    let name = make(&vault, "kvone", VaultChange::default());
    let plane = admin(&vault, &name);
    let release = "release".parse().unwrap();
    plane.create_key(&release, QUICK, &KeySettings::default()).unwrap();
    let rotate = policy(vec![action(LifetimeActionKind::Rotate, false, "P10D")], Some("P40D"));
    plane.set_rotation_policy(&release, &rotate).unwrap();
    world.clock.advance(400 * DAY);
    let due = || vault.rotate_due(world.clock.wall()).unwrap().made.len();
    assert_eq!(due(), 0, "the first version does not expire");
    let expires = |days: u32| {
        let expires = Some(world.clock.wall() + days * DAY);
        plane.update_key(&release, None, &KeyChange { expires, ..KeyChange::default() }).unwrap();
    };
    expires(11);
    assert_eq!(due(), 0);
    expires(10);
    assert_eq!(due(), 1);
    assert_eq!(due(), 0, "the new version has forty days");
    world.clock.advance(30 * DAY);
    assert_eq!(due(), 1);
}

#[test]
fn deleted_keys_and_vaults_are_not_rotated_until_they_are_back() {
    let world = World::new();
    let vault = world.open();
    let name = make(&vault, "kvone", VaultChange::default());
    let plane = admin(&vault, &name);
    let release = "release".parse().unwrap();
    plane.create_key(&release, QUICK, &KeySettings::default()).unwrap();
    let rotate = policy(vec![action(LifetimeActionKind::Rotate, true, "P7D")], None);
    plane.set_rotation_policy(&release, &rotate).unwrap();
    world.clock.advance(8 * DAY);
    let due = || {
        let rotations = vault.rotate_due(world.clock.wall()).unwrap();
        assert!(rotations.failed.is_empty(), "{rotations:?}");
        rotations.made.len()
    };
    plane.delete_key(&release).unwrap();
    assert_eq!(due(), 0);
    plane.recover_key(&release).unwrap();
    vault.delete_vault(&name).unwrap();
    assert_eq!(due(), 0);
    vault.recover_vault(&name).unwrap();
    assert_eq!(due(), 1);
}

#[test]
fn a_key_that_cannot_be_rotated_is_told_and_keeps_nobody_else_from_it() {
    let world = World::new();
    let vault = world.open();
    let name = make(&vault, "kvone", VaultChange::default());
    let plane = admin(&vault, &name);
    let rotate = policy(vec![action(LifetimeActionKind::Rotate, true, "P7D")], None);
    for text in ["full", "good"] {
        let key = text.parse().unwrap();
        plane.create_key(&key, QUICK, &KeySettings::default()).unwrap();
        plane.set_rotation_policy(&key, &rotate).unwrap();
    }
    let version =
        hex::decode(plane.key(&"full".parse().unwrap(), None).unwrap().id.version.as_str())
            .unwrap();
    // A version whose number leaves no next place among a thousand.
    let database = rusqlite::Connection::open(world.directory().join("vault.db")).unwrap();
    database
        .execute(
            "WITH RECURSIVE n(i) AS (VALUES (-1) UNION ALL SELECT i - 1 FROM n WHERE i > -999)
             INSERT INTO key_version SELECT key_id, randomblob(16), i, kind, enabled, not_before,
                 expires, sealed_key, sealed_record FROM key_version, n WHERE version_id = ?1",
            [&version],
        )
        .unwrap();
    world.clock.advance(8 * DAY);
    let rotations = vault.rotate_due(world.clock.wall()).unwrap();
    assert_eq!(rotations.made.len(), 1);
    assert_eq!(rotations.made[0].key, key("kvone", "good"));
    assert_eq!(rotations.failed.len(), 1);
    assert_eq!(rotations.failed[0].0, key("kvone", "full"));
    assert_eq!(rotations.failed[0].1.code().code, "BadParameter");
}
