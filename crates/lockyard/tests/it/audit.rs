//! What a customer can know of the uses of their key, and what happens when nobody could know.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::credentials::{ACR_PULL, Owner};
use crate::disk::SmallDisk;
use crate::lockout::vault_key;
use crate::outside::{Need, Story, bad, bounded, good, stories};
use crate::push;
use crate::world::{LOCKYARD, World, eventually};

pub(crate) fn stories() -> Vec<Story> {
    stories![
        every_use_of_the_key_is_in_the_trail_and_nothing_of_it_is_readable,
        what_was_changed_or_taken_back_is_found,
        what_operators_do_with_registries_is_in_the_trail,
        sign_ins_and_changes_of_roles_are_in_the_trail_and_many_are_one_and_a_count,
        #[needs(Need::Root)]
        a_full_audit_disk_refuses_the_key_and_says_so,
        #[needs(Need::Root)]
        a_full_audit_disk_does_not_keep_anybody_from_revoking,
    ]
}

fn audit(world: &World, verb: &str) -> Command {
    let mut command = bounded(LOCKYARD);
    command.args(["audit", verb, "--data-dir"]).arg(world.data());
    command
}

/// The trail's events as they were recorded, oldest first.
pub(crate) fn recorded(world: &World) -> Vec<Value> {
    let lines = good(audit(world, "tail").args(["-n", "10000"]));
    lines.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The trail's events: operation, client and status.
fn told(command: &mut Command) -> Vec<(String, String, u64)> {
    let lines = good(command.args(["-n", "10000"]));
    let word = |value: &Value| value.as_str().expect("a text").to_owned();
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("a line is JSON");
        assert_eq!(event["category"], "AuditEvent");
        let properties = &event["properties"];
        let status = properties["httpStatusCode"].as_u64().expect("a number");
        (word(&event["operationName"]), word(&properties["clientInfo"]), status)
    };
    lines.lines().map(event).collect()
}

fn every_use_of_the_key_is_in_the_trail_and_nothing_of_it_is_readable() {
    let world = World::new();
    let server = world.quickstart();
    let pushed = push::small_image(&server, "team/app", "v1");
    good(&mut vault_key(&world, "disable"));
    eventually("the registry is closed", || server.get("/v2/_catalog").status == 403);
    good(&mut vault_key(&world, "enable"));
    eventually("the registry is open", || server.get("/v2/_catalog").status == 200);
    pushed.check(&server);

    let events = told(&mut audit(&world, "tail"));
    let mut events = events.iter();
    for (operation, client, status) in [
        ("AuditOpened", "", 200),
        ("KeyCreate", "lockyard quickstart", 200),
        ("VaultAccessPolicyChange", "lockyard: a new registry", 200),
        ("KeyWrap", "lockyard", 200),
        ("KeyUnwrap", "lockyard", 200),
        ("KeyUpdate", "lockyard vault key disable", 200),
        ("KeyUnwrap", "lockyard", 403),
        ("KeyUpdate", "lockyard vault key enable", 200),
        ("KeyUnwrap", "lockyard", 200),
    ] {
        let expected = (operation.to_owned(), client.to_owned(), status);
        assert!(events.any(|event| *event == expected), "{expected:?} is not where it should be");
    }
    let report = good(&mut audit(&world, "verify"));
    assert!(report.contains("no findings"), "{report}");
    server.kill();
    good(&mut audit(&world, "verify"));
    let server = world.serve();
    good(&mut audit(&world, "verify"));
    server.stop();
    good(&mut audit(&world, "verify"));
    for file in fs::read_dir(world.data().join("vault/audit")).expect("the trail lies there") {
        let bytes = fs::read(file.expect("an entry").path()).expect("a file");
        for word in ["KeyUnwrap", "lockyard/registry", "quickstart"] {
            assert!(memchr::memmem::find(&bytes, word.as_bytes()).is_none(), "{word}");
        }
    }
}

