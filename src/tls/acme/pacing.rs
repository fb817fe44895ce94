//! When the authority may be asked again.
//!
//! Authorities count failed validations (Let's Encrypt: five for each name, account and hour) and shut out who goes on;
//! so does every refusal cost them work. What is refused will be refused in a minute too, until somebody mends it; so the
//! pauses grow quickly to a day. An authority that cannot be reached has not been asked for anything: the pauses grow to an
//! hour only, so that the node has its certificate soon after the authority is back.

use std::time::Duration;

use crate::clock::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

/// Pauses after the first, second and third refusal.
const AFTER_REFUSALS: [Duration; 3] = [
    MINUTE,
    MINUTE.saturating_mul(10),
    MINUTE.saturating_mul(100),
];
/// The pause after every further one.
const DAILY: Duration = Duration::from_secs(24 * 60 * 60);
/// The pause after the first attempt that reached nobody; doubled each time.
const SHORTEST: Duration = MINUTE;
const LONGEST: Duration = MINUTE.saturating_mul(60);

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It did not: it is under way, or the node was stopped amid it.
    Begun,
    /// With a certificate.
    Issued,
    /// Nobody answered, or not with an answer to what was asked, and no validation had been asked for.
    Unreachable,
    /// The authority refused, or failed to validate a name, or the outcome of a validation is not known.
    Refused,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Begun, Self::Issued, Self::Unreachable, Self::Refused];

    /// The name stored in the database.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Issued => "issued",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }

    /// The outcome of that stored name.
    pub(super) fn from_stored(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == name)
    }
}

/// An attempt to have a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attempt {
    /// When it ended; when it began, as long as it has not.
    pub(super) at: Timestamp,
    /// How it ended.
    pub(super) outcome: Outcome,
    /// Why there was no certificate.
    pub(super) error: Option<String>,
}

/// Attempts of one order (names and authority), oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempts(pub(super) Vec<Attempt>);

/// More are not kept: the pauses have stopped growing long before.
const KEPT: usize = 64;

impl Attempts {
    /// Adds one. A success makes all before it unimportant.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if let Some(last) = self
            .0
            .iter()
            .rposition(|attempt| attempt.outcome == Outcome::Issued)
        {
            self.0.drain(..last);
        }
        let surplus = self.0.len().saturating_sub(KEPT.saturating_sub(1));
        self.0.drain(..surplus);
        self.0.push(Attempt {
            at: now,
            outcome: Outcome::Begun,
            // What is to be told of it should nobody come to end it.
            error: Some("the node was stopped while it asked the authority".to_owned()),
        });
    }

    /// Tells how the newest ended.
    pub(super) fn end(&mut self, now: Timestamp, outcome: Outcome, error: Option<String>) {
        if let Some(last) = self.0.last_mut() {
            last.at = now;
            last.outcome = outcome;
            last.error = error;
        }
    }

    /// The newest.
    pub(super) fn last(&self) -> Option<&Attempt> {
        self.0.last()
    }

    /// The first moment at which the next may be made; `None` when nothing is in its way. A pause that a clock set back
    /// would make more than twice as long is over.
    pub(super) fn pause_until(&self, now: Timestamp) -> Option<Timestamp> {
        let failed = self.since_success();
        let refusals = || failed.iter().filter(|attempt| is_refusal(attempt));
        let refused = refusals()
            .next_back()
            .map(|last| (last.at, after_refusals(refusals().count())));
        let unreached = failed
            .iter()
            .rev()
            .take_while(|attempt| !is_refusal(attempt))
            .count();
        let unreached = failed
            .last()
            .filter(|_| unreached > 0)
            .map(|last| (last.at, after_unreached(unreached)));
        [refused, unreached]
            .into_iter()
            .flatten()
            .filter(|(at, pause)| *at <= now.plus(*pause))
            .map(|(at, pause)| at.plus(pause))
            .filter(|until| *until > now)
            .max()
    }

    /// The same for somebody who has mended something and does not want to wait: a moment's pause alone.
    pub(super) fn shortest_pause_until(&self, now: Timestamp) -> Option<Timestamp> {
        let last = self.since_success().last()?.at;
        let until = last.plus(SHORTEST);
        (last <= now.plus(SHORTEST) && until > now).then_some(until)
    }

    fn since_success(&self) -> &[Attempt] {
        let is_success = |attempt: &Attempt| attempt.outcome == Outcome::Issued;
        self.0.rsplit(is_success).next().unwrap_or_default()
    }
}

