//! A world for one story: an instance of its own with one registry, a clock that the story winds,
//! a vault that it commands, and words to push and pull with.

use std::{
    path::Path,
    pin::Pin,
    process::id,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _, stream};
use lockyard_base::{Clock, Entropy, HandClock, RegistryId, SeededEntropy};
use lockyard_blobs::{LocalParts, PartStore, ReadError};
use lockyard_keyring::{Identity, Keyring, LeasePolicy, SlotKind, SlotSecret};
use lockyard_oci::{Algorithm, Digest, MediaType, Reference, RepositoryName, Tag};
use lockyard_registry::{
    Body, BodyError, CustomerKey, Ground, KeySource, Limits, PutManifest, Registries, Registry,
    RegistryError, UploadStatus, instance,
};
use lockyard_store::{Engine, Store};
use postgres::{Client, NoTls};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};

use crate::vault::{CommandedVault, Mood, OneVault};

/// Runs a story on a runtime of its own.
pub(crate) fn run(story: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(story);
}

/// Which database a story is told on.
#[derive(Clone)]
pub(crate) enum Base {
    Sqlite,
    Postgres { url: String },
}

/// The server that the environment names.
pub(crate) fn postgres() -> Option<Base> {
    Some(Base::Postgres { url: setting("LOCKYARD_TEST_POSTGRES")? })
}

/// Where that server keeps its files, if they can be read.
pub(crate) fn postgres_files() -> Option<String> {
    setting("LOCKYARD_TEST_POSTGRES_DATA")
}

#[expect(clippy::disallowed_methods, reason = "the harness reads its settings here")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

pub(crate) fn no_postgres() -> String {
    "skipped, LOCKYARD_TEST_POSTGRES is not set".to_owned()
}

/// An instance with one registry named `lockyard`.
pub(crate) struct World {
    pub(crate) house: Arc<Registries>,
    pub(crate) id: RegistryId,
    pub(crate) store: Store,
    pub(crate) clock: Arc<HandClock>,
    pub(crate) vault: Arc<CommandedVault>,
    limits: Limits,
    entropy: Arc<dyn Entropy>,
    secret: String,
    waited: Duration,
    place: Place,
    dir: TempDir,
}

/// Where a world's rows are; they go away with the world.
enum Place {
    Sqlite,
    Postgres { base: String, url: String, schema: String },
}

impl World {
    /// A registry with a customer key and ordinary limits.
    pub(crate) async fn new(base: &Base) -> Self {
        Self::with(base, Limits::default(), true).await
    }

    pub(crate) async fn limited(base: &Base, limits: Limits) -> Self {
        Self::with(base, limits, true).await
    }

    /// Every part is a file here, as most stories tell of files.
    pub(crate) async fn with(base: &Base, limits: Limits, customer: bool) -> Self {
        Self::build(base, Limits { row_part_bytes_max: 0, ..limits }, customer).await
    }

    /// Short parts lie in their rows here, as everywhere else.
    pub(crate) async fn in_rows(base: &Base, limits: Limits) -> Self {
        Self::build(base, limits, true).await
    }

