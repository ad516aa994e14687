//! The audit trail on a disk that loses its power and whose calls fail: what was acknowledged is
//! there, nothing looks tampered with, and the log goes on.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use lockyard_audit::{
    Audit as _, AuditLog, AuditSecret, Checkpoint, Event, KeysError, Opening, Operation, Outcome,
    Reader, Settings, VerifyError, verify,
};
use lockyard_base::{HandClock, SeededEntropy};
use lockyard_testkit::{Dice, Loss, SimDisk};

use crate::setting::{alone, number, seed};

/// What was promised so far.
#[derive(Debug, Default)]
struct Promises {
    /// Events that were acknowledged, in order.
    events: Vec<String>,
    checkpoints: Vec<Checkpoint>,
    /// Whether the log was ever opened.
    opened: bool,
}

fn secret() -> AuditSecret {
    AuditSecret::from_bytes(&[9; 32])
}

fn open(disk: &Arc<SimDisk>, clock: &Arc<HandClock>) -> Option<Arc<AuditLog>> {
    let opening = Opening {
        directory: disk.path("audit"),
        secret: secret(),
        disk: disk.as_disk(),
        clock: Arc::clone(clock) as _,
        entropy: Arc::new(SeededEntropy::new(disk.boundaries())),
        settings: Settings {
            segment_bytes: 512 << 10,
            extent_bytes: 128 << 10,
            reserve_bytes: 8 << 10,
            checkpoint_records: 5,
            keep: Some(Duration::from_secs(60)),
            ..Settings::default()
        },
    };
    AuditLog::open(opening).ok()
}

fn event(id: &str, long: bool) -> Event {
    let mut event = Event::new(Operation::KEY_UNWRAP, "/vaults/v", Outcome::ok());
    id.clone_into(&mut event.request.id);
    if long {
        let text = "\u{1}".repeat(4096);
        event.request.uri.clone_from(&text);
        event.request.client.clone_from(&text);
        event.reason.clone_from(&text);
        event.correlation.clone_from(&text);
        event.resource.clone_from(&text);
        event.caller.object_id.clone_from(&text);
        event.caller.application_id.clone_from(&text);
        event.caller.managed_identity = text;
    }
    event
}

/// Opens, records alone and together, signs, fills a segment, lets an old one go, closes; twice.
async fn story(disk: &Arc<SimDisk>, clock: &Arc<HandClock>, promises: &mut Promises) {
    for round in 0..2 {
        let Some(log) = open(disk, clock) else { continue };
        promises.opened = true;
        for number in 0..3 {
            record(&log, format!("{round}-alone-{number}"), false, promises).await;
        }
        let ids: Vec<String> = (0..4).map(|number| format!("{round}-many-{number}")).collect();
        let done = join_all(ids.iter().map(|id| log.append(event(id, false)))).await;
        let kept = ids.into_iter().zip(done).filter(|(_, done)| done.is_ok());
        promises.events.extend(kept.map(|(id, _)| id));
        if let Ok(checkpoint) = log.checkpoint().await {
            promises.checkpoints.push(checkpoint);
        }
        for number in 0..if round == 0 { 10 } else { 0 } {
            record(&log, format!("{round}-long-{number}"), true, promises).await;
        }
        clock.advance(Duration::from_secs(30));
        // Whatever is due may fail; the promises are what counts.
        drop(log.tick().await);
        log.close().await;
    }
}

async fn record(log: &AuditLog, id: String, long: bool, promises: &mut Promises) {
    if log.append(event(&id, long)).await.is_ok() {
        promises.events.push(id);
    }
}

/// The ids of all events that can be read.
fn ids(disk: &Arc<SimDisk>) -> Vec<String> {
    let mut reader = Reader::open(disk.as_disk(), disk.path("audit"), &secret()).unwrap();
    let reading = reader.tail(usize::MAX).unwrap();
    assert!(!reading.damaged);
    let line = |json: &str| serde_json::from_str::<serde_json::Value>(json).unwrap();
    let id = |json: &str| line(json)["properties"]["id"].as_str().unwrap().to_owned();
    reading.entries.iter().map(|entry| id(&entry.json)).collect()
}

