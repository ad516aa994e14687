//! Who may come in at a registry and what with, as people's own clients show it.
//!
//! A service principal's secret, a person's password and tokens open what their roles say; what is
//! not theirs to do is refused with words that the client prints. That every client can log in with
//! each of them is told in `logins`.

use std::process::Command;

use base64::Engine as _;
use serde_json::{Value, json};

use crate::desk::{Desk, word};
use crate::image::read_json;
use crate::logins::{crane, crane_login};
use crate::outside::{Need, Story, az_python, bad, bounded, good, scripts, stories};
use crate::push;
use crate::world::{LOCKYARD, Server, World};

pub(crate) const ACR_PULL: &str = "7f951dda-4ed3-4680-a7ca-43fe172d538d";
pub(crate) const ACR_PUSH: &str = "8311e382-0749-4cb8-b61a-304f252e45ec";
/// The user name that goes with a token.
const TOKEN_USER: &str = "00000000-0000-0000-0000-000000000000";

const CRANE: Need = Need::Built("crane");

pub(crate) fn stories() -> Vec<Story> {
    stories![
        roles_and_tokens_decide_what_a_program_may_do,
        a_sessions_token_is_exchanged_for_one_of_the_registry,
        #[needs(CRANE)]
        who_may_only_pull_is_told_so_and_everybody_pulls_where_it_is_switched_on,
        #[needs(Need::Az)]
        azures_library_for_registries_works_with_an_account_and_without,
    ]
}

/// A name and what proves it.
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) secret: String,
}

impl Login {
    fn new(name: &str, secret: &str) -> Self {
        Self { name: name.to_owned(), secret: secret.to_owned() }
    }

    pub(crate) fn basic(&self) -> String {
        let text = format!("{}:{}", self.name, self.secret);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    }
}

/// What the first start wrote down.
pub(crate) struct Owner {
    pub(crate) desk: Desk,
    bootstrap: Value,
}

impl Owner {
    pub(crate) fn new(world: &World, server: &Server) -> Self {
        let bootstrap = read_json(&world.data().join("bootstrap.json"));
        Self { desk: Desk::new(world, server), bootstrap }
    }

    pub(crate) fn word(&self, name: &str) -> &str {
        self.bootstrap[name].as_str().expect("the file has it")
    }

    fn program(&self) -> Login {
        Login::new(self.word("clientId"), self.word("clientSecret"))
    }

    fn person(&self) -> Login {
        Login::new(self.word("userName"), self.word("password"))
    }

    pub(crate) fn token(&self, house: &str) -> String {
        let login = self.program();
        word(&self.desk.program(&login.name, &login.secret, house), "access_token")
    }

    /// Makes a program with a role on the default registry.
    pub(crate) fn robot(&self, role: &str) -> Login {
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
    pub(crate) fn ask(&self, line: &str, authorization: Option<&str>) -> crate::http::Reply {
        let headers: Vec<_> =
            authorization.map(|value| ("authorization", value)).into_iter().collect();
        self.desk.ask("lockyard.cr", line, &headers, b"")
    }

    /// A refresh token, as a client keeps it.
    fn refresh_token(&self, of: &Login) -> Login {
        let reply = self.ask("GET /oauth2/token?offline_token=true", Some(&of.basic()));
        Login::new(TOKEN_USER, &word(&reply, "refresh_token"))
    }

    /// An access token, as `az acr login --expose-token` shows one.
    fn access_token(&self, of: &Login, scopes: &[String]) -> Login {
        let scopes: Vec<String> = scopes.iter().map(|scope| format!("scope={scope}")).collect();
        let line = format!("GET /oauth2/token?{}", scopes.join("&"));
        Login::new(TOKEN_USER, &word(&self.ask(&line, Some(&of.basic())), "access_token"))
    }

    /// One of each kind, all of whom may pull `team/app` and push `<client>/app<number>`.
    pub(crate) fn logins(&self, client: &str) -> [Login; 5] {
        let robot = self.robot(ACR_PUSH);
        let refresh = self.refresh_token(&robot);
        let scopes =
            ["repository:team/app:pull".to_owned(), format!("repository:{client}/app4:pull,push")];
        let access = self.access_token(&robot, &scopes);
        [self.program(), self.person(), robot, refresh, access]
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
    // A repository is there from its first blob on; this one has no byte.
    let empty = format!("{upload}?digest={}", push::digest(b""));
    assert_eq!(owner.ask(&empty, Some(&owner.program().basic())).status, 201);
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

/// Pushes a small image over the listener that needs no login.
pub(crate) fn seed(server: &Server) {
    push::small_image(server, "team/app", "v1");
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

fn azures_library_for_registries_works_with_an_account_and_without() {
    let world = World::new();
    let server = world.serve();
    let owner = Owner::new(&world, &server);
    let registry = format!("https://{}", server.public_name());
    let library = || {
        let mut library = bounded(az_python().expect("stories with az have its Python"));
        library.arg(scripts().join("registry_sdk.py")).arg(&registry);
        library.env("HOME", world.folder()).env("HTTPS_PROXY", server.proxy());
        library.env("REQUESTS_CA_BUNDLE", world.owner().authority);
        library
    };
    let authority = format!("{}/{}", owner.desk.origin("login"), owner.word("tenantId"));
    let program = owner.program();
    good(library().args([&authority, &program.name, &program.secret]));
    bad(&mut library());
    let mut update = Command::new(LOCKYARD);
    update.args(["registry", "update", "lockyard", "--anonymous-pull", "true"]);
    good(update.arg("--data-dir").arg(world.data()));
    good(&mut library());
}
