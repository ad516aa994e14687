//! An instance with one registry on a simulated disk, and its restart after a power cut.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lockyard_base::{Clock, Entropy, HandClock, PartId, RegistryId, SeededEntropy, chain};
use lockyard_blobs::{LocalParts, PartStore};
use lockyard_keyring::{Identity, Keyring, LeasePolicy, SlotKind, SlotSecret};
use lockyard_registry::{
    CollectMode, CustomerKey, Ground, KeySource, Limits, Registries, Registry, RegistryError,
    instance,
};
use lockyard_store::{Store, walk};

use crate::{
    Loss, SimDisk, Universe,
    disk::SimFiles,
    vault::{FaultyVault, OneVault},
};

/// What a world is made with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Where its randomness comes from.
    pub seed: u64,
    /// How much of everything.
    pub limits: Limits,
}

/// An instance with one registry, which has a customer key.
#[derive(Debug)]
pub struct World {
    /// What it lies on.
    pub disk: Arc<SimDisk>,
    /// Its registries.
    pub house: Arc<Registries>,
    /// Its one registry.
    pub id: RegistryId,
    /// Its rows.
    pub store: Store,
    /// Its clock; a restart goes on from the same time.
    pub clock: Arc<HandClock>,
    settings: Settings,
    secret: String,
    /// How often it was opened: each time has other random numbers.
    opened: Arc<AtomicU64>,
}

impl World {
    /// Founds an instance on an empty disk.
    pub async fn found(settings: Settings) -> Self {
        let (disk, clock) = (SimDisk::new(), Arc::new(HandClock::default()));
        let entropy = SeededEntropy::new(settings.seed);
        let secret = SlotSecret::generate(&entropy);
        let text = secret.dangerous_text().to_string();
        let store = open_store(&disk, &clock).expect("an empty disk takes a store");
        let opened = instance::initialise(&store, &entropy, SlotKind::File, &secret)
            .expect("an empty store takes an instance");
        let house = build(&disk, &store, &clock, settings, entropy, opened).expect("it is new");
        let customer = customer_key(&disk);
        let name = "lockyard".parse().expect("a name");
        let id = house.create(&name, Some(customer)).await.expect("a new registry");
        let opened = Arc::new(AtomicU64::new(1));
        Self { disk, house, id, store, clock, settings, secret: text, opened }
    }

    /// Opens the instance as a process would that starts after a power cut with this loss. This
    /// one is as good as gone: its disk answers nothing any more.
    pub async fn recover(&self, loss: Loss) -> Result<Self, String> {
        self.disk.cut();
        self.open_on(self.disk.survivor(loss)).await
    }

    /// Opens what a power cut with this loss would leave; this one runs on.
    pub async fn recover_aside(&self, loss: Loss) -> Result<Self, String> {
        self.open_on(self.disk.survivor(loss)).await
    }

    /// A world of its own that is like this one: same content, same time, same random numbers to
    /// come for every copy. Nothing of it was ever unsynced.
    pub async fn copy(&self) -> Self {
        let number = self.opened.load(Ordering::Relaxed);
        let disk = self.disk.survivor(Loss::Nothing);
        let copy = self.open_as(disk, Arc::new(AtomicU64::new(number))).await;
        copy.expect("what works opens again")
    }

    /// Opens the instance that lies on `disk`.
    pub async fn open_on(&self, disk: Arc<SimDisk>) -> Result<Self, String> {
        self.open_as(disk, Arc::clone(&self.opened)).await
    }

    async fn open_as(&self, disk: Arc<SimDisk>, opened: Arc<AtomicU64>) -> Result<Self, String> {
        let settings = self.settings;
        let clock = Arc::new(HandClock::at(self.clock.wall()));
        let number = opened.fetch_add(1, Ordering::Relaxed);
        let entropy =
            SeededEntropy::new(settings.seed ^ number.wrapping_mul(0x9E37_79B9_97F4_A7C1));
        let store = open_store(&disk, &clock)?;
        let secret = SlotSecret::from_text(&self.secret).expect("it was one before");
        let keys = instance::open(&store, &[(SlotKind::File, secret)])
            .map_err(|error| format!("the instance does not open: {}", chain(&error)))?;
        let house = build(&disk, &store, &clock, settings, entropy, keys)?;
        house.admit_all().await.map_err(|error| format!("not admitted: {}", chain(&error)))?;
        Ok(Self {
            disk,
            house,
            id: self.id,
            store,
            clock,
            settings,
            secret: self.secret.clone(),
            opened,
        })
    }

    /// The customer key for another registry.
    pub fn customer_key(&self) -> CustomerKey {
        customer_key(&self.disk)
    }

    /// What opens the instance.
    pub fn secret(&self) -> SlotSecret {
        SlotSecret::from_text(&self.secret).expect("it was one before")
    }

    /// The registry as its owner sees it.
    pub fn registry(&self) -> Result<Registry, RegistryError> {
        self.house.open_inside(self.id)
    }

