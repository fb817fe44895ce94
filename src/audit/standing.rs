//! Entries that wait to be written, and what is told of that. It outlives the database that a restore replaces.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use super::entry::{Action, Actor, Entry};
use super::logins::Logins;
use crate::clock::Timestamp;

/// Entries that wait at most; further ones are counted.
const WAITING: usize = 1_000;

/// An entry and when it happened.
pub(super) type Stamped = (Timestamp, Entry);

/// How the log stands. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// A std mutex: held for a few instructions, never across an await.
    state: Arc<Mutex<State>>,
    failures: Counter,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Stamped>,
    lost: u64,
    error: Option<String>,
    broken: Option<String>,
    logins: Logins,
}

/// What is wrong with the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditHealth {
    /// Entries that wait in memory to be written.
    pub waiting: u64,
    /// Entries that are lost, because too many waited.
    pub lost: u64,
    /// Why entries could not be written.
    pub error: Option<String>,
    /// What the last verification found.
    pub broken: Option<String>,
}

impl Standing {
    /// Adds its counter to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "audit_failures",
            "Attempts to write to the audit log that failed",
            self.failures.clone(),
        );
    }

    /// How it stands.
    pub fn health(&self) -> AuditHealth {
        let state = self.lock();
        AuditHealth {
            waiting: u64::try_from(state.waiting.len()).unwrap_or(u64::MAX),
            lost: state.lost,
            error: state.error.clone(),
            broken: state.broken.clone(),
        }
    }

    /// Keeps an entry until it is written.
    pub(super) fn keep(&self, entry: Stamped) {
        let mut state = self.lock();
        if state.waiting.len() < WAITING {
            state.waiting.push_back(entry);
        } else {
            state.lost = state.lost.saturating_add(1);
        }
    }

    /// What is to be written now, with word of what was lost.
    pub(super) fn take(&self, now: Timestamp) -> Taken {
        let mut state = self.lock();
        let lost = std::mem::take(&mut state.lost);
        let entries = state.waiting.drain(..).collect();
        let detail = format!("{lost} entries could not be written and are lost");
        let gap = (lost > 0).then(|| (now, Entry::failed(&Actor::Node, Action::AuditGap, detail)));
        Taken { entries, gap, lost }
    }

    /// It could not be written.
    pub(super) fn give_back(&self, taken: Taken) {
        let mut state = self.lock();
        state.lost = state.lost.saturating_add(taken.lost);
        for entry in taken.entries.into_iter().rev() {
            state.waiting.push_front(entry);
        }
        while state.waiting.len() > WAITING {
            state.waiting.pop_back();
            state.lost = state.lost.saturating_add(1);
        }
    }

    /// Returns whether that is news.
    pub(super) fn failed(&self, error: String) -> bool {
        self.failures.inc();
        let mut state = self.lock();
        let news = state.error.as_ref() != Some(&error);
        state.error = Some(error);
        news
    }

    pub(super) fn written(&self) {
        self.lock().error = None;
    }

    pub(super) fn set_broken(&self, broken: Option<String>) {
        self.lock().broken = broken;
    }

    pub(super) fn with_logins<T>(&self, work: impl FnOnce(&mut Logins) -> T) -> T {
        work(&mut self.lock().logins)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is being written.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    entries: Vec<Stamped>,
    gap: Option<Stamped>,
    lost: u64,
}

impl Taken {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.gap.is_none()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Stamped> {
        self.entries.iter().chain(&self.gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(second: i64) -> Stamped {
        let entry = Entry::done(&Actor::Node, Action::Login, second.to_string());
        (Timestamp::from_millis(second), entry)
    }

    #[test]
    fn what_cannot_be_written_waits_in_its_order_and_what_is_too_much_is_counted() {
        let standing = Standing::default();
        let many = i64::try_from(WAITING).unwrap();
        for second in 0..many {
            standing.keep(entry(second));
        }
        let taken = standing.take(Timestamp::from_millis(0));
        assert!(taken.gap.is_none());
        standing.keep(entry(many));
        standing.give_back(taken);
        assert_eq!(standing.health().lost, 1);
        let now = Timestamp::from_millis(9);
        let taken = standing.take(now);
        let times: Vec<i64> = taken.entries().map(|(at, _)| at.as_millis()).collect();
        assert_eq!(times[..3], [0, 1, 2]);
        assert_eq!(times.len(), WAITING + 1);
        let (_, gap) = taken.gap.clone().unwrap();
        assert_eq!(gap.action, Action::AuditGap);
        assert!(gap.detail.starts_with("1 entries"), "{}", gap.detail);
        // Neither is lost twice.
        standing.give_back(taken);
        assert_eq!(standing.take(now).lost, 1);
        assert!(standing.take(now).is_empty());
    }
}
