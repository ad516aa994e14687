//! Who signed in, who was given a token, who changed what: recorded in the audit trail before
//! anybody learns of it.
//!
//! What is recorded here is done already. Where the trail cannot be written it stays done, and the
//! trail tells of the gap when it can be written again: nobody is kept from taking a right away by
//! a full disk (decision 0012). Whoever fails to prove anything is counted, not recorded, and
//! nothing that they wrote is kept: people type passwords where their name belongs.

use std::{fmt, net::IpAddr, sync::Arc};

use axum::extract::Request;
use http::{Extensions, HeaderMap, Method, StatusCode, header};
use lockyard_access::{
    Directory, PrincipalId, Snapshot,
    directory::{ClientId, PrincipalKind, ProveError},
    issuer::{Audience, ErrorWord, Issuer, OAuthError},
};
use lockyard_audit::{Audit, Event, Operation, Outcome};
use lockyard_base::{BootInstant, Clock};

use crate::{
    Connection,
    bearer::{self, BearerError},
    caller::LoginError,
    trace::Correlation,
};

/// A person proved who they are, on a page; or anybody did, with a request of its own.
pub(crate) const SIGN_IN: Operation = Operation::new("SignIn");
/// The issuer gave out tokens.
pub(crate) const TOKEN_ISSUE: Operation = Operation::new("TokenIssue");
/// A registry gave out tokens.
pub(crate) const REGISTRY_TOKEN_ISSUE: Operation = Operation::new("RegistryTokenIssue");

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    principal: PrincipalId,
    /// The program, as far as it is known.
    client: Option<ClientId>,
}

impl Actor {
    pub(crate) fn new(principal: PrincipalId, client: Option<ClientId>) -> Self {
        Self { principal, client }
    }
}

/// One request as the trail has it.
pub(crate) struct Witness {
    audit: Arc<dyn Audit>,
    clock: Arc<dyn Clock>,
    began: BootInstant,
    peer: Option<IpAddr>,
    client: String,
    uri: String,
    correlation: String,
}

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Witness({})", self.correlation)
    }
}

impl Witness {
    /// A witness of a request whose address is told without its query, which may hold secrets.
    pub(crate) fn new(
        audit: &Arc<dyn Audit>,
        clock: &Arc<dyn Clock>,
        (headers, extensions): (&HeaderMap, &Extensions),
        uri: String,
        correlation: &Correlation,
    ) -> Self {
        let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        Self {
            audit: Arc::clone(audit),
            clock: Arc::clone(clock),
            began: clock.boot(),
            peer: peer(extensions),
            client: agent.unwrap_or_default().to_owned(),
            uri,
            correlation: correlation.to_string(),
        }
    }

    /// Somebody proved who they are, or was given a token. Of many that are alike, the first is
    /// recorded when this returns, and the others are counted.
    pub(crate) async fn saw(
        &self,
        operation: Operation,
        (actor, directory): (&Actor, &Directory),
        resource: Option<String>,
        reason: &'static str,
    ) {
        let snapshot = directory.snapshot();
        let resource = resource.unwrap_or_else(|| tenant(&snapshot));
        let mut event = self.event(operation, (actor, &snapshot), resource, Outcome::ok());
        reason.clone_into(&mut event.reason);
        self.told(self.audit.append_first(event).await.err());
    }

    /// Somebody did not prove who they are.
    pub(crate) fn refused(&self, kind: &'static str) {
        self.audit.note_unauthenticated(kind, self.peer);
    }

    /// The issuer refused to give anything out.
    pub(crate) fn refused_by_issuer(&self, error: &OAuthError) {
        if let Some(kind) = kind_of(error) {
            self.refused(kind);
        }
    }

    fn event(
        &self,
        operation: Operation,
        (actor, snapshot): (&Actor, &Snapshot),
        resource: String,
        outcome: Outcome,
    ) -> Event {
        let mut event = Event::new(operation, resource, outcome);
        event.took = self.clock.boot().since(self.began);
        event.caller.address = self.peer;
        event.caller.object_id = actor.principal.to_string();
        let known = snapshot.principal(actor.principal);
        let client = actor.client.or_else(|| known.and_then(|known| known.client));
        event.caller.application_id = client.map(|id| id.to_string()).unwrap_or_default();
        if let Some(PrincipalKind::ManagedIdentity(resource)) = known.map(|known| &known.kind) {
            event.caller.managed_identity = resource.to_string();
        }
        event.correlation.clone_from(&self.correlation);
        event.request.client.clone_from(&self.client);
        event.request.uri.clone_from(&self.uri);
        event.done = true;
        event
    }

