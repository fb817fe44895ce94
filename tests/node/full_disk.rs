//! Disks that are full, real ones of a few MiB: the node stays up, answers what it can, and recovers by itself.
//!
//! The free-space check can be trusted to the byte only where nobody else writes, so what happens when room runs out in
//! the middle is tried with a limit on the size of files, which that check does not see.

use std::path::Path;

use serde_json::Value;

use crate::disk::Disk;
use crate::operator::{
    backup, has_user, holds, inflate, listed, metric, name, names, open, refused, register,
    restore, said,
};
use crate::restore_candidates::TO_SCHEMA_2;
use crate::support::{Node, Setup, register_body, token, wait_for};

const MEBIBYTE: usize = 1 << 20;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Nothing that is not a backup is in the folder, and nothing of a backup is left in the data folder.
#[track_caller]
fn assert_tidy(setup: &Setup, backups: &Path) {
    let listed = listed(setup);
    let completed = |name: &str| {
        let of_that_name = |entry: &&Value| entry["path"].as_str().unwrap().ends_with(name);
        let entry = listed.iter().find(of_that_name);
        entry.is_some_and(|entry| entry["status"] == "COMPLETED")
    };
    for name in names(backups) {
        assert!(name == "ballast" || completed(&name), "{name}: {listed:?}");
    }
    for name in names(&setup.data("")) {
        let left = name.contains("candidate") || name.contains("partial");
        assert!(!left && !name.contains("restored"), "{name}");
    }
}

/// The newest attempt failed, and everybody can see it.
#[track_caller]
fn assert_failure_is_told(setup: &Setup, node: &Node, texts: &[&str]) {
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], false);
    assert_eq!(metric(node, "ksnode_backup_checked"), 0.0);
    assert_eq!(metric(node, "ksnode_database_damaged"), 0.0);
    let status = setup.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    let page = String::from_utf8(status.stdout).unwrap();
    for text in texts {
        assert!(page.contains(text), "{text:?} is missing: {page}");
    }
}

/// Registers until there is no room. What is refused is refused as trouble inside the node, and is not there.
#[track_caller]
fn fill_with_users(node: &Node, first: u64) -> u64 {
    for user in first..first + 2_000 {
        let answer = node.post("/keyshare/v2/register", &token(user), &register_body(user));
        if answer.status != 200 {
            let message = answer.refused(500, "UNKNOWN_ERROR").to_lowercase();
            assert!(!message.contains("sql") && !message.contains("disk"));
            assert!(!has_user(node, user));
            return user;
        }
    }
    panic!("the disk does not get full");
}

#[test]
fn no_room_for_the_data() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let backups = home.path().join("backups");
    let setup = setup.env("KSNODE_BACKUP__DIR", text(&backups));
    let Some(disk) = Disk::mount(setup.data("").parent().unwrap(), 4) else {
        return;
    };
    let node = setup.start();
    register(&node, 1..=3);
    let path = backup(&setup);
    disk.fill(0);
    let refused_user = fill_with_users(&node, 10);
    holds(&node, 1..=3);
    assert_eq!(node.get("/").text, "Ok");
    node.logs("could not be committed");
    // A backup cannot even be noted, and that is told.
    let failed = setup.run(&["backup", "create", "--json"]);
    refused(&failed, 1, &["full"]);
    assert_failure_is_told(&setup, &node, &["the newest backup failed", "full"]);
    let failed = setup.run(&["restore", name(&path), "--yes", "--json"]);
    let data = setup.data("");
    let data = text(&data).trim_end_matches('/');
    refused(&failed, 1, &["MiB are needed in", data, "MiB are free"]);
    holds(&node, 1..=3);
    assert_tidy(&setup, &backups);

    disk.make_room();
    register(&node, refused_user..=refused_user);
    backup(&setup);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
    // What could not be entered in the audit log is, a few seconds later, and until then that is told.
    wait_for("all to be well", || {
        setup.run(&["status"]).status.success().then_some(())
    });
    restore(&setup, &path);
    holds(&node, 1..=3);
    assert!(!has_user(&node, 10));
    assert!(node.stop().success());
    drop(disk);
}

