//! The real Azure CLI, unmodified, through the CONNECT listener.
//!
//! Each story has a configuration folder of its own, so that no login of the person who runs the
//! tests is touched, and no cached token hides a wrong secret (az-wire 3.3).

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::outside::{self, Need::Az, Story, bad, bounded, good, stories};
use crate::world::{Server, World};

/// One person's `az`: a cloud that is registered, a folder for logins.
#[derive(Debug)]
pub(crate) struct Cli {
    folder: PathBuf,
    proxy: String,
    authority: PathBuf,
}

/// What the first start wrote down.
#[derive(Debug)]
pub(crate) struct Bootstrap(Value);

impl Bootstrap {
    /// Reads `bootstrap.json` of a world.
    pub(crate) fn of(world: &World) -> Self {
        Self(crate::image::read_json(&world.data().join("bootstrap.json")))
    }

    /// Returns a word of it.
    pub(crate) fn word(&self, name: &str) -> &str {
        self.0[name].as_str().expect("the file has it")
    }

    /// Returns `/subscriptions/<id>`.
    pub(crate) fn subscription(&self) -> String {
        format!("/subscriptions/{}", self.word("subscriptionId"))
    }
}

impl Cli {
    /// Sets `az` up as the documentation says: registers the cloud and selects it.
    pub(crate) fn new(world: &World, server: &Server, name: &str) -> Self {
        let bootstrap = Bootstrap::of(world);
        let folder = world.subfolder(name);
        let authority = PathBuf::from(bootstrap.word("caFile"));
        let cli = Self { folder, proxy: server.proxy(), authority };
        let management = bootstrap.word("managementEndpoint").to_owned();
        let register = ["cloud", "register", "-n", "Lockyard", "--endpoint-resource-manager"];
        good(cli.az(&register).arg(management));
        good(&mut cli.az(&["cloud", "set", "-n", "Lockyard"]));
        cli
    }

    /// Goes through another server from now on; logins stay.
    pub(crate) fn through(self, server: &Server) -> Self {
        Self { proxy: server.proxy(), ..self }
    }

    /// Returns an `az` command.
    pub(crate) fn az(&self, words: &[&str]) -> Command {
        let az = outside::az().expect("stories with az need it");
        let mut command = bounded(az);
        command.args(words);
        command
            .env("AZURE_CONFIG_DIR", &self.folder)
            .env("AZURE_CORE_COLLECT_TELEMETRY", "false")
            .env("AZURE_CORE_INSTANCE_DISCOVERY", "false")
            .env("AZURE_CORE_ONLY_SHOW_ERRORS", "true")
            .env("REQUESTS_CA_BUNDLE", &self.authority)
            .env("HTTPS_PROXY", &self.proxy);
        command
    }

    /// Runs an `az` command that must succeed and returns what it printed.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) -> String {
        good(&mut self.az(words))
    }

    /// Runs an `az` command that must succeed and returns the JSON that it printed.
    #[track_caller]
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let printed = self.run(words);
        serde_json::from_str(&printed)
            .unwrap_or_else(|error| panic!("{words:?}: {error}\n{printed}"))
    }

    /// Runs an `az` command that must fail and returns all that it said.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        bad(&mut self.az(words))
    }

    /// Signs in as a service principal with a secret.
    #[track_caller]
    pub(crate) fn login(&self, bootstrap: &Bootstrap, client: &str, secret: &str) -> Value {
        let tenant = bootstrap.word("tenantId");
        let who = ["login", "--service-principal", "-u", client, "-p", secret, "--tenant", tenant];
        self.json(&[&who[..], &["--allow-no-subscriptions"]].concat())
    }

    /// Signs in as the owner.
    #[track_caller]
    pub(crate) fn login_owner(&self, bootstrap: &Bootstrap) -> Value {
        self.login(bootstrap, bootstrap.word("clientId"), bootstrap.word("clientSecret"))
    }
}

