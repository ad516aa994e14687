//! Signing in by every credential, with the programs that people have: az, MSAL for Python and MSAL
//! for Node, all unmodified, through the CONNECT listener.
//!
//! One story's world has everything that a sign-in may need: a certificate and a federated
//! credential of the owner's application, another issuer that runs for the length of the story, and
//! a managed identity that this machine may be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::az::{Bootstrap, Cli};
use crate::outside::{self, Need, Story, bounded, good, program, stories};
use crate::search::{self, Mark};
use crate::world::{LOCKYARD, Server, World, eventually};

const SUBJECT: &str = "repo:lock/yard:ref:refs/heads/main";
const AUDIENCE: &str = "api://AzureADTokenExchange";

pub(crate) fn stories() -> Vec<Story> {
    stories![
        #[needs(Need::Az)]
        az_signs_in_by_every_credential,
        #[needs(Need::Az)]
        msal_for_python_signs_in_by_every_flow,
        #[needs(Need::Az, Need::Node, Need::Program("node"))]
        msal_for_node_signs_in_by_every_flow,
        #[needs(Need::Az)]
        sessions_keys_and_secrets_survive_a_kill_and_lie_nowhere_readable,
    ]
}

/// Another issuer, ended when dropped.
struct Foreign {
    child: Child,
    folder: PathBuf,
}

impl Foreign {
    fn start(world: &World) -> Self {
        let folder = world.subfolder("foreign");
        let mut command = python("signin_issuer.py");
        command.arg(&folder).args([SUBJECT, AUDIENCE]).stdin(Stdio::null());
        let child = command.spawn().expect("python starts");
        let this = Self { child, folder };
        eventually("the other issuer serves", || this.folder.join("port").exists());
        this
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).expect("it was written before the port")
    }

    fn issuer(&self) -> String {
        format!("https://localhost:{}", self.read("port"))
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns a script of `tests/interop` with the Python that has MSAL; not bounded, so that it can
/// be ended by its own id.
fn python(script: &str) -> Command {
    let mut command = Command::new(outside::az_python().expect("stories with az have its Python"));
    command.arg(outside::scripts().join(script));
    command
}

/// A world in which every sign-in works.
struct House {
    world: World,
    server: Server,
    foreign: Foreign,
    bootstrap: Bootstrap,
    /// The client id and the secret header of the machine's managed identity.
    identity: (String, String),
}

impl House {
    fn new() -> Self {
        let world = World::new();
        let foreign = Foreign::start(&world);
        let server = serve(&world, &foreign, None);
        let made = lockyard(&world, &["identity", "create", "app"]);
        let client = made.split([' ', ',']).nth(2).expect("`client id <id>, …`").to_owned();
        let header = lockyard(&world, &["identity", "secret", &client]);
        server.stop();
        let server = serve(&world, &foreign, Some(&client));
        let bootstrap = Bootstrap::of(&world);
        let this = Self { world, server, foreign, bootstrap, identity: (client, header) };
        this.furnish();
        this
    }

    /// Gives the owner's application a certificate and a federated credential, with az.
    fn furnish(&self) {
        let cli = self.cli("furnisher");
        cli.login_owner(&self.bootstrap);
        let client = self.bootstrap.word("clientId");
        let certificate = format!("@{}", self.foreign.folder.join("root.pem").display());
        let reset = ["ad", "app", "credential", "reset", "--id", client, "--append", "--cert"];
        cli.run(&[&reset[..], &[&certificate]].concat());
        let federated = json!({
            "name": "ci", "issuer": self.foreign.issuer(), "subject": SUBJECT,
            "audiences": [AUDIENCE],
        });
        let create = ["ad", "app", "federated-credential", "create", "--id", client];
        cli.run(&[&create[..], &["--parameters", &federated.to_string()]].concat());
    }

    fn cli(&self, name: &str) -> Cli {
        Cli::new(&self.world, &self.server, name)
    }

    /// Returns the file that tells the scripts who and where.
    fn told(&self) -> PathBuf {
        let word = |name: &str| self.bootstrap.word(name).to_owned();
        let (client, header) = &self.identity;
        let pem = self.world.folder().join("client.pem");
        fs::write(&pem, self.foreign.read("key.pem") + &self.foreign.read("root.pem"))
            .expect("the world is writable");
        let told = json!({
            "tenantId": word("tenantId"), "clientId": word("clientId"),
            "clientSecret": word("clientSecret"), "userName": word("userName"),
            "password": word("password"), "managementEndpoint": word("managementEndpoint"),
            "loginEndpoint": word("loginEndpoint"), "caFile": word("caFile"),
            "proxy": self.server.proxy(), "python": outside::az_python(),
            "certificate": pem, "thumbprint": self.foreign.read("sha1"),
            "thumbprintSha256": self.foreign.read("sha256"),
            "federated": self.foreign.folder.join("token"),
            "identity": {
                "endpoint": format!("http://{}", self.server.identities()),
                "clientId": client, "header": header,
            },
        });
        let file = self.world.folder().join("told.json");
        fs::write(&file, told.to_string()).expect("the world is writable");
        file
    }

    /// Lets a command reach our names and believe our certificate.
    fn inside<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env("HTTPS_PROXY", self.server.proxy())
            .env("REQUESTS_CA_BUNDLE", self.bootstrap.word("caFile"))
    }

    /// Fails unless every flow that a script tells of gave a token of the right one.
    fn check(&self, printed: &str, flows: &[&str]) {
        let lines: Vec<Value> = printed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect();
        for flow in flows {
            assert!(lines.iter().any(|line| line["flow"] == *flow), "no {flow} in {printed}");
        }
        for line in lines {
            let claims = &line["claims"];
            assert_eq!(claims["tid"], self.bootstrap.word("tenantId"), "{line}");
            let client = match line["flow"].as_str() {
                Some("identity") => self.identity.0.as_str(),
                Some("secret" | "federated" | "certificate" | "certificate again") => {
                    self.bootstrap.word("clientId")
                }
                _ => "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
            };
            let said = claims["appid"].as_str().or(claims["azp"].as_str());
            assert_eq!(said, Some(client), "{line}");
        }
    }
}

