//! What becomes of the embedded vault by time and by others: a place for vaults that operators
//! made, the purge of what has no retention left, the rotation that policies ask for, and the word
//! that somebody's roles changed.
//!
//! Each round looks at what is, and may be cut off or run twice at any time. What it did is in the
//! audit trail like everything that is done with a key.

use std::{sync::Arc, time::Duration};

use lockyard_access::Directory;
use lockyard_audit::Operation;
use lockyard_base::{Clock, Timestamp, chain};
use lockyard_keyring::VaultAddress;
use lockyard_vault::{Purged, Rotations, Vault};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    failure::{OrFail as _, Outcome},
    instance::{Deed, Instance, OpenedVault, blocking_outcome, place_vaults},
};

/// How often it is looked what is due: rotation policies and retentions count in days.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Starts both jobs; they end after `stop`.
pub(crate) fn start(
    instance: &Instance,
    directory: &Arc<Directory>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let clock = Arc::clone(&instance.machine.clock);
    tasks.spawn(tend(instance.opened_vault(), Arc::clone(directory), clock, stop.clone()));
    // What changes from here on is heard, not only from the job's first turn.
    tasks.spawn(hear(directory.changes(), Arc::clone(&instance.vault), stop.clone()));
}

/// Does what is due, again and again.
async fn tend(
    opened: OpenedVault,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = round(&opened, &directory, clock.wall()).await {
            tracing::warn!(%error, "the vault was not tended");
        }
    }
}

/// Lets whoever relies on a role ask again as soon as the directory has changed.
async fn hear(mut changes: watch::Receiver<u64>, vault: Arc<Vault>, stop: CancellationToken) {
    let job = async {
        while changes.changed().await.is_ok() {
            vault.roles_changed();
        }
    };
    stop.run_until_cancelled(job).await;
}

/// Does what is due at `now`.
pub(crate) async fn round(
    opened: &OpenedVault,
    directory: &Arc<Directory>,
    now: Timestamp,
) -> Outcome {
    let (vault, keeper) = (Arc::clone(&opened.vault), Arc::clone(directory));
    let purged = blocking_outcome(move || {
        place_vaults(&keeper, &vault)?;
        vault.purge_due(now).or_fail()
    });
    let Purged { vaults, keys } = purged.await?;
    let client = "lockyard: the retention is over";
    for name in vaults {
        let id = name.to_string();
        let deed = Deed { operation: Operation::VAULT_PURGE, vault: Some(name), id, client };
        record(opened, deed, None).await;
    }
    for key in keys {
        record(opened, done(Operation::KEY_PURGE, &key.vault, &key, client), None).await;
    }

    let vault = Arc::clone(&opened.vault);
    let rotated = blocking_outcome(move || vault.rotate_due(now).or_fail());
    let Rotations { made, failed } = rotated.await?;
    let client = "lockyard: the rotation policy";
    for id in made {
        let deed = done(Operation::KEY_ROTATE_IF_DUE, &id.key.vault, &id, client);
        record(opened, deed, None).await;
    }
    for (key, error) in failed {
        let told = chain(&error).to_string();
        tracing::warn!(cause = told, "a key is due and was not rotated");
        let deed = done(Operation::KEY_ROTATE_IF_DUE, &key.vault, &key, client);
        record(opened, deed, Some(told)).await;
    }
    Ok(())
}

fn done(
    operation: Operation,
    vault: &VaultAddress,
    id: &impl ToString,
    client: &'static str,
) -> Deed {
    Deed { operation, vault: Some(vault.clone()), id: id.to_string(), client }
}

async fn record(opened: &OpenedVault, deed: Deed, failure: Option<String>) {
    if let Some(warning) = opened.record(deed, failure).await {
        tracing::warn!("{warning}");
    }
}
