//! Making the file of a backup: copied, verified, encrypted where that is wanted, flushed, and only then named.

use std::path::Path;

use super::candidate::{Candidate, Source};
use super::digest::digest;
use super::encryption::{self, Recipients};
use super::progress::Watch;
use super::verify::{Checked, Owner, Tables, header, open};
use super::{BackupError, Contents, Kind, Summary, copy, raw, space};
use crate::clock::Timestamp;
use crate::crypto::CryptoError;
use crate::store::{
    COMPANIONS, FolderLock, KeychainError, StoreError, WRITE_AHEAD_LOG, beside, private_folder,
    remove_database, sync_folder,
};

/// The verified and not yet encrypted copy: it stays in the data folder, which holds the same already, and never in
/// the folder that is taken off-site.
const PLAIN: &str = "ksnode.backup.partial";
/// Ends the name of a file that is not a backup yet.
const PARTIAL: &str = ".partial";

/// What a backup is made of and for.
pub(super) struct Order<'a> {
    pub(super) kind: Kind,
    /// The database, in use or not.
    pub(super) database: &'a Path,
    /// The name it gets at the end.
    pub(super) target: &'a Path,
    pub(super) folder: &'a FolderLock,
    pub(super) owner: Owner<'a>,
    pub(super) recipients: Option<&'a Recipients>,
    pub(super) contents: &'a dyn Contents,
    pub(super) migrations: &'a [&'a str],
    pub(super) now: Timestamp,
    pub(super) watch: &'a Watch,
}

/// A file in its place.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) bytes: u64,
    pub(super) digest: [u8; 32],
    /// What the verification found; an error only before a restore, where a copy of damaged data is better than none.
    pub(super) verified: Result<Summary, BackupError>,
}

/// Removes a file that did not become a backup.
struct Begun<'a>(&'a Path);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        remove(self.0);
    }
}

/// Makes the backup. On an error nothing is left of it.
pub(super) fn make(order: &Order<'_>) -> Result<Product, BackupError> {
    let folder = order.target.parent().unwrap_or(Path::new("/"));
    private_folder(folder).map_err(|error| BackupError::io(folder, error))?;
    let bytes = database_bytes(order.database);
    match order.recipients {
        // The verified copy and the encrypted one are both there for a moment.
        Some(_) => space::ensure_all(&[(folder, bytes), (order.folder.path(), bytes)])?,
        None => space::ensure(folder, bytes)?,
    }
    let partial = beside(order.target, &unfinished_ending(order.folder)?);
    let _begun = Begun(&partial);
    match write(order, &partial) {
        Ok(product) => publish(&partial, order.target, folder).map(|()| product),
        Err(error) if order.kind == Kind::BeforeRestore && !error.is_of_place() => {
            raw::save(order, error)
        }
        Err(error) => Err(error),
    }
}

fn write(order: &Order<'_>, partial: &Path) -> Result<Product, BackupError> {
    let Some(recipients) = order.recipients else {
        let verified = copy_and_verify(order, partial)?;
        let (bytes, digest) = digest(partial).map_err(|error| BackupError::io(partial, error))?;
        return Ok(Product {
            bytes,
            digest,
            verified,
        });
    };
    let plain = order.folder.path().join(PLAIN);
    remove(&plain);
    let _begun = Begun(&plain);
    let verified = copy_and_verify(order, &plain)?;
    let sealed = encryption::encrypt(&plain, partial, recipients, order.watch)?;
    Ok(Product {
        bytes: sealed.bytes,
        digest: sealed.digest,
        verified,
    })
}

/// Gives the file its name, for good.
pub(super) fn publish(partial: &Path, target: &Path, folder: &Path) -> Result<(), BackupError> {
    std::fs::rename(partial, target).map_err(|error| BackupError::io(target, error))?;
    sync_folder(folder).map_err(|error| {
        remove(target);
        BackupError::io(folder, error)
    })
}

fn copy_and_verify(
    order: &Order<'_>,
    file: &Path,
) -> Result<Result<Summary, BackupError>, BackupError> {
    let tables = copy::copy(order.database, file, order.watch)?;
    match check(order, file, Some(&tables)) {
        Err(error) if order.kind == Kind::BeforeRestore && error.is_of_content() => Ok(Err(error)),
        // Nothing is wrong with the database: the secret's file was exchanged, which is told as it is at a start.
        Err(BackupError::OtherSecret { .. }) => {
            Err(KeychainError::from(CryptoError::WrongSecret).into())
        }
        checked => checked.map(Ok),
    }
}

