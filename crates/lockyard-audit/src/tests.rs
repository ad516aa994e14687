//! What an attacker with the files and without the key can do, and arbitrary damage.

use std::{fs, path::Path, sync::Arc};

use lockyard_base::{HandClock, SeededEntropy};
use lockyard_blobs::SystemDisk;
use proptest::prelude::*;

use crate::{
    AuditLog, AuditSecret, Event, Opening, Operation, Outcome, Recorded, Settings, What,
    chain::{self, Chain},
    files,
    format::{Frame, HEADER_LEN, Kind, put_frame, written},
    keys,
    seam::Audit as _,
    verify,
    walk::walk,
};

fn secret() -> AuditSecret {
    AuditSecret::from_bytes(&[3; 32])
}

fn opening(directory: &Path) -> Opening {
    Opening {
        directory: directory.to_owned(),
        secret: secret(),
        disk: Arc::new(SystemDisk),
        clock: Arc::new(HandClock::default()),
        entropy: Arc::new(SeededEntropy::new(5)),
        settings: Settings { extent_bytes: 4 << 10, reserve_bytes: 4 << 10, ..Settings::default() },
    }
}

fn log(directory: &Path, events: u32) {
    let log = AuditLog::open(opening(directory)).expect("an empty directory");
    for _ in 0..events {
        let event = Event::new(Operation::KEY_WRAP, "/vaults/v", Outcome::ok());
        log.append_blocking(event).expect("room");
    }
}

/// Writes the first segment anew with other records, chained as they should be: all that somebody
/// without the key can do.
fn forge(directory: &Path, mut change: impl FnMut(u64, Kind, &[u8]) -> Option<Vec<u8>>) {
    let path = files::segment_path(directory, 1);
    let bytes = fs::read(&path).expect("there");
    let mut out = bytes[..HEADER_LEN].to_vec();
    let header = chain::header(&SystemDisk, directory, 1).expect("readable").expect("whole");
    let (mut head, mut sequence, mut at) = (header.hash(), 0, HEADER_LEN);
    while let Some(frame) = Frame::at(&bytes, at) {
        at = frame.next;
        if let Some(body) = change(frame.sequence, frame.kind, frame.body) {
            sequence += 1;
            head = put_frame(&mut out, frame.kind, true, sequence, &body, &head);
        }
    }
    out.resize(bytes.len(), 0);
    fs::write(path, out).expect("written");
}

fn findings(directory: &Path, secret: Option<&AuditSecret>) -> Vec<(What, u64)> {
    let report = verify(&SystemDisk, directory, secret, &[]).expect("readable");
    report.findings.iter().map(|finding| (finding.what, finding.first)).collect()
}

#[test]
fn a_chain_that_was_made_anew_without_the_key_is_found() {
    let world = tempfile::tempdir().expect("a directory");
    log(world.path(), 4);
    let original = fs::read(files::segment_path(world.path(), 1)).expect("there");
    forge(world.path(), |_, _, body| Some(body.to_vec()));
    assert_eq!(findings(world.path(), Some(&secret())), [], "nothing was changed");

    // A dropped event: all later ones are bound to what is gone, and the checkpoint as well.
    forge(world.path(), |sequence, _, body| (sequence != 3).then(|| body.to_vec()));
    let found = findings(world.path(), Some(&secret()));
    assert_eq!(found, [(What::Forged, 3), (What::Forged, 4), (What::Checkpoint, 5)]);
    assert_eq!(findings(world.path(), None), [(What::Checkpoint, 5)]);

    // A changed one, with the checkpoint taken away.
    fs::write(files::segment_path(world.path(), 1), &original).expect("written");
    forge(world.path(), |sequence, kind, body| {
        let mut body = body.to_vec();
        body[0] ^= u8::from(sequence == 2);
        (kind == Kind::Entry).then_some(body)
    });
    let found = findings(world.path(), Some(&secret()));
    assert_eq!(found, [2, 3, 4, 5].map(|number| (What::Forged, number)));
}

