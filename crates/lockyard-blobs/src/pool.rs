//! Buffers for segments on their way out, under one budget for all readers.
//!
//! A reader that finds the budget spent waits instead of growing the process; long before, one that
//! has more than its share out waits for its own buffers, so that readers who stall leave the rest
//! to those who read. Buffers are reused, because fresh ones cost page faults and cold caches. They
//! hold plaintext: a few are kept idle for the next reader, and these are wiped when a registry
//! locks, as are those that come back after the lock; wiping each one on each use would cost a tenth
//! of the line speed.
//!
//! Each is a mapping of its own, so that what a crowd of slow readers took goes back to the system
//! when they leave: an allocator would keep most of it.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use lockyard_seal::SegmentSize;
use memmap2::MmapMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio_util::sync::{CancellationToken, PollSemaphore};
use zeroize::Zeroize as _;

/// The smallest budget that a pool accepts: one segment of the largest size that can be stored,
/// without which a reader of such a part would wait for ever.
pub const BUFFER_BYTES_MIN: usize = SegmentSize::MAX.bytes();

/// How many bytes of buffers are kept for reuse.
const IDLE_BYTES_MAX: usize = 4 << 20;

/// Which part of the budget readers divide among them; nobody counts while less than this is out.
const EASY_PART: usize = 8;

/// The length of the buffers that are reused; parts of other segment sizes get buffers of their
/// own.
const POOLED_LEN: usize = SegmentSize::CURRENT.bytes();

/// A pool of buffers with a budget in bytes; clones share it.
#[derive(Clone)]
pub struct BufferPool {
    shelf: Arc<Shelf>,
    budget: Arc<Semaphore>,
    bytes: usize,
}

/// The idle buffers.
struct Shelf {
    idle: Mutex<Vec<MmapMut>>,
    /// How many [`Tab`]s there are.
    readers: AtomicUsize,
}

impl BufferPool {
    /// A pool whose buffers together never exceed `bytes`, or [`BUFFER_BYTES_MIN`] if that is
    /// more.
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.clamp(BUFFER_BYTES_MIN, Semaphore::MAX_PERMITS);
        Self {
            shelf: Arc::new(Shelf { idle: Mutex::default(), readers: AtomicUsize::new(0) }),
            budget: Arc::new(Semaphore::new(bytes)),
            bytes,
        }
    }

    /// How many bytes of the budget are free.
    pub fn available(&self) -> usize {
        self.budget.available_permits()
    }

    /// Wipes the buffers that wait for reuse; done whenever a registry locks.
    pub fn wipe_idle(&self) {
        self.shelf.wipe();
    }

    /// Enters a reader.
    pub(crate) fn tab(&self) -> Arc<Tab> {
        self.shelf.readers.fetch_add(1, Ordering::Relaxed);
        let shelf = Arc::clone(&self.shelf);
        Arc::new(Tab { shelf, out: AtomicUsize::new(0), waiting: Mutex::new(None) })
    }

    /// Ready when a reader may have another buffer of `len` bytes: one that has none always may.
    pub(crate) fn poll_turn(&self, tab: &Tab, len: usize, cx: &Context<'_>) -> Poll<()> {
        let easy = self.bytes / EASY_PART;
        if self.bytes - self.available() < easy {
            return Poll::Ready(());
        }
        let share = easy / self.shelf.readers.load(Ordering::Relaxed).max(1);
        tab.poll_below(share.saturating_sub(len), cx)
    }

    /// Room for `count` buffers of `len` bytes, if it is there now.
    pub(crate) fn try_room(&self, count: usize, len: usize) -> Option<Room> {
        match Arc::clone(&self.budget).try_acquire_many_owned(bytes(count, len)) {
            Ok(permit) => Some(self.grant(permit, len)),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => None,
        }
    }

    /// A queue place for [`Room`], for who polls instead of awaiting.
    pub(crate) fn queue(&self) -> PollSemaphore {
        PollSemaphore::new(Arc::clone(&self.budget))
    }

    /// Turns what a [`queue`](Self::queue) gave into room for buffers of `len` bytes.
    pub(crate) fn grant(&self, permit: OwnedSemaphorePermit, len: usize) -> Room {
        Room { shelf: Arc::clone(&self.shelf), permit, len }
    }
}