    /// Lets time pass; the vault is asked again, as it would have been meanwhile.
    pub async fn wait(&self, span: Duration) {
        self.clock.advance(span);
        self.house.keyring().changed().await;
    }

    /// Lets every lease, grace and expiry pass, and lets every job run: afterwards there must be
    /// nothing that nobody needs.
    pub async fn settle(&self) -> Result<(), RegistryError> {
        let Limits { upload_idle_max, writing_lease, grace, read_grace, .. } = self.settings.limits;
        let span = upload_idle_max + writing_lease + grace + read_grace + Duration::from_secs(1);
        self.wait(span).await;
        self.house.collect(CollectMode::Act).await?;
        self.house.sweep().await?;
        self.wait(span).await;
        self.house.sweep().await?;
        Ok(())
    }

    /// Deletes every manifest and lets the jobs run; returns the parts that are left, of which there
    /// must be none: a part that stays then is one that no blob names.
    pub async fn raze(&self, universe: &Universe) -> Result<Vec<String>, RegistryError> {
        let registry = self.registry()?;
        for name in &universe.repositories {
            let name = name.parse().expect("a story's name");
            for digest in universe.manifests.keys() {
                match registry.delete_manifest(&name, digest).await {
                    Ok(()) | Err(RegistryError::NameUnknown | RegistryError::ManifestUnknown) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.settle().await?;
        let mut left = self.orphans();
        left.extend(self.parts().into_iter().map(|part| format!("part {part} is left")));
        Ok(left)
    }

    /// Says what is wrong between parts and rows after [`World::settle`]: a part without a live row,
    /// or a row without its part, which may lie in it.
    pub fn orphans(&self) -> Vec<String> {
        let rows = self
            .store
            .read_blocking(|txn| {
                walk::all_parts(txn, None, PartId::from_bytes([0xff; 16]), 1 << 20)
            })
            .expect("rows can be read");
        let mut rows: std::collections::BTreeMap<String, String> = rows
            .into_iter()
            .map(|row| {
                let place = if row.in_row { " in its row" } else { "" };
                (row.part_id.to_string(), format!("{:?}{place}", row.state))
            })
            .collect();
        let mut found = Vec::new();
        for file in self.parts() {
            match rows.remove(&file).as_deref() {
                Some("Live") => {}
                Some(state) => found.push(format!("part {file} is {state} still")),
                None => found.push(format!("part {file} has no row")),
            }
        }
        let without = rows.into_iter().filter(|(_, state)| state != "Live in its row");
        found.extend(without.map(|(id, state)| format!("{state} row {id} has no part")));
        found
    }

    /// The names of all files of parts.
    pub fn parts(&self) -> Vec<String> {
        let files = self.disk.files();
        let parts = files.iter().filter(|path| path.starts_with("parts"));
        parts.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect()
    }
}

fn customer_key(disk: &Arc<SimDisk>) -> CustomerKey {
    CustomerKey {
        provider: FaultyVault::beside(disk),
        key: "myvault/key/00000000000000000000000000000001".parse().expect("a key id"),
        identity: Identity::from_bytes([9; 16]),
    }
}

fn open_store(disk: &Arc<SimDisk>, clock: &Arc<HandClock>) -> Result<Store, String> {
    let clock: Arc<dyn Clock> = clock.clone();
    let store = Store::open_on_vfs(disk.path("store.db"), SimDisk::VFS.to_owned(), clock)
        .map_err(|error| format!("the store does not open: {}", chain(&error)))?;
    // As the store does on the machine's own disk.
    disk.sync_directory(&disk.path(""))
        .map_err(|error| format!("the names of the database's files are not durable: {error}"))?;
    Ok(store)
}

fn build(
    disk: &Arc<SimDisk>,
    store: &Store,
    clock: &Arc<HandClock>,
    settings: Settings,
    entropy: SeededEntropy,
    opened: instance::Opened,
) -> Result<Arc<Registries>, String> {
    let parts = LocalParts::open_on(&disk.path("parts"), Arc::new(SimFiles(Arc::clone(disk))))
        .map_err(|error| format!("the parts do not open: {}", chain(&error)))?;
    let parts: Arc<dyn PartStore> = Arc::new(parts);
    let clock: Arc<dyn Clock> = clock.clone();
    let entropy: Arc<dyn Entropy> = Arc::new(entropy);
    let keyring = Keyring::new(
        opened.service,
        Arc::new(KeySource::new(store.clone(), Arc::clone(&opened.keys))),
        Arc::new(OneVault(FaultyVault::beside(disk))),
        Arc::clone(&clock),
        LeasePolicy::default(),
    );
    Ok(Registries::new(Ground {
        store: store.clone(),
        parts,
        keyring: Arc::new(keyring),
        instance: opened.keys,
        clock,
        entropy,
        limits: settings.limits,
    }))
}
