//! Stories of somebody who searches the disk for what customers put in.

use std::{
    fmt::Write as _,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use lockyard_oci::{Algorithm, Digest, MediaType};
use lockyard_registry::{Limits, Registry};

use crate::{
    Alone,
    support::{
        Base, World, append, artifact, body, by_digest, by_tag, descriptor, feed, files, noise,
        postgres, postgres_files, push, put, repo, run, sha256, tag, until_a_part_has,
    },
};

pub(crate) const STORIES: &[Alone] = &[
    ("readable::a_search_finds_what_is_there", nothing, a_search_finds_what_is_there),
    ("readable::nothing_is_readable_in_the_data_directory", nothing, nothing_in_the_directory),
    ("readable::nothing_is_readable_in_postgresqls_files", no_files, nothing_in_postgresqls_files),
    ("readable::nothing_is_readable_in_the_log", nothing, nothing_in_the_log),
];

fn nothing() -> Option<String> {
    None
}

fn no_files() -> Option<String> {
    if postgres().is_none() {
        return Some(crate::support::no_postgres());
    }
    let Some(path) = data_directory() else {
        return Some("skipped, LOCKYARD_TEST_POSTGRES_DATA is not set".to_owned());
    };
    let readable = fs::read_dir(&path).is_ok();
    (!readable).then(|| "skipped, the server's files cannot be read".to_owned())
}

fn data_directory() -> Option<PathBuf> {
    postgres_files().map(PathBuf::from)
}

/// Eights of bytes that must be found nowhere, and what they are of.
struct Needles {
    by_key: std::collections::HashMap<u64, String>,
    /// Which last two bytes of keys there are, so that nearly every byte is done with at one look.
    low: Vec<bool>,
}

impl Needles {
    fn new() -> Self {
        Self { by_key: std::collections::HashMap::new(), low: vec![false; 1 << 16] }
    }

    /// Every eight bytes of `secret`.
    fn add(&mut self, of: &str, secret: &[u8]) {
        assert!(secret.len() >= 8);
        for window in secret.windows(8) {
            let key = u64::from_be_bytes(window.try_into().unwrap());
            self.low[usize::try_from(key & 0xffff).unwrap()] = true;
            self.by_key.insert(key, of.to_owned());
        }
    }

    fn add_digest(&mut self, of: &str, digest: &Digest) {
        self.add(of, digest.raw());
        self.add(of, digest.encoded().as_bytes());
        self.add(of, digest.encoded().to_uppercase().as_bytes());
    }

    /// What is found among `bytes`: any eleven bytes of a secret, wherever they are.
    fn found_in(&self, bytes: &[u8]) -> Option<&str> {
        // Of eleven bytes, eight lie at every fourth place.
        let places = (0..bytes.len().saturating_sub(7)).step_by(4);
        places.map(|at| &bytes[at..at + 8]).find_map(|window| {
            let low = u16::from_be_bytes([window[6], window[7]]);
            if !self.low[usize::from(low)] {
                return None;
            }
            let key = u64::from_be_bytes(window.try_into().unwrap());
            self.by_key.get(&key).map(String::as_str)
        })
    }

    /// What is found in the names and bytes of a directory's files, and how much was searched.
    ///
    /// Files that are older than `since` hold nothing new and are left out.
    fn found_under(&self, dir: &Path, since: Option<SystemTime>) -> (Option<String>, usize) {
        let mut searched = 0;
        for path in files(dir) {
            let changed = fs::metadata(&path).and_then(|file| file.modified()).ok();
            if changed < since {
                continue;
            }
            let name = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
            // A server deletes files of its own while they are searched.
            let bytes = fs::read(&path).unwrap_or_default();
            searched += bytes.len();
            if let Some(of) = self.found_in(name.as_bytes()).or_else(|| self.found_in(&bytes)) {
                return (Some(format!("{of} is in {name}")), searched);
            }
        }
        (None, searched)
    }

    fn are_not_in(&self, dir: &Path, when: &str) {
        self.are_not_in_since(dir, None, when);
    }

    fn are_not_in_since(&self, dir: &Path, since: Option<SystemTime>, when: &str) {
        let (found, searched) = self.found_under(dir, since);
        assert_eq!(found, None, "{when}");
        assert!(searched > 10_000, "{when}: there is something to search, {searched} bytes");
    }
}

fn a_search_finds_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut needles = Needles::new();
    needles.add_digest("a digest", &sha256(b"content"));
    needles.add("a name", b"marked-name");
    let secret = sha256(b"content");
    for there in [
        secret.to_string().into_bytes(),
        secret.raw()[3..14].to_vec(),
        secret.encoded().as_bytes()[..11].to_vec(),
        b"marked-name".to_vec(),
    ] {
        let mut bytes = noise(1, 1001 + there.len() % 4);
        assert_eq!(needles.found_in(&bytes), None);
        bytes.extend(there);
        bytes.extend(noise(2, 1000));
        assert!(needles.found_in(&bytes).is_some());
    }
    fs::create_dir(dir.path().join("deep")).unwrap();
    fs::write(dir.path().join("deep/file"), noise(3, 20_000)).unwrap();
    assert_eq!(needles.found_under(dir.path(), None), (None, 20_000));
    let marked = [noise(3, 19_997), b"marked-name".to_vec()].concat();
    fs::write(dir.path().join("deep/file"), marked).unwrap();
    assert_eq!(needles.found_under(dir.path(), None).0.as_deref(), Some("a name is in deep/file"));
    fs::remove_file(dir.path().join("deep/file")).unwrap();
    fs::write(dir.path().join("deep/marked-name"), b"").unwrap();
    assert_eq!(
        needles.found_under(dir.path(), None).0.as_deref(),
        Some("a name is in deep/marked-name")
    );
}

