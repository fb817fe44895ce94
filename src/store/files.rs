//! Files and folders that only their owner reads, and names that are on the disk.
//!
//! Here and not in a room of its own, because the store is the lowest one that has files; those above use these.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{Result, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Sees to it that the folder exists; one that is made, with its parents, is private to its owner (0700), and its name and
/// theirs are on the disk when this returns: a flushed file in a folder that a power cut takes away is no use.
///
/// # Errors
/// What the system says.
pub fn private_folder(path: &Path) -> Result<()> {
    let new = path.ancestors().take_while(|folder| !folder.exists());
    let parents: Vec<&Path> = new.filter_map(Path::parent).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    parents.into_iter().try_for_each(|parent| match parent {
        none if none.as_os_str().is_empty() => sync_folder(Path::new(".")),
        parent => sync_folder(parent),
    })
}

/// A new, empty file that only its owner reads (0600).
///
/// # Errors
/// What the system says, also when there is something of that name.
pub fn new_private_file(path: &Path) -> Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// A file with that content, flushed, that only its owner reads (0600), under a name that nobody looks for: to be given
/// its own name when it is whole. It is removed when it is dropped.
///
/// # Errors
/// What the system says.
pub fn unnamed_private_file(folder: &Path, content: &[u8]) -> Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(".ksnode-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Writes a file that only its owner reads, in the place of one that is there: whole or not at all, and on the disk with its
/// name when this returns.
///
/// # Errors
/// What the system says.
pub fn replace_private_file(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    unnamed_private_file(folder, content)?.persist(path)?;
    sync_folder(folder)
}

/// Flushes the names in a folder to disk: a file that was renamed has its new name after a power cut too.
///
/// # Errors
/// What the system says.
pub fn sync_folder(path: &Path) -> Result<()> {
    File::open(path)?.sync_all()
}

/// The file that belongs to another: its whole name with an ending.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_made_is_private() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a/b");
        private_folder(&folder).unwrap();
        private_folder(&folder).unwrap();
        assert_eq!(
            (mode(&folder), mode(folder.parent().unwrap())),
            (0o700, 0o700)
        );
        let path = folder.join("new");
        new_private_file(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert!(new_private_file(&path).is_err());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "old").unwrap();
        drop(unnamed_private_file(folder.path(), b"half").unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        replace_private_file(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        assert!(replace_private_file(&folder.path().join("none/file"), b"new").is_err());
    }
}
