//! `GET /v2/<name>/referrers/<digest>`: which manifests say that this one is their subject.

use http::{HeaderName, StatusCode, header};
use lockyard_oci::{ImageIndex, MediaType};

use super::{Answer, Call, Reply, query};

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Lists referrers as an index, of exactly that media type: clients take anything else for a
/// registry that cannot do this. Of what is not there, the list is empty.
pub(crate) async fn list(call: &Call) -> Answer {
    let (name, digest) = (call.repository()?, call.digest()?);
    // Media types hold no spaces, but a plus sign that was not encoded arrives as one.
    let filter = call.query.first("artifactType").map(|text| text.replace(' ', "+"));
    let after = call.query.first("after");
    let found = call.registry.list_referrers(&name, &digest, filter.as_deref(), after).await;
    let found = found.map_err(|error| call.refuse_in(&name, error))?;
    let mut reply =
        Reply::new(StatusCode::OK).with(header::CONTENT_TYPE, MediaType::OCI_INDEX.as_str());
    if filter.is_some() {
        reply = reply.with(FILTERS_APPLIED, "artifactType");
    }
    if let Some(next) = &found.next {
        let mut pairs = vec![("after", next.as_str())];
        pairs.extend(filter.as_deref().map(|filter| ("artifactType", filter)));
        let query = query::encode(&pairs);
        let link = format!("</v2/{name}/referrers/{digest}?{query}>; rel=\"next\"");
        reply = reply.with(header::LINK, link);
    }
    Ok(reply.body(ImageIndex::new(found.descriptors).to_json()))
}
