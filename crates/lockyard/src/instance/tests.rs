//! First starts that were cut off, and instances that have lost something.

use std::{fs, path::Path};

use lockyard_access::{Directory, directory::Presented};
use lockyard_base::{HandClock, SeededEntropy};

use super::*;
use crate::config::{AuditUnwritable, Domain, ServiceSource};

pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) clock: Arc<HandClock>,
    machine: Machine,
}

impl World {
    pub(super) fn new() -> Self {
        let clock = Arc::new(HandClock::default());
        let entropy = Arc::new(SeededEntropy::new(1));
        let machine = Machine { clock: Arc::clone(&clock) as _, entropy };
        Self { folder: tempfile::tempdir().expect("a directory"), clock, machine }
    }

    fn data(&self) -> DataConfig {
        let data_dir = self.folder.path().join("data");
        DataConfig {
            vault_dir: data_dir.join("vault"),
            audit_dir: data_dir.join("vault/audit"),
            audit_unwritable: AuditUnwritable::Refuse,
            audit_json: None,
            vault_key: data_dir.join("vault.key"),
            vault_key_beside: true,
            service: ServiceSource::Beside(data_dir.join("service.key")),
            data_dir,
        }
    }

    pub(super) fn start(&self) -> Outcome<Instance> {
        let data = self.data();
        let dir = DataDir::prepare(&data.data_dir).or_fail()?;
        Instance::found_or_open(dir, &data, self.machine.clone())
    }

    pub(super) fn owner(instance: &Instance) -> Outcome<Arc<Directory>> {
        let endpoints = Endpoints {
            domain: Domain::default(),
            management: "https://management.localhost".to_owned(),
            login: "https://login.localhost".to_owned(),
            ca_file: None,
        };
        instance.found_directory(&endpoints)
    }
}

fn bootstrap(instance: &Instance) -> (String, String) {
    let text = fs::read(bootstrap_file(&instance.dir)).expect("written");
    let json: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
    let word = |name: &str| json[name].as_str().expect("a text").to_owned();
    (word("clientId"), word("clientSecret"))
}

fn verifies(directory: &Directory, client: &str, secret: &str) -> bool {
    let client = client.parse().expect("a client id");
    let proof = directory.prove_secret(client, &Presented::from(secret)).expect("the right one");
    proof.principal() == directory.snapshot().owner().1
}

