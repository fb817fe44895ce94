//! Whether there is room, asked before a large file is begun: running into a full disk would take the database's room too.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::BackupError;

/// Succeeds when `needed` bytes are free in `folder` for a process without privileges. It is an estimate: others may
/// write meanwhile.
///
/// # Errors
/// [`BackupError::Space`]; [`BackupError::Io`] when `folder` cannot be asked.
pub(super) fn ensure(folder: &Path, needed: u64) -> Result<(), BackupError> {
    let free = free(folder).map_err(|error| BackupError::io(folder, error))?;
    if free >= needed {
        return Ok(());
    }
    Err(BackupError::Space {
        folder: folder.to_owned(),
        needed,
        free,
    })
}

/// The same for files of which all are there at once. Folders of one file system share its room.
///
/// # Errors
/// As [`ensure`]; the folder named is the first one of its file system.
pub(super) fn ensure_all(files: &[(&Path, u64)]) -> Result<(), BackupError> {
    let systems = files
        .iter()
        .map(|(folder, _)| Ok((*folder, file_system(folder)?)))
        .collect::<Result<Vec<_>, BackupError>>()?;
    for (folder, system) in &systems {
        let of_system = files.iter().zip(&systems);
        let needed = of_system
            .filter(|(_, (_, other))| other == system)
            .fold(0_u64, |sum, ((_, bytes), _)| sum.saturating_add(*bytes));
        ensure(folder, needed)?;
    }
    Ok(())
}

fn file_system(folder: &Path) -> Result<u64, BackupError> {
    let meta = std::fs::metadata(folder);
    meta.map(|meta| meta.dev())
        .map_err(|error| BackupError::io(folder, error))
}

fn free(folder: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_with_what_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        ensure(path, 0).unwrap();
        ensure(path, 1).unwrap();
        match ensure(path, u64::MAX).unwrap_err() {
            BackupError::Space {
                folder,
                needed,
                free,
            } => {
                assert_eq!((folder.as_path(), needed), (path, u64::MAX));
                assert!(free > 0 && free < needed);
            }
            error => panic!("{error}"),
        }
    }

    #[test]
    fn folders_of_one_file_system_share_its_room() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        let half = u64::MAX / 2;
        ensure_all(&[(folder.path(), 1), (&inner, 1)]).unwrap();
        match ensure_all(&[(folder.path(), half), (&inner, half)]).unwrap_err() {
            BackupError::Space { needed, .. } => assert_eq!(needed, 2 * half),
            error => panic!("{error}"),
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none");
        let error = ensure(&path, 0).unwrap_err();
        assert!(
            matches!(&error, BackupError::Io { path: told, .. } if *told == path),
            "{error}"
        );
    }
}
