//! Read-only connections, each lent to one query at a time.
//!
//! Queries run on the caller's thread, which is one of the runtime's workers. Fewer connections than workers are
//! opened, so that a disk that hangs can never hold all workers: the node goes on answering what needs no disk.
//!
//! Beginning and ending a read takes file locks, which cost half as much as a look-up and which threads wait for. So a
//! reader keeps its snapshot for the queries of the next millisecond, unless something was committed since: every
//! query sees all that was acknowledged before it. An idle reader's snapshot would keep the write-ahead log from being
//! started anew; [`Readers::release_idle`] ends it, and [`Readers::aside`] sees to it that no other one is kept meanwhile.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{StoreError, connection};
use crate::clock::SharedClock;

/// How long a snapshot serves.
const SNAPSHOT: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Readers {
    /// A std mutex: it is held for a push or a pop and never across an await.
    idle: Mutex<Idle>,
    permits: Semaphore,
    count: usize,
    /// How often the writer has committed.
    commits: AtomicU64,
    clock: SharedClock,
}

/// The readers that are not lent.
#[derive(Debug)]
struct Idle {
    readers: Vec<Reader>,
    /// Whether one that comes back keeps its snapshot.
    keep: bool,
}

impl Idle {
    fn release(&mut self) -> Result<(), StoreError> {
        self.readers.iter_mut().try_for_each(Reader::end)
    }
}

impl Readers {
    pub(super) fn open(path: &Path, count: usize, clock: SharedClock) -> Result<Self, StoreError> {
        let open = || -> Result<_, StoreError> {
            Ok(Reader {
                connection: connection::open_reader(path)?,
                snapshot: None,
            })
        };
        let readers = (0..count).map(|_| open()).collect::<Result<_, _>>()?;
        Ok(Self {
            idle: Mutex::new(Idle {
                readers,
                keep: true,
            }),
            permits: Semaphore::new(count),
            count,
            commits: AtomicU64::new(0),
            clock,
        })
    }

    /// Runs `query` as soon as a connection is free.
    pub(super) async fn run<T, E>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| StoreError::Closed)?;
        let mut lent = Lent {
            reader: self.lock().readers.pop(),
            readers: self,
        };
        let reader = lent.reader.as_mut().ok_or(StoreError::Closed)?;
        // Read before the snapshot is taken: at worst it is younger than its number says.
        let commits = self.commits.load(Ordering::Acquire);
        reader.begin(commits, self.clock.monotonic())?;
        let outcome = query(&reader.connection);
        if outcome.is_err() {
            reader.end()?;
        }
        outcome
    }

    /// To be called after each commit and before it is acknowledged: the snapshots until now are too old.
    pub(super) fn committed(&self) {
        self.commits.fetch_add(1, Ordering::Release);
    }

    /// Ends the snapshots that nobody uses.
    pub(super) fn release_idle(&self) -> Result<(), StoreError> {
        self.lock().release()
    }

    /// Runs `work`, which no snapshot outlasting its query is in the way of: the idle ones are ended, and a reader that comes back
    /// keeps none.
    pub(super) fn aside<T>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let released = {
            let mut idle = self.lock();
            idle.keep = false;
            idle.release()
        };
        let outcome = released.and_then(|()| work());
        self.lock().keep = true;
        outcome
    }

    /// Refuses further reads and returns when those under way have ended and their connections are closed.
    pub(super) async fn close(&self) {
        let all = u32::try_from(self.count).unwrap_or(u32::MAX);
        // An error means that it was closed before.
        if let Ok(permits) = self.permits.acquire_many(all).await {
            permits.forget();
        }
        self.permits.close();
        self.lock().readers.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Reader {
    connection: Connection,
    snapshot: Option<Snapshot>,
}

/// What an open read transaction shows.
#[derive(Clone, Copy, Debug)]
struct Snapshot {
    /// At least as many commits.
    commits: u64,
    /// When it was taken, by the monotonic clock.
    taken: Duration,
}

impl Reader {
    fn begin(&mut self, commits: u64, now: Duration) -> Result<(), StoreError> {
        let fresh = self.snapshot.is_some_and(|snapshot| {
            snapshot.commits == commits && now.saturating_sub(snapshot.taken) < SNAPSHOT
        });
        if !fresh {
            self.end()?;
            self.connection.prepare_cached("BEGIN")?.execute([])?;
            self.snapshot = Some(Snapshot {
                commits,
                taken: now,
            });
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), StoreError> {
        // Some errors end the transaction by themselves.
        if self.snapshot.take().is_some() && !self.connection.is_autocommit() {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }
}

/// Gives its reader back however the query ends.
struct Lent<'a> {
    reader: Option<Reader>,
    readers: &'a Readers,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(mut reader) = self.reader.take() else {
            return;
        };
        let mut idle = self.readers.lock();
        if !idle.keep
            && let Err(error) = reader.end()
        {
            tracing::warn!(%error, "an idle reader could not be released");
        }
        idle.readers.push(reader);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use tokio::runtime::Builder;

    use super::super::checkpoint::checkpoint;
    use super::super::connection::open_writer;
    use super::*;
    use crate::clock::ManualClock;
    use crate::store::Pulse;

    #[test]
    fn one_that_comes_back_while_they_are_aside_is_not_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ksnode.db");
        let table = "CREATE TABLE item (id INTEGER PRIMARY KEY) STRICT;";
        let writer = open_writer(&path, &[table], Pulse::default()).unwrap();
        writer.busy_timeout(Duration::ZERO).unwrap();
        let readers = Readers::open(&path, 1, ManualClock::shared()).unwrap();
        let write = || writer.execute_batch("INSERT INTO item DEFAULT VALUES");
        let restart = || checkpoint(&writer, "RESTART");
        // A query that lasts until something is sent.
        let query = |held: Receiver<()>, entered: Sender<()>| {
            let runtime = Builder::new_current_thread().build().unwrap();
            let query = readers.run(|reader| -> Result<(), StoreError> {
                reader.query_row("SELECT count(*) FROM item", [], |_| Ok(()))?;
                entered.send(()).unwrap();
                held.recv().unwrap();
                Ok(())
            });
            runtime.block_on(query).unwrap();
        };
        std::thread::scope(|scope| {
            for (aside, restarts) in [(false, false), (true, true)] {
                write().unwrap();
                let (end, held) = channel();
                let (entered, under_way) = channel();
                let thread = scope.spawn(|| query(held, entered));
                under_way.recv().unwrap();
                let end_and_restart = || {
                    end.send(()).unwrap();
                    thread.join().unwrap();
                    restart()
                };
                let restarted = match aside {
                    true => readers.aside(end_and_restart),
                    false => end_and_restart(),
                };
                assert_eq!(restarted.unwrap(), restarts);
            }
        });
        // Afterwards they keep theirs as before.
        assert!(readers.lock().keep);
    }
}
