//! Requests as they are shown to people: how many, how many failed, how long they took.
//!
//! The metrics count the same by route and status, for a program that asks again and again and keeps what it was told.
//! They cannot be read back from here (the library shows its histograms to scrapers alone), and their few buckets would
//! make a poor curve: here each bucket ends an eighth above its beginning.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;

/// Buckets for each doubling, as a power of two.
const STEP_BITS: u32 = 3;
/// Up to 2^32 microseconds, more than an hour.
const BUCKETS: usize = 32 << STEP_BITS;

/// Counts requests. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Traffic {
    counted: Arc<Counters>,
    /// Connections to the API that are open.
    pub connections: Gauge<i64, AtomicI64>,
}

#[derive(Debug)]
struct Counters {
    requests: AtomicU64,
    failures: AtomicU64,
    took: [AtomicU64; BUCKETS],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: AtomicU64::default(),
            failures: AtomicU64::default(),
            took: [const { AtomicU64::new(0) }; BUCKETS],
        }
    }
}

/// A connection; it is counted as open until it is dropped.
#[derive(Debug)]
pub struct Connection(Gauge<i64, AtomicI64>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Traffic {
    /// Counts a request; `failed` when the node could not answer it as it should (status 500 and above).
    pub fn observe(&self, failed: bool, took: Duration) {
        let counted = &self.counted;
        counted.requests.fetch_add(1, Ordering::Relaxed);
        if failed {
            counted.failures.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(bucket) = counted.took.get(bucket_of(took)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts a connection.
    pub fn connected(&self) -> Connection {
        self.connections.inc();
        Connection(self.connections.clone())
    }

    /// What was counted until now.
    pub fn totals(&self) -> Totals {
        let counted = &self.counted;
        Totals {
            requests: counted.requests.load(Ordering::Relaxed),
            failures: counted.failures.load(Ordering::Relaxed),
            took: counted
                .took
                .iter()
                .map(|bucket| bucket.load(Ordering::Relaxed))
                .collect(),
        }
    }
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests that were answered.
    pub requests: u64,
    /// Those of them with a status of 500 and above.
    pub failures: u64,
    took: Vec<u64>,
}

impl Totals {
    /// What was counted since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = earlier.took.iter().copied().chain(std::iter::repeat(0));
        Self {
            requests: self.requests.saturating_sub(earlier.requests),
            failures: self.failures.saturating_sub(earlier.failures),
            took: self
                .took
                .iter()
                .zip(before)
                .map(|(now, before)| now.saturating_sub(before))
                .collect(),
        }
    }

    /// In what time `percent` of the requests were answered, to a sixteenth; nothing when there was none.
    pub fn answered_in(&self, percent: u64) -> Option<Duration> {
        let all: u64 = self.took.iter().sum();
        let wanted = all.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0_u64;
        let bucket = self.took.iter().position(|count| {
            seen = seen.saturating_add(*count);
            seen >= wanted
        });
        bucket.map(middle_of)
    }
}

/// The bucket of a time: its highest bits.
fn bucket_of(took: Duration) -> usize {
    let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
    let exponent = micros.checked_ilog2().unwrap_or(0);
    // Below 8 microseconds each has a bucket of its own.
    let steps = micros >> exponent.saturating_sub(STEP_BITS);
    let doublings = exponent.saturating_sub(STEP_BITS) << STEP_BITS;
    usize::try_from(doublings.saturating_add(steps)).unwrap_or(BUCKETS)
}

/// The middle of a bucket.
fn middle_of(bucket: usize) -> Duration {
    let bucket = u64::try_from(bucket).unwrap_or(0);
    let doublings = (bucket >> STEP_BITS).saturating_sub(1);
    let steps = bucket.saturating_sub(doublings << STEP_BITS);
    let (from, width) = (steps << doublings, 1_u64 << doublings);
    Duration::from_nanos(
        from.saturating_mul(1000)
            .saturating_add(width.saturating_mul(500)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_bucket_and_its_middle_is_near() {
        let mut last = 0;
        for micros in (0..4096_u64).chain((21..20_000).map(|n| n * n * 10)) {
            let took = Duration::from_micros(micros);
            let bucket = bucket_of(took);
            assert!((last..BUCKETS).contains(&bucket), "{micros}: {bucket}");
            last = bucket;
            let off = middle_of(bucket).abs_diff(took).as_nanos();
            let allowed = (took.as_nanos() / 15).max(500);
            assert!(off <= allowed, "{micros}: {:?}", middle_of(bucket));
        }
        assert!(bucket_of(Duration::MAX) < BUCKETS);
    }

    #[test]
    fn percentiles_are_of_what_came_since() {
        let traffic = Traffic::default();
        let before = traffic.totals();
        assert_eq!(before.answered_in(50), None);
        for millis in 1..=100 {
            traffic.observe(millis > 98, Duration::from_millis(millis));
        }
        let found = traffic.totals().since(&before);
        assert_eq!((found.requests, found.failures), (100, 2));
        for (percent, expected) in [(0, 1), (50, 50), (99, 99), (100, 100)] {
            let found = found.answered_in(percent).unwrap().as_secs_f64() * 1000.0;
            let expected = f64::from(expected);
            assert!((found / expected - 1.0).abs() < 0.07, "{percent}: {found}");
        }
        let later = traffic.totals();
        traffic.observe(false, Duration::from_micros(7));
        let found = traffic.totals().since(&later);
        assert_eq!((found.requests, found.failures), (1, 0));
        assert_eq!(found.answered_in(99), Some(Duration::from_nanos(7500)));
    }

    #[test]
    fn a_connection_is_open_until_it_is_dropped() {
        let traffic = Traffic::default();
        let (one, two) = (traffic.connected(), traffic.clone().connected());
        assert_eq!(traffic.connections.get(), 2);
        drop((one, two));
        assert_eq!(traffic.connections.get(), 0);
    }
}