/// The stories of this room.
pub(crate) fn stories() -> Vec<Story> {
    stories![
        #[needs(Az)]
        az_signs_in_with_a_secret_and_keeps_its_token_over_a_restart,
        #[needs(Az)]
        az_makes_shows_and_deletes_resource_groups,
        #[needs(Az)]
        az_makes_a_service_principal_with_a_role_that_can_do_that_and_no_more,
        #[needs(Az)]
        az_makes_shows_and_deletes_managed_identities,
        #[needs(Az)]
        az_makes_users_groups_and_custom_roles,
    ]
}

fn az_signs_in_with_a_secret_and_keeps_its_token_over_a_restart() {
    let world = World::new();
    let server = serve(&world);
    let (cli, bootstrap) = (Cli::new(&world, &server, "az"), Bootstrap::of(&world));
    let tenant = bootstrap.word("tenantId");
    let wrong = ["login", "--service-principal", "-u", bootstrap.word("clientId")];
    let told = cli.refused(&[&wrong[..], &["-p", "wrong", "--tenant", tenant]].concat());
    assert!(told.contains("AADSTS7000215"), "{told}");

    let accounts = cli.login_owner(&bootstrap);
    assert_eq!(accounts[0]["id"], bootstrap.word("subscriptionId"));
    assert_eq!(accounts[0]["tenantId"], tenant);
    assert_eq!(cli.json(&["account", "show"])["name"], "Lockyard");
    assert_eq!(cli.json(&["account", "list"]).as_array().map(Vec::len), Some(1));
    let token = cli.json(&["account", "get-access-token"]);
    assert_eq!(token["tenant"], tenant);
    assert_eq!(token["accessToken"].as_str().map(|token| token.split('.').count()), Some(3));
    let locations = cli.run(&["account", "list-locations", "--query", "[].name", "-o", "tsv"]);
    assert!(locations.lines().any(|name| name == "eastus"), "{locations}");

    // What was signed before a crash is believed after it: az keeps tokens for an hour.
    server.kill();
    let server = serve(&world);
    let cli = cli.through(&server);
    assert_eq!(cli.json(&["group", "show", "-n", "lockyard"])["name"], "lockyard");
}

fn az_makes_shows_and_deletes_resource_groups() {
    let world = World::new();
    let server = serve(&world);
    let (cli, bootstrap) = (Cli::new(&world, &server, "az"), Bootstrap::of(&world));
    cli.login_owner(&bootstrap);
    let made = cli.json(&["group", "create", "-n", "rg1", "-l", "eastus", "--tags", "a=b"]);
    assert_eq!(made["id"], format!("{}/resourceGroups/rg1", bootstrap.subscription()));
    assert_eq!(made["tags"]["a"], "b");
    assert_eq!(cli.json(&["group", "show", "-n", "RG1"])["location"], "eastus");
    assert_eq!(cli.run(&["group", "exists", "-n", "rg1"]), "true");
    cli.run(&["group", "update", "-n", "rg1", "--set", "tags.c=d"]);
    let names = cli.run(&["group", "list", "--query", "[].name", "-o", "tsv"]);
    assert_eq!(names.lines().collect::<Vec<_>>(), ["lockyard", "rg1"]);
    let moved = cli.refused(&["group", "create", "-n", "rg1", "-l", "westeurope"]);
    assert!(moved.contains("InvalidResourceGroupLocation"), "{moved}");
    cli.run(&["group", "delete", "-n", "rg1", "-y"]);
    assert_eq!(cli.run(&["group", "exists", "-n", "rg1"]), "false");
    let gone = cli.refused(&["group", "show", "-n", "rg1"]);
    assert!(gone.contains("(ResourceGroupNotFound)"), "{gone}");
    let kept = cli.refused(&["group", "delete", "-n", "lockyard", "-y"]);
    assert!(kept.contains("(ResourceGroupDeletionBlocked)"), "{kept}");
}

