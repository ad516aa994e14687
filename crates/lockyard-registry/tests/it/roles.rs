//! Stories of who may do what: roles, and what is left of them when something is taken away.

use std::sync::Arc;

use lockyard_access::{
    ClientId, Directory, PrincipalId, Records, RoleDefinitionId,
    decision::role_id,
    directory::{Cost, Founding, NewApplication, NewAssignment, Presented, Proof},
    registry_token::{Access, Holder, Verb},
};
use lockyard_arm::Scope;
use lockyard_base::{Clock as _, Guid};
use lockyard_keyring::SlotKind;
use lockyard_registry::{
    Caller, Known, LoginNeeded, Registry, RegistryEntry, RegistryError, instance, verbs_of,
};

use crate::{
    Story, stories,
    support::{Base, World, body, push, repo, sha256},
};

pub(crate) const STORIES: &[Story] = stories!["roles":
    every_role_allows_exactly_its_verbs,
    a_role_counts_from_the_registry_upward_and_nowhere_else,
    what_is_taken_away_counts_no_more_at_once,
    a_token_narrows_what_its_holder_may,
    a_mount_needs_to_see_its_source,
    everybody_may_pull_where_the_registry_says_so,
    anonymous_pulls_outlive_a_restart_and_end_when_told,
];

/// A world with a directory, and a service principal without any role.
struct Office {
    world: World,
    directory: Arc<Directory>,
    entry: Arc<RegistryEntry>,
    client: ClientId,
    principal: PrincipalId,
    proof: Proof,
}

impl Office {
    async fn new(base: &Base) -> Self {
        let world = World::new(base).await;
        let opened = instance::open(&world.store, &[(SlotKind::File, world.secret())]).unwrap();
        let records = Records::new(world.store.clone(), opened.keys, world.entropy());
        let founding = Founding::generate(&*world.entropy(), "lockyard.test");
        let clock = world.clock.clone();
        let entropy = world.entropy();
        let directory =
            Directory::found(records, clock, entropy, &founding, Cost::NEGLIGIBLE).unwrap();
        let new = NewApplication { display_name: "build".to_owned(), ..NewApplication::default() };
        let client = directory.create_application(&new).unwrap();
        let principal = directory.create_service_principal(client).unwrap();
        let until = world.clock.wall() + std::time::Duration::from_secs(1 << 20);
        let secret = directory.add_secret(client, None, until).unwrap().1;
        let shown = Presented::from(secret.dangerous_expose());
        let proof = directory.prove_secret(client, &shown).unwrap();
        let entry = world.house.find(&"lockyard".parse().unwrap()).await.unwrap().unwrap();
        Self { world, directory, entry, client, principal, proof }
    }

    fn scope(&self) -> Scope {
        self.entry.scope(self.directory.snapshot().subscription().id.guid())
    }

    fn give_at(&self, role: RoleDefinitionId, scope: Scope) -> Guid {
        let id = Guid::random(&*self.world.entropy());
        let principal = self.principal;
        let new = NewAssignment { id, principal, role, scope, description: None, created_by: None };
        self.directory.assign(new).unwrap().id
    }

    fn give(&self, role: RoleDefinitionId) -> Guid {
        self.give_at(role, self.scope())
    }

    fn caller(&self, limit: Option<&str>) -> Caller {
        let (principal, credential) = (self.proof.principal(), self.proof.credential());
        Caller::Known(Known {
            directory: Arc::clone(&self.directory),
            holder: Holder { principal, credential },
            proven: self.proof.at(),
            limit: limit.map(|scope| Arc::new(Access::parse([scope]).unwrap())),
        })
    }

    fn open(&self, caller: Caller) -> Registry {
        self.world.house.open(self.entry.clone(), caller).unwrap()
    }

    fn as_known(&self) -> Registry {
        self.open(self.caller(None))
    }
}

/// What somebody may do, told by doing it: each letter is a verb that was not refused.
async fn told(registry: &Registry) -> String {
    let (name, digest) = (repo("app"), sha256(b"content"));
    let refused = |error: &RegistryError| {
        matches!(error, RegistryError::Denied(_) | RegistryError::Unauthorized(_))
    };
    let mut told = String::new();
    let mut tell = |word: &str, outcome: Result<(), RegistryError>| {
        if !outcome.is_err_and(|error| refused(&error)) {
            told.push_str(word);
        }
    };
    tell("pull ", registry.stat_blob(&name, &digest).await.map(drop));
    tell("push ", registry.start_upload(&name, None).await.map(drop));
    tell("delete ", registry.delete_blob(&name, &sha256(b"never pushed")).await);
    tell("catalog ", registry.list_repositories(1, None).await.map(drop));
    told.trim_end().to_owned()
}

