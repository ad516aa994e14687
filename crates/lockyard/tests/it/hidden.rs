//! Nothing of the directory is readable at rest: not who there is, not what they are called, not
//! which role they have where, whatever happened to the server.
//!
//! Passwords, secrets and tokens are searched for beside the names of people, groups, programs,
//! foreign issuers' subjects, custom roles, scopes, resource groups and their tags, and beside the
//! names that strangers tried.

use std::fs;

use serde_json::{Value, json};

use crate::credentials::{Login, Owner};
use crate::desk::word;
use crate::outside::{Story, stories};
use crate::search::{self, Mark};
use crate::world::{Server, World};

pub(crate) fn stories() -> Vec<Story> {
    stories![
        nothing_of_the_directory_is_readable_while_the_server_runs_or_after_a_kill,
        what_a_sign_in_says_is_in_no_log,
    ]
}

const PASSWORD: &str = "mark-password-Q7w3-correct-horse";

/// What stands in one place of the directory.
fn mark(place: &str) -> String {
    format!("mark-{place}-q7w3")
}

/// The places that are marked.
const PLACES: [&str; 20] = [
    "user",
    "upn",
    "team",
    "program",
    "uri",
    "callback",
    "secret",
    "federated",
    "issuer",
    "subject",
    "audience",
    "told",
    "group",
    "tag",
    "value",
    "role",
    "text",
    "reason",
    "stranger",
    "hint",
];

/// Somebody who fills the directory with marks.
struct Clerk<'o> {
    owner: &'o Owner,
    graph: String,
    management: String,
}

impl<'o> Clerk<'o> {
    fn new(owner: &'o Owner) -> Self {
        let (graph, management) = (owner.token("graph"), owner.token("management"));
        Self { owner, graph, management }
    }

    fn graph(&self, line: &str, body: &Value) -> Value {
        let reply = self.owner.desk.with(&self.graph, "graph", line, Some(body));
        assert!((200..300).contains(&reply.status), "{line}: {}", reply.status);
        if reply.body.is_empty() { Value::Null } else { reply.json() }
    }

    fn manage(&self, line: &str, body: &Value) -> Value {
        let reply = self.owner.desk.with(&self.management, "management", line, Some(body));
        assert!((200..300).contains(&reply.status), "{line}: {}", reply.json());
        reply.json()
    }

    /// Makes people, programs and groups; returns the user's object id and the program's secret.
    fn people(&self) -> (String, String) {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let user = json!({
            "displayName": mark("user"), "userPrincipalName": format!("{}@localhost", mark("upn")),
            "mailNickname": mark("upn"), "accountEnabled": true,
            "passwordProfile": {"password": PASSWORD},
        });
        let user = text(&self.graph("POST /v1.0/users", &user)["id"]);
        let team = self.graph("POST /v1.0/groups", &json!({"displayName": mark("team")}));
        let member = json!({"@odata.id": format!("https://graph/v1.0/directoryObjects/{user}")});
        let line = format!("POST /v1.0/groups/{}/members/$ref", text(&team["id"]));
        self.graph(&line, &member);
        let program = json!({
            "displayName": mark("program"),
            "identifierUris": [format!("api://{}", mark("uri"))],
            "web": {"redirectUris": [format!("https://{}.example/", mark("callback"))]},
        });
        let program = self.graph("POST /v1.0/applications", &program);
        let (id, client) = (text(&program["id"]), text(&program["appId"]));
        self.graph("POST /v1.0/servicePrincipals", &json!({"appId": client}));
        let named = json!({"passwordCredential": {"displayName": mark("secret")}});
        let made = self.graph(&format!("POST /v1.0/applications/{id}/addPassword"), &named);
        let federated = json!({
            "name": mark("federated"), "issuer": format!("https://{}.example", mark("issuer")),
            "subject": mark("subject"), "audiences": [mark("audience")],
            "description": mark("told"),
        });
        let line = format!("POST /v1.0/applications/{id}/federatedIdentityCredentials");
        self.graph(&line, &federated);
        (user, text(&made["secretText"]))
    }

    /// Makes a resource group, a custom role, and an assignment of it at the group.
    fn roles(&self, user: &str) {
        let subscription = format!("/subscriptions/{}", self.owner.word("subscriptionId"));
        let group = format!("{subscription}/resourceGroups/{}", mark("group"));
        let tags = json!({"location": "eastus", "tags": {mark("tag"): mark("value")}});
        self.manage(&format!("PUT {group}?api-version=2024-11-01"), &tags);
        let authorization = "providers/Microsoft.Authorization";
        let id = "0b5c9ac1-3c2f-4a2d-9e7c-8f1f2a3b4c5d";
        let role = json!({"properties": {
            "roleName": mark("role"), "description": mark("text"), "assignableScopes": [group],
            "permissions": [{"actions": ["Microsoft.Resources/subscriptions/resourceGroups/read"]}],
        }});
        let version = "api-version=2022-04-01";
        let line = format!("PUT {group}/{authorization}/roleDefinitions/{id}?{version}");
        self.manage(&line, &role);
        let role = format!("{subscription}/{authorization}/roleDefinitions/{id}");
        let assignment = json!({"properties": {
            "roleDefinitionId": role, "principalId": user, "description": mark("reason"),
        }});
        let line = format!("PUT {group}/{authorization}/roleAssignments/{id}?{version}");
        self.manage(&line, &assignment);
    }
}

