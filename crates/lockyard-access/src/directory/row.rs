//! How the directory lies in records: one row for each thing, so that a change writes little.
//!
//! The wire structs are private to this file and carry a version in their kind; everything else
//! knows the domain's types only. A row says its own name, which is compared with the record that
//! it was found in.

use std::{collections::BTreeSet, fmt::Display, str::FromStr, sync::Arc};

use lockyard_base::{Guid, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{
    Application, DirectoryError, FederatedCredential, Principal, PrincipalKind,
    certificate::ClientCertificate,
    password::{Cost, PasswordHash},
    principal::{Entry, Means},
    secret::ClientSecret,
    snapshot::{House, State, Subscription},
};
use crate::{
    RecordError, RecordTxn, RoleAssignment, RoleDefinition, Seal,
    decision::{ActionPattern, Permission},
};

pub(super) const HOUSE: &str = "directory house";
const PRINCIPAL: &str = "directory principal";
const APPLICATION: &str = "directory application";
const ASSIGNMENT: &str = "directory assignment";
const ROLE: &str = "directory role";

/// What a change does to one record.
pub(super) enum Edit {
    Put { kind: &'static str, name: Vec<u8>, value: Zeroizing<Vec<u8>> },
    Remove { kind: &'static str, name: Vec<u8> },
}

impl Edit {
    pub(super) fn apply(&self, txn: &mut RecordTxn<'_, '_>) -> Result<(), RecordError> {
        match self {
            Self::Put { kind, name, value } => txn.put(kind, name, value),
            Self::Remove { kind, name } => txn.remove(kind, name).map(drop),
        }
    }
}

/// What must be written for `after` to follow `before`; the house's own row is apart.
pub(super) fn difference(before: Option<&State>, after: &State) -> Vec<Edit> {
    let mut edits = Vec::new();
    macro_rules! compare {
        ($map:ident, $kind:ident, $wire:ident) => {
            let none = std::collections::BTreeMap::new();
            let old = before.map_or(&none, |state| &state.$map);
            for (id, thing) in &after.$map {
                if !old.get(id).is_some_and(|old| Arc::ptr_eq(old, thing)) {
                    let value = encode(&$wire::from(thing.as_ref()));
                    edits.push(Edit::Put { kind: $kind, name: name(id), value });
                }
            }
            let gone = old.keys().filter(|id| !after.$map.contains_key(*id));
            edits.extend(gone.map(|id| Edit::Remove { kind: $kind, name: name(id) }));
        };
    }
    compare!(principals, PRINCIPAL, PrincipalRow);
    compare!(applications, APPLICATION, ApplicationRow);
    compare!(assignments, ASSIGNMENT, AssignmentRow);
    compare!(roles, ROLE, RoleRow);
    edits
}

/// Reads everything; `None` if no directory was founded.
pub(super) fn load(txn: &mut RecordTxn<'_, '_>) -> Result<Option<(State, Seal)>, DirectoryError> {
    let Some(record) = txn.get(HOUSE, b"")? else { return Ok(None) };
    let mut state = State {
        house: decode::<HouseRow>(&record.value)?.read().ok_or(DirectoryError::Damaged)?,
        principals: std::collections::BTreeMap::new(),
        applications: std::collections::BTreeMap::new(),
        assignments: std::collections::BTreeMap::new(),
        roles: std::collections::BTreeMap::new(),
    };
    macro_rules! read {
        ($map:ident, $kind:ident, $wire:ident, $id:expr) => {
            for record in txn.list($kind)? {
                let row = decode::<$wire>(&record.value)?;
                let thing = row.read().ok_or(DirectoryError::Damaged)?;
                if state.$map.insert($id(&thing), Arc::new(thing)).is_some() {
                    return Err(DirectoryError::Damaged);
                }
            }
        };
    }
    read!(principals, PRINCIPAL, PrincipalRow, |entry: &Entry| entry.principal.id);
    read!(applications, APPLICATION, ApplicationRow, |one: &Application| one.client);
    read!(assignments, ASSIGNMENT, AssignmentRow, |one: &RoleAssignment| one.id);
    read!(roles, ROLE, RoleRow, |one: &RoleDefinition| one.id);
    Ok(Some((state, record.seal)))
}

pub(super) fn house(house: &House) -> Zeroizing<Vec<u8>> {
    encode(&HouseRow::from(house))
}

fn name(id: &impl Display) -> Vec<u8> {
    id.to_string().into_bytes()
}

fn encode(row: &impl Serialize) -> Zeroizing<Vec<u8>> {
    // Room for most rows, so that few copies are left behind by growing.
    let mut value = Zeroizing::new(Vec::with_capacity(4096));
    serde_json::to_writer(&mut *value, row).expect("a row is plain values");
    value
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Result<T, DirectoryError> {
    serde_json::from_slice(value).map_err(|_| DirectoryError::Damaged)
}

fn parse<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn all<T: FromStr>(texts: &[String]) -> Option<Vec<T>> {
    texts.iter().map(|text| parse(text)).collect()
}

fn fixed<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

fn texts(things: impl IntoIterator<Item = impl Display>) -> Vec<String> {
    things.into_iter().map(|thing| thing.to_string()).collect()
}

#[derive(Serialize, Deserialize)]
struct HouseRow {
    tenant: String,
    domain: String,
    subscription: String,
    subscription_name: String,
    owner_client: String,
    owner: String,
    person: String,
    version: u64,
}

impl From<&House> for HouseRow {
    fn from(house: &House) -> Self {
        Self {
            tenant: house.tenant.to_string(),
            domain: house.domain.clone(),
            subscription: house.subscription.id.to_string(),
            subscription_name: house.subscription.name.clone(),
            owner_client: house.owner.0.to_string(),
            owner: house.owner.1.to_string(),
            person: house.person.to_string(),
            version: house.version,
        }
    }
}

impl HouseRow {
    fn read(self) -> Option<House> {
        let id = parse(&self.subscription)?;
        Some(House {
            tenant: parse(&self.tenant)?,
            domain: self.domain,
            subscription: Subscription { id, name: self.subscription_name },
            owner: (parse(&self.owner_client)?, parse(&self.owner)?),
            person: parse(&self.person)?,
            version: self.version,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct PrincipalRow {
    id: String,
    display_name: String,
    client: Option<String>,
    upn: Option<String>,
    enabled: bool,
    sessions_valid_from: i64,
    created: i64,
    kind: KindRow,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindRow {
    User { credential: String, password: Option<PasswordRow> },
    ServicePrincipal,
    ManagedIdentity { resource: String, credential: String },
    Group { members: Vec<String> },
}

#[derive(Serialize, Deserialize)]
struct PasswordRow {
    kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    hash: String,
}

impl From<&Entry> for PrincipalRow {
    fn from(entry: &Entry) -> Self {
        let principal = &entry.principal;
        let kind = match (&entry.means, &principal.kind) {
            (Means::Resource { credential }, PrincipalKind::ManagedIdentity(resource)) => {
                KindRow::ManagedIdentity {
                    resource: resource.to_string(),
                    credential: credential.to_string(),
                }
            }
            (Means::Password { credential, hash }, _) => KindRow::User {
                credential: credential.to_string(),
                password: hash.as_ref().map(PasswordRow::from),
            },
            (Means::Members(members), _) => KindRow::Group { members: texts(members) },
            (Means::Application | Means::Resource { .. }, _) => KindRow::ServicePrincipal,
        };
        Self {
            id: principal.id.to_string(),
            display_name: principal.display_name.clone(),
            client: principal.client.map(|client| client.to_string()),
            upn: principal.upn.clone(),
            enabled: principal.enabled,
            sessions_valid_from: principal.sessions_valid_from.as_micros(),
            created: principal.created.as_micros(),
            kind,
        }
    }
}

impl PrincipalRow {
    fn read(self) -> Option<Entry> {
        let (kind, means) = match self.kind {
            KindRow::User { credential, password } => {
                let hash = match password {
                    Some(row) => Some(row.read()?),
                    None => None,
                };
                (PrincipalKind::User, Means::Password { credential: parse(&credential)?, hash })
            }
            KindRow::ServicePrincipal => (PrincipalKind::ServicePrincipal, Means::Application),
            KindRow::ManagedIdentity { resource, credential } => (
                PrincipalKind::ManagedIdentity(parse(&resource)?),
                Means::Resource { credential: parse(&credential)? },
            ),
            KindRow::Group { members } => {
                let members: BTreeSet<_> = all(&members)?.into_iter().collect();
                (PrincipalKind::Group, Means::Members(members))
            }
        };
        let client = match self.client {
            Some(client) => Some(parse(&client)?),
            None => None,
        };
        let principal = Principal {
            id: parse(&self.id)?,
            kind,
            display_name: self.display_name,
            client,
            upn: self.upn,
            enabled: self.enabled,
            sessions_valid_from: Timestamp::from_micros(self.sessions_valid_from),
            created: Timestamp::from_micros(self.created),
        };
        Some(Entry { principal, means })
    }
}

impl From<&PasswordHash> for PasswordRow {
    fn from(hash: &PasswordHash) -> Self {
        let Cost { kib, passes, lanes } = hash.cost;
        let (salt, hash) = (hex::encode(hash.salt), hex::encode(hash.hash));
        Self { kib, passes, lanes, salt, hash }
    }
}

impl PasswordRow {
    fn read(self) -> Option<PasswordHash> {
        let cost = Cost { kib: self.kib, passes: self.passes, lanes: self.lanes };
        Some(PasswordHash { cost, salt: fixed(&self.salt)?, hash: fixed(&self.hash)? })
    }
}

#[derive(Serialize, Deserialize)]
struct ApplicationRow {
    id: String,
    client: String,
    display_name: String,
    redirect_uris: Vec<String>,
    identifier_uris: Vec<String>,
    public: bool,
    secrets: Vec<SecretRow>,
    certificates: Vec<CertificateRow>,
    federated: Vec<FederatedRow>,
    created: i64,
}

#[derive(Serialize, Deserialize)]
struct SecretRow {
    id: String,
    display_name: Option<String>,
    hint: String,
    starts: i64,
    expires: i64,
    hash: String,
}

#[derive(Serialize, Deserialize)]
struct CertificateRow {
    id: String,
    display_name: Option<String>,
    der: String,
}

#[derive(Serialize, Deserialize)]
struct FederatedRow {
    id: String,
    name: String,
    issuer: String,
    subject: String,
    audiences: Vec<String>,
    description: String,
}

impl From<&Application> for ApplicationRow {
    fn from(application: &Application) -> Self {
        Self {
            id: application.id.to_string(),
            client: application.client.to_string(),
            display_name: application.display_name.clone(),
            redirect_uris: application.redirect_uris.clone(),
            identifier_uris: application.identifier_uris.clone(),
            public: application.public,
            secrets: application.secrets.iter().map(SecretRow::from).collect(),
            certificates: application.certificates.iter().map(CertificateRow::from).collect(),
            federated: application.federated.iter().map(FederatedRow::from).collect(),
            created: application.created.as_micros(),
        }
    }
}

impl ApplicationRow {
    fn read(self) -> Option<Application> {
        Some(Application {
            id: parse(&self.id)?,
            client: parse(&self.client)?,
            display_name: self.display_name,
            redirect_uris: self.redirect_uris,
            identifier_uris: self.identifier_uris,
            public: self.public,
            secrets: self.secrets.into_iter().map(SecretRow::read).collect::<Option<_>>()?,
            certificates: self
                .certificates
                .into_iter()
                .map(CertificateRow::read)
                .collect::<Option<_>>()?,
            federated: self.federated.into_iter().map(FederatedRow::read).collect::<Option<_>>()?,
            created: Timestamp::from_micros(self.created),
        })
    }
}

impl From<&ClientSecret> for SecretRow {
    fn from(secret: &ClientSecret) -> Self {
        Self {
            id: secret.id.to_string(),
            display_name: secret.display_name.clone(),
            hint: secret.hint.clone(),
            starts: secret.starts.as_micros(),
            expires: secret.expires.as_micros(),
            hash: hex::encode(secret.hash()),
        }
    }
}

impl SecretRow {
    fn read(self) -> Option<ClientSecret> {
        let times = (Timestamp::from_micros(self.starts), Timestamp::from_micros(self.expires));
        let (id, hash) = (parse(&self.id)?, fixed(&self.hash)?);
        Some(ClientSecret::from_hash(id, self.display_name, self.hint, times, hash))
    }
}

impl From<&ClientCertificate> for CertificateRow {
    fn from(certificate: &ClientCertificate) -> Self {
        Self {
            id: certificate.id.to_string(),
            display_name: certificate.display_name.clone(),
            der: hex::encode(&certificate.der),
        }
    }
}

impl CertificateRow {
    fn read(self) -> Option<ClientCertificate> {
        let der = hex::decode(&self.der).ok()?;
        ClientCertificate::parse(parse(&self.id)?, self.display_name, &der).ok()
    }
}

impl From<&FederatedCredential> for FederatedRow {
    fn from(federated: &FederatedCredential) -> Self {
        Self {
            id: federated.id.to_string(),
            name: federated.name.clone(),
            issuer: federated.issuer.clone(),
            subject: federated.subject.clone(),
            audiences: federated.audiences.clone(),
            description: federated.description.clone(),
        }
    }
}

impl FederatedRow {
    fn read(self) -> Option<FederatedCredential> {
        Some(FederatedCredential {
            id: parse(&self.id)?,
            name: self.name,
            issuer: self.issuer,
            subject: self.subject,
            audiences: self.audiences,
            description: self.description,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct AssignmentRow {
    id: String,
    principal: String,
    role: String,
    scope: String,
    description: Option<String>,
    created: i64,
    created_by: Option<String>,
}

impl From<&RoleAssignment> for AssignmentRow {
    fn from(assignment: &RoleAssignment) -> Self {
        Self {
            id: assignment.id.to_string(),
            principal: assignment.principal.to_string(),
            role: assignment.role.to_string(),
            scope: assignment.scope.to_string(),
            description: assignment.description.clone(),
            created: assignment.created.as_micros(),
            created_by: assignment.created_by.map(|by| by.to_string()),
        }
    }
}

impl AssignmentRow {
    fn read(self) -> Option<RoleAssignment> {
        let created_by = match self.created_by {
            Some(by) => Some(parse(&by)?),
            None => None,
        };
        Some(RoleAssignment {
            id: parse::<Guid>(&self.id)?,
            principal: parse(&self.principal)?,
            role: parse(&self.role)?,
            scope: parse(&self.scope)?,
            description: self.description,
            created: Timestamp::from_micros(self.created),
            created_by,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct RoleRow {
    id: String,
    name: String,
    description: String,
    permissions: Vec<PermissionRow>,
    assignable_scopes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct PermissionRow {
    actions: Vec<String>,
    not_actions: Vec<String>,
    data_actions: Vec<String>,
    not_data_actions: Vec<String>,
}

impl From<&RoleDefinition> for RoleRow {
    fn from(role: &RoleDefinition) -> Self {
        Self {
            id: role.id.to_string(),
            name: role.name.clone(),
            description: role.description.clone(),
            permissions: role.permissions.iter().map(PermissionRow::from).collect(),
            assignable_scopes: texts(&role.assignable_scopes),
        }
    }
}

impl RoleRow {
    fn read(self) -> Option<RoleDefinition> {
        Some(RoleDefinition {
            id: parse(&self.id)?,
            name: self.name,
            description: self.description,
            custom: true,
            permissions: self
                .permissions
                .into_iter()
                .map(PermissionRow::read)
                .collect::<Option<_>>()?,
            assignable_scopes: all(&self.assignable_scopes)?,
            delegable: None,
        })
    }
}

impl From<&Permission> for PermissionRow {
    fn from(permission: &Permission) -> Self {
        Self {
            actions: texts(&permission.actions),
            not_actions: texts(&permission.not_actions),
            data_actions: texts(&permission.data_actions),
            not_data_actions: texts(&permission.not_data_actions),
        }
    }
}

impl PermissionRow {
    fn read(self) -> Option<Permission> {
        let patterns = |texts: &[String]| -> Option<Vec<ActionPattern>> {
            texts.iter().map(|text| ActionPattern::parse(text).ok()).collect()
        };
        Some(Permission {
            actions: patterns(&self.actions)?,
            not_actions: patterns(&self.not_actions)?,
            data_actions: patterns(&self.data_actions)?,
            not_data_actions: patterns(&self.not_data_actions)?,
        })
    }
}
