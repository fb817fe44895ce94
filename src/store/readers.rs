//! Read-only connections, each lent to one query at a time.
//!
//! Queries run on the caller's thread, which is one of the runtime's workers. Fewer connections than workers are
//! opened, so that a disk that hangs can never hold all workers: the node goes on answering what needs no disk.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{StoreError, connection};

#[derive(Debug)]
pub(super) struct Readers {
    /// A std mutex: it is held for a push or a pop and never across an await.
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    pub(super) fn open(path: &Path, count: usize) -> Result<Self, StoreError> {
        let idle = (0..count)
            .map(|_| connection::open_reader(path))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            idle: Mutex::new(idle),
            permits: Semaphore::new(count),
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
        let lent = Lent {
            connection: self.lock().pop(),
            readers: self,
        };
        match &lent.connection {
            Some(connection) => query(connection),
            None => Err(StoreError::Closed.into()),
        }
    }

    /// Refuses further reads.
    pub(super) fn close(&self) {
        self.permits.close();
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives its connection back however the query ends.
struct Lent<'a> {
    connection: Option<Connection>,
    readers: &'a Readers,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.readers.lock().extend(self.connection.take());
    }
}
