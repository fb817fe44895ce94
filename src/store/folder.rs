//! The data folder: private to its owner, and one process's at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::{StoreError, private_folder, replace, replace_private_file, sync_folder};

const LOCK_FILE: &str = "ksnode.lock";
const NODE_ID_FILE: &str = "node-id";

/// The right to use a data folder, held until all its clones are dropped or until the process ends, however it ends.
///
/// The kernel's advisory lock is taken on a file of its own: SQLite's locks would let a second process in between two
/// transactions.
#[derive(Clone, Debug)]
pub struct FolderLock {
    folder: PathBuf,
    _file: Arc<File>,
}

/// Who has a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It is free, or not there.
    Nobody,
    /// A process, by its number when it left one.
    Process(Option<u32>),
}

impl FolderLock {
    /// Creates the folder (mode 0700) when it is absent, takes it, and finishes or undoes what an interrupted restore
    /// or rollback left there.
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has it, [`StoreError::Io`].
    pub fn take(folder: &Path) -> Result<Self, StoreError> {
        private_folder(folder).map_err(|error| StoreError::io(folder, error))?;
        let path = folder.join(LOCK_FILE);
        let failed = |error| StoreError::io(&path, error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse {
                    folder: folder.to_owned(),
                    holder: holder(&mut file),
                });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        replace::recover(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            _file: Arc::new(file),
        })
    }

    /// Who has the folder. Nothing is made or taken for the question.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn holder(folder: &Path) -> Result<Holder, StoreError> {
        let path = folder.join(LOCK_FILE);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if is_absence(error.kind()) => return Ok(Holder::Nobody),
            Err(error) => return Err(StoreError::io(&path, error)),
        };
        // Shared: two who ask do not see each other.
        match file.try_lock_shared() {
            Ok(()) => Ok(Holder::Nobody),
            Err(TryLockError::WouldBlock) => Ok(Holder::Process(holder(&mut file))),
            Err(TryLockError::Error(error)) => Err(StoreError::io(&path, error)),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The node this folder was made for; absent in a new folder.
    ///
    /// # Errors
    /// [`StoreError::Io`]; [`StoreError::Damaged`] when the file holds something else.
    pub fn node_id(&self) -> Result<Option<Uuid>, StoreError> {
        let path = self.folder.join(NODE_ID_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Uuid::parse_str(text.trim())
                .map(Some)
                .map_err(|_| StoreError::Damaged(format!("{} holds no node id", path.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path, error)),
        }
    }

    /// Takes back what [`Self::set_node_id`] noted: whichever database is in the folder then tells whose it is.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn forget_node_id(&self) -> Result<(), StoreError> {
        let path = self.folder.join(NODE_ID_FILE);
        let removed = match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => sync_folder(&self.folder),
        };
        removed.map_err(|error| StoreError::io(&path, error))
    }

    /// Notes that this folder is `node_id`'s: whole or not at all, because a file that holds no id keeps the node from
    /// starting.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn set_node_id(&self, node_id: Uuid) -> Result<(), StoreError> {
        let path = self.folder.join(NODE_ID_FILE);
        replace_private_file(&path, format!("{node_id}\n").as_bytes())
            .map_err(|error| StoreError::io(&path, error))
    }
}

fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn one_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        assert_eq!(FolderLock::holder(&folder).unwrap(), Holder::Nobody);
        assert!(!folder.exists());
        let first = FolderLock::take(&folder).unwrap();
        let own = Holder::Process(Some(std::process::id()));
        assert_eq!(FolderLock::holder(&folder).unwrap(), own);
        let error = FolderLock::take(&folder).unwrap_err();
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
        drop(first);
        assert_eq!(FolderLock::holder(&folder).unwrap(), Holder::Nobody);
        FolderLock::take(&folder).unwrap();
    }

    #[test]
    fn is_private_and_remembers_its_node() {
        let parent = tempfile::tempdir().unwrap();
        let folder = FolderLock::take(&parent.path().join("a/b")).unwrap();
        let mode = std::fs::metadata(folder.path())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_eq!(folder.node_id().unwrap(), None);
        let id = Uuid::new_v4();
        folder.set_node_id(id).unwrap();
        assert_eq!(folder.node_id().unwrap(), Some(id));
    }
}
