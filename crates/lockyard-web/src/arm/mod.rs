//! Resource Manager's face, `management.<domain>`.
//!
//! Every request goes the same way: who asks, what for, in which version. The face reads paths and
//! renders answers; what is there and who may is the control plane's to say. Which provider keeps
//! a resource, its table says: a new type needs nothing here.

mod failure;
mod metadata;
mod path;
mod resource;
mod subscription;

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use lockyard_access::issuer::{Audience, Caller};
use lockyard_arm::{ApiVersion, AzCommand, parse_filter};
use lockyard_control::{Call, Origin, Page, PageRequest, SkipToken};
use serde_json::Value;

use crate::{
    Connection, FixedHost, bearer,
    faces::Faces,
    intake,
    limit::ARM_BODY_BYTES_MAX,
    trace::{Correlation, RouteTemplate},
};

use failure::ArmFailure;
use path::Target;

/// The templates of all routes, as logs and counters have them.
pub const ROUTES: [&str; 11] = [
    "arm:/metadata/endpoints",
    "arm:/tenants",
    "arm:/subscriptions",
    "arm:/subscriptions/{id}",
    "arm:/subscriptions/{id}/locations",
    "arm:/subscriptions/{id}/providers",
    "arm:/subscriptions/{id}/resourceGroups",
    "arm:/subscriptions/{id}/resourceGroups/{name}",
    "arm:{scope}/resources",
    "arm:{scope}/providers/{type}",
    "arm:{scope}/providers/{type}/{name}",
];

/// What a query names the token of a list by.
const TOKEN: &str = "$skiptoken";

/// What an endpoint answers.
type Answer = Result<Response, ArmFailure>;

/// One request of somebody who is known, to a version that was named.
struct Asked<'f> {
    faces: &'f Faces,
    call: Call,
    method: Method,
    body: Value,
}

/// Answers a request, whatever it asks for.
pub(crate) async fn answer(faces: &Faces, request: Request, correlation: &Correlation) -> Response {
    let (parts, body) = request.into_parts();
    let target = Target::parse(parts.uri.path());
    let template = target.as_ref().map_or("other", Target::template);
    debug_assert!(template == "other" || ROUTES.contains(&template), "{template} is not listed");
    let answer = match target {
        Ok(Target::Metadata) if parts.method == Method::GET => Ok(metadata::endpoints(faces)),
        target => known(faces, target, (&parts, body), correlation).await,
    };
    let mut response = answer.unwrap_or_else(|failure| failure.render(correlation));
    let headers = response.headers_mut();
    for (name, value) in
        [(header::X_CONTENT_TYPE_OPTIONS, "nosniff"), (header::CACHE_CONTROL, "no-cache")]
    {
        let _none = headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&correlation.to_string()) {
        for name in ["x-ms-request-id", "x-ms-correlation-request-id"] {
            let _none = headers.insert(name, id.clone());
        }
    }
    let _none = response.extensions_mut().insert(RouteTemplate(template));
    response
}

/// Answers somebody who must be known; nobody else learns even which paths there are.
async fn known(
    faces: &Faces,
    target: Result<Target, path::PathError>,
    (parts, body): (&Parts, Body),
    correlation: &Correlation,
) -> Answer {
    let peer = parts.extensions.get::<Connection>().and_then(Connection::peer);
    let caller = bearer::caller(&parts.headers, &faces.issuer, Audience::Management);
    let caller = caller.map_err(|error| {
        faces.vaults.audit.note_unauthenticated(error.kind(), peer);
        ArmFailure::unknown_caller(faces, &error)
    })?;
    let target = target?;
    let allowed = target.methods();
    if !allowed.contains(&parts.method) {
        return Err(ArmFailure::method(&allowed));
    }
    let query = Query::read(parts.uri.query())?;
    let call = Call {
        caller: caller.principal,
        version: query.version,
        filter: query.filter,
        page: query.page,
        origin: origin(faces, &caller, parts, correlation),
        command: AzCommand::read(text(parts, "CommandName"), text(parts, "ParameterSetName")),
    };
    let body = if [Method::PUT, Method::PATCH, Method::POST].contains(&parts.method) {
        intake::json(body, ARM_BODY_BYTES_MAX).await?
    } else {
        Value::Null
    };
    let asked = Asked { faces, call, method: parts.method.clone(), body };
    match target {
        Target::Metadata => Err(ArmFailure::method(&allowed)),
        Target::Tenants => Ok(subscription::tenants(&asked)),
        Target::Subscriptions => Ok(subscription::list(&asked)),
        Target::Subscription(id) => subscription::show(&asked, id),
        Target::Locations(id) => subscription::locations(&asked, id),
        Target::Providers(id) => subscription::providers(&asked, id),
        Target::Groups(id) => subscription::groups(&asked, id).await,
        Target::Group(id, name) => subscription::group(&asked, id, &name).await,
        Target::Resources(under) => resource::all(&asked, &under).await,
        Target::Collection(under, kind) => resource::list(&asked, &under, &kind).await,
        Target::Resource(id) => resource::one(&asked, &id).await,
    }
}

