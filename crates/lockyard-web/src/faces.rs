//! The doors of the house: which listener a request came in by, and whom it is for.
//!
//! Two listeners lead here. The HTTPS one serves every registry by its host name and wants a
//! login. The plain one is for this machine only: it serves the default registry, and because a
//! browser on this machine can be made to call it by any web page, it goes by the exact host and
//! refuses whatever bears a browser's marks.

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::{Request, State},
    response::Response,
};
use http::{Extensions, HeaderMap, StatusCode, Version, header, request::Parts};
use lockyard_access::{Directory, Issuer, issuer::Audience, registry_token::RegistryTokens};
use lockyard_base::{Clock, Entropy};
use lockyard_control::{Control, Objects};
use lockyard_oci::{ErrorCode, RegistryName};
use lockyard_registry::Registries;

use crate::{
    Connection, Metrics, Names, arm,
    caller::{Login, LoginError, Shown},
    challenge::Challenge,
    failure::OciFailure,
    graph,
    host::{Authority, FixedHost, OwnHost},
    limit::{HEADER_BYTES_MAX, URL_BYTES_MAX},
    linger::Loan,
    login, oci,
    trace::{Correlation, Correlations, Watch},
    vault::{self, KeyVaults},
    witness::{Actor, Change, SIGN_IN, Witness, kind_of_login},
};

/// What the HTTP faces stand on.
#[derive(Clone, Debug)]
pub struct Faces {
    /// The registries of this instance.
    pub registries: Arc<Registries>,
    /// Who there is, and what they may do.
    pub directory: Arc<Directory>,
    /// Issues tokens and knows its own.
    pub issuer: Arc<Issuer>,
    /// Signs and reads the tokens of registries.
    pub registry_tokens: Arc<RegistryTokens>,
    /// Subscriptions, resource groups and the resources in them.
    pub control: Arc<Control>,
    /// The directory's objects.
    pub objects: Objects,
    /// The embedded key vaults.
    pub vaults: KeyVaults,
    /// Our own host names.
    pub names: Names,
    /// The registry that `localhost` stands for.
    pub default_registry: RegistryName,
    /// Whether the plain listener wants a login too.
    pub http_login: bool,
    /// Measures requests.
    pub clock: Arc<dyn Clock>,
    /// Draws correlation ids.
    pub entropy: Arc<dyn Entropy>,
    /// Counts requests.
    pub metrics: Metrics,
}

impl Faces {
    /// The face of the HTTPS listener, which is bound to `port`.
    pub fn https(&self, port: u16) -> Router {
        self.door(Listener::Https { port })
    }

    /// The face of the plain listener, which is bound to `port` on loopback addresses.
    pub fn http(&self, port: u16) -> Router {
        self.door(Listener::Http { port })
    }

    fn door(&self, listener: Listener) -> Router {
        let correlations = Correlations::new(Arc::clone(&self.entropy));
        let door = Arc::new(Door { faces: self.clone(), listener, correlations });
        Router::new().fallback(enter).with_state(door)
    }
}

/// Which listener a request came in by.
#[derive(Clone, Copy, Debug)]
enum Listener {
    Https { port: u16 },
    Http { port: u16 },
}

/// One listener's way in.
pub(crate) struct Door {
    pub(crate) faces: Faces,
    listener: Listener,
    correlations: Correlations,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({:?})", self.listener)
    }
}

/// Whom a request is for: each house has its own envelopes, its own callers and its own limits.
#[derive(Clone, Debug)]
pub(crate) enum House {
    /// A registry.
    Registry(Site),
    /// The token issuer.
    Login,
    /// Resource Manager.
    Management,
    /// The directory.
    Graph,
    /// A key vault; the label is not yet known to be a vault's name.
    Vault(String),
}

/// The registry that a request is for.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) registry: RegistryName,
    /// How it asks for a login.
    pub(crate) challenge: Challenge,
}

/// Where every request enters and every answer leaves.
async fn enter(State(door): State<Arc<Door>>, request: Request) -> Response {
    let Faces { clock, metrics, .. } = &door.faces;
    let (request, loan) = Loan::of(request);
    let watch = Watch::start(clock, &door.correlations, metrics, request.method(), loan.received());
    let (parts, body) = request.into_parts();
    let house = door.house(&parts);
    let request = Request::from_parts(parts, body);
    let response = match house {
        Ok(House::Registry(site)) => {
            oci::answer(&door, Ok(site), request, watch.correlation()).await
        }
        Ok(House::Login) => {
            let Faces { issuer, entropy, directory, .. } = &door.faces;
            let witness = door.faces.witness(FixedHost::Login, &request, watch.correlation());
            let (witness, entropy) = (&witness, &**entropy);
            let house = login::House { issuer, entropy, directory, witness };
            login::answer(house, request, watch.correlation()).await
        }
        Ok(House::Management) => {
            witnessed(&door, FixedHost::Management, request, watch.correlation()).await
        }
        Ok(House::Vault(label)) => {
            vault::answer(&door.faces, &label, request, watch.correlation()).await
        }
        Ok(House::Graph) => witnessed(&door, FixedHost::Graph, request, watch.correlation()).await,
        Err(failure) => oci::answer(&door, Err(failure), request, watch.correlation()).await,
    };
    loan.settle(response.status()).await;
    watch.finish(response)
}

