//! How fast wrong passwords may follow one another, from wherever they come.
//!
//! The limit per address stops one machine; this one slows down all of them together. After a few failures each further
//! attempt waits before it is looked at, the longer the more there were, and some minutes of quiet make it forget. Nobody is
//! ever locked out: the wait has an end of a few seconds, and an address from which the right password came before does
//! not wait at all, so that whoever floods the node with wrong ones does not slow down the administrator.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::SharedClock;

/// Failures that cost nothing: people mistype.
const FREE: u32 = 8;
/// What the first one after these waits; each further one waits twice as long.
const SHORTEST: Duration = Duration::from_millis(250);
/// What one waits at most.
const LONGEST: Duration = Duration::from_secs(4);
/// Failures that are counted: enough for the longest wait.
const COUNTED: u32 = FREE + 6;
/// How long it takes until one failure is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(30);
/// Addresses that are remembered.
const REMEMBERED: usize = 16;

#[derive(Debug, Default)]
struct State {
    failures: u32,
    /// Since when nothing was forgotten.
    since: Duration,
    /// Where the right password came from, the latest last.
    known: VecDeque<IpAddr>,
}

/// What is remembered of attempts.
#[derive(Debug)]
pub(super) struct Pacing {
    /// A std mutex: held for a look-up, never across an await.
    state: Mutex<State>,
    clock: SharedClock,
}

impl Pacing {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self {
            state: Mutex::default(),
            clock,
        }
    }

    /// How long an attempt from elsewhere waits now.
    pub(super) fn wait(&self) -> Duration {
        match self.state().failures.checked_sub(FREE) {
            None | Some(0) => Duration::ZERO,
            Some(over) => SHORTEST
                .saturating_mul(1 << over.saturating_sub(1).min(16))
                .min(LONGEST),
        }
    }

    /// Whether the right password came from this address before.
    pub(super) fn knows(&self, address: IpAddr) -> bool {
        self.state().known.contains(&address)
    }

    /// An attempt was wrong.
    pub(super) fn failed(&self) {
        let mut state = self.state();
        state.failures = state.failures.saturating_add(1).min(COUNTED);
    }

    /// The right password came from this address. What strangers did is not forgiven for it.
    pub(super) fn passed(&self, address: IpAddr) {
        let mut state = self.state();
        state.known.retain(|known| *known != address);
        state.known.push_back(address);
        if state.known.len() > REMEMBERED {
            state.known.pop_front();
        }
    }

    /// The password is another one: who knew the old one is a stranger.
    pub(super) fn forget(&self) {
        self.state().known.clear();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let now = self.clock.monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.failures > 0 && now.saturating_sub(state.since) >= FORGOTTEN {
            state.failures -= 1;
            state.since = state.since.saturating_add(FORGOTTEN);
        }
        if state.failures == 0 {
            state.since = now;
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn waits_grow_to_their_end_and_are_forgotten() {
        let clock = ManualClock::shared();
        let pacing = Pacing::new(clock.clone());
        clock.advance(Duration::from_secs(1_000));
        for _ in 0..FREE {
            pacing.failed();
            assert_eq!(pacing.wait(), Duration::ZERO);
        }
        let mut waits = Vec::new();
        for _ in 0..8 {
            pacing.failed();
            waits.push(pacing.wait().as_millis());
        }
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 4000, 4000, 4000]);
        clock.advance(FORGOTTEN);
        assert_eq!(pacing.wait(), LONGEST);
        clock.advance(FORGOTTEN * 5);
        assert_eq!(pacing.wait(), Duration::ZERO);
        clock.advance(FORGOTTEN * 1_000);
        for _ in 0..FREE {
            pacing.failed();
        }
        assert_eq!(pacing.wait(), Duration::ZERO);
    }

    #[test]
    fn the_latest_addresses_are_known_until_the_password_changes() {
        let pacing = Pacing::new(ManualClock::shared());
        let address = |last: usize| IpAddr::from([10, 0, 0, u8::try_from(last).unwrap()]);
        assert!(!pacing.knows(address(0)));
        for last in 0..=REMEMBERED {
            pacing.passed(address(last));
        }
        assert!(!pacing.knows(address(0)) && pacing.knows(address(1)));
        assert!(pacing.knows(address(REMEMBERED)));
        pacing.forget();
        assert!(!pacing.knows(address(1)));
    }
}
