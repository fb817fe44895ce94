//! Room on file systems.

use std::path::Path;

/// What is left of a file system, for a process without privileges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Of how many.
    pub total_bytes: u64,
    /// Files that can still be made.
    pub free_files: u64,
    /// Of how many; 0 on file systems that do not count them.
    pub total_files: u64,
}

impl Room {
    /// The room where `path` is, or would be: of the nearest folder above it that is there.
    ///
    /// # Errors
    /// What the system says.
    pub fn at(path: &Path) -> std::io::Result<Self> {
        let there = path.ancestors().find(|folder| folder.exists());
        let found = rustix::fs::statvfs(there.unwrap_or(Path::new("/")))?;
        Ok(Self {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
            free_files: found.f_favail,
            total_files: found.f_files,
        })
    }

    /// How much of the bytes is free, in whole percent rounded down; 100 where there are none.
    pub fn percent_free(&self) -> u64 {
        percent(self.free_bytes, self.total_bytes)
    }

    /// The same of the files.
    pub fn percent_files_free(&self) -> u64 {
        percent(self.free_files, self.total_files)
    }
}

fn percent(part: u64, whole: u64) -> u64 {
    let percent = u128::from(part).saturating_mul(100);
    let percent = percent.checked_div(u128::from(whole)).unwrap_or(100);
    u64::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_has_the_room_of_the_one_above() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::at(&folder.path().join("a/b")).unwrap();
        assert_eq!(
            room.total_bytes,
            Room::at(folder.path()).unwrap().total_bytes
        );
        assert!(room.free_bytes <= room.total_bytes && room.percent_free() <= 100);
    }

    #[test]
    fn a_share_of_nothing_is_all_of_it() {
        assert_eq!((percent(1, 3), percent(0, 0)), (33, 100));
        assert_eq!(percent(u64::MAX, u64::MAX), 100);
    }
}
