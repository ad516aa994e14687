//! Counts what is not recorded one by one: requests that nobody in particular made, and what
//! somebody does again and again.
//!
//! One event for each of the first would let strangers fill the disk. They are counted by kind, with
//! some of the addresses, and a window's count is recorded as one event. Of the second the first is
//! recorded and those that are like it are counted, each kind for a window of its own. A crash loses
//! the counts of at most one window.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    mem,
    net::IpAddr,
    time::Duration,
};

use lockyard_base::{BootInstant, Clock, Timestamp};

use crate::{
    Event, Operation, Outcome,
    event::{Tallied, rfc3339},
    refusals::Refusals,
};

/// Kinds that are told apart in one window; the others are counted together.
pub const KINDS_MAX: usize = 32;
/// Addresses that are remembered of one kind in one window.
pub const ADDRESSES_MAX: usize = 16;

/// Kinds of repeated events that are counted at once; what is like none of them is recorded.
pub const REPEATS_MAX: usize = 1024;

const OTHERS: &str = "Others";

/// The counts of the present window.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    since: Option<(BootInstant, Timestamp)>,
    kinds: BTreeMap<&'static str, Count>,
    repeats: HashMap<Likeness, Repeat>,
    pub(crate) refusals: Refusals,
}

/// What events have in common that are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Likeness {
    operation: Operation,
    status: u16,
    resource: String,
    caller: crate::Caller,
    asked: crate::Asked,
    reason: String,
}

/// An event that was recorded, and how many like it came after.
#[derive(Debug)]
struct Repeat {
    event: Event,
    started: BootInstant,
    since: Timestamp,
    count: u64,
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

    /// Whether an event is to be recorded: it is like none of this window. The others are counted.
    pub(crate) fn is_first(&mut self, event: &Event, clock: &dyn Clock) -> bool {
        let likeness = Likeness {
            operation: event.operation,
            status: event.outcome.status,
            resource: event.resource.clone(),
            caller: event.caller.clone(),
            asked: event.request.clone(),
            reason: event.reason.clone(),
        };
        if let Some(repeat) = self.repeats.get_mut(&likeness) {
            repeat.count = repeat.count.saturating_add(1);
            return false;
        }
        if self.repeats.len() < REPEATS_MAX {
            let (started, since) = (clock.boot(), clock.wall());
            let repeat = Repeat { event: event.clone(), started, since, count: 0 };
            let _none = self.repeats.insert(likeness, repeat);
        }
        true
    }

    /// Takes the lines of all windows that are over.
    pub(crate) fn take(&mut self, window: Option<Duration>, clock: &dyn Clock) -> Vec<Vec<u8>> {
        let mut lines = self.take_kinds(window, clock);
        let now = clock.boot();
        let over =
            |repeat: &Repeat| window.is_none_or(|window| now.since(repeat.started) >= window);
        let repeats = self.repeats.extract_if(|_, repeat| over(repeat));
        lines.extend(repeats.filter(|(_, repeat)| repeat.count > 0).map(|(_, repeat)| {
            let Repeat { event, since, count, .. } = repeat;
            let (since, kind) = (rfc3339(since), "Repeated");
            let more = Tallied { count, since, kind, addresses: Vec::new() };
            event.line(clock.wall(), Some(more))
        }));
        lines
    }

    fn take_kinds(&mut self, window: Option<Duration>, clock: &dyn Clock) -> Vec<Vec<u8>> {
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

    #[test]
    fn the_first_of_a_kind_is_recorded_and_the_others_are_counted_for_a_window() {
        let clock = HandClock::default();
        let (mut tally, window) = (Tally::default(), Duration::from_secs(60));
        let event = |who: &str| {
            let mut event = Event::new(Operation::AUTHENTICATION, "", Outcome::ok());
            event.caller.object_id = who.to_owned();
            event
        };
        assert!(tally.is_first(&event("ann"), &clock));
        let mut again = event("ann");
        again.correlation = "another".to_owned();
        again.took = Duration::from_secs(1);
        assert!(!tally.is_first(&again, &clock) && !tally.is_first(&again, &clock));
        assert!(tally.is_first(&event("bob"), &clock));
        clock.advance(Duration::from_micros(59_999_999));
        assert!(tally.take(Some(window), &clock).is_empty());
        clock.advance(Duration::from_micros(1));
        let lines = tally.take(Some(window), &clock);
        assert_eq!(lines.len(), 1, "what came once is told once");
        let line: serde_json::Value = serde_json::from_slice(&lines[0]).expect("JSON");
        assert_eq!(line["identity"]["claim"]["oid"], "ann");
        assert_eq!(line["properties"]["count"], 2);
        assert_eq!(line["properties"]["kind"], "Repeated");
        assert_eq!(line["properties"]["since"], "2023-11-14T22:13:20Z");
        assert!(tally.is_first(&event("ann"), &clock), "another window begins");
    }

    #[test]
    fn so_many_kinds_are_counted_and_what_is_like_none_of_them_is_recorded() {
        let (clock, mut tally) = (HandClock::default(), Tally::default());
        let event = |number: usize| {
            Event::new(Operation::AUTHENTICATION, number.to_string(), Outcome::ok())
        };
        for number in 0..=REPEATS_MAX {
            assert!(tally.is_first(&event(number), &clock));
        }
        assert!(!tally.is_first(&event(REPEATS_MAX - 1), &clock));
        assert!(tally.is_first(&event(REPEATS_MAX), &clock));
    }
}
