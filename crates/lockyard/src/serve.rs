//! `serve` and `quickstart`: from configuration to a running server and back.
//!
//! The order is fixed: take the data directory, bind the ports, open or make the instance, finish
//! a first start, then answer. What can fail for a reason that a person can mend comes first, and
//! changes nothing when it fails.

use std::{sync::Arc, time::Duration};

use lockyard_access::{Directory, Issuer, registry_token::RegistryTokens};
use lockyard_control::{Control, DirectoryRoles, Objects};
use lockyard_registry::RegistrySummary;
use lockyard_web::{
    Faces, FixedHost, IdentityEndpoint, KeyVaults, Metrics, Names, Ops, Proxy, Served, Workers,
};
use rustls::{ServerConfig, sign::CertifiedKey};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admin::AdminSocket,
    config::{CertificateSource, ServeConfig},
    data_dir::{DataDir, DataDirError},
    failure::{Failure, OrFail as _, Outcome},
    greeting::{self, Greeting},
    instance::{self, Endpoints, Instance, Protection},
    jobs,
    listeners::Listeners,
    machine::Machine,
    otlp::Exporter,
    run_file::{Addresses, RunFile},
    say::say,
    tending, tls,
};

/// How many tunnels may wait for the HTTPS listener to take them.
const TUNNELS_WAITING: usize = 16;
/// How long the runtime may take to let go of blocked threads at the end.
const SHUTDOWN_TIME_MAX: Duration = Duration::from_secs(5);
/// An end that takes no longer says nothing of what it waits for.
const QUIET_TIME: Duration = Duration::from_millis(200);
/// How often an end says what it still waits for.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Runs a server until it is told to stop.
pub(crate) fn run(config: &ServeConfig, protection: Protection) -> Outcome {
    let dir = DataDir::prepare(&config.data.data_dir).map_err(DataDirError::into_failure)?;
    let own = match &config.certificate {
        CertificateSource::LocalAuthority => None,
        CertificateSource::Files { certificate, key } => {
            Some(tls::read(certificate, key).or_fail()?)
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().or_fail()?;
    let outcome = runtime.block_on(async {
        let listeners = Listeners::bind(config)
            .await
            .map_err(|error| Failure::new(&error).advise(error.cure()))?;
        let addresses = listeners.addresses().or_fail()?;
        let opening = (config.data.clone(), Machine::real());
        let instance =
            instance::blocking_outcome(move || Instance::found_or_open(dir, &opening.0, opening.1))
                .await?;
        let ready = Ready::new(config, instance, addresses, own, protection).await?;
        ready.serve(config, listeners, protection).await
    });
    runtime.shutdown_timeout(SHUTDOWN_TIME_MAX);
    outcome
}

/// An instance that has everything it needs to answer.
struct Ready {
    instance: Arc<Instance>,
    addresses: Addresses,
    public_port: u16,
    certificate: Arc<ServerConfig>,
    local_authority: bool,
    names: Names,
    directory: Arc<Directory>,
    issuer: Arc<Issuer>,
    registry_tokens: Arc<RegistryTokens>,
    control: Arc<Control>,
    workers: Arc<Workers>,
    default_registry: RegistrySummary,
}

impl Ready {
    /// Finishes what a first start has to make, last of all the default registry.
    async fn new(
        config: &ServeConfig,
        instance: Instance,
        addresses: Addresses,
        own: Option<CertifiedKey>,
        protection: Protection,
    ) -> Outcome<Self> {
        let public_port = config.public_port.unwrap_or_else(|| addresses.https.port());
        let local_authority = own.is_none();
        let names = Names::new(config.domain.as_str(), public_port);
        let endpoints = Endpoints {
            domain: config.domain.clone(),
            management: names.origin(FixedHost::Management),
            login: names.origin(FixedHost::Login),
            ca_file: local_authority.then(|| instance.dir.authority_certificate()),
        };
        let (of, published) = (config.clone(), names.clone());
        let (instance, directory, issuer, tokens, leaf) = instance::blocking_outcome(move || {
            let Instance { records, dir, machine, .. } = &instance;
            let authority = instance::authority(records, dir, &of.domain, machine)?;
            let leaf = match own {
                Some(own) => own,
                None => {
                    authority.issue(&of.domain, &*machine.clock, &*machine.entropy).or_fail()?
                }
            };
            let directory = instance.found_directory(&endpoints)?;
            let issuer = instance::issuer(records, &directory, &published, &of, machine)?;
            let (clock, entropy) = (Arc::clone(&machine.clock), Arc::clone(&machine.entropy));
            let tokens = RegistryTokens::open(records.clone(), clock, entropy).or_fail()?;
            Ok((instance, directory, issuer, Arc::new(tokens), leaf))
        })
        .await?;
        instance.settle().await?;
        let default_registry = instance::default_registry(&instance, protection).await?;
        let (records, clock) = (instance.records.clone(), Arc::clone(&instance.machine.clock));
        let (keeper, kept) = (Arc::clone(&directory), default_registry.name.clone());
        let vaults = (instance.opened_vault(), names.suffix("vault"));
        let control = instance::blocking_outcome(move || {
            instance::control(records, keeper, vaults, clock, &kept)
        })
        .await?;
        Ok(Self {
            instance: Arc::new(instance),
            addresses,
            public_port,
            certificate: tls::server(leaf).or_fail()?,
            local_authority,
            names,
            directory,
            issuer,
            registry_tokens: tokens,
            control,
            workers: Arc::new(Workers::new().or_fail()?),
            default_registry,
        })
    }

    /// Answers until a signal, then drains.
    async fn serve(
        self,
        config: &ServeConfig,
        listeners: Listeners,
        protection: Protection,
    ) -> Outcome {
        let mut signals = Signals::listen()?;
        let Self { instance, addresses, .. } = &self;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let socket = AdminSocket::bind(instance.dir.path()).map_err(|error| {
            Failure::new(&error).context("cannot make the admin socket in the data directory")
        })?;
        tasks.spawn(socket.serve(Arc::clone(instance), stop.clone()));
        jobs::start(instance, (&self.issuer, &self.registry_tokens), &tasks, &stop);
        tending::start(instance, &self.directory, &tasks, &stop);
        let (with, of) = (config.clone(), Arc::clone(instance));
        let exporter = instance::blocking_outcome(move || Exporter::open(&with, &of)).await?;
        if let Some(exporter) = exporter {
            exporter.start(&tasks, &stop);
        }
        let metrics = Metrics::new(&instance.key_calls);
        self.start_faces(config, listeners, &metrics, (&tasks, &stop));
        if RunFile::is_stale(instance.dir.path()) {
            instance::check_after_crash(instance, &tasks, &stop);
        }
        let run_file = RunFile::write(instance.dir.path(), *addresses)
            .map_err(|error| Failure::new(&error).context("cannot write `run.json`"))?;
        let greeting = Greeting {
            config,
            addresses: *addresses,
            public_port: self.public_port,
            local_authority: self.local_authority,
            dir: &instance.dir,
            default_registry: &self.default_registry,
            standing: format!(
                "customer key {}, {}",
                instance::key_in_words(&self.default_registry),
                instance::standing_in_words(instance, &self.default_registry)
            ),
            quickstart: protection == Protection::CustomerKey,
        };
        greeting::greet(&greeting);
        tracing::info!("ready");

        signals.wait().await;
        stop.cancel();
        drain(instance, &metrics, &tasks, &mut signals).await;
        if let Err(error) = run_file.remove() {
            tracing::warn!(%error, "run.json could not be removed");
        }
        close(self.instance).await
    }

    fn start_faces(
        &self,
        config: &ServeConfig,
        listeners: Listeners,
        metrics: &Metrics,
        (tasks, stop): (&TaskTracker, &CancellationToken),
    ) {
        let Self { instance, addresses, certificate, names, .. } = self;
        let faces = Faces {
            registries: Arc::clone(&instance.registries),
            directory: Arc::clone(&self.directory),
            issuer: Arc::clone(&self.issuer),
            registry_tokens: Arc::clone(&self.registry_tokens),
            control: Arc::clone(&self.control),
            objects: Objects::new(Arc::clone(&self.directory)),
            vaults: KeyVaults {
                vault: Arc::clone(&instance.vault),
                audit: Arc::clone(&instance.audit) as _,
                roles: Arc::new(DirectoryRoles::new(Arc::clone(&self.directory))),
                workers: Arc::clone(&self.workers),
            },
            names: names.clone(),
            default_registry: self.default_registry.name.clone(),
            http_login: config.http_login,
            clock: Arc::clone(&instance.machine.clock),
            entropy: Arc::clone(&instance.machine.entropy),
            metrics: metrics.clone(),
        };
        let ops = Ops {
            registries: Arc::clone(&instance.registries),
            keyring: Arc::clone(&instance.keyring),
            metrics: metrics.clone(),
            stop: stop.clone(),
        };
        let plain =
            |listener, router| Served { listener, tls: None, router, metrics: metrics.clone() };
        let https = Served {
            tls: Some(TlsAcceptor::from(Arc::clone(certificate))),
            ..plain(listeners.https, faces.https(addresses.https.port()))
        };
        let (target, led) = mpsc::channel(TUNNELS_WAITING);
        tasks.spawn(lockyard_web::serve_led(https, led, stop.clone()));
        let http = plain(listeners.http, faces.http(addresses.http.port()));
        tasks.spawn(lockyard_web::serve(http, stop.clone()));
        tasks.spawn(lockyard_web::serve(plain(listeners.ops, ops.router()), stop.clone()));
        if let Some(listener) = listeners.identities {
            let endpoint = IdentityEndpoint {
                issuer: Arc::clone(&self.issuer),
                machine: config.machine_identity,
                clock: Arc::clone(&instance.machine.clock),
                entropy: Arc::clone(&instance.machine.entropy),
                metrics: metrics.clone(),
                directory: Arc::clone(&self.directory),
                audit: Arc::clone(&instance.audit) as _,
            };
            tasks.spawn(lockyard_web::serve(plain(listener, endpoint.router()), stop.clone()));
        }
        if let Some(listener) = listeners.connect_proxy {
            let proxy = Proxy { listener, target, names: names.clone() };
            tasks.spawn(lockyard_web::serve_proxy(proxy, stop.clone()));
        }
    }
}

/// Lets open work end and says what it waits for; a second signal ends it at once.
async fn drain(instance: &Instance, metrics: &Metrics, tasks: &TaskTracker, signals: &mut Signals) {
    tasks.close();
    say("stopping");
    let draining = async {
        tasks.wait().await;
        // What clients that were cut off had sent is kept.
        instance.registries.drain().await;
    };
    let telling = async {
        // Idle connections end by themselves in a moment.
        tokio::time::sleep(QUIET_TIME).await;
        loop {
            say(format_args!(
                "stopping: waiting up to {} s for {}; a second signal ends them at once",
                lockyard_web::limit::SHUTDOWN_TIME_MAX.as_secs(),
                open_work(metrics.open_connections(), instance.registries.draining()),
            ));
            tokio::time::sleep(TELL_EVERY).await;
        }
    };
    tokio::select! {
        () = draining => {}
        () = telling => {}
        () = signals.wait() => say("stopping now; unfinished uploads can be resumed"),
    }
}

/// What an end has to wait for, in words.
fn open_work(connections: u64, uploads: usize) -> String {
    let some = |number: u64, thing: &str| match number {
        0 => None,
        1 => Some(format!("1 {thing}")),
        more => Some(format!("{more} {thing}s")),
    };
    let uploads = u64::try_from(uploads).unwrap_or(u64::MAX);
    let work = [some(connections, "connection"), some(uploads, "upload")];
    let work: Vec<String> = work.into_iter().flatten().collect();
    if work.is_empty() { "jobs that are under way".to_owned() } else { work.join(" and ") }
}

/// Wipes the keys and closes the database.
async fn close(instance: Arc<Instance>) -> Outcome {
    instance.keyring.lock_all();
    instance.audit.close().await;
    let store = instance.store.clone();
    tokio::task::spawn_blocking(move || store.close()).await.or_fail()?;
    drop(instance);
    say("stopped");
    Ok(())
}

/// The signals that ask for an end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Outcome<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).or_fail()?,
            interrupt: signal(SignalKind::interrupt()).or_fail()?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_names_what_it_waits_for() {
        assert_eq!(open_work(1, 0), "1 connection");
        assert_eq!(open_work(12, 1), "12 connections and 1 upload");
        assert_eq!(open_work(0, 2), "2 uploads");
        assert_eq!(open_work(0, 0), "jobs that are under way");
    }
}
