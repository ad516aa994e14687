//! Files that were changed behind the log's back: a verification names what was done.

use std::fs;

use lockyard_audit::{Checkpoint, Notice, Report, What, newest_checkpoint, verify};
use lockyard_blobs::SystemDisk;

use crate::support::{HEADER_LEN, World, append, records};

/// A closed log of one segment with some events, and what was kept of it elsewhere.
async fn closed(events: u32) -> (World, Checkpoint) {
    let world = World::new();
    let log = world.open();
    for number in 0..events {
        append(&log, &format!("key-{number}")).await;
        if number == events / 2 {
            log.checkpoint().await.unwrap();
        }
    }
    log.close().await;
    let kept = newest_checkpoint(&SystemDisk, &world.directory()).unwrap().unwrap();
    assert!(kept.closing);
    let report = world.verify(std::slice::from_ref(&kept));
    assert_eq!(report.findings, []);
    assert_eq!(report.notices, []);
    assert_eq!((report.events, report.checkpoints), (u64::from(events) + 1, 2));
    (world, kept)
}

fn names(report: &Report, number: u64) -> bool {
    report.findings.iter().any(|finding| (finding.first..=finding.last).contains(&number))
}

#[tokio::test]
async fn every_changed_byte_is_found_and_its_record_is_named() {
    let (world, kept) = closed(5).await;
    let path = world.segments().remove(0);
    let original = fs::read(&path).unwrap();
    let records = records(&original);
    let end = records.last().unwrap().end;
    let record = |at: usize| records.iter().find(|record| record.contains(&at)).unwrap().start;
    for at in (0..end + 40).chain([original.len() - 1]) {
        let mut changed = original.clone();
        changed[at] ^= 1 << (at % 8);
        fs::write(&path, &changed).unwrap();
        // Neither the key nor a kept checkpoint is needed but at the very end.
        let chain_only = verify(&SystemDisk, &world.directory(), None, &[]).unwrap();
        let place = records.iter().position(|record| record.contains(&at));
        let Some(place) = place else {
            assert!(!chain_only.findings.is_empty(), "byte {at}");
            continue;
        };
        let number = place as u64 + 1;
        if place + 1 < records.len() {
            assert!(names(&chain_only, number), "byte {at} of record {number}");
        }
        let report = world.verify(std::slice::from_ref(&kept));
        // Behind what was kept elsewhere, a change can't be told from a write that was cut off.
        let last = place + 1 == records.len();
        let told =
            Notice::Unfinished { segment: 1, after: number - 1, bytes: (end - record(at)) as u64 };
        let found = names(&report, number) || last && report.notices == [told];
        assert!(found, "byte {at} of record {number}: {report:?}");
    }
    fs::write(&path, &original).unwrap();
    assert_eq!(world.findings(), []);
}

#[tokio::test]
async fn every_dropped_record_is_found_and_named() {
    let (world, kept) = closed(8).await;
    let path = world.segments().remove(0);
    let original = fs::read(&path).unwrap();
    let records = records(&original);
    for (place, record) in records.iter().enumerate() {
        let mut changed = original.clone();
        changed.drain(record.clone());
        fs::write(&path, &changed).unwrap();
        let report = world.verify(std::slice::from_ref(&kept));
        let number = place as u64 + 1;
        // The closing checkpoint covers all but itself, and nothing is lost with it.
        if place + 1 < records.len() {
            assert!(names(&report, number), "record {number}: {report:?}");
        } else {
            assert!(report.checkpoints < 2);
        }
        if place + 2 < records.len() {
            assert_eq!(report.findings[0].what, What::Missing, "record {number}");
        }
    }
}

#[tokio::test]
async fn every_record_that_is_repeated_or_moved_is_found_and_named() {
    let (world, kept) = closed(5).await;
    let path = world.segments().remove(0);
    let original = fs::read(&path).unwrap();
    let records = records(&original);
    let put = |order: &[usize]| {
        let mut changed = original[..HEADER_LEN].to_vec();
        for place in order {
            changed.extend_from_slice(&original[records[*place].clone()]);
        }
        changed.resize(original.len() + 1000, 0);
        fs::write(&path, &changed).unwrap();
        world.verify(std::slice::from_ref(&kept))
    };
    let natural: Vec<usize> = (0..records.len()).collect();
    assert_eq!(put(&natural).findings, []);
    for place in 0..records.len() {
        for again in place + 1..=records.len() {
            let mut order = natural.clone();
            order.insert(again, place);
            let report = put(&order);
            let number = place as u64 + 1;
            let named = names(&report, number)
                || report.findings.iter().any(|finding| finding.what == What::Tail);
            assert!(named, "record {number} again before {again}: {report:?}");
        }
        for other in place + 1..records.len() {
            let mut order = natural.clone();
            order.swap(place, other);
            let report = put(&order);
            let (first, second) = (place as u64 + 1, other as u64 + 1);
            let named = names(&report, first) || names(&report, second);
            assert!(named, "records {first} and {second}: {report:?}");
        }
    }
}

