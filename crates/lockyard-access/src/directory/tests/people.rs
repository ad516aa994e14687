//! Users, groups and passwords.

use lockyard_base::Clock as _;

use super::world::{PASSWORD, World, sign_in};
use crate::directory::{
    ChangeError, NewUser, Presented, ProveError,
    limit::{
        FAILURES_FREE, FORGET_AFTER, GROUP_DEPTH_MAX, LOCK_FIRST, NAME_CHARS_MAX, UPN_BYTES_MAX,
        UPN_NAME_BYTES_MAX,
    },
};

#[tokio::test]
async fn a_password_proves_its_user_in_any_case_of_the_name() {
    let world = World::new();
    let ann = world.user("Ann");
    let proof = sign_in(&world.directory, "aNN@Lockyard.TEST", PASSWORD).await.unwrap();
    assert_eq!(proof.principal(), ann);
    assert!(world.snapshot().has_credential(ann, proof.credential()));
    for (upn, password) in [
        ("ann@lockyard.test", "wrong"),
        ("bob@lockyard.test", PASSWORD),
        ("", ""),
        ("ann", PASSWORD),
    ] {
        let refused = sign_in(&world.directory, upn, password).await;
        assert!(matches!(refused, Err(ProveError::Wrong)), "{upn}");
    }
}

#[tokio::test]
async fn a_new_password_ends_what_the_old_one_began() {
    let world = World::new();
    let ann = world.user("ann");
    let old = sign_in(&world.directory, "ann@lockyard.test", PASSWORD).await.unwrap();
    world.wait(10);
    let password = world.directory.reset_password(ann).unwrap();
    let snapshot = world.snapshot();
    assert!(!snapshot.has_credential(ann, old.credential()));
    assert_eq!(snapshot.principal(ann).unwrap().sessions_valid_from, world.clock.wall());
    assert!(sign_in(&world.directory, "ann@lockyard.test", PASSWORD).await.is_err());
    let shown = password.dangerous_expose();
    sign_in(&world.directory, "ann@lockyard.test", shown).await.unwrap();
}

#[tokio::test]
async fn a_disabled_user_is_told_so_only_with_the_right_password() {
    let world = World::new();
    let ann = world.user("ann");
    world.directory.set_enabled(ann, false).unwrap();
    let wrong = sign_in(&world.directory, "ann@lockyard.test", "wrong").await;
    assert!(matches!(wrong, Err(ProveError::Wrong)));
    let right = sign_in(&world.directory, "ann@lockyard.test", PASSWORD).await;
    assert!(matches!(right, Err(ProveError::Disabled)));
}