fn sign_ins_and_changes_of_roles_are_in_the_trail_and_many_are_one_and_a_count() {
    let world = World::new();
    let server = world.serve();
    let owner = Owner::new(&world, &server);
    let robot = owner.robot(ACR_PULL);
    for _ in 0..20 {
        assert_eq!(owner.desk.program(&robot.name, &robot.secret, "vault").status, 200);
    }
    assert_eq!(owner.desk.program(&robot.name, "wrong", "vault").status, 401);
    assert_eq!(owner.ask("GET /oauth2/token", Some(&robot.basic())).status, 200);
    server.stop();
    let lines = good(audit(&world, "tail").args(["-n", "10000"]));
    let events: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |name: &'static str| events.iter().filter(move |event| event["operationName"] == name);
    for name in ["ApplicationWrite", "ServicePrincipalWrite", "ApplicationPasswordChange"] {
        assert_eq!(of(name).count(), 1, "{name}");
    }
    assert_eq!(of("RoleAssignmentPut").count(), 1);
    let claim = |event: &Value| event["identity"]["claim"]["appid"].clone();
    let issued: Vec<&Value> =
        of("TokenIssue").filter(|event| claim(event) == *robot.name).collect();
    let [first, others] = issued.as_slice() else { panic!("{issued:?}") };
    assert_eq!(first["properties"]["reason"], "client_credentials");
    assert_eq!(first["callerIpAddress"], "127.0.0.1");
    assert_eq!(
        (&others["properties"]["count"], &others["properties"]["kind"]),
        (&Value::from(19), &Value::from("Repeated"))
    );
    assert_eq!(of("RegistryTokenIssue").filter(|event| claim(event) == *robot.name).count(), 1);
    let wrong = of("Authentication").find(|event| event["properties"]["kind"] == "WrongSecret");
    assert_eq!(wrong.expect("it was counted")["properties"]["count"], 1);
    good(&mut audit(&world, "verify"));
}

fn what_operators_do_with_registries_is_in_the_trail() {
    let world = World::new();
    let server = world.quickstart();
    let bytes = push::noise("a blob", 1000);
    push::blob(&server, "team/app", &bytes);
    let operator = |words: &[&str]| {
        let mut command = bounded(LOCKYARD);
        command.args(words).arg("--data-dir").arg(world.data());
        command
    };
    good(&mut operator(&["registry", "create", "second"]));
    bad(&mut operator(&["registry", "create", "second"]));
    good(&mut operator(&["registry", "update", "second", "--anonymous-pull", "true"]));
    let assign = ["registry", "assign-identity", "lockyard", "--identity", "[system]", "--grant"];
    good(&mut operator(&assign));
    let (digest, out) = (push::digest(&bytes), world.folder().join("out"));
    let out = out.to_str().expect("a text");
    let export = ["debug", "export-part", "--dangerous", "--registry", "lockyard"];
    let blob = ["--repository", "team/app", "--digest", &digest, "--out", out];
    good(operator(&export).args(blob));
    good(&mut operator(&["registry", "list"]));
    let known = |line: &&(String, String, u64)| {
        line.0.starts_with("Registry") || line.0 == "BlobKeysExport"
    };
    let events = told(&mut audit(&world, "tail"));
    let events: Vec<_> = events.iter().filter(known).collect();
    let expected = [
        ("RegistryCreate", "lockyard registry create", 200),
        ("RegistryCreate", "lockyard registry create", 400),
        ("RegistryUpdate", "lockyard registry update", 200),
        ("RegistryIdentityChange", "lockyard registry assign-identity", 200),
        ("BlobKeysExport", "lockyard debug export-part", 200),
    ]
    .map(|(operation, client, status)| (operation.to_owned(), client.to_owned(), status));
    assert_eq!(events, expected.iter().collect::<Vec<_>>());
    server.stop();
}

