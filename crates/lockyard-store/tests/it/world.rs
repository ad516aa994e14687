//! A world for one story: a database of its own, a clock that the story winds, and rows to begin
//! with.

use std::{
    fmt,
    process::id,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lockyard_base::{
    BlindIndex, BlobId, Entropy, Epoch, HandClock, LinkId, ManifestId, OsEntropy, RegistryId,
    RepositoryId,
};
use lockyard_store::{
    Engine, Store, StoreError, Txn, blob, epoch, link, manifest, registry, repository,
};
use postgres::{Client, NoTls};
use tempfile::TempDir;

/// Which database a story is told on.
#[derive(Clone)]
pub(crate) enum Base {
    Sqlite,
    Postgres { url: String },
}

/// The server that the environment names.
pub(crate) fn postgres() -> Option<Base> {
    #[expect(clippy::disallowed_methods, reason = "the harness reads its one setting here")]
    let url = std::env::var("LOCKYARD_TEST_POSTGRES").ok()?;
    Some(Base::Postgres { url })
}

pub(crate) fn no_postgres() -> String {
    "skipped, LOCKYARD_TEST_POSTGRES is not set".to_owned()
}

/// One database, opened twice: on PostgreSQL by two stores with connections of their own, as two
/// nodes would; on SQLite by two handles of the one store that there can be.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) other: Store,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) place: Place,
}

/// Where a world's database is; it goes away with the world.
pub(crate) enum Place {
    Sqlite { dir: TempDir },
    Postgres { base: String, url: String, schema: String },
}

impl World {
    pub(crate) fn new(base: &Base) -> Self {
        let clock = Arc::new(HandClock::default());
        let place = Place::new(base);
        let store = Store::open(place.engine(), clock.clone()).unwrap();
        let other = match base {
            Base::Sqlite => store.clone(),
            Base::Postgres { .. } => Store::open(place.engine(), clock.clone()).unwrap(),
        };
        Self { store, other, clock, place }
    }

    /// Closes the database and opens it again.
    pub(crate) fn restarted(self) -> Self {
        let Self { store, other, clock, place } = self;
        store.close();
        other.close();
        let store = Store::open(place.engine(), clock.clone()).unwrap();
        Self { other: store.clone(), store, clock, place }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        matches!(self.place, Place::Postgres { .. })
    }

    /// Lets time pass on both engines.
    pub(crate) fn wait(&self, span: Duration) {
        self.clock.advance(span);
        self.store.advance_database_clock(span);
        self.other.advance_database_clock(span);
    }

