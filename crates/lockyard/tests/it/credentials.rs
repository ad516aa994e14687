//! Who may come in at a registry and what with, as people's own clients show it.
//!
//! Each client logs in by itself, over HTTPS, with a service principal's secret, a person's
//! password, or a refresh token for a password; what is not theirs to do is refused with words that
//! the client prints.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::clients::Dockerd;
use crate::desk::{Desk, word};
use crate::image::read_json;
use crate::outside::{Need, Story, bad, go_program, good, program, stories};
use crate::push;
use crate::world::{LOCKYARD, Server, World};

const ACR_PULL: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
const ACR_PUSH: &str = "8311e382-0749-4cb8-b61a-304f252e45ec";
/// The user name that goes with a token.
const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";

const SKOPEO: Need = Need::Program("skopeo");
const PODMAN: Need = Need::Program("podman");
const DOCKERD: Need = Need::Program("dockerd");
const DOCKER: Need = Need::Program("docker");
const CRANE: Need = Need::Built("crane");

pub(crate) fn stories() -> Vec<Story> {
    stories![
        roles_and_tokens_decide_what_a_program_may_do,
        a_sessions_token_is_exchanged_for_one_of_the_registry,
        #[needs(CRANE)]
        crane_logs_in_with_every_kind_of_credential,
        #[needs(SKOPEO)]
        skopeo_logs_in_with_every_kind_of_credential,
        #[needs(DOCKERD, DOCKER, Need::Root)]
        docker_logs_in_with_every_kind_of_credential,
        #[needs(PODMAN, Need::Root)]
        podman_logs_in_with_every_kind_of_credential,
        #[needs(CRANE)]
        who_may_only_pull_is_told_so_and_everybody_pulls_where_it_is_switched_on,
    ]
}

/// A name and what proves it.
struct Login {
    name: String,
    secret: String,
}

impl Login {
    fn new(name: &str, secret: &str) -> Self {
        Self { name: name.to_owned(), secret: secret.to_owned() }
    }

    fn basic(&self) -> String {
        let text = format!("{}:{}", self.name, self.secret);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    }
}

/// What the first start wrote down.
struct Owner {
    desk: Desk,
    bootstrap: Value,
}

impl Owner {
    fn new(world: &World, server: &Server) -> Self {
        let bootstrap = read_json(&world.data().join("bootstrap.json"));
        Self { desk: Desk::new(world, server), bootstrap }
    }

    fn word(&self, name: &str) -> &str {
        self.bootstrap[name].as_str().expect("the file has it")
    }

    fn program(&self) -> Login {
        Login::new(self.word("clientId"), self.word("clientSecret"))
    }

    fn person(&self) -> Login {
        Login::new(self.word("userName"), self.word("password"))
    }

    fn token(&self, house: &str) -> String {
        let login = self.program();
        word(&self.desk.program(&login.name, &login.secret, house), "access_token")
    }

    /// Makes a program with a role on the default registry.
    fn robot(&self, role: &str) -> Login {
        let graph = self.token("graph");
        let post = |path: &str, body: &Value| {
            let reply = self.desk.with(&graph, "graph", &format!("POST /v1.0{path}"), Some(body));
            assert!((200..300).contains(&reply.status), "{}", reply.json());
            reply.json()
        };
        let application = post("/applications", &json!({"displayName": "robot"}));
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (id, client) = (text(&application["id"]), text(&application["appId"]));
        let principal = post("/servicePrincipals", &json!({"appId": client}));
        let made = post(&format!("/applications/{id}/addPassword"), &json!({}));
        let subscription = self.word("subscriptionId");
        let registry = format!(
            "/subscriptions/{subscription}/resourceGroups/lockyard/providers/\
             Microsoft.ContainerRegistry/registries/lockyard"
        );
        let authorization = "/providers/Microsoft.Authorization";
        let assignment = format!("{registry}{authorization}/roleAssignments/{id}");
        let body = json!({"properties": {
            "roleDefinitionId":
                format!("/subscriptions/{subscription}{authorization}/roleDefinitions/{role}"),
            "principalId": principal["id"],
        }});
        let line = format!("PUT {assignment}?api-version=2022-04-01");
        let reply = self.desk.with(&self.token("management"), "management", &line, Some(&body));
        assert!((200..300).contains(&reply.status), "{}", reply.json());
        Login { name: client, secret: text(&made["secretText"]) }
    }

    /// Asks the default registry for something.
    fn ask(&self, line: &str, authorization: Option<&str>) -> crate::http::Reply {
        let headers: Vec<_> =
            authorization.map(|value| ("authorization", value)).into_iter().collect();
        self.desk.ask("lockyard.cr", line, &headers, b"")
    }

    /// A refresh token, as a client keeps it.
    fn refresh_token(&self, of: &Login) -> Login {
        let reply = self.ask("GET /oauth2/token?offline_token=true", Some(&of.basic()));
        Login::new(TOKEN_USER, &word(&reply, "refresh_token"))
    }