fn is_refusal(attempt: &Attempt) -> bool {
    attempt.outcome == Outcome::Refused
}

fn after_refusals(count: usize) -> Duration {
    let index = count.saturating_sub(1);
    AFTER_REFUSALS.get(index).copied().unwrap_or(DAILY)
}

fn after_unreached(count: usize) -> Duration {
    let doublings = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
    let factor = 2_u32.saturating_pow(doublings);
    SHORTEST.saturating_mul(factor).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(minutes: u64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000).plus(MINUTE * u32::try_from(minutes).unwrap())
    }

    fn attempts(list: &[(u64, Outcome)]) -> Attempts {
        let mut attempts = Attempts::default();
        for (minutes, outcome) in list {
            attempts.begin(at(*minutes));
            attempts.end(at(*minutes), *outcome, None);
        }
        attempts
    }

    /// The minutes at which attempts are made that all end so, begun at 0.
    fn rhythm(outcome: Outcome, count: usize) -> Vec<i64> {
        let mut attempts = Attempts::default();
        let mut now = at(0);
        let mut moments = Vec::new();
        for _ in 0..count {
            moments.push((now.as_seconds() - at(0).as_seconds()) / 60);
            attempts.begin(now);
            attempts.end(now, outcome, None);
            now = attempts.pause_until(now).unwrap();
        }
        moments
    }

    #[test]
    fn refusals_are_followed_by_1_10_and_100_minutes_and_then_a_day() {
        assert_eq!(
            rhythm(Outcome::Refused, 6),
            [0, 1, 11, 111, 111 + 1440, 111 + 2880]
        );
    }

    #[test]
    fn nobody_there_is_asked_again_up_to_once_an_hour() {
        for outcome in [Outcome::Unreachable, Outcome::Begun] {
            assert_eq!(rhythm(outcome, 9), [0, 1, 3, 7, 15, 31, 63, 123, 183]);
        }
    }

    #[test]
    fn success_resets_and_nothing_pauses_the_first() {
        assert_eq!(Attempts::default().pause_until(at(0)), None);
        let attempts = attempts(&[
            (0, Outcome::Refused),
            (1, Outcome::Refused),
            (11, Outcome::Issued),
            (90, Outcome::Refused),
        ]);
        assert_eq!(attempts.pause_until(at(90)), Some(at(91)));
        assert_eq!(attempts.pause_until(at(91)), None);
        assert_eq!(attempts.0.len(), 2);
    }

    #[test]
    fn a_lost_connection_in_between_does_not_shorten_the_pause_after_refusals() {
        let attempts = attempts(&[
            (0, Outcome::Refused),
            (1, Outcome::Refused),
            (11, Outcome::Refused),
            (20, Outcome::Unreachable),
        ]);
        assert_eq!(attempts.pause_until(at(20)), Some(at(111)));
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_pause_for_ever() {
        let attempts = attempts(&[(60 * 24 * 365, Outcome::Refused)]);
        assert_eq!(attempts.pause_until(at(0)), None);
        // A correction of seconds changes nothing.
        let until = attempts.pause_until(at(60 * 24 * 365).minus(Duration::from_secs(30)));
        assert_eq!(until, Some(at(60 * 24 * 365 + 1)));
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            Just(Outcome::Begun),
            Just(Outcome::Issued),
            Just(Outcome::Unreachable),
            Just(Outcome::Refused),
        ]
    }

    proptest! {
        /// Whoever obeys never has more than four refusals in any two hours, and none sooner than a minute after another.
        #[test]
        fn refusals_stay_far_below_the_limits_of_authorities(
            outcomes in proptest::collection::vec(outcome(), 1..100)
        ) {
            let mut attempts = Attempts::default();
            let mut now = at(0);
            let mut refusals: Vec<Timestamp> = Vec::new();
            for outcome in outcomes {
                attempts.begin(now);
                attempts.end(now, outcome, None);
                match outcome {
                    Outcome::Issued => refusals.clear(),
                    Outcome::Refused => refusals.push(now),
                    _ => {}
                }
                prop_assert!(attempts.0.len() <= KEPT);
                if let Some(until) = attempts.pause_until(now) {
                    prop_assert!(until.since(now) >= MINUTE && until.since(now) <= DAILY);
                    now = until;
                } else {
                    prop_assert_eq!(outcome, Outcome::Issued);
                }
                prop_assert_eq!(attempts.pause_until(now), None);
            }
            for five in refusals.windows(5) {
                prop_assert!(five[4].since(five[0]) >= DAILY);
            }
        }
    }
}
