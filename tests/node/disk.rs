//! Disks that can be full.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const MEBIBYTE: usize = 1 << 20;

/// A file system of its own, in memory, which goes with the value.
pub struct Disk(PathBuf);

impl Disk {
    /// `None`, and a word about it, where nothing may be mounted.
    pub fn mount(at: &Path, mebibytes: usize) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let size = format!("size={mebibytes}m,mode=700");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            other => {
                eprintln!("skipped: a test of a full disk may not mount one: {other:?}");
                None
            }
        }
    }

    /// Takes all room but so many bytes.
    pub fn fill(&self, but: u64) {
        let path = self.0.join("ballast");
        let mut ballast = File::create(&path).unwrap();
        let block = vec![1; MEBIBYTE / 16];
        while ballast.write_all(&block).is_ok() {}
        let length = ballast.metadata().unwrap().len();
        ballast.set_len(length.saturating_sub(but)).unwrap();
    }

    /// Gives back what was taken.
    pub fn make_room(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily, because a node may just be dying on it.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
