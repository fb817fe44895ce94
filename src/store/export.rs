//! Snapshots for long reads: what a replica is filled from.
//!
//! Each has a connection of its own, so that a read of minutes takes none of the readers' places. A database that is
//! closed waits until they are given back, and asks for it: whoever works with one looks now and then.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{StoreError, connection};

/// More than are ever needed at once.
const AT_ONCE: u32 = 4;

#[derive(Debug)]
pub(super) struct Exports {
    path: PathBuf,
    permits: Arc<Semaphore>,
    closing: CancellationToken,
}

impl Exports {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            permits: Arc::new(Semaphore::new(usize::try_from(AT_ONCE).unwrap_or(1))),
            closing: CancellationToken::new(),
        }
    }

    pub(super) async fn begin(&self) -> Result<Export, StoreError> {
        if self.closing.is_cancelled() {
            return Err(StoreError::Closed);
        }
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        let connection = connection::open_reader(&self.path)?;
        connection.execute_batch("BEGIN")?;
        Ok(Export {
            connection,
            closing: self.closing.clone(),
            _permit: permit,
        })
    }

    /// Refuses further ones and returns when all are given back.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        // An error means that it was closed before.
        if let Ok(permits) = self.permits.acquire_many(AT_ONCE).await {
            permits.forget();
        }
        self.permits.close();
    }
}

/// One moment of the database, as long as this is there.
#[derive(Debug)]
pub struct Export {
    connection: Connection,
    closing: CancellationToken,
    /// Given back after the connection is closed.
    _permit: OwnedSemaphorePermit,
}

impl Export {
    /// What to read with. The moment is that of the first query.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Cancelled when the database is to be closed, and this is to be dropped.
    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }
}
