//! The keyring: asks vaults, takes their answers in, fills and empties cells.
//!
//! Decisions are [`Lease`]'s and keys are [`Cell`]'s; this file carries questions and answers
//! between them, the store and the vaults. A lease's lock is held while the act that it decided is
//! carried out on the cell, so that a slow grant can never fill what a quick denial has emptied.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::join_all;
use lockyard_base::{Clock, Entropy, Epoch, RegistryId, WrapId};
use thiserror::Error;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    CustomerShare, Identity, KeyCheck, KeyProvider, LeasePolicy, LockReason, NewEpoch,
    ProviderError, SealedIndexKey, SealedServiceShare, ServiceKey, UnlockError, UnlockedRegistry,
    VaultAddress, VersionedKeyId, WrappedShare,
    cell::{Cell, CellKeys},
    hierarchy::{RegistryKey, open_index_key},
    lease::{Act, Answer, Asked, Lease, State},
};

/// An unwrap that takes longer than this counts as unreachable.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How often one check starts over because its answer was older than a change or a new wrap.
const ROUNDS_MAX: usize = 8;
/// How often the keyring looks at its leases.
const TICK: Duration = Duration::from_millis(500);
/// How many questions about one registry are under way at once, so that changes that come in
/// quickly never pile questions up before a vault that is slow. A question that a change overtook
/// is asked again when it ends.
const CHECKS_MAX: usize = 4;

/// Where the keyring reads a registry's stored keys; implemented over the store.
#[async_trait]
pub trait WrapSource: Send + Sync + fmt::Debug {
    /// The registry's stored keys as they are committed now, or `None` if it is not there.
    async fn load(&self, registry: RegistryId) -> Result<Option<RegistryRecord>, WrapSourceError>;
}

/// Stored keys could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WrapSourceError {
    /// The database does not answer now: nothing is concluded.
    #[error("the registry's stored keys cannot be read: {0}")]
    Unavailable(String),
    /// A stored value was changed.
    #[error("the registry's stored keys are damaged: {0}")]
    Damaged(String),
}

/// Finds the provider for a vault.
pub trait Providers: Send + Sync + fmt::Debug {
    /// The provider that speaks for this vault, if there is one.
    fn provider(&self, vault: &VaultAddress) -> Option<Arc<dyn KeyProvider>>;
    /// Every provider, for listening to changes.
    fn all(&self) -> Vec<Arc<dyn KeyProvider>>;
}

/// A registry's keys as stored.
#[derive(Clone, Debug)]
pub struct RegistryRecord {
    /// All live epochs; the cell fills only if every one unlocks.
    pub epochs: Vec<EpochRecord>,
    /// The index key.
    pub index_key: SealedIndexKey,
}

/// One epoch's keys as stored.
#[derive(Clone, Debug)]
pub struct EpochRecord {
    /// Which epoch.
    pub number: Epoch,
    /// Whether new rows are sealed under it; exactly one epoch is.
    pub active: bool,
    /// The instance's half.
    pub service_share: SealedServiceShare,
    /// The customer's half, if the epoch has a customer key.
    pub wrap: Option<CurrentWrap>,
    /// The check of the derived key.
    pub check: KeyCheck,
}

/// The wrap of a customer share that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentWrap {
    /// Its row.
    pub id: WrapId,
    /// The key version that wrapped it.
    pub key: VersionedKeyId,
    /// As whom the registry asks.
    pub identity: Identity,
    /// The wrapped share.
    pub wrapped: WrappedShare,
}

/// Whether a registry is unlocked, for people and metrics; never a permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Unlocked and lately confirmed.
    Unlocked,
    /// Unlocked, but the vault could not be reached lately.
    Degraded,
    /// Locked.
    Locked(LockReason),
}

/// A registry cannot be used now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the registry is locked")]
pub struct LockedRegistry {
    /// Which registry.
    pub registry: RegistryId,
    /// Why.
    pub reason: LockReason,
}

/// All registries of this instance: which are unlocked, and the keys of those that are.
pub struct Keyring {
    service: ServiceKey,
    source: Arc<dyn WrapSource>,
    providers: Arc<dyn Providers>,
    clock: Arc<dyn Clock>,
    policy: LeasePolicy,
    entries: RwLock<HashMap<RegistryId, Arc<Entry>>>,
}

struct Entry {
    registry: RegistryId,
    cell: Arc<Cell>,
    lease: Mutex<Lease>,
    checks: AtomicUsize,
}

