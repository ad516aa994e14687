//! The token issuer's house: documents, token endpoints, and the few pages that people see.
//!
//! Each endpoint reads its request into words, asks the issuer once, and renders the answer.
//! Programs get OAuth's envelope, people get pages; nothing here is ever cached but what everybody
//! may read. URLs that go out come from the configuration, never from a request.

mod authorize;
mod client;
mod cookie;
mod device;
mod document;
mod failure;
mod form;
mod identity;
mod logout;
mod page;
mod path;
mod token;

use std::fmt;

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, Method, StatusCode, header};
use lockyard_access::{Directory, Issuer};
use lockyard_audit::Operation;
use lockyard_base::Entropy;

use crate::{
    trace::{Correlation, RouteTemplate},
    witness::{Actor, Witness},
};
use failure::LoginFailure;
pub use identity::{IdentityEndpoint, MachineIdentity};
use path::{Endpoint, Route};

/// What the pages and endpoints stand on.
#[derive(Clone, Copy)]
pub(crate) struct House<'h> {
    pub(crate) issuer: &'h Issuer,
    pub(crate) entropy: &'h dyn Entropy,
    pub(crate) directory: &'h Directory,
    /// Tells the audit trail of this request.
    pub(crate) witness: &'h Witness,
}

impl House<'_> {
    /// Records that somebody proved who they are, or is about to be given tokens.
    async fn saw(self, operation: Operation, actor: &Actor, reason: &'static str) {
        self.witness.saw(operation, (actor, self.directory), None, reason).await;
    }
}

impl fmt::Debug for House<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("House(login)")
    }
}

/// Answers a request to the issuer's host.
pub(crate) async fn answer(
    house: House<'_>,
    request: Request,
    correlation: &Correlation,
) -> Response {
    let path = request.uri().path().to_owned();
    let route = Route::parse(&path);
    let template = route.as_ref().map_or("other", |route| route.endpoint.template());
    let answered = match route {
        Some(route) => dispatch(house, &route, request).await,
        None => Err(LoginFailure::not_found()),
    };
    let mut response = answered.unwrap_or_else(|failure| failure.render(house, correlation));
    let _none = response.extensions_mut().insert(RouteTemplate(template));
    let headers = response.headers_mut();
    let nosniff = HeaderValue::from_static("nosniff");
    let _none = headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    let _kept =
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn dispatch(
    house: House<'_>,
    route: &Route<'_>,
    request: Request,
) -> Result<Response, LoginFailure> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let posts = *request.method() == Method::POST;
    let tenant = || house.issuer.tenant(route.tenant).map_err(LoginFailure::oauth);
    match (route.endpoint, reads, posts) {
        (Endpoint::Discovery(version), true, _) => {
            Ok(document::discovery(house, &tenant()?, version))
        }
        (Endpoint::Keys, true, _) => Ok(document::keys(house)),
        (Endpoint::Instance, true, _) => document::instance(house, request.uri()),
        (Endpoint::UserRealm, true, _) => Ok(document::user_realm(house)),
        (Endpoint::Token(version), _, true) => {
            token::token(house, tenant()?, version, request).await
        }
        (Endpoint::DeviceCode(version), _, true) => {
            token::device_code(house, tenant()?, version, request).await
        }
        (Endpoint::Authorize(version), true, _) => {
            tenant().map_err(LoginFailure::on_page)?;
            authorize::show(house, version, &request)
        }
        (Endpoint::Authorize(version), _, true) => {
            tenant().map_err(LoginFailure::on_page)?;
            authorize::submit(house, version, request).await
        }
        (Endpoint::Device, true, _) => Ok(device::show(house, &request)),
        (Endpoint::Device, _, true) => device::submit(house, request).await,
        (Endpoint::Logout, true, _) | (Endpoint::Logout, _, true) => {
            logout::sign_out(house, request).await
        }
        (endpoint, _, _) => Err(LoginFailure::method(endpoint.allowed())),
    }
}

/// An answer of JSON.
fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    let _none = response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
