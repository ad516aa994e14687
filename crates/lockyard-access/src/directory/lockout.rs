//! Lock-out: wrong passwords in a row make the next guess wait, longer each time.
//!
//! Failures are counted by the name that was tried, whether or not somebody has it, so that a lock
//! says nothing about who is here. They are records that expire: a restart forgets none of them.
//! A lock refuses the right password too, and is not prolonged by what is tried meanwhile.

use lockyard_base::Timestamp;

use super::{
    Directory,
    limit::{FAILURES_FREE, FORGET_AFTER, LOCK_FIRST, LOCK_MAX},
    principal::folded,
};
use crate::RecordError;

const FAILURES: &str = "directory failures";

/// How many names that nobody has are counted at once: whoever tries more names than these is not
/// locked out of them, which costs them a stretch for each and gains them nothing.
const STRANGERS_MAX: u64 = 10_000;

/// How often in a row somebody was wrong, and until when they wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failures {
    count: u32,
    pub(super) until: Timestamp,
}

impl Failures {
    fn next(before: Option<Self>, now: Timestamp) -> Self {
        let count = before.map_or(0, |before| before.count).saturating_add(1);
        let until = match count.checked_sub(FAILURES_FREE) {
            Some(doublings) => {
                now + LOCK_FIRST.saturating_mul(1 << doublings.min(16)).min(LOCK_MAX)
            }
            None => now,
        };
        Self { count, until }
    }

    fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.count.to_be_bytes());
        bytes[4..].copy_from_slice(&self.until.as_micros().to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (count, until) = bytes.split_first_chunk::<4>()?;
        let until = i64::from_be_bytes(until.try_into().ok()?);
        let count = u32::from_be_bytes(*count);
        Some(Self { count, until: Timestamp::from_micros(until) })
    }
}

impl Directory {
    /// The failures that count against a name.
    pub(super) fn failures(&self, name: &str) -> Result<Option<Failures>, RecordError> {
        match self.records.get(FAILURES, name.as_bytes())? {
            Some(value) => Failures::from_bytes(&value).map(Some).ok_or(RecordError::Damaged),
            None => Ok(None),
        }
    }

    /// Counts one more; durable when this returns.
    pub(super) fn count_failure(
        &self,
        name: &str,
        before: Option<Failures>,
        known: bool,
    ) -> Result<(), RecordError> {
        let now = self.now();
        let (name, value) = (name.to_owned(), Failures::next(before, now).to_bytes());
        self.records.write_blocking(move |txn| {
            let strangers = txn.count(FAILURES)?;
            if known || before.is_some() || strangers < STRANGERS_MAX {
                txn.put_until(FAILURES, name.as_bytes(), &value, now + FORGET_AFTER)?;
            }
            Ok(())
        })
    }

    /// Forgets all failures of a name.
    pub(super) fn forget_failures(&self, upn: &str) -> Result<(), RecordError> {
        self.records.remove(FAILURES, folded(upn).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_failure_after_the_free_ones_doubles_the_wait_up_to_its_bound() {
        let now = Timestamp::from_micros(0);
        let mut failures = None;
        let waits: Vec<Duration> = (1..=FAILURES_FREE + 40)
            .map(|_| {
                let next = Failures::next(failures, now);
                failures = Some(next);
                Duration::from_micros(next.until.as_micros().unsigned_abs())
            })
            .collect();
        let free = FAILURES_FREE as usize - 1;
        assert!(waits[..free].iter().all(Duration::is_zero));
        assert_eq!(waits[free..free + 3], [LOCK_FIRST, LOCK_FIRST * 2, LOCK_FIRST * 4]);
        assert_eq!(waits.last(), Some(&LOCK_MAX));
        let last = failures.unwrap();
        assert_eq!(Failures::from_bytes(&last.to_bytes()), Some(last));
    }
}
