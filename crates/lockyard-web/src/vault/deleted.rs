//! A deleted key: show, recover, purge.

use axum::{body::Body, response::Response};
use http::StatusCode;
use lockyard_audit::Operation;
use lockyard_keyring::KeyName;

use super::{
    Answer, Asked, json,
    key::shown,
    record::{Deed, NOTHING},
    render,
};

/// `GET /deletedkeys/{name}`.
pub(super) async fn show(asked: &Asked<'_>, name: KeyName) -> Answer {
    let deed = Deed::read(Operation::KEY_GET_DELETED, asked.id(&name, None));
    let found = asked.act(deed, move |plane| plane.deleted_key(&name)).await?;
    Ok(json(StatusCode::OK, &render::deleted(&asked.urls, &found)))
}

/// `POST /deletedkeys/{name}/recover`.
pub(super) async fn recover(asked: &Asked<'_>, name: KeyName) -> Answer {
    let deed = Deed::change(Operation::KEY_RECOVER, asked.id(&name, None));
    let back = asked.act(deed, move |plane| plane.recover_key(&name)).await?;
    Ok(shown(asked, &back))
}

/// `DELETE /deletedkeys/{name}`.
pub(super) async fn purge(asked: &Asked<'_>, name: KeyName) -> Answer {
    let deed = Deed::change(Operation::KEY_PURGE, asked.id(&name, None));
    asked.act(deed, move |plane| plane.purge_key(&name)).await?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = NOTHING;
    Ok(response)
}
