//! `lockyard scrub` and `lockyard gc`, as an operator runs them: with a server and without one.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::outside::{Story, bounded, stories};
use crate::push;
use crate::world::{LOCKYARD, World, eventually, wait};

pub(crate) fn stories() -> Vec<Story> {
    stories![
        a_sound_instance_is_clean_with_and_without_a_server,
        damage_is_found_told_and_healed_by_a_push,
        an_interrupted_scrub_is_resumed,
        a_scrub_ends_with_its_operator_and_with_its_server,
        a_long_report_comes_whole,
        garbage_is_explained_and_collected,
    ]
}

const REPOSITORY: &str = "team/app";

/// Returns one of the two commands on the world's data directory.
fn upkeep(world: &World, words: &[&str]) -> Command {
    let mut command = bounded(LOCKYARD);
    command.args(words).arg("--data-dir").arg(world.data());
    command
}

/// Runs one and returns its exit code and standard output.
#[track_caller]
fn run(world: &World, words: &[&str]) -> (i32, String) {
    let Output { status, stdout, stderr } =
        upkeep(world, words).output().expect("the program under test starts");
    let told = String::from_utf8_lossy(&stderr);
    assert!(!told.contains("panicked"), "{told}");
    let code = status.code().unwrap_or_else(|| panic!("{words:?}: {status}\n{told}"));
    (code, String::from_utf8_lossy(&stdout).into_owned())
}

/// Runs a scrub that reports for programs.
#[track_caller]
fn scrub(world: &World, more: &[&str]) -> (i32, Value) {
    let words = [&["scrub", "--json"], more].concat();
    let (code, text) = run(world, &words);
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (code, json)
}

/// Returns all files of parts, the largest last.
fn parts(world: &World) -> Vec<PathBuf> {
    let shards = fs::read_dir(world.data().join("parts")).expect("the store has shards");
    let mut files: Vec<_> = shards
        .flat_map(|shard| fs::read_dir(shard.expect("a shard").path()).expect("a shard"))
        .map(|file| file.expect("a part").path())
        .collect();
    files.sort_by_key(|file| fs::metadata(file).expect("a part").len());
    files
}

fn flip_in_largest_part(world: &World) {
    let file = parts(world).pop().expect("there are parts");
    let mut bytes = fs::read(&file).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).expect("writable");
}

