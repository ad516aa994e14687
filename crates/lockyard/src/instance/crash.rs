//! After a crash: a look at the whole database, beside the work (decision 0004).

use lockyard_base::chain;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Instance;

/// Reads the whole database once, while everything goes on; ends after `stop`.
///
/// What it finds is told and nothing is stopped for it: no row is served that does not open.
pub(crate) fn check_after_crash(
    instance: &Instance,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let (store, stop) = (instance.store.clone(), stop.clone());
    tasks.spawn(async move {
        let checking = tokio::task::spawn_blocking(move || store.check());
        // One that is cut off ends when the store is closed.
        let Some(checked) = stop.run_until_cancelled(checking).await else { return };
        match checked {
            Ok(Ok(())) => tracing::info!("the last server was killed; its database is sound"),
            Ok(Err(error)) => tracing::error!(
                cause = %chain(&error),
                "the last server was killed and the database is damaged: stop the server and \
                 restore a backup, or run `lockyard scrub` to see what is left"
            ),
            Err(error) => tracing::warn!(%error, "the database could not be checked"),
        }
    });
}
