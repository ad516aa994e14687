//! Starting: what a person is told when the server can't start, and what the first start makes.
//!
//! Every refusal is a sentence on standard error that says what to do, ends the process with a
//! code, and leaves everything as it was.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

use crate::credentials::Login;
use crate::http;
use crate::image::read_json;
use crate::outside::{Need, Story, stories};
use crate::push;
use crate::world::{LOCKYARD, World, refusal, serving};

pub(crate) fn stories() -> Vec<Story> {
    stories![
        a_first_start_makes_private_files_only,
        a_busy_port_is_named,
        a_second_process_on_the_same_directory_is_refused,
        #[needs(Need::Root)]
        a_directory_that_others_own_is_refused,
        a_directory_of_a_newer_version_is_refused_and_left_alone,
        a_missing_service_key_is_refused_and_its_return_heals,
        a_wrong_service_key_is_refused_and_the_right_one_heals,
        a_damaged_database_is_refused_or_what_it_holds_is,
        a_database_that_is_something_else_is_refused,
        an_unknown_flag_is_refused_with_usage,
        a_domain_of_the_greatest_length_founds_a_directory,
    ]
}

/// Fails unless a refusal speaks to a person and holds all the words.
#[track_caller]
fn says(told: &str, words: &[&str]) {
    assert!(!told.trim().is_empty(), "it said nothing");
    assert!(told.len() < 2000, "too much to read:\n{told}");
    for word in words {
        assert!(told.to_lowercase().contains(&word.to_lowercase()), "no `{word}` in:\n{told}");
    }
}

/// Makes a world with an image in it, its server stopped.
fn filled() -> (World, push::Pushed) {
    let world = World::new();
    let server = world.serve();
    let pushed = push::small_image(&server, "team/app", "v1");
    server.stop();
    (world, pushed)
}

/// Fails unless everything is there after the trouble is over.
#[track_caller]
fn nothing_is_lost(world: &World, pushed: &push::Pushed) {
    let server = world.serve();
    pushed.check(&server);
}

fn a_first_start_makes_private_files_only() {
    let world = World::new();
    let server = world.quickstart();
    push::small_image(&server, "team/app", "v1");
    let exposed = exposed(&world.data());
    assert!(exposed.is_empty(), "others can read: {exposed:?}");
    let bootstrap = read_json(&world.data().join("bootstrap.json"));
    let words = ["tenantId", "subscriptionId", "clientId", "clientSecret", "userName", "password"];
    for word in words.into_iter().chain(["managementEndpoint", "loginEndpoint", "caFile"]) {
        assert!(bootstrap[word].is_string(), "no `{word}` in bootstrap.json");
    }
    let secrets = ["clientSecret", "password"]
        .map(|word| bootstrap[word].as_str().expect("a text").to_owned());
    for secret in &secrets {
        assert!(!server.log().contains(secret), "a secret is in the log");
    }
    server.stop();
    fs::remove_file(world.data().join("bootstrap.json")).expect("it lies there");
    let marks = secrets.map(|secret| crate::search::Mark::text(&secret));
    let found = crate::search::found_in(&world.data(), &marks);
    assert!(found.is_empty(), "{found:?}");
}

/// Returns what in a folder others than the owner can do anything with.
fn exposed(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut all = vec![folder.to_path_buf()];
    let mut exposed = Vec::new();
    while let Some(path) = all.pop() {
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        if metadata.permissions().mode() & 0o077 != 0 {
            exposed.push(path.clone());
        }
        if metadata.is_dir() {
            let entries = fs::read_dir(&path).expect("it is readable");
            all.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
        }
    }
    // The authority's certificate is for everybody.
    exposed.retain(|path| !path.ends_with("ca.pem"));
    exposed
}

fn a_busy_port_is_named() {
    for listener in ["--https", "--http", "--ops", "--connect-proxy"] {
        let world = World::new();
        let busy = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = busy.local_addr().expect("it is bound").to_string();
        let mut command = Command::new(LOCKYARD);
        command.arg("serve").arg("--data-dir").arg(world.data());
        for other in ["--https", "--http", "--ops", "--connect-proxy"] {
            let address = if other == listener { address.as_str() } else { "127.0.0.1:0" };
            command.args([other, address]);
        }
        says(&refusal(command), &[&address, "use", listener]);
        drop(busy);
        world.serve();
    }
}

