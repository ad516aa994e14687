//! The server as its users meet it: the real binary, real clients, real files.
//!
//! Every test here is a story of one [`World`](world::World): its own data directory, its own ports,
//! its own process. Stories that need other people's programs are ignored unless
//! `cargo xtask test`, which installs those, says where they are; each one's kind names the need.
#![expect(
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and live in the machine's own time"
)]

mod apart;
mod audit;
mod az;
mod az_keyvault;
mod azure_keys;
mod clients;
mod conformance;
mod credentials;
mod desk;
mod disk;
mod durable;
mod export;
mod full;
mod hidden;
mod house;
mod http;
mod image;
mod killed;
mod load;
mod lockout;
mod logins;
mod otlp;
mod outside;
mod owner;
mod push;
mod revoked;
mod rotation;
mod sealed;
mod search;
mod shutdown;
mod signin;
mod soak;
mod start;
mod trace;
mod trouble;
mod upkeep;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let rooms = [
        ("apart", apart::stories()),
        ("audit", audit::stories()),
        ("az", az::stories()),
        ("az_keyvault", az_keyvault::stories()),
        ("azure_keys", azure_keys::stories()),
        ("clients", clients::stories()),
        ("conformance", conformance::stories()),
        ("credentials", credentials::stories()),
        ("durable", durable::stories()),
        ("export", export::stories()),
        ("full", full::stories()),
        ("hidden", hidden::stories()),
        ("killed", killed::stories()),
        ("lockout", lockout::stories()),
        ("logins", logins::stories()),
        ("otlp", otlp::stories()),
        ("owner", owner::stories()),
        ("push", push::stories()),
        ("revoked", revoked::stories()),
        ("rotation", rotation::stories()),
        ("sealed", sealed::stories()),
        ("shutdown", shutdown::stories()),
        ("signin", signin::stories()),
        ("soak", soak::stories()),
        ("start", start::stories()),
        ("trouble", trouble::stories()),
        ("upkeep", upkeep::stories()),
    ];
    let trials = rooms
        .into_iter()
        .flat_map(|(room, stories)| stories.into_iter().map(move |story| story.trial(room)))
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
