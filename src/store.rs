//! The database: one SQLite file, one writer, many readers.
//!
//! - **One writer** thread owns the only connection that writes. It drains what waits in a bounded queue into one
//!   transaction, commits once (one flush) and then answers all: group commit. SQLite allows one writer at a time
//!   anyway; a queue in front of it turns lock waits into order and shares the flush.
//! - **Readers** are read-only connections that run on the caller's thread: a point read costs a few
//!   microseconds, a hand-over to another thread costs more than that.
//! - An acknowledged write is on the disk: WAL with `synchronous=FULL`.
//!
//! The room knows nothing of key shares. Tables come as migrations from the rooms that own them; the node's
//! own tables (header row, key ring, node keys) are this room's, in [`Keychain`].

mod acknowledger;
mod changes;
mod checkpoint;
mod connection;
mod error;
mod export;
mod files;
mod flushes;
mod folder;
mod keychain;
mod left;
mod metrics;
mod readers;
mod replace;
mod replication;
mod tables;
#[cfg(test)]
pub(crate) mod testing;
mod timeline;
mod way_down;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use crate::clock::SharedClock;
pub use changes::{Change, ChangeLog, ColumnKind, LogState, LoggedTable, Mark};
use checkpoint::Checkpointer;
pub use connection::{APPLICATION_ID, migrate, open_detached, schema_version};
pub use error::StoreError;
pub use export::Export;
use export::Exports;
pub use files::{
    beside, new_private_file, private_folder, replace_private_file, sync_folder,
    unnamed_private_file,
};
use flushes::Flushes;
pub use folder::{FolderLock, Holder};
pub use keychain::{Keychain, KeychainError, Lock, NodeKeyEntry, OpenKeys, RingRow, Unlocked};
pub use left::{LeftChanges, LeftMarks};
pub use metrics::StoreMetrics;
use readers::Readers;
pub use replace::{COMPANIONS, remove_database};
pub use replication::{OnOutage, ReplicaStanding, Replication, Wait};
pub use tables::{STORE_LOGGED, has_table};
pub use timeline::{Left, Timeline, Timelines};
pub use way_down::{WayDown, migrate_down, schema_text, steps_down};
use writer::{Giver, Shipping, Writer};

/// The tables of this room, the first migration of every database.
pub const NODE_TABLES: &str = include_str!("store/schema/node.sql");

/// The table of timelines, the third migration.
pub const TIMELINE_TABLE: &str = include_str!("store/schema/timeline.sql");

/// The tables of the change log, the sixth migration.
pub const CHANGE_TABLES: &str = include_str!("store/schema/change.sql");

/// Name of the database's file in the data folder.
pub const DATABASE_FILE: &str = "ksnode.db";

/// What ends the name of a database's write-ahead log.
pub const WRITE_AHEAD_LOG: &str = "-wal";

/// Felt now and then by whoever waits for a migration, while it goes on. Cheap to clone.
#[derive(Clone)]
pub struct Pulse(Arc<dyn Fn() + Send + Sync>);

impl Pulse {
    /// Calls `beat`, on the thread that works: it must not wait.
    pub fn new(beat: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(beat))
    }
}

/// Nobody feels it.
impl Default for Pulse {
    fn default() -> Self {
        Self::new(|| {})
    }
}

impl std::fmt::Debug for Pulse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pulse")
    }
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Writes that may wait; one more is refused with [`StoreError::Busy`].
    pub queue_length: usize,
    /// Read-only connections, and so reads that run at once.
    pub readers: usize,
    /// Told that a migration goes on.
    pub pulse: Pulse,
    /// Present when changes are logged for a replica.
    pub replication: Option<Replication>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            queue_length: 4096,
            readers: 2,
            pulse: Pulse::default(),
            replication: None,
        }
    }
}

/// An open database. Dropping it without [`Store::close`] is safe; acknowledged writes are on the disk.
#[derive(Debug)]
pub struct Store {
    folder: FolderLock,
    path: PathBuf,
    writer: Writer,
    readers: Arc<Readers>,
    exports: Exports,
}

