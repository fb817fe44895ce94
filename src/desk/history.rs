//! How the node did in the last hour and in the last day, for charts.
//!
//! The node measures itself, so that there is something to be seen where nobody has set up a program that scrapes metrics.
//! Measurements are in memory alone: they are of this process, and end with it. What is to be known for months (how many
//! shares there are) is in the database.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::traffic::Totals;
use crate::clock::Timestamp;

/// How often the node is to be measured.
pub const MEASURE_EVERY: Duration = Duration::from_secs(10);

/// Of which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The last hour: a measurement every ten seconds.
    Hour,
    /// The last day: one every minute.
    Day,
}

impl Span {
    /// So many points at most.
    const fn length(self) -> usize {
        match self {
            Self::Hour => 360,
            Self::Day => 1440,
        }
    }

    /// The shortest time from one point to the next. A little less than what is meant: a timer that comes early must not
    /// leave a point out.
    const fn pause(self) -> Duration {
        match self {
            Self::Hour => Duration::ZERO,
            Self::Day => Duration::from_secs(55),
        }
    }
}

/// What was measured at a moment, and of the time since the point before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The moment.
    pub at: String,
    /// The same, in milliseconds since 1970.
    pub at_milliseconds: i64,
    /// Seconds since the point before.
    pub seconds: f64,
    /// Requests a second.
    pub requests: f64,
    /// Requests a second that were answered with a status of 500 and above.
    pub failures: f64,
    /// In what time half of the requests were answered; absent when there was none.
    pub p50_milliseconds: Option<f64>,
    /// In what time 99 of 100 were.
    pub p99_milliseconds: Option<f64>,
    /// Writes a second.
    pub writes: f64,
    /// What the process has of the memory; absent where the system does not tell.
    pub memory_bytes: Option<u64>,
    /// Open connections to the API.
    pub connections: u64,
    /// Bytes of the database's file.
    pub database_bytes: u64,
    /// Bytes of its write-ahead log.
    pub log_bytes: u64,
    /// All key shares; absent when the database did not answer.
    pub key_shares: Option<u64>,
    /// For how long the replica has not had everything; absent when there is none.
    pub replica_lag_milliseconds: Option<u64>,
}

/// What is measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) at: Timestamp,
    /// The same in the clock's monotonic time.
    pub(super) monotonic: Duration,
    pub(super) traffic: Totals,
    /// Writes until now.
    pub(super) writes: u64,
    pub(super) memory_bytes: Option<u64>,
    pub(super) connections: u64,
    pub(super) database_bytes: u64,
    pub(super) log_bytes: u64,
    pub(super) key_shares: Option<u64>,
    pub(super) replica_lag_milliseconds: Option<u64>,
}

impl Measured {
    fn point(&self, before: &Self) -> Point {
        let took = self
            .monotonic
            .saturating_sub(before.monotonic)
            .as_secs_f64();
        let traffic = self.traffic.since(&before.traffic);
        let milliseconds = |percent| {
            let took = traffic.answered_in(percent)?;
            Some(took.as_secs_f64() * 1000.0)
        };
        Point {
            at: self.at.to_string(),
            at_milliseconds: self.at.as_millis(),
            seconds: took,
            requests: rate(traffic.requests, took),
            failures: rate(traffic.failures, took),
            p50_milliseconds: milliseconds(50),
            p99_milliseconds: milliseconds(99),
            writes: rate(self.writes.saturating_sub(before.writes), took),
            memory_bytes: self.memory_bytes,
            connections: self.connections,
            database_bytes: self.database_bytes,
            log_bytes: self.log_bytes,
            key_shares: self.key_shares,
            replica_lag_milliseconds: self.replica_lag_milliseconds,
        }
    }
}

/// A second. Counts of so short a time fit.
fn rate(count: u64, seconds: f64) -> f64 {
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    if seconds > 0.0 { count / seconds } else { 0.0 }
}

/// The points of both spans.
#[derive(Debug, Default)]
pub(super) struct History(Mutex<[Line; 2]>);

#[derive(Debug, Default)]
struct Line {
    points: VecDeque<Point>,
    last: Option<Measured>,
}

