//! Backups: online copy, verification, retention, schedule, restore.
//!
//! A backup is made from one snapshot of the database while writes go on, is written under a temporary name, is
//! **verified** there (opened, checked page by page, its key ring opened with the operator's secret, every sealed row
//! opened, its row counts compared with the snapshot's), is flushed, and only then gets its name and counts as
//! completed. So a file that has a backup's name is one that restores.
//!
//! A restore works on a copy of the backup in the data folder, which is verified, migrated and rewrapped before today's
//! data is touched. Today's data is saved as one more backup, and the copy takes its place in one step (see the store's
//! `replace`). A rollback does the same with a copy of today's data whose migrations are undone.
//!
//! The room knows nothing of key shares: what is in the tables of a role, and how its rows open, comes through
//! [`Contents`]. [`Keeper`] is what stays the same whichever database is in place, [`Backups`] is the keeper of one.

mod audited;
mod backups;
mod candidate;
mod copy;
mod digest;
mod encryption;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod health;
mod history;
mod hook;
mod keeper;
mod make;
mod pace;
mod progress;
mod raw;
mod record;
mod restore;
mod retention;
mod rollback;
mod schedule;
mod space;
#[cfg(test)]
mod testing;
mod upgrade;
mod verify;

use std::fmt;

use rusqlite::Connection;

use crate::crypto::KeyRing;
use crate::store::StoreError;
pub use backups::{BackupFile, Backups};
pub use error::BackupError;
pub use health::{BackupMetrics, Health};
pub use history::BACKUP_TABLE;
pub use keeper::{BackupOptions, Keeper};
pub use progress::{Phase, Progress, Step};
pub use record::{Kind, Record, RestoreReport, RestoreRequest, Status, Summary, Verified};
pub use restore::{PreparedRestore, RestoreOrder, Restorer};
pub use rollback::{PreparedRollback, RollbackReport};
pub use upgrade::{Kept, room_for_migration};

/// What a role of the node (key shares) tells of its tables.
pub trait Contents: fmt::Debug + Send + Sync {
    /// The numbers people compare before a restore.
    ///
    /// # Errors
    /// [`StoreError`].
    fn summary(&self, connection: &Connection) -> Result<Summary, StoreError>;

    /// Opens everything sealed in the role's tables, and tells `opened` now and then how many rows are done.
    ///
    /// # Errors
    /// [`BackupError::Damaged`] names the first row that does not open; what `opened` returned.
    fn open_all(
        &self,
        connection: &Connection,
        ring: &KeyRing,
        opened: &mut dyn FnMut(u64) -> Result<(), BackupError>,
    ) -> Result<(), BackupError>;

    /// Ends what must not survive a restore: it runs on the copy that is about to take the database's place.
    ///
    /// # Errors
    /// [`StoreError`].
    fn begin_timeline(&self, connection: &Connection) -> Result<(), StoreError>;
}
