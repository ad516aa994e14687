//! The thread that writes a log: takes what is queued, writes it at once, answers afterwards.
//!
//! When the disk is full, events are refused, and the first refusal of each window is recorded in
//! the reserve with how many it stands for. When the disk takes records again, that is recorded
//! too, so that a gap in the log says of itself that it is one.

use std::{
    io, mem,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use lockyard_base::{BootInstant, Clock, Entropy, Timestamp, chain};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    AuditError, Checkpoint, Event, Operation, Outcome, Recorded, Sequence, Settings, Unwritable,
    checkpoint::Statement,
    event::{Tallied, rfc3339},
    format::{self, FRAME_LEN, Kind},
    keys::AuditKeys,
    reader::export,
    seam::Then,
    segments::{Resume, Segments},
    settings::{BATCH_BYTES_FULL, BATCH_EVENTS_MAX},
    sink::Sink,
    tally::Tally,
    walk::Place,
};

/// What a sealed event is longer than its text at most, frame included.
const ENTRY_COST: usize = FRAME_LEN + lockyard_seal::HEADER_LEN + 4 * lockyard_seal::TAG_LEN;
/// A checkpoint without anchors is no longer, frame included.
const CHECKPOINT_COST: usize = 1024;

type Reply<T> = oneshot::Sender<Result<T, AuditError>>;

/// What the thread is asked for.
pub(crate) enum Message {
    Append(Box<Pending>),
    Checkpoint(Reply<Checkpoint>),
    Tick(Reply<()>),
    Close(Reply<()>),
}

/// An event that waits to be recorded. Dropped before that, it says that the log is closed.
pub(crate) struct Pending {
    event: Event,
    time: Timestamp,
    line: Vec<u8>,
    /// `None` once told.
    then: Option<Then>,
}

impl Pending {
    pub(crate) fn new(event: Event, time: Timestamp, then: Then) -> Box<Self> {
        let line = event.line(time, None);
        Box::new(Self { event, time, line, then: Some(then) })
    }

