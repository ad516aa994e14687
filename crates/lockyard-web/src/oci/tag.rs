//! `GET /v2/<name>/tags/list`: the tags of a repository.

use http::{StatusCode, header};
use lockyard_registry::Page;
use serde::Serialize;

use super::{Answer, Call, Reply, query};

#[derive(Serialize)]
struct Tags<'n> {
    name: &'n str,
    tags: Vec<String>,
}

/// Lists tags in byte order; an empty list is `[]`, because `null` breaks clients.
pub(crate) async fn list(call: &Call) -> Answer {
    let name = call.repository()?;
    let (n, last) = (call.page_size()?, call.query.first("last"));
    let listing = call.registry.list_tags(&name, n, last).await;
    let page = listing.map_err(|error| call.refuse_in(&name, error))?;
    let mut reply = Reply::new(StatusCode::OK).with(header::CONTENT_TYPE, "application/json");
    if let Some(link) = next_page(&format!("/v2/{name}/tags/list"), n, &page) {
        reply = reply.with(header::LINK, link);
    }
    Ok(reply.body(super::json(&Tags { name: name.as_str(), tags: page.items })))
}

/// The `Link` header (RFC 8288) to the page that follows, relative; `None` after the last one.
pub(super) fn next_page(path: &str, n: usize, page: &Page<String>) -> Option<String> {
    let last = page.items.last().filter(|_| page.more)?;
    let query = query::encode(&[("n", &n.to_string()), ("last", last)]);
    Some(format!("<{path}?{query}>; rel=\"next\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_that_others_follow_has_a_link() {
        let page = |items: &[&str], more| Page {
            items: items.iter().map(ToString::to_string).collect(),
            more,
        };
        let link = next_page("/v2/a/tags/list", 2, &page(&["v1", "v2"], true));
        assert_eq!(link.as_deref(), Some("</v2/a/tags/list?n=2&last=v2>; rel=\"next\""));
        assert_eq!(next_page("/x", 2, &page(&["v1", "v2"], false)), None);
        assert_eq!(next_page("/x", 0, &page(&[], true)), None);
    }
}
