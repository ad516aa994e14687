//! One request to one foreign server: a fresh connection, a bounded answer, nothing kept.
//!
//! No pool of connections: requests that leave are rare, and a connection that is kept is one
//! whose address was checked long ago.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
    uri::{PathAndQuery, Scheme},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, crypto::aws_lc_rs};
use rustls_pki_types::ServerName;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{Policy, Resolve, Roots, SystemResolver};

/// The most requests under way at once; further ones are refused, not queued.
///
/// Strangers can make us ask, so what that may cost has an end.
pub const REQUESTS_AT_ONCE_MAX: usize = 16;

/// The most bytes of an answer's headers.
const HEADER_BYTES_MAX: usize = 16 << 10;
/// The most headers of an answer.
const HEADERS_MAX: usize = 64;
/// The most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// What one request may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of the answer's body.
    pub body_bytes_max: usize,
    /// How long everything may take, from the name to the last byte.
    pub time_max: Duration,
}

/// What a foreign server answered. Its bytes are never shown by `Debug`.
#[derive(Clone)]
pub struct Answer {
    /// The status; never a redirect.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

/// A request did not get an answer. Says nothing that the foreign server said.
#[derive(Debug, Error)]
pub enum EgressError {
    /// The URL is not one that can be asked.
    #[error("this is no absolute URL of a server")]
    Url,
    /// The URL has no TLS, and the operator does not allow that for this host.
    #[error("only https is asked; the operator can allow this host without it")]
    Plain,
    /// The host has an address that is not public, and the operator does not allow it.
    #[error("the host has an address that is not public; the operator can allow it")]
    NotPublic,
    /// The name has no address.
    #[error("the host's name cannot be resolved")]
    Resolve(#[source] io::Error),
    /// No connection came about.
    #[error("the host cannot be reached")]
    Connect(#[source] io::Error),
    /// The TLS handshake failed.
    #[error("the host's certificate or its TLS is not accepted")]
    Tls(#[source] io::Error),
    /// What came back was no HTTP, or ended too early.
    #[error("the host did not answer as HTTP does")]
    Http,
    /// The answer points elsewhere.
    #[error("the host answered with a redirect, which is not followed")]
    Redirected,
    /// The answer is compressed, though nothing of the kind was asked for.
    #[error("the host's answer is encoded in a way that was not asked for")]
    Encoded,
    /// The answer is longer than allowed.
    #[error("the host's answer is longer than {0} bytes")]
    TooLong(usize),
    /// It took too long.
    #[error("the host did not answer within {} s", .0.as_secs_f32())]
    TooSlow(Duration),
    /// Too many requests are under way.
    #[error("{REQUESTS_AT_ONCE_MAX} requests to other servers are under way, try again")]
    Busy,
}

/// The one client for servers that are not ours.
pub struct Egress {
    policy: Policy,
    resolver: Arc<dyn Resolve>,
    roots: Roots,
    tls: OnceLock<Option<Arc<ClientConfig>>>,
    room: Semaphore,
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Egress {
    /// A client under this policy that asks the machine's resolver.
    pub fn new(policy: Policy, roots: Roots) -> Self {
        Self::with_resolver(policy, roots, Arc::new(SystemResolver))
    }

    /// A client that asks this resolver.
    pub fn with_resolver(policy: Policy, roots: Roots, resolver: Arc<dyn Resolve>) -> Self {
        let room = Semaphore::new(REQUESTS_AT_ONCE_MAX);
        Self { policy, resolver, roots, tls: OnceLock::new(), room }
    }

    /// Whether a URL is one that may be asked as far as its text says; its addresses are looked at
    /// when it is.
    pub fn check(&self, url: &str) -> Result<(), EgressError> {
        self.target(url).map(drop)
    }

    /// Gets a URL.
    pub async fn get(
        &self,
        url: &str,
        accept: &'static str,
        limits: Limits,
    ) -> Result<Answer, EgressError> {
        let mut request = Request::new(Full::default());
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
        self.send(url, request, limits).await
    }

    /// Posts a body with these headers, its type among them.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        limits: Limits,
    ) -> Result<Answer, EgressError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = headers;
        self.send(url, request, limits).await
    }

    async fn send(
        &self,
        url: &str,
        request: Request<Full<Bytes>>,
        limits: Limits,
    ) -> Result<Answer, EgressError> {
        let target = self.target(url)?;
        let _permit = self.room.try_acquire().map_err(|_| EgressError::Busy)?;
        let asking = self.ask(&target, request, limits.body_bytes_max);
        match timeout(limits.time_max, Box::pin(asking)).await {
            Ok(answered) => answered,
            Err(_elapsed) => Err(EgressError::TooSlow(limits.time_max)),
        }
    }

    /// Reads a URL and refuses what its text alone forbids.
    fn target(&self, url: &str) -> Result<Target, EgressError> {
        let uri: Uri = url.parse().map_err(|_| EgressError::Url)?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(EgressError::Url),
        };
        let authority = uri.authority().ok_or(EgressError::Url)?;
        let host = authority.host();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(EgressError::Url);
        }
        let has_port = authority.as_str().len() > host.len();
        let port = match authority.port_u16() {
            Some(port) => port,
            None if has_port => return Err(EgressError::Url),
            None if tls => 443,
            None => 80,
        };
        if !tls && !self.policy.allows_plain(host, port) {
            return Err(EgressError::Plain);
        }
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        let header = HeaderValue::from_str(authority.as_str()).map_err(|_| EgressError::Url)?;
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = literal.unwrap_or(host).to_owned();
        Ok(Target { host, port, tls, path, header })
    }