#[tokio::test]
async fn a_log_that_was_cut_off_is_found_by_a_kept_checkpoint_and_by_nothing_else() {
    let (world, kept) = closed(8).await;
    let path = world.segments().remove(0);
    let original = fs::read(&path).unwrap();
    let records = records(&original);
    for (place, record) in records.iter().enumerate().skip(1) {
        let mut changed = original.clone();
        changed[record.start..].fill(0);
        fs::write(&path, &changed).unwrap();
        assert_eq!(world.findings(), [], "nothing in the log tells");
        let report = world.verify(std::slice::from_ref(&kept));
        let number = place as u64 + 1;
        if place + 1 == records.len() {
            assert_eq!(report.findings, []);
            continue;
        }
        assert_eq!(report.findings.len(), 1);
        let finding = &report.findings[0];
        assert_eq!((finding.what, finding.first), (What::RolledBack, number));
        assert_eq!(finding.last, kept.sequence);
    }
}

#[tokio::test]
async fn a_log_that_went_on_from_an_older_copy_is_found_by_a_kept_checkpoint() {
    let world = World::new();
    let log = world.open();
    append(&log, "before").await;
    log.close().await;
    drop(log);
    let path = world.segments().remove(0);
    let older = fs::read(&path).unwrap();

    let log = world.open();
    append(&log, "taken-back").await;
    let kept = log.checkpoint().await.unwrap();
    log.close().await;
    drop(log);
    fs::write(&path, &older).unwrap();
    fs::remove_file(&world.segments()[1]).unwrap();

    let log = world.open();
    for number in 0..9 {
        append(&log, &format!("instead-{number}")).await;
    }
    log.close().await;
    assert_eq!(world.findings(), []);
    let report = world.verify(std::slice::from_ref(&kept));
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].what, What::Rewritten);
    assert_eq!(report.findings[0].first, kept.sequence);
}

#[tokio::test]
async fn segments_that_are_removed_or_come_from_elsewhere_are_found() {
    let world = World::new();
    for round in 0..4 {
        let log = world.open();
        append(&log, &format!("round-{round}")).await;
        log.close().await;
    }
    let kept = newest_checkpoint(&SystemDisk, &world.directory()).unwrap().unwrap();
    let segments = world.segments();
    let trusted = std::slice::from_ref(&kept);
    // Each segment holds what opened it, one event and the closing checkpoint.
    for (place, path) in segments.iter().enumerate() {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        let report = world.verify(trusted);
        let number = place as u64 * 3 + 2;
        assert!(names(&report, number), "{place}: {report:?}");
        // A copy of another segment does not take its place.
        let other = &segments[(place + 1) % segments.len()];
        fs::copy(other, path).unwrap();
        let report = world.verify(trusted);
        assert!(names(&report, number), "{place}: {report:?}");
        fs::write(path, bytes).unwrap();
    }
    assert_eq!(world.verify(trusted).findings, []);
    let stranger = world.directory().join("0000000000000009.bak");
    fs::write(&stranger, "x").unwrap();
    assert_eq!(world.findings()[0].what, What::Stranger);
    fs::remove_file(&stranger).unwrap();

    let elsewhere = World::seeded(8);
    let log = elsewhere.open();
    let foreign = log.checkpoint().await.unwrap();
    let report = world.verify(&[foreign]);
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].what, What::AnotherLog);
}

#[tokio::test]
async fn nothing_that_was_recorded_can_be_read_in_the_files() {
    let (world, _) = closed(5).await;
    for path in fs::read_dir(world.directory()).unwrap() {
        let bytes = fs::read(path.unwrap().path()).unwrap();
        for word in ["key-3", "payments", "KeyUnwrap", "AuditEvent", "resourceId", "Success"] {
            assert!(memchr::memmem::find(&bytes, word.as_bytes()).is_none(), "{word}");
        }
    }
}