/// What a customer pushed, and what must not be found of it.
struct Marked {
    needles: Needles,
    image: Digest,
    layer: Digest,
}

const NAME: &str = "wombat-project/quokka-store";
const TAG: &str = "bandicoot-1.0";

/// Pushes a bit of everything, each with a mark.
async fn push_marked(registry: &Registry) -> Marked {
    let mut needles = Needles::new();
    for secret in [
        "wombat-project",
        "quokka-store",
        TAG,
        "BILBY-IN-A-CONFIG",
        "POTOROO-IN-A-LAYER",
        "vnd.numbat.kind",
        "dibbler-key",
        "DIBBLER-VALUE",
        "KOWARI-IN-A-NOTE",
    ] {
        needles.add(secret, secret.as_bytes());
    }
    let config = b"{\"config\":\"BILBY-IN-A-CONFIG\"}";
    let config_digest = push(registry, NAME, config).await;
    let layer = b"POTOROO-IN-A-LAYER/and/names/of/files\n".repeat(5000);
    let layer_digest = push(registry, NAME, &layer).await;
    let random = noise(77, 300_000);
    for at in [0, 65_400, 65_500, 130_000, 299_900] {
        needles.add("a layer of noise", &random[at..at + 100]);
    }
    let random_digest = Digest::of(Algorithm::Sha512, &random);
    registry.push_blob(&repo(NAME), &random_digest, body(&random)).await.unwrap();

    let document = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST.as_str(),
        "config": descriptor(MediaType::OCI_CONFIG.as_str(), &config_digest),
        "layers": [
            descriptor("application/vnd.numbat.kind", &layer_digest),
            descriptor(MediaType::OCI_LAYER.as_str(), &random_digest),
        ],
        "annotations": { "dibbler-key": "DIBBLER-VALUE" },
    });
    let image = document.to_string();
    let made = put(registry, NAME, &by_tag(TAG), image.as_bytes()).await.unwrap();
    let kind = "application/vnd.numbat.kind";
    let referrer = artifact(&config_digest, kind, "KOWARI-IN-A-NOTE", &made.digest);
    let referrer_digest = sha256(&referrer);
    put(registry, NAME, &by_digest(referrer_digest), &referrer).await.unwrap();
    for (of, digest) in [
        ("the config's digest", config_digest),
        ("the layer's digest", layer_digest),
        ("the noise's digest", random_digest),
        ("the image's digest", made.digest),
        ("the referrer's digest", referrer_digest),
    ] {
        needles.add_digest(of, &digest);
    }
    // Listings hold names in memory; nothing of them must be written.
    assert_eq!(registry.list_tags(&repo(NAME), 9, None).await.unwrap().items, [TAG]);
    assert_eq!(registry.list_repositories(9, None).await.unwrap().items, [NAME]);
    Marked { needles, image: made.digest, layer: layer_digest }
}

/// A session with a finished step, whose mark goes into the needles.
async fn upload_marked(registry: &Registry, needles: &mut Needles) {
    let half = b"HALF-A-QUOLL-OF-AN-UPLOAD ".repeat(3000);
    needles.add("half an upload", &half[..52]);
    needles.add_digest("the digest of half an upload", &sha256(&half));
    let at = registry.start_upload(&repo(NAME), None).await.unwrap();
    append(registry, NAME, at, &half).await;
}

