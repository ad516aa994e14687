//! Reads on a little when a request is refused before its body was read.
//!
//! Many clients look for the answer only when everything is sent. If we closed on them they would
//! report a broken connection instead of our reason, so a refused body is read and thrown away,
//! up to a limit of bytes and time, before the answer goes out.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::{body::Body, extract::Request};
use bytes::Bytes;
use http::{StatusCode, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;

use crate::limit::{LINGER_BYTES_MAX, LINGER_TIME_MAX};

/// A request's body, lent to whoever answers; what they leave comes back.
#[derive(Debug)]
pub(crate) struct Loan {
    shared: Arc<Shared>,
    received: Arc<AtomicU64>,
    /// The client waits for a word before it sends; reading would give that word.
    asks_first: bool,
}

#[derive(Debug, Default)]
struct Shared {
    left: Mutex<Option<Body>>,
    touched: AtomicBool,
}

impl Loan {
    /// Lends out the request's body.
    pub(crate) fn of(request: Request) -> (Request, Self) {
        let shared = Arc::new(Shared::default());
        let received = Arc::new(AtomicU64::new(0));
        let asks_first = request.headers().contains_key(header::EXPECT);
        let loan =
            Self { shared: Arc::clone(&shared), received: Arc::clone(&received), asks_first };
        if request.body().is_end_stream() {
            return (request, loan);
        }
        let request = request.map(|body| Body::new(Lent { body: Some(body), shared, received }));
        (request, loan)
    }

    /// The counter of the body's bytes.
    pub(crate) fn received(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.received)
    }

    /// If the answer refuses, reads what is left of the body, within the limits.
    pub(crate) async fn settle(self, status: StatusCode) {
        let left = self.shared.left.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = left else { return };
        let refused = status.is_client_error() || status.is_server_error();
        let touched = self.shared.touched.load(Ordering::Relaxed);
        if !refused || (self.asks_first && !touched) {
            return;
        }
        let reading = async {
            let mut read = 0;
            while let Some(Ok(frame)) = body.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len);
                if read >= LINGER_BYTES_MAX {
                    break;
                }
            }
        };
        // Whether it ended or the time did, the answer goes out now.
        let _in_time = tokio::time::timeout(LINGER_TIME_MAX, reading).await;
    }
}

/// The lent body: counts what is read, and goes back when dropped unless it has ended.
#[derive(Debug)]
struct Lent {
    body: Option<Body>,
    shared: Arc<Shared>,
    received: Arc<AtomicU64>,
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.shared.touched.store(true, Ordering::Relaxed);
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                let _before = self.received.fetch_add(bytes, Ordering::Relaxed);
            }
            Poll::Ready(None | Some(Err(_))) => self.body = None,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| !body.is_end_stream());
        *self.shared.left.lock().unwrap_or_else(PoisonError::into_inner) = left;
    }
}
