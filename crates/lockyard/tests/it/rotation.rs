//! Another service key for an instance: what opens it afterwards, what no longer does, and a
//! command that is killed anywhere on its way.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::outside::{Story, bounded, good, stories};
use crate::push;
use crate::world::{LOCKYARD, World, refusal};

pub(crate) fn stories() -> Vec<Story> {
    stories![
        a_rotated_service_key_opens_with_the_secrets_that_were_given,
        a_rotation_that_is_killed_leaves_the_old_key_or_the_new,
    ]
}

fn admin(data: &Path, words: &[&str]) -> Command {
    let mut command = bounded(LOCKYARD);
    command.arg("admin").args(words).arg("--data-dir").arg(data);
    command
}

fn copied(from: &Path, to: &Path) {
    good(Command::new("cp").arg("-a").arg(from).arg(to));
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).expect("the world is writable");
    good(Command::new("chmod").arg("600").arg(path));
}

fn a_rotated_service_key_opens_with_the_secrets_that_were_given() {
    let world = World::new();
    let server = world.quickstart();
    let pushed = push::small_image(&server, "team/app", "v1");
    server.stop();
    let (data, folder) = (world.data(), world.folder());
    let (words, code) = (folder.join("words"), folder.join("code"));
    private(&words, "correct horse battery\n");
    let words = words.to_str().expect("a text");
    good(&mut admin(&data, &["slot", "add", "--new-passphrase", words]));
    let told = good(&mut admin(&data, &["slot", "add", "--recovery"]));
    let digits: String = told.lines().filter(|line| line.starts_with("  ")).collect();
    private(&code, &digits);
    let code = code.to_str().expect("a text");
    let before = folder.join("before");
    copied(&data, &before);

    // Not all secrets are given, or one that opens nothing: refused, and nothing is changed.
    let told = refusal(admin(&data, &["rotate-service-key", "--also-passphrase-file", words]));
    assert!(told.contains("(recovery)") && !told.contains("(passphrase)"), "{told}");
    let stray = folder.join("stray");
    private(&stray, &"5".repeat(64));
    let stray = stray.to_str().expect("a text");
    let rotate = ["rotate-service-key", "--drop-others", "--also-service-key"];
    let told = refusal(admin(&data, &[&rotate[..], &[stray]].concat()));
    assert!(told.contains("stray") && told.contains("nothing was changed"), "{told}");
    good(&mut admin(&data, &["slot", "list", "--service-key", code]));

    let rotate = ["rotate-service-key", "--drop-others", "--also-passphrase-file", words];
    let told = good(&mut admin(&data, &rotate));
    for word in ["1 service share was", "(file) opens", "(passphrase) opens", "(recovery) is gone"]
    {
        assert!(told.contains(word), "no `{word}` in:\n{told}");
    }
    let told = refusal(admin(&data, &["slot", "list", "--service-key", code]));
    assert!(told.contains("does not open"), "{told}");
    good(&mut admin(&data, &["slot", "list", "--passphrase-file", words]));
    let server = world.quickstart();
    pushed.check(&server);
    push::small_image(&server, "team/app", "v2").check(&server);
    server.stop();
    // All secrets are given now; and a backup from before opens with what opened it then.
    good(&mut admin(&data, &["rotate-service-key", "--also-passphrase-file", words]));
    good(&mut admin(&before, &["slot", "list", "--service-key", code]));
    pushed.check(&world.quickstart());
}

fn a_rotation_that_is_killed_leaves_the_old_key_or_the_new() {
    let world = World::new();
    let server = world.quickstart();
    let pushed = push::small_image(&server, "team/app", "v1");
    server.stop();
    for round in 0..16_u64 {
        let mut command = Command::new(LOCKYARD);
        command.args(["admin", "rotate-service-key", "--data-dir"]).arg(world.data());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program under test starts");
        std::thread::sleep(Duration::from_millis(round * 3));
        child.kill().expect("our child can be killed");
        child.wait().expect("our child can be waited for");
        good(&mut admin(&world.data(), &["slot", "list"]));
    }
    pushed.check(&world.quickstart());
}
