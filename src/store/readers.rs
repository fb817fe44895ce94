//! Read-only connections, each lent to one query at a time.
//!
//! Queries run on the caller's thread, which is one of the runtime's workers. Fewer connections than workers are
//! opened, so that a disk that hangs can never hold all workers: the node goes on answering what needs no disk.
//!
//! Beginning and ending a read takes file locks, which cost half as much as a look-up and which threads wait for. So a
//! reader keeps its snapshot for the queries of the next millisecond, unless something was committed since: every
//! query sees all that was acknowledged before it. An idle reader's snapshot would keep the write-ahead log from being
//! started anew; [`Readers::release_idle`] ends it.

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
    idle: Mutex<Vec<Reader>>,
    permits: Semaphore,
    count: usize,
    /// How often the writer has committed.
    commits: AtomicU64,
    clock: SharedClock,
}

impl Readers {
    pub(super) fn open(path: &Path, count: usize, clock: SharedClock) -> Result<Self, StoreError> {
        let open = || -> Result<_, StoreError> {
            Ok(Reader {
                connection: connection::open_reader(path)?,
                snapshot: None,
            })
        };
        let idle = (0..count).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            idle: Mutex::new(idle),
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
            reader: self.lock().pop(),
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
        self.lock().iter_mut().try_for_each(Reader::end)
    }

    /// Refuses further reads and returns when those under way have ended and their connections are closed.
    pub(super) async fn close(&self) {
        let all = u32::try_from(self.count).unwrap_or(u32::MAX);
        // An error means that it was closed before.
        if let Ok(permits) = self.permits.acquire_many(all).await {
            permits.forget();
        }
        self.permits.close();
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Reader>> {
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
        self.readers.lock().extend(self.reader.take());
    }
}
