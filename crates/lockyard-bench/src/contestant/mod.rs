//! Who is measured: this registry, its peers, or whatever answers at a URL.
//!
//! Each contestant has its own processes, ports and data directory; all data lie under one folder,
//! so on one disk. What is measured is what an operator would run: the default registry of
//! `quickstart` is sealed under a customer key.

mod docker_registry;
mod lockyard;
mod nginx;
mod stage;

pub(crate) use lockyard::{LOGIN_NAME, MANAGEMENT_NAME, VAULT_NAME};
pub(crate) use stage::{Stage, warm_memory};

use std::path::PathBuf;

use crate::{
    failure::{Failure, Outcome},
    http::Endpoint,
    process::Server,
};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// This registry, with a customer key.
    Lockyard,
    /// Debian's `docker-registry`.
    DockerRegistry,
    /// nginx with plain files.
    Nginx,
    /// Something that runs already.
    Url,
}

impl Kind {
    /// What tables call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lockyard => "lockyard",
            Self::DockerRegistry => "docker-registry",
            Self::Nginx => "nginx",
            Self::Url => "url",
        }
    }

    /// Whether things can be pushed to it.
    pub(crate) fn is_registry(self) -> bool {
        !matches!(self, Self::Nginx)
    }
}

/// One server under measurement.
#[derive(Debug)]
pub(crate) struct Contestant {
    pub(crate) kind: Kind,
    /// Where it serves plain HTTP, or the URL that was given.
    pub(crate) plain: Endpoint,
    /// Where it serves HTTPS.
    pub(crate) tls: Option<Endpoint>,
    /// Its data, if they are ours to look into.
    pub(crate) data: PathBuf,
    server: Option<Server>,
}

impl Contestant {
    /// Its process; fails for a server that was not started here.
    pub(crate) fn server(&self) -> Outcome<&Server> {
        let no_process = || Failure::new("this needs a server that the bench has started");
        self.server.as_ref().ok_or_else(no_process)
    }

    /// Its process, if it was started here.
    pub(crate) fn own_server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// Ends it and removes its data.
    pub(crate) fn dismiss(self) -> Outcome {
        let Some(server) = self.server else { return Ok(()) };
        server.stop()?;
        // What cannot be removed now is removed by the next run.
        drop(std::fs::remove_dir_all(&self.data));
        Ok(())
    }
}
