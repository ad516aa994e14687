//! The directory as it is at one moment: immutable, complete, in memory.
//!
//! Whoever decides something takes one snapshot and decides by it. Every answer is a lookup; the
//! groups that somebody is in are followed here, so that no caller forgets to.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

use lockyard_arm::{ResourceId, Scope};
use lockyard_base::Guid;

use super::{
    Application, ClientId, CredentialId, PrincipalKind, SubscriptionId, TenantId,
    principal::{Entry, Means, Principal, folded},
};
use crate::{
    PrincipalId, RoleAssignment, RoleDefinition, RoleDefinitionId, Seal,
    decision::{self, Action, Decision, built_in},
};

/// The subscription that resources lie in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The id.
    pub id: SubscriptionId,
    /// The name that people see.
    pub name: String,
}

/// What there is one of.
#[derive(Clone)]
pub(super) struct House {
    pub(super) tenant: TenantId,
    pub(super) domain: String,
    pub(super) subscription: Subscription,
    /// The owner's application and its service principal.
    pub(super) owner: (ClientId, PrincipalId),
    /// The first person's account.
    pub(super) person: PrincipalId,
    /// How often the directory was changed.
    pub(super) version: u64,
}

/// Everything that is kept, as a change sees it: shared, so that a draft costs little.
#[derive(Clone)]
pub(super) struct State {
    pub(super) house: House,
    pub(super) principals: BTreeMap<PrincipalId, Arc<Entry>>,
    pub(super) applications: BTreeMap<ClientId, Arc<Application>>,
    pub(super) assignments: BTreeMap<Guid, Arc<RoleAssignment>>,
    pub(super) roles: BTreeMap<RoleDefinitionId, Arc<RoleDefinition>>,
}

/// The directory at one moment.
pub struct Snapshot {
    pub(super) state: State,
    /// The house's row as it was read or written; a change replaces exactly this.
    pub(super) seal: Seal,
    by_client: HashMap<ClientId, PrincipalId>,
    by_upn: HashMap<String, PrincipalId>,
    by_resource: HashMap<ResourceId, PrincipalId>,
    groups: HashMap<PrincipalId, Vec<PrincipalId>>,
    grants: HashMap<PrincipalId, Vec<Arc<RoleAssignment>>>,
}

impl Snapshot {
    pub(super) fn new(state: State, seal: Seal) -> Self {
        let mut this = Self {
            seal,
            by_client: HashMap::new(),
            by_upn: HashMap::new(),
            by_resource: HashMap::new(),
            groups: HashMap::new(),
            grants: HashMap::new(),
            state,
        };
        for (id, entry) in &this.state.principals {
            let principal = &entry.principal;
            this.by_client.extend(principal.client.map(|client| (client, *id)));
            this.by_upn.extend(principal.upn.as_deref().map(|upn| (folded(upn), *id)));
            if let PrincipalKind::ManagedIdentity(resource) = &principal.kind {
                this.by_resource.insert(resource.clone(), *id);
            }
            for member in entry.members().into_iter().flatten() {
                this.groups.entry(*member).or_default().push(*id);
            }
        }
        for assignment in this.state.assignments.values() {
            let grants = this.grants.entry(assignment.principal).or_default();
            grants.push(Arc::clone(assignment));
        }
        this
    }

    /// The tenant that everything here belongs to.
    pub fn tenant(&self) -> TenantId {
        self.state.house.tenant
    }

    /// The tenant's domain: what follows the `@` in the names of its users.
    pub fn domain(&self) -> &str {
        &self.state.house.domain
    }

    /// The tenant's one subscription.
    pub fn subscription(&self) -> &Subscription {
        &self.state.house.subscription
    }

    /// The owner's application and service principal, as the first start made them.
    pub fn owner(&self) -> (ClientId, PrincipalId) {
        self.state.house.owner
    }

    /// The account of the first person, as the first start made it.
    pub fn first_person(&self) -> PrincipalId {
        self.state.house.person
    }

    /// How often the directory was changed; rises with every change.
    pub fn version(&self) -> u64 {
        self.state.house.version
    }

    /// The principal with this object id.
    pub fn principal(&self, id: PrincipalId) -> Option<&Principal> {
        self.entry(id).map(|entry| &entry.principal)
    }

