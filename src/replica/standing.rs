//! How the replica stands, for status, metrics and the log.

use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::ReplicaError;
use crate::clock::SharedClock;
use crate::store::Store;

/// A lag is told in the log when it is so long, and again each time that it has doubled.
const LAG: Duration = Duration::from_secs(60);

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is being connected to, for the first time.
    Connecting,
    /// Everything is being sent.
    Filling,
    /// Changes are sent as they come.
    Following,
    /// It is away, and tried again.
    Away,
    /// It is left alone.
    Refused,
}

impl Phase {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Filling => "filling",
            Self::Following => "following",
            Self::Away => "away",
            Self::Refused => "refused",
        }
    }
}

/// How the replica stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Where it is.
    pub place: String,
    /// What is being done.
    pub phase: Phase,
    /// Why it is away or left alone.
    pub error: Option<String>,
    /// Changes that it does not have.
    pub lag_changes: u64,
    /// For how long it has not had everything.
    pub lag: Duration,
    /// The newest change that it has; 0 when that is not known.
    pub position: u64,
}

/// What is counted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct ReplicaMetrics {
    pub(super) following: Gauge<i64, AtomicI64>,
    pub(super) lag_changes: Gauge<i64, AtomicI64>,
    pub(super) lag_seconds: Gauge<f64, AtomicU64>,
    pub(super) batches: Counter,
    pub(super) rows: Counter,
    pub(super) snapshots: Counter,
    pub(super) failures: Counter,
}

impl ReplicaMetrics {
    /// Adds them to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        let following = "1 while changes are sent to the replica, else 0";
        registry.register("replica_following", following, self.following.clone());
        let lag = "Changes that the replica does not have";
        registry.register("replica_lag_changes", lag, self.lag_changes.clone());
        let lag = "Seconds since the replica last had everything";
        registry.register("replica_lag_seconds", lag, self.lag_seconds.clone());
        let batches = "Transactions that brought changes to the replica";
        registry.register("replica_batches", batches, self.batches.clone());
        let rows = "Rows sent to the replica";
        registry.register("replica_rows", rows, self.rows.clone());
        let snapshots = "Times that the replica was filled anew";
        registry.register("replica_snapshots", snapshots, self.snapshots.clone());
        let failures = "Connections to the replica that failed";
        registry.register("replica_failures", failures, self.failures.clone());
    }
}

/// What the tasks know in common.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) place: String,
    pub(super) metrics: ReplicaMetrics,
    clock: SharedClock,
    /// A std mutex: it is held for an assignment, never across an await.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    error: Option<String>,
    /// Which database's, and the change that the replica is known to have.
    reached: Option<(Arc<Store>, i64)>,
    newest: i64,
    acknowledged: i64,
    behind_since: Option<Duration>,
    /// The lag that was told last; zero when none was.
    told: Duration,
}

/// What the log is to say of a lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    None,
    Lags,
    CaughtUp,
}

impl State {
    /// What is news about this lag.
    fn news(&mut self, lag: Option<Duration>) -> News {
        match lag {
            None if self.told.is_zero() => News::None,
            None => {
                self.told = Duration::ZERO;
                News::CaughtUp
            }
            Some(lag) if lag >= LAG.max(self.told.saturating_mul(2)) => {
                self.told = lag;
                News::Lags
            }
            Some(_) => News::None,
        }
    }

    fn known(&self) -> i64 {
        let reached = self.reached.as_ref();
        reached.map_or(self.acknowledged, |(_, seq)| *seq)
    }
}

