//! Folding the write-ahead log into the database without making commits wait.
//!
//! SQLite's own checkpoints run inside a commit, and that commit then takes 12 ms and more. So they are turned
//! off, and a thread with a connection of its own runs passive checkpoints, which wait for nobody. Passive ones
//! never shorten the log while writes go on; when it has grown past [`RESET_PAGES`] the writer itself, between two
//! commits, folds in the little that is left and starts the log anew.
//!
//! The two would be in each other's way: SQLite lets one checkpoint run at a time. While a disk is written to as fast as it can
//! take it, one passive checkpoint would follow the other and the writer never find its moment (a log of two gigabytes was
//! seen). So when the log is to be started anew no other passive one is begun, and the writer's turn comes with the first
//! commit after the one under way.

use std::cell::Cell;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
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
/// How long the writer waits for readers. A long read (a backup) may be under way; then the log grows on.
const PATIENCE: Duration = Duration::from_millis(50);
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
    passive: Passive,
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
        let noted = flushes.clone();
        let fold_in = move || {
            if let Err(error) = checkpoint(&connection, "PASSIVE") {
                noted.note(&error);
                tracing::warn!(%error, "the write-ahead log could not be folded in; it grows until that succeeds");
            }
        };
        Ok(Self {
            passive: Passive::start(fold_in).map_err(|error| StoreError::io(path, error))?,
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
        if !resets && pages < self.next_passive || self.passive.is_under_way() {
            return;
        }
        if resets {
            self.reset(writer, readers, pages);
            return;
        }
        // A checkpoint reaches as far as the oldest snapshot allows.
        if let Err(error) = readers.release_idle() {
            tracing::warn!(%error, "an idle reader could not be released");
        }
        self.next_passive = pages.saturating_add(PASSIVE_PAGES);
        self.passive.begin();
    }

    /// Ends the thread.
    pub(super) fn finish(self) {
        self.passive.finish();
    }

    fn reset(&mut self, writer: &Connection, readers: &Readers, pages: u64) {
        match checkpoint_alone(writer, readers, "RESTART") {
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

/// The thread of passive checkpoints, which does one at a time.
#[derive(Debug)]
struct Passive {
    wake: SyncSender<()>,
    done: Receiver<()>,
    under_way: bool,
    thread: JoinHandle<()>,
}

impl Passive {
    fn start(fold_in: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let (wake, woken) = sync_channel(1);
        let (tell, done) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || {
                while woken.recv().is_ok() {
                    fold_in();
                    if tell.send(()).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            wake,
            done,
            under_way: false,
            thread,
        })
    }

    fn is_under_way(&mut self) -> bool {
        // A thread that is gone has nothing under way.
        self.under_way = self.under_way && self.done.try_recv() == Err(TryRecvError::Empty);
        self.under_way
    }

    /// To be called when none is under way.
    fn begin(&mut self) {
        self.under_way = self.wake.try_send(()).is_ok();
    }

    /// Returns when the one under way has ended.
    fn finish(self) {
        let Self {
            wake, done, thread, ..
        } = self;
        drop((wake, done));
        // It cannot have panicked; and at this point nothing would be lost if it had.
        let _ = thread.join();
    }
}

/// A checkpoint of the writer's, which waits for reads that are under way, though not for long.
pub(super) fn checkpoint_alone(
    writer: &Connection,
    readers: &Readers,
    mode: &str,
) -> Result<bool, StoreError> {
    readers.aside(|| {
        writer.busy_timeout(PATIENCE)?;
        let done = checkpoint(writer, mode);
        writer.busy_timeout(BUSY_TIMEOUT)?;
        done
    })
}

/// Whether the checkpoint did all that its mode promises.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> Result<bool, StoreError> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let busy: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok(busy == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::store::Pulse;

    /// A writer, and a checkpointer whose passive checkpoints do nothing and each last until something is sent.
    struct Held {
        writer: Connection,
        readers: Readers,
        checkpointer: Checkpointer,
        end_passive: SyncSender<()>,
        _folder: tempfile::TempDir,
    }

    impl Held {
        fn open() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("ksnode.db");
            let table = "CREATE TABLE item (value BLOB) STRICT;";
            let writer =
                super::super::connection::open_writer(&path, &[table], Pulse::default()).unwrap();
            let clock: SharedClock = ManualClock::shared();
            let flushes = Flushes::new(clock.clone());
            let mut checkpointer =
                Checkpointer::start(&writer, &path, flushes, clock.clone()).unwrap();
            let (end_passive, held) = sync_channel(1);
            checkpointer.passive = Passive::start(move || held.recv().unwrap()).unwrap();
            Self {
                writer,
                readers: Readers::open(&path, 1, clock).unwrap(),
                checkpointer,
                end_passive,
                _folder: folder,
            }
        }

        /// Commits so many times four mebibytes. Returns the pages in the log.
        fn commit(&mut self, times: u32) -> u64 {
            for _ in 0..times {
                let insert = "INSERT INTO item VALUES (randomblob(4 << 20))";
                self.writer.execute(insert, []).unwrap();
                self.checkpointer.after_commit(&self.writer, &self.readers);
            }
            LOG_PAGES.get()
        }
    }

    #[test]
    fn the_log_is_started_anew_as_soon_as_a_passive_checkpoint_has_ended() {
        let mut held = Held::open();
        let pages = held.commit(20);
        assert!(pages > RESET_PAGES, "{pages} pages");
        held.end_passive.send(()).unwrap();
        while held.checkpointer.passive.is_under_way() {
            std::thread::yield_now();
        }
        // The first commit starts it anew, the second one is the first in the new one.
        let pages = held.commit(2);
        assert!(pages < PASSIVE_PAGES, "{pages} pages");
    }
}