/// What the audit trail is to have of a request.
fn origin(faces: &Faces, caller: &Caller, parts: &Parts, correlation: &Correlation) -> Origin {
    let peer = parts.extensions.get::<Connection>().and_then(Connection::peer);
    let target = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    Origin {
        caller: lockyard_audit::Caller {
            address: peer.map(|address| address.to_canonical()),
            object_id: caller.principal.to_string(),
            application_id: caller.client.to_string(),
            managed_identity: caller.resource().map(ToString::to_string).unwrap_or_default(),
        },
        request: lockyard_audit::Asked {
            client: text(parts, header::USER_AGENT.as_str()).unwrap_or_default().to_owned(),
            uri: format!("{}{target}", faces.names.origin(FixedHost::Management)),
            id: String::new(),
        },
        correlation: correlation.to_string(),
    }
}

/// A header's text.
fn text<'p>(parts: &'p Parts, name: &str) -> Option<&'p str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

/// What the query of every call says.
struct Query {
    version: ApiVersion,
    filter: Vec<lockyard_arm::Condition>,
    page: PageRequest,
}

impl Query {
    fn read(query: Option<&str>) -> Result<Self, ArmFailure> {
        let (mut version, mut filter, mut page) = (None, Vec::new(), PageRequest::default());
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if name.eq_ignore_ascii_case("api-version") {
                let read = value.parse::<ApiVersion>();
                version = Some(read.map_err(|error| ArmFailure::version(&error.to_string()))?);
            } else if name.eq_ignore_ascii_case("$filter") {
                let read = parse_filter(&value);
                filter = read.map_err(|error| ArmFailure::filter(&error.to_string()))?;
            } else if name.eq_ignore_ascii_case("$top") {
                page.read_top(&value)?;
            } else if name.eq_ignore_ascii_case(TOKEN) {
                page.read_token(&value)?;
            }
        }
        let version = version.ok_or_else(ArmFailure::no_version)?;
        Ok(Self { version, filter, page })
    }
}

/// An answer with a JSON body.
fn json(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    let _none = response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// A list, whole.
fn listed(values: Vec<Value>) -> Response {
    json(StatusCode::OK, &serde_json::json!({ "value": values }))
}

/// A part of a list, and where it goes on.
fn paged(asked: &Asked<'_>, page: Page) -> Response {
    let mut body = serde_json::json!({ "value": page.items });
    if let Some(token) = page.next {
        body["nextLink"] = next(&asked.call.origin.request.uri, &token).into();
    }
    json(StatusCode::OK, &body)
}

/// Where a list goes on that was asked for at `uri`, which begins with our own address.
///
/// Everything else that the query says is said again as it was, the next page's narrowing too.
fn next(uri: &str, token: &SkipToken) -> String {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let is_token = |pair: &&str| {
        let name = form_urlencoded::parse(pair.as_bytes()).next();
        name.is_some_and(|(name, _)| name.eq_ignore_ascii_case(TOKEN))
    };
    let kept: Vec<&str> =
        query.split('&').filter(|pair| !pair.is_empty() && !is_token(pair)).collect();
    format!("{path}?{}&{TOKEN}={}", kept.join("&"), token.text())
}

/// An answer without a body.
fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