    /// One of each kind, all of whom may pull and push.
    fn logins(&self) -> [Login; 4] {
        let robot = self.robot(ACR_PUSH);
        let token = self.refresh_token(&robot);
        [self.program(), self.person(), robot, token]
    }
}

fn roles_and_tokens_decide_what_a_program_may_do() {
    let world = World::new();
    let server = world.serve();
    let owner = Owner::new(&world, &server);
    let (puller, stranger) = (owner.robot(ACR_PULL), Login::new(TOKEN_USER, "nothing"));
    let upload = "POST /v2/app/blobs/uploads/";
    assert_eq!(owner.ask(upload, None).status, 401);
    assert_eq!(owner.ask(upload, Some(&stranger.basic())).status, 401);
    assert_eq!(owner.ask(upload, Some(&puller.basic())).status, 403);
    assert_eq!(owner.ask(upload, Some(&owner.program().basic())).status, 202);
    assert_eq!(owner.ask(upload, Some(&owner.person().basic())).status, 202);
    assert_eq!(owner.ask("GET /v2/_catalog", Some(&puller.basic())).status, 200);
    let line = "GET /oauth2/token?scope=repository:app:pull,push";
    let token = word(&owner.ask(line, Some(&puller.basic())), "access_token");
    let bearer = format!("Bearer {token}");
    assert_eq!(owner.ask("GET /v2/app/tags/list", Some(&bearer)).status, 200);
    assert_eq!(owner.ask(upload, Some(&bearer)).status, 403);
}

fn a_sessions_token_is_exchanged_for_one_of_the_registry() {
    let world = World::new();
    let server = world.serve();
    let owner = Owner::new(&world, &server);
    let login = owner.program();
    let issued = |scope: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", login.name.as_str()),
            ("client_secret", login.secret.as_str()),
            ("scope", scope),
        ];
        word(&owner.desk.token(&form), "access_token")
    };
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let post = |path: &str, form: &str| {
        owner.desk.ask("lockyard.cr", &format!("POST {path}"), &kind, form.as_bytes())
    };
    let token = issued("https://containerregistry.azure.net/.default");
    let form = format!("grant_type=access_token&service=x&access_token={token}");
    let refresh = word(&post("/oauth2/exchange", &form), "refresh_token");
    let form = format!(
        "grant_type=refresh_token&service=x&scope=registry:catalog:*&refresh_token={refresh}"
    );
    let access = word(&post("/oauth2/token", &form), "access_token");
    let catalog = |token: &str| owner.ask("GET /v2/_catalog", Some(&format!("Bearer {token}")));
    assert_eq!(catalog(&access).status, 200);
    // The issuer's own tokens open nothing here, whomever they are for.
    let management = owner.token("management");
    assert_eq!(catalog(&token).status, 401);
    assert_eq!(catalog(&management).status, 401);
    let form = format!("grant_type=access_token&access_token={management}");
    assert_eq!(post("/oauth2/exchange", &form).status, 401);
}

fn crane(world: &World, server: &Server) -> Command {
    let mut command = go_program("crane");
    command.env("DOCKER_CONFIG", world.folder().join("crane"));
    command.env("HOME", world.folder()).env("TMPDIR", world.folder());
    command.env("HTTPS_PROXY", server.proxy());
    command.env("SSL_CERT_FILE", world.owner().authority);
    command
}

fn crane_login(world: &World, server: &Server, login: &Login) {
    let (user, secret) = (format!("-u={}", login.name), format!("-p={}", login.secret));
    good(crane(world, server).args(["auth", "login", &user, &secret, &server.public_name()]));
}

/// Pushes a small image over the listener that needs no login.
fn seed(server: &Server) {
    push::small_image(server, "team/app", "v1");
}

fn crane_logs_in_with_every_kind_of_credential() {
    let world = World::new();
    let server = world.serve();
    seed(&server);
    let owner = Owner::new(&world, &server);
    for (number, login) in owner.logins().iter().enumerate() {
        crane_login(&world, &server, login);
        let name = format!("{}/team/app:v1", server.public_name());
        let digest = good(crane(&world, &server).args(["digest", &name]));
        let copy = format!("{}/copy/app{number}:v1", server.public_name());
        good(crane(&world, &server).args(["copy", &name, &copy]));
        assert_eq!(good(crane(&world, &server).args(["digest", &copy])), digest);
    }
}

/// A program of the containers family, logged in into a file of its own.
fn family(world: &World, server: &Server, name: &str) -> Command {
    let mut command = program(name);
    command.env("HOME", world.folder()).env("TMPDIR", world.folder());
    command.env("HTTPS_PROXY", server.proxy());
    command.env("REGISTRY_AUTH_FILE", world.folder().join("auth.json"));
    command
}

