//! Reading ranges of blobs.

use std::collections::VecDeque;

use futures_util::{FutureExt as _, StreamExt as _};
use lockyard_blobs::{BUFFER_BYTES_MIN, BlobStream, Call, ReadError};
use proptest::prelude::*;
use static_assertions::assert_impl_all;

use crate::support::{FIRST, NEXT, SEGMENT, World, content, drain, runtime, until};

/// How many segments may be out before shares count.
const EASY_SEGMENTS: usize = BUFFER_BYTES_MIN / 8 / SEGMENT;

assert_impl_all!(BlobStream: Send, Unpin, futures_core::Stream);

fn len() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..40_usize,
        0..400_000_usize,
        (0..6_usize, 0..3_usize).prop_map(|(segments, off)| FIRST + segments * NEXT + off - 1),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_range_of_any_parts_is_what_was_written(
        lens in prop::collection::vec(len(), 0..5),
        from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(),
    ) {
        let world = World::new();
        let parts: Vec<Vec<u8>> =
            lens.iter().zip(0..).map(|(len, seed)| content(*len, seed)).collect();
        let whole = parts.concat();
        let list = world.blob(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        prop_assert_eq!(list.len(), whole.len() as u64);
        let (from, to) = (from.index(whole.len() + 1), to.index(whole.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        runtime().block_on(async {
            let read = world.read(&list, from as u64..to as u64).await.expect("readable");
            assert!(read == whole[from..to], "range {from}..{to} of {lens:?}");
            assert!(world.read_all(&list).await.expect("readable") == whole);
            world.all_buffers_are_back().await;
        });
        prop_assert_eq!(world.cell.live_ciphers(), 0);
    }
}

#[tokio::test]
async fn parts_of_different_segment_sizes_read_as_one_blob() {
    let world = World::new();
    let (a, b) = (content(10_000, 1), content(200_000, 2));
    let mut list = world.small_segments(&a);
    list.push(world.seal(&b).expect("sealed")).expect("few");
    let whole = [a, b].concat();
    assert!(world.read_all(&list).await.expect("readable") == whole);
    assert!(world.read(&list, 9_999..10_001).await.expect("readable") == whole[9_999..10_001]);
}

#[tokio::test]
async fn a_small_range_reads_the_segments_it_needs_and_no_other() {
    let world = World::new();
    let plaintext = content(FIRST + 10 * NEXT, 1);
    let list = world.blob(&[&plaintext, &content(100, 2)]);
    let id = list.ids().next().expect("a part");
    let before = world.faults.calls().len();
    let middle = (FIRST + 5 * NEXT) as u64;
    let read = world.read(&list, middle - 1..middle + 1).await.expect("readable");
    assert_eq!(read, plaintext[FIRST + 5 * NEXT - 1..=FIRST + 5 * NEXT]);
    let segment = SEGMENT as u64;
    assert_eq!(
        world.faults.calls()[before..],
        [
            Call::Open(id),
            Call::Read(id, 0, 40),
            Call::Read(id, 5 * segment, SEGMENT),
            Call::Read(id, 6 * segment, SEGMENT),
        ]
    );
}

#[tokio::test]
async fn ranges_outside_the_blob_are_refused() {
    let world = World::new();
    let list = world.blob(&[b"12345"]);
    assert_eq!(world.read(&list, 5..5).await.expect("empty"), b"");
    #[expect(clippy::reversed_empty_ranges, reason = "it is what is refused")]
    for range in [0..6, 6..6, 3..2, u64::MAX..u64::MAX] {
        let error = world.open(&list, range.clone()).await.expect_err("outside");
        let ReadError::Range { range: told, len: 5 } = error else { panic!("{error}") };
        assert_eq!(told, range);
    }
}

#[tokio::test]
async fn a_reader_that_stalls_holds_no_thread_and_little_memory() {
    let world = World::new();
    let plaintext = content(20 * SEGMENT, 1);
    let list = world.blob(&[&plaintext]);
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut stream = world.open(&list, 0..list.len()).await.expect("opened");
        let piece = stream.next().await.expect("some").expect("opened");
        stalled.push((stream, piece));
    }
    // No thread is stuck: another reader gets through the same blocking threads to its end.
    assert!(world.read_all(&list).await.expect("readable") == plaintext);
    until(|| BUFFER_BYTES_MIN - world.pool.available() <= 8 * (256 << 10)).await;
    drop(stalled);
    world.all_buffers_are_back().await;
    assert_eq!(world.cell.live_ciphers(), 0);
}

#[test]
fn many_stalled_readers_share_one_blocking_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    runtime.block_on(a_stalled_crowd());
}

async fn a_stalled_crowd() {
    let world = World::new();
    let plaintext = content(20 * SEGMENT, 1);
    let list = world.blob(&[&plaintext]);
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(world.open(&list, 0..list.len()).await.expect("opened"));
    }
    for stream in stalled {
        let mut out = Vec::new();
        drain(stream, &mut out).await.expect("goes on where it stalled");
        assert!(out == plaintext);
    }
}

