//! Resources of every type: the control plane's table knows who keeps them.

use http::{Method, StatusCode};
use lockyard_arm::{ResourceId, ResourceType, Scope};
use lockyard_control::{Acted, Put};

use super::{Answer, ArmFailure, Asked, empty, json, paged};

/// `GET {scope}/resources`.
pub(super) async fn all(asked: &Asked<'_>, under: &Scope) -> Answer {
    Ok(paged(asked, asked.faces.control.resources(&asked.call, under).await?))
}

/// `GET {scope}/providers/{namespace}/{type}`, and actions: `POST` on one word more than the path
/// of a resource, or on a provider's question.
pub(super) async fn list(asked: &Asked<'_>, under: &Scope, kind: &ResourceType) -> Answer {
    let (control, call) = (&asked.faces.control, &asked.call);
    match asked.method {
        Method::GET => Ok(paged(asked, control.list(call, under, kind).await?)),
        _ => Ok(match control.act(call, under, kind, &asked.body).await? {
            Acted::Told(answer) => json(StatusCode::OK, &answer),
            Acted::Done => empty(StatusCode::OK),
        }),
    }
}

/// A resource: `GET`, `PUT`, `PATCH`, `DELETE`.
pub(super) async fn one(asked: &Asked<'_>, id: &ResourceId) -> Answer {
    let (control, call) = (&asked.faces.control, &asked.call);
    match asked.method {
        Method::GET => Ok(json(StatusCode::OK, &control.get(call, id).await?)),
        Method::PUT => Ok(match control.put(call, id, &asked.body).await? {
            Put::Created(resource) => json(StatusCode::CREATED, &resource),
            Put::Replaced(resource) => json(StatusCode::OK, &resource),
        }),
        Method::PATCH => Ok(json(StatusCode::OK, &control.patch(call, id, &asked.body).await?)),
        Method::DELETE => Ok(match control.delete(call, id).await? {
            Some(resource) => json(StatusCode::OK, &resource),
            None => empty(StatusCode::NO_CONTENT),
        }),
        _ => Err(ArmFailure::method(&[])),
    }
}
