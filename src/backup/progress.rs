//! Watching long work, and ending it.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::BackupError;
use super::pace::{Pace, Rhythm};
use crate::clock::SharedClock;

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Copying pages.
    Copy,
    /// Checking pages, indexes and references.
    Check,
    /// Opening every sealed row.
    Open,
    /// Encrypting the verified copy.
    Encrypt,
    /// Decrypting an encrypted backup.
    Decrypt,
}

/// How far a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The phase.
    pub phase: Phase,
    /// Pages, rows or bytes done.
    pub done: u64,
    /// Of how many; 0 when that is not known.
    pub total: u64,
}

/// Whoever watches a backup or restore. Cheap to clone.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(Step) + Send + Sync>);

impl Progress {
    /// Calls `watch` at each step, on the thread that works: it must not wait.
    pub fn new(watch: impl Fn(Step) + Send + Sync + 'static) -> Self {
        Self(Arc::new(watch))
    }

    /// Nobody watches.
    pub fn unwatched() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn tell(&self, phase: Phase, done: u64, total: u64) {
        (self.0)(Step { phase, done, total });
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// What long work carries with it: who watches, whether it is to end, and whether others go first.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    progress: Progress,
    pub(super) stop: CancellationToken,
    pace: Pace,
    clock: SharedClock,
}

impl Watch {
    pub(super) fn new(
        progress: &Progress,
        stop: CancellationToken,
        pace: Pace,
        clock: SharedClock,
    ) -> Self {
        Self {
            progress: progress.clone(),
            stop,
            pace,
            clock,
        }
    }

    /// Tells how far the work is. An error ends it.
    pub(super) fn tell(&self, phase: Phase, done: u64, total: u64) -> Result<(), BackupError> {
        self.progress.tell(phase, done, total);
        if self.stop.is_cancelled() {
            return Err(BackupError::Stopped);
        }
        Ok(())
    }

    /// For a large file that this work writes.
    pub(super) fn rhythm(&self) -> Rhythm {
        Rhythm::new(self.pace, self.clock.clone())
    }
}
