//! The owner of an instance: credentials that are lost and made again, and what a kill leaves of
//! secrets, sessions and signing keys.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::desk::{Desk, word};
use crate::outside::{Story, bounded, good, stories};
use crate::search::{self, Mark};
use crate::world::{LOCKYARD, World, refusal};

pub(crate) fn stories() -> Vec<Story> {
    stories![
        a_reset_owner_signs_in_anew_and_nothing_old_works,
        an_owner_is_not_reset_under_a_running_server,
        secrets_sessions_and_signing_keys_survive_a_kill,
    ]
}

/// What a reset or `bootstrap.json` says.
#[derive(Debug, PartialEq, Eq)]
struct Login {
    client: String,
    secret: String,
    user: String,
    password: String,
}

impl Login {
    fn bootstrap(world: &World) -> Self {
        let json = crate::image::read_json(&world.data().join("bootstrap.json"));
        let word = |name: &str| json[name].as_str().expect("the file has it").to_owned();
        let (client, secret) = (word("clientId"), word("clientSecret"));
        Self { client, secret, user: word("userName"), password: word("password") }
    }

    fn told(output: &str) -> Self {
        let word = |label: &str| {
            let line = output.lines().find_map(|line| line.trim().strip_prefix(label));
            line.unwrap_or_else(|| panic!("no `{label}` in:\n{output}")).trim().to_owned()
        };
        let (client, secret) = (word("client id"), word("client secret"));
        Self { client, secret, user: word("user name"), password: word("password") }
    }

    #[track_caller]
    fn works(&self, desk: &Desk) {
        let token = desk.program(&self.client, &self.secret, "management").expect(200);
        assert_eq!(desk.subscriptions(&word(&token, "access_token")), 200);
        let token = desk.person(&self.user, &self.password).expect(200);
        assert_eq!(desk.subscriptions(&word(&token, "access_token")), 200);
    }
}

fn reset(world: &World) -> Login {
    let mut command = bounded(LOCKYARD);
    command.args(["admin", "reset-owner", "--data-dir"]).arg(world.data());
    Login::told(&good(&mut command))
}

fn a_reset_owner_signs_in_anew_and_nothing_old_works() {
    let world = World::new();
    let server = world.serve();
    let desk = Desk::new(&world, &server);
    let old = Login::bootstrap(&world);
    old.works(&desk);
    let program = word(&desk.program(&old.client, &old.secret, "management"), "access_token");
    let session = desk.person(&old.user, &old.password).expect(200);
    // The person is locked out, which a reset ends as well.
    for _ in 0..12 {
        assert_ne!(desk.person(&old.user, "wrong").status, 200);
    }
    server.stop();

    let new = reset(&world);
    let mut trail = bounded(LOCKYARD);
    let trail = good(trail.args(["audit", "tail", "--data-dir"]).arg(world.data()));
    assert!(trail.contains("\"OwnerReset\"") && trail.contains(&new.client), "{trail}");
    assert_eq!((&new.client, &new.user), (&old.client, &old.user));
    assert_ne!((&new.secret, &new.password), (&old.secret, &old.password));
    let file = world.data().join("bootstrap.json");
    assert_eq!(Login::bootstrap(&world), new);
    assert_eq!(fs::metadata(&file).expect("it lies there").permissions().mode() & 0o777, 0o600);
    assert!(crate::image::read_json(&file)["managementEndpoint"].is_string());

    let server = world.serve();
    let desk = Desk::new(&world, &server);
    new.works(&desk);
    assert_eq!(desk.program(&old.client, &old.secret, "management").status, 401);
    assert_ne!(desk.person(&old.user, &old.password).status, 200);
    for token in [&program, &word(&session, "access_token")] {
        assert_eq!(desk.subscriptions(token), 401);
    }
    assert_ne!(desk.refresh(&word(&session, "refresh_token")).status, 200);
    server.stop();

    // A file that was deleted stays deleted, and nothing of what was shown is readable.
    fs::remove_file(&file).expect("it lies there");
    let newest = reset(&world);
    assert!(!file.exists());
    let marks = [&old, &new, &newest]
        .map(|login| [Mark::text(&login.secret), Mark::text(&login.password)])
        .concat();
    let found = search::found_in(&world.data(), &marks);
    assert!(found.is_empty(), "{found:?}");
    let server = world.serve();
    newest.works(&Desk::new(&world, &server));
}

fn an_owner_is_not_reset_under_a_running_server() {
    let world = World::new();
    let server = world.serve();
    for verb in ["reset-owner", "rotate-service-key"] {
        let mut command = bounded(LOCKYARD);
        command.args(["admin", verb, "--data-dir"]).arg(world.data());
        let told = refusal(command);
        assert!(told.contains(&server.id()) && told.contains("stop it"), "{told}");
    }
    Login::bootstrap(&world).works(&Desk::new(&world, &server));
}

fn secrets_sessions_and_signing_keys_survive_a_kill() {
    let world = World::new();
    let mut server = world.serve();
    // Tokens name their issuer with its port, which must be the same after the kill.
    let https = server.https();
    let mut desk = Desk::new(&world, &server);
    let login = Login::bootstrap(&world);
    let keys = |desk: &Desk| {
        let path = "GET /organizations/discovery/v2.0/keys";
        desk.ask("login", path, &[], b"").expect(200).json()["keys"].clone()
    };
    let before = keys(&desk);
    let program = word(&desk.program(&login.client, &login.secret, "management"), "access_token");
    let mut session = word(&desk.person(&login.user, &login.password), "refresh_token");
    for _ in 0..3 {
        server.kill();
        let mut command = world.command("serve");
        command.args(["--https", &https]);
        server = world.start(command);
        desk = Desk::new(&world, &server);
        assert_eq!(keys(&desk), before);
        assert_eq!(desk.subscriptions(&program), 200);
        let reply = desk.refresh(&session).expect(200);
        assert_eq!(desk.subscriptions(&word(&reply, "access_token")), 200);
        session = word(&reply, "refresh_token");
    }
    login.works(&desk);
}