/// A folder with the certificate to trust.
fn certificates(world: &World) -> String {
    let folder = world.folder().join("certificates");
    fs::create_dir_all(&folder).expect("writable");
    fs::copy(world.owner().authority, folder.join("ca.crt")).expect("the authority is published");
    format!("--cert-dir={}", folder.display())
}

fn policy(world: &World) -> String {
    let policy = world.folder().join("policy.json");
    fs::write(&policy, r#"{"default":[{"type":"insecureAcceptAnything"}]}"#).expect("writable");
    policy.display().to_string()
}

fn skopeo_logs_in_with_every_kind_of_credential() {
    let world = World::new();
    let server = world.serve();
    seed(&server);
    let (owner, trust) = (Owner::new(&world, &server), certificates(&world));
    let (policy, host) = (policy(&world), server.public_name());
    for (number, login) in owner.logins().iter().enumerate() {
        let (user, secret) = (format!("-u={}", login.name), format!("-p={}", login.secret));
        let skopeo = || family(&world, &server, "skopeo");
        good(skopeo().args(["login", &trust, &user, &secret, &host]));
        let from = format!("docker://{host}/team/app:v1");
        let to = format!("docker://{host}/skopeo/app{number}:v1");
        let mut copy = skopeo();
        copy.args(["--policy", &policy, "copy", "--quiet", "--preserve-digests"]);
        copy.arg(trust.replace("--", "--src-")).arg(trust.replace("--", "--dest-"));
        good(copy.args([&from, &to]));
        good(skopeo().args(["inspect", "--raw", &trust, &to]));
        good(skopeo().args(["logout", &host]));
        bad(skopeo().args(["inspect", "--raw", &trust, &to]));
    }
}

fn docker_logs_in_with_every_kind_of_credential() {
    let world = World::new();
    let server = world.serve();
    let owner = Owner::new(&world, &server);
    let dockerd = Dockerd::start(&world);
    // The one name that the daemon speaks TLS with without being told of a certificate.
    let host = server.https().replace("127.0.0.1", "localhost");
    for login in owner.logins() {
        let (user, secret) = (format!("-u={}", login.name), format!("-p={}", login.secret));
        let said = good(dockerd.docker().args(["login", &user, &secret, &host]));
        assert!(said.contains("Login Succeeded"), "{said}");
        good(dockerd.docker().args(["logout", &host]));
    }
    let refused = bad(dockerd.docker().args(["login", "-u=nobody", "-p=nothing", &host]));
    assert!(refused.to_lowercase().contains("unauthorized"), "{refused}");
}

fn podman_logs_in_with_every_kind_of_credential() {
    let world = World::new();
    let server = world.serve();
    seed(&server);
    let (owner, trust) = (Owner::new(&world, &server), certificates(&world));
    let host = server.public_name();
    let podman = || {
        let mut command = family(&world, &server, "podman");
        command.arg("--root").arg(world.folder().join("podman"));
        command.arg("--runroot").arg(world.folder().join("podman-run"));
        command.args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs"]);
        command.args(["--events-backend=none"]);
        command
    };
    for login in owner.logins() {
        let (user, secret) = (format!("-u={}", login.name), format!("-p={}", login.secret));
        good(podman().args(["login", &trust, &user, &secret, &host]));
        good(podman().args(["logout", &host]));
    }
    let stranger = ["login", &trust, "-u=nobody", "-p=nothing", &host];
    let refused = bad(podman().args(stranger));
    assert!(refused.contains("invalid username/password"), "{refused}");
}

fn who_may_only_pull_is_told_so_and_everybody_pulls_where_it_is_switched_on() {
    let world = World::new();
    let server = world.serve();
    seed(&server);
    let owner = Owner::new(&world, &server);
    let name = format!("{}/team/app:v1", server.public_name());
    bad(crane(&world, &server).args(["digest", &name]));
    crane_login(&world, &server, &owner.robot(ACR_PULL));
    let digest = good(crane(&world, &server).args(["digest", &name]));
    let copy = format!("{}/team/copy:v1", server.public_name());
    let refused = bad(crane(&world, &server).args(["copy", &name, &copy]));
    assert!(refused.contains("DENIED") && refused.contains("AcrPush"), "{refused}");
    good(crane(&world, &server).args(["auth", "logout", &server.public_name()]));
    let switch = |value: &str| {
        let mut update = Command::new(LOCKYARD);
        update.args(["registry", "update", "lockyard", "--anonymous-pull", value]);
        good(update.arg("--data-dir").arg(world.data()))
    };
    let shown = switch("true");
    assert!(shown.contains("anonymous pull:  on"), "{shown}");
    assert_eq!(good(crane(&world, &server).args(["digest", &name])), digest);
    bad(crane(&world, &server).args(["copy", &name, &copy]));
    switch("false");
    bad(crane(&world, &server).args(["digest", &name]));
}
