//! The seam through which rooms record what they do.

use std::{fmt, net::IpAddr};

use async_trait::async_trait;

use crate::{AuditError, Event};

/// Where operations are recorded.
///
/// The order of a use is: authorize, do, append, answer. A refusal is appended as well; an error of
/// `append` is answered in place of the result.
#[async_trait]
pub trait Audit: Send + Sync + fmt::Debug {
    /// Records an event; it is durable when this returns `Recorded::As`.
    async fn append(&self, event: Event) -> Result<Recorded, AuditError>;

    /// The same where blocking is allowed; panics where it is not.
    fn append_blocking(&self, event: Event) -> Result<Recorded, AuditError>;

    /// The same, without waiting: `then` is told what became of the event, as a rule on the thread
    /// that recorded it, and must be quick.
    ///
    /// Blocks only while too many events wait already; panics where blocking is not allowed.
    fn append_then(&self, event: Event, then: Then) {
        then(self.append_blocking(event));
    }

    /// Records the first of events that are alike but for their time and correlation, and counts the
    /// others of a window, whose count is recorded when the window is over.
    ///
    /// For what somebody may do thousands of times a second and what is done already, such as asking
    /// for a token: the first is durable when this returns `Recorded::As`, a crash loses the counts
    /// of at most one window.
    async fn append_first(&self, event: Event) -> Result<Recorded, AuditError> {
        self.append(event).await
    }

    /// What [`Audit::append_first`] does, where blocking is allowed; panics where it is not.
    fn append_first_blocking(&self, event: Event) -> Result<Recorded, AuditError> {
        self.append_blocking(event)
    }

    /// Counts a request that nobody in particular made: no token, a wrong one. Never waits.
    ///
    /// `kind` is a word of the code (`NoToken`), never something that a client sent.
    fn note_unauthenticated(&self, kind: &'static str, address: Option<IpAddr>);
}

/// Who is told what became of an event.
pub type Then = Box<dyn FnOnce(Result<Recorded, AuditError>) + Send>;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is durable, as this record.
    As(Sequence),
    /// It is counted with others like it, the first of which was to be recorded.
    Counted,
    /// It could not be recorded, and the settings say to go on all the same.
    Lost,
}

/// The number of a record in its node's chain; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// The record with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An audit trail in memory for tests of rooms: keeps what it is told, or refuses on demand.
#[cfg(feature = "testing")]
#[derive(Debug, Default)]
pub struct MemoryAudit {
    state: std::sync::Mutex<Memory>,
}

#[cfg(feature = "testing")]
#[derive(Debug, Default)]
struct Memory {
    events: Vec<Event>,
    unauthenticated: Vec<(&'static str, Option<IpAddr>)>,
    refusing: bool,
}

#[cfg(feature = "testing")]
impl MemoryAudit {
    /// What was recorded so far, in order.
    pub fn events(&self) -> Vec<Event> {
        self.state().events.clone()
    }

    /// What was counted so far, in order.
    pub fn unauthenticated(&self) -> Vec<(&'static str, Option<IpAddr>)> {
        self.state().unauthenticated.clone()
    }

    /// Refuses everything as a full disk would, or stops to.
    pub fn refuse(&self, refusing: bool) {
        self.state().refusing = refusing;
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(feature = "testing")]
#[async_trait]
impl Audit for MemoryAudit {
    async fn append(&self, event: Event) -> Result<Recorded, AuditError> {
        self.append_blocking(event)
    }

    fn append_blocking(&self, event: Event) -> Result<Recorded, AuditError> {
        let mut state = self.state();
        if state.refusing {
            return Err(AuditError::Full);
        }
        state.events.push(event);
        Ok(Recorded::As(Sequence::new(state.events.len() as u64)))
    }

    fn note_unauthenticated(&self, kind: &'static str, address: Option<IpAddr>) {
        self.state().unauthenticated.push((kind, address));
    }
}
