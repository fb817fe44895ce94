//! Time that passes when a test says so.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Node, Setup};

/// A clock that runs as the machine's does, ahead of it by as much as a test has let pass. The node under it is the real
/// program: libfaketime answers in the place of the system when it asks for the time of day or for that since the boot.
pub struct Ahead {
    file: PathBuf,
    library: PathBuf,
    passed: Duration,
}

impl Ahead {
    /// One that is not ahead yet, kept in a folder.
    pub fn new(folder: &Path) -> Self {
        let ahead = Self {
            file: folder.join("ahead"),
            library: library(),
            passed: Duration::ZERO,
        };
        ahead.write();
        ahead
    }

    /// Lets time pass.
    pub fn pass(&mut self, time: Duration) {
        self.passed += time;
        self.write();
    }

    /// Starts a node under this clock.
    pub fn start(&self, setup: &Setup) -> Node {
        setup.start_through(&format!(
            r#"export LD_PRELOAD={} FAKETIME_NO_CACHE=1 FAKETIME_TIMESTAMP_FILE={}; exec "$0" "$@""#,
            self.library.display(),
            self.file.display()
        ))
    }

    /// Never read half: the node may ask at any moment.
    fn write(&self) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("+{}\n", self.passed.as_secs())).unwrap();
        std::fs::rename(new, &self.file).unwrap();
    }
}

fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap();
    folders
        .map(|folder| folder.unwrap().path().join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.exists())
        .expect("libfaketime; `tests/all --prepare` installs it")
}
