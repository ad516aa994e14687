//! Listings, page by page.

use http::StatusCode;
use lockyard_audit::Operation;
use lockyard_keyring::KeyName;

use super::{Answer, Asked, json, record::Deed, render};

/// `GET /keys`.
pub(super) async fn keys(asked: &Asked<'_>) -> Answer {
    let (deed, wanted) = (Deed::read(Operation::KEY_LIST, &asked.vault), asked.query.page.clone());
    let page = asked.act(deed, move |plane| plane.keys(&wanted)).await?;
    Ok(json(StatusCode::OK, &render::page(&asked.urls, "/keys", &asked.query, &page)))
}

/// `GET /keys/{name}/versions`.
pub(super) async fn versions(asked: &Asked<'_>, name: KeyName) -> Answer {
    let deed = Deed::read(Operation::KEY_LIST_VERSIONS, asked.id(&name, None));
    let (wanted, path) = (asked.query.page.clone(), format!("/keys/{name}/versions"));
    let page = asked.act(deed, move |plane| plane.versions(&name, &wanted)).await?;
    Ok(json(StatusCode::OK, &render::page(&asked.urls, &path, &asked.query, &page)))
}

/// `GET /deletedkeys`.
pub(super) async fn deleted_keys(asked: &Asked<'_>) -> Answer {
    let deed = Deed::read(Operation::KEY_LIST_DELETED, &asked.vault);
    let wanted = asked.query.page.clone();
    let page = asked.act(deed, move |plane| plane.deleted_keys(&wanted)).await?;
    Ok(json(StatusCode::OK, &render::page(&asked.urls, "/deletedkeys", &asked.query, &page)))
}
