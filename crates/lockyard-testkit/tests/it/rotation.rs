//! The rotation of the service key, cut off at every boundary and failing at every call: the
//! database holds the old key or the new one, the same secret opens it, and its registry unlocks.
//! A rotation that was acknowledged is there.

use std::sync::Arc;

use lockyard_base::{Entropy, SeededEntropy};
use lockyard_keyring::{Slot, SlotKind};
use lockyard_registry::Limits;
use lockyard_registry::instance::{self, InstanceError, Rotated};
use lockyard_testkit::{Dice, Loss, Settings, World};

use crate::setting::{alone, seed};

async fn stage(seed: u64) -> World {
    let world = World::found(Settings { seed, limits: Limits::default() }).await;
    let name = "plain".parse().unwrap();
    world.house.create(&name, None).await.unwrap();
    world
}

/// Rotates, and moves the log into the database as the command does.
fn rotate(world: &World) -> Result<Rotated, InstanceError> {
    let secret = || (SlotKind::File, world.secret());
    let opened = instance::open(&world.store, &[secret()])?;
    let plan = instance::plan_slots(&world.store, vec![vec![secret()]])?;
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(77));
    let rotated = instance::rotate_service_key(&world.store, opened, &entropy, &plan);
    world.store.clone().close();
    rotated
}

/// Fails unless the instance opened with its old slots or with other ones.
async fn is_whole(world: &World, old: &[Slot], acknowledged: bool, place: &str) {
    let present = instance::slots(&world.store).unwrap();
    assert_eq!(present.len(), old.len(), "{place}");
    assert!(!acknowledged || present != old, "{place}: what was acknowledged is lost");
    world.registry().unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(world.house.list().await.unwrap().len(), 2, "{place}");
}

#[test]
fn a_rotation_survives_every_power_cut() {
    let seed = seed("rotation");
    alone(async move {
        let world = stage(seed).await;
        let old = instance::slots(&world.store).unwrap();
        let trial = world.copy().await;
        let before = trial.disk.boundaries();
        assert_eq!(rotate(&trial).unwrap().shares, 2);
        let boundaries = trial.disk.boundaries() - before;
        assert!(boundaries > 4, "{boundaries}");
        let mut dice = Dice::new(seed);
        // How often the old key was found, and the new one.
        let mut found = [0, 0];
        for boundary in 0..=boundaries {
            let cut = world.copy().await;
            cut.disk.cut_at(boundary);
            let acknowledged = rotate(&cut).is_ok();
            for loss in [Loss::Everything, Loss::Nothing, Loss::Some(dice.word())] {
                let place = format!("cut at {boundary}, {loss:?}");
                let again = cut.recover(loss).await;
                let again = again.unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
                is_whole(&again, &old, acknowledged, &place).await;
                let is_old = instance::slots(&again.store).unwrap() == old;
                found[usize::from(!is_old)] += 1;
                rotate(&again).unwrap();
            }
        }
        assert!(!found.contains(&0), "{found:?}: the cuts missed the commit");
    });
}

#[test]
fn a_rotation_whose_calls_fail_is_done_or_not_done() {
    let seed = seed("rotation");
    alone(async move {
        let world = stage(seed).await;
        let old = instance::slots(&world.store).unwrap();
        let trial = world.copy().await;
        let before = trial.disk.calls();
        rotate(&trial).unwrap();
        let calls = trial.disk.calls() - before;
        let mut failures = 0;
        for errno in [libc::EIO, libc::ENOSPC] {
            for call in 0..calls {
                let failing = world.copy().await;
                failing.disk.fail(call, errno);
                let acknowledged = rotate(&failing).is_ok();
                failing.disk.mend();
                failures += u32::from(!acknowledged);
                let place = format!("error {errno} at call {call}");
                let again = failing.recover(Loss::Everything).await;
                let again = again.unwrap_or_else(|wrong| panic!("{place}: {wrong}"));
                is_whole(&again, &old, acknowledged, &place).await;
            }
        }
        assert!(failures > 0, "no call mattered");
    });
}