#[test]
fn a_checkpoint_of_another_log_is_not_believed() {
    let (world, other) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    log(world.path(), 1);
    log(other.path(), 1);
    let path = files::segment_path(other.path(), 1);
    let foreign = fs::read(&path).expect("there");
    // Two logs of one seed have the same records; the keys are made different here.
    fs::remove_file(path).expect("removed");
    fs::remove_file(other.path().join(keys::FILE)).expect("removed");
    let entropy = SeededEntropy::new(6);
    keys::AuditKeys::create(&SystemDisk, other.path(), &secret(), &entropy).expect("made");
    fs::write(files::segment_path(other.path(), 1), foreign).expect("written");
    let found = findings(other.path(), Some(&secret()));
    assert!(found.iter().any(|(what, _)| *what == What::Header), "{found:?}");
}

#[test]
fn numbers_that_no_log_reaches_are_no_records() {
    let world = tempfile::tempdir().expect("a directory");
    log(world.path(), 2);
    let path = files::segment_path(world.path(), 1);
    let original = fs::read(&path).expect("there");
    for number in [0, u64::MAX, u64::MAX - 1, 1 << 62] {
        let mut bytes = original.clone();
        bytes[HEADER_LEN + 5..HEADER_LEN + 13].copy_from_slice(&number.to_be_bytes());
        fs::write(&path, bytes).expect("written");
        assert!(!findings(world.path(), Some(&secret())).is_empty(), "{number}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn damage_anywhere_is_found_and_nothing_panics(
        places in prop::collection::vec((0usize..4000, any::<u8>()), 1..20),
        cut in prop::option::of(0usize..4000), settled in any::<bool>()
    ) {
        let world = tempfile::tempdir().expect("a directory");
        log(world.path(), 5);
        let path = files::segment_path(world.path(), 1);
        let original = fs::read(&path).expect("there");
        let mut bytes = original.clone();
        for (at, byte) in places {
            bytes[at] = byte;
        }
        bytes.truncate(cut.unwrap_or(bytes.len()));
        let identity = keys::identity(&SystemDisk, world.path()).expect("there");
        let changed = bytes.iter().zip(&original).position(|(new, old)| new != old);
        let changed = changed.or(cut);
        fs::write(&path, &bytes).expect("written");
        let report = verify(&SystemDisk, world.path(), Some(&secret()), &[]).expect("readable");
        let records = bytes.get(HEADER_LEN..).is_some_and(|records| written(records) > 0);
        if let Some(at) = changed && at < HEADER_LEN && records {
            prop_assert!(!report.findings.is_empty());
        }
        // Only records before the damage are still vouched for without a finding.
        if report.findings.is_empty() && records && let Some(at) = changed {
            let chain = Chain::read(&SystemDisk, world.path(), identity.node, &[1]).expect("read");
            let mut extent = chain.extent(0, &bytes);
            extent.settled = settled;
            let walk = walk(extent, chain::start(&chain.headers[0]));
            let good = walk.steps.iter().all(|step| step.offset < at);
            prop_assert!(settled || good);
        }
    }

    #[test]
    fn arbitrary_bytes_are_walked_over(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let extent = crate::walk::Extent { ordinal: 1, bytes: &bytes, settled: false };
        let start = crate::walk::Place { offset: 0, head: [0; 32], sequence: 0 };
        prop_assert!(walk(extent, start).steps.is_empty());
    }
}

#[test]
fn the_first_of_events_that_are_alike_is_recorded_and_the_others_are_counted() {
    let world = tempfile::tempdir().expect("a directory");
    let log = AuditLog::open(opening(world.path())).expect("an empty directory");
    let refused = |name: &str| Event::new(Operation::VAULT_PUT, name, Outcome::failed(403, "", ""));
    let first = log.append_first_blocking(refused("a")).expect("room");
    assert!(matches!(first, Recorded::As(_)));
    assert_eq!(log.append_first_blocking(refused("a")).expect("room"), Recorded::Counted);
    assert!(matches!(log.append_first_blocking(refused("b")), Ok(Recorded::As(_))));
}
