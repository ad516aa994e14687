//! Killed without warning, again and again: what a client was told is there afterwards.
//!
//! A kill leaves the page cache as it is, so this proves no sync (`durable` does). It proves that
//! the rows tell the whole story at every moment: nothing that only lived in memory was needed.
//! `LOCKYARD_KILLS` says how often (12 unless it says otherwise), `LOCKYARD_SEED` makes the same
//! choices again, as far as the machine lets them.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::load::{Client, Dice, Ledger, Load};
use crate::outside::{Need, Story, bounded, stories};
use crate::world::{LOCKYARD, World, eventually};

/// How many different layers the load has: enough that some are new and some are not.
const LAYERS: u64 = 60;
/// The longest that a server lives under load.
const LIFE_MILLIS_MAX: u64 = 900;
/// A server that is killed while it starts is killed within this time.
const BIRTH_MILLIS_MAX: u64 = 120;
/// Kills between two scrubs.
const SCRUB_EVERY: u64 = 10;

pub(crate) fn stories() -> Vec<Story> {
    stories![
        #[needs(Need::Program("skopeo"), Need::Built("crane"))]
        nothing_acknowledged_is_lost_in_any_kill,
    ]
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var_os(name)?;
    let number = text.to_str().and_then(|text| text.parse().ok());
    Some(number.unwrap_or_else(|| panic!("{name} is no number")))
}

fn say(line: &str) {
    // Nobody reads what cannot be written.
    drop(writeln!(std::io::stderr(), "killed: {line}"));
}

fn nothing_acknowledged_is_lost_in_any_kill() {
    let kills = number("LOCKYARD_KILLS").unwrap_or(12);
    let seed = number("LOCKYARD_SEED").unwrap_or_else(|| {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(0)
    });
    say(&format!("{kills} kills, LOCKYARD_SEED={seed}"));
    let world = World::new();
    let ledger = Mutex::new(Ledger::default());
    let locked = || ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let mut dice = Dice::new(seed);
    // The first start makes things that only `start` looks at.
    world.serve().stop();
    let (mut pushes, mut pulls) = (0, 0);
    for kill in 0..kills {
        if dice.below(8) == 0 {
            kill_at_birth(&world, dice.below(BIRTH_MILLIS_MAX));
        }
        let server = world.serve();
        let round = locked().round();
        locked().check(&server.localhost(), round);
        locked().next_round();
        let load = Load::new(&world, &ledger, server.localhost(), LAYERS, Duration::ZERO);
        let clients = [Client::Raw(0), Client::Raw(1), Client::Skopeo, Client::Crane];
        let life = Duration::from_millis(dice.below(LIFE_MILLIS_MAX));
        std::thread::scope(|scope| {
            let _ending = load.ends_with_me();
            for client in clients {
                let (load, seed) = (&load, dice.below(u64::MAX));
                scope.spawn(move || load.run(client, seed));
            }
            if kill == 0 {
                eventually("every client was told something", || {
                    locked().acknowledged().len() == 4
                });
            }
            std::thread::sleep(life);
            load.end();
            server.kill();
        });
        load.check();
        let (pushed, pulled) = load.done();
        (pushes, pulls) = (pushes + pushed, pulls + pulled);
        if kill % SCRUB_EVERY == SCRUB_EVERY - 1 || kill + 1 == kills {
            scrub(&world);
        }
    }
    let server = world.serve();
    locked().check(&server.localhost(), 0);
    eventually("the database is checked after a kill", || {
        server.log().contains("the last server was killed; its database is sound")
    });
    server.stop();
    scrub(&world);
    let manifests = locked().acknowledged();
    say(&format!("{kills} kills, {pushes} pushes, {pulls} pulls; manifests: {manifests:?}"));
}

/// Kills a server that may not have started yet.
fn kill_at_birth(world: &World, millis: u64) {
    let mut child = world
        .command("serve")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program under test starts");
    std::thread::sleep(Duration::from_millis(millis));
    child.kill().expect("our child can be killed");
    child.wait().expect("our child can be waited for");
}

/// Fails unless the scrub finds nothing; runs without a server, on what the kill left behind.
#[track_caller]
fn scrub(world: &World) {
    let help = Command::new(LOCKYARD).args(["scrub", "--help"]).output();
    assert!(help.is_ok_and(|output| output.status.success()), "there is no `lockyard scrub`");
    let mut command = bounded(LOCKYARD);
    command.args(["scrub", "--json", "--data-dir"]).arg(world.data());
    let output = command.output().expect("the program under test starts");
    let told = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "the scrub found something:\n{told}\n{error}");
}