fn az_makes_a_service_principal_with_a_role_that_can_do_that_and_no_more() {
    let world = World::new();
    let server = serve(&world);
    let (owner, bootstrap) = (Cli::new(&world, &server, "owner"), Bootstrap::of(&world));
    owner.login_owner(&bootstrap);
    let query = ["role", "definition", "list", "--name", "AcrPull", "--query", "[0].name"];
    assert_eq!(owner.json(&query), "7f951dda-4ed3-4680-a7ca-43fe172d538d");

    let scope = format!("{}/resourceGroups/lockyard", bootstrap.subscription());
    let create = ["ad", "sp", "create-for-rbac", "-n", "robot", "--role", "Reader", "--scopes"];
    let robot = owner.json(&[&create[..], &[&scope]].concat());
    let word = |name: &str| robot[name].as_str().expect("az prints it").to_owned();
    let (client, secret) = (word("appId"), word("password"));
    assert_eq!(robot["tenant"], bootstrap.word("tenantId"));
    let shown = owner.json(&["ad", "sp", "show", "--id", &client]);
    assert_eq!((&shown["appId"], &shown["displayName"]), (&robot["appId"], &robot["displayName"]));

    let cli = Cli::new(&world, &server, "robot");
    cli.login(&bootstrap, &client, &secret);
    assert_eq!(cli.json(&["group", "show", "-n", "lockyard"])["name"], "lockyard");
    let denied = cli.refused(&["group", "create", "-n", "mine", "-l", "eastus"]);
    assert!(denied.contains("(AuthorizationFailed)"), "{denied}");
    let denied = cli.refused(&["ad", "sp", "create-for-rbac", "-n", "another"]);
    assert!(denied.contains("Microsoft.Authorization/directory/read"), "{denied}");

    // The same again is no error: az finds the application and the assignment.
    let again = owner.json(&[&create[..], &[&scope]].concat());
    assert_eq!(again["appId"], robot["appId"]);
    let list = ["role", "assignment", "list", "--assignee", &client, "--all", "--query"];
    let roles = owner.json(&[&list[..], &["[].roleDefinitionName"]].concat());
    assert_eq!(roles, serde_json::json!(["Reader"]));
    let give = ["role", "assignment", "create", "--assignee", &client, "--role", "AcrPush"];
    let given = owner.json(&[&give[..], &["--scope", &scope]].concat());
    assert_eq!(given["principalType"], "ServicePrincipal");
    let take = ["role", "assignment", "delete", "--assignee", &client, "--scope", &scope];
    owner.run(&take);
    assert_eq!(
        owner.json(&[&list[..], &["[].roleDefinitionName"]].concat()),
        serde_json::json!([])
    );
    // The token that the program has already is worth nothing any more.
    let denied = cli.refused(&["group", "show", "-n", "lockyard"]);
    assert!(denied.contains("InvalidAuthenticationToken"), "{denied}");

    let certified = ["ad", "sp", "create-for-rbac", "-n", "certified", "--create-cert"];
    let certified = owner.az(&certified).env("HOME", owner.folder.as_os_str()).output();
    assert!(certified.is_ok_and(|output| output.status.success()));
    owner.run(&["ad", "sp", "delete", "--id", &client]);
    owner.run(&["ad", "app", "delete", "--id", &client]);
    let gone = owner.refused(&["ad", "sp", "show", "--id", &client]);
    assert!(gone.contains("there is no service principal"), "{gone}");
}