impl Keyring {
    /// A keyring that knows no registry yet.
    pub fn new(
        service: ServiceKey,
        source: Arc<dyn WrapSource>,
        providers: Arc<dyn Providers>,
        clock: Arc<dyn Clock>,
        policy: LeasePolicy,
    ) -> Self {
        Self { service, source, providers, clock, policy, entries: RwLock::default() }
    }

    /// Makes the keys of a new registry; what it returns is to be stored.
    pub fn first_epoch(
        &self,
        entropy: &dyn Entropy,
        registry: RegistryId,
        customer: Option<&CustomerShare>,
    ) -> NewEpoch {
        NewEpoch::first(&self.service, entropy, registry, customer)
    }

    /// Takes a stored registry in and asks for its keys; afterwards it stands as it stands.
    pub async fn admit(&self, registry: RegistryId) -> Standing {
        let entry = self.entries_mut(|entries| {
            Arc::clone(entries.entry(registry).or_insert_with(|| {
                Arc::new(Entry {
                    registry,
                    cell: Arc::new(Cell::new(registry)),
                    lease: Mutex::new(Lease::new(self.policy)),
                    checks: AtomicUsize::new(0),
                })
            }))
        });
        self.check(Check::of(&entry)).await;
        self.standing_of(&entry)
    }

    /// The capability to use a registry's content, or why there is none now.
    pub fn open(&self, registry: RegistryId) -> Result<UnlockedRegistry, LockedRegistry> {
        let locked = |reason| LockedRegistry { registry, reason };
        let entry = self.entry(registry).ok_or_else(|| locked(LockReason::Starting))?;
        let mut lease = entry.lease();
        entry.carry_out(lease.expire(self.clock.boot()), None);
        match lease.state() {
            State::Locked(reason) => Err(locked(reason.clone())),
            State::Granted(_) => entry.cell.handle().ok_or_else(|| locked(LockReason::Starting)),
        }
    }

    /// How a registry stands, or `None` if the keyring does not know it.
    pub fn standing(&self, registry: RegistryId) -> Option<Standing> {
        self.entry(registry).map(|entry| self.standing_of(&entry))
    }

    /// What keeps a registry's vault from confirming, if something does and the registry is not
    /// locked yet.
    pub fn trouble(&self, registry: RegistryId) -> Option<String> {
        let entry = self.entry(registry)?;
        let lease = entry.lease();
        lease.trouble().map(str::to_owned)
    }

    /// Who speaks for a vault.
    pub fn provider(&self, vault: &VaultAddress) -> Option<Arc<dyn KeyProvider>> {
        self.providers.provider(vault)
    }

    /// Whether this customer share is the one that an epoch's key is made of.
    pub fn proves(&self, registry: RegistryId, epoch: &EpochRecord, share: &CustomerShare) -> bool {
        let EpochRecord { number, service_share, check, .. } = epoch;
        let share = Some(share);
        RegistryKey::unlock(&self.service, registry, *number, service_share, share, check).is_ok()
    }

    /// How long ago the grant in force was asked for; `None` while locked.
    pub fn confirmed_since(&self, registry: RegistryId) -> Option<Duration> {
        let now = self.clock.boot();
        self.entry(registry)?.lease().confirmed_since(now)
    }

    /// How long ago a registry's access came back, if it was lost at any time since the start.
    ///
    /// A locked registry is frozen; what would have expired meanwhile gets its time again.
    pub fn regained_since(&self, registry: RegistryId) -> Option<Duration> {
        let now = self.clock.boot();
        self.entry(registry)?.lease().regained_since(now)
    }

    /// How many part ciphers are live in a registry's cell; 0 whenever it is locked.
    pub fn live_ciphers(&self, registry: RegistryId) -> usize {
        self.entry(registry).map_or(0, |entry| entry.cell.live_ciphers())
    }

    /// Every registry that was admitted.
    pub fn registries(&self) -> Vec<RegistryId> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Locks whatever is past its hard stop and asks where asking is due.
    pub async fn tick(&self) {
        join_all(self.due().into_iter().map(|check| self.check(check))).await;
    }

    /// A vault says that something changed: asks anew for every registry, joining no older check.
    pub async fn changed(&self) {
        join_all(self.overtake().into_iter().map(|check| self.check(check))).await;
    }

