//! Resources of every type: the control plane's table knows who keeps them.

use http::{Method, StatusCode};
use lockyard_arm::{ResourceId, ResourceType, Scope};
use lockyard_control::Put;

use super::{Answer, ArmFailure, Asked, empty, json, listed};

/// `GET {scope}/resources`.
pub(super) fn all(asked: &Asked<'_>, under: &Scope) -> Answer {
    Ok(listed(asked.faces.control.resources(&asked.call, under)?))
}

/// `GET {scope}/providers/{namespace}/{type}`.
pub(super) async fn list(asked: &Asked<'_>, under: &Scope, kind: &ResourceType) -> Answer {
    Ok(listed(asked.faces.control.list(&asked.call, under, kind).await?))
}

/// A resource: `GET`, `PUT`, `DELETE`.
pub(super) async fn one(asked: &Asked<'_>, id: &ResourceId) -> Answer {
    let (control, call) = (&asked.faces.control, &asked.call);
    match asked.method {
        Method::GET => Ok(json(StatusCode::OK, &control.get(call, id).await?)),
        Method::PUT => Ok(match control.put(call, id, &asked.body).await? {
            Put::Created(resource) => json(StatusCode::CREATED, &resource),
            Put::Replaced(resource) => json(StatusCode::OK, &resource),
        }),
        Method::DELETE => Ok(match control.delete(call, id).await? {
            Some(resource) => json(StatusCode::OK, &resource),
            None => empty(StatusCode::NO_CONTENT),
        }),
        _ => Err(ArmFailure::method(&[])),
    }
}