fn a_second_process_on_the_same_directory_is_refused() {
    let world = World::new();
    let server = world.serve();
    let pushed = push::small_image(&server, "team/app", "v1");
    says(&refusal(world.command("serve")), &["--data-dir", "process"]);
    says(&refusal(world.command("quickstart")), &["--data-dir", "process"]);
    pushed.check(&server);
}

fn a_directory_that_others_own_is_refused() {
    let world = World::new();
    // The program itself may lie where another user can't go.
    let folder = fs::Permissions::from_mode(0o755);
    fs::set_permissions(world.folder(), folder).expect("the world is ours");
    let program = world.folder().join("lockyard");
    fs::copy(LOCKYARD, &program).expect("the world is writable");
    let as_nobody = |data: &Path| {
        let inner = serving(&program, "serve", data);
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]);
        command.arg(inner.get_program()).args(inner.get_args()).current_dir("/");
        command
    };
    // A folder in which it may not make the directory.
    let told = refusal(as_nobody(&world.folder().join("data")));
    says(&told, &["data", "permission denied"]);
    // A directory that it may read and not write.
    let readable = world.subfolder("readable");
    says(&refusal(as_nobody(&readable)), &["readable"]);
    assert_eq!(fs::read_dir(&readable).expect("it is there").count(), 0);
    // A directory in use that belongs to somebody else.
    let server = world.serve();
    let pushed = push::small_image(&server, "team/app", "v1");
    server.stop();
    says(&refusal(as_nobody(&world.data())), &["data"]);
    nothing_is_lost(&world, &pushed);
}

fn a_directory_of_a_newer_version_is_refused_and_left_alone() {
    let (world, pushed) = filled();
    let write = |version: u32| {
        let database = Connection::open(world.data().join("lockyard.db")).expect("it opens");
        let set = "UPDATE meta SET value = ?1 WHERE key = 'schema'";
        let rows = database.execute(set, [version.to_be_bytes().to_vec()]).expect("it is writable");
        assert_eq!(rows, 1);
    };
    let database = Connection::open(world.data().join("lockyard.db")).expect("it opens");
    let version: Vec<u8> = database
        .query_row("SELECT value FROM meta WHERE key = 'schema'", [], |row| row.get(0))
        .expect("the version is there");
    drop(database);
    let version = u32::from_be_bytes(version.try_into().expect("four bytes"));
    write(version + 1);
    says(&refusal(world.command("serve")), &["newer"]);
    write(version);
    nothing_is_lost(&world, &pushed);
}

fn a_missing_service_key_is_refused_and_its_return_heals() {
    let (world, pushed) = filled();
    let (key, aside) = (world.data().join("service.key"), world.folder().join("aside"));
    fs::rename(&key, &aside).expect("the key lies there");
    says(&refusal(world.command("serve")), &["service", "key"]);
    assert!(!key.exists(), "a new key was made for an old database");
    fs::rename(&aside, &key).expect("the key is put back");
    nothing_is_lost(&world, &pushed);
}

fn a_wrong_service_key_is_refused_and_the_right_one_heals() {
    let (world, pushed) = filled();
    let (other, _) = filled();
    let (key, aside) = (world.data().join("service.key"), world.folder().join("aside"));
    fs::rename(&key, &aside).expect("the key lies there");
    fs::copy(other.data().join("service.key"), &key).expect("another key lies there");
    says(&refusal(world.command("serve")), &["service", "key"]);
    fs::write(&key, "not a key\n").expect("it is writable");
    says(&refusal(world.command("serve")), &["service.key"]);
    fs::rename(&aside, &key).expect("the key is put back");
    nothing_is_lost(&world, &pushed);
}

