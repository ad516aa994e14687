//! Time as a parameter.
//!
//! Two clocks, because they answer two questions: the wall clock says *when* (it may jump), the
//! boot clock says *how long* (it never jumps, and it runs on while the machine sleeps, so that a
//! lease does not outlive a suspended laptop).

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

/// Where time comes from. Rooms take `Arc<dyn Clock>`; nothing else reads a clock.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The wall clock: UTC, may jump when somebody sets it.
    fn wall(&self) -> Timestamp;
    /// The boot clock: monotonic, counts time spent asleep (`CLOCK_BOOTTIME`).
    fn boot(&self) -> BootInstant;
}

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Makes a timestamp from microseconds since the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This time less `span`, or the earliest representable one.
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(micros(span)))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }
}

/// An instant of the boot clock; only differences mean anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// The instant that lies `since_boot` after the machine's start.
    pub const fn from_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// How long after `earlier` this instant is; zero if it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for BootInstant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl Sub<Duration> for BootInstant {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Timestamp(now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000))
    }

    fn boot(&self) -> BootInstant {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let secs = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(now.tv_nsec).unwrap_or(0);
        BootInstant(Duration::new(secs, nanos))
    }
}

/// A clock that moves only when a test winds it.
#[cfg(feature = "testing")]
#[derive(Debug)]
pub struct HandClock(std::sync::Mutex<(Timestamp, BootInstant)>);

#[cfg(feature = "testing")]
impl HandClock {
    /// A clock that stands at `wall`, one hour after boot.
    pub fn at(wall: Timestamp) -> Self {
        Self(std::sync::Mutex::new((wall, BootInstant(Duration::from_secs(3600)))))
    }

    /// Moves both clocks forward.
    pub fn advance(&self, span: Duration) {
        let mut now = self.0.lock().expect("no test panics while winding");
        *now = (now.0 + span, now.1 + span);
    }
}

#[cfg(feature = "testing")]
impl Default for HandClock {
    fn default() -> Self {
        Self::at(Timestamp(1_700_000_000_000_000))
    }
}

#[cfg(feature = "testing")]
impl Clock for HandClock {
    fn wall(&self) -> Timestamp {
        self.0.lock().expect("no test panics while winding").0
    }

    fn boot(&self) -> BootInstant {
        self.0.lock().expect("no test panics while winding").1
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
