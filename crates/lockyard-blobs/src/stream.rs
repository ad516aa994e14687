//! A blob's plaintext as a stream: the asynchronous half of a read.
//!
//! Production is driven by demand. A short job on a blocking thread opens the next few segments
//! and ends as soon as enough wait; the next one starts when the reader has taken most of them. So
//! a client that stalls holds no thread, and no more than about [`IN_FLIGHT_BYTES`] of buffers: what is in flight also
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
use tokio_util::sync::{CancellationToken, PollSemaphore};

use crate::{
    BufferPool, PartList, PartStore, ReadError,
    opener::{Opener, Wanted},
    pool::{self, Buffer, Room},
};

/// What one stream has in buffers at most, if segments are not larger: one being sent, one waiting,
/// and a batch being opened.
const IN_FLIGHT_BYTES: usize = 256 << 10;

/// How many bytes a job opens at least, if there is room.
const BATCH_BYTES: usize = IN_FLIGHT_BYTES / 2;

/// With so many pieces waiting for the reader, nothing more is opened.
const ENOUGH_WAITING: usize = 2;

/// The plaintext of a blob, or of a range of it, in pieces of at most a segment.
///
/// It must be polled within a tokio runtime. It ends with [`ReadError::Locked`] when its registry
/// locks; what had been opened but not been taken by then is gone.
pub struct BlobStream {
    revoked: CancellationToken,
    reads: Weak<OpenReads>,
    number: u64,
    held: Weak<Held>,
    queue: PollSemaphore,
    /// Whether this stream stands in the queue, where room may be waiting for it already.
    queued: bool,
    work: Work,
    /// Plaintext bytes that the reader has not been given yet.
    remaining: u64,
}

enum Work {
    /// Nothing runs.
    Idle(Box<Job>),
    /// A job opens segments on a blocking thread, and comes back.
    Running(JoinHandle<Result<Box<Job>, ReadError>>),
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
            revoked: unlocked.revoked().clone(),
            reads: Arc::downgrade(&reads),
            number,
            held: Weak::clone(&held),
            queue: pool.queue(),
            queued: false,
            work: Work::Idle(Box::new(Job {
                opener: Opener::new(unlocked.share(), Arc::clone(store)),
                held,
                pool: pool.clone(),
                buffer_len: buffer_len.unwrap_or(SegmentSize::CURRENT.bytes()),
                segments_left,
            })),
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
        // A job may hold on to what the cell has dropped for another moment; this does not wait.
        if self.revoked.is_cancelled() {
            return Poll::Ready(Err(ReadError::Locked));
        }
        loop {
            let held = self.held.upgrade().ok_or(Locked)?;
            if held.is_ready_or_wakes(cx.waker()) {
                return Poll::Ready(Ok(()));
            }
            match mem::replace(&mut self.work, Work::Done) {
                Work::Idle(job) => {
                    let Poll::Ready(room) = self.poll_room(&job, cx) else {
                        self.work = Work::Idle(job);
                        return Poll::Pending;
                    };
                    self.start(job, room);
                }
                Work::Running(running) => {
                    self.work = Work::Running(running);
                    ready!(self.poll_running(cx));
                }
                Work::Failed(error) => return Poll::Ready(Err(error)),
                Work::Done => return Poll::Ready(Err(ReadError::Interrupted)),
            }
        }
    }

    /// Room for the next job; who has to wait for it waits for one buffer only, so that under
    /// pressure each stream gets on with as little as it can.
    fn poll_room(&mut self, job: &Job, cx: &mut Context<'_>) -> Poll<Room> {
        if !self.queued
            && let Some(room) = job.try_room()
        {
            return Poll::Ready(room);
        }
        self.queued = true;
        let permit = ready!(self.queue.poll_acquire_many(cx, pool::bytes(1, job.buffer_len)));
        self.queued = false;
        Poll::Ready(job.pool.grant(permit.expect("the budget is never closed"), job.buffer_len))
    }

    /// Waits for the job that is running.
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Work::Running(running) = &mut self.work {
            self.work = match ready!(Pin::new(running).poll(cx)) {
                Ok(Ok(job)) => Work::Idle(job),
                Ok(Err(error)) => Work::Failed(error),
                Err(_panicked_or_shut_down) => Work::Failed(ReadError::Interrupted),
            };
        }
        Poll::Ready(())
    }

    fn start(&mut self, job: Box<Job>, room: Room) {
        self.work = Work::Running(tokio::task::spawn_blocking(move || job.run(room)));
    }

    /// Starts the next job while the reader is busy with what it has, if the budget allows.
    fn look_ahead(&mut self, cx: &mut Context<'_>) {
        if matches!(&self.work, Work::Running(running) if running.is_finished()) {
            let _finished = self.poll_running(cx);
        }
        match mem::replace(&mut self.work, Work::Done) {
            Work::Idle(job) => match job.try_room() {
                Some(room) => self.start(job, room),
                None => self.work = Work::Idle(job),
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
                if waiting < ENOUGH_WAITING {
                    self.look_ahead(cx);
                }
                Poll::Ready(Some(Ok(bytes)))
            }
            Err(error) => {
                self.remaining = 0;
                self.work = Work::Done;
                // Leaves the queue, and gives back what may have been waiting there.
                self.queue = PollSemaphore::new(self.queue.clone_inner());
                Poll::Ready(Some(Err(error)))
            }
        }
    }
}

impl Drop for BlobStream {
    fn drop(&mut self) {
        if let Work::Running(running) = &self.work {
            running.abort();
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

/// What opens segments ahead of the reader; it wanders between the stream and a blocking thread.
struct Job {
    opener: Opener,
    held: Weak<Held>,
    pool: BufferPool,
    buffer_len: usize,
    /// Segments that are not opened yet.
    segments_left: usize,
}

impl Job {
    /// Room for the next batch, if there is one to come and the budget allows it now.
    fn try_room(&self) -> Option<Room> {
        let batch = (BATCH_BYTES / self.buffer_len).max(1).min(self.segments_left);
        if batch == 0 { None } else { self.pool.try_room(batch, self.buffer_len) }
    }

    /// Opens as many segments as there is room for, and more while the reader keeps up.
    fn run(mut self: Box<Self>, mut room: Room) -> Result<Box<Self>, ReadError> {
        let revoked = self.opener.unlocked().revoked().clone();
        loop {
            let mut waiting = 0;
            while let Some(buffer) = room.buffer(&revoked) {
                waiting = self.open_segment(buffer)?;
            }
            if waiting >= ENOUGH_WAITING {
                return Ok(self);
            }
            match self.try_room() {
                Some(more) => room = more,
                None => return Ok(self),
            }
        }
    }

    /// Opens one segment, leaves it in the cell and tells how many wait there.
    ///
    /// The way to the cell is found anew for each step, so that a lock or the end of the stream is
    /// noticed and what the cell drops is not kept alive.
    fn open_segment(&mut self, buffer: Buffer) -> Result<usize, ReadError> {
        if self.opener.needs_part() {
            let wanted = self.held.upgrade().ok_or(Locked)?.next_part();
            self.opener.take_up(&wanted.expect("there are as many parts as were counted"))?;
        }
        let bytes = self.opener.next_segment(buffer)?;
        self.segments_left -= 1;
        Ok(self.held.upgrade().ok_or(Locked)?.push(bytes))
    }
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

    /// Adds opened bytes and tells how many pieces wait now.
    fn push(&self, bytes: Bytes) -> usize {
        let (waiting, waker) = {
            let mut state = hold(&self.0);
            state.ready.push_back(bytes);
            (state.ready.len(), state.waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        waiting
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