fn a_damaged_database_is_refused_or_what_it_holds_is() {
    const PAGE: usize = 4096;
    let (world, pushed) = filled();
    let path = world.data().join("lockyard.db");
    let good = fs::read(&path).expect("it is readable");
    let damage = |at: std::ops::Range<usize>| {
        let mut bad = good.clone();
        bad.get_mut(at).expect("the database has pages").fill(0x5a);
        fs::write(&path, &bad).expect("it is writable");
    };
    // The table of tables.
    damage(100..PAGE);
    says(&refusal(world.command("serve")), &["database", "damaged"]);
    // Other pages: some are found at the start, some hold what is found when it is opened.
    let pages = good.len() / PAGE;
    for page in (1..pages).step_by(pages.div_ceil(16)) {
        damage(page * PAGE..(page + 1) * PAGE);
        match world.try_start(world.command("serve"), &world.data()) {
            Err(told) => says(&told, &["damaged"]),
            Ok(mut server) => {
                serves_no_other_bytes(&server, &pushed);
                assert!(server.runs(), "page {page} ended the server");
            }
        }
        // What the server wrote meanwhile belongs to the damaged file.
        for beside in ["lockyard.db-wal", "lockyard.db-shm"] {
            drop(fs::remove_file(world.data().join(beside)));
        }
    }
    fs::write(&path, &good).expect("it is writable");
    nothing_is_lost(&world, &pushed);
}

/// Fails if a server answers with anything but the right bytes or an error.
fn serves_no_other_bytes(server: &crate::world::Server, pushed: &push::Pushed) {
    let repository = &pushed.repository;
    let get = |path: String| http::try_request(&server.http(), &format!("GET {path}"), &[], b"");
    let manifest = get(format!("/v2/{repository}/manifests/{}", pushed.tag));
    if let Ok(reply) = manifest {
        assert!(reply.status >= 400 || reply.body == pushed.manifest, "another manifest");
    }
    for blob in &pushed.blobs {
        let reply = get(format!("/v2/{repository}/blobs/{}", push::digest(blob)));
        if let Ok(reply) = reply {
            assert!(reply.status >= 400 || blob.starts_with(&reply.body), "other bytes");
        }
    }
}

fn a_database_that_is_something_else_is_refused() {
    let (world, pushed) = filled();
    let path = world.data().join("lockyard.db");
    let good = fs::read(&path).expect("it is readable");
    fs::write(&path, "this is a text, not a database, and long enough to be read").expect("w");
    says(&refusal(world.command("serve")), &["lockyard.db"]);
    fs::write(&path, &good).expect("it is writable");
    nothing_is_lost(&world, &pushed);
}

fn an_unknown_flag_is_refused_with_usage() {
    let world = World::new();
    let mut command = world.command("serve");
    command.arg("--no-such-flag");
    says(&refusal(command), &["--no-such-flag", "usage"]);
    let mut command = Command::new(LOCKYARD);
    command.args(["serve", "--https", "not-an-address", "--data-dir"]).arg(world.data());
    says(&refusal(command), &["--https", "not-an-address"]);
    assert!(!world.data().exists(), "a directory was made for a command that makes no sense");
}

fn a_domain_of_the_greatest_length_founds_a_directory() {
    let world = World::new();
    let of = |length: usize| format!("{}b", "a.".repeat(length / 2));
    let command = |domain: String| {
        let mut command = world.command("serve");
        command.args(["--http-login", "--domain", &domain]);
        command
    };
    says(&refusal(command(of(191))), &["no domain", "190"]);
    assert!(!world.data().join("bootstrap.json").exists());
    let longest = format!("c{}", of(189));
    let server = world.start(command(longest.clone()));
    let bootstrap = read_json(&world.data().join("bootstrap.json"));
    let word = |name: &str| bootstrap[name].as_str().expect("the file has it").to_owned();
    assert_eq!(word("userName"), format!("owner@{longest}"));
    let basic = Login { name: word("userName"), secret: word("password") }.basic();
    let reply = server.ask("GET /v2/_catalog", &[("authorization", &basic)], b"");
    assert_eq!(reply.status, 200);
}
