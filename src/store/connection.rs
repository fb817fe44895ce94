//! Opening the file: whose it is, its pragmas, its migrations.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::checkpoint::checkpoint;
use super::{Pulse, StoreError, WRITE_AHEAD_LOG, beside};

/// "KSND": marks a file as a ksnode database (SQLite file format, section 1.3, offset 68).
pub const APPLICATION_ID: i32 = 0x4B53_4E44;

/// Statements kept prepared per connection; more than the program has.
const STATEMENTS: usize = 64;

/// What the file of the write-ahead log keeps on the disk once it is started anew.
const LOG_BYTES: i64 = 64 << 20;

/// Instructions of SQLite's machine between two beats of a migration's pulse: some milliseconds.
const INSTRUCTIONS: i32 = 100_000;

/// How long a statement waits for another connection's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens the connection that writes, creating or migrating the database.
pub(super) fn open_writer(
    path: &Path,
    migrations: &[&str],
    pulse: Pulse,
) -> Result<Connection, StoreError> {
    if is_there(path)? {
        refuse_foreign(path, migrations.len())?;
    } else {
        create_private(path)?;
    }
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    configure(&connection)?;
    mark(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // An acknowledged write is flushed. On macOS a flush is one only with F_FULLFSYNC.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    // A backup under load lets the log grow while it copies; when it is started anew it is cut to this again.
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.pragma_update(None, "cache_size", -12 * 1024)?;
    connection.progress_handler(
        INSTRUCTIONS,
        Some(move || {
            (pulse.0)();
            false
        }),
    )?;
    fold_in(&connection, path)?;
    migrate(&mut connection, migrations)?;
    connection.progress_handler(0, None::<fn() -> bool>)?;
    Ok(connection)
}

/// Folds in, by flushes of this process, the log that another one left behind.
///
/// What SQLite finds in that log counts as committed, and it may never have been flushed: the process was killed between
/// the writing and the flush, or the flush failed, and what the file shows is in the memory of the system alone. A client
/// that asks again would be told that its share is known, which it takes for success, and a power cut would then take it
/// away. That the log is empty is flushed as well: what a disk has kept of it may lack the end of what was folded in, and
/// would lie over it.
fn fold_in(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    match checkpoint(connection, "TRUNCATE") {
        Ok(true) => {
            let log = beside(path, WRITE_AHEAD_LOG);
            let flushed = std::fs::File::open(&log).and_then(|file| file.sync_all());
            flushed.map_err(|error| StoreError::io(&log, error))
        }
        Ok(false) => {
            tracing::warn!(
                "the log of the last run could be flushed and not folded in, because another program reads the database; it is folded in later"
            );
            Ok(())
        }
        // The first thing a checkpoint does is to flush the log.
        Err(StoreError::Database(error))
            if error.sqlite_error_code() == Some(ErrorCode::DiskFull) =>
        {
            tracing::warn!(
                "the log of the last run could be flushed and not folded in, because the disk is full; make room"
            );
            Ok(())
        }
        Err(error) if error.is_of_flush() => Err(StoreError::Unflushed),
        Err(error) => Err(error),
    }
}

/// Brings a database to the newest schema.
///
/// # Errors
/// [`StoreError::Migration`]: it is as it was.
pub fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    let steps: Vec<M<'_>> = migrations.iter().map(|sql| M::up(sql)).collect();
    Migrations::new(steps)
        .to_latest(connection)
        .map_err(|error| StoreError::Migration(Arc::new(error)))
}

/// Opens a database that nobody else uses, as one file without a write-ahead log.
///
/// # Errors
/// [`StoreError::Database`], [`StoreError::Damaged`].
pub fn open_detached(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    configure(&connection)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    Ok(connection)
}

/// The schema version of a database of ours; `None` where there is no database, or one without tables yet.
///
/// # Errors
/// [`StoreError::NotOurs`], [`StoreError::Database`].
pub fn schema_version(path: &Path) -> Result<Option<usize>, StoreError> {
    if !is_there(path)? {
        return Ok(None);
    }
    refuse_foreign(path, usize::MAX).map(|found| (found > 0).then_some(found))
}

/// Whether there is a file with something in it.
fn is_there(path: &Path) -> Result<bool, StoreError> {
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => Err(StoreError::NotOurs {
            path: path.to_owned(),
        }),
        Ok(meta) => Ok(meta.len() > 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io(path, error)),
    }
}

/// Marks a new database as ours. One that is marked is not written to: a start that is refused changes nothing.
fn mark(connection: &Connection) -> Result<(), StoreError> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id != APPLICATION_ID {
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    Ok(())
}

/// Opens a connection that can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    configure(&connection)?;
    connection.pragma_update(None, "cache_size", -4 * 1024)?;
    Ok(connection)
}

/// Opens the connection that folds the write-ahead log into the database beside the writer.
pub(super) fn open_checkpointer(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "cache_size", 0)?;
    Ok(connection)
}

fn configure(connection: &Connection) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