async fn every_role_allows_exactly_its_verbs(base: Base) {
    let office = Office::new(&base).await;
    push(&office.world.registry(), "app", b"content").await;
    assert_eq!(told(&office.as_known()).await, "");
    for (role, expected) in [
        (role_id::ACR_PULL, "pull catalog"),
        (role_id::ACR_PUSH, "pull push catalog"),
        (role_id::ACR_DELETE, "delete"),
        (role_id::READER, "pull catalog"),
        (role_id::CONTRIBUTOR, "pull push delete catalog"),
        (role_id::OWNER, "pull push delete catalog"),
        // It may see everything that is managed, which images count among.
        (role_id::USER_ACCESS_ADMINISTRATOR, "pull catalog"),
        (role_id::KEY_VAULT_ADMINISTRATOR, ""),
    ] {
        let assignment = office.give(role);
        assert_eq!(told(&office.as_known()).await, expected, "{role:?}");
        let verbs = verbs_of(&office.caller(None), &office.entry);
        assert_eq!(verbs.contains(Verb::Pull), expected.contains("pull"), "{role:?}");
        assert_eq!(verbs.contains(Verb::Push), expected.contains("push"), "{role:?}");
        assert_eq!(verbs.contains(Verb::Delete), expected.contains("delete"), "{role:?}");
        office.directory.unassign(assignment).unwrap().unwrap();
    }
    let both = (office.give(role_id::ACR_PULL), office.give(role_id::ACR_DELETE));
    assert_eq!(told(&office.as_known()).await, "pull delete catalog", "{both:?}");
}

async fn a_role_counts_from_the_registry_upward_and_nowhere_else(base: Base) {
    let office = Office::new(&base).await;
    push(&office.world.registry(), "app", b"content").await;
    let own = office.scope();
    let group = own.parent().unwrap();
    let subscription = group.parent().unwrap();
    let beside =
        |name: &str| group.child(Some("Microsoft.ContainerRegistry"), "registries", name).unwrap();
    for (scope, expected) in [
        (own.clone(), "pull catalog"),
        (group.clone(), "pull catalog"),
        (subscription, "pull catalog"),
        (Scope::root(), "pull catalog"),
        (beside("LOCKYARD"), "pull catalog"),
        (beside("lockyard2"), ""),
        (beside("other"), ""),
        (Scope::of_subscription(Guid::from_bytes([1; 16])), ""),
        (own.child(None, "webhooks", "one").unwrap(), ""),
    ] {
        let assignment = office.give_at(role_id::ACR_PULL, scope.clone());
        assert_eq!(told(&office.as_known()).await, expected, "{scope}");
        office.directory.unassign(assignment).unwrap().unwrap();
    }
}

async fn what_is_taken_away_counts_no_more_at_once(base: Base) {
    let office = Office::new(&base).await;
    let digest = push(&office.world.registry(), "app", b"content").await;
    let assignment = office.give(role_id::ACR_PUSH);
    // One request's registry, and one token, from before; what changes is only the directory.
    let registry = office.open(office.caller(Some("repository:app:*")));
    let ask = async || registry.stat_blob(&repo("app"), &digest).await.map(drop);
    let ended = |outcome: Result<(), RegistryError>| {
        let ended = Err::<(), _>(RegistryError::Unauthorized(LoginNeeded::Ended));
        assert_eq!(format!("{outcome:?}"), format!("{ended:?}"));
    };
    ask().await.unwrap();
    office.directory.unassign(assignment).unwrap();
    assert!(matches!(ask().await, Err(RegistryError::Denied(Verb::Pull))));
    office.give(role_id::ACR_PULL);
    ask().await.unwrap();
    assert!(matches!(
        registry.start_upload(&repo("app"), None).await,
        Err(RegistryError::Denied(Verb::Push))
    ));

    office.directory.set_enabled(office.principal, false).unwrap();
    ended(ask().await);
    assert!(verbs_of(&office.caller(None), &office.entry).is_empty());
    office.directory.set_enabled(office.principal, true).unwrap();

    let credential = office.proof.credential();
    office.directory.remove_credential(office.client, credential).unwrap();
    ended(ask().await);
    let again = office.as_known();
    ended(again.stat_blob(&repo("app"), &digest).await.map(drop));
    office.directory.delete_principal(office.principal).unwrap();
    ended(ask().await);
}