    /// Everybody, by object id.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.state.principals.values().map(|entry| &entry.principal)
    }

    /// The service principal or managed identity of this client id.
    pub fn by_client(&self, client: ClientId) -> Option<&Principal> {
        self.by_client.get(&client).and_then(|id| self.principal(*id))
    }

    /// The user who signs in with this name, in any case.
    pub fn by_upn(&self, upn: &str) -> Option<&Principal> {
        self.by_upn.get(&folded(upn)).and_then(|id| self.principal(*id))
    }

    /// The managed identity of this resource.
    pub fn by_resource(&self, resource: &ResourceId) -> Option<&Principal> {
        self.by_resource.get(resource).and_then(|id| self.principal(*id))
    }

    /// Everybody with this display name, in any case.
    pub fn by_name(&self, name: &str) -> Vec<&Principal> {
        let name = name.to_lowercase();
        self.principals().filter(|one| one.display_name.to_lowercase() == name).collect()
    }

    /// The application with this client id.
    pub fn application(&self, client: ClientId) -> Option<&Application> {
        self.state.applications.get(&client).map(AsRef::as_ref)
    }

    /// All applications, by client id.
    pub fn applications(&self) -> impl Iterator<Item = &Application> {
        self.state.applications.values().map(AsRef::as_ref)
    }

    /// The direct members of a group, by object id; nobody, for anybody else.
    pub fn members(&self, group: PrincipalId) -> Vec<&Principal> {
        let members = self.entry(group).and_then(|entry| entry.members());
        members.into_iter().flatten().filter_map(|id| self.principal(*id)).collect()
    }

    /// Every group that somebody is in, directly or through other groups, by object id.
    pub fn groups_of(&self, id: PrincipalId) -> Vec<PrincipalId> {
        let (mut found, mut open) = (BTreeSet::new(), vec![id]);
        while let Some(next) = open.pop() {
            for group in self.groups.get(&next).into_iter().flatten() {
                if found.insert(*group) {
                    open.push(*group);
                }
            }
        }
        found.into_iter().collect()
    }

    /// All role assignments, by id.
    pub fn assignments(&self) -> impl Iterator<Item = &RoleAssignment> {
        self.state.assignments.values().map(AsRef::as_ref)
    }

    /// The role assignment with this id.
    pub fn assignment(&self, id: Guid) -> Option<&RoleAssignment> {
        self.state.assignments.get(&id).map(AsRef::as_ref)
    }

    /// The built-in or custom role with this id.
    pub fn role(&self, id: RoleDefinitionId) -> Option<&RoleDefinition> {
        let custom = self.state.roles.get(&id).map(AsRef::as_ref);
        custom.or_else(|| built_in().iter().find(|role| role.id == id))
    }

    /// All roles: the built-in ones and then the custom ones.
    pub fn roles(&self) -> impl Iterator<Item = &RoleDefinition> {
        built_in().iter().chain(self.state.roles.values().map(AsRef::as_ref))
    }

    /// Whether somebody may do something, alone or as a member of groups. Nobody may do anything
    /// who is not here or not enabled.
    pub fn decide(&self, principal: PrincipalId, action: &Action, scope: &Scope) -> Decision {
        let principals = self.standing(principal);
        decision::decide(&principals, action, scope, self.grants(&principals), &|id| self.role(id))
    }

    /// Whether somebody may give or take away the role `granted` at `scope`.
    pub fn decide_delegation(
        &self,
        principal: PrincipalId,
        action: &Action,
        granted: RoleDefinitionId,
        scope: &Scope,
    ) -> Decision {
        let principals = self.standing(principal);
        let grants = self.grants(&principals);
        decision::decide_delegation(&principals, action, granted, scope, grants, &|id| {
            self.role(id)
        })
    }

    /// Whether the credential that a proof was made with is still there: a token whose credential
    /// is gone is void.
    pub fn has_credential(&self, principal: PrincipalId, credential: CredentialId) -> bool {
        let Some(entry) = self.entry(principal) else { return false };
        match &entry.means {
            Means::Password { credential: own, .. } | Means::Resource { credential: own } => {
                *own == credential
            }
            Means::Application => {
                let client = entry.principal.client;
                let application = client.and_then(|client| self.application(client));
                application.is_some_and(|application| application.has_credential(credential))
            }
            Means::Members(_) => false,
        }
    }

    /// The credential of a managed identity: being the resource.
    pub(crate) fn resource_credential(&self, id: PrincipalId) -> Option<CredentialId> {
        match &self.entry(id)?.means {
            Means::Resource { credential } => Some(*credential),
            Means::Password { .. } | Means::Application | Means::Members(_) => None,
        }
    }

    pub(super) fn entry(&self, id: PrincipalId) -> Option<&Entry> {
        self.state.principals.get(&id).map(AsRef::as_ref)
    }

    /// Somebody with all groups, or nobody if they may not act at all.
    fn standing(&self, id: PrincipalId) -> Vec<PrincipalId> {
        if !self.principal(id).is_some_and(|principal| principal.enabled) {
            return Vec::new();
        }
        let mut standing = vec![id];
        standing.extend(self.groups_of(id));
        standing
    }

    fn grants(&self, principals: &[PrincipalId]) -> impl Iterator<Item = &RoleAssignment> {
        let grants = principals.iter().filter_map(|id| self.grants.get(id));
        grants.flatten().map(AsRef::as_ref).collect::<Vec<_>>().into_iter()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version())
            .field("principals", &self.state.principals.len())
            .field("assignments", &self.state.assignments.len())
            .finish_non_exhaustive()
    }
}
