//! Soft deletion: whatever is done in whatever order, vaults and keys are what a small model says.

use std::time::Duration;

use lockyard_base::Clock as _;
use lockyard_vault::{
    CreateMode, KeySettings, KeyTarget, ModelChoice, NameAvailability, PageRequest, Placement,
    PutVault, Vault, VaultChange, VaultError, VaultRequest,
};
use proptest::prelude::*;

use crate::support::{
    ADMIN, QUICK, TENANT, World, admin, guid, key, make, place, policy, put, told,
};

const DAY: Duration = Duration::from_hours(24);
const NAME: &str = "payments";

#[derive(Clone, Copy, Debug)]
enum Act {
    Put,
    PutRecover,
    DeleteVault,
    RecoverVault,
    PurgeVault,
    Protect,
    CreateKey,
    DeleteKey,
    RecoverKey,
    PurgeKey,
    Days(u16),
    Purge,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => Just(Act::Put),
        1 => Just(Act::PutRecover),
        2 => Just(Act::DeleteVault),
        2 => Just(Act::RecoverVault),
        1 => Just(Act::PurgeVault),
        1 => Just(Act::Protect),
        3 => Just(Act::CreateKey),
        3 => Just(Act::DeleteKey),
        2 => Just(Act::RecoverKey),
        1 => Just(Act::PurgeKey),
        2 => (1_u16..=8).prop_map(Act::Days),
        2 => Just(Act::Purge),
        1 => Just(Act::Restart),
    ]
}

/// The model: days are all that matters, and the retention is seven of them.
#[derive(Clone, Debug, Default)]
struct Model {
    day: u32,
    vault: Option<ModelVault>,
}

#[derive(Clone, Debug, Default)]
struct ModelVault {
    purge: Option<u32>,
    protected: bool,
    /// Deleted until then, if at all; and how many versions.
    key: Option<(Option<u32>, usize)>,
}

impl Model {
    /// What the act is told, and what it leads to.
    fn act(&mut self, act: Act) -> &'static str {
        let (day, end) = (self.day, self.day + 7);
        match act {
            Act::Days(days) => self.day += u32::from(days),
            Act::Restart => {}
            Act::Purge => {
                let over = |purge: Option<u32>| purge.is_some_and(|purge| purge <= day);
                if self.vault.as_ref().is_some_and(|vault| over(vault.purge)) {
                    self.vault = None;
                }
                if let Some(vault) = &mut self.vault
                    && vault.key.is_some_and(|(purge, _)| over(purge))
                {
                    vault.key = None;
                }
            }
            Act::Put | Act::PutRecover => match (&mut self.vault, act) {
                (None, Act::PutRecover) => return "404 SoftDeletedVaultDoesNotExist",
                (None, _) => self.vault = Some(ModelVault::default()),
                (Some(vault), Act::Put) if vault.purge.is_some() => return "409 ConflictError",
                (Some(vault), _) => vault.purge = None,
            },
            Act::RecoverVault | Act::PurgeVault => {
                let Some(vault) = self.vault.as_mut().filter(|vault| vault.purge.is_some()) else {
                    return "404 SoftDeletedVaultDoesNotExist";
                };
                match act {
                    Act::RecoverVault => vault.purge = None,
                    _ if vault.protected => return "400 MethodNotAllowed",
                    _ => self.vault = None,
                }
            }
            _ => {
                let Some(vault) = self.vault.as_mut().filter(|vault| vault.purge.is_none()) else {
                    return "404 ResourceNotFound";
                };
                return vault.act(act, end);
            }
        }
        "ok"
    }
}

impl ModelVault {
    fn act(&mut self, act: Act, end: u32) -> &'static str {
        match (act, &mut self.key) {
            (Act::DeleteVault, _) => self.purge = Some(end),
            (Act::Protect, _) => self.protected = true,
            (Act::CreateKey, None) => self.key = Some((None, 1)),
            (Act::CreateKey, Some((None, versions))) => *versions += 1,
            (Act::CreateKey, Some(_)) => return "409 Conflict/ObjectIsDeletedButRecoverable",
            (Act::DeleteKey, Some((purge @ None, _))) => *purge = Some(end),
            (Act::RecoverKey, Some((purge @ Some(_), _))) => *purge = None,
            (Act::PurgeKey, Some((Some(_), _))) if self.protected => return "403 Forbidden",
            (Act::PurgeKey, Some((Some(_), _))) => self.key = None,
            _ => return "404 KeyNotFound",
        }
        "ok"
    }
}