/// Looks at an existing file without changing it, except that a transaction cut off before the database had a
/// write-ahead log is undone, which whoever reads it must do.
fn refuse_foreign(path: &Path, known: usize) -> Result<usize, StoreError> {
    let not_ours = || StoreError::NotOurs {
        path: path.to_owned(),
    };
    let open = |flags| -> rusqlite::Result<(Connection, i32)> {
        let connection = Connection::open_with_flags(path, flags)?;
        let id = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        Ok((connection, id))
    };
    let opened = match open(OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) => {
            open(OpenFlags::SQLITE_OPEN_READ_WRITE)
        }
        opened => opened,
    };
    let (connection, id) = match opened {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            return Err(not_ours());
        }
        opened => opened?,
    };
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    // A process killed before its first migration leaves a file with the mark or without, but with no table.
    if id != APPLICATION_ID && (id != 0 || tables > 0) {
        return Err(not_ours());
    }
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found = usize::try_from(found).map_err(|_| not_ours())?;
    if found > known {
        return Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known,
        });
    }
    Ok(found)
}

fn create_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(|error| StoreError::io(path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "CREATE TABLE one (id INTEGER PRIMARY KEY) STRICT;";
    const TWO: &str = "CREATE TABLE two (id INTEGER PRIMARY KEY) STRICT;";

    #[test]
    fn migrates_an_older_database_and_refuses_a_newer_one_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ksnode.db");
        drop(open_writer(&path, &[ONE], Pulse::default()).unwrap());
        let migrated = open_writer(&path, &[ONE, TWO], Pulse::default()).unwrap();
        migrated
            .execute("INSERT INTO two DEFAULT VALUES", [])
            .unwrap();
        drop(migrated);

        let before = std::fs::read(&path).unwrap();
        let error = open_writer(&path, &[ONE], Pulse::default()).unwrap_err();
        assert!(matches!(
            error,
            StoreError::Newer {
                found: 2,
                known: 1,
                ..
            }
        ));
        assert!(error.to_string().contains("newer ksnode"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    /// What a kill leaves before the database has a write-ahead log: pages of a transaction in the file, the former
    /// ones in a rollback journal.
    #[test]
    fn undoes_what_a_killed_first_start_left_half_done() {
        let folder = tempfile::tempdir().unwrap();
        let killed = Connection::open(folder.path().join("killed.db")).unwrap();
        mark(&killed).unwrap();
        killed.execute_batch(ONE).unwrap();
        killed.pragma_update(None, "user_version", 1).unwrap();
        // A cache of one page, so that the open transaction reaches the file.
        killed.pragma_update(None, "cache_size", 1).unwrap();
        killed
            .execute_batch(
                "BEGIN; CREATE TABLE half (bytes BLOB);
                 INSERT INTO half SELECT randomblob(4000) FROM json_each('[1,2,3,4,5,6,7,8]');",
            )
            .unwrap();
        let path = folder.path().join("ksnode.db");
        for ending in ["", "-journal"] {
            let from = folder.path().join(format!("killed.db{ending}"));
            std::fs::copy(from, folder.path().join(format!("ksnode.db{ending}"))).unwrap();
        }
        let opened = open_writer(&path, &[ONE], Pulse::default()).unwrap();
        let tables: i64 = opened
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }

    #[test]
    fn refuses_what_is_not_ours_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other.db");
        Connection::open(&other)
            .unwrap()
            .execute_batch(ONE)
            .unwrap();
        let text = folder.path().join("text.db");
        std::fs::write(
            &text,
            "no database at all, but long enough to have a header. ".repeat(40),
        )
        .unwrap();
        for path in [other, text] {
            let before = std::fs::read(&path).unwrap();
            assert!(matches!(
                open_writer(&path, &[ONE], Pulse::default()),
                Err(StoreError::NotOurs { .. })
            ));
            assert_eq!(std::fs::read(&path).unwrap(), before);
        }
    }

    #[test]
    fn a_failing_migration_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ksnode.db");
        drop(open_writer(&path, &[ONE], Pulse::default()).unwrap());
        let broken = open_writer(
            &path,
            &[ONE, "CREATE TABLE three (id); CREATE TABLE one (id);"],
            Pulse::default(),
        );
        assert!(matches!(broken, Err(StoreError::Migration(_))));
        let again = open_writer(&path, &[ONE], Pulse::default()).unwrap();
        let tables: i64 = again
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .unwrap();
        assert_eq!(tables, 1);
    }

    #[test]
    fn a_long_migration_has_a_pulse_and_the_work_after_it_has_none() {
        const LONG: &str =
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
            SELECT max(i) FROM n;";
        let folder = tempfile::tempdir().unwrap();
        let beats = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = beats.clone();
        let pulse = Pulse::new(move || {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        let long = format!("CREATE TABLE long AS {LONG}");
        let opened = open_writer(&folder.path().join("ksnode.db"), &[&long], pulse).unwrap();
        let felt = beats.load(std::sync::atomic::Ordering::Relaxed);
        assert!(felt > 0);
        opened.execute_batch(&LONG.replace("max", "min")).unwrap();
        assert_eq!(beats.load(std::sync::atomic::Ordering::Relaxed), felt);
    }

    #[test]
    fn the_database_is_private_and_a_reader_cannot_write() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ksnode.db");
        let _writer = open_writer(&path, &[ONE], Pulse::default()).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let reader = open_reader(&path).unwrap();
        assert!(
            reader
                .execute("INSERT INTO one DEFAULT VALUES", [])
                .is_err()
        );
    }
}
