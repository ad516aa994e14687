//! What is measured, one file for each kind of work.
//!
//! Every scenario starts contestants with empty data directories, checks once that what comes back
//! is what was pushed, and then measures round by round, each round beginning with another
//! contestant, so that whatever else happens on the machine hits all of them alike.

mod askers;
mod manifest;
mod memory;
mod pull;
mod push;
mod skopeo;
mod small_push;
mod tags;
mod tokens;
mod unwrap;

use crate::{
    contestant::{Contestant, Stage},
    failure::{Failure, Outcome},
    figures::Figures,
};

/// One kind of work.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    run: fn(&Stage, &mut Figures) -> Outcome,
}

/// All scenarios, in the order in which they run.
pub(crate) const SCENARIOS: [Scenario; 13] = [
    Scenario { name: "pull-1", about: "one blob of 1 GiB, one stream", run: pull::one },
    Scenario { name: "pull-8", about: "eight blobs of 256 MiB at once", run: pull::eight },
    Scenario { name: "tls-pull", about: "one blob of 1 GiB over TLS", run: pull::tls },
    Scenario { name: "push-1", about: "one blob of 1 GiB, durable", run: push::one },
    Scenario { name: "push-8", about: "eight blobs of 256 MiB at once, durable", run: push::eight },
    Scenario {
        name: "small-push",
        about: "4 KiB blobs on 1 and 8 connections",
        run: small_push::run,
    },
    Scenario {
        name: "manifest-get",
        about: "GET by tag on 2, 8, 64 connections",
        run: manifest::get,
    },
    Scenario {
        name: "manifest-head",
        about: "HEAD by tag on 2, 8, 64 connections",
        run: manifest::head,
    },
    Scenario { name: "tags", about: "pages of tags while pushes go on", run: tags::run },
    Scenario {
        name: "skopeo",
        about: "an image of 243 MiB in 8 layers, both ways",
        run: skopeo::run,
    },
    Scenario {
        name: "tokens",
        about: "client credentials on 2 and 8 connections",
        run: tokens::run,
    },
    Scenario {
        name: "unwrap",
        about: "keys unwrapped by a vault on 2, 8, 32 connections",
        run: unwrap::run,
    },
    Scenario { name: "memory", about: "idle, after work, 1,000 slow pulls", run: memory::run },
];

impl Scenario {
    /// Finds the scenarios of these names; no names are all scenarios.
    pub(crate) fn chosen(names: &[String]) -> Outcome<Vec<&'static Self>> {
        if names.is_empty() {
            return Ok(SCENARIOS.iter().collect());
        }
        let find = |name: &String| {
            let found = SCENARIOS.iter().find(|scenario| scenario.name == name);
            found.ok_or_else(|| Failure::new(format!("there is no scenario `{name}`")))
        };
        names.iter().map(find).collect()
    }

    /// Runs it.
    pub(crate) fn run(&self, stage: &Stage, figures: &mut Figures) -> Outcome {
        (self.run)(stage, figures)
    }
}

/// Goes through the contestants once for each round, beginning with another one each time.
fn rounds(
    stage: &Stage,
    contestants: &[Contestant],
    mut measure: impl FnMut(&Contestant) -> Outcome,
) -> Outcome {
    for round in 0..stage.options().rounds {
        for turn in 0..contestants.len() {
            measure(&contestants[(round + turn) % contestants.len()])?;
        }
    }
    Ok(())
}

/// Ends contestants and removes their data.
fn dismiss(contestants: Vec<Contestant>) -> Outcome {
    contestants.into_iter().try_for_each(Contestant::dismiss)
}