    /// Follows changes and leases until `stop`; the root runs it as a job.
    ///
    /// Nothing here waits for an answer before it looks again: a vault that is silent holds up
    /// neither the word of a change nor the hard stop of any registry. Changes are heard from this
    /// call on, not only from the job's first turn.
    pub fn run(self: Arc<Self>, stop: CancellationToken) -> impl Future<Output = ()> + Send {
        let heard: Vec<_> =
            self.providers.all().iter().map(|provider| provider.changes()).collect();
        async move {
            let mut watchers: JoinSet<()> = JoinSet::new();
            for mut changes in heard {
                let keyring = Arc::clone(&self);
                watchers.spawn(async move {
                    let mut checks = JoinSet::new();
                    while changes.changed().await.is_ok() {
                        keyring.start(keyring.overtake(), &mut checks);
                    }
                });
            }
            watchers.spawn(async move {
                let mut checks = JoinSet::new();
                loop {
                    self.start(self.due(), &mut checks);
                    tokio::time::sleep(TICK).await;
                }
            });
            stop.cancelled().await;
            watchers.shutdown().await;
        }
    }

    /// Empties every cell; for the end of the process.
    pub fn lock_all(&self) {
        for entry in self.all_entries() {
            entry.cell.empty();
        }
    }

    /// Locks whatever is past its hard stop, and says where asking is due: all before anything is
    /// asked.
    fn due(&self) -> Vec<Check> {
        let now = self.clock.boot();
        let due = |entry: &Arc<Entry>| {
            let mut lease = entry.lease();
            entry.carry_out(lease.expire(now), None);
            lease.is_due(now) && entry.checks.load(Ordering::Acquire) == 0
        };
        self.all_entries().iter().filter(|entry| due(entry)).map(Check::of).collect()
    }

    /// Makes every answer that is under way an old one, and says where to ask anew.
    fn overtake(&self) -> Vec<Check> {
        let entries = self.all_entries();
        for entry in &entries {
            entry.lease().changed();
        }
        let room = |entry: &&Arc<Entry>| entry.checks.load(Ordering::Acquire) < CHECKS_MAX;
        entries.iter().filter(room).map(Check::of).collect()
    }

    fn start(self: &Arc<Self>, due: Vec<Check>, checks: &mut JoinSet<()>) {
        while checks.try_join_next().is_some() {}
        for check in due {
            let keyring = Arc::clone(self);
            checks.spawn(async move { keyring.check(check).await });
        }
    }

    async fn check(&self, check: Check) {
        let entry = check.entry();
        let mut known: Option<Vec<Option<WrapId>>> = None;
        for _ in 0..ROUNDS_MAX {
            let asked = entry.lease().ask(self.clock.boot());
            let (answer, keys, wraps) = self.ask(entry.registry).await;
            // A denial counts if its wrap is still the current one; else the question is stale.
            if matches!(answer, Answer::Denied(..)) && known.as_ref() != Some(&wraps) {
                let now_current = self.current_wraps(entry.registry).await;
                if now_current.is_some_and(|current| current != wraps) {
                    known = Some(wraps);
                    continue;
                }
            }
            if self.take_in(entry, asked, answer, keys) != Act::AskAgain {
                return;
            }
        }
        tracing::warn!(registry = %entry.registry, "a check kept being overtaken by changes");
    }

    fn take_in(&self, entry: &Entry, asked: Asked, answer: Answer, keys: Option<CellKeys>) -> Act {
        let mut lease = entry.lease();
        let before = std::mem::discriminant(lease.state());
        if let Some(keys) = &keys {
            lease.set_permanent(keys.permanent);
        }
        let act = lease.answered(asked, answer, self.clock.boot());
        entry.carry_out(act, keys);
        if std::mem::discriminant(lease.state()) != before {
            match lease.state() {
                State::Granted(_) => {
                    tracing::info!(registry = %entry.registry, "registry unlocked");
                }
                State::Locked(reason) => {
                    tracing::warn!(registry = %entry.registry, ?reason, "registry locked");
                }
            }
        }
        act
    }

    async fn current_wraps(&self, registry: RegistryId) -> Option<Vec<Option<WrapId>>> {
        let record = self.source.load(registry).await.ok()??;
        Some(record.wraps())
    }

    /// Loads the stored keys and asks for every customer share.
    async fn ask(&self, registry: RegistryId) -> (Answer, Option<CellKeys>, Vec<Option<WrapId>>) {
        let record = match self.source.load(registry).await {
            Ok(Some(record)) => record,
            Ok(None) => {
                let text = "the registry has no stored keys".to_owned();
                return (Answer::Damaged(text), None, Vec::new());
            }
            Err(WrapSourceError::Unavailable(text)) => {
                return (Answer::Unreachable(text), None, Vec::new());
            }
            Err(WrapSourceError::Damaged(text)) => {
                return (Answer::Damaged(text), None, Vec::new());
            }
        };
        let wraps = record.wraps();
        match self.unlock(registry, &record).await {
            Ok(keys) => (Answer::Granted, Some(keys), wraps),
            Err(answer) => (answer, None, wraps),
        }
    }

