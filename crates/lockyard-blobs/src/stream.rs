//! A blob's plaintext as a stream: the asynchronous half of a read.
//!
//! Production is driven by demand. A short job on a blocking thread opens the next few segments
//! and ends; the next one starts when the reader has taken most of them. So a client that stalls
//! holds no thread, and no more than about [`IN_FLIGHT_BYTES`] of buffers: what is in flight also
//! stays in the processor's cache, which is most of the line speed.
//!
//! Plaintext that waits for the reader, and the keys of parts that are still to come, belong to the
//! registry's cell. The stream only knows where they are: locking takes them away whether or not
//! anybody polls.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::{Future as _, poll_fn},
    mem,
    ops::Range,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use lockyard_keyring::{Locked, UnlockedRegistry};
use lockyard_seal::SegmentSize;
use tokio::task::JoinHandle;
use tokio_util::sync::PollSemaphore;

use crate::{
    BufferPool, PartList, PartStore, ReadError,
    opener::{Opener, Wanted},
    pool::{self, Room},
};

/// What one stream has in buffers at most, if segments are not larger: one being sent, one waiting,
/// and a batch being opened.
const IN_FLIGHT_BYTES: usize = 256 << 10;

/// How many bytes one job opens, at least one segment.
const BATCH_BYTES: usize = IN_FLIGHT_BYTES / 2;

/// The plaintext of a blob, or of a range of it, in pieces of at most a segment.
///
/// It must be polled within a tokio runtime. It ends with [`ReadError::Locked`] when its registry
/// locks; what had been opened but not been taken by then is gone.
pub struct BlobStream {
    reads: Weak<OpenReads>,
    number: u64,
    held: Weak<Held>,
    pool: BufferPool,
    queue: PollSemaphore,
    /// Whether this stream stands in the queue, where room may be waiting for it already.
    queued: bool,
    buffer_len: usize,
    work: Work,
    /// Segments that no job has been given yet.
    segments_left: usize,
    /// Plaintext bytes that the reader has not been given yet.
    remaining: u64,
}

enum Work {
    /// Nothing runs.
    Idle(Box<Opener>),
    /// A job opens segments and gives the opener back.
    Running(JoinHandle<Result<Box<Opener>, ReadError>>),
    /// A job failed; told when all that it opened before is taken.
    Failed(ReadError),
    /// Over.
    Done,
}

impl BlobStream {
    /// Reads `range` of the blob that consists of `parts`.
    ///
    /// Returns when the first bytes are there, so that a missing or damaged beginning is an error
    /// here and not in the middle of an answer. Waits while `pool` is spent.
    pub async fn open(
        unlocked: &UnlockedRegistry,
        store: &Arc<dyn PartStore>,
        pool: &BufferPool,
        parts: &PartList,
        range: Range<u64>,
    ) -> Result<Self, ReadError> {
        if range.start > range.end || range.end > parts.len() {
            return Err(ReadError::Range { range, len: parts.len() });
        }
        let remaining = range.end - range.start;
        let wanted: VecDeque<Wanted> = parts
            .holding(range)
            .map(|(part, range)| Wanted { part: part.duplicate(), range })
            .collect();
        let reads = unlocked.cache::<OpenReads>()?;
        let buffer_len = wanted.iter().map(|wanted| wanted.part.layout().size().bytes()).max();
        let segments_left = wanted.iter().map(segments).sum();
        let (number, held) = reads.add(pool, wanted);
        let mut stream = Self {
            reads: Arc::downgrade(&reads),
            number,
            held,
            pool: pool.clone(),
            queue: pool.queue(),
            queued: false,
            buffer_len: buffer_len.unwrap_or(SegmentSize::CURRENT.bytes()),
            work: Work::Idle(Box::new(Opener::new(unlocked.share(), Arc::clone(store)))),
            segments_left,
            remaining,
        };
        drop(reads);
        if remaining > 0 {
            poll_fn(|cx| stream.poll_ready(cx)).await?;
        }
        Ok(stream)
    }