fn perform(world: &World, vault: &mut std::sync::Arc<Vault>, act: Act) -> String {
    let name = &NAME.parse().unwrap();
    let release = &"release".parse().unwrap();
    let request = |mode| VaultRequest {
        mode,
        ..put(VaultChange {
            policies: Some(vec![policy(ADMIN, &["all"])]),
            retention_days: Some(7),
            ..VaultChange::default()
        })
    };
    match act {
        Act::Put => told(vault.put_vault(name, request(CreateMode::Default))),
        Act::PutRecover => told(vault.put_vault(name, request(CreateMode::Recover))),
        Act::DeleteVault => told(vault.delete_vault(name)),
        Act::RecoverVault => told(vault.recover_vault(name)),
        Act::PurgeVault => told(vault.purge_vault(name)),
        Act::Protect => {
            let change = VaultChange { purge_protection: Some(true), ..VaultChange::default() };
            told(vault.patch_vault(name, change))
        }
        Act::CreateKey => {
            told(admin(vault, name).create_key(release, QUICK, &KeySettings::default()))
        }
        Act::DeleteKey => told(admin(vault, name).delete_key(release)),
        Act::RecoverKey => told(admin(vault, name).recover_key(release)),
        Act::PurgeKey => told(admin(vault, name).purge_key(release)),
        Act::Days(days) => {
            world.clock.advance(DAY * u32::from(days));
            "ok".to_owned()
        }
        Act::Purge => told(vault.purge_due(world.clock.wall())),
        Act::Restart => {
            // Closed before it is opened again: a directory is used once at a time.
            let replacement = std::sync::Arc::new(World::new().try_open().unwrap());
            drop(std::mem::replace(vault, replacement));
            *vault = world.open();
            "ok".to_owned()
        }
    }
}

/// What is there, in the model's terms.
fn seen(vault: &Vault, day: u32, now: lockyard_base::Timestamp) -> Option<ModelVault> {
    let name = &NAME.parse().unwrap();
    let live = vault.vault(name).unwrap();
    let dead = vault.deleted_vault(name).unwrap();
    assert!(live.is_none() || dead.is_none());
    let taken = vault.check_name(NAME).unwrap() == NameAvailability::Taken;
    let properties = live.or(dead);
    assert_eq!(taken, properties.is_some(), "a deleted vault keeps its name");
    let days = |purge: lockyard_base::Timestamp| {
        let micros = i64::try_from(DAY.as_micros()).unwrap();
        let left = (purge.as_micros() - now.as_micros()).div_euclid(micros);
        u32::try_from(i64::from(day) + left).unwrap()
    };
    let properties = properties?;
    let purge = properties.deleted.map(|deleted| days(deleted.purge));
    let plane = admin(vault, name);
    let release = &"release".parse().unwrap();
    let key = if purge.is_some() {
        assert_eq!(told(plane.key(release, None)), "404 ResourceNotFound");
        None
    } else {
        let page = PageRequest::default();
        match (plane.key(release, None), plane.deleted_key(release)) {
            (Ok(_), Err(VaultError::DeletedKeyNotFound(_))) => {
                assert!(plane.deleted_keys(&page).unwrap().items.is_empty());
                Some((None, plane.versions(release, &page).unwrap().items.len()))
            }
            (Err(VaultError::KeyNotFound(_)), Ok(deleted)) => {
                assert!(plane.keys(&page).unwrap().items.is_empty());
                let listed = &plane.deleted_keys(&page).unwrap().items[0];
                assert_eq!(listed.deleted, Some(deleted.deleted));
                Some((Some(days(deleted.deleted.purge)), 0))
            }
            (Err(VaultError::KeyNotFound(_)), Err(VaultError::DeletedKeyNotFound(_))) => None,
            other => panic!("{other:?}"),
        }
    };
    Some(ModelVault { purge, protected: properties.purge_protection, key })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn vaults_and_keys_are_what_the_model_says(acts in prop::collection::vec(act(), 1..40)) {
        let world = World::new();
        let mut vault = world.open();
        let mut model = Model::default();
        for act in acts {
            let expected = model.act(act);
            prop_assert_eq!(perform(&world, &mut vault, act), expected, "{:?}", act);
            let found = seen(&vault, model.day, world.clock.wall());
            prop_assert_eq!(found.is_some(), model.vault.is_some(), "{:?}", act);
            if let (Some(found), Some(wanted)) = (found, &model.vault) {
                prop_assert_eq!(found.purge, wanted.purge, "{:?}", act);
                prop_assert_eq!(found.protected, wanted.protected, "{:?}", act);
                if wanted.purge.is_none() {
                    let versions = |key: Option<(Option<u32>, usize)>| key.map(|(purge, count)| {
                        (purge, if purge.is_none() { count.min(25) } else { 0 })
                    });
                    prop_assert_eq!(versions(found.key), versions(wanted.key), "{:?}", act);
                }
            }
        }
    }
}

