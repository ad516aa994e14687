//! What runs beside requests: the keyring's watch over vaults, the sweep, the collection and the
//! compaction.
//!
//! Jobs take no input: each looks at what is, and may be cut off or run twice at any time. The
//! store moves its log into the database by itself whenever it is idle.

use std::{sync::Arc, time::Duration};

use lockyard_access::{Issuer, Records, registry_token::RegistryTokens};
use lockyard_audit::AuditLog;
use lockyard_base::chain;
use lockyard_registry::{CollectMode, CollectReport, CompactReport, Registries};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::instance::Instance;

/// How often expired uploads and dead parts are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How often the audit trail is tended: counts, checkpoints, retention.
const TRAIL_EVERY: Duration = Duration::from_secs(5);

/// How often garbage is collected, and scattered blobs are compacted after that.
const COLLECT_EVERY: Duration = Duration::from_secs(60 * 60);
/// When it is collected first: a start has other things to do, and clients come back.
const COLLECT_FIRST: Duration = Duration::from_secs(10 * 60);

/// How often expired records are deleted.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// How often the issuer looks whether it needs its next key.
const TEND_EVERY: Duration = Duration::from_secs(60 * 60);

/// Starts all jobs; they end after `stop`.
pub(crate) fn start(
    instance: &Instance,
    (issuer, tokens): (&Arc<Issuer>, &Arc<RegistryTokens>),
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    tasks.spawn(Arc::clone(&instance.keyring).run(stop.clone()));
    tasks.spawn(keep_trail(Arc::clone(&instance.audit), stop.clone()));
    tasks.spawn(sweep(Arc::clone(&instance.registries), stop.clone()));
    tasks.spawn(tidy(Arc::clone(&instance.registries), stop.clone()));
    tasks.spawn(forget(instance.records.clone(), stop.clone()));
    tasks.spawn(tend(Arc::clone(issuer), Arc::clone(tokens), stop.clone()));
}

/// Lets the audit trail do what is due by time. It says itself when it can't be written.
async fn keep_trail(audit: Arc<AuditLog>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TRAIL_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let job = async {
        loop {
            ticks.tick().await;
            if let Err(error) = audit.tick().await {
                tracing::debug!(cause = %chain(&error), "the audit trail was not tended");
            }
        }
    };
    stop.run_until_cancelled(job).await;
}

async fn tidy(registries: Arc<Registries>, stop: CancellationToken) {
    let first = tokio::time::Instant::now() + COLLECT_FIRST;
    let mut ticks = tokio::time::interval_at(first, COLLECT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let job = async {
        loop {
            ticks.tick().await;
            match registries.collect(CollectMode::Act).await {
                Ok(CollectReport { links, blobs, kept, registries_locked, .. }) => {
                    tracing::info!(links, blobs, kept, registries_locked, "garbage was collected");
                    if kept > 0 {
                        tracing::warn!(kept, "edges are missing or manifests damaged: run a scrub");
                    }
                }
                Err(error) => tracing::warn!(cause = %chain(&error), "the collection failed"),
            }
            match registries.compact().await {
                Ok(CompactReport { blobs, parts, .. }) if blobs > 0 => {
                    tracing::info!(blobs, parts, "scattered blobs were compacted");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(cause = %chain(&error), "the compaction failed"),
            }
        }
    };
    // Each of its transactions is whole: it may be cut off anywhere, and must not hold up an end.
    stop.run_until_cancelled(job).await;
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

/// Deletes what has expired: sessions, codes, used assertions.
async fn forget(records: Records, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match records.sweep_expired().await {
            Ok(swept) => tracing::debug!(swept, "expired records were deleted"),
            Err(error) => tracing::warn!(cause = %chain(&error), "expired records stay"),
        }
    }
}

/// Lets the issuer, and what signs the tokens of registries, make their next keys in time.
async fn tend(issuer: Arc<Issuer>, tokens: Arc<RegistryTokens>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TEND_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let (issuer, tokens) = (Arc::clone(&issuer), Arc::clone(&tokens));
        let tended = tokio::task::spawn_blocking(move || {
            if let Err(error) = tokens.rotate() {
                tracing::warn!(cause = %chain(&error), "the keys of registry tokens stay");
            }
            issuer.tend()
        });
        match tended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(cause = %chain(&error), "the issuer's keys stay"),
            Err(error) => tracing::warn!(%error, "the issuer's keys stay"),
        }
    }
}
