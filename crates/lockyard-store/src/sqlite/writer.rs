//! The thread that writes: takes what is queued, commits it at once, answers afterwards.
//!
//! One flush to the disk serves a whole batch (group commit). Each write has a savepoint of its
//! own, so that one that fails takes nothing else with it. Whatever goes wrong with the batch as a
//! whole (a guard refuses at the last moment, the disk is full) ends in a rollback and a replay of
//! the writes that it does not concern.

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender, TryRecvError},
    },
    thread::{self, JoinHandle, ThreadId},
    time::Duration,
};

use lockyard_base::{BootInstant, Clock};
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    begin,
    connect::{self, PATIENCE},
    end, execute,
    readers::Readers,
};
use crate::{Durability, StoreError, Txn, job::Job};

/// Writes that share a commit at most: enough to fill a flush, few enough to answer soon.
const BATCH_MAX: usize = 256;

/// Writes that wait at most; those beyond wait for a place.
const QUEUE_MAX: usize = 4096;

/// After this long without a write the log is cut, so that deleted keys leave it.
const IDLE: Duration = Duration::from_secs(1);

/// Under constant load the log is cut this often.
const LOG_AGE_MAX: Duration = Duration::from_secs(60);

/// How long an unasked cut waits for readers; the next one comes soon.
const CUT_PATIENCE: Duration = Duration::from_millis(20);

enum Message {
    Job(
        Box<dyn Job>,
        #[expect(dead_code, reason = "held until the job is taken")] Option<OwnedSemaphorePermit>,
    ),
    TruncateLog(SyncSender<Result<(), StoreError>>),
    Close,
}

/// The way to the writing thread.
pub(super) struct Writer {
    queue: Sender<Message>,
    places: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        clock: Arc<dyn Clock>,
        readers: Arc<Readers>,
    ) -> io::Result<Self> {
        let (queue, messages) = mpsc::channel();
        let mut desk = Desk { connection, log_since: None, waits: true, clock, readers };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || desk.serve(&messages))?;
        Ok(Self {
            queue,
            places: Arc::new(Semaphore::new(QUEUE_MAX)),
            thread_id: thread.thread().id(),
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) async fn submit(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| StoreError::Closed)?;
        self.send(Message::Job(job, Some(place)))
    }

    pub(super) fn submit_blocking(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.send(Message::Job(job, None))
    }

    pub(super) fn truncate_log(&self) -> Result<(), StoreError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(Message::TruncateLog(reply))?;
        answer.recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Lets the thread finish what is queued, and waits for its end.
    pub(super) fn close(&self) {
        self.places.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // A thread that is gone already has nothing left to finish.
        drop(self.send(Message::Close));
        // A job may have held the last clone of the store; the thread cannot wait for itself.
        if thread::current().id() != self.thread_id && thread.join().is_err() {
            tracing::error!("the store's writing thread panicked");
        }
    }

    fn send(&self, message: Message) -> Result<(), StoreError> {
        self.queue.send(message).map_err(|_| StoreError::Closed)
    }
}

/// The writing thread's own things.
struct Desk {
    connection: Connection,
    clock: Arc<dyn Clock>,
    /// When the first commit went into the log since it was last cut.
    log_since: Option<BootInstant>,
    /// Whether a commit waits for the disk now.
    waits: bool,
    readers: Arc<Readers>,
}

impl Desk {
    fn serve(&mut self, messages: &Receiver<Message>) {
        loop {
            let first = if self.log_since.is_some() {
                match messages.recv_timeout(IDLE) {
                    Ok(message) => message,
                    Err(RecvTimeoutError::Timeout) => {
                        self.cut_log_unasked();
                        continue;
                    }
                    Err(RecvTimeoutError::Disconnected) => break,
                }
            } else {
                match messages.recv() {
                    Ok(message) => message,
                    Err(mpsc::RecvError) => break,
                }
            };
            if !self.take(first, messages) {
                break;
            }
        }
        if let Err(error) = self.cut_log() {
            tracing::warn!(error = %lockyard_base::chain(&error), "the log stays until the next start");
        }
    }

    /// Serves one message and the jobs behind it; returns whether more may come.
    fn take(&mut self, first: Message, messages: &Receiver<Message>) -> bool {
        let mut batch = Vec::new();
        let mut next = Ok(first);
        let last = loop {
            match next {
                Ok(Message::Job(job, _)) => batch.push(job),
                Ok(other) => break Some(other),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break None,
            }
            if batch.len() == BATCH_MAX {
                break None;
            }
            next = messages.try_recv();
        };
        if !batch.is_empty() {
            self.commit(batch);
        }
        match last {
            Some(Message::Close) => return false,
            Some(Message::TruncateLog(reply)) => {
                let done = self.cut_log();
                // Whoever asked may be gone.
                drop(reply.send(done));
            }
            Some(Message::Job(..)) | None => {}
        }
        true
    }

