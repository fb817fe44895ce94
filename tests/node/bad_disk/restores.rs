//! Restores: until they are decided nothing has happened, and afterwards the next start finishes them.

use super::{BadDisk, Rule, stopped};
use crate::operator::{backup, holds, name, printed, refused, register, said};
use crate::support::Setup;

/// Until the decision.
const BEFORE: [Rule<'static>; 6] = [
    ("create", "/ksnode.db.candidate$", "ENOSPC"),
    ("write", "/ksnode.db.candidate", "EIO"),
    ("flush", "/ksnode.db.candidate$", "EIO"),
    ("write", "-before-restore", "ENOSPC"),
    ("flush", "-before-restore", "EIO"),
    ("rename", "/ksnode.db.candidate|", "EIO"),
];
/// From it on.
const AFTER: [Rule<'static>; 3] = [
    ("flush", "/share/ksnode$", "EIO"),
    ("remove", "/ksnode.db-wal$", "EIO"),
    ("rename", "/ksnode.db.restored|", "EIO"),
];

/// A stopped node with users 1 to 4, and the name of a backup that has 1 to 3.
fn saved(home: &std::path::Path) -> (Setup, BadDisk, String) {
    let (setup, disk) = stopped(home);
    let node = setup.start();
    let file = name(&backup(&setup)).to_owned();
    register(&node, 4..=4);
    assert!(node.stop().success());
    (setup, disk, file)
}

#[test]
fn a_restore_of_a_running_node_fails_as_a_whole_or_is_finished_by_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let (setup, disk, file) = saved(home.path());
    let arguments = ["restore", &file, "--yes", "--json"];
    let node = setup.start();
    for rule in BEFORE {
        disk.fails(rule);
        let output = setup.run(&arguments);
        println!("{rule:?}: {}", said(&output));
        refused(&output, 1, &["disk"]);
        holds(&node, 1..=4);
        disk.is_mended();
        register(&node, 5..=5);
        printed(&setup.run(&arguments));
        holds(&node, 1..=3);
        register(&node, 4..=4);
    }
    drop(node);
    for rule in AFTER {
        let node = setup.start();
        disk.fails(rule);
        let output = setup.run(&arguments);
        println!("{rule:?}: {}", said(&output));
        refused(&output, 1, &["disk", "its next start"]);
        // Neither data can be served, and a manager of services starts it again.
        node.ended();
        disk.is_mended();
        let node = setup.start();
        holds(&node, 1..=3);
        register(&node, 4..=4);
    }
}

#[test]
fn a_restore_of_a_stopped_node_fails_as_a_whole_or_is_finished_by_the_next_start() {
    let home = tempfile::tempdir().unwrap();
    let (setup, disk, file) = saved(home.path());
    let arguments = ["restore", &file, "--yes", "--json"];
    for (rule, decided) in BEFORE
        .map(|rule| (rule, false))
        .into_iter()
        .chain(AFTER.map(|rule| (rule, true)))
    {
        disk.fails(rule);
        let output = setup.run(&arguments);
        println!("{rule:?}: {}", said(&output));
        refused(&output, 1, &["disk"]);
        disk.is_mended();
        let node = setup.start();
        holds(&node, 1..=if decided { 3 } else { 4 });
        if decided {
            register(&node, 4..=4);
        }
        assert!(node.stop().success());
    }
}