    fn told(&self, failed: Option<lockyard_audit::AuditError>) {
        if let Some(error) = failed {
            let correlation = &self.correlation;
            tracing::debug!(%error, correlation, "an event is not in the audit trail");
        }
    }
}

/// The address at the other end of the connection.
pub(crate) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Connection>().and_then(Connection::peer).map(|peer| peer.to_canonical())
}

/// Whose affair it is if no resource is concerned.
fn tenant(snapshot: &Snapshot) -> String {
    format!("/tenants/{}", snapshot.tenant())
}

/// How failed logins at a registry are counted.
pub(crate) const fn kind_of_login(error: &LoginError) -> &'static str {
    match error {
        LoginError::Malformed => "MalformedLogin",
        LoginError::Proof(ProveError::Wrong, _) => "WrongPassword",
        LoginError::Proof(ProveError::Expired, _) => "ExpiredSecret",
        LoginError::Proof(ProveError::Disabled, _) => "DisabledAccount",
        LoginError::Proof(ProveError::Locked { .. }, _) => "LockedAccount",
        LoginError::Proof(ProveError::Busy | ProveError::Record(_), _) => "TooMany",
        LoginError::Issuers(error) => BearerError::Refused(*error).kind(),
        LoginError::Token(_) => "InvalidToken",
        LoginError::Ended(_) => "RevokedToken",
    }
}

/// How refusals of the issuer are counted: those that somebody got who proved nothing.
const fn kind_of(error: &OAuthError) -> Option<&'static str> {
    match error {
        OAuthError::Refused { number: 50_126, .. } => Some("WrongPassword"),
        OAuthError::Refused { number: 50_053, .. } => Some("LockedAccount"),
        OAuthError::Refused { number: 50_057 | 7_000_112, .. } => Some("DisabledAccount"),
        OAuthError::Refused { number: 7_000_215, .. } => Some("WrongSecret"),
        OAuthError::Refused { number: 50_055 | 7_000_222, .. } => Some("ExpiredSecret"),
        OAuthError::Refused { number: 54_005 | 501_481, .. } => Some("WrongCode"),
        OAuthError::Refused { number: 70_018, .. } => Some("WrongUserCode"),
        OAuthError::Refused { word: ErrorWord::InvalidClient, .. } => Some("WrongClient"),
        OAuthError::Refused { word: ErrorWord::InvalidGrant, .. } => Some("WrongGrant"),
        OAuthError::Busy(_) => Some("TooMany"),
        OAuthError::Refused { .. }
        | OAuthError::Records(_)
        | OAuthError::Signing
        | OAuthError::CutOff => None,
    }
}

/// A change that somebody who is known wants of the control plane or of the directory.
pub(crate) struct Change {
    witness: Witness,
    actor: Actor,
    operation: Operation,
    target: String,
    version: String,
    /// The scope that Resource Manager's paths are; Graph's are of the tenant.
    scoped: bool,
}

impl Change {
    /// A change, if the request is one and somebody asks for it; the others change nothing.
    pub(crate) fn of(
        request: &Request,
        issuer: &Issuer,
        audience: Audience,
        witness: impl FnOnce() -> Witness,
    ) -> Option<Self> {
        let method = request.method();
        if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
            return None;
        }
        let path = request.uri().path();
        if is_told_inside(path) {
            return None;
        }
        let caller = bearer::caller(request.headers(), issuer, audience).ok()?;
        let query = request.uri().query().unwrap_or_default();
        let version = query.split('&').find_map(|pair| pair.strip_prefix("api-version="));
        Some(Self {
            witness: witness(),
            actor: Actor::new(caller.principal, Some(caller.client)),
            operation: operation(audience, method, path),
            target: path.to_owned(),
            version: version.unwrap_or_default().to_owned(),
            scoped: audience == Audience::Management,
        })
    }

    /// Records what came of it; durable when this returns, if it can be.
    pub(crate) async fn settle(self, status: StatusCode, directory: &Directory) {
        let Self { witness, actor, operation, target, version, scoped } = self;
        let word = status.canonical_reason().unwrap_or_default().replace(' ', "");
        let outcome =
            Outcome { status: status.as_u16(), signature: word, description: String::new() };
        let snapshot = directory.snapshot();
        let resource = if scoped { target.clone() } else { tenant(&snapshot) };
        let mut event = witness.event(operation, (&actor, &snapshot), resource, outcome);
        event.operation_version = version;
        event.request.id = target;
        // Whoever may not tries as often as they like.
        let recorded = if status.is_success() {
            witness.audit.append(event).await
        } else {
            witness.audit.append_first(event).await
        };
        witness.told(recorded.err());
    }
}

