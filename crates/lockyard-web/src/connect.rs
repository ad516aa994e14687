//! The CONNECT listener: a proxy that leads to our own HTTPS listener and nowhere else.
//!
//! With `HTTPS_PROXY` set to it, every client finds every one of our host names without DNS. It
//! resolves nothing and connects to nothing: the target's name is compared with ours, and whatever
//! it says, the connection is handed to our HTTPS listener as it is, with the address that it comes
//! from. Being reached through here gives a client no trust whatsoever.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::body::Body;
use http::{Method, Request, Response, StatusCode, header};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::service_fn,
    upgrade::{Parts, Upgraded},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Names,
    host::Authority,
    limit::TUNNELS_MAX,
    serve::{Led, next_connection},
};

/// The longest head of a CONNECT request in bytes.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How long the head may take.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);

/// What the CONNECT listener leads to.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect; must be a loopback address.
    pub listener: TcpListener,
    /// Our HTTPS listener.
    pub target: mpsc::Sender<Led>,
    /// Our own host names and the public port, which is the one that clients ask for.
    pub names: Names,
}

/// Opens tunnels until `stop`. Those that are open are the HTTPS listener's.
pub async fn serve_proxy(proxy: Proxy, stop: CancellationToken) {
    let Proxy { listener, target, names } = proxy;
    let room = Arc::new(Semaphore::new(TUNNELS_MAX));
    let (tasks, names) = (TaskTracker::new(), Arc::new(names));
    while let Some((stream, permit)) = next_connection(&listener, &room, &stop).await {
        let (names, target, stop) = (Arc::clone(&names), target.clone(), stop.clone());
        let _task = tasks.spawn(async move {
            tokio::select! {
                () = serve_one(stream, permit, target, names) => {}
                () = stop.cancelled() => {}
            }
        });
    }
    let _closed = tasks.close();
    tasks.wait().await;
}

/// Serves one connection: a request for a tunnel, then whoever the tunnel leads to.
async fn serve_one(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    target: mpsc::Sender<Led>,
    names: Arc<Names>,
) {
    let (to_tunnel, mut tunnel) = mpsc::channel(1);
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
    match upgrade.await.map(Upgraded::downcast::<TokioIo<TcpStream>>) {
        Ok(Ok(Parts { io, read_buf, .. })) => {
            let led = Led { stream: io.into_inner(), ahead: read_buf, permit };
            if target.send(led).await.is_err() {
                tracing::debug!("a tunnel leads to a listener that has stopped");
            }
        }
        // What comes back is what was served, so that it is always a socket.
        Ok(Err(_)) => tracing::debug!("a tunnel is no socket"),
        Err(error) => tracing::debug!(%error, "a tunnel ended badly"),
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
