//! A long load: memory, open files and the log must not grow with time.
//!
//! Only there when `LOCKYARD_SOAK_MINUTES` says how long (`cargo xtask soak` does). The load is
//! bounded: a few names, a limited number of different layers, some rest between steps. Every five
//! seconds the server's process and files are looked at; a table is printed, and the last third of
//! the time is compared with the third before it.

use std::fs;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::load::{Client, Ledger, Load};
use crate::outside::{Need, Story};
use crate::world::{Server, World};

const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Lines of the table.
const LINES: usize = 20;
/// How many different layers there are.
const LAYERS: u64 = 400;
/// How long a client rests after each step.
const REST: Duration = Duration::from_millis(20);
/// How much memory may be more at the end than before: allocators keep some.
const MEMORY_SLACK_KIB: u64 = 8 << 10;
/// Files that may be open at one moment and not at another.
const FILES_SLACK: u64 = 24;
/// What the log may have on disk; it is cut when it is older than a minute or the load rests.
const LOG_BYTES_MAX: u64 = 64 << 20;

pub(crate) fn stories() -> Vec<Story> {
    let needs: &[Need] = &[Need::Program("skopeo"), Need::Built("crane")];
    let story = Story { name: "nothing_grows_with_time", needs, tell: nothing_grows_with_time };
    if std::env::var_os("LOCKYARD_SOAK_MINUTES").is_some() { vec![story] } else { Vec::new() }
}

/// What was seen at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    seconds: u64,
    memory_kib: u64,
    files: u64,
    log_bytes: u64,
    database_bytes: u64,
    pushes: u64,
    pulls: u64,
}

impl Sample {
    fn take(world: &World, server: &Server, seconds: u64, (pushes, pulls): (u64, u64)) -> Self {
        let proc = format!("/proc/{}", server.id());
        let status = fs::read_to_string(format!("{proc}/status")).expect("the server runs");
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|text| text.split_whitespace().next()?.parse().ok());
        let files = fs::read_dir(format!("{proc}/fd")).expect("the server is ours").count();
        let length =
            |name: &str| fs::metadata(world.data().join(name)).map_or(0, |file| file.len());
        Self {
            seconds,
            memory_kib: memory.expect("the system says how much memory there is"),
            files: files as u64,
            log_bytes: length("lockyard.db-wal"),
            database_bytes: length("lockyard.db"),
            pushes,
            pulls,
        }
    }

    fn line(&self) -> String {
        format!(
            "{:>6} s  {:>7} KiB  {:>4} files  {:>6} KiB log  {:>7} KiB rows  {:>7} pushes  {:>7} pulls",
            self.seconds,
            self.memory_kib,
            self.files,
            self.log_bytes >> 10,
            self.database_bytes >> 10,
            self.pushes,
            self.pulls
        )
    }
}

fn say(line: &str) {
    // Nobody reads what cannot be written.
    drop(writeln!(std::io::stderr(), "soak: {line}"));
}

fn minutes() -> f64 {
    let text = std::env::var_os("LOCKYARD_SOAK_MINUTES").unwrap_or_default();
    let minutes = text.to_str().and_then(|text| text.parse().ok());
    minutes.unwrap_or_else(|| panic!("LOCKYARD_SOAK_MINUTES is no number"))
}

fn nothing_grows_with_time() {
    let length = Duration::from_secs_f64(minutes() * 60.0);
    let world = World::new();
    let ledger = Mutex::new(Ledger::default());
    let server = world.quickstart();
    let load = Load::new(&world, &ledger, server.localhost(), LAYERS, REST);
    let clients = [Client::Raw(0), Client::Raw(1), Client::Raw(2), Client::Skopeo, Client::Crane];
    let mut samples = Vec::new();
    std::thread::scope(|scope| {
        let _ending = load.ends_with_me();
        for (seed, client) in clients.into_iter().enumerate() {
            let load = &load;
            scope.spawn(move || load.run(client, seed as u64));
        }
        let begun = Instant::now();
        while begun.elapsed() < length {
            std::thread::sleep(SAMPLE_EVERY.min(length));
            let seconds = begun.elapsed().as_secs();
            samples.push(Sample::take(&world, &server, seconds, load.done()));
        }
        load.end();
    });
    for sample in samples.iter().step_by(samples.len().div_ceil(LINES)).chain(samples.last()) {
        say(&sample.line());
    }
    load.check();
    ledger.lock().unwrap_or_else(PoisonError::into_inner).check(&server.localhost(), 0);
    flat(&samples);
    let at_rest = Sample::take(&world, &server, length.as_secs(), load.done());
    say(&format!("at rest: {}", at_rest.line()));
    server.stop();
}

/// Fails if the last third of the time needed more than the third before it.
#[track_caller]
fn flat(samples: &[Sample]) {
    let third = samples.len() / 3;
    let middle = samples.get(third..2 * third).unwrap_or_default();
    let end = samples.get(2 * third..).unwrap_or_default();
    let most = |samples: &[Sample], of: fn(&Sample) -> u64| samples.iter().map(of).max();
    let memory = [middle, end].map(|part| most(part, |sample| sample.memory_kib).unwrap_or(0));
    let files = [middle, end].map(|part| most(part, |sample| sample.files).unwrap_or(0));
    let log = most(samples, |sample| sample.log_bytes).unwrap_or(0);
    say(&format!("most memory {memory:?} KiB, most files {files:?}, longest log {log} bytes"));
    assert!(memory[1] <= memory[0] + memory[0] / 10 + MEMORY_SLACK_KIB, "memory grows");
    assert!(files[1] <= files[0] + FILES_SLACK, "open files grow");
    assert!(log <= LOG_BYTES_MAX, "the log grows");
}
