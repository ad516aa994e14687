//! The audit trail, sent on to a collector as OpenTelemetry logs (OTLP over HTTP).
//!
//! What is sent is read out of the trail itself, and how far it came is kept beside it: a collector
//! that is away misses nothing and holds up nobody, and a restart goes on where it was. An event
//! can arrive twice, never not at all, unless the collector says of it that it will never take it.

mod collector;
mod place;
mod records;

use std::{mem, sync::Arc, time::Duration};

use lockyard_audit::{Entry, Reader, Sequence};
use lockyard_base::chain;
use lockyard_blobs::SystemDisk;
use lockyard_egress::{Egress, Policy};
use lockyard_vault::VaultRootKey;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::ServeConfig,
    failure::{Failure, OrFail as _, Outcome},
    instance::{Instance, blocking_outcome, roots},
};

use collector::{Collector, Delivered, Verdict};
use place::PlaceFile;

/// Events of one request at most.
const BATCH_EVENTS_MAX: usize = 256;
/// How long events gather after the first of them, so that not each is a request.
const GATHER: Duration = Duration::from_secs(1);
/// How long it is waited after a first failure; each further one doubles it.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// How long it is waited at most; a collector that asks for more or less gets one of the two.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// Sends what the trail has and will have.
pub(crate) struct Exporter {
    reader: Option<Reader>,
    recorded: watch::Receiver<u64>,
    collector: Collector,
    place: PlaceFile,
}

impl Exporter {
    /// The exporter that the settings ask for, if they do. Blocks.
    pub(crate) fn open(config: &ServeConfig, instance: &Instance) -> Outcome<Option<Self>> {
        let Some(target) = &config.audit_otlp else { return Ok(None) };
        let headers = config.audit_otlp_headers.as_deref().map(collector::headers).transpose()?;
        // Who names the collector allows the way to it.
        let policy = Policy::new(vec![target.allowance().clone()]);
        let egress = Egress::new(policy, roots(config)?);
        let secret = VaultRootKey::read(&config.data.vault_key).or_fail()?.audit_secret();
        let directory = config.data.audit_dir.clone();
        let mut reader = Reader::open(Arc::new(SystemDisk), directory, &secret).or_fail()?;
        let (audit, dir) = (&instance.audit, instance.dir.path());
        let (recorded, place) = (audit.recorded(), PlaceFile::in_directory(dir, audit.node()));
        let (newest, mut known) = (*recorded.borrow(), place.read()?);
        if known > newest {
            tracing::error!(
                sent = known,
                newest,
                "the audit trail ends before what was sent to the collector: it was taken back"
            );
            known = newest;
        }
        reader.seek(Sequence::new(known)).or_fail()?;
        let collector = Collector::new(egress, target.url(), headers.unwrap_or_default());
        Ok(Some(Self { reader: Some(reader), recorded, collector, place }))
    }

    /// Begins to send; ends after `stop`.
    pub(crate) fn start(self, tasks: &TaskTracker, stop: &CancellationToken) {
        let stop = stop.clone();
        tasks.spawn(async move { stop.run_until_cancelled(self.send_all()).await });
    }

    async fn send_all(mut self) {
        loop {
            // What is recorded from here on is a change.
            self.recorded.mark_unchanged();
            match self.read().await {
                Ok(entries) if entries.is_empty() => {
                    if self.recorded.changed().await.is_err() {
                        return;
                    }
                    tokio::time::sleep(GATHER).await;
                }
                Ok(entries) => {
                    for batch in entries.chunks(BATCH_EVENTS_MAX) {
                        self.send(batch).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the audit trail cannot be read for its collector");
                    tokio::time::sleep(PAUSE_MAX).await;
                }
            }
        }
    }

    /// Reads what is new, a segment's worth at most.
    async fn read(&mut self) -> Outcome<Vec<Entry>> {
        let Some(mut reader) = self.reader.take() else {
            return Err(Failure::text("reading it was cut off"));
        };
        let (reader, reading) = blocking_outcome(move || {
            let reading = reader.step();
            Ok((reader, reading))
        })
        .await?;
        self.reader = Some(reader);
        let reading = reading.or_fail()?;
        if reading.damaged {
            tracing::error!("the audit trail is damaged: run `lockyard audit verify`");
        }
        Ok(reading.entries)
    }

    /// Sends events until the collector has taken each, or says of it alone that it never will.
    async fn send(&self, batch: &[Entry]) {
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            let (Some(first), Some(last)) = (part.first(), part.last()) else { continue };
            let (first, last) = (first.sequence, last.sequence);
            match self.deliver(records::request(part), first).await {
                Delivered::Taken => {}
                Delivered::But(rejected) => {
                    tracing::error!(%first, %last, rejected, "the collector rejects audit events");
                }
                Delivered::Never(_) if part.len() > 1 => {
                    // It is too much at once, or one of them is at fault.
                    let (older, newer) = part.split_at(part.len() / 2);
                    parts.extend([newer, older]);
                    continue;
                }
                Delivered::Never(status) => {
                    tracing::error!(record = %first, status, "the collector refuses an audit event");
                }
            }
            if let Err(error) = self.place.keep(last) {
                tracing::warn!(cause = %chain(&error), "how far audit events were sent is not kept");
            }
        }
    }

    /// Sends a request until there is a word about it.
    async fn deliver(&self, body: Vec<u8>, first: Sequence) -> Delivered {
        let (mut pause, mut waiting) = (PAUSE_MIN, false);
        loop {
            let word = match self.collector.send(body.clone()).await {
                Verdict::Later(why, asked) => {
                    if !mem::replace(&mut waiting, true) {
                        tracing::warn!(%first, %why, "audit events wait for their collector");
                    }
                    tokio::time::sleep(bounded(asked.unwrap_or(pause))).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                    continue;
                }
                Verdict::Word(word) => word,
            };
            if waiting {
                tracing::info!(%first, "the collector takes audit events again");
            }
            return word;
        }
    }
}

/// How long it is waited for a collector that asks for this: never so short that it is asked without
/// a rest, and never so long that it seems forgotten.
fn bounded(pause: Duration) -> Duration {
    pause.clamp(PAUSE_MIN, PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_collector_is_asked_without_a_rest_or_forgotten() {
        for (asked, waited) in [(0, 1), (1, 1), (7, 7), (60, 60), (61, 60), (u64::MAX, 60)] {
            let (asked, waited) = (Duration::from_secs(asked), Duration::from_secs(waited));
            assert_eq!(bounded(asked), waited, "{asked:?}");
        }
    }
}
