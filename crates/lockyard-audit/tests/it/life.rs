//! A log's life: many who record at once, segments that end and go, checkpoints, readers, keys.

use std::{
    fs,
    sync::{Arc, mpsc},
    time::Duration,
};

use lockyard_audit::{
    Audit as _, AuditError, AuditLog, AuditSecret, Checkpoint, KeysError, OpenAuditError, Opening,
    Recorded, SEGMENT_BYTES_MIN, Sequence, Settings, VerifyError, newest_checkpoint, verify,
};
use lockyard_blobs::SystemDisk;

use crate::support::{World, append, event, told};

#[tokio::test(flavor = "multi_thread")]
async fn events_that_are_recorded_at_once_all_get_numbers_of_their_own() {
    let world = World::new();
    let log = world.open();
    let tasks: Vec<_> = (0..200)
        .map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { append(&log, &number.to_string()).await })
        })
        .collect();
    let mut numbers = Vec::new();
    for task in tasks {
        numbers.push(task.await.unwrap());
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 200);
    log.close().await;
    let report = world.verify(&[]);
    assert_eq!((report.findings.len(), report.events), (0, 201));
    assert!(matches!(log.append(event("late")).await, Err(AuditError::Closed)));
}

#[tokio::test]
async fn a_full_segment_is_followed_by_another_and_old_ones_go_when_that_is_signed() {
    let mut world = World::new();
    world.settings = Settings {
        segment_bytes: SEGMENT_BYTES_MIN,
        keep: Some(Duration::from_secs(3600)),
        ..world.settings
    };
    let log = world.open();
    let mut worst = event("long");
    worst.request.uri = "\u{1}".repeat(4000);
    let mut count = 0;
    while world.segments().len() < 3 {
        log.append(worst.clone()).await.unwrap();
        count += 1;
    }
    assert!(fs::metadata(&world.segments()[0]).unwrap().len() <= SEGMENT_BYTES_MIN);
    let before = log.checkpoint().await.unwrap();
    let report = world.verify(std::slice::from_ref(&before));
    assert_eq!((report.findings.len(), report.events, report.first), (0, count + 1, 1));

    world.clock.advance(Duration::from_secs(3600));
    log.tick().await.unwrap();
    assert_eq!(world.segments().len(), 3, "not yet");
    world.clock.advance(Duration::from_secs(1));
    log.tick().await.unwrap();
    assert_eq!(world.segments().len(), 1);
    append(&log, "after").await;
    log.close().await;
    let kept = newest_checkpoint(&SystemDisk, &world.directory()).unwrap().unwrap();
    let report = world.verify(&[before, kept]);
    assert_eq!(report.findings, []);
    assert!(report.first > 1);

    // What retention did not sign for must be there.
    let log = world.open();
    log.close().await;
    fs::remove_file(&world.segments()[0]).unwrap();
    assert!(!world.findings().is_empty());
}

#[tokio::test]
async fn a_checkpoint_is_signed_after_so_many_records_and_after_some_time() {
    let mut world = World::new();
    world.settings.checkpoint_records = 4;
    let log = world.open();
    let newest = || newest_checkpoint(&SystemDisk, &world.directory()).unwrap();
    append(&log, "2").await;
    append(&log, "3").await;
    assert_eq!(newest(), None);
    append(&log, "4").await;
    assert_eq!(newest().unwrap().sequence, 4);
    append(&log, "6").await;
    log.tick().await.unwrap();
    assert_eq!(newest().unwrap().sequence, 4);
    world.clock.advance(Duration::from_secs(60));
    log.tick().await.unwrap();
    assert_eq!(newest().unwrap().sequence, 6);
    world.clock.advance(Duration::from_secs(60));
    log.tick().await.unwrap();
    assert_eq!(newest().unwrap().sequence, 6, "nothing new, nothing signed");
}

#[tokio::test]
async fn an_exported_checkpoint_reads_back_and_no_changed_one_does() {
    let world = World::new();
    let log = world.open();
    let checkpoint = log.checkpoint().await.unwrap();
    assert_eq!(checkpoint.public_key, log.public_key());
    let text = checkpoint.to_json();
    assert_eq!(Checkpoint::from_json(text.as_bytes()), Ok(checkpoint));
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] ^= 1;
        let read = Checkpoint::from_json(&changed);
        assert!(read.is_err(), "byte {at}: {}", String::from_utf8_lossy(&changed));
    }
}

#[tokio::test]
async fn a_reader_follows_a_log_that_is_being_written_across_segments() {
    let world = World::new();
    let log = world.open();
    append(&log, "1").await;
    append(&log, "2").await;
    let mut reader = world.reader();
    let read = |reading: lockyard_audit::Reading| {
        assert!(!reading.damaged);
        reading.entries.iter().map(|entry| told(&entry.json)).collect::<Vec<_>>()
    };
    assert_eq!(read(reader.tail(1).unwrap()), ["KeyUnwrap 2"]);
    assert_eq!(read(reader.more().unwrap()), [""; 0]);
    append(&log, "3").await;
    drop(log);
    let log = world.open();
    append(&log, "4").await;
    assert_eq!(read(reader.more().unwrap()), ["KeyUnwrap 3", "AuditOpened", "KeyUnwrap 4"]);
    assert_eq!(
        read(world.reader().tail(3).unwrap()),
        ["KeyUnwrap 3", "AuditOpened", "KeyUnwrap 4"]
    );
    let entry = world.reader().tail(1).unwrap().entries.remove(0);
    let line: serde_json::Value = serde_json::from_str(&entry.json).unwrap();
    assert_eq!(line["sequence"], entry.sequence.number());
    assert_eq!(line["node"], log.node().to_string());
}

