//! Asking for a manifest by its tag, over and over: what every pull and every check begins with.

use super::{dismiss, rounds};
use crate::{
    content::Mould,
    contestant::{Kind, Stage},
    failure::{Failure, Outcome},
    figures::{Figures, Meter, Unit},
    registry::{MANIFEST_TYPE, push_image},
    storm::{Request, storm},
};

const REPOSITORY: &str = "bench/manifest";
const TARGET: &str = "/v2/bench/manifest/manifests/latest";
const CONNECTIONS: [usize; 3] = [2, 8, 64];

pub(super) fn get(stage: &Stage, figures: &mut Figures) -> Outcome {
    run(stage, figures, "GET")
}

pub(super) fn head(stage: &Stage, figures: &mut Figures) -> Outcome {
    run(stage, figures, "HEAD")
}

fn run(stage: &Stage, figures: &mut Figures, method: &'static str) -> Outcome {
    let contestants = stage.start_all(&[Kind::Lockyard, Kind::DockerRegistry])?;
    if contestants.iter().any(|contestant| contestant.plain.tls.is_some()) {
        figures.note("manifests are measured on plain HTTP only");
        return dismiss(contestants);
    }
    for contestant in &contestants {
        let pushed = push_image(&contestant.plain, REPOSITORY, "latest", &Mould::new(4096).cast())?;
        let mut connection = contestant.plain.connect()?;
        let accept = format!("accept: {MANIFEST_TYPE}\r\n");
        let head = connection.ask_with("GET", TARGET, &accept, b"")?;
        if connection.keep(&head)? != pushed {
            return Err(Failure::new("a manifest came back otherwise than it was pushed"));
        }
    }
    stage.settle()?;
    let request = Request { method, target: TARGET, accept: MANIFEST_TYPE };
    for connections in CONNECTIONS {
        let case = format!("manifest {method}, {connections} connections");
        rounds(stage, &contestants, |contestant| {
            let (storm, spent) = Meter::measure(contestant, || {
                storm(&contestant.plain, &request, connections, stage.options().sizes.storm)
            })?;
            let sample = spent.count(storm.len()).with_latencies(&storm);
            figures.add(&case, contestant.kind, Unit::PerSecond, sample);
            Ok(())
        })?;
    }
    dismiss(contestants)
}
