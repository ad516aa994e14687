//! The lease: for how long a vault's last word counts. Pure decisions over times and answers.
//!
//! Two clocks run from the moment the last granted request was *sent*: after the lease the registry
//! is degraded (served, but somebody should look), after the hard stop it is locked. A failure
//! never extends either. A denial counts always; a grant counts only if nothing was denied or
//! changed since it was asked for.

use std::time::Duration;

use lockyard_base::BootInstant;

use crate::Denial;

/// How long answers count, and how often to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeasePolicy {
    /// A grant counts this long; a vault that revokes without telling is noticed within it.
    pub lease: Duration,
    /// An unreachable vault is ridden out this long.
    pub hard_stop: Duration,
    /// How often a locked registry asks again, so that restored access heals by itself.
    pub probe: Duration,
}

impl Default for LeasePolicy {
    /// 60 s, 10 min and 10 s (DESIGN 1.3 and 1.4).
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(60),
            hard_stop: Duration::from_secs(600),
            probe: Duration::from_secs(10),
        }
    }
}

/// Why a registry is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockReason {
    /// Nothing has been asked yet since the start.
    Starting,
    /// The vault denies the use of the customer key; the text names key and cure.
    Denied(Denial, String),
    /// Keys did not prove right: an alarm, not an outage.
    Damaged(String),
    /// The vault has been unreachable since before the hard stop, or since the start.
    Unreachable(String),
}

/// What a check ended in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Granted,
    Denied(Denial, String),
    Damaged(String),
    Unreachable(String),
}

/// What to do with the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Put the keys of this grant in, or renew them.
    Fill,
    /// Take everything out.
    Empty,
    /// Leave the cell as it is.
    Keep,
    /// The answer is older than a change: forget it and ask again.
    AskAgain,
}

/// When a check was sent; returned by [`Lease::ask`], given back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    at: BootInstant,
    era: u64,
}

/// One registry's standing with its vault.
#[derive(Debug)]
pub(crate) struct Lease {
    policy: LeasePolicy,
    /// Whether the registry has no customer key, so that a grant never runs out.
    permanent: bool,
    state: State,
    /// Rises with every change event and every denial: grants of an earlier era are discarded.
    era: u64,
    last_asked: Option<BootInstant>,
    /// What kept the vault from confirming when it was last asked.
    trouble: Option<String>,
    /// When access last came back after it had been lost.
    regained: Option<BootInstant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Locked(LockReason),
    /// Granted by a request sent at this instant.
    Granted(BootInstant),
}

impl Lease {
    pub(crate) fn new(policy: LeasePolicy) -> Self {
        let state = State::Locked(LockReason::Starting);
        Self {
            policy,
            permanent: false,
            state,
            era: 0,
            last_asked: None,
            trouble: None,
            regained: None,
        }
    }

