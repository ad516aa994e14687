//! A blob's plaintext as a stream: the asynchronous half of a read.
//!
//! Production is driven by demand. What the system has in memory is read and opened at once, on the
//! task that asks: that is a matter of microseconds, and waking another thread for it costs as much
//! and keeps the processor's cache cold. What would have to wait for a device is left to a short job
//! on a blocking thread, which opens the next few segments and ends as soon as enough wait. So a
//! client that stalls holds no thread, and no more buffers than it asked for.
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
use tokio::task::{JoinHandle, coop};
use tokio_util::sync::{CancellationToken, PollSemaphore};

use crate::{
    BufferPool, PartList, PartStore, ReadError,
    opener::{Opener, Patience, Wanted},
    pool::{self, Buffer, Room, Tab},
};

/// How many bytes a job opens at least, if there is room.
const BATCH_BYTES: usize = 128 << 10;

/// Longer segments are never opened on the task that asks, which shares its thread with others.
const HERE_BYTES_MAX: usize = SegmentSize::CURRENT.bytes();

/// With so many pieces waiting for the reader, a job opens nothing more.
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
    /// What of this stream is with the reader or waits for it.
    tab: Arc<Tab>,
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
        let tab = pool.tab();
        let mut stream = Self {
            revoked: unlocked.revoked().clone(),
            reads: Arc::downgrade(&reads),
            number,
            held: Weak::clone(&held),
            queue: pool.queue(),
            queued: false,
            tab: Arc::clone(&tab),
            work: Work::Idle(Box::new(Job {
                opener: Opener::new(unlocked.share(), Arc::clone(store)),
                held,
                pool: pool.clone(),
                tab,
                buffer_len: buffer_len.unwrap_or(SegmentSize::CURRENT.bytes()),
                segments_left,
                waits: false,
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
                Work::Idle(job) => ready!(self.poll_idle(job, cx)),
                Work::Running(running) => {
                    self.work = Work::Running(running);
                    ready!(self.poll_running(cx));
                }
                Work::Failed(error) => return Poll::Ready(Err(error)),
                Work::Done => return Poll::Ready(Err(ReadError::Interrupted)),
            }
        }
    }

    /// Opens the next segment, or lets a job do it.
    fn poll_idle(&mut self, mut job: Box<Job>, cx: &mut Context<'_>) -> Poll<()> {
        let here = job.opens_here();
        let polled = match job.pool.poll_turn(&self.tab, job.buffer_len, cx) {
            Poll::Ready(()) if here => self.poll_room_here(&job, cx),
            Poll::Ready(()) => self.poll_room(&job, job.batch(), cx),
            Poll::Pending => Poll::Pending,
        };
        let Poll::Ready(room) = polled else {
            self.work = Work::Idle(job);
            return Poll::Pending;
        };
        if !here {
            self.start(job, room);
            return Poll::Ready(());
        }
        self.work = match job.open_here(room) {
            Ok(()) => Work::Idle(job),
            Err(error) => Work::Failed(error),
        };
        Poll::Ready(())
    }

    /// Room for one segment that is opened on this task, if the task has not had its turn.
    fn poll_room_here(&mut self, job: &Job, cx: &mut Context<'_>) -> Poll<Room> {
        let turn = ready!(coop::poll_proceed(cx));
        let room = ready!(self.poll_room(job, 1, cx));
        turn.made_progress();
        Poll::Ready(room)
    }

    /// Room for `count` segments; who has to wait for it waits for one buffer only, so that under
    /// pressure each stream gets on with as little as it can.
    fn poll_room(&mut self, job: &Job, count: usize, cx: &mut Context<'_>) -> Poll<Room> {
        if !self.queued
            && let Some(room) = job.try_room(count)
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

    /// Starts the next job while the reader is busy with what it has, if jobs have to wait for a
    /// device and the budget allows.
    fn look_ahead(&mut self, cx: &mut Context<'_>) {
        if matches!(&self.work, Work::Running(running) if running.is_finished()) {
            let _finished = self.poll_running(cx);
        }
        match mem::replace(&mut self.work, Work::Done) {
            Work::Idle(job) if !job.opens_here() => match self.try_ahead(&job, cx) {
                Some(room) => self.start(job, room),
                None => self.work = Work::Idle(job),
            },
            other => self.work = other,
        }
    }

    fn try_ahead(&self, job: &Job, cx: &Context<'_>) -> Option<Room> {
        let turn = job.pool.poll_turn(&self.tab, job.buffer_len, cx);
        if turn.is_ready() { job.try_room(job.batch()) } else { None }
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

/// What opens segments for the reader; it wanders between the stream and a blocking thread.
struct Job {
    opener: Opener,
    held: Weak<Held>,
    pool: BufferPool,
    tab: Arc<Tab>,
    buffer_len: usize,
    /// Segments that are not opened yet.
    segments_left: usize,
    /// Whether the last segments had to wait for a device, so that the next ones will.
    waits: bool,
}

impl Job {
    /// Whether the next segment may be opened on a thread that must not block. A part is taken up
    /// elsewhere, because that opens a file.
    fn opens_here(&self) -> bool {
        !self.waits && !self.opener.needs_part() && self.buffer_len <= HERE_BYTES_MAX
    }

    /// How many segments are opened in one go.
    fn batch(&self) -> usize {
        (BATCH_BYTES / self.buffer_len).max(1).min(self.segments_left)
    }

    /// Room for `count` segments, if there are any to come and the budget allows it now.
    fn try_room(&self, count: usize) -> Option<Room> {
        if count == 0 { None } else { self.pool.try_room(count, self.buffer_len) }
    }

    /// Opens one segment, unless it would have to wait: then it only remembers that.
    fn open_here(&mut self, mut room: Room) -> Result<(), ReadError> {
        let buffer = room.buffer(self.opener.unlocked().revoked(), &self.tab);
        let buffer = buffer.expect("there is room for one");
        match self.opener.next_segment(buffer, Patience::Now)? {
            Ok(bytes) => {
                let _waiting = self.hand_over(bytes)?;
            }
            Err(_buffer) => self.waits = true,
        }
        Ok(())
    }

    /// Opens as many segments as there is room for, and more while the reader keeps up.
    fn run(mut self: Box<Self>, mut room: Room) -> Result<Box<Self>, ReadError> {
        let revoked = self.opener.unlocked().revoked().clone();
        self.waits = false;
        loop {
            let mut waiting = 0;
            while let Some(buffer) = room.buffer(&revoked, &self.tab) {
                waiting = self.open_segment(buffer)?;
            }
            if waiting >= ENOUGH_WAITING {
                return Ok(self);
            }
            match self.try_room(self.batch()) {
                Some(more) => room = more,
                None => return Ok(self),
            }
        }
    }

    /// Opens one segment, leaves it in the cell and tells how many wait there.
    fn open_segment(&mut self, buffer: Buffer) -> Result<usize, ReadError> {
        if self.opener.needs_part() {
            let wanted = self.held.upgrade().ok_or(Locked)?.next_part();
            self.opener.take_up(&wanted.expect("there are as many parts as were counted"))?;
        }
        let bytes = match self.opener.next_segment(buffer, Patience::Now)? {
            Ok(bytes) => bytes,
            Err(buffer) => {
                self.waits = true;
                self.opener.next_segment(buffer, Patience::Wait)?.ok().expect("it has waited")
            }
        };
        self.hand_over(bytes)
    }

    /// Leaves opened bytes in the cell and tells how many pieces wait there.
    ///
    /// The way to the cell is found anew for each piece, so that a lock or the end of the stream is
    /// noticed and what the cell drops is not kept alive.
    fn hand_over(&mut self, bytes: Bytes) -> Result<usize, ReadError> {
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
