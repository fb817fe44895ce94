//! Private files that are made once: complete or not at all, and never over something that exists.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::Context;

use crate::store;

/// Whether something had to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was made now.
    Created,
    /// It was there and was left alone.
    Found,
}

/// Sees to it that the folder exists; made private to its owner (0700), its parents too.
///
/// # Errors
///
/// It cannot be made, or something else has its name.
pub fn private_folder(path: &Path) -> anyhow::Result<Made> {
    if path.is_dir() {
        return Ok(Made::Found);
    }
    let made = store::private_folder(path);
    made.with_context(|| format!("cannot make the folder {}", path.display()))?;
    Ok(Made::Created)
}

/// Makes a file readable by its owner alone (0600) with this content, flushed to disk with its name.
///
/// It is written under another name first: a crash leaves no half of a secret under the name that the next
/// start would take for the whole one. The last step fails when the name is taken.
///
/// # Errors
///
/// The file cannot be written.
pub fn private_file(path: &Path, content: &[u8]) -> anyhow::Result<Made> {
    let folder = path.parent().context("a file needs a folder")?;
    let write = || -> std::io::Result<Made> {
        let file = store::unnamed_private_file(folder, content)?;
        match file.persist_noclobber(path) {
            Ok(_) => Ok(Made::Created),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(Made::Found),
            Err(error) => Err(error.error),
        }
    };
    let made = write().with_context(|| format!("cannot write {}", path.display()))?;
    sync_folder(folder)?;
    Ok(made)
}

/// Flushes the names in a folder to disk: a file that was renamed has its new name after a power cut too.
///
/// # Errors
///
/// The folder cannot be flushed.
pub fn sync_folder(path: &Path) -> anyhow::Result<()> {
    let flushed = store::sync_folder(path);
    flushed.with_context(|| format!("cannot flush the folder {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_private_and_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        assert_eq!(private_file(&path, b"one").unwrap(), Made::Created);
        assert_eq!(private_file(&path, b"two").unwrap(), Made::Found);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o7777,
            0o600
        );
        assert_eq!(folder.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b");
        assert_eq!(private_folder(&path).unwrap(), Made::Created);
        assert_eq!(private_folder(&path).unwrap(), Made::Found);
        assert_eq!(
            path.metadata().unwrap().permissions().mode() & 0o7777,
            0o700
        );
    }
}