impl Store {
    /// Opens or creates `ksnode.db` in the locked folder and brings it to the newest schema.
    ///
    /// # Errors
    /// [`StoreError::NotOurs`], [`StoreError::Newer`] (the file is untouched in both), [`StoreError::Migration`],
    /// [`StoreError::Database`].
    pub fn open(
        folder: FolderLock,
        migrations: &[&str],
        options: StoreOptions,
        metrics: StoreMetrics,
        clock: SharedClock,
    ) -> Result<Self, StoreError> {
        let path = folder.path().join(DATABASE_FILE);
        let mut connection = connection::open_writer(&path, migrations, options.pulse)?;
        let replication = options.replication;
        changes::prepare(&mut connection, replication.map(|on| on.tables))?;
        let shipping = replication
            .map(|on| Shipping::new(&connection, on.waits, clock.clone()))
            .transpose()?;
        let flushes = Flushes::new(clock.clone());
        let readers = Arc::new(Readers::open(&path, options.readers, clock.clone())?);
        let checkpointer = Checkpointer::start(&connection, &path, flushes.clone(), clock)?;
        let writer = Writer::start(
            connection,
            checkpointer,
            options.queue_length,
            readers.clone(),
            flushes,
            metrics,
            shipping,
        )?;
        Ok(Self {
            exports: Exports::new(&path),
            folder,
            path,
            writer,
            readers,
        })
    }

    /// The data folder, which is this store's until it is dropped.
    pub fn folder(&self) -> &FolderLock {
        &self.folder
    }

    /// The database's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `job` in the writer and waits until what it wrote is on the disk. A job that returns an error leaves no
    /// trace. Jobs run in the order in which they were given.
    ///
    /// # Errors
    /// What `job` returned; [`StoreError::Busy`] at once when the queue is full; [`StoreError::Database`] when the
    /// commit failed, in which case nothing of the job was written.
    pub async fn write<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.submit(Giver::Caller, job).await
    }

    /// Refuses writes with [`StoreError::Paused`] until the returned pause is dropped, and returns when all that were
    /// given before are answered. Reads go on.
    ///
    /// # Errors
    /// [`StoreError::Busy`], [`StoreError::Closed`].
    pub async fn pause_writes(self: &Arc<Self>) -> Result<WritesPaused, StoreError> {
        self.writer.pause();
        let paused = WritesPaused(self.clone());
        // Jobs run in their order, so behind this one there is none left.
        paused.write(|_| Ok::<_, StoreError>(())).await?;
        Ok(paused)
    }

    /// Runs `query` on a read-only connection, on this thread. It sees everything acknowledged before.
    ///
    /// # Errors
    /// What `query` returned; [`StoreError::Closed`] after [`Store::close`].
    pub async fn read<T, E>(&self, query: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        self.readers.run(query).await
    }

    /// As [`Self::write`], for what is noted beside the data: it waits for no replica and is not refused without one.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_note<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.submit(Giver::Note, job).await
    }

    /// As [`Self::write`], for what keeps the change log: it waits for no replica and is not refused without one.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn write_log<T: Send + 'static>(
        &self,
        job: impl FnOnce(ChangeLog<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let job = |connection: &Connection| job(ChangeLog(connection));
        self.writer.submit(Giver::Log, job).await
    }

    /// The number of the newest change, told after each commit. `None` when changes are not logged.
    pub fn newest_change(&self) -> Option<tokio::sync::watch::Receiver<i64>> {
        self.writer.newest_change()
    }

    /// Says how the replica stands; answers wait for it.
    pub fn replica_stands(&self, standing: ReplicaStanding) {
        self.writer.replica_stands(standing);
    }

    /// A snapshot for a long read, beside the readers that answer requests.
    ///
    /// # Errors
    /// [`StoreError::Closed`], [`StoreError::Database`].
    pub async fn export(&self) -> Result<Export, StoreError> {
        self.exports.begin().await
    }

    /// Why no write is accepted although the database is open: a flush failed. `None` when all is well.
    pub fn trouble(&self) -> Option<String> {
        self.writer.trouble()
    }

    /// Bytes of the database and of its write-ahead log on the disk.
    pub fn size(&self) -> (u64, u64) {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
        (
            length(&self.path),
            length(&beside(&self.path, WRITE_AHEAD_LOG)),
        )
    }

    /// Refuses new work, finishes what waits, folds the write-ahead log into the database and closes it.
    pub async fn close(&self) {
        self.exports.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// A pause of the writes, which ends when this is dropped. Only its holder can write.
#[derive(Debug)]
pub struct WritesPaused(Arc<Store>);

impl WritesPaused {
    /// As [`Store::write`].
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write<T, E>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.0.writer.submit(Giver::Pause, job).await
    }
}

impl Drop for WritesPaused {
    fn drop(&mut self) {
        self.0.writer.resume();
    }
}

/// Opens a database for reading alone, beside a node that may be running on it.
///
/// # Errors
/// [`StoreError::Database`].
pub fn open_read_only(path: &Path) -> Result<Connection, StoreError> {
    connection::open_reader(path)
}
