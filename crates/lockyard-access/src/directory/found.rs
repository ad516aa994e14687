//! The first entries of a directory, and how a lost owner is made again.
//!
//! A first start makes a tenant, a subscription, the owner's application with its service
//! principal, and the account of the first person, and gives both the roles of an owner: all in one
//! transaction. Before there was a directory, an instance had one owner in a record of its own; that
//! record becomes the owner's application here, in one transaction as well.

use std::{fmt, sync::Arc};

use lockyard_arm::Scope;
use lockyard_base::{Clock, Entropy, Guid, Timestamp};

use super::{
    Application, ApplicationId, ChangeError, ClientId, Cost, CredentialId, Directory,
    DirectoryError, NewSecret, Presented, Principal, PrincipalKind, Subscription, SubscriptionId,
    TenantId, check,
    limit::SECRET_LIFE_MAX,
    password::PasswordHash,
    principal::{Entry, Means, checked_upn, folded},
    row,
    secret::ClientSecret,
    snapshot::{House, State},
};
use crate::{PrincipalId, Records, RoleAssignment, RoleDefinitionId, decision::role_id};

/// What the owner may do, at the subscription.
const OWNER_ROLES: [RoleDefinitionId; 2] = [role_id::OWNER, role_id::KEY_VAULT_ADMINISTRATOR];
const OWNER_NAME: &str = "Lockyard owner";
const PERSON_NAME: &str = "Owner";
const SUBSCRIPTION_NAME: &str = "Lockyard";
/// The record in which the owner stood before there was a directory.
const OLD_OWNER: &str = "owner";

/// What a first start makes up; the secrets are shown once.
#[derive(Debug)]
pub struct Founding {
    /// The tenant.
    pub tenant: TenantId,
    /// Its one subscription.
    pub subscription: SubscriptionId,
    /// The tenant's domain: what follows the `@` in the names of its users.
    pub domain: String,
    /// The owner's client id.
    pub client: ClientId,
    /// The owner's client secret.
    pub secret: NewSecret,
    /// The name that the first person signs in with.
    pub upn: String,
    /// The first person's password.
    pub password: NewSecret,
}

impl Founding {
    /// Makes everything up; nothing is stored yet.
    pub fn generate(entropy: &dyn Entropy, domain: &str) -> Self {
        Self {
            tenant: TenantId::random(entropy),
            subscription: SubscriptionId::random(entropy),
            domain: domain.to_owned(),
            client: ClientId::random(entropy),
            secret: NewSecret::generate(entropy),
            upn: format!("owner@{domain}"),
            password: NewSecret::password(entropy),
        }
    }
}

/// An owner that was made again; the secrets are shown once.
pub struct OwnerReset {
    /// The owner's client id.
    pub client: ClientId,
    /// The new client secret.
    pub secret: NewSecret,
    /// The name that the first person signs in with.
    pub upn: String,
    /// The new password.
    pub password: NewSecret,
}

impl fmt::Debug for OwnerReset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OwnerReset({})", self.client)
    }
}

impl Directory {
    /// Makes the first entries and opens the directory; fails if there is one. Blocks.
    pub fn found(
        records: Records,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        founding: &Founding,
        cost: Cost,
    ) -> Result<Arc<Self>, DirectoryError> {
        let first = |error| DirectoryError::First(Box::new(error));
        let password = Presented::from(founding.password.dangerous_expose());
        let hash = PasswordHash::new(&password, cost, &*entropy).map_err(first)?;
        let now = clock.wall();
        let id = CredentialId::random(&*entropy);
        let until = now + SECRET_LIFE_MAX;
        let secret = ClientSecret::new(id, None, &founding.secret, now, until);
        let Founding { tenant, subscription, client, .. } = *founding;
        let mut state = empty(tenant, subscription, client, &founding.domain, &*entropy);
        let upn = checked_upn(&founding.upn).map_err(first)?;
        furnish(&mut state, Some(secret), Some(hash), upn, now, &*entropy);
        write(&records, state)?;
        Self::open_at_cost(records, clock, entropy, cost)
    }

