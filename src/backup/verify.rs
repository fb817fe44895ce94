//! What makes a file a backup that restores: the checks, each with its own error.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use uuid::Uuid;

use super::history::History;
use super::progress::{Phase, Watch};
use super::{BackupError, Contents, Summary, encryption};
use crate::clock::Timestamp;
use crate::crypto::{CryptoError, EncryptionSecret};
use crate::store::{APPLICATION_ID, Keychain, KeychainError, OpenKeys, StoreError};

/// Rows by table.
pub(super) type Tables = Vec<(String, u64)>;

/// Instructions of SQLite's machine between two looks whether the check is to end.
const LOOK: i32 = 100_000;

/// Who a backup must be of, and with what it opens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    /// This node; absent where there is none yet.
    pub(super) node: Option<Uuid>,
    pub(super) secret: &'a EncryptionSecret,
    /// The secret's file, for the error.
    pub(super) secret_file: &'a Path,
}

/// The first bytes of a file, before SQLite sees it. Tells whether the file says that it has a write-ahead log, as the
/// file of a live database does.
///
/// # Errors
/// [`BackupError::Empty`], [`BackupError::Encrypted`], [`BackupError::NotABackup`], and [`BackupError::Damaged`] when the
/// file is shorter than it says.
pub(super) fn header(path: &Path) -> Result<bool, BackupError> {
    let failed = |error| BackupError::io(path, error);
    let mut file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    if length == 0 {
        return Err(BackupError::Empty { path: path.into() });
    }
    if encryption::is_encrypted(path).map_err(failed)? {
        return Err(BackupError::Encrypted { path: path.into() });
    }
    let mut header = [0; 100];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(BackupError::NotABackup { path: path.into() });
        }
        read => read.map_err(failed)?,
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(BackupError::NotABackup { path: path.into() });
    }
    // SQLite file format, section 1.3: page size at 16, 1 standing for 65536; number of pages at 28.
    let (_, fields) = header.split_at(16);
    let size = match fields {
        [high, low, ..] => u64::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    };
    let pages = match fields.split_at(12).1 {
        [a, b, c, d, ..] => u64::from(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => 0,
    };
    let expected = pages.saturating_mul(if size == 1 { 65_536 } else { size });
    if length < expected {
        let what = format!("it is cut off, {length} of {expected} bytes are there");
        return Err(BackupError::Damaged {
            path: path.into(),
            what,
        });
    }
    // The version for writing, at 18: 2 stands for a write-ahead log.
    Ok(matches!(fields, [_, _, 2, ..]))
}

/// Opens a backup's file for reading. It is one file, without a write-ahead log.
pub(super) fn open(path: &Path) -> Result<Connection, BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(StoreError::from)?;
    connection
        .pragma_update(None, "cell_size_check", true)
        .map_err(StoreError::from)?;
    connection
        .pragma_update(None, "trusted_schema", false)
        .map_err(StoreError::from)?;
    Ok(connection)
}

/// A database that is being checked, and the name it has in errors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked<'a> {
    pub(super) path: &'a Path,
    pub(super) connection: &'a Connection,
    pub(super) watch: &'a Watch,
}

