//! What is seen of a request from outside: its correlation id, one log line, and counters.
//!
//! A line says method, route template, status, bytes and time. It never says a path, a query, a
//! header or a body, because those are a customer's content. It is written when the last byte of
//! the answer is out or the connection is gone, whichever comes first.

use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method};
use http_body::{Body as _, Frame, SizeHint};
use lockyard_base::{BootInstant, Clock, Entropy, IdHex, RowId};

use crate::metrics::Metrics;

/// The header that tells a client its request's correlation id.
pub const CORRELATION_HEADER: HeaderName = HeaderName::from_static("x-correlation-id");

/// The id under which a request is found in the log; random, always ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Correlation(IdHex);

/// Draws correlation ids, many at a time: each draw from the system is a call into it.
#[derive(Debug)]
pub(crate) struct Correlations {
    entropy: Arc<dyn Entropy>,
    ahead: Mutex<Vec<RowId>>,
}

/// How many ids are drawn at once.
const DRAWN_AT_ONCE: usize = 256;

impl Correlations {
    pub(crate) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, ahead: Mutex::default() }
    }

    fn next(&self) -> Correlation {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if ahead.is_empty() {
            let mut bytes = vec![0; DRAWN_AT_ONCE * 16];
            self.entropy.fill(&mut bytes);
            let (ids, _) = bytes.as_chunks::<16>();
            ahead.extend(ids.iter().map(|id| RowId::from_bytes(*id)));
        }
        let id = ahead.pop().unwrap_or_else(|| RowId::random(&*self.entropy));
        Correlation(id.hex())
    }
}

impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// The route template of an answer, carried in its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteTemplate(pub(crate) &'static str);

/// One request under way.
pub(crate) struct Watch {
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    correlation: Correlation,
    method: &'static str,
    started: BootInstant,
    received: Arc<AtomicU64>,
}

impl Watch {
    /// Begins to watch a request.
    pub(crate) fn start(
        clock: &Arc<dyn Clock>,
        correlations: &Correlations,
        metrics: &Metrics,
        method: &Method,
        received: Arc<AtomicU64>,
    ) -> Self {
        Self {
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
            correlation: correlations.next(),
            method: known(method),
            started: clock.boot(),
            received,
        }
    }

    /// The request's correlation id.
    pub(crate) fn correlation(&self) -> &Correlation {
        &self.correlation
    }

    /// Marks the answer with the correlation id and watches its body to its end.
    pub(crate) fn finish(self, mut response: Response) -> Response {
        let route = response.extensions().get::<RouteTemplate>().map_or("other", |route| route.0);
        let status = response.status().as_u16();
        if let Ok(value) = HeaderValue::from_bytes(self.correlation.0.as_bytes()) {
            let _none = response.headers_mut().insert(CORRELATION_HEADER, value);
        }
        response.map(|body| {
            let whole = body.is_end_stream() || self.method == "HEAD";
            let expected = body.size_hint().exact();
            Body::new(Watched { watch: self, route, status, body, sent: 0, expected, whole })
        })
    }
}

/// Methods by name; others are the client's own words and stay out of the log.
fn known(method: &Method) -> &'static str {
    [
        ("GET", Method::GET),
        ("HEAD", Method::HEAD),
        ("POST", Method::POST),
        ("PUT", Method::PUT),
        ("PATCH", Method::PATCH),
        ("DELETE", Method::DELETE),
        ("OPTIONS", Method::OPTIONS),
    ]
    .into_iter()
    .find_map(|(name, known)| (*method == known).then_some(name))
    .unwrap_or("other")
}

/// An answer's body, counted; dropping it ends the request.
struct Watched {
    watch: Watch,
    route: &'static str,
    status: u16,
    body: Body,
    sent: u64,
    expected: Option<u64>,
    whole: bool,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.sent += bytes;
                // Whoever sends a body of known length does not ask what comes after it.
                self.whole |= self.expected == Some(self.sent);
            }
            Poll::Ready(None) => self.whole = true,
            Poll::Ready(Some(Err(error))) => {
                let correlation = &self.watch.correlation;
                tracing::warn!(%correlation, cause = %lockyard_base::chain(error), "an answer was cut");
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Self { watch, route, status, sent, whole, .. } = self;
        let received = watch.received.load(Ordering::Relaxed);
        let took = watch.clock.boot().since(watch.started);
        watch.metrics.answered(watch.method, route, *status, received, *sent);
        tracing::info!(
            target: "lockyard::access",
            method = watch.method,
            route,
            status,
            received,
            sent,
            whole,
            micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            correlation = %watch.correlation,
            "answered"
        );
    }
}