    /// Makes a directory of the owner that an instance had before there were directories; `None` if
    /// it had none. Tenant, subscription, client id and secret stay; the first person's account has
    /// no password yet. Blocks.
    pub fn carry_over(
        records: &Records,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
        domain: &str,
    ) -> Result<Option<()>, DirectoryError> {
        let Some(old) = records.get(OLD_OWNER, b"")? else { return Ok(None) };
        let [tenant, subscription, client, hash] = fields(&old).ok_or(DirectoryError::Damaged)?;
        let guid = |bytes: &[u8]| -> Result<Guid, DirectoryError> {
            bytes.try_into().map(Guid::from_bytes).map_err(|_| DirectoryError::Damaged)
        };
        let hash: [u8; 32] = hash.try_into().map_err(|_| DirectoryError::Damaged)?;
        let client = ClientId::new(guid(client)?);
        let now = clock.wall();
        let times = (now, now + SECRET_LIFE_MAX);
        let id = CredentialId::random(entropy);
        let secret = ClientSecret::from_hash(id, None, String::new(), times, hash);
        let (tenant, subscription) = (guid(tenant)?, guid(subscription)?);
        let (tenant, subscription) = (TenantId::new(tenant), SubscriptionId::new(subscription));
        let mut state = empty(tenant, subscription, client, domain, entropy);
        let first = |error| DirectoryError::First(Box::new(error));
        let upn = checked_upn(&format!("owner@{domain}")).map_err(first)?;
        furnish(&mut state, Some(secret), None, upn, now, entropy);
        write(records, state)?;
        Ok(Some(()))
    }

    /// Whether a directory was founded here. Blocks.
    pub fn is_founded(records: &Records) -> Result<bool, DirectoryError> {
        Ok(records.get(row::HOUSE, b"")?.is_some())
    }

    /// Makes the owner and the first person again, wherever they were lost: there, enabled, with a
    /// new secret and a new password in place of all old credentials, with an owner's roles, and
    /// without any session. Blocks.
    pub fn reset_owner(&self) -> Result<OwnerReset, ChangeError> {
        let (entropy, now) = (&*self.entropy, self.now());
        let (secret, password) = (NewSecret::generate(entropy), NewSecret::password(entropy));
        let hash = self.stretched(&Presented::from(password.dangerous_expose()))?;
        let id = CredentialId::random(entropy);
        let kept = ClientSecret::new(id, None, &secret, now, now + SECRET_LIFE_MAX);
        let (client, upn) = self.change(|state| {
            let (client, _) = state.house.owner;
            if let Some(application) = state.applications.get_mut(&client) {
                let application = Arc::make_mut(application);
                application.secrets.clear();
                application.certificates.clear();
                application.federated.clear();
            }
            let person = state.principals.get(&state.house.person);
            let upn = match person.and_then(|entry| entry.principal.upn.clone()) {
                Some(upn) => upn,
                None => free_upn(state),
            };
            furnish(state, Some(kept), Some(hash), upn.clone(), now, entropy);
            Ok((client, upn))
        })?;
        self.forget_failures(&upn)?;
        Ok(OwnerReset { client, secret, upn, password })
    }
}

fn empty(
    tenant: TenantId,
    subscription: SubscriptionId,
    client: ClientId,
    domain: &str,
    entropy: &dyn Entropy,
) -> State {
    let somebody = || PrincipalId::new(Guid::random(entropy));
    let house = House {
        tenant,
        domain: domain.to_owned(),
        subscription: Subscription { id: subscription, name: SUBSCRIPTION_NAME.to_owned() },
        owner: (client, somebody()),
        person: somebody(),
        version: 1,
    };
    State {
        house,
        principals: std::collections::BTreeMap::new(),
        applications: std::collections::BTreeMap::new(),
        assignments: std::collections::BTreeMap::new(),
        roles: std::collections::BTreeMap::new(),
    }
}

