//! A quickstart server as its owner reaches it: the registry over plain HTTP, its key vault and
//! Resource Manager over HTTPS with the owner's tokens.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::{Value, json};

use crate::desk::{Desk, word};
use crate::http::Reply;
use crate::outside::{bounded, good};
use crate::world::{LOCKYARD, Server, World};

/// The vault and the key that `quickstart` makes.
pub(crate) const VAULT: &str = "lockyard";
pub(crate) const KEY: &str = "registry";
/// The role that a registry has at its vault.
pub(crate) const ROLE: &str = "e147488a-f6f5-4113-8e2d-b22465e65bf6";

/// A server that runs on a world's data, and the owner's tokens for it.
#[derive(Debug)]
pub(crate) struct House<'w> {
    pub(crate) world: &'w World,
    pub(crate) server: Server,
    pub(crate) desk: Desk,
    management: String,
    vault: String,
    subscription: String,
}

impl<'w> House<'w> {
    /// Starts `quickstart` in a world and signs the owner in.
    pub(crate) fn quickstart(world: &'w World) -> Self {
        Self::of(world, world.quickstart())
    }

    fn of(world: &'w World, server: Server) -> Self {
        let (desk, owner) = (Desk::new(world, &server), world.owner());
        let token = |house: &str| {
            word(&desk.program(&owner.user, &owner.password, house).expect(200), "access_token")
        };
        let (management, vault) = (token("management"), token("vault"));
        let bootstrap = crate::image::read_json(&world.data().join("bootstrap.json"));
        let subscription = bootstrap["subscriptionId"].as_str().expect("a text").to_owned();
        Self { world, server, desk, management, vault, subscription }
    }

    /// Kills the server and starts another one on what it left.
    pub(crate) fn killed(self) -> Self {
        let Self { world, server, .. } = self;
        server.kill();
        Self::of(world, world.serve())
    }

    /// Asks the key vault's data plane.
    #[track_caller]
    pub(crate) fn keys(&self, line: &str, body: Option<&Value>) -> Reply {
        let line = format!("{line}?api-version=7.4");
        self.desk.with(&self.vault, &format!("{VAULT}.vault"), &line, body)
    }

    /// Asks Resource Manager about something in the subscription; the path begins behind it.
    #[track_caller]
    pub(crate) fn manage(
        &self,
        verb: &str,
        path: &str,
        version: &str,
        body: Option<&Value>,
    ) -> Reply {
        let joint = if path.contains('?') { '&' } else { '?' };
        let line = format!(
            "{verb} /subscriptions/{}{path}{joint}api-version={version}",
            self.subscription
        );
        self.desk.with(&self.management, "management", &line, body)
    }

    /// Asks the running server what an operator's command asks it, without a process in between.
    pub(crate) fn ask(&self, request: &Value) -> Vec<String> {
        let socket = self.world.data().join("admin.sock");
        let mut stream = UnixStream::connect(socket).expect("the server listens");
        let question = json!({"version": 1, "request": request});
        stream.write_all(format!("{question}\n").as_bytes()).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the server answers");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let lines = answer["lines"].as_array().unwrap_or_else(|| panic!("{request}: {answer}"));
        lines.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Runs a command of the operator.
    pub(crate) fn operator(&self, words: &[&str]) -> String {
        good(&mut self.command(words))
    }

    /// Returns a command of the operator.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = bounded(LOCKYARD);
        command.args(words).arg("--data-dir").arg(self.world.data());
        command
    }

    /// Returns a word of what the operator is shown of the registry.
    pub(crate) fn shown(&self, label: &str) -> String {
        let told = self.operator(&["registry", "show", "lockyard"]);
        let line = told.lines().find_map(|line| line.strip_prefix(&format!("{label}:")));
        line.unwrap_or_else(|| panic!("no `{label}` in:\n{told}")).trim().to_owned()
    }

    /// Returns the object id of the identity as which the registry asks for its key.
    pub(crate) fn identity(&self) -> String {
        let shown = self.shown("identity");
        let id = shown.split("object id ").nth(1).expect("it is shown");
        id.split(',').next().expect("a word").to_owned()
    }

    /// Returns the client id of the identity as which the registry asks for its key.
    pub(crate) fn client(&self) -> String {
        let id = self.identity();
        let all = self.operator(&["identity", "list"]);
        let line = all.lines().find(|line| line.contains(&id)).expect("it is listed");
        let client = line.strip_prefix("client id ").and_then(|rest| rest.split(',').next());
        client.expect("it has a client id").to_owned()
    }

    /// Returns the vault as it is put to be recovered.
    #[track_caller]
    pub(crate) fn vault(&self) -> Value {
        let mut vault = self.manage("GET", &vault_path(), "2026-02-01", None).expect(200).json();
        vault["properties"]["createMode"] = json!("recover");
        vault
    }

    /// Returns the path and the body of the registry's role at its vault.
    #[track_caller]
    pub(crate) fn role(&self) -> (String, Value) {
        let identity = self.identity();
        let (at, list) = (vault_path(), "providers/Microsoft.Authorization/roleAssignments");
        let found = self
            .manage(
                "GET",
                &format!("{at}/{list}?$filter=principalId%20eq%20'{identity}'"),
                "2022-04-01",
                None,
            )
            .expect(200)
            .json();
        let [one] = found["value"].as_array().expect("a list").as_slice() else {
            panic!("one role at the vault: {found}")
        };
        let name = one["name"].as_str().expect("a name");
        let definition = one["properties"]["roleDefinitionId"].as_str().expect("an id");
        assert!(definition.ends_with(ROLE), "{one}");
        let body = json!({"properties": {
            "roleDefinitionId": definition,
            "principalId": identity,
            "principalType": "ServicePrincipal",
        }});
        (format!("{at}/{list}/{name}"), body)
    }

    /// Returns a gauge of the default registry.
    pub(crate) fn gauge(&self, name: &str) -> Option<u64> {
        gauge(&self.server.ops(), name)
    }
}

/// Returns the path of an identity in the instance's own group, behind its subscription.
pub(crate) fn identity_path(name: &str) -> String {
    let kind = "providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    format!("/resourceGroups/lockyard/{kind}/{name}")
}

/// Returns the path of the vault, behind its subscription.
pub(crate) fn vault_path() -> String {
    format!("/resourceGroups/lockyard/providers/Microsoft.KeyVault/vaults/{VAULT}")
}

/// Returns a gauge of the one registry of a server.
pub(crate) fn gauge(ops: &str, name: &str) -> Option<u64> {
    let text = crate::http::try_request(ops, "GET /metrics", &[], b"").ok()?.text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{")))?;
    line.rsplit(' ').next()?.parse().ok()
}
