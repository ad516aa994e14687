//! Resident memory: idle, after work, at the peak of eight pulls, and with very many slow pulls.
//!
//! A slow pull has sent its request and reads a little now and then: whatever the server holds for
//! it, it holds for long.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{pull::pull_all, push::push_all};
use crate::{
    clock,
    content::{Content, Mould},
    contestant::{Contestant, Kind, Stage},
    failure::{During as _, Failure, Outcome},
    figures::{Figures, Sample, Unit, mebibytes},
    registry::{MANIFEST_TYPE, blob_path, push_image},
    storm::{Request, storm},
};

const REPOSITORY: &str = "bench/memory";
const TARGET: &str = "/v2/bench/memory/manifests/latest";
/// How much a slow pull reads at once, and how often.
const SIP_BYTES: usize = 8 << 10;
const SIP_PAUSE: Duration = Duration::from_millis(100);

pub(super) fn run(stage: &Stage, figures: &mut Figures) -> Outcome {
    if stage.options().url.is_some() {
        figures.note("memory: only of servers that the bench has started");
        return Ok(());
    }
    raise_file_limit()?;
    for kind in stage.present(&[Kind::Lockyard, Kind::DockerRegistry]) {
        let contestant = stage.start(kind)?;
        measure(stage, &contestant, figures)?;
        contestant.dismiss()?;
    }
    Ok(())
}

fn measure(stage: &Stage, contestant: &Contestant, figures: &mut Figures) -> Outcome {
    let sizes = &stage.options().sizes;
    let server = contestant.server()?;
    let kind = contestant.kind;
    let add = |figures: &mut Figures, case: &str, bytes: u64| {
        let sample = Sample { value: mebibytes(bytes), ..Sample::default() };
        figures.add(case, kind, Unit::Mebibytes, sample);
    };
    // What a start leaves running is over by then.
    clock::pause(Duration::from_secs(1));
    add(figures, "memory, idle", server.resident());

    let mould = Mould::new(sizes.medium_bytes);
    let blobs: Vec<Content> = (0..8).map(|_| mould.cast()).collect();
    server.reset_peak()?;
    push_all(contestant, REPOSITORY, &blobs)?;
    add(figures, "memory, peak of 8 pushes", server.peak());
    server.reset_peak()?;
    pull_all(contestant, &contestant.plain, REPOSITORY, &blobs)?;
    add(figures, "memory, peak of 8 pulls", server.peak());
    push_image(&contestant.plain, REPOSITORY, "latest", &Mould::new(4096).cast())?;
    let request = Request { method: "GET", target: TARGET, accept: MANIFEST_TYPE };
    storm(&contestant.plain, &request, 64, sizes.storm)?;
    add(figures, "memory, after work", server.resident());

    server.reset_peak()?;
    let served = slow_pulls(contestant, &blobs, sizes.slow_pulls, sizes.slow)?;
    add(figures, "memory, peak of slow pulls", server.peak());
    let (name, wanted) = (kind.name(), sizes.slow_pulls);
    figures.note(format!("{name}: of {wanted} slow pulls at once, {served} were being served"));
    clock::pause(Duration::from_secs(1));
    add(figures, "memory, after slow pulls", server.resident());
    Ok(())
}

/// How a slow pull fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Waiting,
    Served,
    Refused,
}

/// Begins pulls that hardly read, keeps them going, and returns how many got something.
fn slow_pulls(
    contestant: &Contestant,
    blobs: &[Content],
    count: usize,
    duration: Duration,
) -> Outcome<usize> {
    let begin = |index: usize| -> Outcome<TcpStream> {
        let path = blob_path(REPOSITORY, blobs[index % blobs.len()].digest());
        let endpoint = &contestant.plain;
        let mut socket = endpoint.socket()?;
        let request = format!("GET {path} HTTP/1.1\r\n{}\r\n", endpoint.greeting());
        socket.write_all(request.as_bytes()).during("asking")?;
        socket.set_nonblocking(true).during("preparing a socket")?;
        Ok(socket)
    };
    let mut pulls = Vec::new();
    for index in 0..count {
        pulls.push((begin(index)?, Fate::Waiting));
    }
    let mut sip = vec![0; SIP_BYTES];
    let begun = clock::now();
    while begun.elapsed() < duration {
        for (socket, fate) in &mut pulls {
            match socket.read(&mut sip) {
                Ok(0) if *fate == Fate::Served => {
                    return Err(Failure::new("the server gave a slow pull up"));
                }
                Ok(_) if *fate == Fate::Waiting => {
                    let well = sip.starts_with(b"HTTP/1.1 200");
                    *fate = if well { Fate::Served } else { Fate::Refused };
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).during("reading slowly"),
            }
        }
        clock::pause(SIP_PAUSE);
    }
    Ok(pulls.iter().filter(|(_, fate)| *fate == Fate::Served).count())
}

/// Lets this process and the servers it starts have as many open files as is allowed.
fn raise_file_limit() -> Outcome {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit { current: maximum, maximum };
    setrlimit(Resource::Nofile, raised).during("raising the limit of open files")
}