/// Signs the marked user in by every way that leaves something behind; returns what must be hidden.
fn sign_in(owner: &Owner) -> Vec<String> {
    let upn = format!("{}@localhost", mark("upn"));
    let session = owner.desk.person(&upn, PASSWORD);
    let (access, refresh) = (word(&session, "access_token"), word(&session, "refresh_token"));
    let next = word(&owner.desk.refresh(&refresh), "refresh_token");
    let stranger = format!("{}@localhost", mark("stranger"));
    assert_eq!(owner.desk.person(&stranger, PASSWORD).status, 400);
    let basic = |name: &str| Login { name: name.to_owned(), secret: PASSWORD.to_owned() }.basic();
    assert_eq!(owner.ask("GET /v2/", Some(&basic(&stranger))).status, 401);
    assert_eq!(owner.ask("GET /v2/", Some(&basic(&upn))).status, 200);
    vec![PASSWORD.to_owned(), access, refresh, next]
}

fn marks(hidden: &[String]) -> Vec<Mark> {
    let names = PLACES.iter().map(|place| mark(place));
    names.chain(hidden.iter().cloned()).map(|text| Mark::text(&text)).collect()
}

#[track_caller]
fn is_sealed(world: &World, marks: &[Mark]) {
    let mut found = search::found_in(&world.data(), marks);
    let log = fs::read(world.folder().join("server.log")).expect("the log is readable");
    found.extend(search::found_in_bytes("the log", &log, marks));
    assert!(found.is_empty(), "readable:\n{}", found.join("\n"));
}

fn serve(world: &World) -> Server {
    let mut command = world.command("serve");
    command.args(["--log-level", "debug"]);
    world.start(command)
}

fn nothing_of_the_directory_is_readable_while_the_server_runs_or_after_a_kill() {
    let world = World::new();
    let server = serve(&world);
    let owner = Owner::new(&world, &server);
    let clerk = Clerk::new(&owner);
    let (user, secret) = clerk.people();
    clerk.roles(&user);
    let mut hidden = sign_in(&owner);
    hidden.push(secret);
    let marks = marks(&hidden);
    is_sealed(&world, &marks);
    server.kill();
    is_sealed(&world, &marks);
    let server = serve(&world);
    let owner = Owner::new(&world, &server);
    let clerk = Clerk::new(&owner);
    let shown = owner.desk.with(&clerk.graph, "graph", &format!("GET /v1.0/users/{user}"), None);
    assert_eq!(shown.json()["displayName"], mark("user"));
    // A session that went on after the kill leaves nothing either.
    hidden.push(word(&owner.desk.refresh(&hidden[3]), "refresh_token"));
    is_sealed(&world, &self::marks(&hidden));
    let metrics = crate::http::request(&server.ops(), "GET /metrics", &[], b"").expect(200);
    let found = search::found_in_bytes("the metrics", &metrics.body, &marks);
    assert!(found.is_empty(), "readable:\n{}", found.join("\n"));
    server.stop();
    is_sealed(&world, &self::marks(&hidden));
}

fn what_a_sign_in_says_is_in_no_log() {
    let world = World::new();
    let server = serve(&world);
    let owner = Owner::new(&world, &server);
    let hint = mark("hint");
    for line in [
        format!("GET /organizations/oauth2/v2.0/authorize?client_id={hint}&login_hint={hint}"),
        format!("GET /common/userrealm/{hint}?api-version=1.0"),
        format!("GET /{hint}/oauth2/v2.0/token"),
        format!("GET /device?user_code={hint}"),
        format!("GET /organizations/oauth2/v2.0/logout?id_token_hint={hint}&state={hint}"),
    ] {
        let reply = owner.desk.ask("login", &line, &[("user-agent", &hint)], b"");
        assert!(reply.status < 500, "{line}: {}", reply.status);
    }
    for (name, value) in
        [("client_id", "grant_type"), ("username", "password"), ("scope", "client_secret")]
    {
        let form = [(name, hint.as_str()), (value, hint.as_str()), ("grant_type", "password")];
        assert_eq!(owner.desk.token(&form[..]).status / 100, 4);
    }
    let ask = |line: &str| owner.ask(line, Some(&format!("Bearer {hint}"))).status;
    assert_eq!(ask(&format!("GET /oauth2/token?service={hint}&scope=repository:{hint}:pull")), 401);
    assert_eq!(ask(&format!("GET /oauth2/{hint}?account={hint}")), 401);
    is_sealed(&world, &[Mark::text(&hint)]);
}
