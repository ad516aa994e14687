//! Operator commands on managed identities.

use lockyard_access::{
    ClientId, Directory, PrincipalId,
    directory::{Principal, PrincipalKind},
    issuer::make_identity_secret,
};
use lockyard_audit::Operation;

use super::IdentityRequest;
use crate::{
    failure::{Failure, OrFail as _, Outcome},
    instance::{Deed, Instance, user_assigned},
};

impl IdentityRequest {
    /// Whether this may grant or deny the use of a key.
    pub(crate) fn is_change(&self) -> bool {
        match self {
            Self::List | Self::Secret { .. } | Self::Create { .. } => false,
            Self::Enable { .. } | Self::Disable { .. } | Self::Delete { .. } => true,
        }
    }
}

impl IdentityRequest {
    /// What the audit trail is to have of this, if it changes anything.
    pub(crate) fn deed(&self) -> Option<Deed> {
        let (operation, id, client) = match self {
            Self::List => return None,
            Self::Create { name, group } => {
                ("IdentityCreate", format!("{group}/{name}"), "lockyard identity create")
            }
            Self::Enable { client } => {
                ("IdentityEnable", client.clone(), "lockyard identity enable")
            }
            Self::Disable { client } => {
                ("IdentityDisable", client.clone(), "lockyard identity disable")
            }
            Self::Delete { client } => {
                ("IdentityDelete", client.clone(), "lockyard identity delete")
            }
            Self::Secret { client } => {
                ("IdentitySecretCreate", client.clone(), "lockyard identity secret")
            }
        };
        Some(Deed { operation: Operation::new(operation), vault: None, id, client })
    }
}

/// Performs a command; answers in lines for the operator. Blocks.
pub(crate) fn perform(instance: &Instance, request: IdentityRequest) -> Outcome<Vec<String>> {
    let directory = instance.directory()?;
    match request {
        IdentityRequest::Create { name, group } => create(&directory, &name, &group),
        IdentityRequest::List => {
            let snapshot = directory.snapshot();
            Ok(snapshot.principals().filter_map(line).collect())
        }
        IdentityRequest::Enable { client } => enable(&directory, &client, true),
        IdentityRequest::Disable { client } => enable(&directory, &client, false),
        IdentityRequest::Delete { client } => {
            let identity = find(&directory, &client)?;
            directory.delete_principal(identity).or_fail()?;
            Ok(vec![format!("the identity with the object id {identity} is deleted")])
        }
        IdentityRequest::Secret { client } => {
            let identity = find(&directory, &client)?;
            let entropy = &*instance.machine.entropy;
            let secret = make_identity_secret(&instance.records, entropy, identity).or_fail()?;
            Ok(vec![secret.dangerous_expose().to_owned()])
        }
    }
}

/// The managed identity of a client id.
fn find(directory: &Directory, client: &str) -> Outcome<PrincipalId> {
    let cure = "list them with `lockyard identity list`";
    let client: ClientId = client
        .parse()
        .map_err(|_| Failure::text(format!("`{client}` is no client id")).advise(cure))?;
    let snapshot = directory.snapshot();
    let identity = snapshot.by_client(client).filter(|one| line(one).is_some());
    identity.map(|one| one.id).ok_or_else(|| {
        Failure::text(format!("no managed identity has the client id {client}")).advise(cure)
    })
}

fn enable(directory: &Directory, client: &str, enabled: bool) -> Outcome<Vec<String>> {
    let identity = find(directory, client)?;
    directory.set_enabled(identity, enabled).or_fail()?;
    let snapshot = directory.snapshot();
    Ok(snapshot.principal(identity).and_then(line).into_iter().collect())
}

fn create(directory: &Directory, name: &str, group: &str) -> Outcome<Vec<String>> {
    let resource = user_assigned(directory, group, name)?;
    let (principal, _) = directory.create_managed_identity(resource).or_fail()?;
    let snapshot = directory.snapshot();
    Ok(snapshot.principal(principal).and_then(line).into_iter().collect())
}

/// An identity in a line; `None` for anybody else.
fn line(principal: &Principal) -> Option<String> {
    let (PrincipalKind::ManagedIdentity(resource), Some(client)) =
        (&principal.kind, principal.client)
    else {
        return None;
    };
    let state = if principal.enabled { "" } else { ", disabled" };
    Some(format!("client id {client}, object id {}, {resource}{state}", principal.id))
}
