//! One snapshot of a database in use, as a file of its own.
//!
//! SQLite's backup API on a read-only connection that holds its snapshot open from the first page to the last. Without
//! the snapshot each write of another connection starts the copy anew, and under load it never ends; in one single
//! step it cannot be watched, stopped or slowed down, and while it lasts the disk is busy with it: registers beside it had
//! seven to ten times their usual 99th percentile. `VACUUM INTO` takes twice as long, does the same to them, and saves little
//! where rows are seldom deleted (`cargo bench --bench node -- --backups`).

use std::fs::File;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::BackupError;
use super::progress::{Phase, Watch};
use super::verify::{Tables, tables};
use crate::store::{StoreError, new_private_file, open_read_only};

/// Pages a step: 1 MiB. After each the copy is flushed, so that the flushes of the writer never wait behind a large one.
const STEP: i32 = 256;

/// Copies what `source` holds at this moment into `target`, a new file of mode 0600, flushed when this returns. The rows
/// of each table are counted in the same snapshot.
pub(super) fn copy(source: &Path, target: &Path, watch: &Watch) -> Result<Tables, BackupError> {
    let failed = |error| BackupError::of_file(source, error);
    let from = open_read_only(source).map_err(failed)?;
    from.execute_batch("BEGIN")
        .map_err(|error| failed(error.into()))?;
    let tables = tables(&from).map_err(failed)?;
    let file = create_private(target)?;
    copy_pages(&from, target, &file, watch)?;
    leave_write_ahead(target)?;
    file.sync_all()
        .map_err(|error| BackupError::io(target, error))?;
    Ok(tables)
}

fn copy_pages(
    from: &Connection,
    target: &Path,
    file: &File,
    watch: &Watch,
) -> Result<(), BackupError> {
    let failed = |error| of_target(target, error);
    let mut to = open_target(target)?;
    // What a crash leaves of the copy is thrown away, so it needs no journal; flushing is done below.
    to.pragma_update(None, "journal_mode", "OFF")
        .map_err(failed)?;
    to.pragma_update(None, "synchronous", "OFF")
        .map_err(failed)?;
    let mut rhythm = watch.rhythm();
    let backup = Backup::new(from, &mut to).map_err(failed)?;
    loop {
        let step = backup.step(STEP).map_err(failed)?;
        rhythm
            .beat(file)
            .map_err(|error| BackupError::io(target, error))?;
        let progress = backup.progress();
        let total = u64::try_from(progress.pagecount).unwrap_or(0);
        let left = u64::try_from(progress.remaining).unwrap_or(0);
        watch.tell(Phase::Copy, total.saturating_sub(left), total)?;
        if step == StepResult::Done {
            return Ok(());
        }
    }
}

/// The copy says of itself that it has a write-ahead log, as its source does. A backup is one file and is to be read
/// where nothing can be written.
fn leave_write_ahead(target: &Path) -> Result<(), BackupError> {
    let failed = |error| of_target(target, error);
    let copy = open_target(target)?;
    copy.pragma_update(None, "locking_mode", "EXCLUSIVE")
        .map_err(failed)?;
    let mode: String = copy
        .pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))
        .map_err(failed)?;
    if mode != "delete" {
        return Err(
            StoreError::Damaged(format!("the copy stayed in the journal mode {mode}")).into(),
        );
    }
    copy.close().map_err(|(_, error)| failed(error))
}

fn open_target(target: &Path) -> Result<Connection, BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(target, flags).map_err(|error| of_target(target, error))
}

/// A new, empty file that only its owner reads.
pub(super) fn create_private(path: &Path) -> Result<File, BackupError> {
    new_private_file(path).map_err(|error| BackupError::io(path, error))
}

/// A full disk is the usual reason, and SQLite's text does not say which one.
fn of_target(target: &Path, error: rusqlite::Error) -> BackupError {
    BackupError::io(target, std::io::Error::other(error))
}