/// Starts a server that may ask the other issuer and that this machine's programs may ask.
fn serve(world: &World, foreign: &Foreign, machine: Option<&str>) -> Server {
    let mut command = world.command("serve");
    command.args(["--public-port", "443", "--identity-endpoint", "127.0.0.1:0"]);
    command.arg("--egress-allow").arg(format!("localhost:{}", foreign.read("port")));
    command.arg("--egress-roots").arg(foreign.folder.join("root.pem"));
    if let Some(machine) = machine {
        command.args(["--machine-identity", machine]);
    }
    world.start(command)
}

/// Runs an operator's command and returns what it printed.
fn lockyard(world: &World, words: &[&str]) -> String {
    good(bounded(LOCKYARD).args(words).arg("--data-dir").arg(world.data()))
}

fn az_signs_in_by_every_credential() {
    let house = House::new();
    let told = house.told();
    let (client, tenant) = (house.bootstrap.word("clientId"), house.bootstrap.word("tenantId"));
    let (user, password) = (house.bootstrap.word("userName"), house.bootstrap.word("password"));
    let signed_in = |cli: &Cli| {
        let token = cli.json(&["account", "get-access-token"]);
        assert_eq!(token["tenant"], tenant);
        let graph = ["account", "get-access-token", "--resource-type", "ms-graph"];
        assert_eq!(cli.json(&graph)["tokenType"], "Bearer");
    };
    let program = ["login", "--service-principal", "-u", client, "--tenant", tenant];
    let pem = told.with_file_name("client.pem");
    let federated = house.foreign.read("token");
    for (name, words) in [
        ("certificate", ["--certificate", pem.to_str().expect("a plain path")]),
        ("federated", ["--federated-token", &federated]),
    ] {
        let cli = house.cli(name);
        cli.run(&[&program[..], &words].concat());
        signed_in(&cli);
    }
    let cli = house.cli("password");
    cli.run(&["login", "--username", user, "--password", password, "--tenant", tenant]);
    signed_in(&cli);
    assert_eq!(cli.json(&["ad", "signed-in-user", "show"])["userPrincipalName"], user);

    // With and without a tenant: without one, az asks for a token for each.
    for (name, tenant) in [("device", &["--tenant", tenant][..]), ("organizations", &[])] {
        let cli = house.cli(name);
        by_device_code(&house, &cli, tenant);
        signed_in(&cli);
    }

    let endpoint = format!("http://{}", house.server.identities());
    let (identity, header) = &house.identity;
    let path = format!("{endpoint}/token");
    let by_header = [("IDENTITY_ENDPOINT", path.as_str()), ("IDENTITY_HEADER", header.as_str())];
    let by_machine = [("AZURE_POD_IDENTITY_AUTHORITY_HOST", endpoint.as_str())];
    for (name, form) in [("header", &by_header[..]), ("machine", &by_machine[..])] {
        let cli = house.cli(name);
        let as_identity = |words: &[&str]| {
            let printed = good(cli.az(words).envs(form.iter().copied()));
            serde_json::from_str::<Value>(&printed).expect("az prints JSON")
        };
        as_identity(&["login", "--identity", "--allow-no-subscriptions"]);
        as_identity(&["login", "--identity", "--client-id", identity, "--allow-no-subscriptions"]);
        assert_eq!(as_identity(&["account", "get-access-token"])["tenant"], tenant);
    }
}