    async fn build(base: &Base, limits: Limits, customer: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(HandClock::default());
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(11));
        let vault = CommandedVault::new();
        let place = Place::new(base);
        let store = Store::open(place.engine(dir.path()), clock.clone()).unwrap();
        let secret = SlotSecret::generate(&*entropy);
        let text = secret.dangerous_text().to_string();
        let opened = instance::initialise(&store, &*entropy, SlotKind::File, &secret).unwrap();
        let mut world = Self {
            house: build(dir.path(), &store, &clock, &entropy, &vault, limits, opened),
            id: RegistryId::from_bytes([0; 16]),
            store,
            clock,
            vault,
            limits,
            entropy,
            secret: text,
            waited: Duration::ZERO,
            place,
            dir,
        };
        let customer = customer.then(|| world.customer_key());
        let name = "lockyard".parse().unwrap();
        world.id = world.house.create(&name, customer).await.unwrap();
        world
    }

    pub(crate) fn customer_key(&self) -> CustomerKey {
        CustomerKey {
            provider: Arc::clone(&self.vault) as _,
            key: "myvault/key/00000000000000000000000000000001".parse().unwrap(),
            identity: Identity::from_bytes([9; 16]),
        }
    }

    /// The registry as its owner sees it.
    pub(crate) fn registry(&self) -> Registry {
        self.store.notice_strange_writes();
        self.house.open_inside(self.id).unwrap()
    }

    /// Drops everything that is in memory and opens it again.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        self.start().await;
    }

    /// Closes the database; everything of this world fails until [`World::start`].
    pub(crate) fn stop(&mut self) {
        self.house.keyring().lock_all();
        self.store.clone().close();
    }

    pub(crate) async fn start(&mut self) {
        let engine = self.place.engine(self.dir.path());
        self.store = Store::open(engine, self.clock.clone()).unwrap();
        self.store.advance_database_clock(self.waited);
        self.house = self.second_house().unwrap();
        self.house.admit_all().await.unwrap();
    }

    /// What a restart would build from the rows as they are now; nothing is admitted yet.
    pub(crate) fn second_house(&self) -> Result<Arc<Registries>, instance::InstanceError> {
        let opened = instance::open(&self.store, &[(SlotKind::File, self.secret())])?;
        let (dir, store, clock) = (self.dir.path(), &self.store, &self.clock);
        Ok(build(dir, store, clock, &self.entropy, &self.vault, self.limits, opened))
    }

    /// What opens the instance.
    pub(crate) fn secret(&self) -> SlotSecret {
        SlotSecret::from_text(&self.secret).unwrap()
    }

    pub(crate) fn entropy(&self) -> Arc<dyn Entropy> {
        Arc::clone(&self.entropy)
    }

    /// Lets time pass on both engines; the vault is asked again, as it would have been meanwhile.
    pub(crate) async fn wait(&mut self, span: Duration) {
        self.waited += span;
        self.clock.advance(span);
        self.store.advance_database_clock(span);
        self.house.keyring().changed().await;
    }

    /// The vault denies the key, and says so.
    pub(crate) async fn lock(&self) {
        self.vault.denies();
        self.house.keyring().changed().await;
        assert!(self.house.open_inside(self.id).is_err());
    }

    /// The vault grants the key again, and says so.
    pub(crate) async fn unlock(&self) {
        self.vault.becomes(Mood::Grants);
        self.house.keyring().changed().await;
        assert!(self.house.open_inside(self.id).is_ok());
    }

    /// Runs a statement past the store; it must change something.
    pub(crate) fn tamper(&self, sql: &str) {
        let changed = match &self.place {
            Place::Sqlite => self.sqlite().execute(sql, []).unwrap() as u64,
            Place::Postgres { url, .. } => {
                let (url, sql) = (url.clone(), sql.to_owned());
                let tampering = std::thread::spawn(move || {
                    Client::connect(&url, NoTls).unwrap().execute(&sql, &[]).unwrap()
                });
                tampering.join().unwrap()
            }
        };
        self.store.notice_strange_writes();
        assert!(changed > 0, "{sql} changed nothing");
    }

    /// Makes a server write everything that it has in memory.
    pub(crate) fn checkpoint(&self) {
        let Place::Postgres { url, .. } = &self.place else { return };
        let url = url.clone();
        let writing = std::thread::spawn(move || {
            Client::connect(&url, NoTls).unwrap().batch_execute("CHECKPOINT").unwrap();
        });
        writing.join().unwrap();
    }

    /// A second connection to the rows, for whoever tampers with them.
    pub(crate) fn sqlite(&self) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.dir.path().join("store.db")).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.pragma_update(None, "synchronous", "OFF").unwrap();
        connection.pragma_update(None, "foreign_keys", false).unwrap();
        connection
    }

    /// The directory that holds the database (on SQLite) and the parts.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The files of all parts.
    pub(crate) fn part_files(&self) -> Vec<std::path::PathBuf> {
        let mut files = files(&self.dir.path().join("parts"));
        files.sort();
        files
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Place::Postgres { base, schema, .. } = &self.place {
            self.store.clone().close();
            let (base, sql) = (base.clone(), format!("DROP SCHEMA {schema} CASCADE"));
            // The blocking client has a runtime of its own, which must not start inside of another.
            let dropping = std::thread::spawn(move || {
                Client::connect(&base, NoTls).unwrap().batch_execute(&sql).unwrap();
            });
            dropping.join().unwrap();
        }
    }
}

