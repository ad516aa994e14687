//! The Azure SDKs for Python and Node, unmodified and with their check of the challenge on, at key
//! vaults that were made through Resource Manager.
//!
//! The scripts tell what they have done, a line for each part, so that none can be left out
//! unnoticed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::az::{Bootstrap, serve};
use crate::http;
use crate::lockout::vault_key;
use crate::outside::{self, Need, Story, bounded, good, program, stories};
use crate::world::{LOCKYARD, Server, World, eventually};

pub(crate) fn stories() -> Vec<Story> {
    stories![
        #[needs(Need::Sdk)]
        python_does_every_operation,
        #[needs(Need::Sdk, Need::Node, Need::Program("node"))]
        node_does_every_operation,
        #[needs(Need::Sdk)]
        every_algorithm_agrees_with_another_implementation,
        #[needs(Need::Sdk)]
        plain_requests_are_taken_as_the_service_takes_them,
        #[needs(Need::Sdk)]
        the_trail_has_every_use_that_was_counted_outside,
        #[needs(Need::Sdk)]
        the_sdks_own_tests_pass_where_our_page_says_so,
    ]
}

/// An instance, and a way for programs to reach it by its names.
struct House {
    world: World,
    server: Server,
}

impl House {
    fn new() -> Self {
        let world = World::new();
        let server = serve(&world);
        Self { world, server }
    }

    /// Lets a command reach our names, believe our certificate and know who the owner is.
    fn inside<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let bootstrap = Bootstrap::of(&self.world);
        let authority = bootstrap.word("caFile");
        command.arg(self.world.data().join("bootstrap.json"));
        command.env("HTTPS_PROXY", self.server.proxy());
        for name in ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"] {
            command.env(name, authority);
        }
        command.env("PYTHONDONTWRITEBYTECODE", "1")
    }

    /// Runs a script that must tell of exactly these parts, in this order.
    #[track_caller]
    fn check(&self, command: &mut Command, parts: &[&str]) {
        let printed = good(self.inside(command));
        assert_eq!(printed.lines().collect::<Vec<_>>(), parts);
    }
}

/// Returns a script of `tests/interop/keyvault` with the Python that has the Azure SDK.
fn python(script: &str) -> Command {
    let mut command = bounded(outside::sdk_python().expect("stories with the SDK have its Python"));
    command.arg(outside::scripts().join("keyvault").join(script));
    command
}

const OPERATIONS: [&str; 12] = [
    "create",
    "import",
    "get and list",
    "update",
    "rotate",
    "delete, recover and purge",
    "backup and restore",
    "random bytes",
    "use",
    "use without get",
    "wrong inputs",
    "async",
];

fn python_does_every_operation() {
    House::new().check(&mut python("operations.py"), &OPERATIONS);
}

fn node_does_every_operation() {
    let house = House::new();
    house.check(&mut python("vaults_for_node.py"), &["vaults"]);
    let mut node = program("node");
    node.arg(outside::scripts().join("node/keyvault.js"));
    node.env("NODE_PATH", outside::node_modules().expect("stories with Node have it"));
    house.check(&mut node, &OPERATIONS[..11]);
}

fn every_algorithm_agrees_with_another_implementation() {
    let mut parts = Vec::new();
    for bits in [2048, 3072, 4096] {
        for origin in ["made", "taken"] {
            for algorithm in [
                "RSA-OAEP",
                "RSA-OAEP-256",
                "RSA1_5",
                "RS256",
                "RS384",
                "RS512",
                "PS256",
                "PS384",
                "PS512",
            ] {
                parts.push(format!("{origin}-{bits} {algorithm}"));
            }
        }
    }
    for (curve, algorithm) in
        [("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512"), ("P-256K", "ES256K")]
    {
        for origin in ["made", "taken"] {
            parts.push(format!("{origin}-{curve} {algorithm}"));
        }
    }
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    House::new().check(&mut python("algorithms.py"), &parts);
}

fn plain_requests_are_taken_as_the_service_takes_them() {
    let parts = ["versions", "methods", "names", "kinds", "validity", "deletion", "errors"];
    House::new().check(&mut python("requests_as_such.py"), &parts);
}

/// What was done, by whose word, with which status: how often.
type Uses = BTreeMap<(String, String), u64>;

/// How often trail and counts are looked at until they agree.
const LOOKS_MAX: usize = 100;

/// How often the registry's key is disabled and enabled.
const TURNS: usize = 3;

