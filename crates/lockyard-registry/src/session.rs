//! One unlocked registry for one request.

use std::{fmt, sync::Arc};

use lockyard_access::registry_token::Verb;
use lockyard_base::Epoch;
use lockyard_keyring::UnlockedRegistry;
use lockyard_oci::RepositoryName;
use lockyard_store::{CommitGuard, Durability, StoreError, Txn, epoch, repository};
use tokio_util::sync::CancellationToken;

use crate::{
    Registries, RegistryError,
    access::Gate,
    intake::blocking,
    opened::OpenedRepository,
    rows::{Rows, Sealed},
};

/// How often a write starts over because another one came first.
const ATTEMPTS_MAX: usize = 16;

/// One unlocked registry for one request; every verb decides access itself.
pub struct Registry {
    pub(crate) house: Arc<Registries>,
    pub(crate) rows: Arc<Rows>,
    gate: Gate,
}

impl Registry {
    pub(crate) fn new(house: Arc<Registries>, unlocked: UnlockedRegistry, gate: Gate) -> Self {
        let ground = house.ground();
        let entropy = Arc::clone(&ground.entropy);
        let rows = Rows::new(unlocked, entropy, ground.limits.opened_bytes_max);
        Self { house, rows: Arc::new(rows), gate }
    }

    /// A second one for a task that outlives the request.
    pub(crate) fn share(&self) -> Self {
        let gate = self.gate.clone();
        Self { house: Arc::clone(&self.house), rows: Arc::clone(&self.rows), gate }
    }

    /// Cancelled when the registry locks: whatever connection serves it ends then.
    pub fn revoked(&self) -> &CancellationToken {
        self.rows.unlocked().revoked()
    }

    /// Whether the caller may do `verb` with a repository now.
    pub(crate) fn authorize(&self, verb: Verb, name: &RepositoryName) -> Result<(), RegistryError> {
        self.gate.check(verb, Some(name))
    }

    /// Whether the caller may see the names of all repositories now.
    pub(crate) fn authorize_catalog(&self) -> Result<(), RegistryError> {
        self.gate.check(Verb::Catalog, None)
    }

    /// Whether the caller limited itself to some repositories.
    pub(crate) fn is_limited(&self) -> bool {
        self.gate.is_limited()
    }

    /// Reads in one transaction.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Txn<'_>, &Rows) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let rows = Arc::clone(&self.rows);
        self.house.ground().store.read(move |txn| work(txn, &rows)).await
    }

    /// Reads in one transaction on a thread of its own: for jobs that open much at once.
    pub(crate) async fn read_aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Txn<'_>, &Rows) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let (rows, store) = (Arc::clone(&self.rows), self.house.ground().store.clone());
        blocking(move || store.read_blocking(move |txn| work(txn, &rows))).await?
    }

    /// Writes in one transaction that commits only if the registry is still unlocked and its epoch
    /// still active; starts over when overtaken.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Txn<'_>, &Rows, Epoch) -> Result<T, RegistryError> + Send + Sync + 'static,
    ) -> Result<T, RegistryError> {
        self.write_with(Durability::Now, work).await
    }

    /// The same for what a power cut may take back: it outlives the process, and is on the disk with
    /// the next write that has to be.
    pub(crate) async fn write_soon<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Txn<'_>, &Rows, Epoch) -> Result<T, RegistryError> + Send + Sync + 'static,
    ) -> Result<T, RegistryError> {
        self.write_with(Durability::Soon, work).await
    }

    async fn write_with<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl Fn(&mut Txn<'_>, &Rows, Epoch) -> Result<T, RegistryError> + Send + Sync + 'static,
    ) -> Result<T, RegistryError> {
        let work = Arc::new(work);
        for _ in 0..ATTEMPTS_MAX {
            let (rows, work) = (Arc::clone(&self.rows), Arc::clone(&work));
            let guard = Arc::new(StillUnlocked(self.rows.unlocked().share()));
            let store = &self.house.ground().store;
            let attempt = store.write_with(durability, Some(guard), move |txn| {
                let active = rows.unlocked().epoch()?;
                epoch::hold_active(txn, rows.registry(), active)?;
                work(txn, &rows, active)
            });
            match attempt.await {
                Err(RegistryError::Overtaken) => {}
                outcome => return outcome,
            }
        }
        Err(RegistryError::Unavailable(Box::new(StoreError::Busy(None))))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({})", self.rows.registry())
    }
}

/// The live repository of this name, proved to be it.
pub(crate) fn repository(
    txn: &mut Txn<'_>,
    rows: &Rows,
    name: &RepositoryName,
) -> Result<Option<repository::RepositoryRow>, RegistryError> {
    let (opened, bytes_max) = rows.opened()?;
    let known = opened.repositories.get(name, bytes_max);
    let index =
        known.as_ref().map_or_else(|| rows.repository_index(name), |known| Ok(known.index))?;
    let Some(row) = repository::by_index(txn, rows.registry(), &index)? else { return Ok(None) };
    if row.deleted {
        return Ok(None);
    }
    if known.is_some_and(|known| known.is(&row)) {
        return Ok(Some(row));
    }
    let sealed = Sealed { epoch: row.epoch, bytes: &row.sealed };
    let stored = rows.open_repository(row.repository_id, &index, sealed)?;
    if stored != name.as_str() {
        return Err(RegistryError::Damaged("a repository"));
    }
    opened.repositories.put(name.clone(), OpenedRepository::of(index, &row), bytes_max);
    Ok(Some(row))
}

/// The repository of this name, made if need be.
pub(crate) fn repository_or_new(
    txn: &mut Txn<'_>,
    rows: &Rows,
    name: &RepositoryName,
) -> Result<repository::RepositoryRow, RegistryError> {
    if let Some(row) = repository(txn, rows, name)? {
        return Ok(row);
    }
    let index = rows.repository_index(name)?;
    let id = lockyard_base::RepositoryId::random(rows.entropy());
    let sealed = rows.seal_repository(id, &index, name)?;
    let registry = rows.registry();
    Ok(repository::upsert_live(txn, registry, &index, id, sealed.epoch, &sealed.bytes)?)
}

/// Refuses a commit for a registry that was locked since its request began.
struct StillUnlocked(UnlockedRegistry);

impl CommitGuard for StillUnlocked {
    fn permits(&self) -> bool {
        self.0.is_live()
    }
}
