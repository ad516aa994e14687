//! The CONNECT listener: a proxy that leads to our own HTTPS listener and nowhere else.
//!
//! With `HTTPS_PROXY` set to it, every client finds every one of our host names without DNS. It
//! resolves nothing: the target's name is compared with ours, and whatever it says, the tunnel ends
//! at one fixed address. Being reached through here gives a client no trust whatsoever.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn, upgrade::Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Names, host::Authority, limit::TUNNELS_MAX, serve::next_connection};

/// The longest head of a CONNECT request in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How long the head may take, and how long our own listener may take to answer.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// Buffer of each direction of a tunnel.
const COPY_BYTES: usize = 64 << 10;

/// What the CONNECT listener leads to.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect; must be a loopback address.
    pub listener: TcpListener,
    /// The address of our HTTPS listener.
    pub target: SocketAddr,
    /// Our own host names and the public port, which is the one that clients ask for.
    pub names: Names,
}

/// Serves tunnels until `stop`, then ends them all: their requests end with the HTTPS listener's.
pub async fn serve_proxy(proxy: Proxy, stop: CancellationToken) {
    let Proxy { listener, target, names } = proxy;
    let room = Arc::new(Semaphore::new(TUNNELS_MAX));
    let (tasks, names) = (TaskTracker::new(), Arc::new(names));
    while let Some((stream, permit)) = next_connection(&listener, &room, &stop).await {
        let (names, stop) = (Arc::clone(&names), stop.clone());
        let _task = tasks.spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = serve_one(stream, target, names) => {}
                () = stop.cancelled() => {}
            }
        });
    }
    let _closed = tasks.close();
    tasks.wait().await;
}

/// Serves one connection: a request for a tunnel, then the tunnel.
async fn serve_one(stream: TcpStream, target: SocketAddr, names: Arc<Names>) {
    let (to_tunnel, mut tunnel) = tokio::sync::mpsc::channel(1);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let answer = judge(&names, request.method(), request.uri().authority());
        if answer.is_ok() {
            let upgrade = hyper::upgrade::on(&mut request);
            // The channel holds one and a connection is upgraded once.
            let _sent = to_tunnel.try_send(upgrade);
        }
        async move { Ok::<_, Infallible>(answer.map_or_else(Refusal::render, |()| opened())) }
    });
    let mut builder = http1::Builder::new();
    let conversation = builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = conversation.await {
        tracing::debug!(%error, "a request for a tunnel ended badly");
        return;
    }
    let Some(upgrade) = tunnel.recv().await else { return };
    let carried = async { carry(upgrade.await.map_err(io::Error::other)?, target).await };
    if let Err(error) = carried.await {
        tracing::debug!(%error, "a tunnel ended badly");
    }
}

/// Why no tunnel is made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    message: String,
}

/// Decides whether a request gets its tunnel: CONNECT, to one of our own names, at our own port.
fn judge(
    names: &Names,
    method: &Method,
    target: Option<&http::uri::Authority>,
) -> Result<(), Refusal> {
    let refuse = |status, message: String| Err(Refusal { status, message });
    if *method != Method::CONNECT {
        let message = "this is a proxy for CONNECT requests only".to_owned();
        return refuse(StatusCode::METHOD_NOT_ALLOWED, message);
    }
    let authority = target.map(|target| Authority::parse(target.as_str()));
    let Some(Ok(authority)) = authority else {
        return refuse(StatusCode::BAD_REQUEST, "the target is not `host:port`".to_owned());
    };
    let port = names.public_port();
    if names.own(authority.host()).is_none() || authority.port() != Some(port) {
        let domain = names.domain();
        let message = format!(
            "this proxy leads to `*.cr.{domain}:{port}`, `*.vault.{domain}:{port}` and the other \
             names of this instance only"
        );
        return refuse(StatusCode::FORBIDDEN, message);
    }
    Ok(())
}

impl Refusal {
    fn render(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.message + "\n"));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
        let _none = headers.insert(header::CONTENT_TYPE, plain);
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            let allow = header::HeaderValue::from_static("CONNECT");
            let _none = headers.insert(header::ALLOW, allow);
        }
        response
    }
}

fn opened() -> Response<Body> {
    Response::new(Body::empty())
}

/// Carries bytes both ways until either side is done.
async fn carry(client: Upgraded, target: SocketAddr) -> io::Result<()> {
    let mut server = timeout(HEAD_TIME_MAX, TcpStream::connect(target)).await??;
    server.set_nodelay(true)?;
    let mut client = TokioIo::new(client);
    pump(&mut client, &mut server).await
}

async fn pump<A, B>(a: &mut A, b: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let _bytes = copy_bidirectional_with_sizes(a, b, COPY_BYTES, COPY_BYTES).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(method: Method, target: &str) -> Option<StatusCode> {
        let names = Names::new("yard.example", 8443);
        let target = target.parse().ok();
        judge(&names, &method, target.as_ref()).err().map(|refusal| refusal.status)
    }

    #[test]
    fn our_own_names_at_our_own_port_get_a_tunnel() {
        for host in ["lockyard.cr", "keys.vault", "management", "login", "graph", "portal", "blob"]
        {
            let target = format!("{host}.yard.example:8443");
            assert_eq!(status(Method::CONNECT, &target), None, "{target}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for target in [
            "lockyard.cr.yard.example:443",
            "lockyard.cr.yard.example",
            "yard.example:8443",
            "localhost:8443",
            "127.0.0.1:8443",
            "[::1]:8443",
            "example.org:8443",
            "lockyard.cr.yard.example.org:8443",
        ] {
            assert_eq!(status(Method::CONNECT, target), Some(StatusCode::FORBIDDEN), "{target}");
        }
        let target = "login.yard.example:8443";
        for method in [Method::GET, Method::POST, Method::OPTIONS] {
            assert_eq!(status(method, target), Some(StatusCode::METHOD_NOT_ALLOWED));
        }
        assert_eq!(status(Method::CONNECT, ""), Some(StatusCode::BAD_REQUEST));
    }

    proptest! {
        #[test]
        fn only_our_own_names_ever_pass(host in "[a-z0-9.:@\\[\\]-]{0,30}", port: u16) {
            let target = format!("{host}:{port}");
            if status(Method::CONNECT, &target).is_none() {
                prop_assert!(host.trim_end_matches('.').ends_with(".yard.example"));
                prop_assert_eq!(port, 8443);
            }
        }
    }
}
