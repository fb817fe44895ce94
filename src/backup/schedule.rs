//! When the next backup is due.
//!
//! A pure rule of what has been, asked again after each run and each wait, so that it needs no memory of its own: a
//! time that passed while the node was off is still due when it starts, a restart does not repeat a backup, and a
//! step of the clock moves the answer at once. There is no jitter: the operator's time is the operator's.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::TimeOfDay;

use super::{Record, Status};

/// How long after a failure the next attempt is made.
const RETRY: Duration = Duration::from_secs(3600);

/// How far in the future a recorded moment may lie and still be believed: steps of a time server are smaller.
const TOLERANCE: Duration = Duration::from_secs(60);

const DAY: i64 = 86_400_000;

/// What has been. Moments in the future do not count: the clock was set back since, and they would silence backups until
/// it comes round again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastRuns {
    /// When the node's database was made: before it nothing was due.
    pub(super) node_created: Timestamp,
    /// When the newest completed backup was begun, of those not in the future: one of today counts beside one that
    /// claims to be of next year.
    pub(super) last_completed: Option<Timestamp>,
    /// When the newest failed one was given up, of those not in the future.
    pub(super) last_failed: Option<Timestamp>,
}

impl LastRuns {
    /// What the history tells at `now`.
    pub(super) fn of(node_created: Timestamp, history: &[Record], now: Timestamp) -> Self {
        let newest = |status, moment: fn(&Record) -> Timestamp| {
            history
                .iter()
                .filter(|record| record.status == status)
                .map(moment)
                .filter(|moment| believable(*moment, now))
                .max()
        };
        Self {
            node_created,
            last_completed: newest(Status::Completed, |record| record.created_at),
            last_failed: newest(Status::Failed, |record| record.updated_at),
        }
    }
}

fn believable(moment: Timestamp, now: Timestamp) -> bool {
    moment <= now.plus(TOLERANCE)
}

/// When the next backup is due; a moment that is not after `now` means at once.
///
/// After a failure that no completed backup followed: an hour after it. Else the first `at` after the last completed
/// backup, or after the node was made.
pub(super) fn next_due(at: TimeOfDay, now: Timestamp, history: LastRuns) -> Timestamp {
    let believed = |moment: Option<Timestamp>| moment.filter(|moment| believable(*moment, now));
    let completed = believed(history.last_completed);
    // `None` is before every moment.
    match believed(history.last_failed).filter(|failed| Some(*failed) > completed) {
        Some(failed) => failed.plus(RETRY),
        None => believed(Some(history.node_created))
            .max(completed)
            .map_or(now, |since| first_after(at, since)),
    }
}