impl Place {
    fn new(base: &Base) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let Base::Postgres { url } = base else { return Self::Sqlite };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let schema = format!("lockyard_registry_it_{}_{number}", id());
        let (base, sql) = (url.clone(), format!("CREATE SCHEMA {schema}"));
        let making = std::thread::spawn(move || {
            Client::connect(&base, NoTls).unwrap().batch_execute(&sql).unwrap();
        });
        making.join().unwrap();
        let joint = if url.contains('?') { '&' } else { '?' };
        let own = format!("{url}{joint}options=-csearch_path%3D{schema}");
        Self::Postgres { base: url.clone(), url: own, schema }
    }

    fn engine(&self, dir: &Path) -> Engine {
        match self {
            Self::Sqlite => Engine::Sqlite { path: dir.join("store.db") },
            Self::Postgres { url, .. } => Engine::Postgres { url: url.clone(), connections: 6 },
        }
    }
}

fn build(
    dir: &Path,
    store: &Store,
    clock: &Arc<HandClock>,
    entropy: &Arc<dyn Entropy>,
    vault: &Arc<CommandedVault>,
    limits: Limits,
    opened: instance::Opened,
) -> Arc<Registries> {
    let parts: Arc<dyn PartStore> = Arc::new(LocalParts::open(&dir.join("parts")).unwrap());
    let clock: Arc<dyn Clock> = clock.clone();
    let keyring = Keyring::new(
        opened.service,
        Arc::new(KeySource::new(store.clone(), Arc::clone(&opened.keys))),
        Arc::new(OneVault(Arc::clone(vault))),
        Arc::clone(&clock),
        LeasePolicy::default(),
    );
    Registries::new(Ground {
        store: store.clone(),
        parts,
        keyring: Arc::new(keyring),
        instance: opened.keys,
        clock,
        entropy: Arc::clone(entropy),
        limits,
    })
}

/// Returns when some part's file has grown to `length` bytes.
pub(crate) async fn until_a_part_has(world: &World, length: u64) {
    let has = |path: &std::path::PathBuf| std::fs::metadata(path).unwrap().len() >= length;
    while !world.part_files().iter().any(has) {
        tokio::task::yield_now().await;
    }
}

/// All files under a directory; what a server deletes meanwhile may be missing.
pub(crate) fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

pub(crate) fn repo(name: &str) -> RepositoryName {
    name.parse().unwrap()
}

pub(crate) fn tag(name: &str) -> Tag {
    name.parse().unwrap()
}

pub(crate) fn tags(names: &[&str]) -> Vec<Tag> {
    names.iter().map(|name| tag(name)).collect()
}

pub(crate) fn by_tag(name: &str) -> Reference {
    Reference::Tag(tag(name))
}

pub(crate) fn by_digest(digest: Digest) -> Reference {
    Reference::Digest(digest)
}

pub(crate) fn sha256(content: &[u8]) -> Digest {
    Digest::of(Algorithm::Sha256, content)
}

/// Bytes that look like nothing, always the same for one seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededEntropy::new(seed).fill(&mut bytes);
    bytes
}