    /// Says whether any vault has a word in this registry, as of the grant being taken in.
    pub(crate) fn set_permanent(&mut self, permanent: bool) {
        self.permanent = permanent;
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Whether the vault does not confirm: it could not be reached when it was last asked, or has
    /// not been for longer than the lease.
    pub(crate) fn is_degraded(&self, now: BootInstant) -> bool {
        match self.state {
            State::Granted(_) if self.permanent => false,
            State::Granted(sent) => self.trouble.is_some() || now.since(sent) >= self.policy.lease,
            State::Locked(_) => false,
        }
    }

    /// What kept the vault from confirming when it was last asked, if something did.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// How long ago the grant in force was asked for.
    pub(crate) fn confirmed_since(&self, now: BootInstant) -> Option<Duration> {
        match self.state {
            State::Granted(sent) => Some(now.since(sent)),
            State::Locked(_) => None,
        }
    }

    /// How long ago access came back, if it was ever lost since the start.
    pub(crate) fn regained_since(&self, now: BootInstant) -> Option<Duration> {
        self.regained.map(|regained| now.since(regained))
    }

    /// The vault says that something changed: grants asked for earlier no longer count.
    pub(crate) fn changed(&mut self) {
        self.era += 1;
    }

    /// Notes that a check is being sent now.
    pub(crate) fn ask(&mut self, now: BootInstant) -> Asked {
        self.last_asked = Some(now);
        Asked { at: now, era: self.era }
    }

    /// Whether it is time to ask again: at half the lease while the vault confirms, each probe
    /// interval otherwise.
    pub(crate) fn is_due(&self, now: BootInstant) -> bool {
        let Some(last) = self.last_asked else { return true };
        let waited = now.since(last);
        match self.state {
            State::Granted(_) if self.permanent => false,
            State::Granted(_) if self.trouble.is_some() => waited >= self.policy.probe,
            State::Granted(sent) if now.since(sent) < self.policy.lease / 2 => false,
            State::Granted(_) => waited >= self.policy.probe.min(self.policy.lease / 4),
            State::Locked(_) => waited >= self.policy.probe,
        }
    }

    /// Takes an answer in and says what to do with the cell.
    pub(crate) fn answered(&mut self, asked: Asked, answer: Answer, now: BootInstant) -> Act {
        match answer {
            Answer::Granted if asked.era < self.era => Act::AskAgain,
            // A grant that took longer than the hard stop is no news.
            Answer::Granted if self.is_past_hard_stop(asked.at, now) => self.expire(now),
            Answer::Granted => {
                let sent = match self.state {
                    State::Granted(sent) => sent.max(asked.at),
                    State::Locked(LockReason::Starting) => asked.at,
                    State::Locked(_) => {
                        self.regained = Some(now);
                        asked.at
                    }
                };
                self.state = State::Granted(sent);
                self.trouble = None;
                Act::Fill
            }
            Answer::Denied(denial, text) => self.lock(LockReason::Denied(denial, text)),
            Answer::Damaged(text) => self.lock(LockReason::Damaged(text)),
            Answer::Unreachable(text) => {
                let act = self.silent(text, now);
                // Silence about what was says nothing about what is.
                if act == Act::Keep && asked.era < self.era { Act::AskAgain } else { act }
            }
        }
    }

    /// Takes in that the vault says nothing.
    fn silent(&mut self, text: String, now: BootInstant) -> Act {
        match self.state {
            State::Granted(_) => {
                self.trouble = Some(text);
                self.expire(now)
            }
            State::Locked(LockReason::Starting | LockReason::Unreachable(_)) => {
                self.state = State::Locked(LockReason::Unreachable(text));
                Act::Keep
            }
            // Silence does not turn a denial into an outage.
            State::Locked(LockReason::Denied(..) | LockReason::Damaged(_)) => Act::Keep,
        }
    }

    /// Locks if the hard stop has passed.
    pub(crate) fn expire(&mut self, now: BootInstant) -> Act {
        match self.state {
            State::Granted(sent) if self.is_past_hard_stop(sent, now) => {
                let unknown = || "no answer since before the hard stop".to_owned();
                let text = self.trouble.take().unwrap_or_else(unknown);
                self.state = State::Locked(LockReason::Unreachable(text));
                Act::Empty
            }
            State::Granted(_) | State::Locked(_) => Act::Keep,
        }
    }

    fn lock(&mut self, reason: LockReason) -> Act {
        self.era += 1;
        self.trouble = None;
        self.state = State::Locked(reason);
        Act::Empty
    }

    fn is_past_hard_stop(&self, sent: BootInstant, now: BootInstant) -> bool {
        !self.permanent && now.since(sent) >= self.policy.hard_stop
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: BootInstant = BootInstant::from_boot(Duration::from_secs(1000));

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn denied() -> Answer {
        Answer::Denied(Denial::KeyDisabled, "disabled".into())
    }

    fn unreachable() -> Answer {
        Answer::Unreachable("time-out".into())
    }

    fn granted_at_start() -> Lease {
        let mut lease = Lease::new(LeasePolicy::default());
        let asked = lease.ask(START);
        assert_eq!(lease.answered(asked, Answer::Granted, START), Act::Fill);
        lease
    }

    #[test]
    fn a_registry_is_locked_until_its_first_grant() {
        let lease = Lease::new(LeasePolicy::default());
        assert_eq!(lease.state(), &State::Locked(LockReason::Starting));
        assert!(lease.is_due(START));
    }

    #[test]
    fn the_times_count_from_when_the_grant_was_sent() {
        let mut lease = Lease::new(LeasePolicy::default());
        let asked = lease.ask(START);
        assert_eq!(lease.answered(asked, Answer::Granted, START + secs(20)), Act::Fill);
        assert!(!lease.is_degraded(START + secs(59)));
        assert!(lease.is_degraded(START + secs(60)));
        assert_eq!(lease.expire(START + secs(599)), Act::Keep);
        assert_eq!(lease.expire(START + secs(600)), Act::Empty);
    }

    #[test]
    fn an_outage_rides_until_the_hard_stop_and_no_longer() {
        let mut lease = granted_at_start();
        for minute in 1..10 {
            let now = START + secs(60 * minute);
            let asked = lease.ask(now);
            assert_eq!(lease.answered(asked, unreachable(), now), Act::Keep);
        }
        let asked = lease.ask(START + secs(600));
        assert_eq!(lease.answered(asked, unreachable(), START + secs(600)), Act::Empty);
        assert!(matches!(lease.state(), State::Locked(LockReason::Unreachable(_))));
    }

    #[test]
    fn an_outage_shows_at_once_is_probed_and_names_itself_at_the_end() {
        let mut lease = granted_at_start();
        let now = START + secs(1);
        let asked = lease.ask(now);
        assert!(!lease.is_degraded(now));
        assert_eq!(lease.answered(asked, unreachable(), now), Act::Keep);
        assert!(lease.is_degraded(now));
        assert_eq!(lease.trouble(), Some("time-out"));
        assert!(!lease.is_due(START + secs(10)));
        assert!(lease.is_due(START + secs(11)));
        let asked = lease.ask(START + secs(11));
        assert_eq!(lease.answered(asked, Answer::Granted, START + secs(11)), Act::Fill);
        assert_eq!((lease.is_degraded(START + secs(11)), lease.trouble()), (false, None));

        let asked = lease.ask(START + secs(20));
        assert_eq!(lease.answered(asked, unreachable(), START + secs(20)), Act::Keep);
        assert_eq!(lease.expire(START + secs(611)), Act::Empty);
        let ended = LockReason::Unreachable("time-out".into());
        assert_eq!(lease.state(), &State::Locked(ended));
    }

    #[test]
    fn a_grant_sent_before_a_change_or_a_denial_is_discarded() {
        let mut lease = granted_at_start();
        let before = lease.ask(START + secs(1));
        lease.changed();
        assert_eq!(lease.answered(before, Answer::Granted, START + secs(2)), Act::AskAgain);

        let slow = lease.ask(START + secs(3));
        let quick = lease.ask(START + secs(3));
        assert_eq!(lease.answered(quick, denied(), START + secs(4)), Act::Empty);
        assert_eq!(lease.answered(slow, Answer::Granted, START + secs(5)), Act::AskAgain);
        assert!(matches!(lease.state(), State::Locked(LockReason::Denied(..))));
    }

    #[test]
    fn silence_about_a_question_that_a_change_overtook_is_asked_again() {
        let mut lease = granted_at_start();
        let before = lease.ask(START + secs(1));
        lease.changed();
        assert_eq!(lease.answered(before, unreachable(), START + secs(11)), Act::AskAgain);
        let after = lease.ask(START + secs(11));
        assert_eq!(lease.answered(after, unreachable(), START + secs(21)), Act::Keep);
    }

    #[test]
    fn silence_after_a_denial_stays_a_denial() {
        let mut lease = granted_at_start();
        let asked = lease.ask(START);
        assert_eq!(lease.answered(asked, denied(), START), Act::Empty);
        let asked = lease.ask(START + secs(10));
        assert_eq!(lease.answered(asked, unreachable(), START + secs(11)), Act::Keep);
        assert!(matches!(lease.state(), State::Locked(LockReason::Denied(..))));
    }

    #[test]
    fn a_locked_registry_probes_and_heals() {
        let mut lease = granted_at_start();
        let asked = lease.ask(START);
        assert_eq!(lease.answered(asked, denied(), START), Act::Empty);
        assert!(!lease.is_due(START + secs(9)));
        assert!(lease.is_due(START + secs(10)));
        assert_eq!(lease.regained_since(START + secs(10)), None);
        let asked = lease.ask(START + secs(10));
        assert_eq!(lease.answered(asked, Answer::Granted, START + secs(10)), Act::Fill);
        assert_eq!(lease.regained_since(START + secs(15)), Some(secs(5)));
    }

    #[test]
    fn a_registry_without_a_customer_key_never_runs_out() {
        let mut lease = Lease::new(LeasePolicy::default());
        lease.set_permanent(true);
        let asked = lease.ask(START);
        assert_eq!(lease.answered(asked, Answer::Granted, START), Act::Fill);
        assert_eq!(lease.expire(START + secs(1_000_000)), Act::Keep);
        assert!(!lease.is_degraded(START + secs(1_000_000)));
        assert!(!lease.is_due(START + secs(1_000_000)));
    }

    proptest! {
        /// Whatever happens, an unlocked registry has a grant younger than the hard stop that no
        /// denial followed.
        #[test]
        fn unlocked_means_granted_lately_and_not_denied_since(
            steps in proptest::collection::vec((0u8..5, 0u64..120), 1..80),
        ) {
            let mut lease = Lease::new(LeasePolicy::default());
            let mut now = START;
            let mut pending: Vec<Asked> = Vec::new();
            let mut last_denial: Option<BootInstant> = None;
            for (kind, wait) in steps {
                now = now + secs(wait);
                let _act = lease.expire(now);
                match kind {
                    0 => pending.push(lease.ask(now)),
                    1 => lease.changed(),
                    2 => if let Some(asked) = pending.pop() {
                        let _act = lease.answered(asked, denied(), now);
                        last_denial = Some(now);
                    },
                    3 => if let Some(asked) = pending.pop() {
                        let _act = lease.answered(asked, unreachable(), now);
                    },
                    _ => if !pending.is_empty() {
                        let asked = pending.remove(0);
                        let _act = lease.answered(asked, Answer::Granted, now);
                    },
                }
                if let State::Granted(sent) = lease.state() {
                    prop_assert!(now.since(*sent) < secs(600));
                    if let Some(denial) = last_denial {
                        prop_assert!(*sent >= denial);
                    }
                }
            }
        }
    }
}
