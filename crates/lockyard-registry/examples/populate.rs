//! Fills a data directory with manifests, to see how things grow.
//!
//! `populate DATA_DIR MANIFESTS` pushes that many small images through the registry's own verbs into
//! the default registry of a stopped server's data directory, so that every row is sealed, bound and
//! linked as a client's would be. Many pushes are under way at once and share commits. On a disk
//! the million takes long, since each commit is synced; a file system in memory is the place for it.
//! Works on registries without a customer key only: it has no vault.

use std::{
    error::Error,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use lockyard_base::{Clock as _, OsEntropy, SystemClock};
use lockyard_blobs::LocalParts;
use lockyard_keyring::{
    KeyProvider, Keyring, LeasePolicy, Providers, SlotKind, SlotSecret, VaultAddress,
};
use lockyard_oci::{Algorithm, Digest, Reference, RegistryName, RepositoryName};
use lockyard_registry::{Ground, KeySource, Limits, Registries, Registry, instance};
use lockyard_store::{Engine, Store};

/// Manifests of one repository.
const PER_REPOSITORY: u64 = 1000;
/// Blobs of one repository that its manifests choose their layers from.
const LAYERS: u64 = 8;
/// Pushes under way at once: enough to fill the store's commits.
const AT_ONCE: usize = 512;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [data, count] => count.parse().map_err(Into::into).and_then(|count| run(data, count)),
        _ => Err("usage: populate DATA_DIR MANIFESTS".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("populate: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(data: &str, count: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let data = PathBuf::from(data);
    let registries = open(&data)?;
    let begun = SystemClock.boot();
    runtime.block_on(async {
        registries.admit_all().await?;
        let id =
            registries.find(&RegistryName::default()).await?.ok_or("no default registry")?.id();
        let registry = Arc::new(registries.open_inside(id)?);
        for number in 0..count.div_ceil(PER_REPOSITORY) {
            let here = PER_REPOSITORY.min(count - number * PER_REPOSITORY);
            fill(&registry, number, here).await?;
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(())
    })?;
    let took = SystemClock.boot().since(begun);
    say(&format!("{count} manifests in {:.1} s", took.as_secs_f64()));
    Ok(())
}

/// Opens the instance as the server does, apart from its vault.
fn open(data: &Path) -> Outcome<Arc<Registries>> {
    let clock = Arc::new(SystemClock);
    let engine = Engine::Sqlite { path: data.join("lockyard.db") };
    let store = Store::open(engine, Arc::clone(&clock) as _)?;
    let secret = SlotSecret::from_text(&std::fs::read_to_string(data.join("service.key"))?)?;
    let opened = instance::open(&store, &[(SlotKind::File, secret)])?;
    let source = Arc::new(KeySource::new(store.clone(), Arc::clone(&opened.keys)));
    let policy = LeasePolicy::default();
    let keyring =
        Keyring::new(opened.service, source, Arc::new(NoVault), Arc::clone(&clock) as _, policy);
    Ok(Registries::new(Ground {
        store,
        parts: Arc::new(LocalParts::open(&data.join("parts"))?),
        keyring: Arc::new(keyring),
        instance: opened.keys,
        clock,
        entropy: Arc::new(OsEntropy),
        limits: Limits::default(),
    }))
}

/// Pushes one repository: a few blobs, and manifests that choose among them.
async fn fill(registry: &Arc<Registry>, number: u64, manifests: u64) -> Outcome {
    let name: RepositoryName = format!("load/repository-{number}").parse()?;
    let config = push(registry, &name, format!("{{\"repository\":{number}}}")).await?;
    let mut layers = Vec::new();
    for layer in 0..LAYERS {
        layers.push(push(registry, &name, format!("layer {layer}")).await?);
    }
    let (name, layers) = (&name, &layers);
    stream::iter(0..manifests)
        .map(|tag| {
            let chosen = [tag % LAYERS, (tag / LAYERS) % LAYERS];
            let layers =
                chosen.map(|at| layers.iter().cycle().nth(usize::try_from(at).unwrap_or(0)));
            let layers: Vec<&str> = layers.into_iter().flatten().map(String::as_str).collect();
            let json = format!(
                "{{\"schemaVersion\":2,\
                 \"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
                 \"config\":{config},\"layers\":[{}],\"annotations\":{{\"number\":\"{tag}\"}}}}",
                layers.join(",")
            );
            async move {
                let reference = Reference::Tag(format!("v{tag}").parse()?);
                registry.put_manifest(name, &reference, &[], None, Bytes::from(json)).await?;
                Ok::<_, Box<dyn Error + Send + Sync>>(())
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

/// Pushes a blob and returns its descriptor.
async fn push(registry: &Registry, name: &RepositoryName, content: String) -> Outcome<String> {
    let digest = Digest::of(Algorithm::Sha256, content.as_bytes());
    let size = content.len();
    let body = stream::iter([Ok(Bytes::from(content))]).boxed();
    registry.push_blob(name, &digest, body).await?;
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    Ok(format!("{{\"mediaType\":\"{media_type}\",\"digest\":\"{digest}\",\"size\":{size}}}"))
}

/// No vault: registries with a customer key stay locked.
#[derive(Debug)]
struct NoVault;

impl Providers for NoVault {
    fn provider(&self, _vault: &VaultAddress) -> Option<Arc<dyn KeyProvider>> {
        None
    }

    fn all(&self) -> Vec<Arc<dyn KeyProvider>> {
        Vec::new()
    }
}

fn say(line: &str) {
    // Nobody reads what cannot be written.
    drop(writeln!(std::io::stdout(), "{line}"));
}