/// A body that arrives in pieces of at most 10,000 bytes.
pub(crate) fn body(content: &[u8]) -> Body {
    let pieces: Vec<_> =
        content.chunks(10_000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

/// A body whose client goes away after `content`.
pub(crate) fn cut_body(content: &[u8]) -> Body {
    body(content).chain(stream::iter([Err(BodyError)])).boxed()
}

/// A body that a story feeds while it is being taken in.
pub(crate) struct Feed {
    pieces: mpsc::UnboundedSender<Bytes>,
    begun: Option<oneshot::Receiver<()>>,
}

struct Fed {
    pieces: mpsc::UnboundedReceiver<Bytes>,
    begun: Option<oneshot::Sender<()>>,
}

/// A body, and the hand that feeds it; it ends when the hand is dropped.
pub(crate) fn feed() -> (Feed, Body) {
    let (to, pieces) = mpsc::unbounded_channel();
    let (told, begun) = oneshot::channel();
    (Feed { pieces: to, begun: Some(begun) }, Fed { pieces, begun: Some(told) }.boxed())
}

impl Feed {
    /// Returns when somebody has begun to take the body in.
    pub(crate) async fn begun(&mut self) {
        self.begun.take().unwrap().await.unwrap();
    }

    pub(crate) fn send(&self, content: &[u8]) {
        // Whoever took it in may have given up.
        let _gone = self.pieces.send(Bytes::copy_from_slice(content));
    }
}

impl Stream for Fed {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(told) = self.begun.take() {
            let _nobody_waits = told.send(());
        }
        self.pieces.poll_recv(cx).map(|piece| piece.map(Ok))
    }
}

/// Pushes a blob in one request and returns its digest.
pub(crate) async fn push(registry: &Registry, name: &str, content: &[u8]) -> Digest {
    let digest = sha256(content);
    registry.push_blob(&repo(name), &digest, body(content)).await.unwrap();
    digest
}

/// Pulls a whole blob.
pub(crate) async fn pull(
    registry: &Registry,
    name: &str,
    digest: &Digest,
) -> Result<Vec<u8>, RegistryError> {
    let content = registry.read_blob(&repo(name), digest, None).await?;
    assert_eq!(content.range, 0..content.length);
    drain(content.stream).await.map_err(|error| RegistryError::Unavailable(Box::new(error)))
}

/// Everything that a stream gives, or its first error.
pub(crate) async fn drain(
    stream: impl Stream<Item = Result<Bytes, ReadError>>,
) -> Result<Vec<u8>, ReadError> {
    let gather = |mut all: Vec<u8>, piece: Bytes| async move {
        all.extend_from_slice(&piece);
        Ok(all)
    };
    stream.try_fold(Vec::new(), gather).await
}

pub(crate) fn is_unknown_blob(outcome: &Result<Vec<u8>, RegistryError>) -> bool {
    matches!(outcome, Err(RegistryError::BlobUnknown))
}

/// A manifest of an image with one config and these layers.
pub(crate) fn image(config: &Digest, layers: &[Digest]) -> Vec<u8> {
    image_of("application/vnd.oci.image.layer.v1.tar", config, layers, None)
}

pub(crate) fn image_of(
    layer_type: &str,
    config: &Digest,
    layers: &[Digest],
    more: Option<(&str, serde_json::Value)>,
) -> Vec<u8> {
    let layers: Vec<_> = layers.iter().map(|digest| descriptor(layer_type, digest)).collect();
    let mut document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "config": descriptor(MediaType::OCI_CONFIG.as_str(), config),
        "layers": layers,
    });
    if let Some((field, value)) = more {
        document[field] = value;
    }
    // Not as a serializer would write it: it must come back verbatim.
    format!("{document:#}\n\n").into_bytes()
}

/// A manifest without a config worth pushing that refers to `subject`.
pub(crate) fn artifact(
    config: &Digest,
    artifact_type: &str,
    note: &str,
    subject: &Digest,
) -> Vec<u8> {
    let document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "artifactType": artifact_type,
        "config": descriptor(MediaType::OCI_EMPTY.as_str(), config),
        "layers": [],
        "subject": descriptor(MediaType::OCI_MANIFEST.as_str(), subject),
        "annotations": { "note": note },
    });
    document.to_string().into_bytes()
}

/// An index of these children.
pub(crate) fn index(children: &[(MediaType, Digest)]) -> Vec<u8> {
    let manifests: Vec<_> =
        children.iter().map(|(kind, digest)| descriptor(kind.as_str(), digest)).collect();
    let document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX.as_str(),
        "manifests": manifests,
    });
    document.to_string().into_bytes()
}

pub(crate) fn descriptor(media_type: &str, digest: &Digest) -> serde_json::Value {
    serde_json::json!({ "mediaType": media_type, "digest": digest.to_string(), "size": 2 })
}

/// Pushes a manifest by tag.
pub(crate) async fn put(
    registry: &Registry,
    name: &str,
    reference: &Reference,
    manifest: &[u8],
) -> Result<PutManifest, RegistryError> {
    let bytes = Bytes::copy_from_slice(manifest);
    registry.put_manifest(&repo(name), reference, &[], None, bytes).await
}

/// A small image under a tag, with blobs of its own: its digest, config and layer.
pub(crate) async fn push_image(
    registry: &Registry,
    name: &str,
    tag: &str,
    seed: u64,
) -> (Digest, Digest, Digest) {
    let config = push(registry, name, format!("{{\"seed\":{seed}}}").as_bytes()).await;
    let layer = push(registry, name, &noise(seed, 50)).await;
    let put = put(registry, name, &by_tag(tag), &image(&config, &[layer])).await.unwrap();
    (put.digest, config, layer)
}

/// One step of a session that must succeed.
pub(crate) async fn append(
    registry: &Registry,
    name: &str,
    at: UploadStatus,
    content: &[u8],
) -> UploadStatus {
    registry.append_upload(&repo(name), at.ticket, None, body(content)).await.unwrap()
}

/// Lets a future run until it waits for something; it must not end.
pub(crate) async fn until_it_waits<F: Future + Unpin>(future: &mut F) {
    assert!(future.now_or_never().is_none(), "it waits");
    tokio::task::yield_now().await;
}
