//! Operator commands on managed identities.

use lockyard_access::{
    ClientId, Directory,
    directory::{Principal, PrincipalKind},
    issuer::make_identity_secret,
};

use super::IdentityRequest;
use crate::{
    failure::{Failure, OrFail as _, Outcome},
    instance::Instance,
};

/// Performs a command; answers in lines for the operator. Blocks.
pub(crate) fn perform(instance: &Instance, request: IdentityRequest) -> Outcome<Vec<String>> {
    let directory = instance.directory()?;
    match request {
        IdentityRequest::Create { name, group } => create(&directory, &name, &group),
        IdentityRequest::List => {
            let snapshot = directory.snapshot();
            Ok(snapshot.principals().filter_map(line).collect())
        }
        IdentityRequest::Secret { client } => {
            let client: ClientId = client.parse().map_err(|_| {
                Failure::text(format!("`{client}` is no client id"))
                    .advise("list them with `lockyard identity list`")
            })?;
            let snapshot = directory.snapshot();
            let identity = snapshot.by_client(client).filter(|one| line(one).is_some());
            let identity = identity.ok_or_else(|| {
                Failure::text(format!("no managed identity has the client id {client}"))
                    .advise("list them with `lockyard identity list`")
            })?;
            let entropy = &*instance.machine.entropy;
            let secret = make_identity_secret(&instance.records, entropy, identity.id).or_fail()?;
            Ok(vec![secret.dangerous_expose().to_owned()])
        }
    }
}

fn create(directory: &Directory, name: &str, group: &str) -> Outcome<Vec<String>> {
    let subscription = directory.snapshot().subscription().id;
    let id = format!(
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/\
         Microsoft.ManagedIdentity/userAssignedIdentities/{name}"
    );
    let (principal, _) = directory.create_managed_identity(id.parse().or_fail()?).or_fail()?;
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
    Some(format!("client id {client}, object id {}, {resource}", principal.id))
}
