//! Serves a router on a listener: accepts, shakes hands, and ends connections in four ways.
//!
//! A connection ends when its client is done, when it has lain still too long, when its registry
//! is locked, or when the process stops. The last three happen here and not in a handler, because
//! a client that does not read keeps its handler waiting for ever.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::Request;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

use crate::{
    Connection, Metrics,
    connection::Socket,
    limit::{
        CONNECTIONS_MAX, HANDSHAKE_TIME_MAX, HEADER_BYTES_MAX, HEADER_TIME_MAX, HEADERS_MAX,
        SHUTDOWN_TIME_MAX, STILL_TIME_MAX, STREAMS_MAX,
    },
};

/// How long to wait when the process has no descriptor left for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How much may be in flight on one HTTP/2 stream towards us, and on all of a connection.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// Largest HTTP/2 frame we take; fewer, larger frames cost less per byte.
const FRAME_BYTES_MAX: u32 = 256 << 10;
/// Largest piece that an HTTP/2 stream buffers towards the client.
const SEND_BUFFER_BYTES: usize = 1 << 20;

/// What is served on one listener.
pub struct Served {
    /// Where connections come from.
    pub listener: TcpListener,
    /// How they are encrypted; `None` for plain HTTP.
    pub tls: Option<TlsAcceptor>,
    /// Who answers.
    pub router: Router,
    /// Counts connections.
    pub metrics: Metrics,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// A connection of this process that came by another listener, as if it had come by this one.
#[derive(Debug)]
pub struct Led {
    pub(crate) stream: TcpStream,
    /// What was read of it already.
    pub(crate) ahead: Bytes,
    /// Its place among the open ones.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// Serves until `stop`; then takes no more connections and gives open requests some time to end.
pub async fn serve(served: Served, stop: CancellationToken) {
    let (_nobody, led) = mpsc::channel(1);
    serve_led(served, led, stop).await;
}

/// Does what [`serve`] does, for connections too that others lead here.
///
/// A connection that is handed over keeps the address that it comes from, which no header says.
pub async fn serve_led(served: Served, mut led: mpsc::Receiver<Led>, stop: CancellationToken) {
    let Served { listener, tls, router, metrics } = served;
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (tasks, abort) = (TaskTracker::new(), CancellationToken::new());
    let server = Arc::new(Server { tls, router, metrics, stop: stop.clone(), abort });
    loop {
        let next = tokio::select! {
            biased;
            accepted = next_connection(&listener, &room, &stop) => {
                accepted.map(|(stream, permit)| Led { stream, ahead: Bytes::new(), permit })
            }
            Some(led) = led.recv() => Some(led),
        };
        let Some(Led { stream, ahead, permit }) = next else { break };
        let server = Arc::clone(&server);
        let _task = tasks.spawn(async move {
            let _permit = permit;
            let abort = server.abort.clone();
            tokio::select! {
                () = server.connected(stream, ahead) => {}
                () = abort.cancelled() => {}
            }
        });
    }
    drop(listener);
    let _closed = tasks.close();
    if timeout(SHUTDOWN_TIME_MAX, tasks.wait()).await.is_err() {
        tracing::warn!(connections = tasks.len(), "cutting connections that did not end in time");
        server.abort.cancel();
        tasks.wait().await;
    }
}

/// The next connection and its place among the open ones; `None` once `stop` fires.
pub(crate) async fn next_connection(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let accepting = async {
        let permit = Arc::clone(room).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, permit)),
                Err(error) => {
                    // Most are the client's; running out of descriptors would spin without a pause.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        accepted = accepting => accepted,
    }
}

struct Server {
    tls: Option<TlsAcceptor>,
    router: Router,
    metrics: Metrics,
    stop: CancellationToken,
    /// Fires when waiting for open requests has come to its end.
    abort: CancellationToken,
}

impl Server {
    async fn connected(&self, stream: TcpStream, ahead: Bytes) {
        let _counted = self.metrics.connected();
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps waiting for full packets");
        }
        let peer = stream.peer_addr().ok().map(|address| address.ip());
        let connection = Connection::from_peer(peer);
        let socket = Socket::new(stream, ahead, connection.clone());
        match &self.tls {
            None => self.converse(socket, connection).await,
            Some(tls) => match timeout(HANDSHAKE_TIME_MAX, tls.accept(socket)).await {
                Ok(Ok(stream)) => self.converse(stream, connection).await,
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_elapsed) => tracing::debug!("a TLS handshake took too long"),
            },
        }
    }

    async fn converse<S>(&self, stream: S, connection: Connection)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (router, of) = (self.router.clone(), connection.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let _none = request.extensions_mut().insert(of.clone());
            router.clone().oneshot(request.map(Body::new))
        });
        let builder = builder();
        let mut conversation = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                () = connection.revoked() => {
                    self.metrics.cut();
                    tracing::info!("a connection was cut: its registry was locked");
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    conversation.as_mut().graceful_shutdown();
                }
                ended = conversation.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a connection ended badly");
                    }
                    return;
                }
                () = still(&connection) => {
                    tracing::debug!("a connection lay still too long");
                    return;
                }
            }
        }
    }
}

/// Waits until nothing has moved on the connection for as long as is allowed.
async fn still(connection: &Connection) {
    loop {
        sleep(STILL_TIME_MAX / 2).await;
        if connection.has_moved() {
            continue;
        }
        sleep(STILL_TIME_MAX / 2).await;
        if !connection.has_moved() {
            return;
        }
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let _ = builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME_MAX)
        .max_headers(HEADERS_MAX)
        .half_close(false);
    let _ = builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIME_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    builder
}

/// Binds a listener that must be reachable from this machine only.
pub async fn bind_loopback(address: SocketAddr) -> io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        let message =
            format!("`{address}` can be reached from other machines; use a loopback address");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    TcpListener::bind(address).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_full_house_takes_the_next_connection_when_one_leaves() {
        let listener = bind_loopback("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (room, stop) = (Arc::new(Semaphore::new(1)), CancellationToken::new());
        let address = listener.local_addr().unwrap();
        let _clients = [TcpStream::connect(address).await, TcpStream::connect(address).await];
        let first = next_connection(&listener, &room, &stop).await.unwrap();
        assert!(next_connection(&listener, &room, &stop).now_or_never().is_none());
        drop(first);
        let second = next_connection(&listener, &room, &stop).await;
        assert!(second.is_some());
        stop.cancel();
        assert!(next_connection(&listener, &room, &stop).await.is_none());
    }
}
