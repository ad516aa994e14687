//! What runs beside requests: the keyring's watch over vaults, and the sweep.
//!
//! Jobs take no input: each looks at what is, and may be cut off or run twice at any time. The
//! store moves its log into the database by itself whenever it is idle.

use std::{sync::Arc, time::Duration};

use lockyard_base::chain;
use lockyard_registry::Registries;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::instance::Instance;

/// How often expired uploads and dead parts are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Starts all jobs; they end after `stop`.
pub(crate) fn start(instance: &Instance, tasks: &TaskTracker, stop: &CancellationToken) {
    tasks.spawn(Arc::clone(&instance.keyring).run(stop.clone()));
    tasks.spawn(sweep(Arc::clone(&instance.registries), stop.clone()));
}

async fn sweep(registries: Arc<Registries>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match registries.sweep().await {
            Ok(report) => tracing::debug!(?report, "swept"),
            Err(error) => tracing::warn!(cause = %chain(&error), "the sweep failed"),
        }
    }
}
