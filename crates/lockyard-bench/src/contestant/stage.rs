//! Where contestants come from: programs, folders, certificates, free ports.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use super::{Contestant, Kind, docker_registry, lockyard, nginx};
use crate::{
    certificate::Certificate,
    failure::{During as _, Failure, Outcome},
    http::Endpoint,
    machine,
    options::Options,
};

/// A page of memory.
const PAGE_BYTES: usize = 4096;

/// Everything that is needed to start contestants.
#[derive(Debug)]
pub(crate) struct Stage {
    options: Options,
    folder: PathBuf,
    certificate: Certificate,
    /// Starts so far: each gets a folder of its own.
    starts: std::cell::Cell<u32>,
}

impl Stage {
    /// Prepares an empty folder.
    pub(crate) fn new(options: Options) -> Outcome<Self> {
        remove_remains(&options.work);
        let folder = options.work.join(format!("run-{}", std::process::id()));
        let what = || format!("making `{}`", folder.display());
        fs::create_dir_all(&folder).during(what())?;
        let folder = folder.canonicalize().during(what())?;
        let names = [
            "localhost",
            lockyard::PUBLIC_NAME,
            lockyard::LOGIN_NAME,
            lockyard::MANAGEMENT_NAME,
            lockyard::VAULT_NAME,
        ];
        let certificate = Certificate::make(&folder, &names)?;
        Ok(Self { options, folder, certificate, starts: 0.into() })
    }

    /// What the bench was told.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The folder that everything lies in.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate that all servers show.
    pub(crate) fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Of these kinds, those that can be started; if a URL was given, only that.
    pub(crate) fn present(&self, kinds: &[Kind]) -> Vec<Kind> {
        if self.options.url.is_some() {
            return vec![Kind::Url];
        }
        let there = |kind: &Kind| self.program(*kind).is_ok();
        kinds.iter().copied().filter(there).collect()
    }

    /// The program of a kind.
    pub(crate) fn program(&self, kind: Kind) -> Outcome<&Path> {
        let program = match kind {
            Kind::Lockyard => &self.options.lockyard,
            Kind::DockerRegistry => &self.options.docker_registry,
            Kind::Nginx => &self.options.nginx,
            Kind::Url => &None,
        };
        let none = || Failure::new(format!("there is no program for {}", kind.name()));
        program.as_deref().ok_or_else(none)
    }

    /// Starts one contestant with an empty data directory.
    pub(crate) fn start(&self, kind: Kind) -> Outcome<Contestant> {
        self.starts.set(self.starts.get() + 1);
        let data = self.folder.join(format!("{}-{}", kind.name(), self.starts.get()));
        match kind {
            Kind::Lockyard => lockyard::start(self, data),
            Kind::DockerRegistry => docker_registry::start(self, data),
            Kind::Nginx => nginx::start(self, data),
            Kind::Url => self.url(),
        }
    }

    /// Starts all of these kinds that can be started.
    pub(crate) fn start_all(&self, kinds: &[Kind]) -> Outcome<Vec<Contestant>> {
        self.present(kinds).into_iter().map(|kind| self.start(kind)).collect()
    }

    /// Ends a contestant and starts it again on the same data.
    pub(crate) fn restart(&self, contestant: Contestant) -> Outcome<Contestant> {
        let Contestant { kind, data, server, .. } = contestant;
        if let Some(server) = server {
            server.stop()?;
        }
        match kind {
            Kind::Lockyard => lockyard::start(self, data),
            Kind::DockerRegistry => docker_registry::start(self, data),
            Kind::Nginx => nginx::start(self, data),
            Kind::Url => self.url(),
        }
    }

    /// Writes back what the disk still owes, so that nobody pays for somebody else's writes.
    pub(crate) fn settle(&self) -> Outcome {
        let folder = fs::File::open(&self.folder).during("opening the bench's folder")?;
        rustix::fs::syncfs(folder).during("syncing the file system")
    }

    fn url(&self) -> Outcome<Contestant> {
        let url = self.options.url.as_ref();
        let url = url.ok_or_else(|| Failure::new("no URL was given"))?;
        Ok(Contestant {
            kind: Kind::Url,
            plain: url.endpoint(&self.options)?,
            tls: None,
            data: PathBuf::new(),
            server: None,
        })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.options.keep {
            // What cannot be removed lies in a folder that nobody takes for anything else.
            drop(fs::remove_dir_all(&self.folder));
        }
    }
}

/// Uses memory and frees it, so that what is written next finds pages that are really there.
///
/// A hypervisor takes free memory back within seconds, and giving it out again costs ten times
/// what copying into it costs: the page cache would then measure the hypervisor.
pub(crate) fn warm_memory(bytes: u64) {
    let available = machine::memory_available();
    let wanted = (bytes + bytes / 4).min(available / 2);
    let mut memory = vec![0_u8; usize::try_from(wanted).unwrap_or_default()];
    for page in memory.chunks_mut(PAGE_BYTES) {
        page[0] = 1;
    }
    std::hint::black_box(&mut memory);
}

/// Removes what runs that were cut off have left.
fn remove_remains(work: &Path) {
    for entry in fs::read_dir(work).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name.strip_prefix("run-").and_then(|id| id.parse::<u32>().ok());
        if id.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            // What cannot be removed is no worse than it was.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

/// Returns a port of loopback that nobody listens on now.
pub(super) fn free_port() -> Outcome<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).during("looking for a free port")?;
    listener.local_addr().during("looking for a free port")
}

/// Returns where a plain server on loopback is found.
pub(super) fn plain(address: SocketAddr) -> Endpoint {
    let host = format!("localhost:{}", address.port());
    Endpoint { address, host, tls: None, authorization: None }
}

/// Says whether a server answers there at all.
pub(super) fn answers(endpoint: &Endpoint) -> bool {
    endpoint.connect().and_then(|mut connection| connection.ask("GET", "/v2/")).is_ok()
}
