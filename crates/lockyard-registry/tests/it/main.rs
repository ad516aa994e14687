//! The registry's suite: the same stories over SQLite and over PostgreSQL.
//!
//! SQLite's half needs nothing. PostgreSQL's half runs if `LOCKYARD_TEST_POSTGRES` holds the URL of
//! a database in which it may make schemas; without it every one of its stories is reported as
//! skipped. Stories that tamper with files or with SQLite's pages are told once.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this crate is a test")]

mod collect;
mod compaction;
mod healing;
mod identities;
mod in_row;
mod listings;
mod locking;
mod manifests;
mod model;
mod mounts;
mod pulling;
mod readable;
mod referrers;
mod roles;
mod rotation;
mod scrub;
mod sessions;
mod support;
mod sweeping;
mod tampering;
mod vault;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};

use crate::support::Base;

/// A story that both engines must tell alike.
type Story = (&'static str, fn(Base));

/// A story about one engine; `Some` says why it cannot be told here.
type Alone = (&'static str, fn() -> Option<String>, fn());

/// Lists asynchronous stories under their own names.
macro_rules! stories {
    ($room:literal: $($story:ident),* $(,)?) => {
        &[$((concat!($room, "::", stringify!($story)), |base| $crate::support::run($story(base)))),*]
    };
}
use stories;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    let shared = [
        pulling::STORIES,
        sessions::STORIES,
        mounts::STORIES,
        roles::STORIES,
        manifests::STORIES,
        referrers::STORIES,
        listings::STORIES,
        locking::STORIES,
        sweeping::STORIES,
        healing::STORIES,
        identities::STORIES,
        in_row::STORIES,
        rotation::STORIES,
        model::STORIES,
        collect::STORIES,
        compaction::STORIES,
        scrub::STORIES,
    ];
    for &(name, story) in shared.into_iter().flatten() {
        trials.push(trial(format!("sqlite::{name}"), None, move || story(Base::Sqlite)));
        let postgres = support::postgres();
        let missing = postgres.is_none().then(support::no_postgres);
        trials.push(trial(format!("postgres::{name}"), missing, move || story(postgres.unwrap())));
    }
    for &(name, missing, story) in [tampering::STORIES, readable::STORIES].into_iter().flatten() {
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