/// The first moment strictly after `since` at which the clock shows `at`.
fn first_after(at: TimeOfDay, since: Timestamp) -> Timestamp {
    let at = i64::from(at.seconds()).saturating_mul(1000);
    let since = since.as_millis();
    let midnight = since.saturating_sub(since.rem_euclid(DAY));
    let same_day = midnight.saturating_add(at);
    Timestamp::from_millis(if same_day > since {
        same_day
    } else {
        same_day.saturating_add(DAY)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::record;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// 2026-01-01T00:00:00Z
    const MIDNIGHT: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn at(text: &str) -> TimeOfDay {
        TimeOfDay::parse(text).unwrap()
    }

    fn hours(hours: u32) -> Timestamp {
        MIDNIGHT.plus(HOUR * hours)
    }

    fn due(now: Timestamp, completed: Option<Timestamp>, failed: Option<Timestamp>) -> Timestamp {
        let history = LastRuns {
            node_created: MIDNIGHT,
            last_completed: completed,
            last_failed: failed,
        };
        next_due(at("03:00"), now, history)
    }

    #[test]
    fn a_new_node_waits_for_the_first_time() {
        assert_eq!(due(MIDNIGHT, None, None), hours(3));
        let runs = |created| LastRuns {
            node_created: created,
            last_completed: None,
            last_failed: None,
        };
        let now = hours(3);
        assert_eq!(next_due(at("03:00"), now, runs(now)), hours(27));
        assert_eq!(next_due(at("00:00"), now, runs(now)), hours(24));
        assert_eq!(
            next_due(at("23:59:59"), now, runs(now)).to_string(),
            "2026-01-01T23:59:59.000Z"
        );
    }

    #[test]
    fn each_day_has_one_and_a_missed_one_is_due() {
        // Begun in time, the next is tomorrow's; also when one was made by hand in between.
        assert_eq!(due(hours(4), Some(hours(3)), None), hours(27));
        assert_eq!(due(hours(10), Some(hours(9)), None), hours(27));
        // The node was off for days: once, at once.
        assert!(due(hours(100), Some(hours(3)), None) <= hours(100));
        assert_eq!(due(hours(100), Some(hours(100)), None), hours(123));
    }

    #[test]
    fn a_failure_is_tried_again_an_hour_later() {
        assert_eq!(due(hours(28), Some(hours(3)), Some(hours(27))), hours(28));
        assert_eq!(due(hours(3), None, Some(hours(3))), hours(4));
        // Not earlier, though the regular time comes first.
        let failed = hours(26).plus(HOUR / 2);
        assert_eq!(
            due(hours(27), Some(hours(3)), Some(failed)),
            failed.plus(HOUR)
        );
        // A completed one after it settles it.
        assert_eq!(due(hours(29), Some(hours(28)), Some(hours(27))), hours(51));
        assert_eq!(due(hours(29), Some(hours(28)), Some(hours(28))), hours(51));
    }

    #[test]
    fn a_clock_that_was_set_back_silences_nothing() {
        let year = HOUR * 24 * 365;
        let future = hours(0).plus(year);
        assert_eq!(due(hours(4), Some(future), None), hours(3));
        assert_eq!(due(hours(4), None, Some(future)), hours(3));
        assert_eq!(due(hours(4), Some(hours(3)), Some(future)), hours(27));
        // A small step is none.
        let step = hours(3).plus(Duration::from_secs(30));
        assert_eq!(due(hours(3), Some(step), None), hours(27));
        // Even the database seems to come from the future.
        let runs = LastRuns {
            node_created: future,
            last_completed: None,
            last_failed: None,
        };
        assert_eq!(next_due(at("03:00"), hours(1), runs), hours(1));
        let runs = LastRuns {
            last_failed: Some(hours(1)),
            ..runs
        };
        assert_eq!(next_due(at("03:00"), hours(1), runs), hours(2));
    }

    #[test]
    fn the_history_is_read_without_the_future() {
        let history = [
            record(Status::Completed, hours(3)),
            record(Status::Completed, hours(9000)),
            record(Status::Completed, hours(1)),
            record(Status::Failed, hours(2)),
            record(Status::InProgress, hours(4)),
            record(Status::Deleted, hours(4)),
        ];
        let runs = LastRuns::of(MIDNIGHT, &history, hours(5));
        let expected = LastRuns {
            node_created: MIDNIGHT,
            last_completed: Some(hours(3)),
            last_failed: Some(hours(2)),
        };
        assert_eq!(runs, expected);
    }

    prop_compose! {
        /// A moment within a year around that of the tests, now and then on a full hour.
        fn moment()(millis in -31_536_000_000i64..31_536_000_000, full in any::<bool>()) -> Timestamp {
            let millis = if full { millis - millis.rem_euclid(3_600_000) } else { millis };
            Timestamp::from_millis(MIDNIGHT.as_millis() + millis)
        }
    }

    prop_compose! {
        fn runs()(
            node_created in moment(),
            last_completed in prop::option::of(moment()),
            last_failed in prop::option::of(moment()),
        ) -> LastRuns {
            LastRuns { node_created, last_completed, last_failed }
        }
    }

    prop_compose! {
        fn time()(seconds in 0..86_400u32) -> TimeOfDay {
            at(&format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60))
        }
    }

    proptest! {
        #[test]
        fn is_the_first_such_time_after_a_completed_one(at in time(), since in moment()) {
            let due = first_after(at, since);
            prop_assert!(due > since && due <= since.plus(HOUR * 24));
            prop_assert_eq!(due.as_millis().rem_euclid(DAY), i64::from(at.seconds()) * 1000);
        }

        #[test]
        fn never_waits_longer_than_a_day(at in time(), now in moment(), runs in runs()) {
            prop_assert!(next_due(at, now, runs) <= now.plus(TOLERANCE).plus(HOUR * 24));
        }

        #[test]
        fn never_repeats_a_failure_within_the_hour(at in time(), now in moment(), runs in runs()) {
            let failed = LastRuns { last_failed: Some(now), ..runs };
            if runs.last_completed.is_none_or(|completed| completed < now || completed > now.plus(TOLERANCE)) {
                prop_assert_eq!(next_due(at, now, failed), now.plus(RETRY));
            }
        }

        #[test]
        fn is_not_due_again_once_it_was_done(at in time(), now in moment(), runs in runs()) {
            let done = LastRuns { last_completed: Some(now), last_failed: runs.last_failed.filter(|f| *f <= now), ..runs };
            prop_assert!(next_due(at, now, done) > now);
        }

        #[test]
        fn holds_at_the_ends_of_time(at in time(), now in any::<i64>(), since in any::<i64>()) {
            let moment = Timestamp::from_millis(since);
            let runs = LastRuns { node_created: moment, last_completed: Some(moment), last_failed: Some(moment) };
            next_due(at, Timestamp::from_millis(now), runs);
        }
    }
}