    /// How many bytes the stream has yet to give.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Ready when the next bytes wait in the cell, or never will.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        loop {
            let held = self.held.upgrade().ok_or(Locked)?;
            if held.is_ready_or_wakes(cx.waker()) {
                return Poll::Ready(Ok(()));
            }
            match mem::replace(&mut self.work, Work::Done) {
                Work::Idle(opener) => {
                    let Poll::Ready(room) = self.poll_room(cx) else {
                        self.work = Work::Idle(opener);
                        return Poll::Pending;
                    };
                    self.start(opener, room);
                }
                Work::Running(job) => {
                    self.work = Work::Running(job);
                    ready!(self.poll_job(cx));
                }
                Work::Failed(error) => return Poll::Ready(Err(error)),
                Work::Done => return Poll::Ready(Err(ReadError::Interrupted)),
            }
        }
    }

    /// Room for the next job; who has to wait for it waits for one buffer only, so that under
    /// pressure each stream gets on with as little as it can.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Room> {
        if !self.queued
            && let Some(room) = self.pool.try_room(self.batch(), self.buffer_len)
        {
            return Poll::Ready(room);
        }
        self.queued = true;
        let permit = ready!(self.queue.poll_acquire_many(cx, pool::bytes(1, self.buffer_len)));
        self.queued = false;
        Poll::Ready(self.pool.grant(permit.expect("the budget is never closed"), self.buffer_len))
    }

    /// Waits for the job that is running.
    fn poll_job(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Work::Running(job) = &mut self.work {
            self.work = match ready!(Pin::new(job).poll(cx)) {
                Ok(Ok(opener)) => Work::Idle(opener),
                Ok(Err(error)) => Work::Failed(error),
                Err(_panicked_or_shut_down) => Work::Failed(ReadError::Interrupted),
            };
        }
        Poll::Ready(())
    }

    /// How many segments the next job opens.
    fn batch(&self) -> usize {
        (BATCH_BYTES / self.buffer_len).max(1).min(self.segments_left)
    }

    fn start(&mut self, opener: Box<Opener>, room: Room) {
        self.segments_left -= room.count();
        let held = Weak::clone(&self.held);
        self.work =
            Work::Running(tokio::task::spawn_blocking(move || open_segments(opener, held, room)));
    }

    /// Starts the next job while the reader is busy with what it has, if the budget allows.
    fn look_ahead(&mut self, cx: &mut Context<'_>) {
        if matches!(&self.work, Work::Running(job) if job.is_finished()) {
            let _finished = self.poll_job(cx);
        }
        if self.segments_left == 0 {
            return;
        }
        match mem::replace(&mut self.work, Work::Done) {
            Work::Idle(opener) => match self.pool.try_room(self.batch(), self.buffer_len) {
                Some(room) => self.start(opener, room),
                None => self.work = Work::Idle(opener),
            },
            other => self.work = other,
        }
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ReadError>>> {
        if self.remaining == 0 {
            return Poll::Ready(None);
        }
        let next = match ready!(self.poll_ready(cx)) {
            Ok(()) => self.held.upgrade().and_then(|held| held.take()).ok_or(ReadError::Locked),
            Err(error) => Err(error),
        };
        match next {
            Ok((bytes, waiting)) => {
                self.remaining -= bytes.len() as u64;
                if waiting <= 1 {
                    self.look_ahead(cx);
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Err(error) => {
                self.remaining = 0;
                self.queue = self.pool.queue();
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

impl Drop for BlobStream {
    fn drop(&mut self) {
        if let Work::Running(job) = &self.work {
            job.abort();
        }
        if let Some(reads) = self.reads.upgrade() {
            reads.remove(self.number);
        }
    }
}

impl fmt::Debug for BlobStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlobStream({} bytes to come)", self.remaining)
    }
}

/// One job: opens as many segments as there is room for and leaves them in the cell.
fn open_segments(
    mut opener: Box<Opener>,
    held: Weak<Held>,
    mut room: Room,
) -> Result<Box<Opener>, ReadError> {
    let revoked = opener.unlocked().revoked().clone();
    while let Some(buffer) = room.buffer(&revoked) {
        // Upgraded anew for each step, so that a lock or the end of the stream is noticed and the
        // cell's content is not kept alive in between.
        if opener.needs_part() {
            let wanted = held.upgrade().ok_or(Locked)?.next_part();
            opener.take_up(&wanted.expect("jobs are given as many segments as there are"))?;
        }
        let bytes = opener.next_segment(buffer)?;
        held.upgrade().ok_or(Locked)?.push(bytes);
    }
    Ok(opener)
}

fn segments(wanted: &Wanted) -> usize {
    let layout = wanted.part.layout();
    let (first, last) = (layout.holding(wanted.range.start), layout.holding(wanted.range.end - 1));
    (last - first + 1) as usize
}

/// The registry's reads under way: what the cell drops when it locks.
#[derive(Default)]
struct OpenReads(Mutex<Reads>);

#[derive(Default)]
struct Reads {
    next: u64,
    live: HashMap<u64, Arc<Held>>,
    pool: Option<BufferPool>,
}

impl OpenReads {
    fn add(&self, pool: &BufferPool, parts: VecDeque<Wanted>) -> (u64, Weak<Held>) {
        let held =
            Arc::new(Held(Mutex::new(HeldState { parts, ready: VecDeque::new(), waker: None })));
        let weak = Arc::downgrade(&held);
        let mut reads = hold(&self.0);
        let number = reads.next;
        reads.next += 1;
        let _none = reads.live.insert(number, held);
        reads.pool.get_or_insert_with(|| pool.clone());
        (number, weak)
    }

    fn remove(&self, number: u64) {
        // Dropped behind the guard: buffers go back to the pool, which has a lock of its own.
        let _held = hold(&self.0).live.remove(&number);
    }
}

impl Drop for OpenReads {
    fn drop(&mut self) {
        // The waiting buffers go back before the wipe, so that it covers them.
        let mut reads = mem::take(&mut *hold(&self.0));
        reads.live.clear();
        if let Some(pool) = &reads.pool {
            pool.wipe_idle();
        }
    }
}

/// What one read keeps in the cell.
struct Held(Mutex<HeldState>);

struct HeldState {
    /// Parts that are still to come.
    parts: VecDeque<Wanted>,
    /// Opened bytes that the reader has not taken.
    ready: VecDeque<Bytes>,
    /// Whom to wake for new bytes, or for the end of all this.
    waker: Option<Waker>,
}

impl Held {
    fn is_ready_or_wakes(&self, waker: &Waker) -> bool {
        let mut state = hold(&self.0);
        if !state.ready.is_empty() {
            return true;
        }
        match &mut state.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        false
    }

    /// The next bytes, and how many more pieces wait behind them.
    fn take(&self) -> Option<(Bytes, usize)> {
        let mut state = hold(&self.0);
        let bytes = state.ready.pop_front()?;
        Some((bytes, state.ready.len()))
    }

    fn push(&self, bytes: Bytes) {
        let waker = {
            let mut state = hold(&self.0);
            state.ready.push_back(bytes);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn next_part(&self) -> Option<Wanted> {
        hold(&self.0).parts.pop_front()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A reader that waits for the pool or for the disk learns of the lock at once.
        if let Some(waker) = hold(&self.0).waker.take() {
            waker.wake();
        }
    }
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The guarded queues are never left half-changed, so a poisoned lock is as good as a clean one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