    async fn unlock(
        &self,
        registry: RegistryId,
        record: &RegistryRecord,
    ) -> Result<CellKeys, Answer> {
        let mut rows = BTreeMap::new();
        let mut active = None;
        let mut permanent = true;
        for epoch in &record.epochs {
            let customer = match &epoch.wrap {
                Some(wrap) => {
                    permanent = false;
                    Some(self.unwrap(wrap).await?)
                }
                None => None,
            };
            let key = RegistryKey::unlock(
                &self.service,
                registry,
                epoch.number,
                &epoch.service_share,
                customer.as_ref(),
                &epoch.check,
            )
            .map_err(damaged)?;
            let _twice = rows.insert(epoch.number, key.row_key());
            if epoch.active && active.replace(epoch.number).is_some() {
                return Err(damaged(UnlockError::NoActiveEpoch));
            }
        }
        let active = active.ok_or_else(|| damaged(UnlockError::NoActiveEpoch))?;
        let row_key =
            rows.get(&record.index_key.epoch).ok_or_else(|| damaged(UnlockError::IndexKey))?;
        let index = open_index_key(registry, row_key, &record.index_key).map_err(damaged)?;
        Ok(CellKeys { rows, active, index, permanent })
    }

    async fn unwrap(&self, wrap: &CurrentWrap) -> Result<CustomerShare, Answer> {
        let vault = &wrap.key.key.vault;
        let Some(provider) = self.providers.provider(vault) else {
            return Err(Answer::Unreachable(format!("no provider speaks for vault `{vault}`")));
        };
        let asking = provider.unwrap_key(&wrap.identity, &wrap.key, &wrap.wrapped);
        match tokio::time::timeout(ANSWER_MAX, asking).await {
            Ok(Ok(share)) => Ok(share),
            Ok(Err(ProviderError::Denied(denial, text))) => Err(Answer::Denied(denial, text)),
            Ok(Err(ProviderError::Damaged(text))) => Err(Answer::Damaged(text)),
            Ok(Err(ProviderError::Unreachable(text))) => Err(Answer::Unreachable(text)),
            Err(_elapsed) => {
                let seconds = ANSWER_MAX.as_secs();
                Err(Answer::Unreachable(format!("vault `{vault}` gave no answer in {seconds} s")))
            }
        }
    }

    fn standing_of(&self, entry: &Entry) -> Standing {
        let now = self.clock.boot();
        let mut lease = entry.lease();
        entry.carry_out(lease.expire(now), None);
        match lease.state() {
            State::Locked(reason) => Standing::Locked(reason.clone()),
            State::Granted(_) if lease.is_degraded(now) => Standing::Degraded,
            State::Granted(_) => Standing::Unlocked,
        }
    }

    fn entry(&self, registry: RegistryId) -> Option<Arc<Entry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(&registry).map(Arc::clone)
    }

    fn all_entries(&self) -> Vec<Arc<Entry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().map(Arc::clone).collect()
    }

    fn entries_mut<R>(&self, work: impl FnOnce(&mut HashMap<RegistryId, Arc<Entry>>) -> R) -> R {
        work(&mut self.entries.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("registries", &self.registries()).finish_non_exhaustive()
    }
}

impl RegistryRecord {
    fn wraps(&self) -> Vec<Option<WrapId>> {
        self.epochs.iter().map(|epoch| epoch.wrap.as_ref().map(|wrap| wrap.id)).collect()
    }
}

impl Entry {
    fn lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called with the lease's lock held.
    fn carry_out(&self, act: Act, keys: Option<CellKeys>) {
        match (act, keys) {
            (Act::Fill, Some(keys)) => self.cell.fill(keys),
            (Act::Fill, None) => unreachable!("a grant always carries its keys"),
            (Act::Empty, _) => self.cell.empty(),
            (Act::Keep | Act::AskAgain, _) => {}
        }
    }
}

/// A check that is to run or runs; counted until it is dropped, cancelled ones included.
struct Check(Arc<Entry>);

impl Check {
    fn of(entry: &Arc<Entry>) -> Self {
        entry.checks.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(entry))
    }

    fn entry(&self) -> &Entry {
        &self.0
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.0.checks.fetch_sub(1, Ordering::AcqRel);
    }
}

fn damaged(error: UnlockError) -> Answer {
    Answer::Damaged(error.to_string())
}
