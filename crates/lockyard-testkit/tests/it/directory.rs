//! Changes of the directory, cut off at every boundary and failing at every call: each is there
//! whole or not at all, and what was acknowledged is there. What the process has in memory after a
//! call that failed is one of the two as well, and what it changes next is true for both.

use std::{fmt::Write as _, sync::Arc};

use lockyard_access::{
    Directory, Records,
    decision::role_id,
    directory::{Cost, Founding, NewApplication, NewAssignment, NewUser, Presented},
};
use lockyard_arm::Scope;
use lockyard_base::{Clock, Entropy, Guid, SeededEntropy, chain};
use lockyard_keyring::SlotKind;
use lockyard_registry::{Limits, instance};
use lockyard_testkit::{Dice, Loss, Settings, World};

use crate::setting::{alone, number, seed};

const SEED: u64 = 41;

/// One change, or why it was not made.
type Step = fn(&Directory) -> Result<(), String>;

/// What somebody does to a directory, one change each; founding it comes before.
const STEPS: [Step; 9] = [
    |directory| {
        let password = Presented::from("correct horse battery");
        let upn = "ann@lockyard.test";
        let new = NewUser { display_name: "Ann", upn, password: Some(&password) };
        told(directory.create_user(&new))
    },
    |directory| told(directory.create_group("guests")),
    |directory| {
        let (group, ann) = (named(directory, "guests")?, named(directory, "Ann")?);
        told(directory.add_member(group, ann))
    },
    |directory| {
        let (principal, snapshot) = (named(directory, "Ann")?, directory.snapshot());
        told(directory.assign(NewAssignment {
            id: Guid::from_bytes([8; 16]),
            principal,
            role: role_id::ACR_PULL,
            scope: Scope::of_subscription(snapshot.subscription().id.guid()),
            description: None,
            created_by: None,
        }))
    },
    |directory| told(directory.reset_password(named(directory, "Ann")?)),
    |directory| {
        let new = NewApplication { display_name: "robot".to_owned(), ..NewApplication::default() };
        told(directory.create_application(&new))
    },
    // Takes out of three things at once.
    |directory| told(directory.delete_principal(named(directory, "Ann")?)),
    |directory| told(directory.reset_owner()),
    |directory| {
        let snapshot = directory.snapshot();
        told(directory.delete_application(snapshot.owner().0))
    },
];

fn told<T>(outcome: Result<T, impl std::error::Error + 'static>) -> Result<(), String> {
    outcome.map(drop).map_err(|error| chain(&error).to_string())
}

fn named(directory: &Directory, name: &str) -> Result<lockyard_access::PrincipalId, String> {
    let snapshot = directory.snapshot();
    snapshot.by_name(name).first().map(|one| one.id).ok_or_else(|| format!("{name} is missing"))
}

/// The records of an instance that has just been opened, and where its directory's ids come from.
fn ground(world: &World) -> (Records, Arc<dyn Clock>, Arc<dyn Entropy>) {
    let opened = instance::open(&world.store, &[(SlotKind::File, world.secret())]).unwrap();
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(SEED));
    let records = Records::new(world.store.clone(), opened.keys, Arc::clone(&entropy));
    (records, Arc::clone(&world.clock) as _, entropy)
}

fn open(world: &World) -> Result<Arc<Directory>, String> {
    let (records, clock, entropy) = ground(world);
    Directory::open_at_cost(records, clock, entropy, Cost::NEGLIGIBLE)
        .map_err(|error| chain(&error).to_string())
}

/// Everything that a directory says; before it is founded, nothing.
fn seen(directory: &Directory) -> String {
    let snapshot = directory.snapshot();
    let mut seen = format!("{} {:?}\n", snapshot.version(), snapshot.owner());
    for principal in snapshot.principals() {
        let groups = snapshot.groups_of(principal.id);
        writeln!(seen, "{principal:?} {groups:?}").unwrap();
    }
    for application in snapshot.applications() {
        writeln!(seen, "{application:?}").unwrap();
    }
    for assignment in snapshot.assignments() {
        writeln!(seen, "{assignment:?}").unwrap();
    }
    seen
}

fn after_restart(world: &World, place: &str) -> String {
    let (records, ..) = ground(world);
    if !Directory::is_founded(&records).unwrap() {
        return String::new();
    }
    let directory = open(world).unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
    seen(&directory)
}

