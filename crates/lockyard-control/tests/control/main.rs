//! The control plane over a real directory and real records.

#![expect(clippy::unwrap_used, reason = "a failed step fails the test")]

mod paging;
mod recorded;
mod rotation;

use std::{
    fmt,
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use lockyard_access::{
    Directory, PrincipalId, Records, RoleDefinitionId,
    decision::role_id,
    directory::{Cost, Founding, NewApplication, NewAssignment, Presented},
};
use lockyard_arm::{ApiVersion, AzCommand, ResourceGroupName, ResourceId, Scope, parse_filter};
use lockyard_audit::{Audit, AuditError, Event, MemoryAudit, Recorded};
use lockyard_base::{BootInstant, Clock, Entropy, Guid, HandClock, SeededEntropy, Timestamp};
use lockyard_control::{
    ARM_PAGE_MAX, Call, Control, ControlError, GROUPS_MAX, LOCATION_BYTES_MAX, Membership, Objects,
    ObjectsError, Origin, PageRequest, Put, Setup, TAG_NAME_BYTES_MAX, TAG_VALUE_BYTES_MAX,
    TAGS_MAX,
};
use lockyard_keyring::{InstanceKeys, ServiceKey};
use lockyard_store::{Engine, Store};
use lockyard_vault::{KeySettings, KeyShape, KeyTarget, Vault, VaultRootKey};
use serde_json::{Map, Value, json};

/// A clock that lets something happen the next time that somebody looks at it.
#[derive(Default)]
struct Between {
    hand: HandClock,
    then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Between {
    fn next_time(&self, then: impl FnOnce() + Send + 'static) {
        *self.then.lock().unwrap() = Some(Box::new(then));
    }
}

impl Clock for Between {
    fn wall(&self) -> Timestamp {
        let then = self.then.lock().unwrap().take();
        if let Some(then) = then {
            then();
        }
        self.hand.wall()
    }

    fn boot(&self) -> BootInstant {
        self.hand.boot()
    }
}

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Between")
    }
}