fn sound(disk: &Arc<SimDisk>, promises: &Promises, place: &str) {
    let trusted = &promises.checkpoints;
    match verify(&*disk.as_disk(), &disk.path("audit"), Some(&secret()), trusted) {
        Ok(report) => assert_eq!(report.findings, [], "{place}: {:?}", report.notices),
        // Cut off before the log was ever there.
        Err(VerifyError::NoLog | VerifyError::Keys(KeysError::Missing | KeysError::Damaged)) => {
            assert!(!promises.opened, "{place}");
            return;
        }
        Err(error) => panic!("{place}: {error}"),
    }
    let there = ids(disk);
    // Retention may have let old ones go, from the oldest on.
    let first = promises.events.iter().position(|id| there.contains(id));
    let kept = &promises.events[first.unwrap_or(promises.events.len())..];
    let mut there = there.iter();
    for id in kept {
        assert!(there.any(|found| found == id), "{place}: {id} is not where it was promised");
    }
}

async fn goes_on(disk: &Arc<SimDisk>, promises: &mut Promises, place: &str) {
    let clock = Arc::new(HandClock::default());
    let log = open(disk, &clock).unwrap_or_else(|| panic!("{place}: it does not open again"));
    promises.opened = true;
    record(&log, "afterwards".to_owned(), false, promises).await;
    assert_eq!(promises.events.last().map(String::as_str), Some("afterwards"), "{place}");
    log.close().await;
    sound(disk, promises, place);
}

#[test]
fn an_audit_trail_survives_every_power_cut() {
    let seed = seed("audit power");
    alone(async move {
        let mut dice = Dice::new(seed);
        let mut boundary = 0;
        loop {
            let disk = SimDisk::new();
            disk.cut_at(boundary);
            let mut promises = Promises::default();
            story(&disk, &Arc::new(HandClock::default()), &mut promises).await;
            let mut seen = HashSet::new();
            let some = (0..4).map(|_| Loss::Some(dice.word()));
            for loss in [Loss::Everything, Loss::Nothing].into_iter().chain(some) {
                let survivor = disk.survivor(loss);
                if !seen.insert(survivor.fingerprint()) {
                    continue;
                }
                let place = format!("cut at {boundary}, {loss:?}");
                sound(&survivor, &promises, &place);
                let mut promises = Promises {
                    events: promises.events.clone(),
                    checkpoints: promises.checkpoints.clone(),
                    opened: promises.opened,
                };
                goes_on(&survivor, &mut promises, &place).await;
            }
            if !disk.is_dead() {
                println!("audit power: {boundary} boundaries");
                assert!(promises.events.len() > 20, "the story is told to its end");
                return;
            }
            boundary += 1;
        }
    });
}

/// Lets every call fail, once or from there on, and cuts the power afterwards.
fn fail_everywhere(errno: i32, lasting: bool) {
    let seed = seed("audit faults");
    let every = number("LOCKYARD_EVERY").is_some();
    alone(async move {
        let whole = SimDisk::new();
        story(&whole, &Arc::new(HandClock::default()), &mut Promises::default()).await;
        let mut dice = Dice::new(seed);
        for call in 0..whole.calls() {
            if !every && !dice.chance(1, 2) {
                continue;
            }
            let disk = SimDisk::new();
            if lasting {
                disk.fail_from(call, errno);
            } else {
                disk.fail(call, errno);
            }
            let mut promises = Promises::default();
            story(&disk, &Arc::new(HandClock::default()), &mut promises).await;
            disk.mend();
            let place = format!("error {errno} at call {call}, lasting {lasting}");
            sound(&disk, &promises, &place);
            for loss in [Loss::Everything, Loss::Some(dice.word())] {
                let survivor = disk.survivor(loss);
                let mut promises = Promises {
                    events: promises.events.clone(),
                    checkpoints: promises.checkpoints.clone(),
                    opened: promises.opened,
                };
                goes_on(&survivor, &mut promises, &format!("{place}, {loss:?}")).await;
            }
        }
    });
}

#[test]
fn an_audit_trail_rides_out_every_call_that_fails_once() {
    fail_everywhere(libc::EIO, false);
}

#[test]
fn an_audit_trail_rides_out_a_disk_that_fails_from_any_call_on() {
    fail_everywhere(libc::EIO, true);
}

#[test]
fn an_audit_trail_rides_out_a_disk_that_is_full_from_any_call_on() {
    fail_everywhere(libc::ENOSPC, true);
}