impl fmt::Debug for BufferPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufferPool({} bytes free)", self.available())
    }
}

/// A permit's size: `count` buffers of `len` bytes.
pub(crate) fn bytes(count: usize, len: usize) -> u32 {
    u32::try_from(count * len).expect("a batch is at most a few segments")
}

impl Shelf {
    fn idle(&self) -> MutexGuard<'_, Vec<MmapMut>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wipe(&self) {
        for buffer in self.idle().iter_mut() {
            buffer.zeroize();
        }
    }
}

/// A part of the budget that is not a buffer yet.
pub(crate) struct Room {
    shelf: Arc<Shelf>,
    permit: OwnedSemaphorePermit,
    len: usize,
}

impl Room {
    /// Takes one buffer of at least `len` bytes out of this room; `None` when it is used up.
    ///
    /// The buffer is wiped when it comes back after `revoked` was cancelled.
    pub(crate) fn buffer(&mut self, revoked: &CancellationToken, tab: &Arc<Tab>) -> Option<Buffer> {
        let permit = self.permit.split(self.len)?;
        tab.out.fetch_add(self.len, Ordering::AcqRel);
        let reused = if self.len == POOLED_LEN { self.shelf.idle().pop() } else { None };
        let bytes = reused.unwrap_or_else(|| fresh(self.len));
        Some(Buffer {
            bytes: Some(bytes),
            shelf: Arc::clone(&self.shelf),
            revoked: revoked.clone(),
            permit: Some(permit),
            tab: Arc::clone(tab),
        })
    }
}

fn fresh(len: usize) -> MmapMut {
    // As of an allocator that finds none: the process cannot go on.
    MmapMut::map_anon(len).expect("the system has memory for what the budget allows")
}

/// What one reader has out.
pub(crate) struct Tab {
    shelf: Arc<Shelf>,
    /// In bytes.
    out: AtomicUsize,
    /// Whom to wake when a buffer comes back.
    waiting: Mutex<Option<Waker>>,
}

