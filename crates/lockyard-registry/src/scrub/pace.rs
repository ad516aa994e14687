//! How fast a scrub reads: a bucket that fills at the given rate and holds next to nothing, so that
//! a pause is not followed by a burst.

use std::time::Duration;

use tokio::time::Instant;

/// Debts below this are not waited for one by one: timers are not that fine.
const DEBT_MIN: Duration = Duration::from_millis(10);

/// The pace of one scrub.
#[derive(Debug)]
pub(super) struct Pace {
    bytes_per_second: Option<u64>,
    since: Instant,
    /// When everything taken so far is paid for, counted from `since`.
    due: Duration,
}

impl Pace {
    pub(super) fn new(bytes_per_second: Option<u64>) -> Self {
        let bytes_per_second = bytes_per_second.map(|rate| rate.max(1));
        Self { bytes_per_second, since: Instant::now(), due: Duration::ZERO }
    }

    /// Takes `bytes` and returns how long to wait before the next ones.
    pub(super) fn take(&mut self, bytes: u64) -> Option<Duration> {
        let rate = self.bytes_per_second?;
        let now = self.since.elapsed();
        self.due = due(self.due, now, bytes, rate);
        self.due.checked_sub(now).filter(|debt| *debt >= DEBT_MIN)
    }
}

/// When `bytes` more are paid for. What was not used before `now` is lost.
fn due(due: Duration, now: Duration, bytes: u64, rate: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
    let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    due.max(now).saturating_add(cost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_are_paid_for_one_after_the_other() {
        let first = due(Duration::ZERO, Duration::ZERO, 500, 1000);
        assert_eq!(first, SECOND / 2);
        assert_eq!(due(first, Duration::ZERO, 1500, 1000), SECOND * 2);
    }

    #[test]
    fn a_pause_earns_nothing() {
        assert_eq!(due(SECOND, SECOND * 60, 1000, 1000), SECOND * 61);
    }

    #[test]
    fn extreme_numbers_wait_long_and_do_not_overflow() {
        assert!(due(Duration::MAX, Duration::ZERO, u64::MAX, 1) == Duration::MAX);
        assert!(due(Duration::ZERO, Duration::ZERO, u64::MAX, u64::MAX) == SECOND);
        assert_eq!(Pace::new(None).take(u64::MAX), None);
        assert!(Pace::new(Some(0)).take(1).is_some(), "a rate of zero counts as one");
    }
}