impl Line {
    fn add(&mut self, span: Span, measured: &Measured) {
        if let Some(before) = &self.last {
            let pause = measured.monotonic.saturating_sub(before.monotonic);
            // Two of one moment would be a division by nothing.
            if pause.is_zero() || pause < span.pause() {
                return;
            }
            self.points.push_back(measured.point(before));
            if self.points.len() > span.length() {
                self.points.pop_front();
            }
        }
        self.last = Some(measured.clone());
    }
}

impl History {
    /// A std mutex: it is held for a look at two small tables, never across an await.
    fn lock(&self) -> MutexGuard<'_, [Line; 2]> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a measurement in. The first one of all is what the second is compared with.
    pub(super) fn add(&self, measured: &Measured) {
        let mut lines = self.lock();
        let [hour, day] = &mut *lines;
        hour.add(Span::Hour, measured);
        day.add(Span::Day, measured);
    }

    /// The points of a span, oldest first.
    pub(super) fn points(&self, span: Span) -> Vec<Point> {
        let lines = self.lock();
        let [hour, day] = &*lines;
        let line = match span {
            Span::Hour => hour,
            Span::Day => day,
        };
        line.points.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::desk::Traffic;

    fn measured(clock: &ManualClock, traffic: &Traffic, writes: u64) -> Measured {
        Measured {
            at: clock.now(),
            monotonic: clock.monotonic(),
            traffic: traffic.totals(),
            writes,
            memory_bytes: Some(5),
            connections: 2,
            database_bytes: 3,
            log_bytes: 4,
            key_shares: Some(6),
            replica_lag_milliseconds: None,
        }
    }

    #[test]
    fn a_point_is_of_the_time_since_the_one_before() {
        let (clock, traffic) = (ManualClock::shared(), Traffic::default());
        let history = History::default();
        traffic.observe(false, Duration::from_secs(1));
        history.add(&measured(&clock, &traffic, 10));
        assert_eq!(history.points(Span::Hour), []);
        clock.advance(Duration::from_secs(10));
        for count in 0..100 {
            traffic.observe(count == 0, Duration::from_millis(2));
        }
        history.add(&measured(&clock, &traffic, 60));
        let points = history.points(Span::Hour);
        let [point] = points.as_slice() else {
            panic!("{points:?}");
        };
        assert_eq!(
            (point.seconds, point.requests, point.failures, point.writes),
            (10.0, 10.0, 0.1, 5.0)
        );
        let p99 = point.p99_milliseconds.unwrap();
        assert!((1.8..2.2).contains(&p99), "{p99}");
        assert_eq!(point.at, clock.now().to_string());
        assert_eq!(point.key_shares, Some(6));
        clock.advance(Duration::from_secs(10));
        history.add(&measured(&clock, &traffic, 60));
        let quiet = history.points(Span::Hour).pop().unwrap();
        assert_eq!((quiet.requests, quiet.p50_milliseconds), (0.0, None));
        // Nothing is divided by a time that did not pass.
        history.add(&measured(&clock, &traffic, 61));
        assert_eq!(history.points(Span::Hour).len(), 2);
    }

    #[test]
    fn an_hour_of_tens_of_seconds_and_a_day_of_minutes_are_kept() {
        let (clock, traffic) = (ManualClock::shared(), Traffic::default());
        let history = History::default();
        let begun = clock.now();
        let ticks = 30 * 360_u32;
        for _ in 0..=ticks {
            history.add(&measured(&clock, &traffic, 0));
            clock.advance(MEASURE_EVERY);
            traffic.observe(false, Duration::from_millis(1));
        }
        let end = begun.plus(MEASURE_EVERY * ticks);
        for (span, count, hours) in [(Span::Hour, 360, 1), (Span::Day, 1440, 24)] {
            let points = history.points(span);
            assert_eq!(points.len(), count);
            let first = Timestamp::from_millis(points[0].at_milliseconds);
            let reach = end.since(first);
            assert!(reach <= Duration::from_secs(hours * 3600), "{reach:?}");
            assert_eq!(points[count - 1].requests, 0.1);
            assert_eq!(points[count - 1].at, end.to_string());
        }
    }
}
