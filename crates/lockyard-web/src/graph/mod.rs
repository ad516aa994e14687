//! The directory's face, `graph.<domain>`: as much of Microsoft Graph as az and the SDKs need to
//! find principals, and to make applications with credentials.
//!
//! The face reads paths and renders objects; who may see and change what is the control plane's to
//! say.

mod application;
mod failure;
mod path;
mod principal;
mod render;

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use lockyard_access::issuer::{Audience, Caller};
use lockyard_arm::{Condition, parse_filter};
use serde_json::{Value, json};

use crate::{
    FixedHost, bearer,
    faces::Faces,
    intake,
    limit::GRAPH_BODY_BYTES_MAX,
    trace::{Correlation, RouteTemplate},
    witness::peer,
};

use failure::GraphFailure;
use path::{Kind, Target};

/// The templates of all routes, as logs and counters have them.
pub const ROUTES: [&str; 20] = [
    "graph:/me",
    "graph:/directoryObjects/getByIds",
    "graph:/directoryObjects/{id}",
    "graph:/users",
    "graph:/users/{id}",
    "graph:/groups",
    "graph:/groups/{id}",
    "graph:/groups/{id}/members",
    "graph:/groups/{id}/members/$ref",
    "graph:/groups/{id}/members/{member}/$ref",
    "graph:/servicePrincipals",
    "graph:/servicePrincipals/{id}",
    "graph:/{kind}/{id}/owners",
    "graph:/{kind}/{id}/getMemberGroups",
    "graph:/applications",
    "graph:/applications/{id}",
    "graph:/applications/{id}/addPassword",
    "graph:/applications/{id}/removePassword",
    "graph:/applications/{id}/federatedIdentityCredentials",
    "graph:/applications/{id}/federatedIdentityCredentials/{name}",
];

/// What an endpoint answers.
type Answer = Result<Response, GraphFailure>;

/// One request of somebody who is known.
struct Asked<'f> {
    faces: &'f Faces,
    caller: Caller,
    method: Method,
    filter: Vec<Condition>,
    body: Value,
}

/// Answers a request, whatever it asks for.
pub(crate) async fn answer(faces: &Faces, request: Request, correlation: &Correlation) -> Response {
    let (parts, body) = request.into_parts();
    let target = Target::parse(parts.uri.path());
    let template = target.as_ref().map_or("other", Target::template);
    debug_assert!(template == "other" || ROUTES.contains(&template), "{template} is not listed");
    let answer = known(faces, target, &parts, body).await;
    let mut response = answer.unwrap_or_else(|failure| failure.render(correlation));
    let headers = response.headers_mut();
    // New passwords are in some answers: nothing between us and the client may keep them.
    for (name, value) in
        [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::CACHE_CONTROL, "no-store")]
    {
        let _none = headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&correlation.to_string()) {
        let _none = headers.insert("request-id", id);
    }
    let _none = response.extensions_mut().insert(RouteTemplate(template));
    response
}

/// Answers somebody who must be known; nobody else learns even which paths there are.
async fn known(faces: &Faces, target: Option<Target>, parts: &Parts, body: Body) -> Answer {
    let caller = bearer::caller(&parts.headers, &faces.issuer, Audience::Graph);
    let caller = caller.map_err(|error| {
        faces.vaults.audit.note_unauthenticated(error.kind(), peer(&parts.extensions));
        GraphFailure::unknown_caller(faces, &error)
    })?;
    let target = target.ok_or_else(GraphFailure::nothing)?;
    let allowed = target.methods();
    if !allowed.contains(&parts.method) {
        return Err(GraphFailure::method(&allowed));
    }
    let filter = filter(parts.uri.query())?;
    let body = if [Method::PUT, Method::PATCH, Method::POST].contains(&parts.method) {
        intake::json(body, GRAPH_BODY_BYTES_MAX).await?
    } else {
        Value::Null
    };
    let asked = Asked { faces, caller, method: parts.method.clone(), filter, body };
    match &target {
        Target::Me => principal::me(&asked),
        Target::ByIds => principal::by_ids(&asked),
        Target::Object(id) => principal::any(&asked, id),
        Target::Principals(Kind::User) => principal::users(&asked).await,
        Target::Principals(Kind::Group) => principal::groups(&asked).await,
        Target::Principals(Kind::ServicePrincipal) => principal::service_principals(&asked).await,
        Target::Principal(kind, id) => principal::one(&asked, *kind, id).await,
        Target::Nobody => Ok(listed(&asked, "directoryObjects", &[])),
        Target::Members(id) => principal::members(&asked, id),
        Target::NewMember(id) => principal::add_member(&asked, id).await,
        Target::Member(id, member) => principal::remove_member(&asked, id, member).await,
        Target::MemberGroups(id) => principal::member_groups(&asked, id),
        Target::Applications => application::all(&asked).await,
        Target::Application(id) => application::one(&asked, id).await,
        Target::AddPassword(id) => application::add_password(&asked, id).await,
        Target::RemovePassword(id) => application::remove_password(&asked, id).await,
        Target::Federated(id) => application::federated(&asked, id).await,
        Target::OneFederated(id, name) => application::one_federated(&asked, id, name).await,
    }
}

/// Reads `$filter`; `$top`, `$select` and the like change nothing that clients rely on.
fn filter(query: Option<&str>) -> Result<Vec<Condition>, GraphFailure> {
    let mut filter = Vec::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if name.eq_ignore_ascii_case("$filter") {
            filter = parse_filter(&value).map_err(|error| GraphFailure::bad(error.to_string()))?;
        }
    }
    Ok(filter)
}

/// An answer with one object of a kind.
fn object(asked: &Asked<'_>, status: StatusCode, kind: &str, mut value: Value) -> Response {
    let context = format!("{}/v1.0/$metadata#{kind}/$entity", asked.origin());
    if let Some(fields) = value.as_object_mut() {
        fields.insert("@odata.context".to_owned(), json!(context));
    }
    answered(status, &value)
}

/// An answer with all objects of a kind, whole.
fn listed(asked: &Asked<'_>, kind: &str, values: &[Value]) -> Response {
    let context = format!("{}/v1.0/$metadata#{kind}", asked.origin());
    answered(StatusCode::OK, &json!({ "@odata.context": context, "value": values }))
}

fn answered(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    let _none = response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// An answer without a body.
fn done() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

impl Asked<'_> {
    fn origin(&self) -> String {
        self.faces.names.origin(FixedHost::Graph)
    }
}