async fn a_token_narrows_what_its_holder_may(base: Base) {
    let office = Office::new(&base).await;
    let digest = push(&office.world.registry(), "app", b"content").await;
    push(&office.world.registry(), "other", b"content").await;
    office.give(role_id::OWNER);
    let limited = office.open(office.caller(Some("repository:app:pull")));
    limited.stat_blob(&repo("app"), &digest).await.unwrap();
    let narrow = |outcome: Result<(), RegistryError>| {
        let needed = RegistryError::Unauthorized(LoginNeeded::Limited);
        assert_eq!(format!("{outcome:?}"), format!("{:?}", Err::<(), _>(needed)));
    };
    narrow(limited.stat_blob(&repo("other"), &digest).await.map(drop));
    narrow(limited.push_blob(&repo("app"), &digest, body(b"content")).await.map(drop));
    narrow(limited.delete_blob(&repo("app"), &digest).await);
    narrow(limited.list_repositories(9, None).await.map(drop));
    let empty = office.open(office.caller(Some("")));
    narrow(empty.stat_blob(&repo("app"), &digest).await.map(drop));
}

async fn a_mount_needs_to_see_its_source(base: Base) {
    let office = Office::new(&base).await;
    let digest = push(&office.world.registry(), "source", b"content").await;
    office.give(role_id::ACR_PUSH);
    let (name, source) = (repo("app"), repo("source"));
    let limited = office.open(office.caller(Some("repository:app:pull,push")));
    assert!(!limited.mount_blob(&name, &digest, Some(&source)).await.unwrap());
    assert!(!limited.mount_blob(&name, &digest, None).await.unwrap());
    let both = "repository:app:pull,push repository:source:pull";
    let wider = office.open(office.caller(Some(both)));
    assert!(wider.mount_blob(&name, &digest, Some(&source)).await.unwrap());
    let unlimited = office.as_known();
    assert!(unlimited.mount_blob(&repo("third"), &digest, None).await.unwrap());
}

async fn everybody_may_pull_where_the_registry_says_so(base: Base) {
    let mut office = Office::new(&base).await;
    let digest = push(&office.world.registry(), "app", b"content").await;
    let name = "lockyard".parse().unwrap();
    assert_eq!(told(&office.open(Caller::Anonymous)).await, "");
    assert!(office.world.house.set_anonymous_pull(&name, true).await.unwrap());
    office.entry = office.world.house.find(&name).await.unwrap().unwrap();
    for caller in [Caller::Anonymous, office.caller(None)] {
        let registry = office.open(caller.clone());
        assert_eq!(told(&registry).await, "pull catalog", "{caller:?}");
        let verbs = verbs_of(&caller, &office.entry);
        assert!(verbs.contains(Verb::MetadataRead) && !verbs.contains(Verb::MetadataWrite));
        assert!(!registry.mount_blob(&repo("app"), &digest, None).await.is_ok_and(|done| done));
    }
    // Who has no role is told so; who is nobody is asked to log in.
    let refused = office.as_known().start_upload(&repo("app"), None).await;
    assert!(matches!(refused, Err(RegistryError::Denied(Verb::Push))));
    let refused = office.open(Caller::Anonymous).start_upload(&repo("app"), None).await;
    assert!(matches!(refused, Err(RegistryError::Unauthorized(LoginNeeded::Absent))));
    let nobody = "nosuch".parse().unwrap();
    assert!(!office.world.house.set_anonymous_pull(&nobody, true).await.unwrap());
}

async fn anonymous_pulls_outlive_a_restart_and_end_when_told(base: Base) {
    let mut world = World::new(&base).await;
    let name = "lockyard".parse().unwrap();
    for public in [true, true, false] {
        assert!(world.house.set_anonymous_pull(&name, public).await.unwrap());
        world.restart().await;
        let entry = world.house.find(&name).await.unwrap().unwrap();
        assert_eq!(entry.anonymous_pull(), public);
        assert_eq!(world.house.list().await.unwrap()[0].anonymous_pull, public);
    }
}
