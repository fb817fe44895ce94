//! A disk that fails as a test says: calls on files of the real program give errors in the places that are named, and
//! whatever there is after that is the program's. Everything once: what fails is told with the place and what to do, nothing that was
//! acknowledged is lost, and the node goes on with what it can.
//!
//! A library between the program and the C library does it (`bad_disk/calls.c`). Unlike strace it tells files apart
//! whose names are not known before, and becomes bad and well while the node runs.

mod backups;
mod private_files;
mod replica;
mod restores;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::operator::register;
use crate::support::Setup;

/// The disk under a node's home.
pub struct BadDisk {
    rules: PathBuf,
}

/// A call, a part of the path, and the error: `EIO`, `ENOSPC` or `SHORT`, which takes half of what is written.
pub type Rule<'a> = (&'a str, &'a str, &'a str);

impl BadDisk {
    /// Well until it is told to be bad.
    pub fn under(home: &Path) -> Self {
        Self {
            rules: home.join("bad-disk"),
        }
    }

    /// Puts it under everything that is run.
    pub fn carries(&self, setup: Setup) -> Setup {
        setup
            .env("LD_PRELOAD", library().to_str().unwrap())
            .env("BAD_DISK", self.rules.to_str().unwrap())
    }

    /// From now on.
    pub fn fails(&self, (call, path, error): Rule<'_>) {
        let new = self.rules.with_extension("new");
        std::fs::write(&new, format!("{call} {path} {error}\n")).unwrap();
        std::fs::rename(new, &self.rules).unwrap();
    }

    fn has_failed(&self) -> bool {
        self.rules.with_extension("failed").exists()
    }

    /// Makes it well again. It must have failed in between: otherwise nothing was tried.
    #[track_caller]
    pub fn is_mended(&self) {
        let rule = std::fs::read_to_string(&self.rules).unwrap();
        std::fs::remove_file(&self.rules).unwrap();
        let failed = std::fs::remove_file(self.rules.with_extension("failed"));
        assert!(failed.is_ok(), "nothing failed by {rule}");
    }
}

/// Compiled once in a run.
fn library() -> &'static Path {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let new = folder.join(format!("bad-disk-{}.so", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/bad_disk/calls.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o"]);
        let output = compiler.arg(&new).arg(source).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{said}");
        // Other runs may be using the one of that name.
        let library = folder.join("bad-disk.so");
        std::fs::rename(new, &library).unwrap();
        library
    });
    &LIBRARY
}

/// A node that was stopped, with users 1 to 3, on a disk that is well.
fn stopped(home: &Path) -> (Setup, BadDisk) {
    let disk = BadDisk::under(home);
    let setup = disk.carries(Setup::new(home).env("KSNODE_BACKUP__AT", ""));
    let node = setup.start();
    register(&node, 1..=3);
    assert!(node.stop().success());
    (setup, disk)
}
