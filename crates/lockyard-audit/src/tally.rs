//! Counts what anybody can cause without a key: requests that nobody in particular made.
//!
//! One event for each would let strangers fill the disk. They are counted by kind, with some of the
//! addresses, and a window's count is recorded as one event. A crash loses the counts of at most
//! one window.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::IpAddr,
    time::Duration,
};

use lockyard_base::{BootInstant, Clock, Timestamp};

use crate::{
    Event, Operation, Outcome,
    event::{Tallied, rfc3339},
};

/// Kinds that are told apart in one window; the others are counted together.
pub const KINDS_MAX: usize = 32;
/// Addresses that are remembered of one kind in one window.
pub const ADDRESSES_MAX: usize = 16;

const OTHERS: &str = "Others";

/// The counts of the present window.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    since: Option<(BootInstant, Timestamp)>,
    kinds: BTreeMap<&'static str, Count>,
}

#[derive(Debug, Default)]
struct Count {
    count: u64,
    addresses: BTreeSet<IpAddr>,
}

impl Tally {
    pub(crate) fn note(&mut self, kind: &'static str, address: Option<IpAddr>, clock: &dyn Clock) {
        self.since.get_or_insert_with(|| (clock.boot(), clock.wall()));
        let known = self.kinds.contains_key(kind) || self.kinds.len() < KINDS_MAX;
        let count = self.kinds.entry(if known { kind } else { OTHERS }).or_default();
        count.count = count.count.saturating_add(1);
        if count.addresses.len() < ADDRESSES_MAX {
            count.addresses.extend(address);
        }
    }

    /// Takes the lines of a window that is over; none if there is none.
    pub(crate) fn take(&mut self, window: Option<Duration>, clock: &dyn Clock) -> Vec<Vec<u8>> {
        let Some((started, since)) = self.since else { return Vec::new() };
        if window.is_some_and(|window| clock.boot().since(started) < window) {
            return Vec::new();
        }
        self.since = None;
        let outcome = || Outcome::failed(401, "Unauthorized", "counted, not recorded one by one");
        let line = |(kind, count): (&'static str, Count)| {
            let addresses = count.addresses.iter().map(ToString::to_string).collect();
            let more = Tallied { count: count.count, since: rfc3339(since), kind, addresses };
            Event::new(Operation::AUTHENTICATION, "", outcome()).line(clock.wall(), Some(more))
        };
        mem::take(&mut self.kinds).into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use lockyard_base::HandClock;

    use super::*;

    #[test]
    fn a_window_is_one_line_for_each_kind_and_both_lists_have_their_limits() {
        let clock = HandClock::default();
        let mut tally = Tally::default();
        let (almost, window) = (Duration::from_micros(59_999_999), Duration::from_secs(60));
        for number in 0..=u8::try_from(ADDRESSES_MAX).expect("few") {
            tally.note("NoToken", Some([192, 0, 2, number].into()), &clock);
        }
        clock.advance(almost);
        assert!(tally.take(Some(window), &clock).is_empty());
        clock.advance(Duration::from_micros(1));
        let lines = tally.take(Some(window), &clock);
        assert_eq!(lines.len(), 1);
        let line: serde_json::Value = serde_json::from_slice(&lines[0]).expect("JSON");
        let properties = &line["properties"];
        assert_eq!(properties["count"], ADDRESSES_MAX + 1);
        assert_eq!(properties["addresses"].as_array().expect("a list").len(), ADDRESSES_MAX);
        assert_eq!(properties["since"], "2023-11-14T22:13:20Z");
        assert_eq!(line["operationName"], "Authentication");
        assert!(tally.take(None, &clock).is_empty(), "a window is told once");

        let many: [&'static str; KINDS_MAX + 2] = std::array::from_fn(|number| {
            let name: &'static str = Box::leak(format!("Kind{number}").into_boxed_str());
            name
        });
        for kind in many {
            tally.note(kind, None, &clock);
        }
        let lines = tally.take(None, &clock);
        assert_eq!(lines.len(), KINDS_MAX + 1);
        let others = lines.iter().filter(|line| {
            let line: serde_json::Value = serde_json::from_slice(line).expect("JSON");
            line["properties"]["kind"] == OTHERS && line["properties"]["count"] == 2
        });
        assert_eq!(others.count(), 1);
    }
}