#[tokio::test]
async fn requests_of_strangers_are_one_event_for_each_kind_and_window() {
    let world = World::new();
    let log = world.open();
    for _ in 0..1000 {
        log.note_unauthenticated("NoToken", Some([192, 0, 2, 1].into()));
    }
    log.note_unauthenticated("Expired", None);
    log.tick().await.unwrap();
    assert_eq!(world.told(), ["AuditOpened"]);
    world.clock.advance(Duration::from_secs(60));
    log.tick().await.unwrap();
    assert_eq!(world.told(), ["AuditOpened", "Authentication", "Authentication"]);
    log.note_unauthenticated("NoToken", None);
    log.close().await;
    assert_eq!(world.told().len(), 4, "the last window is not lost");
}

#[tokio::test]
async fn another_secret_opens_nothing_and_changes_nothing() {
    let world = World::new();
    let log = world.open();
    append(&log, "1").await;
    drop(log);
    let before = world.segments().len();
    let opened = AuditLog::open(Opening {
        directory: world.directory(),
        secret: AuditSecret::from_bytes(&[1; 32]),
        disk: Arc::new(SystemDisk),
        clock: world.clock.clone(),
        entropy: world.entropy.clone(),
        settings: Settings::default(),
    });
    assert!(matches!(opened, Err(OpenAuditError::Keys(KeysError::WrongSecret))), "{opened:?}");
    assert_eq!(world.segments().len(), before);
    let verified =
        verify(&SystemDisk, &world.directory(), Some(&AuditSecret::from_bytes(&[1; 32])), &[]);
    assert!(matches!(verified, Err(VerifyError::Keys(KeysError::WrongSecret))));

    // Records without their keys are never given others.
    fs::remove_file(world.directory().join("log.keys")).unwrap();
    let opened = AuditLog::open(Opening {
        directory: world.directory(),
        secret: World::secret(),
        disk: Arc::new(SystemDisk),
        clock: world.clock.clone(),
        entropy: world.entropy.clone(),
        settings: Settings::default(),
    });
    assert!(matches!(opened, Err(OpenAuditError::Keys(KeysError::Missing))), "{opened:?}");
}

#[tokio::test]
async fn a_reader_goes_on_behind_a_record_that_it_knows_a_segment_at_a_time() {
    let world = World::new();
    let read = |reading: lockyard_audit::Reading| {
        assert!(!reading.damaged);
        reading.entries.iter().map(|entry| told(&entry.json)).collect::<Vec<_>>()
    };
    let log = world.open();
    let mut recorded = log.recorded();
    append(&log, "1").await;
    let known = append(&log, "2").await;
    assert_eq!(*recorded.borrow_and_update(), known);
    append(&log, "3").await;
    assert!(recorded.has_changed().unwrap());
    drop(log);
    let log = world.open();
    let newest = append(&log, "4").await;
    for (known, expected) in [
        (0, vec!["AuditOpened", "KeyUnwrap 1", "KeyUnwrap 2", "KeyUnwrap 3"]),
        (1, vec!["KeyUnwrap 1", "KeyUnwrap 2", "KeyUnwrap 3"]),
        (known, vec!["KeyUnwrap 3"]),
    ] {
        let mut reader = world.reader();
        reader.seek(Sequence::new(known)).unwrap();
        assert_eq!(read(reader.step().unwrap()), expected, "behind {known}");
        assert_eq!(read(reader.step().unwrap()), ["AuditOpened", "KeyUnwrap 4"]);
        assert_eq!(read(reader.step().unwrap()), [""; 0]);
    }
    let mut reader = world.reader();
    reader.seek(Sequence::new(newest)).unwrap();
    assert_eq!(read(reader.step().unwrap()), [""; 0]);
    append(&log, "5").await;
    assert_eq!(read(reader.step().unwrap()), ["KeyUnwrap 5"]);
}

#[test]
fn who_does_not_wait_is_told_what_became_of_an_event() {
    let world = World::new();
    let log = world.open();
    let told = |log: &AuditLog| {
        let (tell, told) = mpsc::channel();
        log.append_then(event("1"), Box::new(move |outcome| drop(tell.send(outcome))));
        told.recv().expect("told")
    };
    assert!(matches!(told(&log), Ok(Recorded::As(_))));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(log.close());
    assert!(matches!(told(&log), Err(AuditError::Closed)));
    assert_eq!(world.findings(), []);
}

#[test]
fn events_can_be_recorded_where_blocking_is_allowed() {
    let mut world = World::new();
    world.settings.json_lines = Some(world.folder.path().join("events.jsonl"));
    let log = world.open();
    assert!(matches!(log.append_blocking(event("1")), Ok(Recorded::As(_))));
    drop(log);
    let lines = fs::read_to_string(world.folder.path().join("events.jsonl")).unwrap();
    assert_eq!(lines.lines().map(told).collect::<Vec<_>>(), ["AuditOpened", "KeyUnwrap 1"]);
    assert_eq!(world.findings(), []);
}