#[tokio::test]
async fn wrong_passwords_lock_whoever_is_named_here_or_not_and_across_a_restart() {
    let world = World::new();
    world.user("ann");
    for upn in ["ann@lockyard.test", "nobody@lockyard.test"] {
        for _ in 0..FAILURES_FREE {
            let wrong = sign_in(&world.directory, upn, "wrong").await;
            assert!(matches!(wrong, Err(ProveError::Wrong)), "{upn}");
        }
        for directory in [world.directory.clone(), world.reopened()] {
            let locked = sign_in(&directory, &upn.to_uppercase(), PASSWORD).await;
            let Err(ProveError::Locked { until }) = locked else {
                panic!("{upn} is locked: {locked:?}")
            };
            assert_eq!(until, world.in_seconds(LOCK_FIRST.as_secs()));
        }
    }
    world.wait(LOCK_FIRST.as_secs());
    let wrong = sign_in(&world.directory, "ann@lockyard.test", "wrong").await;
    assert!(matches!(wrong, Err(ProveError::Wrong)));
    // The next wait is longer, and the right password ends it all.
    let locked = sign_in(&world.directory, "ann@lockyard.test", PASSWORD).await;
    assert!(matches!(locked, Err(ProveError::Locked { .. })));
    world.wait(2 * LOCK_FIRST.as_secs());
    sign_in(&world.directory, "ann@lockyard.test", PASSWORD).await.unwrap();
    sign_in(&world.directory, "ann@lockyard.test", "wrong").await.unwrap_err();
    sign_in(&world.directory, "ann@lockyard.test", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn failures_are_forgotten_after_a_day() {
    let world = World::new();
    world.user("ann");
    for _ in 1..FAILURES_FREE {
        sign_in(&world.directory, "ann@lockyard.test", "wrong").await.unwrap_err();
    }
    world.wait(FORGET_AFTER.as_secs());
    assert_eq!(world.records.sweep_expired().await.unwrap(), 1);
    sign_in(&world.directory, "ann@lockyard.test", "wrong").await.unwrap_err();
    sign_in(&world.directory, "ann@lockyard.test", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn many_guesses_at_once_are_not_all_free() {
    let world = World::new();
    world.user("ann");
    let guesses: Vec<_> = (0..40)
        .map(|_| {
            let directory = world.directory.clone();
            tokio::spawn(async move { sign_in(&directory, "ann@lockyard.test", "wrong").await })
        })
        .collect();
    let mut stretched = 0;
    for guess in guesses {
        stretched += u32::from(matches!(guess.await.unwrap(), Err(ProveError::Wrong)));
    }
    assert_eq!(stretched, FAILURES_FREE);
}

#[test]
fn names_have_their_form_and_are_not_given_twice() {
    let world = World::new();
    let make = |display_name: &str, upn: &str| {
        let new = NewUser { display_name, upn, password: None };
        world.directory.create_user(&new)
    };
    make("Ann", "ann@lockyard.test").unwrap();
    let again = make("Another", "ANN@lockyard.test");
    assert!(matches!(again, Err(ChangeError::Exists(_))));
    let of = |name: usize, domain: usize| format!("{}@{}", "a".repeat(name), "d".repeat(domain));
    let (long, far) = (of(UPN_NAME_BYTES_MAX + 1, 1), of(UPN_NAME_BYTES_MAX, 191));
    for upn in ["", "ann", "@x", "a@", "a b@x", "a@b@c", ".a@x", "ä@x", &long, &far] {
        assert!(matches!(make("Ann", upn), Err(ChangeError::Upn)), "{upn}");
    }
    let longest = of(UPN_NAME_BYTES_MAX, 190);
    assert_eq!(longest.len(), UPN_BYTES_MAX);
    make("Long", &longest).unwrap();
    for name in ["", " Ann", "A\nnn", &"ä".repeat(NAME_CHARS_MAX + 1)] {
        assert!(matches!(make(name, "b@x"), Err(ChangeError::Name)), "{name}");
    }
    make(&"ä".repeat(NAME_CHARS_MAX), "b@x").unwrap();
    let short = Presented::from("short");
    let new = NewUser { display_name: "C", upn: "c@x", password: Some(&short) };
    assert!(matches!(world.directory.create_user(&new), Err(ChangeError::Password)));
}

#[test]
fn groups_lie_in_groups_to_their_depth_and_never_in_a_circle() {
    let world = World::new();
    let directory = &world.directory;
    let ann = world.user("ann");
    let groups: Vec<_> =
        (0..=GROUP_DEPTH_MAX).map(|n| directory.create_group(&format!("g{n}")).unwrap()).collect();
    directory.add_member(groups[0], ann).unwrap();
    for pair in groups.windows(2).take(GROUP_DEPTH_MAX - 1) {
        directory.add_member(pair[1], pair[0]).unwrap();
    }
    assert_eq!(world.snapshot().groups_of(ann).len(), GROUP_DEPTH_MAX);
    let deeper = directory.add_member(groups[GROUP_DEPTH_MAX], groups[GROUP_DEPTH_MAX - 1]);
    assert!(matches!(deeper, Err(ChangeError::TooDeep)), "{deeper:?}");
    for outer in &groups[..GROUP_DEPTH_MAX] {
        let circle = directory.add_member(groups[0], *outer);
        assert!(matches!(circle, Err(ChangeError::Cycle)), "{circle:?}");
    }
    assert!(directory.add_member(ann, groups[0]).is_err(), "a user has no members");
    directory.remove_member(groups[1], groups[0]).unwrap();
    assert_eq!(world.snapshot().groups_of(ann), [groups[0]]);
    assert_eq!(world.reopened().snapshot().groups_of(ann), [groups[0]]);
    assert!(directory.remove_member(groups[1], groups[0]).is_err());
}
