//! Pushing blobs of 4 KiB, one after the other, on one connection and on eight.
//!
//! Each is durable before the next one begins, so this measures commits, and whether connections
//! share them.

use std::time::Duration;

use super::{dismiss, rounds};
use crate::{
    clock,
    content::Mould,
    contestant::{Contestant, Kind, Stage},
    failure::{Failure, Outcome},
    figures::{Figures, Meter, Sample, Unit},
};

const REPOSITORY: &str = "bench/small";
const BLOB_BYTES: u64 = 4096;

pub(super) fn run(stage: &Stage, figures: &mut Figures) -> Outcome {
    let contestants = stage.start_all(&[Kind::Lockyard, Kind::DockerRegistry])?;
    for contestant in &contestants {
        let blob = Mould::new(BLOB_BYTES).cast();
        let mut connection = contestant.plain.connect()?;
        connection.push_small(REPOSITORY, &blob)?;
        connection.verify(REPOSITORY, blob.digest())?;
    }
    for connections in [1, 8] {
        let case = format!("small-push, {connections} connections");
        rounds(stage, &contestants, |contestant| {
            stage.settle()?;
            let sample = measure(contestant, connections, stage.options().sizes.storm)?;
            figures.add(&case, contestant.kind, Unit::PerSecond, sample);
            Ok(())
        })?;
    }
    dismiss(contestants)
}

fn measure(contestant: &Contestant, connections: usize, duration: Duration) -> Outcome<Sample> {
    let open = (0..connections).map(|_| contestant.plain.connect());
    let open = open.collect::<Outcome<Vec<_>>>()?;
    let mould = Mould::new(BLOB_BYTES);
    let (latencies, spent) = Meter::measure(contestant, || {
        let begun = clock::now();
        std::thread::scope(|scope| {
            let mould = &mould;
            let pushers: Vec<_> = open
                .into_iter()
                .map(|mut connection| {
                    scope.spawn(move || {
                        let mut latencies = Vec::new();
                        while begun.elapsed() < duration {
                            let blob = mould.cast();
                            let asked = clock::now();
                            connection.push_small(REPOSITORY, &blob)?;
                            latencies.push(asked.elapsed());
                        }
                        Ok(latencies)
                    })
                })
                .collect();
            let mut all = Vec::new();
            for pusher in pushers {
                let pushed: Outcome<Vec<Duration>> =
                    pusher.join().map_err(|_| Failure::new("a push panicked"))?;
                all.extend(pushed?);
            }
            all.sort_unstable();
            Ok(all)
        })
    })?;
    Ok(spent.count(latencies.len()).with_latencies(&latencies))
}
