//! `ksnode serve --daemon`.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Output;

use crate::operator::{printed, refused, said};
use crate::owner::{home_of_somebody, is_all_somebodys, is_root};
use crate::support::{Setup, wait_for};

/// A daemon that is killed when a test fails.
struct Running(i32);

impl Running {
    fn of(pid_file: &Path) -> Self {
        let text = std::fs::read_to_string(pid_file).unwrap();
        Self(text.trim().parse().unwrap())
    }

    fn status(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let process = rustix::process::Pid::from_raw(self.0).unwrap();
        // It has ended already when all went well.
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    }
}

fn start(setup: &Setup, home: &Path, more: &[&str]) -> Output {
    let pid_file = home.join("node.pid");
    let mut line = vec![
        "serve",
        "--daemon",
        "--pid-file",
        pid_file.to_str().unwrap(),
    ];
    line.extend(more);
    setup.run(&line)
}

/// Waits until the daemon has logged this: records are written some milliseconds after their cause.
fn logs(home: &Path, text: &str) -> String {
    wait_for(text, || {
        let log = std::fs::read_to_string(home.join("node.log")).unwrap();
        log.contains(text).then_some(log)
    })
}

#[test]
fn a_daemon_serves_when_its_command_returns_and_is_stopped_by_another() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    // Relative paths are those of the command, whose working folder is not the daemon's.
    let told = printed(&start(&setup, home.path(), &["--log-file", "node.log"]));
    let running = Running::of(&home.path().join("node.pid"));
    assert!(
        told.contains("admin password: ") && told.contains("ksnode serves http://"),
        "{told}"
    );
    let status = setup.run(&["status"]);
    assert!(printed(&status).contains(&format!("process {}", running.0)));
    let folder = std::fs::read_link(format!("/proc/{}/cwd", running.0)).unwrap();
    assert_eq!(folder, setup.data("").canonicalize().unwrap());
    let log = logs(home.path(), "serving");
    assert!(!log.contains("admin password"), "{log}");

    let again = start(&setup, home.path(), &[]);
    refused(
        &again,
        1,
        &["--pid-file", &format!("process {}", running.0)],
    );
    let pid_file = home.path().join("other.pid");
    let other = setup.run(&[
        "serve",
        "--daemon",
        "--pid-file",
        pid_file.to_str().unwrap(),
    ]);
    assert_eq!(other.status.code(), Some(1));
    assert!(
        said(&other).contains("in use by another ksnode"),
        "{}",
        said(&other)
    );
    assert!(!pid_file.exists());

    let stopped = printed(&setup.run(&["stop"]));
    assert_eq!(stopped, format!("stopped: process {}\n", running.0));
    assert!(!home.path().join("node.pid").exists());
    logs(home.path(), "asked to stop");
    // And at once again.
    printed(&start(&setup, home.path(), &[]));
    let _running = Running::of(&home.path().join("node.pid"));
    printed(&setup.run(&["stop", "--timeout", "60"]));
}

#[test]
fn the_command_that_starts_a_daemon_ends_without_it() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let told = printed(&start(&setup, home.path(), &[]));
    let _running = Running::of(&home.path().join("node.pid"));
    // That its output was read to the end says that the daemon does not hold it open. Nothing is logged anywhere, and that
    // is not left unsaid.
    assert!(told.contains("ksnode serves"), "{told}");
    let quiet = start(&setup, &home.path().join("."), &[]);
    assert!(
        said(&quiet).contains("nothing will be logged"),
        "{}",
        said(&quiet)
    );
    printed(&setup.run(&["stop"]));
}

#[test]
fn what_keeps_a_daemon_from_serving_is_said_on_the_terminal() {
    let home = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let setup = Setup::new(home.path()).listen(&address);
    let failed = start(&setup, home.path(), &["--log-file", "node.log"]);
    refused(&failed, 1, &["server.listen", &address, "in use"]);
    assert!(!home.path().join("node.pid").exists());
    let wrong = Setup::new(home.path()).config("nonsense = 1\n");
    refused(
        &start(&wrong, home.path(), &["--log-file", "l"]),
        78,
        &["nonsense"],
    );
    let nowhere = Setup::new(home.path());
    let failed = start(&nowhere, &home.path().join("absent"), &["--log-file", "l"]);
    refused(&failed, 1, &["--pid-file", "absent/node.pid", "folder"]);
    let alone = nowhere.run(&["serve", "--daemon"]);
    assert_eq!(alone.status.code(), Some(2));
    let failed = start(
        &nowhere,
        home.path(),
        &["--log-file", "l", "--user", "no-such-user"],
    );
    refused(&failed, 1, &["no-such-user", "useradd"]);
}

#[test]
fn a_daemon_of_root_becomes_whom_it_is_told_to() {
    if !is_root() {
        return;
    }
    let (home, setup) = home_of_somebody();
    let told = start(
        &setup,
        home.path(),
        &["--user", "nobody", "--log-file", "node.log"],
    );
    printed(&told);
    let running = Running::of(&home.path().join("node.pid"));
    let status = running.status();
    let line = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap()
    };
    assert!(
        line("Uid:").split_whitespace().all(|id| id == "65534"),
        "{status}"
    );
    assert!(
        line("Gid:").split_whitespace().all(|id| id == "65534"),
        "{status}"
    );
    assert!(
        !line("Groups:").split_whitespace().any(|id| id == "0"),
        "{status}"
    );
    is_all_somebodys(&setup.data(""));
    printed(&setup.run(&["stop"]));
    assert!(!home.path().join("node.pid").exists());
    assert_eq!(
        home.path().join("node.log").metadata().unwrap().uid(),
        65534
    );
    // A link that this user may have put there leads root nowhere.
    let roots = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(roots.path(), home.path().join("link")).unwrap();
    let failed = start(
        &setup,
        home.path(),
        &["--user", "nobody", "--log-file", "link"],
    );
    refused(&failed, 1, &["--log-file", "Permission denied"]);
    assert_eq!(roots.path().metadata().unwrap().len(), 0);
    assert_eq!(roots.path().metadata().unwrap().uid(), 0);
    let closed = tempfile::tempdir().unwrap();
    let failed = start(&setup, closed.path(), &["--user", "nobody"]);
    refused(
        &failed,
        1,
        &["--pid-file", "Permission denied", "node's user"],
    );
    // The folder is that user's; nobody else's node would open it.
    let failed = start(&setup, home.path(), &["--user", "root"]);
    refused(&failed, 1, &["belongs to nobody", "chown -R root"]);
}

#[test]
fn a_daemon_that_is_killed_is_no_obstacle() {
    let home = tempfile::tempdir().unwrap();
    let setup = super::settled(home.path());
    printed(&start(&setup, home.path(), &["--log-file", "node.log"]));
    drop(Running::of(&home.path().join("node.pid")));
    let output = wait_for("the next daemon", || {
        let output = start(&setup, home.path(), &["--log-file", "node.log"]);
        output.status.success().then_some(output)
    });
    printed(&output);
    let _running = Running::of(&home.path().join("node.pid"));
    printed(&setup.run(&["stop"]));
}
