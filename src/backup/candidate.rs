//! A database that may take the place of today's: a working copy of a backup in the data folder, checked, migrated and
//! rewrapped there. The backup's own file is never changed.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::copy::create_private;
use super::digest::{End, copy};
use super::history::History;
use super::pace::Steady;
use super::progress::{Phase, Watch};
use super::verify::{Checked, Owner, header};
use super::{BackupError, Contents, Record, Status, Summary, audited, encryption, space};
use crate::audit::{Actor, Chain};
use crate::clock::Timestamp;
use crate::crypto::EncryptionSecret;
use crate::store::{
    COMPANIONS, DATABASE_FILE, FolderLock, Keychain, KeychainError, Left, OpenKeys, StoreError,
    Timeline, Timelines, WRITE_AHEAD_LOG, beside, migrate, open_detached,
};

/// An encryption secret and the file it came from.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) file: PathBuf,
    pub(super) secret: EncryptionSecret,
}

/// What a candidate is made from and must fit.
pub(super) struct Source<'a> {
    pub(super) folder: &'a FolderLock,
    pub(super) backup: &'a Path,
    /// This node and its secret of today.
    pub(super) owner: Owner<'a>,
    /// The secret of the backup's time, when the operator named one.
    pub(super) former: Option<&'a Secret>,
    pub(super) identity: Option<&'a Path>,
    pub(super) contents: &'a dyn Contents,
    pub(super) migrations: &'a [&'a str],
    pub(super) now: Timestamp,
    pub(super) watch: &'a Watch,
}

impl<'a> Source<'a> {
    fn checked(&self, connection: &'a Connection) -> Checked<'a> {
        Checked {
            path: self.backup,
            connection,
            watch: self.watch,
        }
    }
}

/// What the data that is replaced leaves to what takes its place.
#[derive(Debug, Default)]
pub(super) struct Legacy<'a> {
    /// Its database; absent where there is none, or one of a node that is given up.
    pub(super) database: Option<&'a Path>,
    /// The history of backups.
    pub(super) history: Option<Vec<Record>>,
    /// What it knows of its timelines.
    pub(super) timelines: Left,
    /// Its backup.
    pub(super) saved: Option<&'a Record>,
}

/// A verified working copy. Its file goes when it is dropped, unless it was decided on.
#[derive(Debug)]
pub(super) struct Candidate {
    _begun: Begun,
    path: PathBuf,
    pub(super) keys: OpenKeys,
    pub(super) summary: Summary,
    pub(super) taken_at: Option<Timestamp>,
    /// The schema that the backup has.
    pub(super) schema: usize,
    pub(super) rewrapped: bool,
}

/// Removes the working copy when it is dropped. Once it was decided on there is nothing left under its name.
#[derive(Debug)]
pub(super) struct Begun(pub(super) FolderLock);

impl Drop for Begun {
    fn drop(&mut self) {
        if let Err(error) = self.0.clear_candidate() {
            tracing::warn!(%error, "a working copy of a backup is left behind; the next start removes it");
        }
    }
}

impl Candidate {
    /// Copies (or decrypts) the backup into the data folder and checks it there.
    pub(super) fn prepare(source: &Source<'_>) -> Result<Self, BackupError> {
        let path = source.folder.clear_candidate()?;
        let begun = Begun(source.folder.clone());
        bring(source, &path)?;
        Self::check(source, path, begun)
    }

    fn check(source: &Source<'_>, path: PathBuf, begun: Begun) -> Result<Self, BackupError> {
        let mut connection =
            open_detached(&path).map_err(|error| BackupError::of_file(source.backup, error))?;
        let known = source.migrations.len();
        let schema = source.checked(&connection).schema(known)?;
        // A foreign or damaged file is not migrated.
        source.checked(&connection).pages()?;
        let taken_at = source.checked(&connection).taken_at()?;
        let rewrapped = rewrap(source, &source.checked(&connection))?;
        if schema < known {
            migrate(&mut connection, source.migrations)?;
        }
        let checked = source.checked(&connection);
        let keys = checked.keys(source.owner)?;
        let summary = checked.rows(source.contents, &keys)?;
        Ok(Self {
            _begun: begun,
            path,
            keys,
            summary,
            taken_at,
            schema,
            rewrapped,
        })
    }

    /// Makes it the beginning of a new timeline, with what the data that it replaces leaves to it, and enters into the audit
    /// log that `actor` has restored it.
    pub(super) fn begin_timeline(
        &self,
        contents: &dyn Contents,
        source: &Record,
        legacy: &Legacy<'_>,
        actor: &Actor,
        now: Timestamp,
    ) -> Result<Timeline, BackupError> {
        let mut connection = open_detached(&self.path)?;
        let transaction = connection.transaction().map_err(StoreError::from)?;
        contents.begin_timeline(&transaction)?;
        let timeline = Timelines(&transaction).begin_beside(&legacy.timelines, now)?;
        match &legacy.history {
            Some(records) => History(&transaction).replace(records)?,
            None => know_oneself(History(&transaction), source)?,
        }
        legacy
            .saved
            .into_iter()
            .try_for_each(|saved| History(&transaction).put(saved))?;
        let chain = Chain::new(&self.keys.ring);
        audited::enter(&transaction, &chain, source, legacy, actor, now);
        transaction.commit().map_err(StoreError::from)?;
        connection
            .close()
            .map_err(|(_, error)| StoreError::from(error))?;
        let flushed = File::open(&self.path).and_then(|file| file.sync_all());
        flushed.map_err(|error| BackupError::io(&self.path, error))?;
        Ok(timeline)
    }
}