    fn answer(mut self, outcome: Result<Recorded, AuditError>) {
        if let Some(then) = self.then.take() {
            then(outcome);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(then) = self.then.take() {
            then(Err(AuditError::Closed));
        }
    }
}

/// Operations that were not recorded since the log could last be written.
struct Missed {
    since: Timestamp,
    /// Those that no record stands for yet.
    count: u64,
    /// When a record last stood for some.
    noted: Option<BootInstant>,
}

/// The log as its thread has it.
pub(crate) struct Desk {
    keys: AuditKeys,
    segments: Segments,
    place: Place,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    settings: Settings,
    tally: Arc<Mutex<Tally>>,
    sink: Option<Sink>,
    missed: Option<Missed>,
    /// Records since the last checkpoint.
    unsigned: u64,
    signed_at: BootInstant,
    recorded: watch::Sender<u64>,
    closed: bool,
}

impl Desk {
    pub(crate) fn new(
        keys: AuditKeys,
        segments: Segments,
        place: Place,
        (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
        settings: Settings,
        tally: &Arc<Mutex<Tally>>,
    ) -> Self {
        Self {
            keys,
            segments,
            place,
            signed_at: clock.boot(),
            clock,
            entropy,
            sink: settings.json_lines.clone().map(Sink::new),
            settings,
            tally: Arc::clone(tally),
            recorded: watch::Sender::new(place.sequence),
            missed: None,
            unsigned: 0,
            closed: false,
        }
    }

    /// The number of the newest durable record.
    pub(crate) fn recorded(&self) -> watch::Receiver<u64> {
        self.recorded.subscribe()
    }

    /// Begins the first segment and records that the log was opened. A disk that refuses is no
    /// reason to stop here: events will be refused until it does not any more.
    pub(crate) fn begin(&mut self, resume: &Resume) {
        let mut event = Event::new(Operation::AUDIT_OPENED, "", Outcome::ok());
        if resume.torn > 0 {
            event.outcome.description =
                format!("a write of {} bytes had been cut off", resume.torn);
        }
        let line = event.line(self.clock.wall(), None);
        let now = self.clock.wall();
        let done = self
            .segments
            .begin(&mut self.place, now)
            .and_then(|()| self.record(&[line], None).map(drop));
        if let Err(error) = done {
            self.tell(&AuditError::from_io(error));
            self.miss(0);
        }
    }

    /// Works until the log is closed or its last holder goes.
    pub(crate) fn serve(&mut self, mut messages: mpsc::Receiver<Message>) {
        let mut next = None;
        while !self.closed {
            let Some(message) = next.take().or_else(|| messages.blocking_recv()) else { break };
            // Where every processor is busy, those who work go on until their turn is over, and more
            // events share a sync. On an idle one this returns at once.
            thread::yield_now();
            match message {
                Message::Append(first) => next = self.collect(first, &mut messages),
                Message::Checkpoint(reply) => drop(reply.send(self.checkpoint(false))),
                Message::Tick(reply) => drop(reply.send(self.tick())),
                Message::Close(reply) => {
                    self.close();
                    drop(reply.send(Ok(())));
                }
            }
        }
        self.close();
    }

    /// Takes what else is queued and records it together; returns what came after.
    fn collect(
        &mut self,
        first: Box<Pending>,
        messages: &mut mpsc::Receiver<Message>,
    ) -> Option<Message> {
        let mut bytes = first.line.len() + ENTRY_COST;
        let mut batch = vec![*first];
        let mut next = None;
        while batch.len() < BATCH_EVENTS_MAX && bytes < BATCH_BYTES_FULL {
            match messages.try_recv() {
                Ok(Message::Append(pending)) => {
                    bytes += pending.line.len() + ENTRY_COST;
                    batch.push(*pending);
                }
                Ok(other) => {
                    next = Some(other);
                    break;
                }
                Err(_) => break,
            }
        }
        self.append(batch);
        next
    }

    fn append(&mut self, mut batch: Vec<Pending>) {
        let lines: Vec<Vec<u8>> =
            batch.iter_mut().map(|pending| mem::take(&mut pending.line)).collect();
        match self.extra().and_then(|extra| self.write(extra, lines)) {
            Ok(first) => {
                for (number, pending) in (first..).zip(batch) {
                    pending.answer(Ok(Recorded::As(Sequence::new(number))));
                }
            }
            Err(error) => self.refuse(batch, &AuditError::from_io(error)),
        }
    }

    /// What the log itself has to record before the next event.
    fn extra(&mut self) -> io::Result<Vec<Vec<u8>>> {
        let now = self.clock.wall();
        if !self.segments.is_open() {
            self.segments.begin(&mut self.place, now)?;
        }
        let Some(missed) = &self.missed else { return Ok(Vec::new()) };
        let more = Tallied {
            count: missed.count,
            since: rfc3339(missed.since),
            kind: match self.settings.unwritable {
                Unwritable::Refuse => "Refused",
                Unwritable::Allow => "Unrecorded",
            },
            addresses: Vec::new(),
        };
        let event = Event::new(Operation::AUDIT_RESUMED, "", Outcome::ok());
        Ok(vec![event.line(now, Some(more))])
    }

    /// Records lines with a checkpoint if one is due; returns the number of the first of `lines`.
    fn write(&mut self, extra: Vec<Vec<u8>>, lines: Vec<Vec<u8>>) -> io::Result<u64> {
        let ahead = extra.len() as u64;
        let mut all = extra;
        all.extend(lines);
        let cost = cost(&all);
        if self.segments.is_full_for(self.place.offset, cost) {
            self.rotate()?;
        }
        self.segments.make_room(self.place.offset, cost)?;
        let due = self.unsigned + all.len() as u64 >= self.settings.checkpoint_records
            || self.clock.boot().since(self.signed_at) >= self.settings.checkpoint_after;
        let first = self.place.sequence + 1 + ahead;
        self.record(&all, due.then_some(false))?;
        self.missed = None;
        Ok(first)
    }

    /// Writes records and, if told so, a checkpoint behind them; all durable when this returns.
    fn record(&mut self, lines: &[Vec<u8>], sign: Option<bool>) -> io::Result<Option<Checkpoint>> {
        let node = self.keys.identity.node;
        let (mut head, mut sequence) = (self.place.head, self.place.sequence);
        let mut out = Vec::with_capacity(cost(lines));
        for line in lines {
            sequence += 1;
            let body = self.keys.seal(&*self.entropy, sequence, &head, line);
            let first = out.is_empty();
            head = format::put_frame(&mut out, Kind::Entry, first, sequence, &body, &head);
        }
        let checkpoint = sign.map(|closing| {
            let (oldest, before_oldest) = self.segments.oldest();
            let time = self.clock.wall();
            let statement = Statement { sequence, head, oldest, before_oldest, time, closing };
            Checkpoint::sign(&self.keys, statement)
        });
        if let Some(checkpoint) = &checkpoint {
            sequence += 1;
            let first = out.is_empty();
            let body = checkpoint.to_json();
            let kind = Kind::Checkpoint;
            head = format::put_frame(&mut out, kind, first, sequence, body.as_bytes(), &head);
        }
        self.segments.write(&self.place, &out)?;
        let from = self.place.sequence + 1;
        self.place = Place { offset: self.place.offset + out.len(), head, sequence };
        self.recorded.send_replace(sequence);
        if checkpoint.is_some() {
            (self.unsigned, self.signed_at) = (0, self.clock.boot());
        } else {
            self.unsigned += lines.len() as u64;
        }
        if let Some(sink) = &mut self.sink {
            let lines = (from..).zip(lines).map(|(number, line)| export(node, number, line));
            sink.write(&lines.collect::<Vec<_>>());
        }
        Ok(checkpoint)
    }

    /// Ends the segment with a checkpoint and begins another.
    fn rotate(&mut self) -> io::Result<()> {
        if self.unsigned > 0 && self.segments.fits_reserve(self.place.offset, CHECKPOINT_COST) {
            self.record(&[], Some(false))?;
        }
        self.segments.begin(&mut self.place, self.clock.wall())
    }

    /// Answers events that could not be recorded.
    fn refuse(&mut self, batch: Vec<Pending>, error: &AuditError) {
        self.tell(error);
        self.miss(batch.len() as u64);
        if error.is_full()
            && let Some(first) = batch.first()
        {
            self.note_refusal(first);
        }
        for pending in batch {
            pending.answer(match self.settings.unwritable {
                Unwritable::Refuse => Err(error.clone()),
                Unwritable::Allow => Ok(Recorded::Lost),
            });
        }
    }

    fn miss(&mut self, count: u64) {
        let since = self.clock.wall();
        let missed = self.missed.get_or_insert(Missed { since, count: 0, noted: None });
        missed.count = missed.count.saturating_add(count);
    }

    /// Says once in a while in the operator's log what is the matter.
    fn tell(&self, error: &AuditError) {
        if self.missed.is_none() {
            match self.settings.unwritable {
                Unwritable::Refuse => tracing::error!(
                    cause = %chain(error), "the audit trail cannot be written: uses of keys are refused"
                ),
                Unwritable::Allow => tracing::error!(
                    cause = %chain(error), "the audit trail cannot be written: uses of keys go unrecorded"
                ),
            }
        }
    }

    /// Records in the reserve that an event could not be recorded, once in a window.
    fn note_refusal(&mut self, pending: &Pending) {
        let now = self.clock.boot();
        let Some(missed) = &self.missed else { return };
        if missed.noted.is_some_and(|noted| now.since(noted) < self.settings.window) {
            return;
        }
        let mut event = pending.event.clone();
        if self.settings.unwritable == Unwritable::Refuse && !event.done {
            event.outcome =
                Outcome::failed(503, "ServiceUnavailable", "refused: the audit trail is full");
        }
        let more = Tallied {
            count: missed.count,
            since: rfc3339(missed.since),
            kind: "AuditFull",
            addresses: Vec::new(),
        };
        let line = event.line(pending.time, Some(more));
        let fits = self.segments.fits_reserve(self.place.offset, line.len() + ENTRY_COST);
        if fits
            && self.record(&[line], None).is_ok()
            && let Some(missed) = &mut self.missed
        {
            missed.count = 0;
            missed.noted = Some(now);
        }
    }

    fn checkpoint(&mut self, closing: bool) -> Result<Checkpoint, AuditError> {
        let write = |desk: &mut Self| -> io::Result<Checkpoint> {
            let extra = desk.extra()?;
            let cost = cost(&extra);
            if desk.segments.is_full_for(desk.place.offset, cost) {
                desk.rotate()?;
            }
            desk.segments.make_room(desk.place.offset, cost)?;
            let checkpoint = desk.record(&extra, Some(closing))?;
            desk.missed = None;
            checkpoint.ok_or_else(|| io::ErrorKind::Other.into())
        };
        write(self).map_err(AuditError::from_io)
    }

    fn tick(&mut self) -> Result<(), AuditError> {
        self.flush(false).map_err(AuditError::from_io)?;
        let due = self.clock.boot().since(self.signed_at) >= self.settings.checkpoint_after;
        if due && self.unsigned > 0 {
            self.checkpoint(false)?;
        }
        self.let_go()
    }

    /// Records the counts of a window that is over, or of any if `now`.
    fn flush(&mut self, now: bool) -> io::Result<()> {
        let window = (!now).then_some(self.settings.window);
        let lines = {
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.take(window, &*self.clock)
        };
        let mut left = lines.len() as u64;
        let mut done = Ok(());
        // No write is longer than a batch of events: readers count on that.
        for part in batches(lines) {
            let count = part.len() as u64;
            done = self.extra().and_then(|extra| self.write(extra, part)).map(drop);
            if done.is_err() {
                break;
            }
            left -= count;
        }
        if left > 0 {
            self.miss(left);
        }
        done
    }

    /// Lets go of segments that were kept long enough: signs that first, then removes them.
    fn let_go(&mut self) -> Result<(), AuditError> {
        let Some(keep) = self.settings.keep else { return Ok(()) };
        let gone = self.segments.let_go(self.clock.wall().saturating_sub(keep));
        if gone.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.checkpoint(false) {
            self.segments.keep_again(gone);
            return Err(error);
        }
        self.segments.remove(&gone).map_err(AuditError::from_io)
    }

    fn close(&mut self) {
        if mem::replace(&mut self.closed, true) {
            return;
        }
        let done =
            self.flush(true).map_err(AuditError::from_io).and_then(|()| self.checkpoint(true));
        if let Err(error) = done {
            tracing::warn!(cause = %chain(&error), "the audit trail was closed without a checkpoint");
        }
    }
}

/// Lines in as many pieces as writes are needed for them.
fn batches(lines: Vec<Vec<u8>>) -> Vec<Vec<Vec<u8>>> {
    let mut batches: Vec<Vec<Vec<u8>>> = Vec::new();
    let mut bytes = BATCH_BYTES_FULL;
    for line in lines {
        let room = batches
            .last_mut()
            .filter(|batch| batch.len() < BATCH_EVENTS_MAX && bytes < BATCH_BYTES_FULL);
        if let Some(batch) = room {
            bytes += line.len() + ENTRY_COST;
            batch.push(line);
        } else {
            bytes = line.len() + ENTRY_COST;
            batches.push(vec![line]);
        }
    }
    batches
}

fn cost(lines: &[Vec<u8>]) -> usize {
    lines.iter().fold(CHECKPOINT_COST, |sum, line| sum + line.len() + ENTRY_COST)
}
