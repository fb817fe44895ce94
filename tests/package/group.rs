//! A control group for a machine.
//!
//! systemd takes the group it is started in for the root of its own tree. Two of them in the same group would find
//! each other's services there, and end them.

use std::path::{Path, PathBuf};

/// A group of its own, removed when dropped; no process may be in it by then.
pub struct Group(PathBuf);

impl Group {
    /// A new group below the one of this process, in the unified hierarchy.
    pub fn new(name: &str) -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mounts
            .lines()
            .find(|line| line.contains(" - cgroup2 "))
            .and_then(|line| line.split(' ').nth(4))
            .expect("control groups of version 2");
        let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = groups
            .lines()
            .find_map(|line| line.strip_prefix("0::/"))
            .unwrap();
        let path = Path::new(mount).join(own).join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// The file that takes the id of a process which is to belong to it.
    pub fn members(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes a group with those below it. What stays because of a process does no harm.
fn remove(group: &Path) {
    for entry in std::fs::read_dir(group).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = std::fs::remove_dir(group);
}
