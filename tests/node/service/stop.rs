//! `ksnode stop`.

use std::io::Write;

use ksnode::store::FolderLock;

use crate::operator::{printed, refused};
use crate::support::{Setup, wait_for};

#[test]
fn a_node_is_stopped_and_a_stopped_one_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let nothing = printed(&setup.run(&["stop"]));
    assert!(nothing.starts_with("not running"), "{nothing}");
    assert!(!setup.data("").exists());
    let node = setup.start();
    let process = node.child.id();
    let stopped = printed(&setup.run(&["stop"]));
    assert_eq!(stopped, format!("stopped: process {process}\n"));
    assert_eq!(node.ended().code(), Some(0));
    assert!(printed(&setup.run(&["stop"])).starts_with("not running"));
}

#[test]
fn a_node_that_takes_longer_is_reported() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    let mut slow = node.connect();
    write!(
        slow,
        "POST /keyshare/v2/check HTTP/1.1\r\nHost: node\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    )
    .unwrap();
    std::io::Read::read_exact(&mut slow, &mut [0; 25]).unwrap();
    let process = node.child.id().to_string();
    let failed = setup.run(&["stop", "--timeout", "1"]);
    refused(
        &failed,
        1,
        &["after 1 s", "--timeout", &format!("kill -9 {process}")],
    );
    drop(slow);
    node.ended();
}

#[test]
fn another_command_at_work_is_not_ended() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    // This test is that command.
    let held = FolderLock::take(&setup.data("")).unwrap();
    let own = std::process::id().to_string();
    refused(
        &setup.run(&["stop"]),
        1,
        &["no node but a command at work", &own],
    );
    drop(held);
    wait_for("the lock", || {
        printed(&setup.run(&["stop"]))
            .starts_with("not running")
            .then_some(())
    });
}
