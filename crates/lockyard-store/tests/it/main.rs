//! The store's conformance suite: the same stories on SQLite and on PostgreSQL.
//!
//! SQLite's half needs nothing. PostgreSQL's half runs if `LOCKYARD_TEST_POSTGRES` holds the URL of
//! a database in which it may make schemas; without it every one of its stories is reported as
//! skipped. What needs root (a file system of its own) is skipped without it in the same way.

#![expect(clippy::panic, clippy::unwrap_used, reason = "this crate is a test")]

mod collection;
mod commits;
mod content;
mod files;
mod instances;
mod server;
mod together;
mod walk;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::world::{Base, World};

/// A story that both engines must tell alike.
type Story = (&'static str, fn(World));

/// A story about one engine; `Some` says why it cannot be told here.
type Alone = (&'static str, fn() -> Option<String>, fn());

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let shared = [
        instances::STORIES,
        content::STORIES,
        collection::STORIES,
        commits::STORIES,
        together::STORIES,
        walk::STORIES,
    ];
    for &(name, story) in shared.into_iter().flatten() {
        trials.push(trial(format!("sqlite::{name}"), None, move || {
            story(World::new(&Base::Sqlite));
        }));
        let postgres = world::postgres();
        let missing = postgres.is_none().then(world::no_postgres);
        trials.push(trial(format!("postgres::{name}"), missing, move || {
            story(World::new(&postgres.unwrap()));
        }));
    }
    for &(name, missing, story) in [files::STORIES, server::STORIES].into_iter().flatten() {
        trials.push(trial(name.to_owned(), missing(), story));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Makes a trial, or one that is skipped and says why.
fn trial(name: String, missing: Option<String>, story: impl FnOnce() + Send + 'static) -> Trial {
    let told = move || -> Result<(), Failed> {
        story();
        Ok(())
    };
    match missing {
        None => Trial::test(name, told),
        Some(why) => Trial::test(name, told).with_ignored_flag(true).with_kind(why),
    }
}
