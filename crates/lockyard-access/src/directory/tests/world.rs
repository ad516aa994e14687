//! A directory of one test: its records, its clock, and a way to open it again.

use std::{sync::Arc, time::Duration};

use lockyard_arm::Scope;
use lockyard_base::{Entropy, HandClock, SeededEntropy, Timestamp};
use lockyard_keyring::{InstanceKeys, ServiceKey};
use lockyard_store::{Engine, Store};

use crate::{
    PrincipalId, Records,
    directory::{Cost, Directory, Founding, NewUser, Presented, Proof, ProveError, Snapshot},
};

pub(in crate::directory) const PASSWORD: &str = "correct horse battery";

pub(in crate::directory) struct World {
    pub(in crate::directory) directory: Arc<Directory>,
    pub(in crate::directory) founding: Founding,
    pub(in crate::directory) clock: Arc<HandClock>,
    pub(in crate::directory) entropy: Arc<dyn Entropy>,
    pub(in crate::directory) records: Records,
    _dir: tempfile::TempDir,
}

impl World {
    pub(in crate::directory) fn new() -> Self {
        let (records, clock, entropy, dir) = ground();
        let founding = Founding::generate(&*entropy, "lockyard.test");
        let directory = Directory::found(
            records.clone(),
            Arc::clone(&clock) as _,
            Arc::clone(&entropy),
            &founding,
            Cost::NEGLIGIBLE,
        )
        .unwrap();
        Self { directory, founding, clock, entropy, records, _dir: dir }
    }

    /// The directory as another start reads it.
    pub(in crate::directory) fn reopened(&self) -> Arc<Directory> {
        let clock = Arc::clone(&self.clock) as _;
        let entropy = Arc::clone(&self.entropy);
        Directory::open_at_cost(self.records.clone(), clock, entropy, Cost::NEGLIGIBLE).unwrap()
    }

    pub(in crate::directory) fn snapshot(&self) -> Arc<Snapshot> {
        self.directory.snapshot()
    }

    pub(in crate::directory) fn user(&self, name: &str) -> PrincipalId {
        let password = Presented::from(PASSWORD);
        let upn = format!("{name}@lockyard.test");
        let new = NewUser { display_name: name, upn: &upn, password: Some(&password) };
        self.directory.create_user(&new).unwrap()
    }

    pub(in crate::directory) fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(in crate::directory) fn in_seconds(&self, seconds: u64) -> Timestamp {
        use lockyard_base::Clock as _;
        self.clock.wall() + Duration::from_secs(seconds)
    }

    pub(in crate::directory) fn subscription(&self) -> Scope {
        Scope::of_subscription(self.snapshot().subscription().id.guid())
    }
}

pub(in crate::directory) async fn sign_in(
    directory: &Arc<Directory>,
    upn: &str,
    password: &str,
) -> Result<Proof, ProveError> {
    directory.prove_password(upn, Presented::from(password)).await
}

type Ground = (Records, Arc<HandClock>, Arc<dyn Entropy>, tempfile::TempDir);

pub(in crate::directory) fn ground() -> Ground {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Arc::new(HandClock::default()));
    let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(7));
    let service = ServiceKey::generate(&*entropy);
    let keys = InstanceKeys::generate(&service, &*entropy);
    let keys = Arc::new(InstanceKeys::open(&service, &keys).unwrap());
    let engine = Engine::Sqlite { path: dir.path().join("store.db") };
    let store = Store::open(engine, Arc::clone(&clock) as _).unwrap();
    (Records::new(store, keys, Arc::clone(&entropy)), clock, entropy, dir)
}