#[test]
fn no_room_for_backups() {
    let home = tempfile::tempdir().unwrap();
    let backups = home.path().join("backups");
    let setup = Setup::new(home.path()).env("KSNODE_BACKUP__DIR", text(&backups));
    let Some(disk) = Disk::mount(&backups, 8) else {
        return;
    };
    assert!(setup.start().stop().success());
    inflate(&setup, MEBIBYTE * 3 / 2);
    let node = setup.start();
    register(&node, 1..=3);
    let path = backup(&setup);
    disk.fill(MEBIBYTE as u64);
    let failed = setup.run(&["backup", "create", "--json"]);
    let says = [
        "about 2 MiB are needed in",
        text(&backups),
        "1 MiB are free",
        "make room there",
        "backup.dir",
    ];
    refused(&failed, 1, &says);
    assert_failure_is_told(&setup, &node, &says);
    let newest = listed(&setup).remove(0);
    assert_eq!(newest["status"], "FAILED");
    assert_tidy(&setup, &backups);

    // The candidate has room, the backup of today's data does not.
    register(&node, 4..=4);
    let failed = setup.run(&["restore", name(&path), "--yes", "--json"]);
    refused(&failed, 1, &says);
    register(&node, 5..=5);
    holds(&node, 1..=5);
    assert_tidy(&setup, &backups);
    assert!(node.stop().success());
    let failed = setup.run(&["restore", name(&path), "--yes", "--json"]);
    refused(&failed, 1, &says);
    let node = setup.start();
    holds(&node, 1..=5);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], false);

    disk.make_room();
    restore(&setup, &path);
    holds(&node, 1..=3);
    backup(&setup);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
    assert_tidy(&setup, &backups);
    drop((node, disk));
}

#[test]
fn room_that_ends_in_the_middle() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    assert!(setup.start().stop().success());
    let node = setup.start_on_small_disk();
    register(&node, 1..=2);
    let path = backup(&setup);
    assert!(node.stop().success());
    inflate(&setup, 2 * MEBIBYTE);
    let node = setup.start_on_small_disk();
    let large = backup(&setup);
    let backups = setup.data("backups");
    register(&node, 3..=3);

    // Today's data is larger than the backup: its copy has no room.
    node.fill_disk(Some(MEBIBYTE as u64));
    for arguments in [
        &["backup", "create", "--json"][..],
        &["restore", name(&path), "--yes", "--json"],
        &["restore", name(&large), "--yes", "--json"],
    ] {
        let failed = setup.run(arguments);
        refused(&failed, 1, &[]);
        holds(&node, 1..=3);
        assert_tidy(&setup, &backups);
    }
    assert_failure_is_told(&setup, &node, &["the newest backup failed"]);
    register(&node, 4..=4);

    node.fill_disk(None);
    backup(&setup);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
    restore(&setup, &large);
    holds(&node, 1..=2);
    restore(&setup, &path);
    holds(&node, 1..=2);
    assert_tidy(&setup, &backups);
}

#[test]
fn no_room_before_a_migration() {
    let home = tempfile::tempdir().unwrap();
    let backups = home.path().join("backups");
    let setup = Setup::new(home.path()).env("KSNODE_BACKUP__DIR", text(&backups));
    let Some(disk) = Disk::mount(&backups, 1) else {
        return;
    };
    let node = setup.start();
    register(&node, 1..=2);
    assert!(node.stop().success());
    open(&setup).execute_batch(TO_SCHEMA_2).unwrap();
    disk.fill(0);
    let before = std::fs::read(setup.data("ksnode.db")).unwrap();
    let output = setup.fail();
    refused(
        &output,
        1,
        &["it is untouched", "MiB are needed in", text(&backups)],
    );
    assert_eq!(std::fs::read(setup.data("ksnode.db")).unwrap(), before);
    disk.make_room();
    holds(&setup.start(), 1..=2);
    drop(disk);
}

/// The copy that is verified and the encrypted one are both there for a moment.
#[test]
fn room_for_one_of_two_copies() {
    let home = tempfile::tempdir().unwrap();
    let recipient = age::x25519::Identity::generate().to_public().to_string();
    let setup = Setup::new(home.path()).env("KSNODE_BACKUP__AGE_RECIPIENTS", &recipient);
    let Some(disk) = Disk::mount(setup.data("").parent().unwrap(), 16) else {
        return;
    };
    assert!(setup.start().stop().success());
    inflate(&setup, 2 * MEBIBYTE);
    let node = setup.start();
    disk.fill(3 * MEBIBYTE as u64);
    let failed = setup.run(&["backup", "create", "--json"]);
    refused(&failed, 1, &["about 5 MiB are needed", "MiB are free"]);
    assert!(!said(&failed).contains("partial"), "{}", said(&failed));
    assert_tidy(&setup, &setup.data("backups"));
    disk.make_room();
    backup(&setup);
    assert_tidy(&setup, &setup.data("backups"));
    drop((node, disk));
}