/// A trail that lets something happen once it has an event of an operation, before the verb that
/// told of it goes on.
#[derive(Default)]
struct Trail {
    memory: MemoryAudit,
    /// What came as one of many that may be alike.
    counted: Mutex<Vec<(&'static str, u16)>>,
    then: Mutex<Option<Then>>,
}

/// The operation after which something happens, and what.
type Then = (&'static str, Box<dyn FnOnce() + Send>);

impl Trail {
    fn next_time(&self, operation: &'static str, then: impl FnOnce() + Send + 'static) {
        *self.then.lock().unwrap() = Some((operation, Box::new(then)));
    }

    fn saw(&self, operation: &'static str) {
        let then = self.then.lock().unwrap().take_if(|(wanted, _)| *wanted == operation);
        if let Some((_, then)) = then {
            then();
        }
    }

    fn counts(&self, refusal: (&'static str, u16)) {
        self.counted.lock().unwrap().push(refusal);
    }

    /// What came as one of many that may be alike so far: operation and status.
    fn counted(&self) -> Vec<(&'static str, u16)> {
        self.counted.lock().unwrap().clone()
    }

    /// What was recorded since the last question: operation, status, the resource's name, reason.
    fn told(&self, seen: &mut usize) -> Vec<(&'static str, u16, String, String)> {
        let events = self.memory.events().split_off(*seen);
        *seen += events.len();
        let name = |event: &Event| event.resource.rsplit('/').next().unwrap().to_owned();
        events
            .iter()
            .map(|one| {
                assert_eq!(one.done, one.outcome.status == 200, "{one:?}");
                (one.operation.as_str(), one.outcome.status, name(one), one.reason.clone())
            })
            .collect()
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trail")
    }
}

#[async_trait]
impl Audit for Trail {
    async fn append(&self, event: Event) -> Result<Recorded, AuditError> {
        self.append_blocking(event)
    }

    fn append_blocking(&self, event: Event) -> Result<Recorded, AuditError> {
        let operation = event.operation.as_str();
        let recorded = self.memory.append_blocking(event);
        self.saw(operation);
        recorded
    }

    fn append_first_blocking(&self, event: Event) -> Result<Recorded, AuditError> {
        self.counts((event.operation.as_str(), event.outcome.status));
        self.append_blocking(event)
    }

    fn note_unauthenticated(&self, kind: &'static str, address: Option<IpAddr>) {
        self.memory.note_unauthenticated(kind, address);
    }
}

/// The vaults, and what is recorded of them.
type Vaults = (Arc<Vault>, Arc<Trail>);

struct World {
    control: Arc<Control>,
    objects: Objects,
    directory: Arc<Directory>,
    records: Records,
    vaults: Vaults,
    clock: Arc<Between>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Arc::new(Between::default()));
        let entropy: Arc<dyn Entropy> = Arc::new(SeededEntropy::new(3));
        let service = ServiceKey::generate(&*entropy);
        let keys = InstanceKeys::generate(&service, &*entropy);
        let keys = Arc::new(InstanceKeys::open(&service, &keys).unwrap());
        let file = folder.path().join("store.db");
        let store =
            Store::open(Engine::Sqlite { path: file.clone() }, Arc::new(HandClock::default()));
        let records = Records::new(store.unwrap(), keys, Arc::clone(&entropy));
        let founding = Founding::generate(&*entropy, "yard.example");
        let directory = Directory::found(
            records.clone(),
            Arc::clone(&clock) as _,
            Arc::clone(&entropy),
            &founding,
            Cost::NEGLIGIBLE,
        )
        .unwrap();
        let key = folder.path().join("vault.key");
        let path = folder.path().join("vault");
        let key = VaultRootKey::read_or_create(&key, &path, &*entropy).unwrap();
        let vault = Vault::open(&path, &key, Arc::clone(&clock) as _, Arc::clone(&entropy));
        let vaults = (Arc::new(vault.unwrap()), Arc::new(Trail::default()));
        let control = open(&records, &directory, &vaults, &clock);
        let objects = Objects::new(Arc::clone(&directory));
        Self { control, objects, directory, records, vaults, clock, file, _folder: folder }
    }

    fn subscription(&self) -> Guid {
        self.directory.snapshot().subscription().id.guid()
    }

    fn owner(&self) -> PrincipalId {
        self.directory.snapshot().owner().1
    }

    /// Somebody new, with a role at the subscription.
    fn somebody(&self, role: RoleDefinitionId) -> PrincipalId {
        let new = NewApplication { display_name: "app".to_owned(), ..NewApplication::default() };
        let client = self.directory.create_application(&new).unwrap();
        let principal = self.directory.create_service_principal(client).unwrap();
        self.give(principal, role);
        principal
    }

    /// Gives somebody a role at the subscription; the assignment has their id.
    fn give(&self, principal: PrincipalId, role: RoleDefinitionId) {
        self.directory
            .assign(NewAssignment {
                id: principal.guid(),
                principal,
                role,
                scope: format!("/subscriptions/{}", self.subscription()).parse().unwrap(),
                description: None,
                created_by: None,
            })
            .unwrap();
    }

    async fn put(&self, name: &str, body: Value) -> Result<Put, ControlError> {
        let call = call(self.owner());
        self.control.put_group(&call, self.subscription(), &group(name), &body).await
    }

    async fn groups(&self) -> Vec<String> {
        let all = self.control.groups(&call(self.owner()), self.subscription()).await.unwrap();
        all.iter().map(|group| group["name"].as_str().unwrap().to_owned()).collect()
    }
}

fn open(
    records: &Records,
    directory: &Arc<Directory>,
    (vault, audit): &Vaults,
    clock: &Arc<Between>,
) -> Arc<Control> {
    let subscription = directory.snapshot().subscription().id;
    let id = format!(
        "/subscriptions/{subscription}/resourceGroups/lockyard/providers/\
         Microsoft.ContainerRegistry/registries/lockyard"
    );
    Control::open(Setup {
        records: records.clone(),
        directory: Arc::clone(directory),
        vault: Arc::clone(vault),
        vault_suffix: "vault.yard.example".to_owned(),
        audit: Arc::clone(audit) as _,
        clock: Arc::clone(clock) as _,
        fixtures: vec![id.parse::<ResourceId>().unwrap()],
    })
    .unwrap()
}

fn call(caller: PrincipalId) -> Call {
    let version: ApiVersion = "2024-11-01".parse().unwrap();
    Call {
        caller,
        version,
        filter: Vec::new(),
        page: PageRequest::default(),
        origin: Origin::default(),
        command: None,
    }
}

fn group(name: &str) -> ResourceGroupName {
    name.parse().unwrap()
}

#[tokio::test]
async fn groups_survive_a_restart_and_cannot_be_read_at_rest() {
    let world = World::new();
    let tags = json!({"location": "eastus", "tags": {"purpose": "unreadable-at-rest"}});
    assert!(matches!(world.put("distinctive-name", tags).await, Ok(Put::Created(_))));
    let again = open(&world.records, &world.directory, &world.vaults, &world.clock);
    let shown = again
        .group(&call(world.owner()), world.subscription(), &group("DISTINCTIVE-NAME"))
        .await
        .unwrap();
    assert_eq!(shown["tags"]["purpose"], "unreadable-at-rest");
    for suffix in ["", "-wal"] {
        let mut file = world.file.clone().into_os_string();
        file.push(suffix);
        let bytes = std::fs::read(file).unwrap_or_default();
        for text in [&b"distinctive-name"[..], b"unreadable-at-rest"] {
            assert!(!bytes.windows(text.len()).any(|window| window == text));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_made_while_one_of_its_name_goes_keeps_its_roles() {
    let world = Arc::new(World::new());
    let somebody = world.somebody(role_id::ACR_PULL);
    let scope = format!("/subscriptions/{}/resourceGroups/again", world.subscription());
    let body = || json!({"location": "eastus"});
    let mut met = 0;
    for round in 0..60 {
        world.put("again", body()).await.unwrap();
        let (deleting, target) = (Arc::clone(&world), scope.parse::<Scope>().unwrap());
        let deleted = tokio::spawn(async move {
            let (call, name) = (call(deleting.owner()), target.resource_group().unwrap().clone());
            deleting.control.delete_group(&call, deleting.subscription(), &name).await
        });
        // Until the old one is gone, this finds it there.
        let mut made = false;
        for _ in 0..10_000 {
            made = matches!(world.put("again", body()).await.unwrap(), Put::Created(_));
            if made {
                break;
            }
        }
        assert!(made, "round {round}: it never went");
        met += usize::from(!deleted.is_finished());
        let id = Guid::from_bytes([round; 16]);
        let role = json!({"properties": {
            "roleDefinitionId": role_id::READER.to_string(), "principalId": somebody.to_string(),
        }});
        let assignment = format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{id}");
        let assignment: ResourceId = assignment.parse().unwrap();
        world.control.put(&call(world.owner()), &assignment, &role).await.unwrap();
        deleted.await.unwrap().unwrap();
        let snapshot = world.directory.snapshot();
        assert!(snapshot.assignments().any(|one| one.id == id), "round {round}, met {met}");
        world.control.delete(&call(world.owner()), &assignment).await.unwrap();
    }
}

#[tokio::test]
async fn a_subscription_has_as_many_groups_as_it_may() {
    let world = World::new();
    // One is there from the start.
    for number in 1..GROUPS_MAX {
        world.put(&format!("g{number}"), json!({"location": "eastus"})).await.unwrap();
    }
    let more = world.put("one-more", json!({"location": "eastus"})).await;
    let Err(ControlError::Conflict(error)) = more else { panic!("{more:?}") };
    assert_eq!(error.code(), "ResourceGroupQuotaExceeded");
    assert!(matches!(world.put("g1", json!({"location": "eastus"})).await, Ok(Put::Replaced(_))));
    assert_eq!(world.groups().await.len() as u64, GROUPS_MAX);
}

#[tokio::test]
async fn tags_and_locations_have_limits_at_their_edges() {
    let world = World::new();
    let tagged = |tags: Map<String, Value>| json!({"location": "eastus", "tags": tags});
    let count = |count: usize| {
        tagged((0..count).map(|number| (format!("t{number}"), json!("v"))).collect())
    };
    let sized = |name: usize, value: usize| {
        tagged([("n".repeat(name), json!("v".repeat(value)))].into_iter().collect())
    };
    let placed = |length: usize| json!({"location": "l".repeat(length)});
    for (body, fits) in [
        (count(TAGS_MAX), true),
        (count(TAGS_MAX + 1), false),
        (sized(TAG_NAME_BYTES_MAX, TAG_VALUE_BYTES_MAX), true),
        (sized(TAG_NAME_BYTES_MAX + 1, 1), false),
        (sized(1, TAG_VALUE_BYTES_MAX + 1), false),
        (sized(0, 1), false),
    ] {
        let put = world.put("tagged", body).await;
        assert_eq!(put.is_ok(), fits, "{put:?}");
    }
    assert!(world.put("near", placed(LOCATION_BYTES_MAX)).await.is_ok());
    assert!(world.put("far", placed(LOCATION_BYTES_MAX + 1)).await.is_err());
}

#[tokio::test]
async fn a_list_shows_only_the_groups_that_the_caller_may_see() {
    let world = World::new();
    world.put("seen", json!({"location": "eastus"})).await.unwrap();
    world.put("hidden", json!({"location": "eastus"})).await.unwrap();
    let reader = world.somebody(role_id::ACR_PULL);
    world
        .directory
        .assign(NewAssignment {
            id: Guid::from_bytes([7; 16]),
            principal: reader,
            role: role_id::READER,
            scope: format!("/subscriptions/{}/resourceGroups/SEEN", world.subscription())
                .parse()
                .unwrap(),
            description: None,
            created_by: None,
        })
        .unwrap();
    let seen = world.control.groups(&call(reader), world.subscription()).await.unwrap();
    let names: Vec<&Value> = seen.iter().map(|group| &group["name"]).collect();
    assert_eq!(names, ["seen"]);
    let puller = world.somebody(role_id::ACR_PULL);
    let none = world.control.groups(&call(puller), world.subscription()).await;
    assert!(matches!(none, Err(ControlError::Denied { .. })), "{none:?}");
}

#[tokio::test]
async fn a_limited_administrator_gives_the_roles_of_vaults_and_no_others() {
    let world = World::new();
    let admin = world.somebody(role_id::KEY_VAULT_DATA_ACCESS_ADMINISTRATOR);
    let sub = format!("/subscriptions/{}", world.subscription());
    let id = |number: u8| -> ResourceId {
        let name = Guid::from_bytes([number; 16]);
        let roles = "providers/Microsoft.Authorization/roleAssignments";
        format!("{sub}/{roles}/{name}").parse().unwrap()
    };
    let body = |role: RoleDefinitionId| {
        let (role, admin) = (role.to_string(), admin.to_string());
        json!({"properties": {"roleDefinitionId": role, "principalId": admin}})
    };
    let user = body(role_id::KEY_VAULT_CRYPTO_USER);
    assert!(world.control.put(&call(admin), &id(1), &user).await.is_ok());
    let own = world.directory.snapshot().owner().1;
    for role in [role_id::OWNER, role_id::USER_ACCESS_ADMINISTRATOR, role_id::ACR_PUSH] {
        let up = world.control.put(&call(admin), &id(2), &body(role)).await;
        assert!(matches!(up, Err(ControlError::Denied { .. })), "{up:?}");
    }
    // Neither can it take the owner's role away.
    let snapshot = world.directory.snapshot();
    let owners =
        snapshot.assignments().find(|one| one.principal == own && one.role == role_id::OWNER);
    let target =
        format!("{sub}/providers/Microsoft.Authorization/roleAssignments/{}", owners.unwrap().id);
    let gone = world.control.delete(&call(admin), &target.parse().unwrap()).await;
    assert!(matches!(gone, Err(ControlError::Denied { .. })), "{gone:?}");
    // An assignment is found only at its own scope, so that no other scope's rights delete it.
    let elsewhere = target.replace(&sub, &format!("{sub}/resourceGroups/lockyard"));
    let none = world.control.delete(&call(world.owner()), &elsewhere.parse().unwrap()).await;
    assert!(matches!(none, Ok(None)), "{none:?}");
}

#[tokio::test]
async fn only_those_who_give_roles_change_people() {
    let world = World::new();
    for (role, may) in [
        (role_id::OWNER, true),
        (role_id::USER_ACCESS_ADMINISTRATOR, true),
        (role_id::CONTRIBUTOR, false),
        (role_id::READER, false),
        (role_id::KEY_VAULT_ADMINISTRATOR, false),
        (role_id::KEY_VAULT_DATA_ACCESS_ADMINISTRATOR, false),
    ] {
        let somebody = world.somebody(role);
        let made = world.objects.create_group(somebody, "team".to_owned()).await;
        assert_eq!(made.is_ok(), may, "{role}: {made:?}");
        let team = world.directory.create_group("crew").unwrap();
        let joined =
            world.objects.set_member(somebody, &team.to_string(), somebody, Membership::In).await;
        assert_eq!(joined.is_ok(), may, "{role}: {joined:?}");
        assert!(may || matches!(joined, Err(ObjectsError::Denied(_))));
        assert!(world.objects.principals(somebody, &[], |_| true).is_ok(), "{role} may look");
    }
}

#[tokio::test]
async fn a_managed_identity_is_not_deleted_behind_its_resources_back() {
    let world = World::new();
    let id = format!(
        "/subscriptions/{}/resourceGroups/lockyard/providers/\
         Microsoft.ManagedIdentity/userAssignedIdentities/one",
        world.subscription()
    );
    let (identity, client) = world.directory.create_managed_identity(id.parse().unwrap()).unwrap();
    let filter = format!("servicePrincipalNames/any(c:c eq '{client}')");
    let found = world.objects.principals(world.owner(), &parse_filter(&filter).unwrap(), |_| true);
    assert_eq!(found.unwrap().first().map(|one| one.id), Some(identity));
    let name = identity.to_string();
    let gone = world.objects.delete_principal(world.owner(), "object", &name, |_| true).await;
    assert!(matches!(gone, Err(ObjectsError::Invalid(_))), "{gone:?}");
}

/// Runs a verb of somebody whose right to it is taken away after the question and before the effect,
/// and fails unless nothing else happened.
async fn too_late<T, E: fmt::Debug>(
    world: &World,
    verb: impl AsyncFnOnce(PrincipalId) -> Result<T, E>,
    denied: impl FnOnce(&E) -> bool,
) {
    let admin = world.somebody(role_id::OWNER);
    let before = world.directory.snapshot();
    let directory = Arc::clone(&world.directory);
    world.clock.next_time(move || assert!(directory.unassign(admin.guid()).unwrap().is_some()));
    let refused = verb(admin).await.err().expect("the right was gone");
    assert!(denied(&refused), "{refused:?}");
    let after = world.directory.snapshot();
    assert_eq!(after.version(), before.version() + 1, "the role went and nothing else changed");
}

#[tokio::test]
async fn a_right_that_went_between_the_question_and_the_effect_counts_no_more() {
    let world = World::new();
    let (control, objects) = (&world.control, &world.objects);
    let of_control = |error: &ControlError| matches!(error, ControlError::Denied { .. });
    let of_objects = |error: &ObjectsError| matches!(error, ObjectsError::Denied(_));
    let assign = async |admin: PrincipalId| {
        let sub = format!("/subscriptions/{}", world.subscription());
        let name = Guid::from_bytes([9; 16]);
        let id = format!("{sub}/providers/Microsoft.Authorization/roleAssignments/{name}");
        let (role, principal) = (role_id::READER.to_string(), world.owner().to_string());
        let body = json!({"properties": {"roleDefinitionId": role, "principalId": principal}});
        control.put(&call(admin), &id.parse().unwrap(), &body).await
    };
    too_late(&world, assign, of_control).await;
    let make = async |admin| {
        let body = json!({"location": "eastus"});
        control.put_group(&call(admin), world.subscription(), &group("late"), &body).await
    };
    too_late(&world, make, of_control).await;
    assert!(!world.groups().await.contains(&"late".to_owned()));
    let found = async |admin| objects.create_group(admin, "late".to_owned()).await;
    too_late(&world, found, of_objects).await;
    let hire = async |admin| {
        let password = Presented::from("correct horse battery");
        objects.create_user(admin, "eve".to_owned(), "eve@yard.example".to_owned(), password).await
    };
    too_late(&world, hire, of_objects).await;
}

#[tokio::test]
async fn an_identity_is_a_resource_with_tags_and_goes_with_its_roles() {
    let world = World::new();
    world.put("rg1", json!({"location": "eastus"})).await.unwrap();
    let sub = format!("/subscriptions/{}", world.subscription());
    let at = |group: &str, name: &str| -> ResourceId {
        let kind = "providers/Microsoft.ManagedIdentity/userAssignedIdentities";
        format!("{sub}/resourceGroups/{group}/{kind}/{name}").parse().unwrap()
    };
    let (control, owner) = (&world.control, call(world.owner()));
    let id = at("rg1", "id1");
    let put = async |id: &ResourceId, body: Value| control.put(&owner, id, &body).await;
    let made = put(&id, json!({"location": "East US", "tags": {"a": "1"}})).await.unwrap();
    let Put::Created(made) = made else { panic!("{made:?}") };
    let principal: PrincipalId =
        made["properties"]["principalId"].as_str().unwrap().parse().unwrap();
    assert_eq!(made["type"], "Microsoft.ManagedIdentity/userAssignedIdentities");
    assert_eq!((&made["name"], &made["location"]), (&json!("id1"), &json!("eastus")));
    assert_eq!(made["properties"]["tenantId"], json!(control.tenant().to_string()));
    assert_eq!(control.get(&owner, &at("RG1", "ID1")).await.unwrap(), made);

    // Again is the same identity; what the body says of it counts.
    let again = put(&id, json!({"location": "eastus"})).await.unwrap();
    let Put::Replaced(again) = again else { panic!("{again:?}") };
    assert_eq!(again["properties"], made["properties"]);
    assert_eq!(again["tags"], json!({}));
    let patched = control.patch(&owner, &id, &json!({"tags": {"b": "2"}})).await.unwrap();
    assert_eq!(patched["tags"], json!({"b": "2"}));
    let restarted = open(&world.records, &world.directory, &world.vaults, &world.clock);
    assert_eq!(restarted.get(&owner, &id).await.unwrap(), patched);

    for (id, body, code) in [
        (&id, json!({"location": "westus2"}), "InvalidResourceLocation"),
        (&at("rg1", "id2"), json!({}), "LocationRequired"),
        (&at("nowhere", "id2"), json!({"location": "eastus"}), "ResourceGroupNotFound"),
        (&at("rg1", "i.d"), json!({"location": "eastus"}), "InvalidResourceName"),
        (&at("rg1", &"i".repeat(129)), json!({"location": "eastus"}), "InvalidResourceName"),
    ] {
        let refused = put(id, body).await.unwrap_err();
        assert_eq!(refused.code().1, code, "{refused}");
    }
    put(&at("rg1", &"i".repeat(128)), json!({"location": "eastus"})).await.unwrap();

    let all = control.resources(&owner, &sub.parse().unwrap()).await.unwrap().items;
    assert!(all.iter().any(|one| one["name"] == "id1" && one["tags"]["b"] == "2"), "{all:?}");
    let kind = "Microsoft.ManagedIdentity/userAssignedIdentities".parse().unwrap();
    assert_eq!(control.list(&owner, &sub.parse().unwrap(), &kind).await.unwrap().items.len(), 2);
    // Whoever has no role that shows identities is told nothing of them.
    let puller = call(world.somebody(role_id::ACR_PULL));
    for refused in [
        control.get(&puller, &id).await.map(drop),
        control.list(&puller, &sub.parse().unwrap(), &kind).await.map(drop),
        control.put(&puller, &id, &json!({"location": "eastus"})).await.map(drop),
        control.patch(&puller, &id, &json!({"tags": {}})).await.map(drop),
        control.delete(&puller, &id).await.map(drop),
    ] {
        assert!(matches!(refused, Err(ControlError::Denied { .. })), "{refused:?}");
    }

    world.give(principal, role_id::ACR_PULL);
    let mut changes = world.directory.changes();
    changes.mark_unchanged();
    assert_eq!(control.delete(&owner, &id).await.unwrap().unwrap()["name"], "id1");
    assert!(changes.has_changed().unwrap(), "whoever relied on it hears of it");
    assert_eq!(control.delete(&owner, &id).await.unwrap(), None);
    let snapshot = world.directory.snapshot();
    assert!(snapshot.principal(principal).is_none());
    assert!(snapshot.assignments().all(|one| one.principal != principal));
    let gone = control.get(&owner, &id).await.unwrap_err();
    assert_eq!(gone.code(), (404, "ResourceNotFound"));

    // Another one of the same name is another identity.
    let Put::Created(other) = put(&id, json!({"location": "westus2"})).await.unwrap() else {
        panic!("it is not there any more")
    };
    assert_ne!(other["properties"]["principalId"], made["properties"]["principalId"]);
    control.delete_group(&owner, world.subscription(), &group("rg1")).await.unwrap();
    let managed = world.directory.snapshot().by_resource(&id).is_some();
    assert!(!managed, "an identity goes with its group");
}

fn vault_id(world: &World, name: &str) -> ResourceId {
    within(world, "lockyard", &format!("Microsoft.KeyVault/vaults/{name}"))
}

/// The id of something in a group.
fn within(world: &World, group: &str, what: &str) -> ResourceId {
    let subscription = world.subscription();
    format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{what}")
        .parse()
        .unwrap()
}

fn identity_id(world: &World, group: &str, name: &str) -> ResourceId {
    within(world, group, &format!("Microsoft.ManagedIdentity/userAssignedIdentities/{name}"))
}

/// A vault as az asks for it when its creator chose no model.
fn vault_body(world: &World, mode: &str) -> Value {
    let tenant = world.directory.snapshot().tenant().to_string();
    json!({"location": "eastus", "properties": {
        "tenantId": tenant, "sku": {"family": "A", "name": "standard"},
        "accessPolicies": [], "enableRbacAuthorization": true, "createMode": mode,
    }})
}

/// A vault as az makes one whose creator chose no model; or the same recovered.
async fn put_vault(world: &World, name: &str, mode: &str) -> Value {
    let body = vault_body(world, mode);
    let mut call = call(world.owner());
    call.command = AzCommand::read(Some("keyvault create"), Some("-n"));
    match world.control.put(&call, &vault_id(world, name), &body).await.unwrap() {
        Put::Created(vault) | Put::Replaced(vault) => vault,
    }
}

/// Gives somebody a role to a vault's data behind the control plane's back, as a crash leaves it.
fn assign_only(world: &World, name: &str) -> Guid {
    let principal = world.somebody(role_id::READER);
    let id = Guid::from_bytes([5; 16]);
    let new = NewAssignment {
        id,
        principal,
        role: role_id::KEY_VAULT_CRYPTO_USER,
        scope: vault_id(world, name).into_scope(),
        description: None,
        created_by: None,
    };
    world.directory.assign(new).unwrap().id
}

#[tokio::test]
async fn no_crash_between_a_vault_and_its_roles_brings_a_right_back() {
    let world = World::new();
    let name = "kvone".parse().unwrap();
    for mode in ["recover", "default"] {
        let _vault = put_vault(&world, "kvone", "default").await;
        let given = assign_only(&world, "kvone");
        // Cut off after the vault was deleted and before its roles were dropped.
        let _gone = world.vaults.0.delete_vault(&name).unwrap();
        if mode == "default" {
            world.vaults.0.purge_vault(&name).unwrap();
        }
        assert!(world.directory.snapshot().assignment(given).is_some());
        let _back = put_vault(&world, "kvone", mode).await;
        assert!(world.directory.snapshot().assignment(given).is_none(), "{mode}");
        let _gone = world.vaults.0.delete_vault(&name).unwrap();
        world.vaults.0.purge_vault(&name).unwrap();
    }
}

#[tokio::test]
async fn a_role_that_was_given_before_a_crash_decides_after_it() {
    let world = World::new();
    let made = put_vault(&world, "kvone", "default").await;
    assert_eq!(made["properties"]["permissionModel"]["model"], "undecided");
    let _given = assign_only(&world, "kvone");
    let control = open(&world.records, &world.directory, &world.vaults, &world.clock);
    let shown = control.get(&call(world.owner()), &vault_id(&world, "kvone")).await.unwrap();
    assert_eq!(shown["properties"]["permissionModel"]["decidedBy"], "firstRole");
}
