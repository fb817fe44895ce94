//! What is done after a flush that failed.
//!
//! A failed flush says that something of what was written is not on the disk. It does not say what, and asking again does
//! not help: Linux takes the pages for clean once it has reported the error (ext4, XFS), so the next flush succeeds
//! without them, while everybody who reads the file, this process after a restart too, is shown bytes that a power cut
//! will take away. (PostgreSQL met this in 2018; "Can Applications Recover from fsync Failures?", USENIX ATC 2020, has it
//! for SQLite: a write that was refused, found in the log after a restart, and gone after the next.)
//!
//! So a failed flush is not repeated. Nothing more is written, and with that nothing acknowledged, until the whole log has
//! been copied into the database file anew, that file was flushed with success, and the log was cut to nothing. What was
//! acknowledged is then on the disk by a flush that came after the failure and covers bytes written after it; and of
//! the transaction whose flush failed nothing is left that could be taken for a commit later. SQLite does its part: it
//! counts pages as copied only when the flush of the file succeeded, and copies them again otherwise.
//!
//! Ending the process instead, as PostgreSQL does, would take the reads away as well, and the next start would stand before
//! the same disk. Reads go on: they show committed transactions, whose flush succeeded. A process that ends all the
//! same leaves the copying to the next start, which does it before anything is answered ([`super::connection`]).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::StoreError;
use super::checkpoint::checkpoint_alone;
use super::readers::Readers;
use crate::clock::{SharedClock, Timestamp};

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether flushes are trusted. Cheap to clone; clones tell the same.
#[derive(Clone, Debug)]
pub(super) struct Flushes {
    failed: Arc<Mutex<Option<Failed>>>,
    clock: SharedClock,
}

/// Since a flush failed.
#[derive(Clone, Debug)]
struct Failed {
    since: Timestamp,
    error: String,
    /// By the monotonic clock.
    next_attempt: Duration,
}

impl Flushes {
    pub(super) fn new(clock: SharedClock) -> Self {
        Self {
            failed: Arc::default(),
            clock,
        }
    }

    /// To be called with each error of the database's own writing.
    pub(super) fn note(&self, error: &StoreError) {
        if !error.is_of_flush() {
            return;
        }
        let mut failed = self.lock();
        if failed.is_none() {
            tracing::error!(%error, "the disk did not take a flush of the database; nothing is written until all acknowledged data was copied and flushed anew");
            *failed = Some(Failed {
                since: self.clock.now(),
                error: error.to_string(),
                next_attempt: self.clock.monotonic(),
            });
        }
    }

    /// Why nothing is written; `None` when all is well.
    pub(super) fn trouble(&self) -> Option<String> {
        let failed = self.lock();
        let Failed { since, error, .. } = failed.as_ref()?;
        Some(format!(
            "since {since} no write is accepted, because the disk did not take a flush ({error}); shares are given out as before. \
             Look at the disk (dmesg); it is tried again by itself, every second in which there are writes"
        ))
    }

    /// To be called by the writer before it writes.
    ///
    /// # Errors
    /// [`StoreError::Unflushed`]: nothing is to be written.
    pub(super) fn make_good(
        &self,
        writer: &Connection,
        readers: &Readers,
    ) -> Result<(), StoreError> {
        let now = self.clock.monotonic();
        match self.lock().as_mut() {
            None => return Ok(()),
            Some(failed) if now < failed.next_attempt => return Err(StoreError::Unflushed),
            Some(failed) => failed.next_attempt = now.saturating_add(PAUSE),
        }
        match checkpoint_alone(writer, readers, "TRUNCATE") {
            Ok(true) => {
                *self.lock() = None;
                tracing::info!(
                    "all acknowledged data was copied and flushed anew; writes are accepted again"
                );
                Ok(())
            }
            // A reader is in the way for a while.
            Ok(false) => Err(StoreError::Unflushed),
            Err(error) => {
                tracing::warn!(%error, "the data could not be copied and flushed anew; writes are still refused");
                Err(StoreError::Unflushed)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failed>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
