//! An instance: everything that Lockyard is apart from its listeners.
//!
//! A first start makes it in a fixed order, each step repeatable, so that a start that was cut off
//! is finished by the next: service key file, database with its keys, vault, certificate
//! authority, `bootstrap.json`, directory, the default registry's key, its identity and that one's
//! right to the key, and last the default registry. An instance with a registry is complete; what
//! is missing then was lost, and is never made anew.

mod authority;
mod control;
mod crash;
mod default_registry;
mod directory;
mod identity;
mod issuer;
mod standing;
mod trail;

use std::sync::Arc;

use lockyard_access::{Directory, Records};
use lockyard_audit::{AuditLog, Opening, Settings, Unwritable};
use lockyard_blobs::{LocalParts, PartStore, SystemDisk};
use lockyard_keyring::{InstanceKeys, KeyProvider, Keyring, LeasePolicy, Providers};
use lockyard_registry::{Ground, KeySource, Limits, Registries, instance};
use lockyard_store::{Engine, Store, registry};
use lockyard_vault::{AuditedProvider, EmbeddedProvider, Vault, VaultRootKey};
use lockyard_web::KeyCalls;

pub(crate) use authority::authority;
pub(crate) use control::{control, place_vaults};
pub(crate) use crash::check_after_crash;
pub(crate) use default_registry::{Protection, blocking, blocking_outcome, default_registry};
pub(crate) use directory::{Endpoints, bootstrap_file, renew_bootstrap};
pub(crate) use identity::{identity_in_words, unknown_registry, user_assigned};
pub(crate) use issuer::{issuer, roots};
pub(crate) use standing::{key_in_words, standing_in_words};
pub(crate) use trail::Deed;

use crate::{
    config::{AuditUnwritable, DataConfig},
    counted::CountedProvider,
    data_dir::DataDir,
    failure::{Failure, OrFail as _, Outcome},
    machine::Machine,
    service_secret,
    wiring::{Registrar, Wiring},
};

/// The rooms of an instance, composed.
#[derive(Debug)]
pub(crate) struct Instance {
    /// Time and randomness.
    pub(crate) machine: Machine,
    /// Rows.
    pub(crate) store: Store,
    /// Sealed records outside any registry.
    pub(crate) records: Records,
    /// Which registries are unlocked.
    pub(crate) keyring: Arc<Keyring>,
    /// All registries.
    pub(crate) registries: Arc<Registries>,
    /// The embedded vault.
    pub(crate) vault: Arc<Vault>,
    /// The embedded vault as registries use it.
    pub(crate) provider: Arc<dyn KeyProvider>,
    /// How often registries called it.
    pub(crate) key_calls: KeyCalls,
    /// What was done with the embedded vault.
    pub(crate) audit: Arc<AuditLog>,
    /// Who there is, once it was asked for.
    registrar: Registrar,
    /// Whether the instance was complete when it was opened.
    pub(crate) complete: bool,
    /// Nobody else may use the directory while this lives.
    pub(crate) dir: DataDir,
}

/// The database with the instance's keys in memory.
#[derive(Debug)]
pub(crate) struct OpenedStore {
    /// Rows.
    pub(crate) store: Store,
    /// The service key and what it opens.
    pub(crate) opened: instance::Opened,
}

/// Opens the database; makes its keys if it has none and `may_found` says so.
pub(crate) fn open_store(
    dir: &DataDir,
    data: &DataConfig,
    machine: &Machine,
    may_found: bool,
) -> Outcome<OpenedStore> {
    let engine = Engine::Sqlite { path: dir.database() };
    let entropy = &*machine.entropy;
    // Before the database, so that a secret that cannot be written leaves no database behind.
    let founding = if may_found && !dir.has_database() {
        Some(service_secret::read_or_create(&data.service, entropy).or_fail()?)
    } else {
        None
    };
    let store = Store::open(engine, Arc::clone(&machine.clock)).or_fail()?;
    // Not the whole file, which takes about a second per gigabyte (decision 0004).
    store.check_edges().map_err(|error| {
        Failure::new(&error)
            .context(&format!("cannot use the database `{}`", dir.database().display()))
            .advise("restore the database from a backup; nothing was changed")
    })?;
    let opened = if may_found && !instance::is_initialised(&store).or_fail()? {
        let (kind, secret) = match founding {
            Some(secret) => secret,
            None => service_secret::read_or_create(&data.service, entropy).or_fail()?,
        };
        instance::initialise(&store, entropy, kind, &secret)
    } else {
        instance::open(&store, &service_secret::read(&data.service).or_fail()?)
    };
    let opened = opened.map_err(|error| wrong_key(&error))?;
    Ok(OpenedStore { store, opened })
}

