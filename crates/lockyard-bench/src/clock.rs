//! Wall clocks and CPU clocks, and the lines that tell a person how far we are.
//!
//! A bench is about real time, so this is the one room that asks the system for it.
#![expect(clippy::disallowed_methods, reason = "a bench measures by the wall clock")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Returns the present moment.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Returns the nanoseconds since 1970, to tell one run's content from another's.
pub(crate) fn nanoseconds() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// Returns the date and time in UTC, to the minute.
pub(crate) fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let seconds = i64::try_from(seconds).unwrap_or_default();
    let now = time::UtcDateTime::from_unix_timestamp(seconds).unwrap_or(time::UtcDateTime::MIN);
    let (hour, minute) = (now.hour(), now.minute());
    format!("{} {hour:02}:{minute:02} UTC", now.date())
}

/// Returns the CPU time that this process has used, all threads together.
pub(crate) fn own_cpu() -> Duration {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(spent.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(spent.tv_nsec).unwrap_or_default())
}

/// Returns whether `ready` said yes within `patience`.
pub(crate) fn wait_until(patience: Duration, mut ready: impl FnMut() -> bool) -> bool {
    let begun = now();
    while begun.elapsed() < patience {
        if ready() {
            return true;
        }
        pause(Duration::from_millis(20));
    }
    false
}