impl Standing {
    pub(super) fn new(place: String, metrics: ReplicaMetrics, clock: SharedClock) -> Self {
        Self {
            place,
            metrics,
            state: Mutex::new(State {
                phase: Phase::Connecting,
                error: None,
                reached: None,
                newest: 0,
                acknowledged: 0,
                behind_since: Some(clock.monotonic()),
                told: Duration::ZERO,
            }),
            clock,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> ReplicaStatus {
        let state = self.state();
        let reached = state.known();
        let lag = state
            .behind_since
            .map(|since| self.clock.monotonic().saturating_sub(since));
        ReplicaStatus {
            place: self.place.clone(),
            phase: state.phase,
            error: state.error.clone(),
            lag_changes: u64::try_from(state.newest.saturating_sub(reached)).unwrap_or(0),
            lag: lag.unwrap_or_default(),
            position: u64::try_from(reached).unwrap_or(0),
        }
    }

    /// What is being done now. Told when it is news.
    pub(super) fn phase(&self, phase: Phase) {
        let before = std::mem::replace(&mut self.state().phase, phase);
        let following = phase == Phase::Following;
        self.metrics.following.set(i64::from(following));
        if following {
            self.state().error = None;
            if before != phase {
                tracing::info!(replica = %self.place, "the replica is followed");
            }
        }
    }

    /// A connection failed. Told when it is news.
    pub(super) fn failed(&self, error: &ReplicaError) {
        self.metrics.failures.inc();
        self.metrics.following.set(0);
        let phase = match error {
            ReplicaError::Refused(_)
            | ReplicaError::OldServer(_)
            | ReplicaError::Newer { .. }
            | ReplicaError::Unreadable => Phase::Refused,
            _ => Phase::Away,
        };
        let text = error.to_string();
        let news = {
            let mut state = self.state();
            let news = state.phase != phase || state.error.as_ref() != Some(&text);
            state.phase = phase;
            state.error = Some(text);
            news
        };
        if !news {
            return;
        }
        if phase == Phase::Refused {
            tracing::error!(replica = %self.place, %error, "nothing is sent to the replica");
        } else {
            tracing::warn!(replica = %self.place, %error, "the replica is away; the node serves on, and it is tried again");
        }
    }

    /// The replica has everything of `store` until `seq`.
    pub(super) fn reached(&self, store: &Arc<Store>, seq: i64) {
        {
            let mut state = self.state();
            state.reached = Some((store.clone(), seq));
            state.newest = state.newest.max(seq);
            if seq >= state.newest {
                state.behind_since = None;
            }
        }
        self.show();
    }

    /// What the replica of `store` has.
    pub(super) fn reached_of(&self, store: &Arc<Store>) -> Option<i64> {
        let state = self.state();
        let reached = state.reached.as_ref();
        reached
            .filter(|(of, _)| Arc::ptr_eq(of, store))
            .map(|(_, seq)| *seq)
    }

    /// Another database is followed from here on, or the same anew.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.reached = None;
        (state.newest, state.acknowledged) = (0, 0);
    }

    /// How far the database is, and what the replica had when it was last heard of. A long lag is told.
    pub(super) fn newest(&self, newest: i64, acknowledged: i64) {
        let news = {
            let mut state = self.state();
            (state.newest, state.acknowledged) = (newest, acknowledged);
            let reached = state.known();
            if reached >= newest {
                state.behind_since = None;
            } else if state.behind_since.is_none() {
                state.behind_since = Some(self.clock.monotonic());
            }
            let since = state.behind_since;
            state.news(since.map(|since| self.clock.monotonic().saturating_sub(since)))
        };
        self.show();
        let status = self.status();
        match news {
            News::None => {}
            News::Lags => {
                tracing::warn!(
                    replica = %self.place, changes = status.lag_changes, seconds = status.lag.as_secs(),
                    "the replica lags behind"
                );
            }
            News::CaughtUp => {
                tracing::info!(replica = %self.place, "the replica has caught up");
            }
        }
    }

    fn show(&self) {
        let status = self.status();
        let changes = i64::try_from(status.lag_changes).unwrap_or(i64::MAX);
        self.metrics.lag_changes.set(changes);
        self.metrics.lag_seconds.set(status.lag.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_lag_is_told_when_it_is_long_and_each_time_it_has_doubled() {
        let clock = ManualClock::shared();
        let standing = Standing::new(String::new(), ReplicaMetrics::default(), clock);
        let mut state = standing.state();
        for (seconds, news) in [
            (Some(59), News::None),
            (Some(60), News::Lags),
            (Some(61), News::None),
            (Some(119), News::None),
            (Some(125), News::Lags),
            (Some(249), News::None),
            (Some(250), News::Lags),
            (None, News::CaughtUp),
            (None, News::None),
            (Some(60), News::Lags),
        ] {
            let lag = seconds.map(Duration::from_secs);
            assert_eq!(state.news(lag), news, "{seconds:?}");
        }
    }

    #[test]
    fn a_lag_is_counted_in_changes_and_in_seconds_since_it_had_everything() {
        let clock = ManualClock::shared();
        let standing = Standing::new(String::new(), ReplicaMetrics::default(), clock.clone());
        standing.newest(10, 10);
        let lag = || {
            (
                standing.status().lag_changes,
                standing.status().lag.as_secs(),
            )
        };
        clock.advance(Duration::from_secs(5));
        assert_eq!(lag(), (0, 0));
        standing.newest(17, 10);
        clock.advance(Duration::from_secs(65));
        standing.newest(20, 10);
        assert_eq!(lag(), (10, 65));
        assert_eq!(standing.metrics.lag_changes.get(), 10);
        assert!((standing.metrics.lag_seconds.get() - 65.0).abs() < 0.1);
        standing.newest(20, 20);
        assert_eq!(lag(), (0, 0));
    }
}
