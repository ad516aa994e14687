//! The key vaults' face, `<vault>.vault.<domain>`: the keys data plane, as the Azure SDKs speak it.
//!
//! Who asks is found out before anything else of a request is read: clients send their first
//! request without a body to learn where to sign in (BEHAVIOUR 2.4). Who may do what, and whether
//! there is such a vault or key, the vault says; nothing here decides. Every verb is in the audit
//! trail before its result is given to anybody.

mod backup;
mod deleted;
mod failure;
mod key;
mod list;
mod never;
mod path;
mod query;
mod random;
#[cfg(any(test, feature = "testing"))]
mod reads;
mod record;
mod render;
mod rotation;
mod told;
mod uses;
mod verb;
mod workers;

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use lockyard_access::issuer::{Audience, Caller};
use lockyard_audit::Audit;
use lockyard_keyring::VaultAddress;
use lockyard_vault::{Roles, Vault};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    Connection, bearer,
    faces::Faces,
    trace::{Correlation, RouteTemplate},
};

#[cfg(any(test, feature = "testing"))]
pub use reads::reads;
pub use workers::Workers;

use failure::VaultFailure;
use path::Target;
use query::Query;
use record::Origin;
use render::Urls;
use told::Told;
use verb::Verb;

/// The templates of all routes, as logs and counters have them.
pub const ROUTES: [&str; 21] = [
    "vault:/keys",
    "vault:/keys/restore",
    "vault:/keys/{name}",
    "vault:/keys/{name}/{version}",
    "vault:/keys/{name}/versions",
    "vault:/keys/{name}/create",
    "vault:/keys/{name}/rotate",
    "vault:/keys/{name}/backup",
    "vault:/keys/{name}/rotationpolicy",
    "vault:/keys/{name}/{version}/encrypt",
    "vault:/keys/{name}/{version}/decrypt",
    "vault:/keys/{name}/{version}/wrapkey",
    "vault:/keys/{name}/{version}/unwrapkey",
    "vault:/keys/{name}/{version}/sign",
    "vault:/keys/{name}/{version}/verify",
    "vault:/keys/{name}/{version}/release",
    "vault:/keys/{name}/{version}/attestation",
    "vault:/deletedkeys",
    "vault:/deletedkeys/{name}",
    "vault:/deletedkeys/{name}/recover",
    "vault:/rng",
];

/// The header by which clients behind narrow proxies say the method that they mean.
const METHOD_HEADERS: [&str; 2] = ["x-http-method", "x-http-method-override"];

/// The key vaults of this instance, and what their data plane stands on.
#[derive(Clone, Debug)]
pub struct KeyVaults {
    /// The vaults.
    pub vault: Arc<Vault>,
    /// Where every operation is recorded.
    pub audit: Arc<dyn Audit>,
    /// Who has which role.
    pub roles: Arc<dyn Roles>,
    /// Where keys are used.
    pub workers: Arc<Workers>,
}

/// What an endpoint answers.
type Answer = Result<Response, VaultFailure>;

/// One request of somebody who is known.
struct Asked<'f> {
    faces: &'f Faces,
    vault: VaultAddress,
    caller: Caller,
    urls: Urls,
    query: Query,
    origin: Origin,
}

/// Answers a request to the vault of this name, whatever it asks for.
pub(crate) async fn answer(
    faces: &Faces,
    label: &str,
    request: Request,
    correlation: &Correlation,
) -> Response {
    let (parts, body) = request.into_parts();
    let method = method(&parts);
    let target = Target::parse(parts.uri.path(), &method);
    let template = target.as_ref().map_or("other", Target::template);
    debug_assert!(template == "other" || ROUTES.contains(&template), "{template} is not listed");
    let answer = known(faces, label, (target, method), (&parts, body), correlation).await;
    let mut response = answer.unwrap_or_else(|failure| failure.render(correlation));
    let headers = response.headers_mut();
    // Unwrapped keys are in some answers: nothing between us and the client may keep them.
    for (name, value) in
        [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::CACHE_CONTROL, "no-store")]
    {
        let _none = headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&correlation.to_string()) {
        let _none = headers.insert("x-ms-request-id", id);
    }
    let _none = response.extensions_mut().insert(RouteTemplate(template));
    response
}

