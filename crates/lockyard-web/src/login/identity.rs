//! The managed identities' endpoints, on a listener of their own that only this machine reaches.
//!
//! Both forms that Azure has: `IDENTITY_ENDPOINT` with a secret header, and the one of virtual
//! machines, which any program here may ask. A web page can make a browser ask too, so whatever
//! bears a browser's marks, was forwarded, or has another host than loopback's is refused.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
};
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use lockyard_access::{
    Directory,
    directory::ClientId,
    issuer::{IdentityAsk, Issuer, OAuthError, TokenReply},
};
use lockyard_audit::Audit;
use lockyard_base::{Clock, Entropy};
use serde_json::json;

use super::{failure::LoginFailure, form, json};
use crate::{
    Metrics,
    host::Authority,
    trace::{Correlations, RouteTemplate, Watch},
    witness::{Actor, TOKEN_ISSUE, Witness},
};

/// The path of the virtual machines' form.
const MACHINE_PATH: &str = "/metadata/identity/oauth2/token";
/// The address at which clouds have that form.
const MACHINE_ADDRESS: &str = "169.254.169.254";

/// The identity that every program of this machine may be.
pub type MachineIdentity = ClientId;

/// The listener of the managed identities.
#[derive(Clone)]
pub struct IdentityEndpoint {
    /// Issues the tokens.
    pub issuer: Arc<Issuer>,
    /// Who every program of this machine may be; `None` turns the virtual machines' form off.
    pub machine: Option<MachineIdentity>,
    /// Measures requests.
    pub clock: Arc<dyn Clock>,
    /// Draws correlation ids.
    pub entropy: Arc<dyn Entropy>,
    /// Counts requests.
    pub metrics: Metrics,
    /// Who there is.
    pub directory: Arc<Directory>,
    /// Where it is recorded who got a token.
    pub audit: Arc<dyn Audit>,
}

impl fmt::Debug for IdentityEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityEndpoint").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl IdentityEndpoint {
    /// The face of the listener.
    pub fn router(self) -> Router {
        let correlations = Correlations::new(Arc::clone(&self.entropy));
        Router::new().fallback(enter).with_state(Arc::new((self, correlations)))
    }

    async fn token(&self, parts: &Parts) -> Result<TokenReply, LoginFailure> {
        check_neighbour(&parts.headers)?;
        if parts.method != Method::GET {
            return Err(LoginFailure::method("GET"));
        }
        let parameters = form::query(parts.uri.query())?;
        let resource = parameters.require("resource").map_err(LoginFailure::oauth)?;
        let client = parameters.get("client_id");
        let secret = header(&parts.headers, "x-identity-header");
        let ask = match (parts.uri.path() == MACHINE_PATH, secret) {
            (true, _) => {
                if header(&parts.headers, "metadata") != Some("true") {
                    return Err(LoginFailure::request("the request must have `Metadata: true`"));
                }
                IdentityAsk::Machine(self.machine.ok_or_else(LoginFailure::not_found)?)
            }
            (false, Some(secret)) => IdentityAsk::Header(secret),
            (false, None) => {
                let text = "the request must have an `X-IDENTITY-HEADER`";
                return Err(LoginFailure::oauth(OAuthError::request(text)));
            }
        };
        let issued = self.issuer.managed_identity(ask, resource, client).await;
        issued.map_err(LoginFailure::oauth)
    }
}

async fn enter(
    State(state): State<Arc<(IdentityEndpoint, Correlations)>>,
    request: Request,
) -> Response {
    let (endpoint, correlations) = &*state;
    let IdentityEndpoint { clock, metrics, .. } = endpoint;
    let watch = Watch::start(clock, correlations, metrics, request.method(), Arc::default());
    let (parts, _body) = request.into_parts();
    let of = (&parts.headers, &parts.extensions);
    let uri = parts.uri.path().to_owned();
    let witness = Witness::new(&endpoint.audit, clock, of, uri, watch.correlation());
    let mut response = match endpoint.token(&parts).await {
        Ok(reply) => {
            let actor = Actor::new(reply.bearer.principal, Some(reply.bearer.client));
            let actor = (&actor, &*endpoint.directory);
            witness.saw(TOKEN_ISSUE, actor, None, "managed_identity").await;
            json(StatusCode::OK, granted(&reply))
        }
        Err(failure) => {
            witness.refused("NoIdentity");
            failure.render_for_identity(watch.correlation())
        }
    };
    let headers = response.headers_mut();
    let _none = headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    let _none = response.extensions_mut().insert(RouteTemplate("managed identity"));
    watch.finish(response)
}

/// Numbers are texts here, as in Azure.
fn granted(reply: &TokenReply) -> String {
    let left = (reply.expires.as_secs() - reply.issued.as_secs() - 1).to_string();
    json!({
        "access_token": reply.access_token.as_str(),
        "expires_in": left,
        "ext_expires_in": left,
        "expires_on": reply.expires.as_secs().to_string(),
        "not_before": reply.issued.as_secs().to_string(),
        "resource": reply.resource,
        "token_type": "Bearer",
    })
    .to_string()
}

/// Refuses whoever is not a program of this machine.
fn check_neighbour(headers: &HeaderMap) -> Result<(), LoginFailure> {
    let host = header(headers, "host").and_then(|host| Authority::parse(host).ok());
    let here = host.is_some_and(|host| host.is_loopback() || host.host() == MACHINE_ADDRESS);
    // Node's `fetch` says `sec-fetch-mode` too, but only a browser says from which site it comes.
    let marks = ["origin", "sec-fetch-site", "sec-fetch-dest", "forwarded", "via"];
    let led = marks.into_iter().any(|mark| headers.contains_key(mark))
        || headers.keys().any(|name| name.as_str().starts_with("x-forwarded-"));
    if here && !led {
        return Ok(());
    }
    Err(LoginFailure::request("only programs of this machine get its identities' tokens"))
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
