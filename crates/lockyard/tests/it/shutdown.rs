//! Stopping: what is under way may end, a person is told what is waited for, and a second signal
//! waits for nothing.

use std::fs;
use std::time::{Duration, Instant};

use crate::http::Call;
use crate::outside::{Story, stories};
use crate::push;
use crate::world::{Server, World, eventually};

/// What an end may take that waits for nobody, on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(8);

pub(crate) fn stories() -> Vec<Story> {
    stories![
        an_upload_under_way_is_waited_for_and_named,
        a_second_signal_ends_at_once_and_keeps_what_arrived,
        an_idle_connection_is_not_waited_for,
    ]
}

/// Begins to send a body, stops after half of it, and waits until the server writes a part for it.
fn half_sent(world: &World, server: &Server, line: &str, body: &[u8]) -> Call {
    let before = parts(world);
    let mut call = Call::begin(&server.http(), line, &[], body.len()).expect("it listens");
    call.send(body.get(..body.len() / 2).expect("half of it")).expect("it reads");
    eventually("the server takes the body", || parts(world) > before);
    call
}

/// How many parts there are, finished or not.
fn parts(world: &World) -> usize {
    let folders = fs::read_dir(world.data().join("parts")).expect("the server made them");
    let files = folders.flatten().map(|folder| fs::read_dir(folder.path()).expect("a folder"));
    files.map(Iterator::count).sum()
}

fn an_upload_under_way_is_waited_for_and_named() {
    let world = World::new();
    let server = world.serve();
    let bytes = push::noise("sent in two halves", 300_000);
    let digest = push::digest(&bytes);
    let post = format!("POST /v2/team/app/blobs/uploads/?digest={digest}");
    let mut call = half_sent(&world, &server, &post, &bytes);
    server.signal();
    eventually("it says what it waits for", || {
        server.log().contains("waiting up to 20 s for 1 connection and 1 upload; a second signal")
    });
    call.send(bytes.get(bytes.len() / 2..).expect("the other half")).expect("it still reads");
    call.finish().expect("it answers").expect(201);
    let log = server.ended_well();
    assert!(log.contains("stopped"), "{log}");
    let server = world.serve();
    let back = server.get(&format!("/v2/team/app/blobs/{digest}")).expect(200);
    assert!(back.body == bytes);
}

fn a_second_signal_ends_at_once_and_keeps_what_arrived() {
    let world = World::new();
    let server = world.serve();
    let bytes = push::noise("sent by and by", 300_000);
    let (first, second) = bytes.split_at(100_000);
    let location = push::begin(&server, "team/app");
    let patch = server.ask(&format!("PATCH {location}"), &[], first).expect(202);
    let location = push::path_of(patch.header("location").expect("a location"));
    let call = half_sent(&world, &server, &format!("PATCH {location}"), second);
    server.signal();
    eventually("it waits", || server.log().contains("a second signal ends them"));
    let begun = Instant::now();
    server.signal();
    let log = server.ended_well();
    assert!(begun.elapsed() < AT_ONCE, "{:?} are not at once", begun.elapsed());
    assert!(log.contains("stopping now"), "{log}");
    drop(call);
    let server = world.serve();
    let status = server.get(&location).expect(204);
    let range = status.header("range").expect("a session says how far it is");
    let end: usize = range.trim_start_matches("0-").parse().expect("a number");
    assert!((99_999..300_000).contains(&end), "{range}");
    let location = push::path_of(status.header("location").unwrap_or(&location));
    let put = format!("PUT {}", push::with_digest(&location, &push::digest(&bytes)));
    server.ask(&put, &[], bytes.get(end + 1..).expect("the rest")).expect(201);
}

fn an_idle_connection_is_not_waited_for() {
    let world = World::new();
    let server = world.serve();
    // Opened and never used, as clients keep some in their pools.
    let idle = std::net::TcpStream::connect(server.http()).expect("it listens");
    let begun = Instant::now();
    server.signal();
    let log = server.ended_well();
    assert!(begun.elapsed() < AT_ONCE, "{:?} for nobody:\n{log}", begun.elapsed());
    drop(idle);
}