/// The method that a client means.
fn method(parts: &Parts) -> Method {
    let meant = METHOD_HEADERS.iter().find_map(|name| parts.headers.get(*name));
    match meant.map(|value| Method::from_bytes(value.as_bytes())) {
        Some(Ok(meant)) if parts.method == Method::POST => meant,
        _ => parts.method.clone(),
    }
}

/// Answers somebody who must be known; nobody else learns even which vaults there are.
async fn known(
    faces: &Faces,
    label: &str,
    (target, method): (Result<Target, VaultFailure>, Method),
    (parts, body): (&Parts, Body),
    correlation: &Correlation,
) -> Answer {
    let peer = parts.extensions.get::<Connection>().and_then(Connection::peer);
    let caller = bearer::caller(&parts.headers, &faces.issuer, Audience::Vault);
    let caller = caller.map_err(|error| {
        faces.vaults.audit.note_unauthenticated(error.kind(), peer);
        VaultFailure::unknown_caller(faces, &error)
    })?;
    let vault: VaultAddress = label.parse().map_err(|_| VaultFailure::no_vault(label))?;
    let target = target?;
    let allowed = target.methods();
    if !allowed.contains(&method) {
        return Err(VaultFailure::method(allowed));
    }
    let query = Query::read(parts.uri.query())?;
    let body = match method {
        Method::GET | Method::DELETE => Told::nothing(),
        _ => Told::read(body, target.body_bytes_max()).await?,
    };
    let verb = Verb::read(target, &method, &body)?;
    let asked = Asked {
        faces,
        urls: Urls::new(&faces.names, &vault),
        origin: Origin::new(peer, parts, correlation, &query),
        vault,
        caller,
        query,
    };
    asked.answer(verb).await
}

impl Asked<'_> {
    async fn answer(&self, verb: Verb) -> Answer {
        match verb {
            Verb::ListKeys => list::keys(self).await,
            Verb::ListVersions(name) => list::versions(self, name).await,
            Verb::ListDeleted => list::deleted_keys(self).await,
            Verb::Show(name, version) => key::show(self, name, version).await,
            Verb::Create(name, shape, settings) => key::create(self, name, (shape, settings)).await,
            Verb::Import(name, private, settings) => {
                key::import(self, name, (private, settings)).await
            }
            Verb::Update(name, version, change) => key::update(self, name, version, change).await,
            Verb::Delete(name) => key::delete(self, name).await,
            Verb::Rotate(name) => key::rotate(self, name).await,
            Verb::ShowPolicy(name) => rotation::show(self, name).await,
            Verb::SetPolicy(name, policy) => rotation::set(self, name, policy).await,
            Verb::BackUp(name) => backup::backup(self, name).await,
            Verb::Restore(blob) => backup::restore(self, blob).await,
            Verb::Use(wanted, name, version) => uses::answer(self, wanted, name, version).await,
            Verb::Release(name, version) => never::release(self, name, version).await,
            Verb::Attest(name, version) => never::attest(self, name, version).await,
            Verb::ShowDeleted(name) => deleted::show(self, name).await,
            Verb::Recover(name) => deleted::recover(self, name).await,
            Verb::Purge(name) => deleted::purge(self, name).await,
            Verb::Draw(count) => random::answer(self, count).await,
        }
    }
}

/// An answer with a JSON body, whose bytes are wiped once they are sent.
fn json(status: StatusCode, body: &Value) -> Response {
    let text = Zeroizing::new(body.to_string().into_bytes());
    let mut response = Response::new(Body::from(Bytes::from_owner(text)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    let _none = response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
