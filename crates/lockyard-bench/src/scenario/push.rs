//! Pushing large blobs, on one connection or eight, until the registry says that it has them.
//!
//! Every round has fresh contestants, for two reasons: the disk fills with one round only, and
//! nobody finds a blob that it has already.

use std::sync::Barrier;

use crate::{
    clock,
    content::{Content, Mould},
    contestant::{Contestant, Kind, Stage, warm_memory},
    failure::{Failure, Outcome},
    figures::{Figures, Meter, Spent, Unit, gigabytes},
};

const REPOSITORY: &str = "bench/push";

pub(super) fn one(stage: &Stage, figures: &mut Figures) -> Outcome {
    let limit = hash_speed(stage.options().sizes.large_bytes);
    run(stage, figures, "push-1", &Mould::new(stage.options().sizes.large_bytes), 1)?;
    let ours = figures.row("push-1", Kind::Lockyard).and_then(|row| Some(row.value()?.median));
    if let Some(ours) = ours {
        let share = ours / limit * 100.0;
        figures.note(format!(
            "one core hashes {limit:.2} GB/s with SHA-256 here; push-1 is {share:.0} % of that"
        ));
    }
    Ok(())
}

/// How fast one core hashes what lies in its cache, in GB/s: no push that hashes is faster.
fn hash_speed(bytes: u64) -> f64 {
    let begun = clock::now();
    let mould = Mould::new(bytes);
    let (len, seconds) = (mould.cast().len(), begun.elapsed().as_secs_f64());
    gigabytes(len) / seconds
}

pub(super) fn eight(stage: &Stage, figures: &mut Figures) -> Outcome {
    run(stage, figures, "push-8", &Mould::new(stage.options().sizes.medium_bytes), 8)
}

fn run(stage: &Stage, figures: &mut Figures, case: &str, mould: &Mould, streams: usize) -> Outcome {
    let mut kinds = stage.present(&[Kind::Lockyard, Kind::DockerRegistry]);
    for _ in 0..stage.options().rounds {
        for kind in &kinds {
            let blobs: Vec<Content> = (0..streams).map(|_| mould.cast()).collect();
            let contestant = stage.start(*kind)?;
            // The first push of a process pays for more than itself.
            contestant.plain.connect()?.push(REPOSITORY, &Mould::new(1 << 20).cast())?;
            stage.settle()?;
            let bytes = blobs.iter().map(Content::len).sum();
            warm_memory(bytes);
            let spent = push_all(&contestant, REPOSITORY, &blobs)?;
            figures.add(case, *kind, Unit::GbPerSecond, spent.bytes(bytes));
            contestant.plain.connect()?.verify(REPOSITORY, blobs[0].digest())?;
            contestant.dismiss()?;
        }
        kinds.rotate_left(1);
    }
    Ok(())
}

/// Pushes all blobs at once, each on a connection that is open before the clocks start.
pub(super) fn push_all(
    contestant: &Contestant,
    repository: &str,
    blobs: &[Content],
) -> Outcome<Spent> {
    let connections = blobs.iter().map(|_| contestant.plain.connect());
    let connections = connections.collect::<Outcome<Vec<_>>>()?;
    let start = Barrier::new(blobs.len() + 1);
    std::thread::scope(|scope| {
        let pushes: Vec<_> = blobs
            .iter()
            .zip(connections)
            .map(|(blob, mut connection)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    connection.push(repository, blob)
                })
            })
            .collect();
        let meter = Meter::start(contestant);
        start.wait();
        for push in pushes {
            push.join().map_err(|_| Failure::new("a push panicked"))??;
        }
        Ok(meter.stop())
    })
}
