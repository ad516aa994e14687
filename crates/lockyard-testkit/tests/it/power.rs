//! The power is cut at every boundary of every story; what was acknowledged is there afterwards.

use std::collections::HashSet;

use lockyard_testkit::{Dice, Loss};

use crate::{
    script::{self, Script, Stage},
    setting::{alone, seed},
};

/// Tells the story once for every boundary and cuts it off there.
fn cut_everywhere(script: Script) {
    let seed = seed(script.name);
    alone(async move {
        let stage = Stage::set(script, seed).await;
        let boundaries: u64 = stage.calls.iter().map(|(_, boundaries)| boundaries).sum();
        println!("{}: {boundaries} boundaries {:?}", script.name, stage.calls);
        let mut dice = Dice::new(seed);
        for boundary in 0..=boundaries {
            let losses = [
                Loss::Everything,
                Loss::Nothing,
                Loss::Some(dice.word()),
                Loss::Some(dice.word()),
                Loss::Some(dice.word()),
            ];
            cut_at(&stage, boundary, &losses).await;
        }
    });
}

async fn cut_at(stage: &Stage, boundary: u64, losses: &[Loss]) {
    let world = stage.world.copy().await;
    let mut notes = stage.notes.clone();
    world.disk.cut_at(boundary);
    let mut done = 0;
    for step in stage.script.steps {
        if step.run(&world, &mut notes, false).await.is_err() {
            assert!(world.disk.is_dead(), "{}", stage.place("a step failed by itself"));
            break;
        }
        done += 1;
    }
    let mut seen = HashSet::new();
    for loss in losses {
        if !seen.insert(world.disk.survivor(*loss).fingerprint()) {
            continue;
        }
        let context = format!("cut at {boundary} in step {done}, {loss:?}");
        let again = world.recover(*loss).await;
        let again = again.unwrap_or_else(|wrong| panic!("{}: {wrong}", stage.place(&context)));
        stage.check(&again, &notes, done, &context).await;
        stage.finish(&again, &mut notes.clone(), done, &context).await;
    }
}

macro_rules! cut {
    ($($name:ident: $script:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            cut_everywhere(script::$script);
        })*
    };
}

cut! {
    a_push_survives_every_power_cut: PUSH,
    a_push_of_what_is_there_survives_every_power_cut: PUSH_AGAIN,
    a_chunked_push_survives_every_power_cut: CHUNKS,
    a_cancelled_push_survives_every_power_cut: CANCEL,
    a_mount_survives_every_power_cut: MOUNT,
    a_manifest_put_survives_every_power_cut: PUT,
    a_tag_move_survives_every_power_cut: MOVE,
    a_delete_survives_every_power_cut: DELETE,
    a_collection_survives_every_power_cut: COLLECT,
    a_compaction_survives_every_power_cut: COMPACT,
    a_sweep_survives_every_power_cut: SWEEP,
    a_new_registry_survives_every_power_cut: KEYS,
}
