//! The registry's face: OCI Distribution 1.1, one file per endpoint.
//!
//! Every request goes the same way: whom is it for, who asks (401), may they do what they ask for
//! (403), is the registry unlocked (403 or 503, with the cure). Only then does an endpoint see it, with a [`Call`] in hand; each then makes
//! one call into the registry room, which decides by itself whether the caller may.

mod blob;
mod catalog;
mod manifest;
mod path;
mod ping;
mod query;
mod question;
mod referrer;
mod tag;
pub(crate) mod upload;

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use lockyard_oci::{Digest, ErrorCode, PageSize, RepositoryName};
use lockyard_registry::{Body as Intake, BodyError, Caller, LoginNeeded, Registry, RegistryError};

use crate::{
    Connection,
    faces::{Door, Site, no_registry},
    failure::{OciFailure, Subject},
    oauth2,
    trace::{Correlation, RouteTemplate},
};

use path::{Endpoint, OciPath};
use query::Query;
use question::Question;

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(crate) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// What an endpoint answers.
pub(crate) type Answer = Result<Response, OciFailure>;

/// Pages without `n`: as large as pages get, because some clients never ask for a second one.
const PAGE: PageSize = PageSize::MAX;

/// One request to an unlocked registry.
pub(crate) struct Call {
    pub(crate) registry: Registry,
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    site: Site,
    path: OciPath,
}