pub(super) fn told(outcome: Outcome<impl Sized>) -> String {
    match outcome {
        Ok(_) => panic!("it was not refused"),
        Err(failure) => failure.to_string(),
    }
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_is_finished_by_the_next() {
    let world = World::new();
    // Cut off before the directory was stored: a file that lets nobody in.
    let cut = world.start().expect("a first start");
    fs::write(bootstrap_file(&cut.dir), "{}").expect("written");
    cut.close();

    let instance = world.start().expect("a second start");
    assert!(!instance.complete);
    let owner = World::owner(&instance).expect("made now");
    let (client, secret) = bootstrap(&instance);
    assert!(verifies(&owner, &client, &secret));
    instance.close();

    // Cut off before the default registry: the directory is found, and the file stays what it was.
    let instance = world.start().expect("a third start");
    let owner = World::owner(&instance).expect("found");
    assert!(verifies(&owner, &client, &secret));
    let registry = default_registry(&instance, Protection::CustomerKey).await.expect("made");
    assert!(registry.customer_key.is_some());
    instance.close();

    let instance = world.start().expect("a fourth start");
    assert!(instance.complete);
    let again = default_registry(&instance, Protection::ServiceManaged).await.expect("found");
    assert_eq!((again.id, again.customer_key), (registry.id, registry.customer_key));
}

#[tokio::test]
async fn what_a_complete_instance_has_lost_is_never_made_anew() {
    let world = World::new();
    let instance = world.start().expect("a first start");
    default_registry(&instance, Protection::ServiceManaged).await.expect("made");
    instance.close();
    let data = world.data();
    let hide = |path: &Path| {
        let aside = path.with_extension("aside");
        fs::rename(path, &aside).expect("it lies there");
        let told = told(world.start());
        assert!(!path.exists(), "{told}");
        fs::rename(aside, path).expect("put back");
        told
    };
    let text = hide(&data.data_dir.join("service.key"));
    assert!(text.contains("--service-key"), "{text}");
    let text = hide(&data.vault_dir);
    assert!(text.contains("--vault-dir"), "{text}");
    let text = hide(&data.vault_key);
    assert!(text.contains("--vault-key"), "{text}");

    // This first start never stored a directory, which a complete instance must have.
    let instance = world.start().expect("everything is back");
    let text = told(World::owner(&instance));
    assert!(text.contains("backup"), "{text}");
    assert!(!bootstrap_file(&instance.dir).exists());
}

/// The owner as the embedded vault knows it, and a vault that lets it do everything.
fn keeper(instance: &Instance) -> lockyard_vault::Caller {
    let snapshot = instance.directory().expect("founded").snapshot();
    lockyard_vault::Caller {
        tenant: snapshot.tenant().guid(),
        object: snapshot.owner().1.guid(),
        application: None,
        groups: Vec::new(),
        resource: None,
        source: lockyard_vault::Source::TrustedService,
    }
}

#[tokio::test]
async fn what_is_due_in_the_vault_is_done_by_a_round() {
    use lockyard_base::Timestamp;
    use lockyard_vault::{
        AccessPolicy, KeySettings, KeyShape, LifetimeAction, LifetimeActionKind, NoRoles,
        Permissions, PolicyEdit, RotationPolicy, RsaSize, Trigger,
    };

    let world = World::new();
    let instance = world.start().expect("a first start");
    let _owner = World::owner(&instance).expect("made now");
    let (vault, directory) = (Arc::clone(&instance.vault), instance.directory().expect("founded"));
    let name: lockyard_keyring::VaultAddress = "kvone".parse().expect("a name");
    vault.create_vault(&name).expect("made");
    let (opened, now) = (instance.opened_vault(), world.machine.clock.wall());
    let later = |days: i64| Timestamp::from_micros(now.as_micros() + days * 86_400_000_000);

    // A vault that an operator made belongs to the tenant from the first round on.
    crate::tending::round(&opened, &directory, now).await.expect("a round");
    let caller = keeper(&instance);
    let placed = vault.vault(&name).expect("read").expect("there").place;
    assert_eq!((placed.tenant, placed.resource_group.as_str()), (caller.tenant, "lockyard"));

    let policy = AccessPolicy {
        tenant: caller.tenant,
        object: caller.object,
        application: None,
        permissions: Permissions::everything(),
    };
    let _all = vault.edit_policies(&name, PolicyEdit::Add, vec![policy]).expect("given");
    let plane = vault.data_plane(&name, caller, &NoRoles);
    let shape = KeyShape::Rsa(RsaSize::R2048);
    let [turned, dropped] = ["turned", "dropped"].map(|key| {
        let key = key.parse().expect("a name");
        let _made = plane.create_key(&key, shape, &KeySettings::default()).expect("made");
        key
    });
    let _gone = plane.delete_key(&dropped).expect("deleted");
    let rotate = LifetimeAction {
        kind: LifetimeActionKind::Rotate,
        trigger: Trigger::AfterCreate("P30D".parse().expect("a period")),
    };
    let policy = RotationPolicy { actions: vec![rotate], ..RotationPolicy::default() };
    let _set = plane.set_rotation_policy(&turned, &policy).expect("set");
    let versions = || {
        let page = plane.versions(&turned, &lockyard_vault::PageRequest::default());
        page.expect("listed").items.len()
    };

    crate::tending::round(&opened, &directory, later(29)).await.expect("a round");
    assert_eq!(versions(), 1);
    assert!(plane.deleted_key(&dropped).is_ok());
    crate::tending::round(&opened, &directory, later(30)).await.expect("a round");
    assert_eq!(versions(), 2);
    assert!(plane.deleted_key(&dropped).is_ok());
    crate::tending::round(&opened, &directory, later(90)).await.expect("a round");
    assert!(plane.deleted_key(&dropped).is_err());
    instance.close();
}
