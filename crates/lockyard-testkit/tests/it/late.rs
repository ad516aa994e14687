//! Every call of every story answers late, or stalls until somebody lets it go on: nobody takes a
//! stalled call for an answer, and nothing is lost or half done afterwards.
//!
//! One call in sixteen is tried, other ones each time; `LOCKYARD_EVERY=1` tries all of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use lockyard_base::chain;
use lockyard_registry::RegistryError;
use lockyard_testkit::{Dice, Loss};

use crate::{
    script::{self, Script, Stage},
    setting::{alone, number, seed},
    step::Notes,
};

/// Later than every lease, grace and hard stop that a step could wait for.
const LATE: Duration = Duration::from_secs(2 * 60 * 60);

#[derive(Clone, Copy, Debug)]
enum Delay {
    Late,
    Stalls,
}

fn delay_everywhere(script: Script) {
    let seed = seed(script.name);
    let (every, mut dice) = (number("LOCKYARD_EVERY").unwrap_or(16), Dice::new(seed));
    alone(async move {
        let stage = Stage::set(script, seed).await;
        for delay in [Delay::Late, Delay::Stalls] {
            for (number, (calls, _)) in stage.calls.iter().enumerate() {
                let mut call = dice.below(every);
                while call < *calls {
                    delay_at(&stage, number, call, delay).await;
                    call += 1 + dice.below(2 * every - 1);
                }
            }
        }
    });
}

async fn delay_at(stage: &Stage, number: usize, call: u64, delay: Delay) {
    let world = stage.world.copy().await;
    let mut notes: Notes = stage.notes.clone();
    let (before, rest) = stage.script.steps.split_at(number);
    for step in before {
        step.run(&world, &mut notes, false).await.unwrap();
    }
    let Some(step) = rest.first() else { return };
    let context = format!("step {number} {step:?}, call {call} {delay:?}");
    let answered = Arc::new(AtomicBool::new(false));
    let watcher = match delay {
        Delay::Late => {
            let clock = Arc::clone(&world.clock);
            world.disk.meanwhile(call, move || clock.advance(LATE));
            None
        }
        Delay::Stalls => {
            let (reached, stalled) = mpsc::channel();
            let (release, go_on) = mpsc::channel::<()>();
            world.disk.meanwhile(call, move || {
                reached.send(()).expect("the watcher waits");
                // Released, or forgotten because the watcher failed: either way it goes on.
                let _released = go_on.recv();
            });
            let answered = Arc::clone(&answered);
            Some(std::thread::spawn(move || {
                // A call that never comes is forgotten with the disk's schedule.
                let came = stalled.recv().is_ok();
                let early = came && answered.load(Ordering::SeqCst);
                drop(release);
                early
            }))
        }
    };
    let outcome = step.run(&world, &mut notes, false).await;
    answered.store(true, Ordering::SeqCst);
    world.disk.mend();
    if let Some(watcher) = watcher {
        assert!(!watcher.join().unwrap(), "{}: answered too early", stage.place(&context));
    }
    // What the probe would do by itself.
    world.wait(Duration::ZERO).await;
    let done = match outcome {
        Ok(()) => number + 1,
        Err(error) => {
            assert!(is_clear(&error), "{}: {}", stage.place(&context), chain(&error));
            number
        }
    };
    stage.check(&world, &notes, done, &context).await;
    let again = world.recover_aside(Loss::Everything).await;
    let again = again.unwrap_or_else(|wrong| panic!("{}: {wrong}", stage.place(&context)));
    stage.check(&again, &notes, done, &context).await;
    stage.finish(&world, &mut notes, done, &context).await;
}

/// Whether an error tells the client that it is not its fault and that it may try again: two hours
/// without the vault's word lock a registry.
fn is_clear(error: &RegistryError) -> bool {
    matches!(
        error,
        RegistryError::Unavailable(_) | RegistryError::Locked(_) | RegistryError::LockedMeanwhile
    )
}

macro_rules! delay {
    ($($name:ident: $script:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            delay_everywhere(script::$script);
        })*
    };
}

delay! {
    a_push_bears_every_delay: PUSH,
    a_chunked_push_bears_every_delay: CHUNKS,
    a_mount_bears_every_delay: MOUNT,
    a_manifest_put_bears_every_delay: PUT,
    a_delete_bears_every_delay: DELETE,
    a_collection_bears_every_delay: COLLECT,
    a_compaction_bears_every_delay: COMPACT,
    a_pull_bears_every_delay: READ,
}
