//! Tenants, subscriptions, their locations, providers and resource groups.

use axum::response::Response;
use http::{Method, StatusCode};
use lockyard_arm::ResourceGroupName;
use lockyard_base::Guid;
use lockyard_control::Put;
use serde_json::json;

use super::{Answer, ArmFailure, Asked, empty, json as answer, listed};

/// `GET /tenants`.
pub(super) fn tenants(asked: &Asked<'_>) -> Response {
    listed(asked.faces.control.tenants(&asked.call))
}

/// `GET /subscriptions`.
pub(super) fn list(asked: &Asked<'_>) -> Response {
    let all = asked.faces.control.subscriptions(&asked.call);
    let count = all.len();
    let body = json!({ "value": all, "count": { "type": "Total", "value": count } });
    answer(StatusCode::OK, &body)
}

/// `GET /subscriptions/{id}`.
pub(super) fn show(asked: &Asked<'_>, id: Guid) -> Answer {
    let subscription = asked.faces.control.subscription(&asked.call, id)?;
    Ok(answer(StatusCode::OK, &subscription))
}

/// `GET /subscriptions/{id}/locations`.
pub(super) fn locations(asked: &Asked<'_>, id: Guid) -> Answer {
    Ok(listed(asked.faces.control.locations(&asked.call, id)?))
}

/// `GET /subscriptions/{id}/providers`.
pub(super) fn providers(asked: &Asked<'_>, id: Guid) -> Answer {
    Ok(listed(asked.faces.control.providers(&asked.call, id)?))
}

/// `GET /subscriptions/{id}/resourceGroups`.
pub(super) async fn groups(asked: &Asked<'_>, id: Guid) -> Answer {
    Ok(listed(asked.faces.control.groups(&asked.call, id).await?))
}

/// A resource group: `GET`, `HEAD`, `PUT`, `PATCH`, `DELETE`.
pub(super) async fn group(asked: &Asked<'_>, id: Guid, name: &ResourceGroupName) -> Answer {
    let (control, call) = (&asked.faces.control, &asked.call);
    match asked.method {
        Method::GET => Ok(answer(StatusCode::OK, &control.group(call, id, name).await?)),
        Method::HEAD => {
            let _there = control.group(call, id, name).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        Method::PUT => Ok(match control.put_group(call, id, name, &asked.body).await? {
            Put::Created(group) => answer(StatusCode::CREATED, &group),
            Put::Replaced(group) => answer(StatusCode::OK, &group),
        }),
        Method::PATCH => {
            let group = control.patch_group(call, id, name, &asked.body).await?;
            Ok(answer(StatusCode::OK, &group))
        }
        Method::DELETE => {
            control.delete_group(call, id, name).await?;
            Ok(empty(StatusCode::OK))
        }
        _ => Err(ArmFailure::method(&[])),
    }
}
