//! The one source of time.
//!
//! Everything that asks what time it is asks a [`Clock`], so that a test can move time by hand and a
//! step of the wall clock is met in one place. `clippy.toml` forbids the standard library's `now()`
//! everywhere else. Waiting (`tokio::time`) is not asking: timers may be used where they are needed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// A moment of wall-clock time: whole milliseconds since 1970-01-01T00:00:00Z, negative before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const RFC3339_MILLIS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

impl Timestamp {
    /// The moment `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The moment that a text tells as this type writes it; none when it does not.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = PrimitiveDateTime::parse(text, RFC3339_MILLIS).ok()?;
        let nanos = moment.assume_utc().unix_timestamp_nanos();
        i64::try_from(nanos.div_euclid(1_000_000)).ok().map(Self)
    }

    /// The moment of a file, or of a text that a library has read.
    pub fn from_system_time(time: std::time::SystemTime) -> Self {
        match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => Self(millis(after)),
            Err(before) => Self(millis(before.duration()).saturating_neg()),
        }
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The day on which it is, in UTC: `2026-11-30`.
    pub fn day(self) -> String {
        self.to_string().chars().take(10).collect()
    }

    /// This moment moved forward by `by`; the far future when that overflows.
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(millis(by)))
    }

    /// This moment moved back by `by`; the far past when that overflows.
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(millis(by)))
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        u64::try_from(self.0.saturating_sub(earlier.0))
            .map_or(Duration::ZERO, Duration::from_millis)
    }
}

/// RFC 3339 in UTC with milliseconds and `Z` (api.md, "Values").
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .map_err(|_| fmt::Error)?;
        f.write_str(&moment.format(RFC3339_MILLIS).map_err(|_| fmt::Error)?)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Reads wall and monotonic time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The wall clock. It may jump in either direction.
    fn now(&self) -> Timestamp;

    /// Time since some fixed moment of this process; never goes back.
    fn monotonic(&self) -> Duration;
}

/// A clock that can be handed around.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clock.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// The machine's clock, its monotonic time counted from now on.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the system"
    )]
    pub fn new() -> Self {
        Self {
            started: std::time::Instant::now(),
        }
    }

    /// The same, ready to be handed around.
    pub fn shared() -> SharedClock {
        Arc::new(Self::new())
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the system"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::from_system_time(std::time::SystemTime::now())
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that stands still until a test moves it. It starts at 2026-01-01T00:00:00Z.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicI64,
    monotonic: AtomicI64,
}

impl ManualClock {
    /// A new clock, ready to be handed around and still to be moved by its maker.
    pub fn shared() -> Arc<Self> {
        Arc::new(Self {
            wall: AtomicI64::new(1_767_225_600_000),
            monotonic: AtomicI64::new(0),
        })
    }

    /// Lets `by` pass on both clocks.
    pub fn advance(&self, by: Duration) {
        self.wall.fetch_add(millis(by), Ordering::SeqCst);
        self.monotonic.fetch_add(millis(by), Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an administrator or a time server would.
    pub fn set_wall(&self, to: Timestamp) {
        self.wall.store(to.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        let millis = self.monotonic.load(Ordering::SeqCst);
        u64::try_from(millis).map_or(Duration::ZERO, Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc_3339_with_milliseconds() {
        let shown = Timestamp::from_millis(1_709_210_096_007).to_string();
        assert_eq!(shown, "2024-02-29T12:34:56.007Z");
        assert_eq!(
            Timestamp::from_millis(-1).to_string(),
            "1969-12-31T23:59:59.999Z"
        );
    }

    #[test]
    fn a_later_moment_is_no_time_before_an_earlier_one() {
        let early = Timestamp::from_millis(1_000);
        assert_eq!(
            early.plus(Duration::from_secs(2)).since(early),
            Duration::from_secs(2)
        );
        assert_eq!(
            early.since(early.plus(Duration::from_secs(2))),
            Duration::ZERO
        );
        assert_eq!(early.minus(Duration::from_secs(2)).as_seconds(), -1);
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = ManualClock::shared();
        let before = clock.now();
        clock.advance(Duration::from_secs(61));
        assert_eq!(clock.now().since(before), Duration::from_secs(61));
        clock.set_wall(before);
        assert_eq!(clock.now(), before);
        assert_eq!(clock.monotonic(), Duration::from_secs(61));
    }
}
