//! The front door of a log: opening it, and recording into it.
//!
//! Whoever appends waits until the event is on stable storage; many who wait at once share one
//! write and one sync, made by one thread (`desk`).

use std::{
    fmt, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use async_trait::async_trait;
use lockyard_base::{Clock, Entropy, NodeId};
use lockyard_blobs::Disk;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    Audit, AuditError, AuditSecret, Checkpoint, Event, KeysError, OpenAuditError, PublicKey,
    Recorded, Settings,
    chain::{self, Chain},
    desk::{Desk, Message, Pending},
    files,
    format::{torn, written},
    keys::{self, AuditKeys},
    refusals::Admitted,
    seam::Then,
    segments::{Kept, Resume, Segments},
    settings::{QUEUE_MAX, TORN_BYTES_MAX},
    tally::Tally,
    walk::{Place, walk},
};

/// What a log is opened with.
#[derive(Debug)]
pub struct Opening {
    /// Its directory, made if it is missing; the caller makes sure that no other process writes it.
    pub directory: PathBuf,
    /// What opens its keys.
    pub secret: AuditSecret,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// How it behaves.
    pub settings: Settings,
}

/// A log that this process writes.
pub struct AuditLog {
    node: NodeId,
    public_key: PublicKey,
    new: bool,
    clock: Arc<dyn Clock>,
    tally: Arc<Mutex<Tally>>,
    recorded: watch::Receiver<u64>,
    /// `None` once the log is being dropped.
    queue: Option<mpsc::Sender<Message>>,
    thread: Option<JoinHandle<()>>,
}

impl AuditLog {
    /// Opens the log, or makes a new one in an empty directory. Blocks on the disk.
    ///
    /// The chain goes on in a new segment, which says where the one before ended and what a crash
    /// left behind there; no byte that was written is ever changed.
    pub fn open(opening: Opening) -> Result<Arc<Self>, OpenAuditError> {
        let Opening { directory, secret, disk, clock, entropy, settings } = opening;
        let settings = settings.within_limits();
        make_directory(&*disk, &directory).map_err(OpenAuditError::Io)?;
        let listing = files::list(&*disk, &directory).map_err(OpenAuditError::Io)?;
        let new = listing.segments.is_empty();
        let keys = keys(&*disk, &directory, &secret, &*entropy, new)?;
        let chain = Chain::read(&*disk, &directory, keys.identity.node, &listing.segments)
            .map_err(OpenAuditError::Io)?;
        let (resume, place) = resume(&*disk, &directory, &chain).map_err(OpenAuditError::Io)?;
        let identity = keys.identity;
        let kept = chain.headers.iter().map(Kept::of).collect();
        let segments =
            Segments::new(disk, directory, (identity.node, kept), chain.highest, resume, &settings);
        let tally = Arc::new(Mutex::new(Tally::default()));
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        let mut desk =
            Desk::new(keys, segments, place, (Arc::clone(&clock), entropy), settings, &tally);
        let damaged = resume.torn > TORN_BYTES_MAX as u64;
        if damaged {
            tracing::error!("the end of the audit trail is damaged: run `lockyard audit verify`");
        } else if resume.torn > 0 {
            tracing::warn!(bytes = resume.torn, "a write to the audit trail had been cut off");
        }
        desk.begin(&resume);
        let recorded = desk.recorded();
        let thread = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || desk.serve(messages))
            .map_err(OpenAuditError::Thread)?;
        Ok(Arc::new(Self {
            node: identity.node,
            public_key: identity.public,
            new,
            clock,
            tally,
            recorded,
            queue: Some(queue),
            thread: Some(thread),
        }))
    }

    /// Whose chain this is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// What verifies the log's checkpoints; worth writing down elsewhere.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Whether this opening made the log. Where there should have been one, that one is lost.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// The number of the newest durable record, for whoever reads the log as it grows.
    pub fn recorded(&self) -> watch::Receiver<u64> {
        self.recorded.clone()
    }

    /// Signs how far the log has come, in the log and for keeping elsewhere.
    pub async fn checkpoint(&self) -> Result<Checkpoint, AuditError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Checkpoint(reply)).await?;
        answer.await.unwrap_or(Err(AuditError::Closed))
    }

    /// Does what is due by time: counts of a window that is over, a checkpoint, retention. To be
    /// called every few seconds.
    pub async fn tick(&self) -> Result<(), AuditError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Tick(reply)).await?;
        answer.await.unwrap_or(Err(AuditError::Closed))
    }

    /// Signs a closing checkpoint and records nothing more; the second time it does nothing.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        if self.send(Message::Close(reply)).await.is_ok() {
            // A thread that is gone has closed already.
            drop(answer.await);
        }
    }

    /// Whether an event is to be recorded and not only counted.
    fn is_first(&self, event: &Event) -> bool {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.is_first(event, &*self.clock)
    }

    /// The event that is to be recorded; `None` if it is counted.
    fn admit(&self, event: Event) -> Option<Event> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match tally.refusals.admit(event, self.clock.boot()) {
            Admitted::Whole(event) => Some(event),
            Admitted::Counted(event) => tally.is_first(&event, &*self.clock).then_some(event),
        }
    }

    async fn send(&self, message: Message) -> Result<(), AuditError> {
        let queue = self.queue.as_ref().ok_or(AuditError::Closed)?;
        queue.send(message).await.map_err(|_| AuditError::Closed)
    }
}

