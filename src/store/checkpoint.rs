//! Folding the write-ahead log into the database without making commits wait.
//!
//! SQLite's own checkpoints run inside a commit, and that commit then takes 12 ms and more. So they are turned
//! off, and a thread with a connection of its own runs passive checkpoints, which wait for nobody. Passive ones
//! never shorten the log while writes go on; when it has grown past [`RESET_PAGES`] the writer itself, between two
//! commits, folds in the little that is left and starts the log anew.

use std::cell::Cell;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::StoreError;
use super::connection::{BUSY_TIMEOUT, open_checkpointer};
use super::flushes::Flushes;
use super::readers::Readers;
use crate::clock::SharedClock;

/// Pages written between two passive checkpoints: 8 MiB.
const PASSIVE_PAGES: u64 = 2048;
/// Pages in the log at which the writer starts it anew: 64 MiB.
const RESET_PAGES: u64 = 16 * 1024;
/// How long the writer waits for readers when it starts the log anew. A long read (a backup) may be under way; then the log
/// grows on.
const RESET_PATIENCE: Duration = Duration::from_millis(50);
/// When the next attempt comes after one that was in vain. By time, as what is waited for is: after so many more pages instead,
/// writers beside a backup would wait again and again, and where little is written one long read after another would meet
/// each of the few attempts, and the log grow without end.
const RESET_PAUSE: Duration = Duration::from_secs(5);

thread_local! {
    /// Pages in the log after this thread's last commit. The library's hook is a plain function that can carry
    /// nothing, so the number goes through the thread that commits.
    static LOG_PAGES: Cell<u64> = const { Cell::new(0) };
}

/// Belongs to the writer's thread.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
    next_passive: u64,
    /// By the monotonic clock.
    next_reset: Duration,
    flushes: Flushes,
    clock: SharedClock,
}

impl Checkpointer {
    /// Starts the thread of passive checkpoints and watches `writer`'s commits.
    pub(super) fn start(
        writer: &Connection,
        path: &Path,
        flushes: Flushes,
        clock: SharedClock,
    ) -> Result<Self, StoreError> {
        writer.wal_hook(Some(|_, pages| {
            LOG_PAGES.set(u64::try_from(pages).unwrap_or(0));
            Ok(())
        }));
        let connection = open_checkpointer(path)?;
        // One signal waits at most: it stands for all that was written since.
        let (wake, woken) = sync_channel(1);
        let noted = flushes.clone();
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || {
                while woken.recv().is_ok() {
                    if let Err(error) = checkpoint(&connection, "PASSIVE") {
                        noted.note(&error);
                        tracing::warn!(%error, "the write-ahead log could not be folded in; it grows until that succeeds");
                    }
                }
            })
            .map_err(|error| StoreError::io(path, error))?;
        Ok(Self {
            wake,
            thread,
            next_passive: PASSIVE_PAGES,
            next_reset: Duration::ZERO,
            flushes,
            clock,
        })
    }

    /// To be called by the writer after each commit.
    pub(super) fn after_commit(&mut self, writer: &Connection, readers: &Readers) {
        let pages = LOG_PAGES.get();
        if pages < PASSIVE_PAGES {
            self.next_passive = PASSIVE_PAGES;
        }
        let resets = pages >= RESET_PAGES && self.clock.monotonic() >= self.next_reset;
        if !resets && pages < self.next_passive {
            return;
        }
        // A checkpoint reaches as far as the oldest snapshot allows.
        if let Err(error) = readers.release_idle() {
            tracing::warn!(%error, "an idle reader could not be released");
        }
        if resets {
            self.reset(writer, pages);
        } else {
            self.next_passive = pages.saturating_add(PASSIVE_PAGES);
            // A full channel means that a checkpoint is due already.
            let _ = self.wake.try_send(());
        }
    }

    /// Ends the thread.
    pub(super) fn finish(self) {
        drop(self.wake);
        // It cannot have panicked; and at this point nothing would be lost if it had.
        let _ = self.thread.join();
    }

    fn reset(&mut self, writer: &Connection, pages: u64) {
        let outcome = writer
            .busy_timeout(RESET_PATIENCE)
            .map_err(StoreError::from)
            .and_then(|()| checkpoint(writer, "RESTART"))
            .and_then(|done| Ok(writer.busy_timeout(BUSY_TIMEOUT).map(|()| done)?));
        match outcome {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                self.flushes.note(&error);
                tracing::warn!(%error, pages, "the write-ahead log could not be started anew; it grows until that succeeds");
            }
        }
        self.next_reset = self.clock.monotonic().saturating_add(RESET_PAUSE);
    }
}

/// Whether the checkpoint did all that its mode promises.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> Result<bool, StoreError> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let busy: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok(busy == 0)
}
