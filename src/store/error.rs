//! What can go wrong between the program and its database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::crypto::CryptoError;

/// What can go wrong between the program and its database.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the data folder.
    #[error(
        "{folder} is in use by another ksnode{}; stop that one first, or give this one a data_dir of its own",
        holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The other process, when it left its number.
        holder: Option<u32>,
    },
    /// A file or folder of the store cannot be used.
    #[error(
        "{path}: {source}; check that it exists, belongs to the user that runs ksnode, and that the disk is well and has room"
    )]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// The file is no database of ksnode.
    #[error(
        "{path} is not a ksnode database; it was left untouched. Move it away, or set data_dir to another folder"
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The database was written by a newer program.
    #[error(
        "{path} was written by a newer ksnode (schema {found}, this program knows {known}); it was left untouched. \
         Install that version again, or restore the backup made before the upgrade"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: usize,
        /// The newest version this program knows.
        known: usize,
    },
    /// A migration failed; the database is as it was before.
    #[error("the database could not be migrated and is as it was before: {0}")]
    Migration(Arc<rusqlite_migration::Error>),
    /// A migration that cannot be undone.
    #[error("there is no way back from schema {from} to the one before it")]
    NoWayDown {
        /// The schema that the migration made.
        from: usize,
    },
    /// The database answered with an error.
    #[error("database: {error}{advice}", error = .0, advice = advice(.0))]
    Database(Arc<rusqlite::Error>),
    /// A row holds what no ksnode writes.
    #[error("the database is damaged: {0}; restore a backup")]
    Damaged(String),
    /// Another write of the same group failed in a way that made SQLite undo the whole group.
    #[error("another write of the same commit failed and undid it")]
    GroupUndone,
    /// More writes wait than the queue holds.
    #[error("{waiting} writes are waiting already")]
    Busy {
        /// The queue's length.
        waiting: usize,
    },
    /// Writes are refused while the data is saved and replaced.
    #[error("a restore is under way, and nothing is written until it is done")]
    Paused,
    /// A flush failed, and nothing is written until all acknowledged data was flushed anew.
    #[error(
        "the disk does not take flushes of the database, and nothing is written until it does; look at the disk (dmesg)"
    )]
    Unflushed,
    /// The replica does not have the write, or writes are refused without it.
    #[error("the replica is away, and writes are refused without it")]
    ReplicaAway,
    /// The store was closed; nothing was written.
    #[error("the database is closed")]
    Closed,
    /// The write met a bug; nothing of it was written.
    #[error("a write panicked; please report this with the log")]
    Panicked,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt) {
            return Self::Damaged(error.to_string());
        }
        Self::Database(Arc::new(error))
    }
}

/// What to do about an error of SQLite that is one of the disk.
fn advice(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::SystemIoFailure) => {
            "; the disk of the data folder did not do what it should: see what the kernel says of it (`dmesg`), and whether it \
             has room"
        }
        Some(ErrorCode::DiskFull) => "; make room on the disk of the data folder",
        _ => "",
    }
}

impl StoreError {
    /// Whether a flush failed, of the database, of its log or of the folder with their names, or may have: of a group that
    /// SQLite undid by itself the reason is not known.
    pub(super) fn is_of_flush(&self) -> bool {
        use rusqlite::ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC};
        let error = match self {
            Self::GroupUndone => return true,
            Self::Database(error) => error,
            _ => return false,
        };
        let code = error.sqlite_error().map(|error| error.extended_code);
        matches!(code, Some(SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC))
    }

    /// An input or output error at `path`.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }
}

/// What a reading or writing closure can fail with when it touches keys as well.
impl From<CryptoError> for StoreError {
    fn from(error: CryptoError) -> Self {
        Self::Damaged(error.to_string())
    }
}