#[async_trait]
impl Audit for AuditLog {
    async fn append(&self, event: Event) -> Result<Recorded, AuditError> {
        let Some(event) = self.admit(event) else { return Ok(Recorded::Counted) };
        let (then, answer) = answered();
        let pending = Pending::new(event, self.clock.wall(), then);
        self.send(Message::Append(pending)).await?;
        answer.await.unwrap_or(Err(AuditError::Closed))
    }

    fn append_blocking(&self, event: Event) -> Result<Recorded, AuditError> {
        let (then, answer) = answered();
        self.append_then(event, then);
        answer.blocking_recv().unwrap_or(Err(AuditError::Closed))
    }

    fn append_then(&self, event: Event, then: Then) {
        let Some(event) = self.admit(event) else { return then(Ok(Recorded::Counted)) };
        let pending = Pending::new(event, self.clock.wall(), then);
        if let Some(queue) = &self.queue {
            // What comes back from a closed queue says so itself.
            drop(queue.blocking_send(Message::Append(pending)));
        }
    }

    async fn append_first(&self, event: Event) -> Result<Recorded, AuditError> {
        if self.is_first(&event) { self.append(event).await } else { Ok(Recorded::Counted) }
    }

    fn append_first_blocking(&self, event: Event) -> Result<Recorded, AuditError> {
        if self.is_first(&event) { self.append_blocking(event) } else { Ok(Recorded::Counted) }
    }

    fn note_unauthenticated(&self, kind: &'static str, address: Option<IpAddr>) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.note(kind, address, &*self.clock);
    }
}

impl Drop for AuditLog {
    /// Closes the log in good order.
    fn drop(&mut self) {
        drop(self.queue.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the audit trail's thread panicked");
        }
    }
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuditLog").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Somebody to tell what became of an event, and what hears it.
fn answered() -> (Then, oneshot::Receiver<Result<Recorded, AuditError>>) {
    let (reply, answer) = oneshot::channel();
    // Whoever asked may have gone; the event is recorded all the same.
    (Box::new(move |outcome| drop(reply.send(outcome))), answer)
}

/// Makes the directory if it is missing. Its name is synced each time: an earlier start may have
/// made it and failed at that.
fn make_directory(disk: &dyn Disk, directory: &Path) -> io::Result<()> {
    disk.make_directory(directory)?;
    directory.parent().map_or(Ok(()), |parent| disk.sync_directory(parent))
}

/// Opens the log's keys, or draws them for a log without segments.
fn keys(
    disk: &dyn Disk,
    directory: &Path,
    secret: &AuditSecret,
    entropy: &dyn Entropy,
    fresh: bool,
) -> Result<AuditKeys, OpenAuditError> {
    match AuditKeys::open(disk, directory, secret) {
        Ok(Some(keys)) if !fresh => return Ok(keys),
        Ok(None) if !fresh => return Err(KeysError::Missing.into()),
        // A start that made the file was cut off before it recorded anything. Nobody knows whether
        // the file is durable, and nothing depends on it yet.
        Ok(Some(_)) | Err(KeysError::Damaged) if fresh => {
            disk.remove(&directory.join(keys::FILE)).map_err(OpenAuditError::Io)?;
        }
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    AuditKeys::create(disk, directory, secret, entropy).map_err(OpenAuditError::Io)
}

/// Finds where the chain goes on: behind the newest record that is not in doubt.
fn resume(disk: &dyn Disk, directory: &Path, chain: &Chain) -> io::Result<(Resume, Place)> {
    let Some(index) = chain.headers.len().checked_sub(1) else {
        return Ok((Resume::default(), Place { offset: 0, head: [0; 32], sequence: 0 }));
    };
    let header = &chain.headers[index];
    let bytes = files::read_segment(disk, directory, header.ordinal)?.unwrap_or_default();
    let walk = walk(chain.extent(index, &bytes), chain::start(header));
    if !walk.findings.is_empty() {
        tracing::error!("the audit trail is damaged: run `lockyard audit verify`");
    }
    settle(disk, directory, header.ordinal, &bytes, walk.end.offset)?;
    let (torn, torn_digest) = torn(bytes.get(walk.end.offset..).unwrap_or_default());
    let end = walk.end.offset as u64;
    Ok((Resume { previous: header.ordinal, end, torn, torn_digest }, walk.end))
}

/// Makes what was read at the end of a segment durable before the chain goes on from there.
///
/// If the sync of the last batch failed, the system may show bytes that it will never write: they
/// count as clean. Writing the same bytes again makes it write them.
fn settle(
    disk: &dyn Disk,
    directory: &Path,
    ordinal: u64,
    bytes: &[u8],
    end: usize,
) -> io::Result<()> {
    let from = end.saturating_sub(TORN_BYTES_MAX);
    let tail = bytes.get(from..from + written(&bytes[from..])).unwrap_or_default();
    let file = disk.reopen(&files::segment_path(directory, ordinal))?;
    file.write(tail, from as u64)?;
    file.sync_data()
}
