//! Every call of every story fails once, of disk, database and vault: the world is as before or as
//! after, the error says what is wrong, and trying again succeeds.
//!
//! One call in eight is tried, other ones each time; `LOCKYARD_EVERY=1` tries all of them.

use std::time::Duration;

use lockyard_base::chain;
use lockyard_registry::RegistryError;
use lockyard_testkit::{Dice, Loss};

use crate::{
    script::{self, Script, Stage},
    setting::{alone, number, seed},
    step::Notes,
};

/// How a call fails.
#[derive(Clone, Copy, Debug)]
struct Fault {
    errno: i32,
    /// Whether every later call of the same step fails as well.
    lasting: bool,
}

const FAULTS: [Fault; 4] = [
    Fault { errno: libc::EIO, lasting: false },
    Fault { errno: libc::ENOSPC, lasting: false },
    Fault { errno: libc::EIO, lasting: true },
    Fault { errno: libc::ENOSPC, lasting: true },
];

fn fail_everywhere(script: Script) {
    let seed = seed(script.name);
    let (every, mut dice) = (number("LOCKYARD_EVERY").unwrap_or(8), Dice::new(seed));
    alone(async move {
        let stage = Stage::set(script, seed).await;
        println!("{}: calls and boundaries {:?}", script.name, stage.calls);
        for fault in FAULTS {
            for (number, (calls, _)) in stage.calls.iter().enumerate() {
                // Each story starts afresh for each call; the steps before pass.
                let mut call = dice.below(every);
                while call < *calls {
                    fail_at(&stage, number, call, fault).await;
                    call += 1 + dice.below(2 * every - 1);
                }
            }
        }
    });
}

async fn fail_at(stage: &Stage, number: usize, call: u64, fault: Fault) {
    let world = stage.world.copy().await;
    let mut notes: Notes = stage.notes.clone();
    let (before, rest) = stage.script.steps.split_at(number);
    for step in before {
        step.run(&world, &mut notes, false).await.unwrap();
    }
    let Some(step) = rest.first() else { return };
    if fault.lasting {
        world.disk.fail_from(call, fault.errno);
    } else {
        world.disk.fail(call, fault.errno);
    }
    let outcome = step.run(&world, &mut notes, false).await;
    let failed = world.disk.failed();
    world.disk.mend();
    // What the probe would do by itself.
    world.wait(Duration::ZERO).await;
    if failed.is_none() {
        // A full disk fails only what needs room.
        outcome.unwrap();
        return;
    }
    let context = format!("step {number} {step:?}, call {call} ({failed:?}) {fault:?}");
    let done = match outcome {
        Ok(()) => number + 1,
        Err(error) => {
            assert!(is_clear(&error), "{}: {}", stage.place(&context), chain(&error));
            number
        }
    };
    stage.check(&world, &notes, done, &context).await;
    // What was acknowledged in spite of the failure is safe from a power cut too.
    let again = world.recover_aside(Loss::Everything).await;
    let again = again.unwrap_or_else(|wrong| panic!("{}: {wrong}", stage.place(&context)));
    stage.check(&again, &notes, done, &context).await;
    stage.finish(&world, &mut notes, done, &context).await;
}

/// Whether an error tells the client that it is not its fault and that it may try again.
fn is_clear(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Full | RegistryError::Unavailable(_) | RegistryError::CustomerKey(_)
    )
}

macro_rules! fail {
    ($($name:ident: $script:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            fail_everywhere(script::$script);
        })*
    };
}

fail! {
    a_push_bears_every_failure: PUSH,
    a_push_of_what_is_there_bears_every_failure: PUSH_AGAIN,
    a_chunked_push_bears_every_failure: CHUNKS,
    a_cancelled_push_bears_every_failure: CANCEL,
    a_mount_bears_every_failure: MOUNT,
    a_manifest_put_bears_every_failure: PUT,
    a_tag_move_bears_every_failure: MOVE,
    a_delete_bears_every_failure: DELETE,
    a_collection_bears_every_failure: COLLECT,
    a_compaction_bears_every_failure: COMPACT,
    a_sweep_bears_every_failure: SWEEP,
    a_pull_bears_every_failure: READ,
    a_new_registry_bears_every_failure: KEYS,
}