fn the_trail_has_every_use_that_was_counted_outside() {
    let world = World::new();
    let lines = world.folder().join("audit.jsonl");
    let mut command = world.command("quickstart");
    command.args(["--public-port", "443", "--audit-json"]).arg(&lines);
    let house = House { server: world.start(command), world };
    let counted: Value = serde_json::from_str(&good(house.inside(&mut python("count_uses.py"))))
        .expect("the script prints JSON");
    let mut wanted = Uses::new();
    for (operation, statuses) in counted.as_object().expect("an object") {
        for (status, number) in statuses.as_object().expect("an object") {
            let number = number.as_u64().expect("a number");
            wanted.insert((operation.clone(), status.clone()), number);
        }
    }
    assert!(wanted.values().sum::<u64>() > 200, "{wanted:?}");

    // The registry's own uses, which it counts before the vault hears of them.
    for _ in 0..TURNS {
        for (verb, status) in [("disable", 403), ("enable", 200)] {
            good(&mut vault_key(&house.world, verb));
            let open = || house.server.get("/v2/_catalog").status == status;
            eventually("the registry follows its key", open);
        }
    }
    let (trail, own, calls) = at_rest(&house);
    assert_eq!(uses(&trail, |client| client == "counted" || is_sdk(client)), wanted);
    assert_eq!(calls.get(&("KeyUnwrap", "abandoned")), None, "{calls:?}");
    assert_eq!(own, calls);
    let turns = TURNS as u64;
    assert!(calls[&("KeyUnwrap", "done")] > turns && calls[&("KeyUnwrap", "denied")] >= turns);
    let file = fs::read_to_string(&lines).expect("the operator asked for it");
    assert_eq!(uses(&file, |_| true), uses(&trail, |_| true));
    good(bounded(LOCKYARD).args(["audit", "verify", "--data-dir"]).arg(house.world.data()));
}

/// How often something ended like this.
type Calls = BTreeMap<(&'static str, &'static str), u64>;

/// The trail, the registries' own uses in it, and those by their own count.
///
/// A refusal may be recorded a moment after it was told, and a use that is under way is in the trail
/// before it is counted: both are looked at again until they agree. If they never do, the last look
/// is what there is to see.
fn at_rest(house: &House) -> (String, Calls, Calls) {
    let look = || {
        let mut tail = bounded(LOCKYARD);
        tail.args(["audit", "tail", "-n", "10000", "--data-dir"]).arg(house.world.data());
        let trail = good(&mut tail);
        let own = by_outcome(&uses(&trail, |client| client == "lockyard"));
        (trail, own, calls(house))
    };
    let mut seen = look();
    for _ in 0..LOOKS_MAX {
        if seen.1 == seen.2 {
            break;
        }
        seen = look();
    }
    seen
}

/// What `/metrics` says of the calls of key vaults, in the trail's words.
fn calls(house: &House) -> Calls {
    let text = http::try_request(&house.server.ops(), "GET /metrics", &[], b"").expect("it runs");
    let mut calls = Calls::new();
    for line in text.text().lines() {
        let Some(said) = line.strip_prefix("lockyard_key_calls_total{") else { continue };
        let (labels, number) = said.rsplit_once("} ").expect("a count");
        let operations =
            [("wrapKey", "KeyWrap"), ("unwrapKey", "KeyUnwrap"), ("versions", "KeyListVersions")];
        let outcomes = ["done", "denied", "damaged", "unreachable", "abandoned"];
        let quoted = |word: &str| labels.contains(&format!("=\"{word}\""));
        let operation = operations.into_iter().find(|(label, _)| quoted(label)).expect("known").1;
        let outcome = outcomes.into_iter().find(|outcome| quoted(outcome)).expect("known");
        calls.insert((operation, outcome), number.parse().expect("a number"));
    }
    calls
}

/// Uses by what they were to the registry that asked.
fn by_outcome(uses: &Uses) -> Calls {
    let mut calls = Calls::new();
    for ((operation, status), number) in uses {
        let operations = ["KeyWrap", "KeyUnwrap", "KeyListVersions"];
        let operation = operations.into_iter().find(|known| known == operation);
        let outcome = match status.as_str() {
            "200" => "done",
            "403" | "404" => "denied",
            "400" => "damaged",
            _ => "unreachable",
        };
        *calls.entry((operation.expect("what registries do"), outcome)).or_default() += number;
    }
    calls
}

fn is_sdk(client: &str) -> bool {
    client.starts_with("azsdk-python-keyvault-keys")
}

/// Counts a trail's uses of keys by those whose client is one of these.
fn uses(trail: &str, whose: impl Fn(&str) -> bool) -> Uses {
    let mut uses = Uses::new();
    for line in trail.lines() {
        let event: Value = serde_json::from_str(line).expect("a line is JSON");
        let properties = &event["properties"];
        let operation = event["operationName"].as_str().expect("a text");
        let client = properties["clientInfo"].as_str().unwrap_or_default();
        if whose(client) && (operation.starts_with("Key") || operation == "RandomBytesGet") {
            let status = properties["httpStatusCode"].to_string();
            *uses.entry((operation.to_owned(), status)).or_default() += 1;
        }
    }
    uses
}

fn the_sdks_own_tests_pass_where_our_page_says_so() {
    let house = House::new();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/azure-sdk-tests.md");
    let mut tests = python("sdk_tests.py");
    house.inside(&mut tests).arg(outside::sdk_tests().expect("it is installed")).arg(page);
    let told = good(&mut tests);
    assert!(told.starts_with("{\"passed\": "), "{told}");
}