/// In the backup's own history its row is still the one of a backup being made.
fn know_oneself(history: History<'_>, source: &Record) -> Result<(), StoreError> {
    for own in history.unfinished()? {
        history.put(&Record {
            status: Status::Completed,
            path: source.path.clone(),
            bytes: source.bytes,
            summary: source.summary,
            verified_at: source.verified_at,
            encrypted: source.encrypted,
            ..own
        })?;
    }
    Ok(())
}

fn rewrap(source: &Source<'_>, checked: &Checked<'_>) -> Result<bool, BackupError> {
    let Some(former) = source.former else {
        return Ok(false);
    };
    let changed = || -> Result<(), KeychainError> {
        let transaction = checked
            .connection
            .unchecked_transaction()
            .map_err(StoreError::from)?;
        Keychain(&transaction).change_secret(
            &former.secret,
            source.owner.secret,
            source.owner.node,
            source.now,
        )?;
        Ok(transaction.commit().map_err(StoreError::from)?)
    };
    changed().map_err(|error| checked.keychain(error, &former.file))?;
    Ok(true)
}

/// Checks what can be told of a path before it is opened. The live database is the one in the folder `data`.
pub(super) fn existing_file(path: &Path, data: &FolderLock) -> Result<u64, BackupError> {
    let meta = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(BackupError::NotFound { path: path.into() });
        }
        meta => meta.map_err(|error| BackupError::io(path, error))?,
    };
    if meta.is_symlink() {
        return Err(BackupError::Symlink { path: path.into() });
    }
    if !meta.is_file() {
        return Err(BackupError::NotAFile { path: path.into() });
    }
    if is_live(&meta, data) {
        return Err(BackupError::Needed {
            path: path.into(),
            why: "it is the live database of this node and no backup; make one with `ksnode backup create`",
        });
    }
    Ok(meta.len())
}

/// Whether a file, under whatever name, is the database in a data folder or what SQLite keeps beside it. Nothing is opened
/// for the question: whoever closes a file of a database takes away the locks that SQLite has on it for the whole process,
/// and other processes then write to it at the same time ("How To Corrupt An SQLite Database File", 2.2).
fn is_live(file: &Metadata, data: &FolderLock) -> bool {
    let database = data.path().join(DATABASE_FILE);
    let mut endings = COMPANIONS.into_iter().chain([""]);
    endings.any(|ending| {
        let live = std::fs::metadata(beside(&database, ending));
        live.is_ok_and(|live| (live.dev(), live.ino()) == (file.dev(), file.ino()))
    })
}

fn bring(source: &Source<'_>, target: &Path) -> Result<(), BackupError> {
    let bytes = existing_file(source.backup, source.folder)?;
    space::ensure(source.folder.path(), bytes)?;
    match (header(source.backup), source.identity) {
        (Err(BackupError::Encrypted { .. }), Some(identity)) => {
            encryption::decrypt(source.backup, target, identity, source.watch)?;
            // What came out is told apart like any other file, under the name that the operator knows.
            return header(target)
                .map(drop)
                .map_err(|error| error.renamed(source.backup));
        }
        (Ok(true), _) => alone(source.backup)?,
        (header, _) => drop(header?),
    }
    copy_bytes(source.backup, target, bytes, source.watch)
}

/// A live database's file without its log lacks the newest changes, and nobody would notice.
fn alone(path: &Path) -> Result<(), BackupError> {
    let log = beside(path, WRITE_AHEAD_LOG);
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        let what = "it is the file of a live database, with a write-ahead log beside it; make a backup of that node \
                    with `ksnode backup create`";
        return Err(BackupError::Damaged {
            path: path.into(),
            what: what.into(),
        });
    }
    Ok(())
}

/// Copies a file into a new one of mode 0600, flushed.
pub(super) fn copy_bytes(
    from: &Path,
    to: &Path,
    total: u64,
    watch: &Watch,
) -> Result<(), BackupError> {
    let mut source = File::open(from).map_err(|error| BackupError::io(from, error))?;
    let target = create_private(to)?;
    copy(
        &mut source,
        &mut Steady::new(&target, watch.rhythm()),
        |done| watch.tell(Phase::Copy, done, total),
        |end, error| match end {
            End::Source => BackupError::io(from, error),
            End::Target => BackupError::io(to, error),
        },
    )?;
    target
        .sync_all()
        .map_err(|error| BackupError::io(to, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_live_database_is_refused_under_whatever_name() {
        let home = tempfile::tempdir().unwrap();
        let data = FolderLock::take(&home.path().join("data")).unwrap();
        let linked = home.path().join("linked");
        std::os::unix::fs::symlink(data.path(), &linked).unwrap();
        for ending in ["", "-wal", "-shm", "-journal"] {
            let name = format!("{DATABASE_FILE}{ending}");
            let (file, hard) = (data.path().join(&name), home.path().join(&name));
            std::fs::write(&file, "live").unwrap();
            std::fs::hard_link(&file, &hard).unwrap();
            for path in [&file, &hard, &linked.join(&name)] {
                let error = existing_file(path, &data).unwrap_err().to_string();
                for part in [name.as_str(), "live database", "`ksnode backup create`"] {
                    assert!(error.contains(part), "{part}: {error}");
                }
            }
            std::fs::remove_file(&hard).unwrap();
            std::fs::copy(&file, &hard).unwrap();
            assert_eq!(existing_file(&hard, &data).unwrap(), 4);
        }
    }
}
