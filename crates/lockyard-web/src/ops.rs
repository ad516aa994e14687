//! The operator's face: is it alive, can it work, and what has it done.
//!
//! It has a listener of its own on a loopback address, because it wants no login. It says nothing
//! that a customer put in: registries appear by their ids.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{StatusCode, header};
use lockyard_base::chain;
use lockyard_keyring::{Keyring, Standing};
use lockyard_registry::Registries;
use tokio_util::sync::CancellationToken;

use crate::Metrics;

/// What the operator's face looks at.
#[derive(Clone, Debug)]
pub struct Ops {
    /// The registries, whose storage must answer.
    pub registries: Arc<Registries>,
    /// How they stand.
    pub keyring: Arc<Keyring>,
    /// What was counted.
    pub metrics: Metrics,
    /// Fires when the process is about to end.
    pub stop: CancellationToken,
}

impl Ops {
    /// The face itself.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(Arc::new(self))
    }
}

/// Whether requests should be sent here. A locked registry is its customer's will and no reason
/// to send its clients elsewhere; it is listed, so that nobody has to guess.
async fn ready(State(ops): State<Arc<Ops>>) -> Response {
    let mut text = String::new();
    let mut status = StatusCode::OK;
    if ops.stop.is_cancelled() {
        status = StatusCode::SERVICE_UNAVAILABLE;
        text.push_str("stopping\n");
    }
    if let Err(error) = ops.registries.list().await {
        tracing::warn!(cause = %chain(&error), "the storage does not answer");
        status = StatusCode::SERVICE_UNAVAILABLE;
        text.push_str("the storage does not answer, the log says why\n");
    }
    if status == StatusCode::OK {
        text.push_str("ready\n");
    }
    for id in ops.keyring.registries() {
        let standing = match ops.keyring.standing(id) {
            Some(Standing::Unlocked) => "unlocked",
            Some(Standing::Degraded) => "degraded",
            Some(Standing::Locked(_)) | None => "locked",
        };
        // Writing to a string cannot fail.
        let _written = writeln!(text, "registry {id} {standing}");
    }
    (status, text).into_response()
}

async fn metrics(State(ops): State<Arc<Ops>>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], ops.metrics.text(&ops.keyring)).into_response()
}
