//! The official conformance program of the OCI distribution specification.
//!
//! With and without a customer key, and over both listeners: none of these may make a difference.
//! The program is pinned in `tests/interop/go`.

use std::fs;

use crate::outside::{Need, Story, go_program, good, stories};
use crate::world::{Server, World};

pub(crate) fn stories() -> Vec<Story> {
    const CONFORMANCE: Need = Need::Built("conformance");
    stories![
        #[needs(CONFORMANCE)]
        version_1_1_passes_over_plain_http_without_a_customer_key,
        #[needs(CONFORMANCE)]
        the_next_version_passes_over_https_without_a_customer_key,
        #[needs(CONFORMANCE)]
        version_1_1_passes_over_https_with_a_customer_key,
        #[needs(CONFORMANCE)]
        the_next_version_passes_over_plain_http_with_a_customer_key,
    ]
}

fn version_1_1_passes_over_plain_http_without_a_customer_key() {
    let world = World::new();
    check(&world, &world.serve(), "1.1", Listener::Plain);
}

fn the_next_version_passes_over_https_without_a_customer_key() {
    let world = World::new();
    check(&world, &world.serve(), "dev", Listener::Https);
}

fn version_1_1_passes_over_https_with_a_customer_key() {
    let world = World::new();
    check(&world, &world.quickstart(), "1.1", Listener::Https);
}

fn the_next_version_passes_over_plain_http_with_a_customer_key() {
    let world = World::new();
    check(&world, &world.quickstart(), "dev", Listener::Plain);
}

/// Which way the program comes in.
#[derive(Clone, Copy)]
enum Listener {
    Plain,
    Https,
}

/// Fewer checks than this mean that the program did not do its work.
const CHECKS_MIN: u64 = 800;

fn check(world: &World, server: &Server, version: &str, listener: Listener) {
    let results = world.subfolder("conformance");
    let mut program = go_program("conformance");
    program
        .current_dir(&results)
        .env("OCI_VERSION", version)
        .env("OCI_REPO1", "conformance/one")
        .env("OCI_REPO2", "conformance/two")
        .env("OCI_RESULTS_DIR", &results);
    match listener {
        Listener::Plain => {
            program.env("OCI_REGISTRY", server.localhost()).env("OCI_TLS", "disabled");
        }
        Listener::Https => {
            let owner = world.owner();
            program
                .env("OCI_REGISTRY", server.public_name())
                .env("OCI_TLS", "enabled")
                .env("OCI_USERNAME", &owner.user)
                .env("OCI_PASSWORD", &owner.password)
                .env("HTTPS_PROXY", server.proxy())
                .env("SSL_CERT_FILE", owner.authority);
        }
    }
    good(&mut program);
    let report = fs::read_to_string(results.join("junit.xml")).expect("the program reports");
    let number = |name: &str| -> u64 {
        let (_, rest) = report.split_once(&format!(" {name}=\"")).expect("the report counts");
        rest.split('"').next().and_then(|digits| digits.parse().ok()).expect("a number")
    };
    assert_eq!((number("failures"), number("errors")), (0, 0));
    assert!(number("tests") >= CHECKS_MIN, "only {} checks", number("tests"));
}