impl Checked<'_> {
    /// The schema version of a database of ours, at most `known`.
    pub(super) fn schema(&self, known: usize) -> Result<usize, BackupError> {
        let number = |name| -> Result<i64, BackupError> {
            self.named(
                self.connection
                    .pragma_query_value(None, name, |row| row.get(0)),
            )
        };
        let (application, version) = (number("application_id")?, number("user_version")?);
        let found = usize::try_from(version).unwrap_or(0);
        if application != i64::from(APPLICATION_ID) || found == 0 {
            return Err(BackupError::NotABackup {
                path: self.path.into(),
            });
        }
        if found > known {
            return Err(BackupError::Newer {
                path: self.path.into(),
                found,
                known,
            });
        }
        Ok(found)
    }

    /// Every page, every index against its table, every reference.
    pub(super) fn pages(&self) -> Result<(), BackupError> {
        self.watch.tell(Phase::Check, 0, 0)?;
        self.check("integrity_check")?;
        let orphan: Option<String> = self.named(
            self.connection
                .query_row("PRAGMA foreign_key_check", [], |row| row.get(0))
                .optional(),
        )?;
        match orphan {
            Some(table) => Err(self.damaged(format!(
                "a row of the table {table} refers to one that is not there"
            ))),
            None => Ok(()),
        }
    }

    /// Every page, and no index: several times quicker.
    pub(super) fn quick(&self) -> Result<(), BackupError> {
        self.check("quick_check")
    }

    fn check(&self, pragma: &str) -> Result<(), BackupError> {
        let stop = self.watch.stop.clone();
        self.named(
            self.connection
                .progress_handler(LOOK, Some(move || stop.is_cancelled())),
        )?;
        let found: rusqlite::Result<String> =
            self.connection
                .query_row(&format!("PRAGMA {pragma}(1)"), [], |row| row.get(0));
        self.named(self.connection.progress_handler(0, None::<fn() -> bool>))?;
        // A check that was ended has found nothing.
        self.watch.tell(Phase::Check, 0, 0)?;
        match self.named(found)? {
            found if found == "ok" => Ok(()),
            found => Err(self.damaged(found)),
        }
    }

    /// The number of rows in each table, against those of the snapshot it was copied from.
    pub(super) fn compare(&self, expected: &Tables) -> Result<(), BackupError> {
        let found = self.of_file(tables(self.connection))?;
        let differs = expected.iter().find(|table| !found.contains(table));
        match differs {
            Some((table, rows)) => Err(self.damaged(format!(
                "the table {table} lacks rows; the database had {rows}"
            ))),
            None if found.len() != expected.len() => {
                Err(self.damaged("it has other tables than the database".into()))
            }
            None => Ok(()),
        }
    }

    /// Opens the key ring.
    pub(super) fn keys(&self, owner: Owner<'_>) -> Result<OpenKeys, BackupError> {
        Keychain(self.connection)
            .open(owner.secret, owner.node)
            .map_err(|error| self.keychain(error, owner.secret_file))
    }

    /// Opens every sealed row and counts.
    pub(super) fn rows(
        &self,
        contents: &dyn Contents,
        keys: &OpenKeys,
    ) -> Result<Summary, BackupError> {
        let summary = self.of_file(contents.summary(self.connection))?;
        let total = summary.users.saturating_add(summary.shares);
        let mut opened = |rows| self.watch.tell(Phase::Open, rows, total);
        match contents.open_all(self.connection, &keys.ring, &mut opened) {
            Err(BackupError::Store(error)) => Err(BackupError::of_file(self.path, error)),
            Err(BackupError::Damaged { what, .. }) => Err(self.damaged(what)),
            other => other.map(|()| summary),
        }
    }

    /// The moment it shows, when it was made with its own row in it.
    pub(super) fn taken_at(&self) -> Result<Option<Timestamp>, BackupError> {
        let history = History(self.connection);
        if !self.of_file(history.exists())? {
            return Ok(None);
        }
        let own = self.of_file(history.unfinished())?;
        Ok(own.last().map(|record| record.created_at))
    }

    /// The error of a database that is a candidate.
    pub(super) fn named<T>(&self, result: rusqlite::Result<T>) -> Result<T, BackupError> {
        self.of_file(result.map_err(StoreError::from))
    }

    pub(super) fn of_file<T>(&self, result: Result<T, StoreError>) -> Result<T, BackupError> {
        result.map_err(|error| BackupError::of_file(self.path, error))
    }

    pub(super) fn damaged(&self, what: String) -> BackupError {
        BackupError::Damaged {
            path: self.path.into(),
            what,
        }
    }

    pub(super) fn keychain(&self, error: KeychainError, secret_file: &Path) -> BackupError {
        match error {
            KeychainError::OtherNode { expected, found } => BackupError::OtherNode {
                path: self.path.into(),
                expected,
                found,
            },
            KeychainError::Crypto(CryptoError::WrongSecret) => BackupError::OtherSecret {
                path: self.path.into(),
                secret: secret_file.into(),
            },
            KeychainError::Crypto(
                error @ (CryptoError::DamagedRing { .. } | CryptoError::MissingKey { .. }),
            ) => self.damaged(error.to_string()),
            KeychainError::Store(error) => BackupError::of_file(self.path, error),
            error @ KeychainError::Crypto(_) => error.into(),
        }
    }
}

/// Counts the rows of every table.
pub(super) fn tables(connection: &Connection) -> Result<Tables, StoreError> {
    let mut names = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name",
    )?;
    let names = names.query_map([], |row| row.get::<_, String>(0))?;
    names
        .map(|name| {
            let name = name?;
            let count = format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\""));
            let rows = connection.query_row(&count, [], |row| row.get(0))?;
            Ok((name, rows))
        })
        .collect()
}
