//! What a lock does to readers and writers.

use futures_util::StreamExt as _;
use lockyard_blobs::{BUFFER_BYTES_MIN, BlobStream, ReadError, WriteError};

use crate::support::{FIRST, SEGMENT, World, content, drain, until};

#[tokio::test]
async fn a_lock_ends_a_reader_in_mid_stream_and_frees_what_it_held() {
    let world = World::new();
    let list = world.blob(&[&content(20 * SEGMENT, 1), &content(10, 2)]);
    let mut stream = world.open(&list, 0..list.len()).await.expect("opened");
    let piece = stream.next().await.expect("some").expect("opened");
    assert_eq!(world.cell.live_ciphers(), 1);
    world.cell.lock();
    assert_eq!(world.cell.live_ciphers(), 0);
    let error = stream.next().await.expect("not a quiet end").expect_err("locked");
    assert!(matches!(error, ReadError::Locked), "{error}");
    assert!(stream.next().await.is_none());
    drop(piece);
    // The stream itself is still there.
    world.all_buffers_are_back().await;
    drop(stream);
}

#[tokio::test]
async fn a_lock_ends_a_reader_of_what_lies_in_memory() {
    let world = World::cached_but(u64::MAX);
    let list = world.blob(&[&content(200 * SEGMENT, 1)]);
    let mut stream = world.open(&list, 0..list.len()).await.expect("opened");
    let mut kept = Vec::new();
    for _ in 0..5 {
        kept.push(stream.next().await.expect("some").expect("opened"));
    }
    world.cell.lock();
    assert_eq!(world.cell.live_ciphers(), 0);
    assert!(matches!(stream.next().await, Some(Err(ReadError::Locked))));
    drop(kept);
    world.all_buffers_are_back().await;
    // One that waits for its own buffers, too.
    world.cell.unlock();
    let mut stream = world.open(&list, 0..list.len()).await.expect("opened");
    let mut kept = Vec::new();
    for _ in 0..BUFFER_BYTES_MIN / 8 / SEGMENT {
        kept.push(stream.next().await.expect("some").expect("opened"));
    }
    let waiting = tokio::spawn(async move { stream.next().await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    world.cell.lock();
    assert!(matches!(waiting.await.expect("no panic"), Some(Err(ReadError::Locked))));
}

#[tokio::test]
async fn a_lock_takes_opened_bytes_from_a_reader_that_never_polls() {
    let world = World::new();
    let list = world.blob(&[&content(20 * SEGMENT, 1)]);
    let streams = [
        world.open(&list, 0..list.len()).await.expect("opened"),
        world.open(&list, 100_000..list.len()).await.expect("opened"),
    ];
    assert!(world.pool.available() < BUFFER_BYTES_MIN);
    world.cell.lock();
    world.all_buffers_are_back().await;
    assert_eq!(world.cell.live_ciphers(), 0);
    drop(streams);
}

#[tokio::test]
async fn an_unlock_does_not_revive_a_reader() {
    let world = World::new();
    let plaintext = content(3 * SEGMENT, 1);
    let list = world.blob(&[&plaintext]);
    let mut stream = world.open(&list, 0..list.len()).await.expect("opened");
    world.cell.lock();
    world.cell.unlock();
    assert!(matches!(stream.next().await, Some(Err(ReadError::Locked))));
    assert!(world.read_all(&list).await.expect("a new reader") == plaintext);
}

#[tokio::test]
async fn a_lock_wakes_a_reader_that_waits_for_the_pool() {
    let world = World::new();
    let list = world.blob(&[&content(FIRST, 1)]);
    let mut pieces = Vec::new();
    for _ in 0..BUFFER_BYTES_MIN / SEGMENT {
        let mut stream = world.open(&list, 0..list.len()).await.expect("opened");
        pieces.push(stream.next().await.expect("some").expect("opened"));
    }
    let handle = world.cell.handle();
    let (store, pool) = (world.store.clone(), world.pool.clone());
    let waiting =
        tokio::spawn(async move { BlobStream::open(&handle, &store, &pool, &list, 0..1).await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    world.cell.lock();
    until(|| waiting.is_finished()).await;
    let error = waiting.await.expect("no panic").expect_err("locked");
    assert!(matches!(error, ReadError::Locked), "{error}");
}

#[tokio::test]
async fn nothing_begins_on_a_locked_registry() {
    let world = World::new();
    let list = world.blob(&[b"content"]);
    let handle = world.cell.handle();
    world.cell.lock();
    let read = BlobStream::open(&handle, &world.store, &world.pool, &list, 0..7).await;
    assert!(matches!(read.expect_err("locked"), ReadError::Locked));
    let id = lockyard_base::PartId::from_bytes([1; 16]);
    let written = lockyard_blobs::PartWriter::begin(&handle, &world.store, id, &world.entropy);
    assert!(matches!(written.expect_err("locked"), WriteError::Locked));
    assert_eq!(world.memory.count(), 1);
}

#[test]
fn a_lock_ends_a_writer_in_mid_part() {
    let world = World::new();
    let mut writer = world.writer().expect("begun");
    writer.write(&content(3 * SEGMENT, 1)).expect("written");
    assert_eq!(world.cell.live_ciphers(), 1);
    world.cell.lock();
    assert_eq!(world.cell.live_ciphers(), 0);
    let error = writer.write(&content(3 * SEGMENT, 2)).expect_err("locked");
    assert!(matches!(error, WriteError::Locked), "{error}");
    // Not even after an unlock: the segment in hand must not be sealed once more.
    world.cell.unlock();
    assert!(matches!(writer.write(b"more"), Err(WriteError::Failed)));
    assert!(matches!(writer.finish(), Err(WriteError::Failed)));
    assert_eq!(world.memory.count(), 0);
}

#[test]
fn a_lock_before_the_last_segment_leaves_no_part() {
    let world = World::new();
    let mut writer = world.writer().expect("begun");
    writer.write(b"short").expect("written");
    world.cell.lock();
    assert!(matches!(writer.finish(), Err(WriteError::Locked)));
    assert_eq!(world.memory.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_at_arbitrary_moments_never_yield_wrong_bytes_or_leave_anything() {
    let world = World::new();
    let plaintext = content(40 * SEGMENT, 1);
    let list = world.blob(&[&plaintext]);
    for round in 0..200 {
        let (cell, handle) = (world.cell.clone(), world.cell.handle());
        let locker = tokio::task::spawn_blocking(move || {
            for _ in 0..round * 200 {
                std::hint::spin_loop();
            }
            cell.lock();
        });
        let mut read = Vec::new();
        let opened =
            BlobStream::open(&handle, &world.store, &world.pool, &list, 0..list.len()).await;
        let ended = match opened {
            Ok(stream) => drain(stream, &mut read).await,
            Err(error) => Err(error),
        };
        match ended {
            Ok(()) => assert!(read == plaintext),
            Err(error) => {
                assert!(matches!(error, ReadError::Locked), "{error}");
                assert!(plaintext.starts_with(&read));
            }
        }
        locker.await.expect("locked");
        assert_eq!(world.cell.live_ciphers(), 0);
        world.all_buffers_are_back().await;
        world.cell.unlock();
    }
}