impl Tab {
    /// Ready when nothing is out, or no more than `bytes`.
    fn poll_below(&self, bytes: usize, cx: &Context<'_>) -> Poll<()> {
        let is_below = || self.out.load(Ordering::Acquire) <= bytes;
        if is_below() {
            return Poll::Ready(());
        }
        *self.waiting() = Some(cx.waker().clone());
        // A buffer may have come back before anybody could be told.
        if is_below() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn came_back(&self, bytes: usize) {
        self.out.fetch_sub(bytes, Ordering::AcqRel);
        let waiting = self.waiting().take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.shelf.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One buffer of the pool; goes back when it is dropped.
pub(crate) struct Buffer {
    /// Absent only while it is being dropped, as is the permit.
    bytes: Option<MmapMut>,
    shelf: Arc<Shelf>,
    revoked: CancellationToken,
    permit: Option<OwnedSemaphorePermit>,
    tab: Arc<Tab>,
}

impl Buffer {
    /// The first `len` bytes, to be filled.
    pub(crate) fn head(&mut self, len: usize) -> &mut [u8] {
        &mut self.bytes.as_mut().expect("it is not being dropped")[..len]
    }

    /// The buffer as an owner of the bytes in `range` only.
    pub(crate) fn slice(self, range: Range<usize>) -> BufferSlice {
        BufferSlice { buffer: self, range }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(mut bytes) = self.bytes.take() else { return };
        let len = bytes.len();
        if self.revoked.is_cancelled() {
            bytes.zeroize();
        }
        let mut idle = self.shelf.idle();
        if len == POOLED_LEN && (idle.len() + 1) * POOLED_LEN <= IDLE_BYTES_MAX {
            idle.push(bytes);
            drop(idle);
        } else {
            drop(idle);
            bytes.zeroize();
            drop(bytes);
        }
        // The budget first: whoever is woken looks at it.
        drop(self.permit.take());
        self.tab.came_back(len);
    }
}

/// The opened bytes of one buffer, as `Bytes::from_owner` wants them.
pub(crate) struct BufferSlice {
    buffer: Buffer,
    range: Range<usize>,
}

impl AsRef<[u8]> for BufferSlice {
    fn as_ref(&self) -> &[u8] {
        &self.buffer.bytes.as_ref().expect("it is not being dropped")[self.range.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: usize = POOLED_LEN;

    #[test]
    fn a_budget_of_n_buffers_gives_n_and_not_one_more() {
        let pool = BufferPool::new(BUFFER_BYTES_MIN);
        let most = BUFFER_BYTES_MIN / SEGMENT;
        let below = pool.try_room(most - 1, SEGMENT).expect("one below the budget");
        assert_eq!(pool.available(), SEGMENT);
        let last = pool.try_room(1, SEGMENT).expect("exactly the budget");
        assert!(pool.try_room(1, SEGMENT).is_none());
        drop((below, last));
        assert_eq!(pool.available(), BUFFER_BYTES_MIN);
        assert!(pool.try_room(most + 1, SEGMENT).is_none());
    }

    #[test]
    fn a_tiny_budget_is_raised_to_one_segment_of_the_largest_size() {
        let pool = BufferPool::new(1);
        assert!(pool.try_room(1, SegmentSize::MAX.bytes()).is_some());
    }

    #[test]
    fn room_gives_as_many_buffers_as_were_asked_for_and_they_come_back() {
        let pool = BufferPool::new(0);
        let (live, tab) = (CancellationToken::new(), pool.tab());
        let mut room = pool.try_room(2, SEGMENT).expect("room");
        let buffers = [room.buffer(&live, &tab), room.buffer(&live, &tab)];
        assert!(buffers.iter().all(Option::is_some));
        assert!(room.buffer(&live, &tab).is_none());
        drop(room);
        assert_eq!(pool.available(), BUFFER_BYTES_MIN - 2 * SEGMENT);
        drop(buffers);
        assert_eq!(pool.available(), BUFFER_BYTES_MIN);
        assert_eq!(pool.shelf.idle().len(), 2);
    }

    #[test]
    fn idle_buffers_are_kept_up_to_their_limit() {
        let pool = BufferPool::new(0);
        let (live, tab) = (CancellationToken::new(), pool.tab());
        let most = IDLE_BYTES_MAX / SEGMENT;
        for (taken, kept) in [(most - 1, most - 1), (most, most), (most + 1, most)] {
            let mut room = pool.try_room(taken, SEGMENT).expect("room");
            let buffers: Vec<_> = std::iter::from_fn(|| room.buffer(&live, &tab)).collect();
            drop(buffers);
            assert_eq!(pool.shelf.idle().len(), kept);
        }
    }

    #[test]
    fn plaintext_in_idle_and_returning_buffers_is_wiped_on_lock() {
        let pool = BufferPool::new(0);
        let (revoked, tab) = (CancellationToken::new(), pool.tab());
        let mut room = pool.try_room(2, SEGMENT).expect("room");
        let mut early = room.buffer(&revoked, &tab).expect("first");
        let mut late = room.buffer(&revoked, &tab).expect("second");
        early.head(4).copy_from_slice(b"gold");
        late.head(4).copy_from_slice(b"gold");
        drop(early);
        assert_eq!(pool.shelf.idle()[0][..4], *b"gold");
        revoked.cancel();
        pool.wipe_idle();
        drop(late);
        assert_eq!(pool.shelf.idle().len(), 2);
        assert!(pool.shelf.idle().iter().all(|buffer| buffer.iter().all(|&byte| byte == 0)));
    }
}