    fn commit(&mut self, mut batch: Vec<Box<dyn Job>>) {
        let mut together = true;
        while !batch.is_empty() {
            // After trouble with the batch as a whole, each write stands for itself.
            let rest = if together { Vec::new() } else { batch.split_off(1) };
            if let Err(error) = self.promise(&batch) {
                for mut job in batch.drain(..) {
                    job.fail(error.clone());
                    job.answer();
                }
                batch.extend(rest);
                continue;
            }
            match attempt(&self.connection, self.clock.as_ref(), &self.readers, &mut batch) {
                Attempt::Committed => {
                    self.log_since.get_or_insert_with(|| self.clock.boot());
                    batch.drain(..).for_each(Job::answer);
                }
                Attempt::Refused => {
                    // Those that are refused are answered and leave; the others replay.
                    for job in batch.extract_if(.., |job| !job.permitted()) {
                        refuse(job);
                    }
                }
                Attempt::Failed(error) if batch.len() == 1 => {
                    for mut job in batch.drain(..) {
                        job.fail(error.clone());
                        job.answer();
                    }
                }
                Attempt::Failed(_) => together = false,
            }
            batch.extend(rest);
        }
        let old = |since| self.clock.boot().since(since) >= LOG_AGE_MAX;
        if self.log_since.is_some_and(old) {
            self.cut_log_unasked();
        }
    }

    /// Has the next commit wait for the disk if one of these writes has to.
    fn promise(&mut self, batch: &[Box<dyn Job>]) -> Result<(), StoreError> {
        let wait = batch.iter().any(|job| job.durability() == Durability::Now);
        if wait != self.waits {
            connect::sync_commits(&self.connection, wait)?;
            self.waits = wait;
        }
        Ok(())
    }

    fn cut_log_unasked(&mut self) {
        let cut = self
            .connection
            .busy_timeout(CUT_PATIENCE)
            .map_err(StoreError::from)
            .and_then(|()| self.cut_log());
        match cut {
            Ok(()) | Err(StoreError::Busy(_)) => {}
            Err(error) => {
                tracing::warn!(error = %lockyard_base::chain(&error), "cannot cut the log");
                // Not again and again: the next commit asks anew.
                self.log_since = None;
            }
        }
        if let Err(error) = self.connection.busy_timeout(PATIENCE) {
            tracing::warn!(%error, "cannot set the patience of the writing connection");
        }
    }

    fn cut_log(&mut self) -> Result<(), StoreError> {
        let _pause = self.readers.pause();
        let busy: i64 =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy != 0 {
            return Err(StoreError::Busy(None));
        }
        self.log_since = None;
        Ok(())
    }
}

fn refuse(mut job: Box<dyn Job>) {
    job.fail(StoreError::Refused);
    job.answer();
}

/// How one try to commit a batch ended.
enum Attempt {
    /// Each job holds its answer, and what they wrote is on the disk.
    Committed,
    /// Nothing is written; some guard says no.
    Refused,
    /// Nothing is written; the transaction itself failed.
    Failed(StoreError),
}

fn attempt(
    connection: &Connection,
    clock: &dyn Clock,
    readers: &Readers,
    batch: &mut [Box<dyn Job>],
) -> Attempt {
    if some_refused(batch) {
        return Attempt::Refused;
    }
    let ran = begin(connection, "BEGIN IMMEDIATE")
        .and_then(|()| batch.iter_mut().try_for_each(|job| run(connection, clock, job.as_mut())));
    if let Err(error) = ran {
        return abandon(connection, Attempt::Failed(error));
    }
    if some_refused(batch) {
        return abandon(connection, Attempt::Refused);
    }
    // A commit folds the log when it has grown, which a state that is held would prevent.
    let _pause = readers.pause();
    match end(connection, "COMMIT") {
        Ok(()) => {
            readers.committed();
            Attempt::Committed
        }
        Err(error) => abandon(connection, Attempt::Failed(error)),
    }
}

/// Asks every guard, so that one replay settles all refusals of this moment.
fn some_refused(batch: &mut [Box<dyn Job>]) -> bool {
    batch.iter_mut().filter_map(|job| (!job.permitted()).then_some(())).count() > 0
}

/// Runs one job in its savepoint; an error is one that ended the whole transaction.
fn run(connection: &Connection, clock: &dyn Clock, job: &mut dyn Job) -> Result<(), StoreError> {
    begin(connection, "SAVEPOINT job")?;
    let mut txn = Txn::sqlite(connection, clock.wall());
    let keep = job.run(&mut txn);
    if connection.is_autocommit() {
        // A full or failing disk made SQLite roll everything back, this job's batch mates too.
        return Err(txn.trouble().cloned().unwrap_or(StoreError::Spoiled));
    }
    if !keep {
        execute(connection, "ROLLBACK TO job", &[])?;
    }
    end(connection, "RELEASE job")
}

fn abandon(connection: &Connection, attempt: Attempt) -> Attempt {
    if !connection.is_autocommit()
        && let Err(error) = end(connection, "ROLLBACK")
    {
        tracing::error!(error = %lockyard_base::chain(&error), "cannot roll back");
    }
    attempt
}
