//! All registries of an instance: making them, finding them, opening one for a request.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError},
    time::Duration,
};

use lockyard_base::{Clock, Entropy, Epoch, RegistryId, WrapId};
use lockyard_blobs::{BufferPool, PartStore};
use lockyard_keyring::{
    CurrentWrap, CustomerShare, Identity, InstanceKeys, KeyProvider, Keyring, ProviderError,
    VersionedKeyId,
};
use lockyard_oci::RegistryName;
use lockyard_seal::IndexKind;
use lockyard_store::{Store, StoreError, epoch, index_key, registry, wrap};
use tokio::sync::Mutex;
use tokio_util::task::TaskTracker;

use crate::{
    Caller, Limits, Registry, RegistryEntry, RegistryError,
    access::Gate,
    keys::{open_wrap, seal_wrap},
    newborn::Nursery,
};

/// What registries stand on.
#[derive(Debug)]
pub struct Ground {
    /// The rows.
    pub store: Store,
    /// The parts.
    pub parts: Arc<dyn PartStore>,
    /// The keys of unlocked registries.
    pub keyring: Arc<Keyring>,
    /// The keys of rows outside any registry.
    pub instance: Arc<InstanceKeys>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// How much of everything.
    pub limits: Limits,
}

/// The customer key for a new registry.
#[derive(Clone, Debug)]
pub struct CustomerKey {
    /// Who holds it.
    pub provider: Arc<dyn KeyProvider>,
    /// The key version to wrap with.
    pub key: VersionedKeyId,
    /// The identity as which the registry will ask; it may use the key already.
    pub identity: Identity,
}

/// A registry, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrySummary {
    /// Its id.
    pub id: RegistryId,
    /// Its name.
    pub name: RegistryName,
    /// Whether everybody may pull, without a login.
    pub anonymous_pull: bool,
    /// The key version that wraps its customer share, if it has a customer key.
    pub customer_key: Option<VersionedKeyId>,
    /// As whom it asks for that key.
    pub identity: Option<Identity>,
}

/// All registries of this instance.
pub struct Registries {
    ground: Ground,
    pool: BufferPool,
    /// Work that outlives its request: uploads of clients that went away.
    tasks: TaskTracker,
    /// Held by the scrub that runs: two would save their progress in each other's place.
    scrubbing: Mutex<()>,
    found: std::sync::Mutex<Found>,
    nursery: Nursery,
}

/// The registries that were found by name when the database had seen so many commits.
#[derive(Default)]
pub(crate) struct Found {
    commits: u64,
    by_name: HashMap<RegistryName, Arc<RegistryEntry>>,
}

impl Registries {
    /// All registries that stand on `ground`.
    pub fn new(ground: Ground) -> Arc<Self> {
        let pool = BufferPool::new(ground.limits.read_buffer_bytes_max);
        Arc::new(Self {
            ground,
            pool,
            tasks: TaskTracker::new(),
            scrubbing: Mutex::new(()),
            found: std::sync::Mutex::default(),
            nursery: Nursery::default(),
        })
    }

    pub(crate) fn ground(&self) -> &Ground {
        &self.ground
    }

    pub(crate) fn pool(&self) -> &BufferPool {
        &self.pool
    }

    pub(crate) fn nursery(&self) -> &Nursery {
        &self.nursery
    }