/// Resources whose changes the control plane records by itself, and knows more of.
const TOLD_INSIDE: [&str; 3] = [
    "microsoft.authorization/roleassignments/",
    "microsoft.keyvault/",
    "microsoft.managedidentity/userassignedidentities/",
];

/// Whether the resource that a path ends in is one of those or a resource group; what it lies in
/// does not matter.
fn is_told_inside(path: &str) -> bool {
    let folded = path.to_ascii_lowercase();
    if let Some((_, resource)) = folded.rsplit_once("/providers/") {
        return TOLD_INSIDE.iter().any(|told| resource.starts_with(told));
    }
    let pieces: Vec<&str> = folded.split('/').collect();
    matches!(pieces.as_slice(), ["", "subscriptions", _, "resourcegroups", _])
}

/// What a change is called.
fn operation(audience: Audience, method: &Method, path: &str) -> Operation {
    let path = path.to_ascii_lowercase();
    let has = |word: &str| path.split('/').any(|piece| piece == word);
    let deletes = *method == Method::DELETE;
    let one = |write: &'static str, delete: &'static str| {
        Operation::new(if deletes { delete } else { write })
    };
    if audience == Audience::Graph {
        return if has("addpassword") || has("removepassword") {
            Operation::new("ApplicationPasswordChange")
        } else if has("federatedidentitycredentials") {
            one("FederatedCredentialWrite", "FederatedCredentialDelete")
        } else if has("members") {
            one("GroupMemberAdd", "GroupMemberRemove")
        } else if has("applications") {
            one("ApplicationWrite", "ApplicationDelete")
        } else if has("serviceprincipals") {
            one("ServicePrincipalWrite", "ServicePrincipalDelete")
        } else if has("users") {
            one("UserWrite", "UserDelete")
        } else if has("groups") {
            one("GroupWrite", "GroupDelete")
        } else {
            one("DirectoryWrite", "DirectoryDelete")
        };
    }
    if has("roledefinitions") {
        one("RoleDefinitionWrite", "RoleDefinitionDelete")
    } else {
        one("ResourceWrite", "ResourceDelete")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_inside_is_told_by_the_last_resource_of_a_path() {
        let vault = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v";
        let authorization = "providers/Microsoft.Authorization";
        assert!(is_told_inside(vault));
        assert!(is_told_inside(&format!("{vault}/keys/k")));
        assert!(is_told_inside(&format!("{vault}/{authorization}/RoleAssignments/a")));
        assert!(is_told_inside(&format!("/{authorization}/roleAssignments/a")));
        assert!(!is_told_inside(&format!("{vault}/{authorization}/roleDefinitions/a")));
        let identity = "Microsoft.ManagedIdentity/userAssignedIdentities/i";
        assert!(is_told_inside(&format!("/subscriptions/s/resourceGroups/g/providers/{identity}")));
        assert!(is_told_inside("/subscriptions/s/resourceGroups/g"));
        assert!(!is_told_inside("/subscriptions/s/resourceGroups/g/moveResources"));
        assert!(!is_told_inside("/subscriptions/s"));
        assert!(!is_told_inside("/v1.0/groups"));
    }

    #[test]
    fn every_change_has_a_name() {
        let group = "/subscriptions/s/resourceGroups/g";
        let roles = format!("{group}/providers/Microsoft.Authorization");
        let (put, delete, post) = (Method::PUT, Method::DELETE, Method::POST);
        for (audience, method, path, name) in [
            (
                Audience::Management,
                &delete,
                &*format!("{group}/providers/A.B/c/d"),
                "ResourceDelete",
            ),
            (
                Audience::Management,
                &put,
                &*format!("{roles}/roleDefinitions/a"),
                "RoleDefinitionWrite",
            ),
            (Audience::Management, &put, &*format!("{group}/providers/A.B/c/d"), "ResourceWrite"),
            (Audience::Graph, &post, "/v1.0/users", "UserWrite"),
            (Audience::Graph, &delete, "/v1.0/users/x", "UserDelete"),
            (Audience::Graph, &post, "/v1.0/groups/x/members/$ref", "GroupMemberAdd"),
            (
                Audience::Graph,
                &post,
                "/v1.0/applications/x/addPassword",
                "ApplicationPasswordChange",
            ),
            (Audience::Graph, &post, "/v1.0/applications", "ApplicationWrite"),
            (Audience::Graph, &delete, "/v1.0/directoryObjects/x", "DirectoryDelete"),
        ] {
            assert_eq!(operation(audience, method, path).as_str(), name, "{path}");
        }
    }
}