#[test]
fn deletion_keeps_keys_policies_and_names() {
    let world = World::new();
    let vault = world.open();
    let name = make(&vault, NAME, VaultChange::default());
    let id = key(NAME, "release");
    let version = vault.ensure_key(&id, QUICK, &KeySettings::default()).unwrap().id;
    let deleted = vault.delete_vault(&name).unwrap().deleted.unwrap();
    assert_eq!(deleted.deleted, world.clock.wall());
    assert_eq!(deleted.purge, world.clock.wall() + 90 * DAY);
    assert_eq!(vault.vaults().unwrap(), []);
    assert_eq!(vault.deleted_vaults().unwrap()[0].name, name);
    for refused in [
        told(vault.create_vault(&name)),
        told(vault.put_vault(&"PAYMENTS".parse().unwrap(), put(VaultChange::default()))),
    ] {
        assert_eq!(refused, "409 ConflictError");
    }
    assert_eq!(told(vault.enable(&KeyTarget::Key(id.clone()))), "404 ResourceNotFound");
    let elsewhere = VaultRequest {
        place: Placement::new(TENANT, guid(1), "rg1", "eastus").unwrap(),
        mode: CreateMode::Recover,
        change: VaultChange::default(),
    };
    assert_eq!(told(vault.put_vault(&name, elsewhere)), "409 VaultAlreadyExists");
    let recover = VaultRequest { mode: CreateMode::Recover, ..put(VaultChange::default()) };
    let recovered = vault.put_vault(&name, recover).unwrap();
    assert!(matches!(recovered, PutVault::Recovered(_)), "{recovered:?}");
    assert_eq!(recovered.properties().policies, [policy(ADMIN, &["all"])]);
    assert_eq!(vault.versions(&id).unwrap()[0].id, version);
}

#[test]
fn the_job_purges_at_the_very_time_and_tells_what() {
    let world = World::new();
    let vault = world.open();
    let short = || VaultChange { retention_days: Some(7), ..VaultChange::default() };
    let name = make(&vault, NAME, short());
    let gone = make(&vault, "archive", short());
    vault.ensure_key(&key(NAME, "release"), QUICK, &KeySettings::default()).unwrap();
    admin(&vault, &name).delete_key(&"release".parse().unwrap()).unwrap();
    vault.delete_vault(&gone).unwrap();
    let mut changes = vault.changes();
    changes.mark_unchanged();
    let micro = Duration::from_micros(1);
    world.clock.advance((7 * DAY).checked_sub(micro).unwrap());
    let purged = vault.purge_due(world.clock.wall()).unwrap();
    assert!(purged.vaults.is_empty() && purged.keys.is_empty());
    assert!(!changes.has_changed().unwrap(), "nothing was done");
    world.clock.advance(micro);
    let purged = vault.purge_due(world.clock.wall()).unwrap();
    assert_eq!((purged.vaults, purged.keys), (vec![gone], vec![key(NAME, "release")]));
    assert!(changes.has_changed().unwrap());
    let left: i64 = {
        drop(vault);
        let count = "SELECT (SELECT count(*) FROM key) + (SELECT count(*) FROM key_version)";
        world.intrude().query_row(count, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(left, 0, "no row is left of what was purged");
}

#[test]
fn names_are_checked() {
    let world = World::new();
    let vault = world.open();
    make(&vault, NAME, VaultChange { model: ModelChoice::Typed(true), ..VaultChange::default() });
    for (name, expected) in [
        ("Payments", NameAvailability::Taken),
        ("archive", NameAvailability::Available),
        ("abc", NameAvailability::Available),
        (&"a".repeat(24), NameAvailability::Available),
        (&"a".repeat(25), NameAvailability::Invalid),
        ("ab", NameAvailability::Invalid),
        ("1abc", NameAvailability::Invalid),
        ("a--b", NameAvailability::Invalid),
        ("abc-", NameAvailability::Invalid),
        ("kv.vault.example.org", NameAvailability::Invalid),
        ("", NameAvailability::Invalid),
    ] {
        assert_eq!(vault.check_name(name).unwrap(), expected, "{name}");
    }
    let request = VaultRequest { place: place(), ..put(VaultChange::default()) };
    let external = vault.put_vault(&"kv.vault.example.org".parse().unwrap(), request);
    assert_eq!(told(external), "400 VaultNameNotValid");
}