fn az_makes_users_groups_and_custom_roles() {
    let world = World::new();
    let server = serve(&world);
    let (cli, bootstrap) = (Cli::new(&world, &server, "az"), Bootstrap::of(&world));
    cli.login_owner(&bootstrap);
    let user = ["ad", "user", "create", "--display-name", "Ada", "--user-principal-name"];
    let ada =
        cli.json(&[&user[..], &["ada@localhost", "--password", "correct horse battery"]].concat());
    let ada = ada["id"].as_str().expect("az prints it").to_owned();
    cli.run(&["ad", "group", "create", "--display-name", "team", "--mail-nickname", "team"]);
    cli.run(&["ad", "group", "member", "add", "--group", "team", "--member-id", &ada]);
    let names = ["ad", "group", "member", "list", "--group", "team", "--query", "[].displayName"];
    assert_eq!(cli.json(&names), serde_json::json!(["Ada"]));

    let subscription = bootstrap.subscription();
    let role = serde_json::json!({
        "Name": "Group maker",
        "Description": "Makes groups.",
        "Actions": ["Microsoft.Resources/subscriptions/resourceGroups/*"],
        "AssignableScopes": [subscription],
    });
    let made = cli.json(&["role", "definition", "create", "--role-definition", &role.to_string()]);
    assert_eq!(made["roleType"], "CustomRole");
    let give = ["role", "assignment", "create", "--assignee", "ada@localhost", "--role"];
    cli.run(&[&give[..], &["Group maker", "--scope", &subscription]].concat());
    let used = cli.refused(&["role", "definition", "delete", "--name", "Group maker"]);
    assert!(used.contains("(RoleDefinitionHasAssignments)"), "{used}");
    cli.run(&["ad", "user", "delete", "--id", "ada@localhost"]);
    cli.run(&["role", "definition", "delete", "--name", "Group maker"]);
    cli.run(&["ad", "group", "delete", "--group", "team"]);
    assert_eq!(cli.json(&["ad", "group", "list"]), serde_json::json!([]));
}

/// Starts a server whose names carry no port, so that they are the same after a restart; the
/// CONNECT listener leads to it.
pub(crate) fn serve(world: &World) -> Server {
    let mut command = world.command("serve");
    command.args(["--public-port", "443"]);
    world.start(command)
}

fn az_makes_shows_and_deletes_managed_identities() {
    let world = World::new();
    let server = world.quickstart();
    let (bootstrap, az) = (Bootstrap::of(&world), Cli::new(&world, &server, "owner"));
    az.login_owner(&bootstrap);
    az.run(&["group", "create", "-n", "rg1", "-l", "eastus"]);
    let made = az.json(&["identity", "create", "-g", "rg1", "-n", "id1", "--tags", "a=1"]);
    let word = |name: &str| made[name].as_str().expect("a text").to_owned();
    let id = format!(
        "{}/resourceGroups/rg1/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id1",
        bootstrap.subscription()
    );
    assert_eq!((word("id"), word("name"), word("location")), (id, "id1".into(), "eastus".into()));
    assert_eq!(word("tenantId"), bootstrap.word("tenantId"));
    assert_eq!(made["tags"]["a"], "1");
    let shown = az.json(&["identity", "show", "-g", "rg1", "-n", "id1"]);
    assert_eq!(shown["principalId"], made["principalId"]);
    assert_eq!(az.json(&["identity", "list", "-g", "rg1"])[0]["clientId"], made["clientId"]);

    // The registry's own, and its role at its vault, are there like all others.
    let all = az.json(&["identity", "list"]);
    let names: Vec<&Value> =
        all.as_array().expect("a list").iter().map(|one| &one["name"]).collect();
    assert!(names.contains(&&Value::from("lockyard")), "{names:?}");
    let own = az.run(&[
        "identity",
        "show",
        "-g",
        "lockyard",
        "-n",
        "lockyard",
        "--query",
        "principalId",
        "-o",
        "tsv",
    ]);
    let role = az.json(&["role", "assignment", "list", "--all", "--assignee", &own]);
    assert_eq!(role[0]["roleDefinitionName"], "Key Vault Crypto Service Encryption User");
    let scope = role[0]["scope"].as_str().expect("a text");
    assert!(scope.ends_with("Microsoft.KeyVault/vaults/lockyard"), "{scope}");

    az.run(&["identity", "delete", "-g", "rg1", "-n", "id1"]);
    let told = az.refused(&["identity", "show", "-g", "rg1", "-n", "id1"]);
    assert!(told.contains("ResourceNotFound"), "{told}");
    // Without its identity the registry locks, and says how that is mended.
    az.run(&["identity", "delete", "-g", "lockyard", "-n", "lockyard"]);
    let refused = server.get("/v2/_catalog").expect(403);
    assert!(refused.oci_error().1.contains("assign-identity"), "{}", refused.text());
}