/// Puts the owner and the first person where they belong, whatever of them is there.
fn furnish(
    state: &mut State,
    secret: Option<ClientSecret>,
    password: Option<PasswordHash>,
    upn: String,
    now: Timestamp,
    entropy: &dyn Entropy,
) {
    let (client, owner) = state.house.owner;
    let person = state.house.person;
    let application = state.applications.entry(client).or_insert_with(|| {
        Arc::new(Application {
            id: ApplicationId::random(entropy),
            client,
            display_name: OWNER_NAME.to_owned(),
            redirect_uris: Vec::new(),
            identifier_uris: Vec::new(),
            public: false,
            secrets: Vec::new(),
            certificates: Vec::new(),
            federated: Vec::new(),
            created: now,
        })
    });
    Arc::make_mut(application).secrets.extend(secret);
    let mut settle = |id, kind, name: &str, means: Means| {
        let principal = match state.principals.get(&id) {
            Some(entry) => Principal { enabled: true, ..entry.principal.clone() },
            None => Principal {
                id,
                kind,
                display_name: name.to_owned(),
                client: None,
                upn: None,
                enabled: true,
                sessions_valid_from: now,
                created: now,
            },
        };
        let principal = Principal { sessions_valid_from: now, ..principal };
        state.principals.insert(id, Arc::new(Entry { principal, means }));
    };
    settle(owner, PrincipalKind::ServicePrincipal, OWNER_NAME, Means::Application);
    let credential = CredentialId::random(entropy);
    let means = Means::Password { credential, hash: password };
    settle(person, PrincipalKind::User, PERSON_NAME, means);
    for (id, client, upn) in [(owner, Some(client), None), (person, None, Some(upn))] {
        if let Some(entry) = state.principals.get_mut(&id) {
            let principal = &mut Arc::make_mut(entry).principal;
            (principal.client, principal.upn) = (client, upn);
        }
        grant(state, id, now, entropy);
    }
}

/// Gives an owner's roles at the subscription, unless they are given.
fn grant(state: &mut State, principal: PrincipalId, now: Timestamp, entropy: &dyn Entropy) {
    let scope = Scope::of_subscription(state.house.subscription.id.guid());
    for role in OWNER_ROLES {
        let given = state.assignments.values().any(|assignment| {
            (assignment.principal, assignment.role) == (principal, role)
                && assignment.scope == scope
        });
        if !given {
            let id = Guid::random(entropy);
            let assignment = RoleAssignment {
                id,
                principal,
                role,
                scope: scope.clone(),
                description: None,
                created: now,
                created_by: None,
            };
            state.assignments.insert(id, Arc::new(assignment));
        }
    }
}

/// A name for the first person that nobody else signs in with.
fn free_upn(state: &State) -> String {
    let taken = |upn: &str| {
        let upn = folded(upn);
        state
            .principals
            .values()
            .any(|entry| entry.principal.upn.as_deref().is_some_and(|other| folded(other) == upn))
    };
    let domain = &state.house.domain;
    let mut upn = format!("owner@{domain}");
    let mut number = 2_u32;
    while taken(&upn) {
        upn = format!("owner-{number}@{domain}");
        number += 1;
    }
    upn
}

/// Commits the first state; the old owner's record goes with the same commit.
fn write(records: &Records, state: State) -> Result<(), DirectoryError> {
    check::state(&state).map_err(|error| DirectoryError::First(Box::new(error)))?;
    let (house, edits) = (row::house(&state.house), row::difference(None, &state));
    records.write_blocking(move |txn| {
        if !txn.insert(row::HOUSE, b"", &house, None)? {
            return Err(DirectoryError::Founded);
        }
        edits.iter().try_for_each(|edit| edit.apply(txn))?;
        txn.remove(OLD_OWNER, b"")?;
        Ok::<_, DirectoryError>(())
    })
}

/// The fields of the old owner's record: a version byte, then length-prefixed fields.
fn fields(record: &[u8]) -> Option<[&[u8]; 4]> {
    let (version, mut rest) = record.split_first()?;
    let mut fields = [&[][..]; 4];
    for field in &mut fields {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        (*field, rest) = after.split_at_checked(length)?;
    }
    (*version == 1 && rest.is_empty()).then_some(fields)
}