    pub(crate) fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Txn<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write_blocking(None, work).unwrap()
    }

    pub(crate) fn read<T: Send>(
        &self,
        work: impl FnOnce(&mut Txn<'_>) -> Result<T, StoreError> + Send,
    ) -> T {
        self.store.read_blocking(work).unwrap()
    }

    /// Returns once some connection of this world waits for a lock of another one, or when that
    /// will not happen any more; at once on SQLite, where writes wait in a queue.
    pub(crate) fn until_somebody_waits(&self, or: impl Fn() -> bool) {
        let Place::Postgres { base, schema, .. } = &self.place else { return };
        let mut client = Client::connect(base, NoTls).unwrap();
        let waiting = "SELECT 1 FROM pg_stat_activity \
                       WHERE application_name = $1 AND cardinality(pg_blocking_pids(pid)) > 0";
        while client.query(waiting, &[schema]).unwrap().is_empty() && !or() {}
    }

    /// A registry with its first epoch.
    pub(crate) fn registry(&self) -> RegistryId {
        let id = RegistryId::random(&OsEntropy);
        let name_index = index("registry", &id.to_string());
        self.write(move |txn| {
            let new = registry::NewRegistry { registry_id: id, name_index, sealed: b"registry" };
            assert!(registry::insert(txn, &new)?);
            let new = epoch::NewEpoch {
                registry_id: id,
                epoch: Epoch::FIRST,
                customer: true,
                service_share: b"share",
                key_check: [7; 32],
            };
            assert!(epoch::insert(txn, &new)?);
            Ok(())
        });
        id
    }

    pub(crate) fn repository(&self, registry: RegistryId, name: &str) -> RepositoryId {
        let (name, id) = (index("repository", name), RepositoryId::random(&OsEntropy));
        let make = move |txn: &mut Txn<'_>| {
            repository::upsert_live(txn, registry, &name, id, Epoch::FIRST, b"repository")
        };
        self.write(make).repository_id
    }

    /// A blob that `repository` links to.
    pub(crate) fn blob(
        &self,
        registry: RegistryId,
        repository: RepositoryId,
        name: &str,
    ) -> (BlobId, LinkId) {
        let (blob_id, link_id) = (BlobId::random(&OsEntropy), LinkId::random(&OsEntropy));
        let digest_index = index("digest", name);
        self.write(move |txn| {
            let new = blob::NewBlob {
                blob_id,
                registry_id: registry,
                digest_index,
                epoch: Epoch::FIRST,
                sealed: b"blob",
            };
            assert!(blob::insert(txn, &new)?);
            let new = new_link(link_id, repository, blob_id);
            assert!(link::insert_or_touch(txn, &new)?);
            Ok((blob_id, link_id))
        })
    }

    pub(crate) fn manifest(
        &self,
        registry: RegistryId,
        repository: RepositoryId,
        name: &str,
    ) -> ManifestId {
        let manifest_id = ManifestId::random(&OsEntropy);
        let (digest_index, child_index) = (index("scoped", name), index("digest", name));
        self.write(move |txn| {
            let new = manifest::NewManifest {
                manifest_id,
                registry_id: registry,
                repository_id: repository,
                digest_index,
                child_index,
                epoch: Epoch::FIRST,
                sealed: b"descriptor",
                content: b"content",
            };
            assert!(manifest::insert(txn, &new)?);
            Ok(manifest_id)
        })
    }
}

pub(crate) fn new_link(
    link_id: LinkId,
    repository_id: RepositoryId,
    blob_id: BlobId,
) -> link::NewLink<'static> {
    link::NewLink { link_id, repository_id, blob_id, epoch: Epoch::FIRST, sealed: b"link" }
}

/// An index that no key made; the store cannot tell.
pub(crate) fn index(kind: &str, name: &str) -> BlindIndex {
    let mut bytes = [0_u8; 32];
    for (place, byte) in kind.bytes().chain(name.bytes()).enumerate() {
        bytes[place % 32] = bytes[place % 32].wrapping_mul(31) ^ byte;
    }
    BlindIndex::from_bytes(bytes)
}

/// Bytes that compress to nothing and occur nowhere else.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    OsEntropy.fill(&mut bytes);
    bytes
}

impl Place {
    fn new(base: &Base) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        match base {
            Base::Sqlite => Self::Sqlite { dir: tempfile::tempdir().unwrap() },
            Base::Postgres { url } => {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                let schema = format!("lockyard_it_{}_{number}", id());
                let mut client = Client::connect(url, NoTls).unwrap();
                client.batch_execute(&format!("CREATE SCHEMA {schema}")).unwrap();
                let joint = if url.contains('?') { '&' } else { '?' };
                let options = format!("options=-csearch_path%3D{schema}");
                let name = format!("application_name={schema}");
                let own = format!("{url}{joint}{options}&{name}");
                Self::Postgres { base: url.clone(), url: own, schema }
            }
        }
    }

    pub(crate) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite { dir } => Engine::Sqlite { path: dir.path().join("store.db") },
            Self::Postgres { url, .. } => Engine::Postgres { url: url.clone(), connections: 6 },
        }
    }

    /// Runs a statement past the store; it must change something.
    pub(crate) fn tamper(&self, sql: &str) {
        match self {
            Self::Sqlite { dir } => {
                let connection = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
                connection.execute_batch(sql).unwrap();
            }
            Self::Postgres { url, .. } => {
                Client::connect(url, NoTls).unwrap().batch_execute(sql).unwrap();
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Postgres { base, schema, .. } = self {
            let mut client = Client::connect(base, NoTls).unwrap();
            client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).unwrap();
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine().fmt(f)
    }
}