/// Verifies a copy. In errors it has the name of the database: what is wrong with the copy is wrong there.
fn check(order: &Order<'_>, file: &Path, tables: Option<&Tables>) -> Result<Summary, BackupError> {
    header(file).map_err(|error| error.renamed(order.database))?;
    let connection = open(file)?;
    let checked = Checked {
        path: order.database,
        connection: &connection,
        watch: order.watch,
    };
    let schema = checked.schema(order.migrations.len())?;
    checked.pages()?;
    if let Some(tables) = tables {
        checked.compare(tables)?;
    }
    if schema == order.migrations.len() {
        let keys = checked.keys(order.owner)?;
        return checked.rows(order.contents, &keys);
    }
    // Rows of an older schema are read once they are migrated: on a working copy, which shows as well that the
    // migration works, before the database itself is touched.
    drop(connection);
    let source = Source {
        folder: order.folder,
        backup: file,
        owner: order.owner,
        former: None,
        identity: None,
        contents: order.contents,
        migrations: order.migrations,
        now: order.now,
        watch: order.watch,
    };
    Ok(Candidate::prepare(&source)?.summary)
}

/// Bytes that a copy needs at most: the pages in the log may all be new ones.
pub(super) fn database_bytes(database: &Path) -> u64 {
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    length(database).saturating_add(length(&beside(database, WRITE_AHEAD_LOG)))
}

/// Ends the name of a file that this node has begun. The node is in it because nodes may share a backup folder, and
/// none is to remove what another is writing.
pub(super) fn unfinished_ending(data: &FolderLock) -> Result<String, StoreError> {
    let node = data.node_id()?;
    let node = node.map(|node| format!(".{}", node.simple()));
    Ok(format!("{}{PARTIAL}", node.unwrap_or_default()))
}

/// Removes what a process that was killed left of backups in either folder. They are found by their names: backups
/// made before a restore or a migration have no row in the history until they are finished.
pub(super) fn remove_unfinished(data: &FolderLock, backups: &Path) -> Result<(), StoreError> {
    remove(&data.path().join(PLAIN));
    let ending = unfinished_ending(data)?;
    // A folder that is not there, or cannot be read, is told of by the next backup.
    for entry in backups.read_dir().into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let main = COMPANIONS
            .iter()
            .find_map(|ending| name.strip_suffix(ending));
        if name.starts_with("ksnode-") && main.unwrap_or(&name).ends_with(&ending) {
            tracing::info!(path = %entry.path().display(), "removed: a backup that was interrupted");
            remove(&entry.path());
        }
    }
    Ok(())
}

/// Removes a file, with all that SQLite keeps beside it.
pub(super) fn remove(path: &Path) {
    if let Err(error) = remove_database(path) {
        tracing::warn!(%error, "an unfinished file could not be removed; remove it by hand");
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// A kill leaves the unfinished file, and what SQLite keeps beside it in either way of writing.
    #[test]
    fn what_a_killed_process_left_is_removed_and_nothing_else() {
        let (data, backups) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let lock = FolderLock::take(data.path()).unwrap();
        let node = Uuid::new_v4();
        lock.set_node_id(node).unwrap();
        let own = format!("ksnode-a.db.{}.partial", node.simple());
        let other = format!("ksnode-a.db.{}.partial", Uuid::new_v4().simple());
        let kept = ["ksnode-a.db", "ksnode-a.db-wal", "notes.partial", &other];
        for name in kept {
            std::fs::write(backups.path().join(name), "x").unwrap();
        }
        let left = [(backups.path(), own.as_str()), (data.path(), PLAIN)];
        for ending in ["", "-wal", "-shm", "-journal"] {
            for (folder, name) in left {
                std::fs::write(folder.join(format!("{name}{ending}")), "x").unwrap();
            }
            remove_unfinished(&lock, backups.path()).unwrap();
            let mut names: Vec<_> = backups
                .path()
                .read_dir()
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            let mut expected = kept.map(str::to_owned);
            expected.sort();
            assert_eq!(names, expected, "{ending}");
            assert!(!data.path().join(format!("{PLAIN}{ending}")).exists());
        }
    }
}
