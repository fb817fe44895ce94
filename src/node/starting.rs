//! A start that takes long: the service manager is told that it goes on, and would give it up otherwise.
//!
//! It is told by the work itself, at each step, and by no timer: a start that hangs is to be given up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::backup::{Phase, Progress, Step};
use crate::clock::SharedClock;
use crate::service::notify::Manager;
use crate::store::Pulse;

/// How often the manager is told.
const TELL: Duration = Duration::from_secs(2);
/// How long the next step may take: the flush of all that a migration has written is one.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tells the manager. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Starting {
    manager: Manager,
    clock: SharedClock,
    /// When it was last told. A std mutex: held to compare, never across an await.
    told: Arc<Mutex<Duration>>,
}

impl Starting {
    pub(super) fn new(manager: Manager, clock: SharedClock) -> Self {
        let told = Arc::new(Mutex::new(clock.monotonic()));
        Self {
            manager,
            clock,
            told,
        }
    }

    /// For the backup before a migration.
    pub(super) fn progress(&self) -> Progress {
        let this = self.clone();
        Progress::new(move |step| this.goes_on(|| saving(step)))
    }

    /// For the migration.
    pub(super) fn pulse(&self) -> Pulse {
        let this = self.clone();
        Pulse::new(move || this.goes_on(|| "migrating the data".to_owned()))
    }

    fn goes_on(&self, what: impl FnOnce() -> String) {
        let now = self.clock.monotonic();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(*told) >= TELL {
            *told = now;
            self.manager.goes_on(PATIENCE, &what());
        }
    }
}

fn saving(step: Step) -> String {
    let phase = match step.phase {
        Phase::Copy => "copying",
        Phase::Check => "checking the copy",
        Phase::Open => "opening every row of the copy",
        Phase::Encrypt => "encrypting the copy",
        Phase::Decrypt => "decrypting",
    };
    let part = step.done.saturating_mul(100).checked_div(step.total);
    let part = part.map_or_else(String::new, |part| format!(" ({part} %)"));
    format!("saving the data before its migration: {phase}{part}")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn it_is_told_now_and_then_and_only_while_there_are_steps() {
        let (told, messages) = mpsc::channel();
        let clock = ManualClock::shared();
        let starting = Starting::new(Manager::telling(None, told), clock.clone());
        let step = Step {
            phase: Phase::Copy,
            done: 1,
            total: 3,
        };
        for _ in 0..10 {
            starting.goes_on(|| saving(step));
            clock.advance(Duration::from_secs(1));
        }
        let texts: Vec<String> = messages.try_iter().map(|(text, _)| text).collect();
        assert_eq!(texts.len(), 4, "{texts:?}");
        assert_eq!(
            texts[0],
            "EXTEND_TIMEOUT_USEC=60000000\nSTATUS=saving the data before its migration: copying (33 %)"
        );
        clock.advance(Duration::from_secs(600));
        assert!(messages.try_recv().is_err());
    }
}
