//! One connection: which host it serves, and the word on which it is cut.
//!
//! When a registry is locked, whoever still downloads from it must be cut although they may not be
//! reading. So the cut does not go through their bodies: the connection as a whole is dropped, and
//! its socket refuses every further byte from the moment the word is given. That is fair only if a
//! connection serves one registry, hence one host.

use std::{
    future::pending,
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
};
use tokio_util::sync::CancellationToken;

/// A connection as its requests and its task share it.
#[derive(Clone, Debug)]
pub struct Connection(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The address at its other end, unless that is not known any more.
    peer: Option<IpAddr>,
    /// The host of the first request; all others must be for the same.
    host: Mutex<Option<String>>,
    /// Fires when the registry that is served gets locked.
    revoked: watch::Sender<CancellationToken>,
    /// Fires if a word of locking came and was about to be forgotten.
    missed: CancellationToken,
    /// Whether anything was read or written since somebody last looked.
    moved: AtomicBool,
}

impl Default for Connection {
    fn default() -> Self {
        Self::new()
    }
}

impl Connection {
    /// A connection that serves nobody yet.
    pub fn new() -> Self {
        Self::from_peer(None)
    }

    /// A connection from this address that serves nobody yet.
    pub fn from_peer(peer: Option<IpAddr>) -> Self {
        let (revoked, _) = watch::channel(CancellationToken::new());
        Self(Arc::new(Shared {
            peer,
            host: Mutex::new(None),
            revoked,
            missed: CancellationToken::new(),
            moved: AtomicBool::new(true),
        }))
    }

    /// The address that it comes from. Headers that claim another one are nobody's word.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.0.peer
    }

    /// Whether a request for `host` may be served here; the first one decides.
    pub(crate) fn serves(&self, host: &str) -> bool {
        let mut bound = self.0.host.lock().unwrap_or_else(PoisonError::into_inner);
        bound.get_or_insert_with(|| host.to_owned()) == host
    }

    /// From now on the connection is cut when `token` fires.
    pub(crate) fn bind_revocation(&self, token: &CancellationToken) {
        // Nearly always it is the one that is bound already, and binding wakes the connection.
        if *self.0.revoked.borrow() == *token {
            return;
        }
        let before = self.0.revoked.send_replace(token.clone());
        // Requests that began before an unlock may still run beside those that began after it.
        if before.is_cancelled() {
            self.0.missed.cancel();
        }
    }

    /// Waits until the connection must be cut.
    pub(crate) async fn revoked(&self) {
        let mut tokens = self.0.revoked.subscribe();
        loop {
            let token = tokens.borrow_and_update().clone();
            tokio::select! {
                biased;
                () = token.cancelled() => return,
                () = self.0.missed.cancelled() => return,
                changed = tokens.changed() => if changed.is_err() { return pending().await },
            }
        }
    }

    fn is_revoked(&self) -> bool {
        self.0.missed.is_cancelled() || self.0.revoked.borrow().is_cancelled()
    }

    /// Whether anything moved since this was last asked.
    pub(crate) fn has_moved(&self) -> bool {
        self.0.moved.swap(false, Ordering::Relaxed)
    }
}

/// A connection's socket, which carries no byte after the word of locking.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: TcpStream,
    /// What somebody read of the stream already, to be read first.
    ahead: Bytes,
    connection: Connection,
}

impl Socket {
    pub(crate) fn new(stream: TcpStream, ahead: Bytes, connection: Connection) -> Self {
        Self { stream, ahead, connection }
    }

    fn guard<T>(
        mut self: Pin<&mut Self>,
        write: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.connection.is_revoked() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let written = write(Pin::new(&mut self.stream));
        if written.is_ready() {
            self.connection.0.moved.store(true, Ordering::Relaxed);
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let fits = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(fits));
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if read.is_ready() {
            self.connection.0.moved.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.guard(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.guard(|stream| stream.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Reset instead of goodbye: what the kernel has not sent yet is thrown away, and a client
        // cannot take a cut answer for a whole one.
        if self.connection.is_revoked()
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "a cut connection could not be reset");
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn is_cut(connection: &Connection) -> bool {
        connection.revoked().now_or_never().is_some()
    }

    #[test]
    fn a_connection_is_cut_when_its_registry_is_locked() {
        let connection = Connection::new();
        assert!(!is_cut(&connection));
        let token = CancellationToken::new();
        connection.bind_revocation(&token);
        assert!(!is_cut(&connection));
        token.cancel();
        assert!(connection.is_revoked());
        assert!(is_cut(&connection));
    }

    #[test]
    fn a_word_of_locking_is_not_lost_when_the_registry_is_unlocked_again() {
        let connection = Connection::new();
        let before = CancellationToken::new();
        connection.bind_revocation(&before);
        before.cancel();
        connection.bind_revocation(&CancellationToken::new());
        assert!(connection.is_revoked());
        assert!(is_cut(&connection));
    }

    #[tokio::test]
    async fn a_waiting_task_learns_of_a_token_that_was_bound_later() {
        let connection = Connection::new();
        let (token, waiting) = (CancellationToken::new(), connection.clone());
        let cut = tokio::spawn(async move { waiting.revoked().await });
        tokio::task::yield_now().await;
        connection.bind_revocation(&token);
        tokio::task::yield_now().await;
        token.cancel();
        cut.await.unwrap();
    }

    #[test]
    fn the_first_host_is_the_only_one() {
        let connection = Connection::new();
        assert!(connection.serves("a:1"));
        assert!(connection.serves("a:1"));
        assert!(!connection.serves("b:1"));
    }
}
