//! Measures this registry beside its peers: `cargo xtask bench` builds it and starts it.
//!
//! It starts all servers itself, on loopback ports that are free and with data directories on one
//! disk, and measures them with a client of its own, because the usual ones are slower than the
//! servers. It never touches a server that it did not start, unless a URL was given.

mod certificate;
mod clock;
mod content;
mod contestant;
mod failure;
mod figures;
mod http;
mod machine;
mod options;
mod process;
mod registry;
mod report;
mod scenario;
mod storm;
mod target;
mod tls;

use std::process::ExitCode;

use crate::{
    contestant::Stage,
    failure::{During as _, Failure, Outcome},
    figures::Figures,
    machine::Machine,
    options::Options,
    report::say,
    scenario::{SCENARIOS, Scenario},
};

/// Bytes on disk that a run may need at once, with reserve.
const DISK_BYTES: u64 = 12 << 30;
/// Above this load average for each core, figures say more about the others.
const LOAD_MAX: f64 = 0.5;

const USAGE: &str = "\
usage: cargo xtask bench [SCENARIO…] [flags]

  --rounds N            how often everything is measured [default: 5]
  --small               sizes that take seconds and say nothing about speed
  --million             also a repository with a million tags
  --json FILE           write the figures to a file
  --url URL             measure the registry that runs there, alone; it is left with what was
                        pushed to repositories bench/…
  --ca FILE             the authorities that an HTTPS URL's certificate is checked against
  --login-file FILE     a file with user:secret for the URL
  --work DIR            where data and logs lie [default: target/bench]
  --keep                keep them
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|word| word == "--help") {
        say(USAGE);
        for Scenario { name, about, .. } in &SCENARIOS {
            say(&format!("  {name:<20}  {about}"));
        }
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("bench: {failure}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Outcome {
    let options = Options::parse(arguments)?;
    let scenarios = Scenario::chosen(&options.scenarios)?;
    let (rounds, small, json) = (options.rounds, options.sizes.small, options.json.clone());
    let stage = Stage::new(options)?;
    let mut figures = Figures::new(!small);
    if !small {
        check_room(&stage)?;
    }
    let machine = Machine::of(&stage);
    say(&machine.sentence());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if machine.load() > LOAD_MAX * f64::from(u32::try_from(cores).unwrap_or(u32::MAX)) {
        figures.note("the machine was busy with other things when the run began");
    }
    if small {
        figures.note("small sizes: these figures check the bench and say nothing about speed");
    }
    let mut took = Vec::new();
    for scenario in scenarios {
        say(&format!("{}: {}", scenario.name, scenario.about));
        let begun = clock::now();
        scenario.run(&stage, &mut figures).during(scenario.name)?;
        let seconds = begun.elapsed().as_secs();
        say(&format!("  {seconds} s"));
        took.push((scenario.name, seconds));
    }
    figures.note(sentence(&took));
    for line in report::tables(&machine, &figures) {
        say(&line);
    }
    if let Some(json) = json {
        let document = report::document(&machine, rounds, small, &figures);
        let text = format!("{document:#}\n");
        std::fs::write(&json, text).during(format!("writing `{}`", json.display()))?;
    }
    Ok(())
}

/// How long the scenarios took.
fn sentence(took: &[(&str, u64)]) -> String {
    let each: Vec<String> =
        took.iter().map(|(name, seconds)| format!("{name} {seconds}")).collect();
    let all: u64 = took.iter().map(|(_, seconds)| seconds).sum();
    format!("seconds that it took: {}; {all} in all", each.join(", "))
}

/// Fails if the disk could get full.
fn check_room(stage: &Stage) -> Outcome {
    let disk = rustix::fs::statvfs(stage.folder()).during("asking how much room there is")?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= DISK_BYTES {
        return Ok(());
    }
    let (free, needed) = (free >> 30, DISK_BYTES >> 30);
    Err(Failure::new(format!("{free} GiB are free, and a run may need {needed}; see --work")))
}