/// The embedded vault, and the trail of what is done with it.
#[derive(Clone, Debug)]
pub(crate) struct OpenedVault {
    /// The vault.
    pub(crate) vault: Arc<Vault>,
    /// The trail.
    pub(crate) audit: Arc<AuditLog>,
}

/// Opens the embedded vault and its audit trail; makes it if its directory is empty and `may_found` says so.
///
/// A vault that was there once is never replaced by an empty one: its keys would seem deleted.
pub(crate) fn open_vault(
    data: &DataConfig,
    machine: &Machine,
    may_found: bool,
) -> Outcome<OpenedVault> {
    let key = if may_found {
        VaultRootKey::read_or_create(&data.vault_key, &data.vault_dir, &*machine.entropy)
    } else if data.vault_dir.join("vault.db").exists() {
        VaultRootKey::read(&data.vault_key)
    } else {
        let directory = data.vault_dir.display();
        return Err(Failure::text(format!("there is no vault in `{directory}`")).advise(
            "give the vault's directory with `--vault-dir DIR`, or restore it from its backup",
        ));
    };
    let key = key.or_fail()?;
    let Machine { clock, entropy } = machine.clone();
    // The vault's lock keeps other processes from the trail as well.
    let vault = Vault::open(&data.vault_dir, &key, Arc::clone(&clock), Arc::clone(&entropy));
    let vault = Arc::new(vault.or_fail()?);
    let audit = AuditLog::open(Opening {
        directory: data.audit_dir.clone(),
        secret: key.audit_secret(),
        disk: Arc::new(SystemDisk),
        clock,
        entropy,
        settings: Settings {
            unwritable: match data.audit_unwritable {
                AuditUnwritable::Refuse => Unwritable::Refuse,
                AuditUnwritable::Allow => Unwritable::Allow,
            },
            json_lines: data.audit_json.clone(),
            ..Settings::default()
        },
    })
    .map_err(|error| {
        Failure::new(&error)
            .context(&format!("cannot open the audit trail in `{}`", data.audit_dir.display()))
            .advise("give its directory with `--audit-dir DIR`; nothing was changed")
    })?;
    if audit.is_new() && !vault.vaults().or_fail()?.is_empty() {
        tracing::warn!(
            "the audit trail begins anew although the vault was used before: give its directory \
             with `--audit-dir`, or compare with a checkpoint that was kept elsewhere"
        );
    }
    Ok(OpenedVault { vault, audit })
}

impl Instance {
    /// Opens the instance in `dir`, and makes what a first start has to make.
    pub(crate) fn found_or_open(
        dir: DataDir,
        data: &DataConfig,
        machine: Machine,
    ) -> Outcome<Self> {
        Self::compose(dir, data, machine, true)
    }

    /// Opens the instance in `dir` as it is.
    pub(crate) fn open(dir: DataDir, data: &DataConfig, machine: Machine) -> Outcome<Self> {
        Self::compose(dir, data, machine, false)
    }