/// Answers a request, whatever it asks for.
pub(crate) async fn answer(
    door: &Door,
    site: Result<Site, OciFailure>,
    request: Request,
    correlation: &Correlation,
) -> Response {
    let path = OciPath::split(request.uri().path());
    let tokens = oauth2::Endpoint::at(request.uri().path());
    let template = path.as_ref().map(|path| path.endpoint.template());
    let template = template.or(tokens.map(oauth2::Endpoint::template)).unwrap_or("other");
    let mut response = match (site, tokens) {
        (Ok(site), Some(endpoint)) => {
            oauth2::answer(door, &site, endpoint, request, correlation).await
        }
        (site, _) => {
            let answer = route(door, site, request, path, correlation).await;
            answer.unwrap_or_else(|failure| failure.render(correlation))
        }
    };
    let headers = response.headers_mut();
    for (name, value) in
        [(API_VERSION, "registry/2.0"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")]
    {
        let _none = headers.insert(name, HeaderValue::from_static(value));
    }
    let _none = response.extensions_mut().insert(RouteTemplate(template));
    response
}

async fn route(
    door: &Door,
    site: Result<Site, OciFailure>,
    request: Request,
    path: Option<OciPath>,
    correlation: &Correlation,
) -> Answer {
    let mut site = site?;
    let (parts, body) = request.into_parts();
    let query = Query::parse(parts.uri.query());
    let question = path.as_ref().and_then(|path| Question::of(path, &parts.method, &query));
    let scope = question.as_ref().and_then(|question| question.scope.as_deref());
    site.challenge = site.challenge.for_scope(scope);
    let login = door.login(&parts, &site, correlation).await?;
    let refuse = |error| OciFailure::of(error, site.subject(None));
    // Whoever does not say who they are learns nothing of what there is.
    let or_login = |failure| match login.caller {
        Caller::Anonymous => refuse(LoginNeeded::Absent.into()),
        Caller::Loopback | Caller::Known(_) => failure,
    };
    let path = known(path, &parts.method).map_err(or_login)?;
    let found = door.faces.registries.find(&site.registry).await.map_err(refuse)?;
    let entry = found.ok_or_else(no_registry).map_err(or_login)?;
    let Some(question) = question else {
        return ping::ping(&login, &entry).map_err(|needed| refuse(needed.into()));
    };
    question.decide(&login.caller, &entry).map_err(refuse)?;
    let registry = door.faces.registries.open(entry, login.caller.clone()).map_err(refuse)?;
    if let Some(connection) = parts.extensions.get::<Connection>() {
        connection.bind_revocation(registry.revoked());
    }
    let call = Call { registry, method: parts.method, headers: parts.headers, query, site, path };
    dispatch(&call, body).await
}

/// The path, if there is something at it that answers this method.
fn known(path: Option<OciPath>, method: &Method) -> Result<OciPath, OciFailure> {
    let path = path.ok_or_else(|| {
        let message = "there is nothing at this address; the registry's API begins at `/v2/`";
        OciFailure::new(StatusCode::NOT_FOUND, ErrorCode::Unsupported, message)
    })?;
    let allowed = path.endpoint.methods();
    if allowed.contains(method) { Ok(path) } else { Err(OciFailure::method(allowed)) }
}

async fn dispatch(call: &Call, body: Body) -> Answer {
    match (call.path.endpoint, call.method.as_str()) {
        // Answered before the registry was opened.
        (Endpoint::Ping, _) => Err(OciFailure::method(call.path.endpoint.methods())),
        (Endpoint::Catalog | Endpoint::AcrCatalog, _) => catalog::list(call).await,
        (Endpoint::Tags, _) => tag::list(call).await,
        (Endpoint::Referrers, _) => referrer::list(call).await,
        (Endpoint::Blob, "DELETE") => blob::delete(call).await,
        (Endpoint::Blob, "HEAD") => blob::stat(call).await,
        (Endpoint::Blob, _) => blob::read(call).await,
        (Endpoint::Manifest, "DELETE") => manifest::delete(call).await,
        (Endpoint::Manifest, "PUT") => manifest::put(call, body).await,
        (Endpoint::Manifest, "HEAD") => manifest::stat(call).await,
        (Endpoint::Manifest, _) => manifest::read(call).await,
        (Endpoint::Uploads, _) => upload::start(call, body).await,
        (Endpoint::Upload, "PATCH") => upload::append(call, body).await,
        (Endpoint::Upload, "PUT") => upload::finish(call, body).await,
        (Endpoint::Upload, "DELETE") => upload::cancel(call).await,
        (Endpoint::Upload, _) => upload::status(call).await,
    }
}

impl Site {
    pub(crate) fn subject<'s>(&'s self, repository: Option<&'s RepositoryName>) -> Subject<'s> {
        Subject { registry: &self.registry, challenge: &self.challenge, repository }
    }
}

impl Call {
    /// The repository that the path names.
    pub(crate) fn repository(&self) -> Result<RepositoryName, OciFailure> {
        let parsed = self.path.name.parse::<RepositoryName>();
        parsed.map_err(|error| OciFailure::bad(ErrorCode::NameInvalid, error.to_string()))
    }

    /// The digest that the path ends with.
    pub(crate) fn digest(&self) -> Result<Digest, OciFailure> {
        digest(&self.path.last)
    }

    /// The last piece of the path.
    pub(crate) fn last(&self) -> &str {
        &self.path.last
    }

    /// A header as text; absent if it is not text, since none of those we read may be anything else.
    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How many entries a page is to have.
    pub(crate) fn page_size(&self) -> Result<usize, OciFailure> {
        let n = self.query.first("n");
        let size = PageSize::parse_within(n, PAGE, PageSize::MAX);
        let size =
            size.map_err(|error| OciFailure::bad(ErrorCode::Unsupported, error.to_string()))?;
        Ok(size.entries())
    }

    /// Turns what the registry says into what the client sees.
    pub(crate) fn refuse(&self, error: RegistryError) -> OciFailure {
        OciFailure::of(error, self.site.subject(None))
    }

    /// The same, about a repository.
    pub(crate) fn refuse_in(&self, name: &RepositoryName, error: RegistryError) -> OciFailure {
        OciFailure::of(error, self.site.subject(Some(name)))
    }

    /// Whether the client has this content already (`If-None-Match`, RFC 9110, section 13.1.2).
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.header(header::IF_NONE_MATCH).is_some_and(|list| {
            let etag = etag(digest);
            list.split(',')
                .map(str::trim)
                .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
        })
    }
}

/// Reads a digest; what is none is the client's mistake.
pub(crate) fn digest(text: &str) -> Result<Digest, OciFailure> {
    text.parse::<Digest>()
        .map_err(|error| OciFailure::bad(ErrorCode::DigestInvalid, error.to_string()))
}

/// Content is its digest, so its entity tag is too.
pub(crate) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// A request's body as the registry takes it.
pub(crate) fn intake(body: Body) -> Intake {
    body.into_data_stream().map_err(|_| BodyError).boxed()
}

/// An answer under construction.
#[derive(Debug)]
pub(crate) struct Reply(Response);

impl Reply {
    /// An answer without a body.
    pub(crate) fn new(status: StatusCode) -> Self {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        Self(response)
    }

    /// Adds a header; a value that is none is left out, as none of ours can be.
    pub(crate) fn with(mut self, name: HeaderName, value: impl AsRef<str>) -> Self {
        if let Ok(value) = HeaderValue::from_str(value.as_ref()) {
            let _before = self.0.headers_mut().insert(name, value);
        }
        self
    }

    /// Adds the headers of stored content: what it is, and that no browser shall run it.
    ///
    /// Caches between us and the client must not keep it, or it would outlive its key.
    pub(crate) fn content(self, media_type: &str, length: u64, digest: &Digest) -> Self {
        // The digest is written once; its own header is a piece of the entity tag.
        let etag = Bytes::from(etag(digest));
        let mut reply = self.with(header::CONTENT_TYPE, media_type);
        let headers = reply.0.headers_mut();
        headers.reserve(8);
        let digest = etag.slice(1..etag.len() - 1);
        for (name, value) in [(CONTENT_DIGEST, digest), (header::ETAG, etag)] {
            if let Ok(value) = HeaderValue::from_maybe_shared(value) {
                let _before = headers.insert(name, value);
            }
        }
        for (name, value) in [
            (header::CONTENT_LENGTH, HeaderValue::from(length)),
            (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
            (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox")),
        ] {
            let _before = headers.insert(name, value);
        }
        reply
    }

    /// Ends with a body.
    pub(crate) fn body(mut self, body: impl Into<Body>) -> Response {
        *self.0.body_mut() = body.into();
        self.0
    }

    /// Ends without a body.
    pub(crate) fn empty(self) -> Response {
        self.0
    }
}

/// A list as JSON.
fn json(list: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(list).expect("lists of names are what JSON can hold")
}
