//! Putting another database in the place of this one, as one step.
//!
//! The new database waits, whole and flushed, as `ksnode.db.candidate`. Renaming it to `ksnode.db.restored` is the
//! decision, and a rename is one step for the file system: before it the old database counts, from then on the new
//! one. What follows (the old write-ahead log goes, the new file takes the old one's name) can be repeated, and whoever
//! takes the folder next repeats it. A candidate that was not decided on is thrown away.
//!
//! Renaming straight over `ksnode.db` would not do: a write-ahead log that a crash left behind belongs to the old file
//! and would be applied to the new one, and removing it first would take commits from the old database if the crash
//! came in between.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{DATABASE_FILE, FolderLock, StoreError, WRITE_AHEAD_LOG, beside, sync_folder};

const CANDIDATE: &str = "ksnode.db.candidate";
const DECIDED: &str = "ksnode.db.restored";
/// What ends the names of the files that SQLite keeps beside a database.
pub const COMPANIONS: [&str; 3] = [WRITE_AHEAD_LOG, "-shm", "-journal"];

impl FolderLock {
    /// Where a database that is to take this one's place is prepared. Nothing is left there by earlier attempts.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn clear_candidate(&self) -> Result<PathBuf, StoreError> {
        let candidate = self.path().join(CANDIDATE);
        remove_database(&candidate)?;
        Ok(candidate)
    }

    /// Decides that the candidate, which is complete, closed and flushed, is the database from now on. The database
    /// must be closed, and [`Self::finish_replacement`], which makes the decision last, is to follow.
    ///
    /// # Errors
    /// [`StoreError::Io`]: the old database counts still. A flush is not part of this step: when it failed the decision
    /// would stand all the same, and whoever then wrote to the old database would lose it at the next start.
    pub fn decide_replacement(&self) -> Result<(), StoreError> {
        rename(&self.path().join(CANDIDATE), &self.path().join(DECIDED))
    }

    /// Does what a decision demands; nothing when there is none. Returns whether there was.
    ///
    /// # Errors
    /// [`StoreError::Io`]: it is to be called again before the database, old or new, is opened.
    pub fn finish_replacement(&self) -> Result<bool, StoreError> {
        finish(self.path())
    }
}

/// Brings a folder that a crash left in the middle of a replacement to one of its two ends.
pub(super) fn recover(folder: &Path) -> Result<(), StoreError> {
    if finish(folder)? {
        tracing::warn!(folder = %folder.display(), "a restore or rollback that was interrupted has been finished");
    }
    remove_database(&folder.join(CANDIDATE))
}

fn finish(folder: &Path) -> Result<bool, StoreError> {
    let (decided, database) = (folder.join(DECIDED), folder.join(DATABASE_FILE));
    let waits = decided
        .try_exists()
        .map_err(|error| StoreError::io(&decided, error))?;
    if !waits {
        return Ok(false);
    }
    // The decision must last before anything of the old database goes.
    flush(folder)?;
    for companion in COMPANIONS {
        remove(&beside(&database, companion))?;
    }
    // The log must be gone for good before the new file has the name that the log belongs to.
    flush(folder)?;
    rename(&decided, &database)?;
    flush(folder)?;
    Ok(true)
}

/// Removes a database that is not in use, with all that SQLite keeps beside it.
///
/// # Errors
/// [`StoreError::Io`].
pub fn remove_database(path: &Path) -> Result<(), StoreError> {
    remove(path)?;
    COMPANIONS
        .iter()
        .try_for_each(|companion| remove(&beside(path, companion)))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(StoreError::io(path, error)),
        _ => Ok(()),
    }
}

fn flush(folder: &Path) -> Result<(), StoreError> {
    sync_folder(folder).map_err(|error| StoreError::io(folder, error))
}

fn rename(from: &Path, to: &Path) -> Result<(), StoreError> {
    std::fs::rename(from, to).map_err(|error| StoreError::io(from, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data folder as a process left it: what each file holds.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn read(folder: &Path, name: &str) -> Option<String> {
        std::fs::read_to_string(folder.join(name)).ok()
    }

    #[test]
    fn the_candidate_takes_the_place_and_the_old_log_goes() {
        let folder = folder(&[("ksnode.db", "old"), ("ksnode.db-wal", "old log")]);
        let lock = FolderLock::take(folder.path()).unwrap();
        std::fs::write(lock.clear_candidate().unwrap(), "new").unwrap();
        lock.decide_replacement().unwrap();
        assert!(lock.finish_replacement().unwrap());
        assert!(!lock.finish_replacement().unwrap());
        assert_eq!(read(folder.path(), "ksnode.db").as_deref(), Some("new"));
        assert_eq!(read(folder.path(), "ksnode.db-wal"), None);
        assert_eq!(read(folder.path(), DECIDED), None);
    }

    #[test]
    fn before_the_decision_a_crash_leaves_the_old_database() {
        for files in [
            &[
                ("ksnode.db", "old"),
                ("ksnode.db-wal", "log"),
                (CANDIDATE, "half"),
            ][..],
            &[
                ("ksnode.db", "old"),
                ("ksnode.db-wal", "log"),
                (CANDIDATE, "new"),
                ("ksnode.db.candidate-journal", "x"),
            ],
        ] {
            let folder = folder(files);
            let _lock = FolderLock::take(folder.path()).unwrap();
            assert_eq!(read(folder.path(), "ksnode.db").as_deref(), Some("old"));
            assert_eq!(read(folder.path(), "ksnode.db-wal").as_deref(), Some("log"));
            assert_eq!(read(folder.path(), CANDIDATE), None);
            assert_eq!(read(folder.path(), "ksnode.db.candidate-journal"), None);
        }
    }

    #[test]
    fn after_the_decision_a_crash_leaves_the_new_database() {
        for files in [
            &[
                ("ksnode.db", "old"),
                ("ksnode.db-wal", "log"),
                ("ksnode.db-shm", "x"),
                (DECIDED, "new"),
            ][..],
            &[
                ("ksnode.db", "old"),
                ("ksnode.db-shm", "x"),
                (DECIDED, "new"),
            ],
            &[("ksnode.db", "old"), (DECIDED, "new")],
            &[(DECIDED, "new")],
            &[("ksnode.db", "new")],
        ] {
            let folder = folder(files);
            let _lock = FolderLock::take(folder.path()).unwrap();
            assert_eq!(read(folder.path(), "ksnode.db").as_deref(), Some("new"));
            for gone in ["ksnode.db-wal", "ksnode.db-shm", DECIDED] {
                assert_eq!(read(folder.path(), gone), None, "{gone}");
            }
        }
    }
}