fn what_was_changed_or_taken_back_is_found() {
    let world = World::new();
    let server = world.quickstart();
    server.stop();
    let kept = world.folder().join("checkpoint.json");
    fs::write(&kept, good(&mut audit(&world, "checkpoint"))).expect("written");
    let with_kept = || {
        let mut command = audit(&world, "verify");
        command.arg("--checkpoint").arg(&kept);
        command
    };
    good(&mut with_kept());
    let mut without_key = with_kept();
    fs::rename(world.data().join("vault.key"), world.folder().join("aside")).expect("moved");
    bad(&mut with_kept());
    good(without_key.arg("--without-key"));
    fs::rename(world.folder().join("aside"), world.data().join("vault.key")).expect("moved");

    let segment = world.data().join("vault/audit/0000000000000001.audit");
    let original = fs::read(&segment).expect("it lies there");
    let mut changed = original.clone();
    changed[400] ^= 1;
    fs::write(&segment, changed).expect("written");
    let told = bad(&mut audit(&world, "verify"));
    assert!(told.contains("record 1: changed"), "{told}");
    let output = audit(&world, "verify").output().expect("it runs");
    assert_eq!(output.status.code(), Some(3));

    let mut cut = original;
    cut[1000..].fill(0);
    fs::write(&segment, cut).expect("written");
    let told = bad(&mut with_kept());
    assert!(told.contains("taken back"), "{told}");
}

fn a_full_audit_disk_refuses_the_key_and_says_so() {
    let world = World::new();
    let disk = SmallDisk::mount(world.subfolder("audit-disk"), 4);
    let trail = disk.0.join("audit");
    let start = |verb: &str, unwritable: &str| {
        let mut command = world.command(verb);
        command.arg("--audit-dir").arg(&trail).args(["--audit-unwritable", unwritable]);
        world.start(command)
    };
    let server = start("quickstart", "refuse");
    let pushed = push::small_image(&server, "team/app", "v1");
    server.stop();
    let filler = disk.fill();

    // An operator who would rather go on says so.
    let server = start("serve", "allow");
    pushed.check(&server);
    server.stop();

    // Nobody said that the key may not be used: it is out of reach, and will be tried again.
    let server = start("serve", "refuse");
    let reply = server.get("/v2/_catalog").expect(503);
    let (_, message) = reply.oci_error();
    assert!(message.contains("audit trail") && message.contains("full"), "{message}");
    fs::remove_file(filler).expect("it lies there");
    eventually("the registry is open", || server.get("/v2/_catalog").status == 200);
    pushed.check(&server);
    let mut tail = audit(&world, "tail");
    let events = told(tail.arg("--audit-dir").arg(&trail));
    assert!(events.iter().any(|(operation, ..)| operation == "AuditResumed"), "{events:?}");
    good(audit(&world, "verify").arg("--audit-dir").arg(&trail));
}

fn a_full_audit_disk_does_not_keep_anybody_from_revoking() {
    let world = World::new();
    let disk = SmallDisk::mount(world.subfolder("audit-disk"), 4);
    let trail = disk.0.join("audit");
    let start = |verb: &str| {
        let mut command = world.command(verb);
        command.arg("--audit-dir").arg(&trail);
        world.start(command)
    };
    let server = start("quickstart");
    let bytes = push::noise("a blob", 1000);
    push::blob(&server, "team/app", &bytes);
    server.stop();
    // Room for the registry to open, and for nothing more.
    let filler = disk.fill_but(400 << 10);
    let server = start("serve");
    assert_eq!(server.get("/v2/_catalog").status, 200);
    let mut commands = 0;
    loop {
        let told = good(&mut {
            let mut list = bounded(LOCKYARD);
            list.args(["vault", "key", "list", "--data-dir"]).arg(world.data());
            list
        });
        if told.contains("not in the audit trail") {
            break;
        }
        commands += 1;
        assert!(commands < 2000, "the disk has room without end");
    }
    // No key leaves of which nobody would know.
    let out = world.folder().join("out");
    let mut export = bounded(LOCKYARD);
    export.args(["debug", "export-part", "--dangerous", "--registry", "lockyard"]);
    export.args(["--repository", "team/app", "--digest", &push::digest(&bytes), "--out"]).arg(&out);
    let refused = bad(export.arg("--data-dir").arg(world.data()));
    assert!(refused.contains("audit trail") && !out.exists(), "{refused}");
    let told = good(&mut vault_key(&world, "disable"));
    assert!(told.contains("not in the audit trail"), "{told}");
    eventually("the registry is closed", || server.get("/v2/_catalog").status == 403);
    fs::remove_file(filler).expect("it lies there");
    good(&mut vault_key(&world, "enable"));
    eventually("the registry is open", || server.get("/v2/_catalog").status == 200);
    good(audit(&world, "verify").arg("--audit-dir").arg(&trail));
}
