//! The Debian that all machines begin with: made by debootstrap once, then only read.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::outcome::host;

/// What a fresh server has beside the minimum, and rpm, so that the rpm has a machine to be installed on.
const INCLUDED: &str =
    "adduser,ca-certificates,curl,dbus,iproute2,kmod,procps,rpm,sudo,systemd,systemd-sysv,udev";

/// How the root is made; a new number makes it again.
const MAKE: u32 = 3;

/// The folder of everything that is built.
pub fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// A lock among all tests, of this run and of others: the one who has it makes what is missing.
pub fn lock(path: &Path) -> File {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.lock().unwrap();
    file
}

/// The root's folder. The first call makes it, in two minutes; so does a change of what belongs into it.
pub fn debian() -> PathBuf {
    let root = target().join("tools/debian-root");
    let stamp = root.with_extension("stamp");
    let _lock = lock(&root.with_extension("lock"));
    let (suite, mirror) = source();
    let ingredients = format!("{MAKE} {suite} {mirror} {INCLUDED}\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|made| made == ingredients) {
        return root;
    }
    // Without the stamp an interrupted build is not taken for a root.
    let _ = std::fs::remove_file(&stamp);
    remove(&root);
    let folder = root.to_str().unwrap();
    let include = format!("--include={INCLUDED}");
    host(
        "debootstrap",
        &["--variant=minbase", &include, &suite, folder, &mirror],
    );
    // Packages that have been unpacked.
    remove(&root.join("var/cache/apt/archives"));
    // Each machine makes its own at its first boot, as a fresh one does.
    std::fs::write(root.join("etc/machine-id"), "").unwrap();
    let _ = std::fs::remove_file(root.join("var/lib/dbus/machine-id"));
    // debootstrap takes these two from this machine.
    std::fs::write(root.join("etc/hostname"), "debian\n").unwrap();
    let _ = std::fs::remove_file(root.join("etc/resolv.conf"));
    std::fs::write(
        root.join("etc/hosts"),
        "127.0.0.1 localhost\n127.0.1.1 debian\n",
    )
    .unwrap();
    std::fs::write(&stamp, ingredients).unwrap();
    root
}

/// The Debian release of this machine, and where its packages come from.
fn source() -> (String, String) {
    let listed = host(
        "apt-get",
        &[
            "indextargets",
            "--format",
            "$(CODENAME) $(REPO_URI)",
            "Created-By: Packages",
            "Component: main",
        ],
    );
    let release = std::fs::read_to_string("/etc/os-release").unwrap();
    let codename = release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .expect("the name of this machine's release");
    listed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(suite, _)| *suite == codename)
        .map(|(suite, mirror)| (suite.to_owned(), mirror.to_owned()))
        .unwrap_or_else(|| panic!("apt knows no packages of {codename}: apt-get update"))
}

fn remove(folder: &Path) {
    if folder.exists() {
        std::fs::remove_dir_all(folder).unwrap();
    }
}
