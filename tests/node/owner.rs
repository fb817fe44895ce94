//! Commands of root on a node of somebody else. They need root to be tried, as CI is.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};

use crate::operator::{backup, printed};
use crate::support::Setup;

/// Nobody in particular, on every Linux.
const SOMEBODY: u32 = 65_534;

/// Whether this test can be made; says so when it cannot.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("this test needs root and was not made");
    }
    root
}

/// A home whose data folder is somebody else's, and is there.
pub fn home_of_somebody() -> (tempfile::TempDir, Setup) {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let mut folder = setup.data("");
    std::fs::create_dir_all(&folder).unwrap();
    while folder.starts_with(home.path()) {
        chown(&folder, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        folder = folder.parent().unwrap().to_owned();
    }
    (home, setup)
}

/// Asserts that everything in the folder is its owner's.
#[track_caller]
pub fn is_all_somebodys(folder: &Path) {
    let mut folders = vec![PathBuf::from(folder)];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            let found = path.symlink_metadata().unwrap();
            let owner = (found.uid(), found.gid());
            assert_eq!(owner, (SOMEBODY, SOMEBODY), "{}", path.display());
            files += 1;
            if found.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(files > 0, "{} is empty", folder.display());
}

#[test]
fn commands_of_root_leave_only_files_of_the_owner() {
    if !is_root() {
        return;
    }
    let (_home, setup) = home_of_somebody();
    printed(&setup.run(&["init"]));
    is_all_somebodys(&setup.data(""));
    let made = backup(&setup);
    printed(&setup.run(&["key", "rotate", "share"]));
    printed(&setup.run(&["restore", made.to_str().unwrap(), "--yes"]));
    printed(&setup.run(&["secret", "change"]));
    is_all_somebodys(&setup.data(""));
}

#[test]
fn a_node_of_root_goes_on_as_the_owner() {
    if !is_root() {
        return;
    }
    let (_home, setup) = home_of_somebody();
    let node = setup.start();
    node.logs("continuing as the owner of the data folder");
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let line = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().split_whitespace().collect::<Vec<_>>()
    };
    let all = [
        SOMEBODY.to_string(),
        SOMEBODY.to_string(),
        SOMEBODY.to_string(),
        SOMEBODY.to_string(),
    ];
    assert_eq!(line("Uid:"), all);
    assert_eq!(line("Gid:"), all);
    assert!(!line("Groups:").contains(&"0"), "{status}");
    // Of root's rights it has kept low ports, which a configuration may name.
    assert_eq!(line("CapEff:"), [format!("{:016x}", 1 << 10)]);
    backup(&setup);
    assert_eq!(node.stop().code(), Some(0));
    is_all_somebodys(&setup.data(""));
}
