//! The packages under test, and those of "the next release".

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::root::{lock, target};

/// What packages are made of.
const SOURCES: [&str; 8] = [
    "src",
    "assets",
    "packaging",
    "Cargo.toml",
    "Cargo.lock",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
];

/// A release's packages.
pub struct Packages {
    pub deb: PathBuf,
    pub rpm: PathBuf,
}

/// Those of this version: built as tests are, or what `KSNODE_PACKAGES` names, a folder of the very ones that will be given away.
pub fn current() -> Packages {
    let Some(folder) = std::env::var_os("KSNODE_PACKAGES") else {
        return built("+debug1", &["deb", "rpm", "--debug"]);
    };
    let folder = Path::new(&folder);
    find(folder, "").unwrap_or_else(|| panic!("no deb and rpm of this version in {folder:?}"))
}

/// Those of this version with one more migration (`--features rehearsal`).
pub fn next() -> Packages {
    built("+rehearsal1", &["deb", "rpm", "--rehearsal"])
}

/// The packages whose version ends like this, built by these arguments of `packaging/build` when the sources are newer.
fn built(ending: &str, build: &[&str]) -> Packages {
    let folder = target().join("packages");
    let _lock = lock(&target().join("packages.lock"));
    let found = find(&folder, ending).filter(is_newer_than_sources);
    found.unwrap_or_else(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new(sources.join("packaging/build"));
        let status = command.args(build).current_dir(sources).status().unwrap();
        assert!(status.success(), "packaging/build {build:?}: {status}");
        find(&folder, ending).expect("what packaging/build made")
    })
}

fn find(folder: &Path, ending: &str) -> Option<Packages> {
    let version = format!("{}{ending}-", env!("CARGO_PKG_VERSION"));
    let named = |start: String, end: &str| {
        let entries = std::fs::read_dir(folder).ok()?;
        entries.flatten().map(|entry| entry.path()).find(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with(&start) && name.ends_with(end)
        })
    };
    Some(Packages {
        deb: named(format!("ksnode_{version}"), ".deb")?,
        rpm: named(format!("ksnode-{version}"), ".rpm")?,
    })
}

fn is_newer_than_sources(packages: &Packages) -> bool {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let newest = SOURCES
        .iter()
        .map(|name| modified(&sources.join(name)))
        .max();
    [&packages.deb, &packages.rpm]
        .iter()
        .all(|package| Some(modified(package)) > newest)
}

/// When a file, or the newest one in a folder, was changed last.
fn modified(path: &Path) -> SystemTime {
    let own = std::fs::metadata(path).unwrap().modified().unwrap();
    let Ok(entries) = std::fs::read_dir(path) else {
        return own;
    };
    entries
        .flatten()
        .map(|entry| modified(&entry.path()))
        .fold(own, SystemTime::max)
}