#[tokio::test]
async fn a_spent_pool_makes_a_reader_wait_and_not_grow() {
    let world = World::new();
    let list = world.blob(&[&content(NEXT, 1)]);
    let most = BUFFER_BYTES_MIN / SEGMENT;
    let mut pieces = Vec::new();
    for _ in 0..most / 2 {
        let mut stream = world.open(&list, 0..list.len()).await.expect("opened");
        while let Some(piece) = stream.next().await {
            pieces.push(piece.expect("opened"));
        }
    }
    // NEXT bytes are two segments, so exactly the budget is out.
    assert_eq!((pieces.len(), world.pool.available()), (most, 0));
    let mut waiting = Box::pin(world.read_all(&list));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    assert!(futures_util::poll!(&mut waiting).is_pending());
    pieces.pop();
    assert_eq!(waiting.await.expect("one buffer is enough to get on").len(), NEXT);
    drop(pieces);
    world.all_buffers_are_back().await;
}

#[tokio::test]
async fn a_reader_that_leaves_the_queue_takes_nothing_along() {
    let world = World::new();
    let list = world.blob(&[&content(FIRST, 1)]);
    let mut pieces = Vec::new();
    for _ in 0..BUFFER_BYTES_MIN / SEGMENT {
        let mut stream = world.open(&list, 0..list.len()).await.expect("opened");
        pieces.push(stream.next().await.expect("some").expect("opened"));
    }
    let mut leaves = Box::pin(world.open(&list, 0..1));
    assert!(futures_util::poll!(&mut leaves).is_pending());
    pieces.pop();
    drop(leaves);
    assert_eq!(world.read(&list, 0..1).await.expect("readable").len(), 1);
    drop(pieces);
    world.all_buffers_are_back().await;
}

#[tokio::test]
async fn what_lies_in_memory_is_read_without_waiting() {
    let world = World::cached_but(u64::MAX);
    let plaintext = content(20 * SEGMENT, 1);
    let list = world.blob(&[&plaintext, &content(10 * SEGMENT, 2)]);
    assert!(world.read_all(&list).await.expect("readable")[..plaintext.len()] == plaintext);
    // For each part, its header and the segment of number 0.
    assert_eq!(world.memory.waits(), 2 * 2);
    world.all_buffers_are_back().await;
}

#[tokio::test]
async fn what_does_not_lie_in_memory_is_waited_for_wherever_it_lies() {
    for nth in 1..6 {
        let world = World::cached_but(nth);
        let (a, b) = (content(23 * SEGMENT + 5, 1), content(3 * SEGMENT, 2));
        let list = world.blob(&[&a, &b]);
        let whole = [a, b].concat();
        assert!(world.read_all(&list).await.expect("readable") == whole, "each {nth}");
        let some = SEGMENT as u64 + 7..20 * SEGMENT as u64;
        let (from, to) = (SEGMENT + 7, 20 * SEGMENT);
        assert!(world.read(&list, some).await.expect("readable") == whole[from..to], "each {nth}");
        world.all_buffers_are_back().await;
        assert_eq!(world.cell.live_ciphers(), 0);
    }
}

#[tokio::test]
async fn readers_who_keep_what_they_get_leave_room_for_one_who_reads() {
    let world = World::cached_but(u64::MAX);
    let plaintext = content(40 * SEGMENT, 1);
    let list = world.blob(&[&plaintext]);
    let mut kept = Vec::new();
    let mut stalled = Vec::new();
    for greed in [EASY_SEGMENTS].into_iter().chain([2; 19]) {
        let mut stream = world.open(&list, 0..list.len()).await.expect("opened");
        for _ in 0..greed {
            kept.push(stream.next().await.expect("some").expect("opened"));
        }
        assert!(stream.next().now_or_never().is_none() || greed < EASY_SEGMENTS);
        stalled.push(stream);
    }
    let out = BUFFER_BYTES_MIN - world.pool.available();
    assert!(out < BUFFER_BYTES_MIN / 2, "{out} bytes are out");
    assert!(world.read_all(&list).await.expect("readable") == plaintext);
    drop(kept);
    for stream in stalled {
        drain(stream, &mut Vec::new()).await.expect("goes on where it stalled");
    }
}

#[tokio::test]
async fn a_reader_over_its_share_goes_on_when_its_own_buffers_come_back() {
    let world = World::cached_but(u64::MAX);
    let plaintext = content(60 * SEGMENT, 1);
    let list = world.blob(&[&plaintext]);
    let mut stream = world.open(&list, 0..list.len()).await.expect("opened");
    let mut kept = VecDeque::new();
    for _ in 0..EASY_SEGMENTS {
        kept.push_back(stream.next().await.expect("some").expect("opened"));
    }
    let waiting = tokio::spawn(async move { stream.next().await });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    kept.pop_front();
    let next = waiting.await.expect("no panic").expect("some").expect("opened");
    assert_eq!(next.len(), NEXT);
}