/// Answers a request to Resource Manager or to the directory; what it changes is recorded first.
///
/// Whoever asks for a change and goes away keeps it out of no trail: both happen in a task of their
/// own, which nothing cancels.
async fn witnessed(
    door: &Arc<Door>,
    house: FixedHost,
    request: Request,
    correlation: &Correlation,
) -> Response {
    let audience = if house == FixedHost::Graph { Audience::Graph } else { Audience::Management };
    let witness = || door.faces.witness(house, &request, correlation);
    let Some(change) = Change::of(&request, &door.faces.issuer, audience, witness) else {
        return managed(&door.faces, house, request, correlation).await;
    };
    let (door, correlation) = (Arc::clone(door), correlation.clone());
    let doing = tokio::spawn(async move {
        let response = managed(&door.faces, house, request, &correlation).await;
        change.settle(response.status(), &door.faces.directory).await;
        response
    });
    match doing.await {
        Ok(response) => response,
        // Nothing aborts it, so that it can only have panicked; the connection ends as it would have.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

async fn managed(
    faces: &Faces,
    house: FixedHost,
    request: Request,
    correlation: &Correlation,
) -> Response {
    if house == FixedHost::Graph {
        graph::answer(faces, request, correlation).await
    } else {
        arm::answer(faces, request, correlation).await
    }
}

impl Faces {
    /// A witness of a request to one of the fixed names.
    fn witness(&self, house: FixedHost, request: &Request, correlation: &Correlation) -> Witness {
        let uri = format!("{}{}", self.names.origin(house), request.uri().path());
        let of = (request.headers(), request.extensions());
        Witness::new(&self.vaults.audit, &self.clock, of, uri, correlation)
    }
}

impl Door {
    /// Finds out whom the request is for, and refuses what nobody here should answer.
    ///
    /// What is refused here is told in the registry's envelope: whose else it should be is not known.
    fn house(&self, parts: &Parts) -> Result<House, OciFailure> {
        check_size(parts)?;
        let authority = authority(parts)?;
        let realm = authority.to_string();
        let house = match self.listener {
            Listener::Https { port } => self.house_of(&authority, port)?,
            Listener::Http { port } => {
                check_loopback(&authority, port)?;
                refuse_browsers(&parts.headers)?;
                House::Registry(Site {
                    registry: self.faces.default_registry.clone(),
                    challenge: Challenge::Basic { realm: realm.clone() },
                })
            }
        };
        // Under HTTP/1 one request follows another, so that a reverse proxy may use one connection
        // for several hosts; under HTTP/2 a cut would hit another registry's requests.
        let connection = parts.extensions.get::<Connection>();
        if parts.version == Version::HTTP_2 && connection.is_some_and(|c| !c.serves(&realm)) {
            return Err(misdirected(
                "a connection serves one host, open another one for this host",
            ));
        }
        Ok(house)
    }

    fn house_of(&self, authority: &Authority, port: u16) -> Result<House, OciFailure> {
        if authority.is_loopback() {
            let registry = self.faces.default_registry.clone();
            let challenge = Challenge::bearer(self.own_loopback(authority, port));
            return Ok(House::Registry(Site { registry, challenge }));
        }
        match self.faces.names.own(authority.host()) {
            Some(OwnHost::Registry(label)) => {
                let registry = label.parse().map_err(|_| no_registry())?;
                let challenge = Challenge::bearer(self.faces.names.registry_host(&registry));
                Ok(House::Registry(Site { registry, challenge }))
            }
            Some(OwnHost::Fixed(FixedHost::Login)) => Ok(House::Login),
            Some(OwnHost::Fixed(FixedHost::Management)) => Ok(House::Management),
            Some(OwnHost::Fixed(FixedHost::Graph)) => Ok(House::Graph),
            Some(OwnHost::Vault(label)) => Ok(House::Vault(label)),
            Some(OwnHost::Fixed(FixedHost::Portal | FixedHost::Blob)) | None => {
                let domain = self.faces.names.domain();
                Err(misdirected(&format!("registries are at `<registry>.cr.{domain}`")))
            }
        }
    }

    /// This machine's name for itself, as the client wrote it, with a port that is ours.
    ///
    /// Who came by `localhost` may find no other of our names, so that it is sent nowhere else.
    fn own_loopback(&self, authority: &Authority, listening: u16) -> String {
        let public = self.faces.names.public_port();
        let port = authority.port().unwrap_or(443);
        match if port == listening { listening } else { public } {
            443 => authority.host().to_owned(),
            port => format!("{}:{port}", authority.host()),
        }
    }

    /// Finds out who is asking; those who say it wrongly are refused like those who do not.
    pub(crate) async fn login(
        &self,
        parts: &Parts,
        site: &Site,
        correlation: &Correlation,
    ) -> Result<Login, OciFailure> {
        if matches!(self.listener, Listener::Http { .. }) && !self.faces.http_login {
            return Ok(Login::LOOPBACK);
        }
        let witness =
            || self.witness(site, (&parts.headers, &parts.extensions), "/v2/", correlation);
        let refuse = |error: LoginError| {
            witness().refused(kind_of_login(&error));
            error.into_failure(site.challenge.clone())
        };
        let shown = Shown::of(&parts.headers).map_err(refuse)?;
        // Who bears a token was seen when it was given out.
        let signs_in = matches!(shown, Shown::Basic(_));
        let login_server = self.faces.names.registry_host(&site.registry);
        let login = Login::of(&self.faces, &login_server, shown).await.map_err(refuse)?;
        if let (true, Some(principal)) = (signs_in, login.principal()) {
            let actor = (&Actor::new(principal, None), &*self.faces.directory);
            let registry = Some(site.resource());
            witness().saw(SIGN_IN, actor, registry, "basic").await;
        }
        Ok(login)
    }

    /// A witness of a request to a registry. Its address is told as far as it names nothing that
    /// the registry holds.
    pub(crate) fn witness(
        &self,
        site: &Site,
        of: (&HeaderMap, &Extensions),
        path: &str,
        correlation: &Correlation,
    ) -> Witness {
        let uri = format!("https://{}{path}", self.faces.names.registry_host(&site.registry));
        Witness::new(&self.faces.vaults.audit, &self.faces.clock, of, uri, correlation)
    }
}

impl Site {
    /// The registry, as the audit trail names it.
    pub(crate) fn resource(&self) -> String {
        format!("/registries/{}", self.registry)
    }
}

/// The host that the client wrote: in the target, as HTTP/2 does, or in the header.
fn authority(parts: &Parts) -> Result<Authority, OciFailure> {
    let bad = |message: &str| OciFailure::bad(ErrorCode::Unsupported, message);
    let text = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts
            .headers
            .get(header::HOST)
            .ok_or_else(|| bad("the request has no `Host` header"))?
            .to_str()
            .map_err(|_| bad("the request's `Host` header is not text"))?,
    };
    Authority::parse(text).map_err(|error| bad(&error.to_string()))
}

fn check_size(parts: &Parts) -> Result<(), OciFailure> {
    let url = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if url > URL_BYTES_MAX {
        let message = format!("an address has at most {URL_BYTES_MAX} bytes");
        return Err(OciFailure::new(StatusCode::URI_TOO_LONG, ErrorCode::SizeInvalid, message));
    }
    let headers: usize =
        parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > HEADER_BYTES_MAX {
        let message = format!("a request's headers have at most {HEADER_BYTES_MAX} bytes");
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(OciFailure::new(status, ErrorCode::SizeInvalid, message));
    }
    Ok(())
}

/// Refuses every host but the machine's own names for itself.
fn check_loopback(authority: &Authority, port: u16) -> Result<(), OciFailure> {
    // A host without a port means the usual one.
    if authority.is_loopback() && authority.port().unwrap_or(80) == port {
        return Ok(());
    }
    let message = format!(
        "this address is for this machine only, as `localhost:{port}`, `127.0.0.1:{port}` or \
         `[::1]:{port}`"
    );
    Err(misdirected(&message))
}

/// Refuses requests that a web page made a browser send.
fn refuse_browsers(headers: &HeaderMap) -> Result<(), OciFailure> {
    let browser = headers.contains_key(header::ORIGIN)
        || headers.keys().any(|name| name.as_str().starts_with("sec-fetch-"));
    if browser {
        let message = "this address is for registry clients, not for browsers";
        return Err(OciFailure::new(StatusCode::FORBIDDEN, ErrorCode::Denied, message));
    }
    Ok(())
}

fn misdirected(message: &str) -> OciFailure {
    OciFailure::new(StatusCode::MISDIRECTED_REQUEST, ErrorCode::Unsupported, message)
}

/// There is no registry of the name that the host says.
pub(crate) fn no_registry() -> OciFailure {
    let message = "there is no registry of this name here";
    OciFailure::new(StatusCode::NOT_FOUND, ErrorCode::NameUnknown, message)
}
