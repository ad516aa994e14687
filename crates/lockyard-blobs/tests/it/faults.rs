//! A store that fails, once, at every possible call.

use std::io::ErrorKind;

use lockyard_blobs::{Call, PartError, ReadError, WriteError};

use crate::support::{SEGMENT, World, content, runtime};

#[test]
fn whichever_call_of_a_write_fails_it_is_told_and_nothing_stays() {
    let plaintext = content(40 * SEGMENT, 1);
    let world = World::new();
    let part = world.seal(&plaintext).expect("sealed");
    let calls = world.faults.calls();
    assert_eq!(calls.first(), Some(&Call::Begin(part.id())));
    assert_eq!(calls.last(), Some(&Call::Commit(part.id())));
    assert_eq!(calls.len(), 2 + 3);
    for n in 0..calls.len() {
        let world = World::new();
        world.faults.fail(n, ErrorKind::Other);
        let error = world.seal(&plaintext).expect_err("a call failed");
        assert!(matches!(error, WriteError::Store(PartError::Io { .. })), "{n}: {error}");
        assert_eq!(world.memory.count(), 0, "call {n}");
        assert_eq!(world.cell.live_ciphers(), 0, "call {n}");
    }
}

#[test]
fn a_full_disk_is_told_apart() {
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge] {
        for n in 0..3 {
            let world = World::new();
            world.faults.fail(n, kind);
            let error = world.seal(b"small").expect_err("full");
            assert!(matches!(error, WriteError::Store(PartError::Full { .. })), "{kind}: {error}");
        }
    }
}

#[test]
fn whichever_call_of_a_read_fails_it_is_told_and_all_before_it_is_right() {
    let world = World::new();
    let parts = [content(3 * SEGMENT, 1), content(10, 2)];
    let list = world.blob(&[&parts[0], &parts[1]]);
    let plaintext = parts.concat();
    runtime().block_on(async {
        let before = world.faults.calls().len();
        world.read_all(&list).await.expect("readable");
        let calls = world.faults.calls().len() - before;
        assert_eq!(calls, (2 + 4) + (2 + 1));
        for n in 0..calls {
            world.faults.fail(n, ErrorKind::Other);
            let (read, error) = world.read_all(&list).await.expect_err("a call failed");
            assert!(matches!(error, ReadError::Store { .. }), "{n}: {error}");
            assert!(plaintext.starts_with(&read));
        }
        // A file that was cut while it was being read.
        world.faults.fail(3, ErrorKind::UnexpectedEof);
        let (_, error) = world.read_all(&list).await.expect_err("cut");
        assert!(matches!(error, ReadError::Damaged(_)), "{error}");
        world.all_buffers_are_back().await;
    });
    assert_eq!(world.cell.live_ciphers(), 0);
}

#[test]
fn a_power_cut_takes_what_was_not_committed_and_only_that() {
    let world = World::new();
    let list = world.blob(&[b"kept"]);
    let mut writer = world.writer().expect("begun");
    writer.write(&content(3 << 20, 1)).expect("written");
    world.faults.cut_power();
    assert_eq!(world.memory.count(), 1);
    drop(writer);
    runtime().block_on(async {
        assert_eq!(world.read_all(&list).await.expect("durable"), b"kept");
    });
}

#[test]
fn errors_chain_without_repeating_and_name_no_path() {
    let world = World::new();
    world.faults.fail(1, ErrorKind::StorageFull);
    let error = world.seal(b"small").expect_err("full");
    assert_eq!(
        lockyard_base::chain(&error).to_string(),
        "the part store failed: no room left to do what the test forbids: no storage space"
    );
}