fn nothing_in_the_directory() {
    run(async {
        let mut world = World::new(&Base::Sqlite).await;
        let registry = world.registry();
        let mut marked = push_marked(&registry).await;
        upload_marked(&registry, &mut marked.needles).await;
        marked.needles.are_not_in(world.dir(), "while it is open");

        // In mid-upload: a copy of the directory is what a crash leaves.
        let crashed = tempfile::tempdir().unwrap();
        let sent = b"BETTONG-BEFORE-THE-CRASH ".repeat(200_000);
        marked.needles.add("what was sent before a crash", &sent[..50]);
        let (mut hand, arriving) = feed();
        let (name, digest) = (repo(NAME), sha256(&sent));
        let pushing = registry.push_blob(&name, &digest, arriving);
        let crash = async {
            hand.begun().await;
            hand.send(&sent[..4_000_000]);
            // The file grows while the body arrives.
            until_a_part_has(&world, 3_000_000).await;
            copy(world.dir(), crashed.path());
            marked.needles.are_not_in(world.dir(), "in mid-upload");
            hand.send(&sent[4_000_000..]);
            drop(hand);
        };
        tokio::join!(pushing, crash).0.unwrap();
        marked.needles.are_not_in(crashed.path(), "after a crash");
        let clock = Arc::clone(&world.clock);
        let engine = lockyard_store::Engine::Sqlite { path: crashed.path().join("store.db") };
        let recovered = lockyard_store::Store::open(engine, clock).unwrap();
        recovered.check().unwrap();
        marked.needles.are_not_in(crashed.path(), "recovered after a crash");
        drop(recovered);

        let name = repo(NAME);
        registry.delete_manifest(&name, &marked.image).await.unwrap();
        registry.delete_blob(&name, &marked.layer).await.unwrap();
        marked.needles.are_not_in(world.dir(), "after deletion");
        world.wait(Limits::default().upload_idle_max * 2).await;
        assert!(world.house.sweep().await.unwrap().parts_deleted > 0);
        world.wait(Duration::from_secs(3600)).await;
        world.house.sweep().await.unwrap();
        marked.needles.are_not_in(world.dir(), "after a sweep");
        world.stop();
        marked.needles.are_not_in(world.dir(), "after the end");
    });
}

fn nothing_in_postgresqls_files() {
    run(async {
        let base = postgres().unwrap();
        let directory = data_directory().unwrap();
        let mut world = World::new(&base).await;
        // What lay there before this story is not of it, and may be much.
        let since = fs::metadata(world.dir()).unwrap().modified().ok();
        let registry = world.registry();
        let mut marked = push_marked(&registry).await;
        upload_marked(&registry, &mut marked.needles).await;
        world.checkpoint();
        marked.needles.are_not_in_since(&directory, since, "while it is open");
        marked.needles.are_not_in(world.dir(), "beside the server");
        let name = repo(NAME);
        registry.delete_tag(&name, &tag(TAG)).await.unwrap();
        registry.delete_manifest(&name, &marked.image).await.unwrap();
        registry.delete_blob(&name, &marked.layer).await.unwrap();
        world.checkpoint();
        world.stop();
        marked.needles.are_not_in_since(&directory, since, "after deletion");
    });
}

/// A log that keeps what is written to it.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn nothing_in_the_log() {
    let kept = Kept::default();
    let writer = kept.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // Only what this thread does is logged here, so everything but sealing happens on it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let needles = tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let world = World::new(&Base::Sqlite).await;
            let registry = world.registry();
            let mut marked = push_marked(&registry).await;
            upload_marked(&registry, &mut marked.needles).await;
            // What goes wrong is what is logged.
            for path in world.part_files() {
                let mut bytes = fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(path, bytes).unwrap();
            }
            let _damaged = crate::support::pull(&registry, NAME, &marked.layer).await;
            world.house.drain().await;
            world.tamper("UPDATE manifest SET content = sealed");
            let damaged = registry.get_manifest(&repo(NAME), &by_tag(TAG)).await;
            let mut told = String::new();
            write!(told, "{:?} {}", damaged, damaged.as_ref().unwrap_err()).unwrap();
            tracing::info!(told, "as a face might log it");
            world.lock().await;
            marked.needles
        })
    });
    let log = kept.0.lock().unwrap();
    let text = String::from_utf8_lossy(&log);
    assert!(text.contains("damaged"), "there is something in the log: {text}");
    assert_eq!(needles.found_in(&log), None, "{text}");
}

fn copy(from: &Path, to: &Path) {
    for path in files(from) {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
}