    async fn ask(
        &self,
        target: &Target,
        request: Request<Full<Bytes>>,
        body_bytes_max: usize,
    ) -> Result<Answer, EgressError> {
        let addresses = self.addresses(target).await?;
        let stream = connect(&addresses).await?;
        if target.tls {
            let name = ServerName::try_from(target.host.clone()).map_err(|_| EgressError::Url)?;
            let connector = TlsConnector::from(self.tls()?);
            let stream = connector.connect(name, stream).await.map_err(EgressError::Tls)?;
            exchange(stream, target, request, body_bytes_max).await
        } else {
            exchange(stream, target, request, body_bytes_max).await
        }
    }

    /// Resolves once; every address must be one that may be asked.
    ///
    /// A name that answers with an inner address among others is refused as a whole: nobody who
    /// means well mixes them, and which one is taken would be chance.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, EgressError> {
        let Target { host, port, .. } = target;
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.resolver.resolve(host).await.map_err(EgressError::Resolve)?,
        };
        if found.is_empty() {
            return Err(EgressError::Resolve(io::ErrorKind::NotFound.into()));
        }
        if found.iter().any(|address| !self.policy.allows(host, *port, *address)) {
            return Err(EgressError::NotPublic);
        }
        let pinned = found.into_iter().take(ADDRESSES_MAX);
        Ok(pinned.map(|address| SocketAddr::new(address, *port)).collect())
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, EgressError> {
        let config = self.tls.get_or_init(|| {
            let provider = Arc::new(aws_lc_rs::default_provider());
            let builder = ClientConfig::builder_with_provider(provider);
            let builder = builder.with_safe_default_protocol_versions().ok()?;
            let roots = Arc::new(self.roots.gather());
            Some(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
        });
        config.clone().ok_or_else(|| EgressError::Tls(io::ErrorKind::Unsupported.into()))
    }
}

/// A URL that may be asked.
struct Target {
    /// A name, or an address without brackets.
    host: String,
    port: u16,
    tls: bool,
    path: PathAndQuery,
    /// What goes into `Host`.
    header: HeaderValue,
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, EgressError> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(EgressError::Connect(last))
}

/// Sends the request and reads the answer; the connection ends with it.
async fn exchange<S>(
    stream: S,
    target: &Target,
    mut request: Request<Full<Bytes>>,
    body_bytes_max: usize,
) -> Result<Answer, EgressError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEADER_BYTES_MAX).max_headers(HEADERS_MAX);
    let handshake = builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|_| EgressError::Http)?;
    *request.uri_mut() = Uri::from(target.path.clone());
    for (name, value) in [
        (header::HOST, target.header.clone()),
        (header::ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        (header::CONNECTION, HeaderValue::from_static("close")),
        (header::USER_AGENT, HeaderValue::from_static("lockyard")),
    ] {
        let _before = request.headers_mut().insert(name, value);
    }
    let answering = async {
        let response = sender.send_request(request).await.map_err(|_| EgressError::Http)?;
        answer(response, body_bytes_max).await
    };
    // The connection is driven here and not in a task of its own: dropping this drops all of it.
    tokio::pin!(answering, connection);
    tokio::select! {
        biased;
        answer = &mut answering => answer,
        ended = &mut connection => match ended {
            // What has arrived can still be read.
            Ok(()) => answering.await,
            Err(_) => Err(EgressError::Http),
        },
    }
}

async fn answer(response: Response<Incoming>, max: usize) -> Result<Answer, EgressError> {
    let (parts, mut incoming) = response.into_parts();
    if parts.status.is_redirection() {
        return Err(EgressError::Redirected);
    }
    let encoded = parts.headers.get(header::CONTENT_ENCODING);
    if encoded.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(EgressError::Encoded);
    }
    let promised = hyper::body::Body::size_hint(&incoming).lower();
    if usize::try_from(promised).is_ok_and(|promised| promised > max) {
        return Err(EgressError::TooLong(max));
    }
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| EgressError::Http)?;
        let Ok(data) = frame.into_data() else { continue };
        if body.len() + data.len() > max {
            return Err(EgressError::TooLong(max));
        }
        body.extend_from_slice(&data);
    }
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.freeze() })
}