/// How far a run came: the directory if it was founded, and how many steps were acknowledged, the
/// founding among them.
struct Run {
    directory: Option<Arc<Directory>>,
    acknowledged: usize,
}

/// Founds a directory and goes through the steps until one fails; `see` sees each that was done.
fn run(world: &World, mut see: impl FnMut(&Directory)) -> Run {
    let (records, clock, entropy) = ground(world);
    let founding = Founding::generate(&*entropy, "lockyard.test");
    let founded = Directory::found(records, clock, entropy, &founding, Cost::NEGLIGIBLE);
    let Ok(directory) = founded else { return Run { directory: None, acknowledged: 0 } };
    see(&directory);
    let mut acknowledged = 1;
    for step in STEPS {
        if step(&directory).is_err() {
            break;
        }
        see(&directory);
        acknowledged += 1;
    }
    Run { directory: Some(directory), acknowledged }
}

/// What a run sees that nothing disturbs, step by step, and how often it calls its disk.
async fn undisturbed(world: &World) -> (Vec<String>, u64, u64) {
    let trial = world.copy().await;
    let (boundaries, calls) = (trial.disk.boundaries(), trial.disk.calls());
    let mut states = vec![String::new()];
    let run = run(&trial, |directory| states.push(seen(directory)));
    assert_eq!(run.acknowledged, STEPS.len() + 1);
    let (boundaries, calls) = (trial.disk.boundaries() - boundaries, trial.disk.calls() - calls);
    assert!(boundaries > STEPS.len() as u64 && calls > boundaries);
    (states, boundaries, calls)
}

async fn stage(seed: u64) -> World {
    World::found(Settings { seed, limits: Limits::default() }).await
}

/// Fails unless `found` is what was acknowledged last, or what was being done then.
#[track_caller]
fn is_before_or_after(states: &[String], acknowledged: usize, found: &str, place: &str) {
    let either = states.get(acknowledged..states.len().min(acknowledged + 2)).unwrap_or_default();
    assert!(
        either.iter().any(|state| state == found),
        "{place}: after {acknowledged} changes there is\n{found}\nnot one of\n{either:#?}"
    );
}

#[test]
fn a_change_of_the_directory_survives_every_power_cut() {
    let seed = seed("directory");
    alone(async move {
        let world = stage(seed).await;
        let (states, boundaries, _) = undisturbed(&world).await;
        let mut dice = Dice::new(seed);
        for boundary in 0..=boundaries {
            let cut = world.copy().await;
            cut.disk.cut_at(boundary);
            let done = run(&cut, |_| {});
            for loss in [Loss::Everything, Loss::Nothing, Loss::Some(dice.word())] {
                let place = format!("cut at {boundary}, {loss:?}");
                let again = cut.recover(loss).await;
                let again = again.unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
                let found = after_restart(&again, &place);
                is_before_or_after(&states, done.acknowledged, &found, &place);
            }
        }
    });
}

#[test]
fn a_change_of_the_directory_whose_calls_fail_is_done_or_not_done() {
    let seed = seed("directory");
    let every = number("LOCKYARD_EVERY").map_or(3, |every| every.max(1));
    alone(async move {
        let world = stage(seed).await;
        let (states, _, calls) = undisturbed(&world).await;
        let first = Dice::new(seed).below(every);
        let mut failures = 0;
        for call in (first..calls).step_by(usize::try_from(every).unwrap()) {
            for (errno, for_good) in [(libc::EIO, false), (libc::ENOSPC, true)] {
                let failing = world.copy().await;
                let place = format!("error {errno} at call {call}, for good: {for_good}");
                if for_good {
                    failing.disk.fail_from(call, errno);
                } else {
                    failing.disk.fail(call, errno);
                }
                let done = run(&failing, |_| {});
                failing.disk.mend();
                failures += u32::from(done.acknowledged < states.len() - 1);
                let mut next = None;
                if let Some(directory) = &done.directory {
                    is_before_or_after(&states, done.acknowledged, &seen(directory), &place);
                    // The disk is well again: what is changed now stands on what is there.
                    if directory.create_group("friends").is_ok() {
                        next = Some(seen(directory));
                    }
                }
                let again = failing.recover(Loss::Everything).await;
                let again = again.unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
                let found = after_restart(&again, &place);
                match next {
                    Some(next) => assert_eq!(found, next, "{place}"),
                    None => is_before_or_after(&states, done.acknowledged, &found, &place),
                }
            }
        }
        assert!(failures > 0, "no call mattered");
    });
}
