//! Which file a name means.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::Backups;
use crate::backup::BackupError;
use crate::backup::candidate::existing_file;

/// The container folder of older installations (api.md, "Backups").
const CONTAINER_FOLDER: &str = "/home/node/key_share_node/dump/";

impl Backups {
    /// The file that a request over the network means: a bare name, a path in the backup folder, or a path under the
    /// container folder of older installations (api.md, "Backups").
    ///
    /// # Errors
    /// [`BackupError::Outside`], [`BackupError::NotFound`], [`BackupError::NotAFile`], [`BackupError::Symlink`],
    /// [`BackupError::Needed`], [`BackupError::Io`].
    pub fn resolve(&self, named: &str) -> Result<PathBuf, BackupError> {
        let inside = named.strip_prefix(CONTAINER_FOLDER).unwrap_or(named);
        let path = self.folder().join(inside);
        let outside = || BackupError::Outside {
            path: named.into(),
            folder: self.folder().to_owned(),
        };
        let not_found = || BackupError::NotFound { path: named.into() };
        let real = |path: &Path| {
            path.canonicalize().map_err(|error| match error.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => not_found(),
                _ => BackupError::io(path, error),
            })
        };
        // A path that leads out by its text is refused whether there is something or not.
        if !lexically_inside(&path, self.folder()) {
            return Err(outside());
        }
        let folder = real(self.folder())?;
        if !real(&path)?.starts_with(&folder) {
            return Err(outside());
        }
        existing_file(&path, self.store.folder())?;
        std::fs::File::open(&path).map_err(|error| BackupError::io(&path, error))?;
        Ok(path)
    }
}

fn lexically_inside(path: &Path, folder: &Path) -> bool {
    path.strip_prefix(folder).is_ok_and(|rest| {
        rest.components()
            .all(|part| matches!(part, Component::Normal(_)))
    })
}
