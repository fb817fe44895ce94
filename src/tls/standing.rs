//! How long a certificate still lasts, and when somebody must be told.

use std::time::Duration;

use super::{CertificateFacts, Certificates};
use crate::clock::{SharedClock, Timestamp};

/// How often it is looked at.
const LOOK: Duration = Duration::from_secs(60 * 60);
/// How often the same thing is told again.
const REMIND: Duration = Duration::from_secs(24 * 60 * 60);

/// How a certificate stands in its time. What renews itself has done so before two thirds of its lifetime are over, so a
/// later moment means that something does not work, whatever the lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// More than a third of its lifetime is left.
    Good,
    /// Less than a third.
    Due,
    /// Less than a tenth.
    Urgent,
    /// Nothing.
    Expired,
    /// Its time has not begun, or this machine's clock is wrong.
    Early,
}

impl Standing {
    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Due => "due",
            Self::Urgent => "urgent",
            Self::Expired => "expired",
            Self::Early => "early",
        }
    }

    /// How a certificate of this time stands at `now`.
    pub fn of(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Self {
        let lifetime = not_after.since(not_before);
        let left = not_after.since(now);
        if now < not_before {
            Self::Early
        } else if left.is_zero() {
            Self::Expired
        } else if left < lifetime / 10 {
            Self::Urgent
        } else if left < lifetime / 3 {
            Self::Due
        } else {
            Self::Good
        }
    }
}

/// What was told last.
#[derive(Debug, Default)]
struct Told(Option<(Standing, Timestamp)>);

impl Told {
    /// Whether `standing` is to be told at `now`.
    fn is_news(&mut self, standing: Standing, now: Timestamp) -> bool {
        let known = self
            .0
            .is_some_and(|(told, at)| told == standing && now.since(at) < REMIND && at <= now);
        if !known {
            self.0 = Some((standing, now));
        }
        !known && standing != Standing::Good
    }
}

/// Writes into the log how the certificate stands, when there is something to say: at once, and again each day.
pub(super) async fn tell(certificates: Certificates, clock: SharedClock) {
    let mut told = Told::default();
    loop {
        let facts = certificates.facts();
        let now = clock.now();
        let standing = facts.standing(now);
        if told.is_news(standing, now) {
            log(standing, &facts, now);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = certificates.changed() => {}
        }
    }
}

fn log(standing: Standing, facts: &CertificateFacts, now: Timestamp) {
    let days = facts.days_left(now);
    let (until, from) = (facts.not_after, facts.not_before);
    let error = facts.last_error.as_deref().unwrap_or("none");
    match standing {
        Standing::Good => {}
        Standing::Due => tracing::warn!(
            %until, days, last_error = error, "less than a third of the certificate's lifetime is left"
        ),
        Standing::Urgent => tracing::error!(
            %until, days, last_error = error, "less than a tenth of the certificate's lifetime is left"
        ),
        Standing::Expired => tracing::error!(
            %until, last_error = error, "the certificate has expired: clients refuse this node"
        ),
        Standing::Early => tracing::error!(
            %from, "the certificate's time has not begun: clients refuse this node, or this machine's clock is wrong"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn thirds_and_tenths_of_any_lifetime() {
        for days in [6, 90] {
            let from = Timestamp::from_millis(0);
            let until = from.plus(DAY * days);
            let at = |part: f64| Standing::of(from, until, from.plus((DAY * days).mul_f64(part)));
            assert_eq!(at(0.0), Standing::Good);
            assert_eq!(at(0.66), Standing::Good);
            assert_eq!(at(0.67), Standing::Due);
            assert_eq!(at(0.89), Standing::Due);
            assert_eq!(at(0.91), Standing::Urgent);
            assert_eq!(at(1.0), Standing::Expired);
            assert_eq!(Standing::of(from, until, from.minus(DAY)), Standing::Early);
        }
    }

    #[test]
    fn the_same_is_told_once_a_day() {
        let mut told = Told::default();
        let now = Timestamp::from_millis(0);
        assert!(!told.is_news(Standing::Good, now));
        assert!(told.is_news(Standing::Due, now.plus(DAY)));
        assert!(!told.is_news(Standing::Due, now.plus(DAY + DAY / 2)));
        assert!(told.is_news(Standing::Urgent, now.plus(DAY + DAY / 2)));
        assert!(told.is_news(Standing::Urgent, now.plus(DAY * 3)));
        // A clock that was set back does not silence it.
        assert!(told.is_news(Standing::Urgent, now));
        assert!(!told.is_news(Standing::Good, now.plus(DAY * 4)));
    }
}