    pub(crate) fn scrubbing(&self) -> &Mutex<()> {
        &self.scrubbing
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Waits for the work that outlives its requests; new work may not begin any more.
    pub async fn drain(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// How many pieces of such work are under way.
    pub fn draining(&self) -> usize {
        self.tasks.len()
    }

    /// The keyring that these registries use.
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.ground.keyring
    }

    /// Whether a registry was locked until less than `span` ago: whatever waits for that span to
    /// pass begins to wait anew when access comes back (DESIGN 5).
    pub(crate) fn rests(&self, registry: RegistryId, span: Duration) -> bool {
        self.ground.keyring.regained_since(registry).is_some_and(|since| since < span)
    }

    /// Makes a registry, with a customer key or without, and takes it into the keyring.
    ///
    /// The wrapped share is unwrapped again before anything is stored: a registry whose key cannot
    /// be unwrapped would be lost from its first byte.
    pub async fn create(
        &self,
        name: &RegistryName,
        customer: Option<CustomerKey>,
    ) -> Result<RegistryId, RegistryError> {
        let ground = &self.ground;
        let entropy = &*ground.entropy;
        let id = RegistryId::random(entropy);
        let share = customer.as_ref().map(|_| CustomerShare::generate(entropy));
        let wrap = match (&customer, &share) {
            (Some(key), Some(share)) => Some(self.wrap(key, share).await?),
            _ => None,
        };
        let keys = ground.keyring.first_epoch(entropy, id, share.as_ref());
        drop(share);
        let index = self.name_index(name);
        let sealed = self.seal_entry(&RegistryEntry::new(id, name.clone()), &index);
        let sealed_wrap = wrap
            .map(|wrap| (wrap.id, seal_wrap(&ground.instance, entropy, (id, Epoch::FIRST), &wrap)));
        ground
            .store
            .write(None, move |txn| {
                let new =
                    registry::NewRegistry { registry_id: id, name_index: index, sealed: &sealed };
                if !registry::insert(txn, &new)? {
                    return Err(RegistryError::RegistryExists);
                }
                let new = epoch::NewEpoch {
                    registry_id: id,
                    epoch: Epoch::FIRST,
                    customer: sealed_wrap.is_some(),
                    service_share: &keys.service_share.0,
                    key_check: keys.check.0,
                };
                let mut fresh = epoch::insert(txn, &new)?;
                if let Some((wrap_id, sealed)) = &sealed_wrap {
                    let new = wrap::NewWrap {
                        wrap_id: *wrap_id,
                        registry_id: id,
                        epoch: Epoch::FIRST,
                        sealed,
                    };
                    fresh &= wrap::insert(txn, &new)?;
                }
                let key = &keys.index_key;
                fresh &= index_key::insert(txn, id, key.row, key.epoch, &key.sealed)?;
                if fresh { Ok(()) } else { Err(RegistryError::Internal("a new id was taken")) }
            })
            .await?;
        let _standing = ground.keyring.admit(id).await;
        Ok(id)
    }

    pub(crate) fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists all registries, locked ones too.
    pub async fn list(&self) -> Result<Vec<RegistrySummary>, RegistryError> {
        let rows = self
            .ground
            .store
            .read(|txn| {
                let mut found = Vec::new();
                for row in registry::list(txn)? {
                    let wraps = wrap::current(txn, row.registry_id)?;
                    found.push((row, wraps));
                }
                Ok::<_, StoreError>(found)
            })
            .await?;
        rows.into_iter()
            .map(|(row, wraps)| {
                let newest = wraps.last().map(|wrap| open_wrap(&self.ground.instance, wrap));
                let newest =
                    newest.transpose().map_err(|_| RegistryError::Damaged("a wrap's row"))?;
                let entry = self.open_entry(&row)?;
                Ok(RegistrySummary {
                    id: row.registry_id,
                    name: entry.name().clone(),
                    anonymous_pull: entry.anonymous_pull(),
                    identity: newest.as_ref().map(|wrap| wrap.identity),
                    customer_key: newest.map(|wrap| wrap.key),
                })
            })
            .collect()
    }

    /// Takes every stored registry into the keyring; at start-up.
    pub async fn admit_all(&self) -> Result<(), RegistryError> {
        let rows = self.ground.store.read(registry::list).await?;
        for row in rows {
            let standing = self.ground.keyring.admit(row.registry_id).await;
            tracing::debug!(registry = %row.registry_id, ?standing, "registry admitted");
        }
        Ok(())
    }

    /// Opens a registry for one request, or says why it is locked.
    pub fn open(
        self: &Arc<Self>,
        registry: Arc<RegistryEntry>,
        caller: Caller,
    ) -> Result<Registry, RegistryError> {
        let unlocked = self.ground.keyring.open(registry.id())?;
        let gate = Gate::Guarded { caller, registry };
        Ok(Registry::new(Arc::clone(self), unlocked, gate))
    }

    /// Opens a registry for the house itself or its operator: nothing is denied.
    pub fn open_inside(self: &Arc<Self>, id: RegistryId) -> Result<Registry, RegistryError> {
        let unlocked = self.ground.keyring.open(id)?;
        Ok(Registry::new(Arc::clone(self), unlocked, Gate::Inside))
    }

    pub(crate) async fn wrap(
        &self,
        customer: &CustomerKey,
        share: &CustomerShare,
    ) -> Result<CurrentWrap, RegistryError> {
        let CustomerKey { provider, key, identity } = customer;
        let wrapped =
            provider.wrap_key(identity, key, share).await.map_err(RegistryError::CustomerKey)?;
        let again = provider
            .unwrap_key(identity, key, &wrapped)
            .await
            .map_err(RegistryError::CustomerKey)?;
        if again.is_same(share) {
            let id = WrapId::random(&*self.ground.entropy);
            Ok(CurrentWrap { id, key: key.clone(), identity: *identity, wrapped })
        } else {
            let text = "the key unwraps to something else than it wrapped".to_owned();
            Err(RegistryError::CustomerKey(ProviderError::Damaged(text)))
        }
    }

    pub(crate) fn name_index(&self, name: &RegistryName) -> lockyard_base::BlindIndex {
        self.ground.instance.blind(IndexKind::Registry, name.as_str().as_bytes())
    }
}

/// Names that [`Found`] keeps at most; beyond that it starts again.
const FOUND_MAX: usize = 1024;

impl Found {
    pub(crate) fn at(&self, commits: u64) -> Option<&HashMap<RegistryName, Arc<RegistryEntry>>> {
        (self.commits == commits).then_some(&self.by_name)
    }

    pub(crate) fn keep(&mut self, commits: u64, entry: &Arc<RegistryEntry>) {
        if self.commits != commits || self.by_name.len() >= FOUND_MAX {
            self.by_name.clear();
            self.commits = commits;
        }
        let _before = self.by_name.insert(entry.name().clone(), Arc::clone(entry));
    }
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registries").field("ground", &self.ground).finish_non_exhaustive()
    }
}
