//! `GET /v2/_catalog`, and `/acr/v1/_catalog`: the names of all repositories.

use http::{StatusCode, header};
use serde::Serialize;

use super::{Answer, Call, Reply, tag::next_page};

#[derive(Serialize)]
struct Repositories {
    repositories: Vec<String>,
}

/// Lists repositories in byte order of their names.
pub(crate) async fn list(call: &Call) -> Answer {
    let (n, last) = (call.page_size()?, call.query.first("last"));
    let page = call.registry.list_repositories(n, last).await.map_err(|e| call.refuse(e))?;
    let link = next_page(call.path.endpoint.template(), n, &page);
    let mut reply = Reply::new(StatusCode::OK).with(header::CONTENT_TYPE, "application/json");
    if let Some(link) = link {
        reply = reply.with(header::LINK, link);
    }
    Ok(reply.body(super::json(&Repositories { repositories: page.items })))
}
