//! Requests in figures and charts.

use super::chart::{Chart, Data, Value};
use super::parts::measured;
use crate::clock::Timestamp;
use crate::desk::Point;

/// Points of a chart at most: what a screen can show, and a table be read with.
const POINTS: usize = 72;

/// The last hour in brief.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) requests: u64,
    pub(super) failures: u64,
    /// Milliseconds in which 99 of 100 were answered.
    pub(super) slow: Option<String>,
    usual: Option<String>,
}

impl Summary {
    /// Of these points.
    pub(super) fn of(points: &[Point]) -> Self {
        let total = |rate: fn(&Point) -> f64| {
            let total: f64 = points.iter().map(|point| rate(point) * point.seconds).sum();
            whole(total)
        };
        let joined = join(points);
        Self {
            requests: total(|point| point.requests),
            failures: total(|point| point.failures),
            slow: joined.as_ref().and_then(|all| all.slow).map(measured),
            usual: joined.as_ref().and_then(|all| all.usual).map(measured),
        }
    }

    /// In what time half of them were answered, in words.
    pub(super) fn usual(&self) -> String {
        match &self.usual {
            Some(usual) => format!("half within {usual} ms"),
            None => "no requests".to_owned(),
        }
    }
}

/// The charts of requests and of the time that they take; none before there is something to be drawn.
pub(super) fn charts(points: &[Point]) -> Option<Vec<Chart>> {
    let size = points.len().div_ceil(POINTS).max(1);
    let joined: Vec<Joined> = points.rchunks(size).rev().filter_map(join).collect();
    let at: Vec<Timestamp> = joined.iter().map(|point| point.at).collect();
    let line = |value: fn(&Joined) -> Value| joined.iter().map(value).collect();
    let requests = Data {
        id: "requests",
        name: "Requests a second",
        unit: "",
        whole: false,
        at: at.clone(),
        lines: vec![
            ("all", line(|point| Some(point.requests))),
            ("failed", line(|point| Some(point.failures))),
        ],
    };
    let latency = Data {
        id: "latency",
        name: "Latency",
        unit: " ms",
        whole: false,
        at,
        lines: vec![
            ("99 of 100 within", line(|point| point.slow)),
            ("half within", line(|point| point.usual)),
        ],
    };
    Some(vec![requests.chart()?, latency.chart()?])
}

/// Several points as one.
struct Joined {
    at: Timestamp,
    requests: f64,
    failures: f64,
    usual: Value,
    slow: Value,
}

/// Rates are those of the whole time. Of the times in which half was answered the middle one is taken, of those in which 99
/// of 100 were the longest: what was bad must be seen.
fn join(points: &[Point]) -> Option<Joined> {
    let last = points.last()?;
    let seconds: f64 = points.iter().map(|point| point.seconds).sum();
    let rate = |rate: fn(&Point) -> f64| {
        let total: f64 = points.iter().map(|point| rate(point) * point.seconds).sum();
        if seconds > 0.0 { total / seconds } else { 0.0 }
    };
    let mut usual: Vec<f64> = points
        .iter()
        .filter_map(|point| point.p50_milliseconds)
        .collect();
    usual.sort_by(f64::total_cmp);
    let slow = points.iter().filter_map(|point| point.p99_milliseconds);
    Some(Joined {
        at: Timestamp::from_millis(last.at_milliseconds),
        requests: rate(|point| point.requests),
        failures: rate(|point| point.failures),
        usual: usual.get(usual.len() / 2).copied(),
        slow: slow.reduce(f64::max),
    })
}

/// To the nearest whole number; never more than fits into 64 bits of a duration.
fn whole(number: f64) -> u64 {
    std::time::Duration::try_from_secs_f64(number + 0.5).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn points(count: u32) -> Vec<Point> {
        let start = Timestamp::parse("2026-11-19T03:00:00.000Z").unwrap();
        let point = |number: u32| {
            let at = start.plus(Duration::from_secs(10) * number);
            Point {
                at: at.to_string(),
                at_milliseconds: at.as_millis(),
                seconds: 10.0,
                requests: f64::from(number),
                failures: 0.5,
                p50_milliseconds: number.is_multiple_of(2).then_some(2.0),
                p99_milliseconds: number.is_multiple_of(2).then_some(f64::from(number)),
                writes: 0.0,
                memory_bytes: None,
                connections: 0,
                database_bytes: 0,
                log_bytes: 0,
                key_shares: None,
                replica_lag_milliseconds: None,
            }
        };
        (0..count).map(point).collect()
    }

    #[test]
    fn many_points_are_joined_to_what_can_be_read() {
        let charts = charts(&points(360)).unwrap();
        let rows = &charts[0].rows;
        assert_eq!(rows.len(), 72);
        // The last five: 355 to 359.
        assert_eq!(rows[71].values[0].shown, "357");
        assert_eq!(rows[71].shown, "03:59");
        assert_eq!(charts[1].rows[71].values[0].shown, "358 ms");
        assert!(super::charts(&points(1)).is_none() && super::charts(&[]).is_none());
    }

    #[test]
    fn an_hour_is_told_in_brief() {
        let summary = Summary::of(&points(5));
        assert_eq!((summary.requests, summary.failures), (100, 25));
        assert_eq!(summary.slow.as_deref(), Some("4.00"));
        assert_eq!(summary.usual(), "half within 2.00 ms");
        assert_eq!(Summary::of(&[]).usual(), "no requests");
    }
}