    fn compose(
        dir: DataDir,
        data: &DataConfig,
        machine: Machine,
        may_found: bool,
    ) -> Outcome<Self> {
        let OpenedStore { store, opened } = open_store(&dir, data, &machine, may_found)?;
        let parts: Arc<dyn PartStore> = Arc::new(LocalParts::open(&dir.parts()).or_fail()?);
        // With a registry in it, an instance is complete.
        let complete = !store.read_blocking(registry::list).or_fail()?.is_empty();
        let OpenedVault { vault, audit } = open_vault(data, &machine, may_found && !complete)?;
        let registrar = Registrar::default();
        let provider = EmbeddedProvider::new(Arc::clone(&vault), Arc::new(registrar.clone()));
        let provider = Arc::new(AuditedProvider::new(provider, Arc::clone(&audit) as _));
        let key_calls = KeyCalls::default();
        let provider: Arc<dyn KeyProvider> =
            Arc::new(CountedProvider::new(provider, key_calls.clone()));
        let providers: Arc<dyn Providers> = Arc::new(Wiring::new(Arc::clone(&provider)));
        let keys: Arc<InstanceKeys> = opened.keys;
        let source = Arc::new(KeySource::new(store.clone(), Arc::clone(&keys)));
        let keyring = Arc::new(Keyring::new(
            opened.service,
            source,
            providers,
            Arc::clone(&machine.clock),
            LeasePolicy::default(),
        ));
        let records = Records::new(store.clone(), Arc::clone(&keys), Arc::clone(&machine.entropy));
        let registries = Registries::new(Ground {
            store: store.clone(),
            parts,
            keyring: Arc::clone(&keyring),
            instance: keys,
            clock: Arc::clone(&machine.clock),
            entropy: Arc::clone(&machine.entropy),
            limits: Limits::default(),
        });
        Ok(Self {
            machine,
            store,
            records,
            keyring,
            registries,
            vault,
            provider,
            key_calls,
            audit,
            registrar,
            complete,
            dir,
        })
    }

    /// The embedded vault with its trail.
    pub(crate) fn opened_vault(&self) -> OpenedVault {
        OpenedVault { vault: Arc::clone(&self.vault), audit: Arc::clone(&self.audit) }
    }

    /// The directory; a server founds or opens it before it answers, a command opens it. Blocks.
    pub(crate) fn directory(&self) -> Outcome<Arc<Directory>> {
        if let Some(directory) = self.registrar.directory() {
            return Ok(directory);
        }
        let Machine { clock, entropy } = &self.machine;
        let (clock, entropy) = (Arc::clone(clock), Arc::clone(entropy));
        let opened = Directory::open(self.records.clone(), clock, entropy).or_fail()?;
        Ok(self.registrar.keep(opened))
    }

    /// Founds or opens the directory of an instance that clients reach there. Blocks.
    pub(crate) fn found_directory(&self, endpoints: &Endpoints) -> Outcome<Arc<Directory>> {
        let Self { records, dir, machine, complete, .. } = self;
        let opened = directory::directory(records, dir, endpoints, machine, *complete)?;
        Ok(self.registrar.keep(opened))
    }

    /// Wipes the keys and closes the database.
    pub(crate) fn close(self) {
        self.keyring.lock_all();
        self.store.close();
    }
}

fn wrong_key(error: &instance::InstanceError) -> Failure {
    let failure = Failure::new(error);
    match error {
        instance::InstanceError::WrongKey => failure.advise(
            "give the key file, recovery code or passphrase of this data directory with \
             `--service-key FILE` or `--passphrase-file FILE`; nothing was changed",
        ),
        instance::InstanceError::NoKey(_) => failure.advise(
            "a key file or recovery code goes with `--service-key FILE`, a passphrase with \
             `--passphrase-file FILE`",
        ),
        instance::InstanceError::Empty => failure
            .advise("start `lockyard serve` once, it finishes a first start that was cut off"),
        instance::InstanceError::Damaged | instance::InstanceError::Share(_) => {
            failure.advise("restore the database from a backup")
        }
        instance::InstanceError::Initialised
        | instance::InstanceError::Overtaken
        | instance::InstanceError::Slot(_)
        | instance::InstanceError::Store(_) => failure,
    }
}

#[cfg(test)]
mod identity_tests;
#[cfg(test)]
mod tests;