/// Signs in with a code that a person enters elsewhere.
fn by_device_code(house: &House, cli: &Cli, tenant: &[&str]) {
    let told = house.world.folder().join("device.log");
    let log = fs::File::create(&told).expect("the world is writable");
    let mut login = cli.az(&[&["login", "--use-device-code"], tenant].concat());
    // What the person is told is a warning to az.
    login.env("AZURE_CORE_ONLY_SHOW_ERRORS", "false").stdout(Stdio::null()).stderr(log);
    let mut login = login.spawn().expect("az starts");
    let message = || fs::read_to_string(&told).unwrap_or_default();
    eventually("az tells a code", || code_in(&message()).is_some());
    let code = code_in(&message()).expect("it is there");
    let mut browser = python("signin_browser.py");
    browser.arg(format!("{}/device", house.bootstrap.word("loginEndpoint"))).arg(code);
    browser.args([house.bootstrap.word("userName"), house.bootstrap.word("password")]);
    good(house.inside(&mut browser));
    let status = crate::world::wait(&mut login, std::time::Duration::from_secs(120));
    assert!(status.success(), "{}", message());
}

/// Finds a code like `BCDF-GHJK` in what az says.
fn code_in(message: &str) -> Option<String> {
    let is_code = |word: &&str| {
        word.len() == 9
            && word.as_bytes()[4] == b'-'
            && word.bytes().all(|b| b == b'-' || b.is_ascii_uppercase())
    };
    message
        .split([' ', '\n'])
        .map(|word| word.trim_end_matches('.'))
        .find(is_code)
        .map(str::to_owned)
}

fn msal_for_python_signs_in_by_every_flow() {
    let house = House::new();
    let mut flows = python("signin_msal.py");
    let printed = good(house.inside(flows.arg(house.told())));
    house.check(
        &printed,
        &[
            "secret",
            "certificate",
            "certificate again",
            "federated",
            "password",
            "refresh",
            "refresh again",
            "device",
            "code",
            "interactive",
            "identity",
        ],
    );
}

fn msal_for_node_signs_in_by_every_flow() {
    let house = House::new();
    let mut flows = program("node");
    flows.arg(outside::scripts().join("node/signin.js")).arg(house.told());
    flows.env("NODE_PATH", outside::node_modules().expect("stories with Node have it"));
    let printed = good(house.inside(&mut flows));
    house.check(
        &printed,
        &[
            "secret",
            "certificate",
            "federated",
            "password",
            "device",
            "refresh",
            "refresh again",
            "code",
            "identity",
        ],
    );
}

fn sessions_keys_and_secrets_survive_a_kill_and_lie_nowhere_readable() {
    let House { world, server, foreign, bootstrap, identity } = House::new();
    let (user, password) = (bootstrap.word("userName"), bootstrap.word("password"));
    let cli = Cli::new(&world, &server, "person");
    let tenant = bootstrap.word("tenantId");
    cli.run(&["login", "--username", user, "--password", password, "--tenant", tenant]);
    let before = cli.json(&["account", "get-access-token"]);
    server.kill();
    let server = serve(&world, &foreign, Some(&identity.0));
    let cli = cli.through(&server);
    // The token that az has, by the key that signed it.
    assert_eq!(cli.json(&["group", "show", "-n", "lockyard"])["name"], "lockyard");
    assert_eq!(cli.json(&["account", "get-access-token"]), before);
    // A token for somebody else, by the session.
    let graph = ["account", "get-access-token", "--resource-type", "ms-graph"];
    assert_eq!(cli.json(&graph)["tenant"], tenant);
    // And by secrets: the identity's header, the client's.
    let form = [
        ("IDENTITY_ENDPOINT", format!("http://{}/token", server.identities())),
        ("IDENTITY_HEADER", identity.1.clone()),
    ];
    let program = Cli::new(&world, &server, "program");
    good(program.az(&["login", "--identity", "--allow-no-subscriptions"]).envs(form));
    Cli::new(&world, &server, "owner").login_owner(&bootstrap);
    let log = server.log();
    server.kill();

    let handed_out = refresh_tokens(&world.folder().join("person"));
    assert!(!handed_out.is_empty(), "az keeps no refresh token");
    let secrets = [user, password, bootstrap.word("clientSecret"), &identity.1, SUBJECT];
    let secrets = secrets.into_iter().map(str::to_owned).chain(handed_out);
    let secrets: Vec<String> = secrets.chain([foreign.issuer()]).collect();
    for secret in &secrets {
        assert!(!log.contains(secret.as_str()), "`{secret}` is in the log");
    }
    fs::remove_file(world.data().join("bootstrap.json")).expect("it lies there");
    let marks: Vec<Mark> = secrets.iter().map(|secret| Mark::text(secret)).collect();
    let found = search::found_in(&world.data(), &marks);
    assert!(found.is_empty(), "{found:?}");
}

/// Returns the refresh tokens in an az's token cache.
fn refresh_tokens(folder: &Path) -> Vec<String> {
    let cache = crate::image::read_json(&folder.join("msal_token_cache.json"));
    let tokens = cache["RefreshToken"].as_object().expect("MSAL's cache has them");
    tokens.values().filter_map(|one| one["secret"].as_str().map(str::to_owned)).collect()
}
