//! Pulling large blobs, on one stream or eight, plain or over TLS.
//!
//! Blobs lie in the page cache, for everybody: what is measured is the way from there to the
//! client. nginx serves the same bytes from plain files under the same paths.

use std::{
    fs::{self, File},
    io::Write as _,
    sync::Barrier,
};

use super::{dismiss, rounds};
use crate::{
    content::{Content, Mould},
    contestant::{Contestant, Kind, Stage},
    failure::{During as _, Failure, Outcome},
    figures::{Figures, Meter, Spent, Unit},
    http::Endpoint,
    registry::blob_path,
};

const REPOSITORY: &str = "bench/pull";

/// Which of a contestant's addresses is measured.
type Door = fn(&Contestant) -> Option<&Endpoint>;

pub(super) fn one(stage: &Stage, figures: &mut Figures) -> Outcome {
    let kinds = [Kind::Lockyard, Kind::DockerRegistry, Kind::Nginx];
    let blobs = [Mould::new(stage.options().sizes.large_bytes).cast()];
    run(stage, figures, "pull-1", &kinds, &blobs, |contestant| Some(&contestant.plain))
}

pub(super) fn eight(stage: &Stage, figures: &mut Figures) -> Outcome {
    let kinds = [Kind::Lockyard, Kind::DockerRegistry, Kind::Nginx];
    let mould = Mould::new(stage.options().sizes.medium_bytes);
    let blobs: Vec<Content> = (0..8).map(|_| mould.cast()).collect();
    run(stage, figures, "pull-8", &kinds, &blobs, |contestant| Some(&contestant.plain))
}

pub(super) fn tls(stage: &Stage, figures: &mut Figures) -> Outcome {
    if stage.options().url.is_some() {
        figures.note("tls-pull: for a URL, pull-1 is over TLS if the URL is");
        return Ok(());
    }
    let kinds = [Kind::Lockyard, Kind::Nginx];
    let blobs = [Mould::new(stage.options().sizes.large_bytes).cast()];
    run(stage, figures, "tls-pull", &kinds, &blobs, |contestant| contestant.tls.as_ref())
}

fn run(
    stage: &Stage,
    figures: &mut Figures,
    case: &str,
    kinds: &[Kind],
    blobs: &[Content],
    door: Door,
) -> Outcome {
    let contestants = stage.start_all(kinds)?;
    for contestant in &contestants {
        fill(contestant, blobs)?;
        for blob in blobs {
            find(door, contestant)?.connect()?.verify(REPOSITORY, blob.digest())?;
        }
    }
    stage.settle()?;
    let bytes = blobs.iter().map(Content::len).sum();
    rounds(stage, &contestants, |contestant| {
        let spent = pull_all(contestant, find(door, contestant)?, REPOSITORY, blobs)?;
        figures.add(case, contestant.kind, Unit::GbPerSecond, spent.bytes(bytes));
        Ok(())
    })?;
    dismiss(contestants)
}

fn find(door: Door, contestant: &Contestant) -> Outcome<&Endpoint> {
    let none = || Failure::new(format!("{} speaks no TLS", contestant.kind.name()));
    door(contestant).ok_or_else(none)
}

/// Gives the contestant the blobs.
fn fill(contestant: &Contestant, blobs: &[Content]) -> Outcome {
    if contestant.kind.is_registry() {
        let mut connection = contestant.plain.connect()?;
        return blobs.iter().try_for_each(|blob| connection.push(REPOSITORY, blob));
    }
    for blob in blobs {
        let path = blob_path(REPOSITORY, blob.digest());
        let file = contestant.data.join("files").join(path.trim_start_matches('/'));
        let what = || format!("writing `{}`", file.display());
        fs::create_dir_all(file.parent().unwrap_or(&file)).during(what())?;
        let mut file = File::create(&file).during(what())?;
        blob.pieces().try_for_each(|piece| file.write_all(piece)).during(what())?;
    }
    Ok(())
}

/// Pulls all blobs at once, each on a connection that is open before the clocks start.
pub(super) fn pull_all(
    contestant: &Contestant,
    endpoint: &Endpoint,
    repository: &str,
    blobs: &[Content],
) -> Outcome<Spent> {
    let connections = blobs.iter().map(|_| endpoint.connect());
    let connections = connections.collect::<Outcome<Vec<_>>>()?;
    let start = Barrier::new(blobs.len() + 1);
    std::thread::scope(|scope| {
        let pulls: Vec<_> = blobs
            .iter()
            .zip(connections)
            .map(|(blob, mut connection)| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    let length = connection.pull(repository, blob.digest())?;
                    if length == blob.len() {
                        return Ok(());
                    }
                    Err(Failure::new(format!("{length} bytes came instead of {}", blob.len())))
                })
            })
            .collect();
        let meter = Meter::start(contestant);
        start.wait();
        for pull in pulls {
            pull.join().map_err(|_| Failure::new("a pull panicked"))??;
        }
        Ok(meter.stop())
    })
}