/// Starts a scrub that will not end by itself soon, and returns when it reads blobs.
fn slow_scrub(world: &World) -> Child {
    let words = ["scrub", "--json", "--rate", "1", "--data-dir"];
    let mut command = Command::new(LOCKYARD);
    command.args(words).arg(world.data()).stdin(Stdio::null());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program under test starts");
    let mut told = std::io::BufReader::new(child.stderr.take().expect("it is piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut told, &mut line).expect("it tells how far it is");
    assert!(line.contains("blob"), "{line}");
    // Whatever else it says may not make it wait, or end it.
    std::thread::spawn(move || std::io::copy(&mut told, &mut std::io::sink()));
    child
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("sh").args(["-c", "kill -\"$1\" \"$0\"", &id, name]).status();
    assert!(sent.is_ok_and(|status| status.success()));
}

fn a_sound_instance_is_clean_with_and_without_a_server() {
    let world = World::new();
    let server = world.quickstart();
    push::small_image(&server, REPOSITORY, "latest");
    let check = || {
        let (code, json) = scrub(&world, &[]);
        assert_eq!((code, &json["findings"]), (0, &Value::Array(Vec::new())), "{json}");
        assert_eq!((&json["complete"], &json["registries"]), (&true.into(), &1.into()));
        let (code, text) = run(&world, &["scrub"]);
        assert_eq!(code, 0, "{text}");
        assert!(text.ends_with("nothing is wrong\n"), "{text}");
    };
    check();
    server.stop();
    check();
}

fn damage_is_found_told_and_healed_by_a_push() {
    let world = World::new();
    let server = world.serve();
    let bytes = push::noise("a blob", 300_000);
    let digest = push::digest(&bytes);
    push::blob(&server, REPOSITORY, &bytes);
    flip_in_largest_part(&world);
    let (code, json) = scrub(&world, &[]);
    assert_eq!((code, &json["findingsTotal"]), (3, &1.into()), "{json}");
    let finding = &json["findings"][0];
    assert_eq!((&finding["kind"], &finding["table"]), (&"part-damaged".into(), &"blob".into()));
    let row = finding["row"].as_str().expect("an id").to_owned();
    // A clear answer to clients, and nothing in the log that names the content.
    let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
    assert_eq!(server.get(&path).expect(404).oci_error().0, "BLOB_UNKNOWN");
    assert!(server.log().contains(&row), "the log names the row");
    assert!(
        !server.log().contains(digest.trim_start_matches("sha256:"))
            && !server.log().contains(REPOSITORY)
    );
    let (code, text) = run(&world, &["scrub"]);
    assert_eq!(code, 3);
    assert!(text.contains(&format!("quarantined in blob {row}: ")), "{text}");
    push::blob(&server, REPOSITORY, &bytes);
    assert!(server.get(&path).expect(200).body == bytes);
    server.stop();
    let (code, json) = scrub(&world, &[]);
    assert_eq!(code, 0, "{json}");
}

fn an_interrupted_scrub_is_resumed() {
    let world = World::new();
    let server = world.serve();
    for n in 0..3 {
        push::blob(&server, REPOSITORY, &push::noise(&format!("blob {n}"), 15 << 20));
    }
    server.stop();
    let scrub_at_work = slow_scrub(&world);
    signal(&scrub_at_work, "INT");
    let output = scrub_at_work.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let json: Value = serde_json::from_str(&text).expect("a report all the same");
    assert_eq!(json["complete"], false);
    let (code, json) = scrub(&world, &["--resume"]);
    assert_eq!((code, &json["complete"], &json["resumed"]), (0, &true.into(), &true.into()));
    let (code, json) = scrub(&world, &["--resume"]);
    assert_eq!((code, &json["resumed"]), (0, &false.into()), "nothing is left to resume");
}

fn a_scrub_ends_with_its_operator_and_with_its_server() {
    let world = World::new();
    let server = world.serve();
    for n in 0..3 {
        push::blob(&server, REPOSITORY, &push::noise(&format!("blob {n}"), 15 << 20));
    }
    let mut at_work = slow_scrub(&world);
    let (code, text) = run(&world, &["scrub"]);
    assert_eq!((code, text.as_str()), (1, ""), "one at a time");
    signal(&at_work, "KILL");
    wait(&mut at_work, Duration::from_secs(10));
    eventually("the server lets go of a scrub whose operator left", || {
        run(&world, &["scrub", "--resume"]).0 == 0
    });
    let at_work = slow_scrub(&world);
    server.stop();
    let output = at_work.wait_with_output().expect("it ends");
    let json: Value = serde_json::from_slice(&output.stdout).expect("a report all the same");
    assert_eq!((output.status.code(), &json["complete"]), (Some(1), &false.into()));
    assert_eq!(scrub(&world, &["--resume"]).0, 0);
}

fn a_long_report_comes_whole() {
    let world = World::new();
    let server = world.serve();
    let shard = world.data().join("parts").join("7f");
    for n in 0..1100 {
        fs::write(shard.join(format!("stranger number {n}")), b"").expect("writable");
    }
    let (code, json) = scrub(&world, &[]);
    assert_eq!((code, &json["findingsTotal"]), (3, &1100.into()));
    assert_eq!(json["findings"].as_array().map(Vec::len), Some(1000));
    let (_, text) = run(&world, &["scrub"]);
    assert!(text.contains("and 100 more\n") && text.ends_with("1100 findings\n"), "{text}");
    drop(server);
}

fn garbage_is_explained_and_collected() {
    let world = World::new();
    let server = world.serve();
    push::blob(&server, REPOSITORY, &push::noise("too young to go", 1000));
    for words in [&["gc", "--dry-run", "--json"][..], &["gc", "--json"]] {
        let (code, text) = run(&world, words);
        let json: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((code, &json["links"], &json["kept"]), (0, &0.into(), &0.into()), "{json}");
        assert_eq!(json["dryRun"], words.contains(&"--dry-run"));
    }
    server.stop();
    let (code, text) = run(&world, &["gc", "--dry-run"]);
    assert_eq!(code, 0);
    assert!(text.starts_with("would take 0 blobs from repositories"), "{text}");
    // An hour later.
    let database = rusqlite::Connection::open(world.data().join("lockyard.db"));
    let aged = database.expect("it opens").execute("UPDATE blob_link SET touched_at = 0", []);
    assert_eq!(aged.expect("it is a column"), 1);
    let (code, text) = run(&world, &["gc", "--dry-run"]);
    assert_eq!(code, 0);
    assert!(text.starts_with(&format!("{REPOSITORY}@sha256:")), "{text}");
    let (code, text) = run(&world, &["gc"]);
    assert_eq!((code, text.as_str()), (0, "took 1 blob from repositories, 1 of them for good\n"));
    assert_eq!(scrub(&world, &[]).0, 0);
}
