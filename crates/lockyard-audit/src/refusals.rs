//! How many refusals of one caller are recorded one by one.
//!
//! Whoever can sign in can be refused as often as they like, and each refusal is an event: without
//! an end, somebody without any right could fill the disk, and uses of keys are refused where
//! nothing can be recorded. So each caller has a budget; what goes beyond it is counted by caller
//! and status (decision 0014). What is done is never counted away, only what was refused.

use std::{collections::HashMap, time::Duration};

use lockyard_base::BootInstant;

use crate::{Asked, Caller, Event, Operation, Outcome};

/// Refusals of one caller that are recorded one by one before time gives more.
pub const REFUSALS_MAX: u32 = 1000;
/// After this time one more is recorded.
pub const REFUSAL_EVERY: Duration = Duration::from_secs(10);
/// Callers whose budgets are kept apart; the others share one.
pub const CALLERS_MAX: usize = 4096;

/// The budgets.
#[derive(Debug, Default)]
pub(crate) struct Refusals(HashMap<String, Budget>);

#[derive(Clone, Copy, Debug)]
struct Budget {
    left: u32,
    /// Since when time gives more.
    since: BootInstant,
}

impl Refusals {
    /// The event as it is to be recorded or counted: itself within its caller's budget, and beyond
    /// that one which is like all others of this caller and status.
    pub(crate) fn admit(&mut self, event: Event, now: BootInstant) -> Admitted {
        let refused = (400..500).contains(&event.outcome.status) && !event.done;
        if !refused || event.caller.object_id.is_empty() {
            return Admitted::Whole(event);
        }
        if self.budget(&event.caller.object_id, now).spend(now) {
            return Admitted::Whole(event);
        }
        Admitted::Counted(beyond(event))
    }

    fn budget(&mut self, caller: &str, now: BootInstant) -> &mut Budget {
        let full = |budget: &Budget| budget.at(now).left == REFUSALS_MAX;
        if self.0.len() >= CALLERS_MAX && !self.0.contains_key(caller) {
            self.0.retain(|_, budget| !full(budget));
        }
        let known = self.0.contains_key(caller) || self.0.len() < CALLERS_MAX;
        let name = if known { caller } else { "" };
        self.0.entry(name.to_owned()).or_insert(Budget { left: REFUSALS_MAX, since: now })
    }
}

impl Budget {
    /// What it is by now.
    fn at(self, now: BootInstant) -> Self {
        let more = now.since(self.since).as_secs() / REFUSAL_EVERY.as_secs();
        let left = u64::from(self.left).saturating_add(more).min(REFUSALS_MAX.into());
        let given = Duration::from_secs(more * REFUSAL_EVERY.as_secs());
        Self { left: u32::try_from(left).unwrap_or(REFUSALS_MAX), since: self.since + given }
    }

    fn spend(&mut self, now: BootInstant) -> bool {
        *self = self.at(now);
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

/// What becomes of an event.
#[derive(Debug)]
pub(crate) enum Admitted {
    /// It is recorded.
    Whole(Event),
    /// It stands for many that are alike.
    Counted(Event),
}

/// A refusal without anything that its caller could choose.
fn beyond(event: Event) -> Event {
    let Event { outcome, caller, .. } = event;
    let words = "further refusals of this caller, counted and not recorded one by one";
    let outcome = Outcome::failed(outcome.status, &outcome.signature, words);
    let mut event = Event::new(Operation::AUDIT_REFUSALS, "", outcome);
    event.caller = Caller { object_id: caller.object_id, ..Caller::default() };
    event.request = Asked::default();
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(caller: &str) -> Event {
        let outcome = Outcome::failed(403, "Forbidden", "no");
        let mut event = Event::new(Operation::KEY_UNWRAP, "/vaults/v", outcome);
        caller.clone_into(&mut event.caller.object_id);
        event
    }

    fn is_whole(refusals: &mut Refusals, caller: &str, now: BootInstant) -> bool {
        matches!(refusals.admit(refusal(caller), now), Admitted::Whole(_))
    }

    #[test]
    fn a_budget_ends_and_time_gives_one_after_the_other() {
        let (mut refusals, start) = (Refusals::default(), BootInstant::from_boot(REFUSAL_EVERY));
        for _ in 0..REFUSALS_MAX {
            assert!(is_whole(&mut refusals, "eve", start));
        }
        assert!(!is_whole(&mut refusals, "eve", start));
        assert!(is_whole(&mut refusals, "bob", start), "budgets are apart");
        let later = start + REFUSAL_EVERY;
        assert!(!is_whole(&mut refusals, "eve", later - Duration::from_micros(1)));
        assert!(is_whole(&mut refusals, "eve", later));
        assert!(!is_whole(&mut refusals, "eve", later));
        let much_later = later + REFUSAL_EVERY * (REFUSALS_MAX + 50);
        for _ in 0..REFUSALS_MAX {
            assert!(is_whole(&mut refusals, "eve", much_later));
        }
        assert!(!is_whole(&mut refusals, "eve", much_later), "it is never more than at first");
    }

    #[test]
    fn what_is_counted_says_nothing_that_its_caller_chose() {
        let (mut refusals, start) = (Refusals::default(), BootInstant::from_boot(REFUSAL_EVERY));
        while is_whole(&mut refusals, "eve", start) {}
        let mut varied = refusal("eve");
        varied.request = Asked { client: "a".into(), uri: "b".into(), id: "c".into() };
        (varied.resource, varied.reason) = ("d".to_owned(), "e".to_owned());
        varied.caller.address = Some([192, 0, 2, 1].into());
        varied.correlation = "f".to_owned();
        let alike = |event| match refusals.admit(event, start) {
            Admitted::Counted(event) => event,
            Admitted::Whole(event) => unreachable!("{event:?}"),
        };
        let [varied, plain] = [varied, refusal("eve")].map(alike);
        assert_eq!(varied, plain);
        assert_eq!((plain.caller.object_id.as_str(), plain.outcome.status), ("eve", 403));
    }

    #[test]
    fn only_refusals_of_somebody_cost_anything() {
        let (mut refusals, now) = (Refusals::default(), BootInstant::from_boot(REFUSAL_EVERY));
        while is_whole(&mut refusals, "eve", now) {}
        for (status, done, whole) in
            [(200, false, true), (503, false, true), (404, true, true), (404, false, false)]
        {
            let mut event = refusal("eve");
            (event.outcome.status, event.done) = (status, done);
            let admitted = refusals.admit(event, now);
            assert_eq!(matches!(admitted, Admitted::Whole(_)), whole, "{status}, done: {done}");
        }
        for _ in 0..=REFUSALS_MAX {
            assert!(is_whole(&mut refusals, "", now));
        }
    }

    #[test]
    fn so_many_callers_have_budgets_and_the_others_share_one() {
        let (mut refusals, start) = (Refusals::default(), BootInstant::from_boot(REFUSAL_EVERY));
        for caller in 1..=CALLERS_MAX {
            assert!(is_whole(&mut refusals, &caller.to_string(), start));
        }
        for number in 0..REFUSALS_MAX {
            assert!(is_whole(&mut refusals, &format!("more {number}"), start));
        }
        assert!(!is_whole(&mut refusals, "one too many", start));
        assert!(is_whole(&mut refusals, "1", start), "who has one keeps it");
        // Whose budget is full again makes room.
        let later = start + REFUSAL_EVERY * 2;
        assert!(is_whole(&mut refusals, "one too many", later));
        assert!(refusals.0.len() <= CALLERS_MAX + 1);
    }
}
