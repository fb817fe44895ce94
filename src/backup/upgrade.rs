//! What upgrades and rollbacks ask of backups, beside a node that may be running.

use std::path::Path;

use rusqlite::Connection;

use super::history::History;
use super::make::database_bytes;
use super::{BackupError, Kind, Record, Status, space};
use crate::config;
use crate::store::{StoreError, schema_version};

/// The good backups that a database knows of and whose files are there, newest first.
#[derive(Clone, Debug, Default)]
pub struct Kept(Vec<Record>);

impl Kept {
    /// By the history in a database; none where it is older than the history.
    ///
    /// # Errors
    /// [`StoreError`], also when the history is of a newer schema.
    pub fn of(connection: &Connection) -> Result<Self, StoreError> {
        let history = History(connection);
        let mut records = if history.exists()? {
            history.since(None)?
        } else {
            Vec::new()
        };
        records.retain(|record| record.status == Status::Completed && record.path.is_file());
        Ok(Self(records))
    }

    /// The newest that a program of today's schema restores.
    pub fn newest(&self) -> Option<&Record> {
        let mut records = self.0.iter();
        records.find(|record| record.kind != Kind::BeforeRollback)
    }

    /// The newest from before a migration that a program of `schema` restores, as far as can be told: the schema of one
    /// that is encrypted is not seen.
    pub fn before_migration(&self, schema: usize) -> Option<&Record> {
        let restores = |record: &&Record| {
            let found = schema_version(&record.path).ok().flatten();
            record.encrypted || found.is_some_and(|found| found <= schema)
        };
        let mut records = self.0.iter();
        records.find(|record| record.kind == Kind::BeforeMigration && restores(record))
    }
}

/// Whether there is room for what a migration, or its way down, needs at once: the backup, the working copy that shows
/// that it works, and every page written anew; where backups are encrypted one more copy.
///
/// # Errors
/// [`BackupError::Space`]; [`BackupError::Io`] when a folder cannot be asked.
pub fn room_for_migration(database: &Path, config: &config::Backup) -> Result<(), BackupError> {
    let bytes = database_bytes(database);
    let copies = if config.age_recipients.is_empty() {
        2
    } else {
        3
    };
    let data = database.parent().unwrap_or(Path::new("/"));
    // It is made when it is needed.
    let folder = config.dir.ancestors().find(|folder| folder.is_dir());
    space::ensure_all(&[
        (folder.unwrap_or(data), bytes),
        (data, bytes.saturating_mul(copies)),
    ])
}
