//! Backups: their file, its name, their folder, what they are made of, and what is too old.

use age::secrecy::ExposeSecret;
use age::x25519::Identity;

use super::{BadDisk, Rule, stopped};
use crate::operator::{age, backup, holds, listed, name, names, printed, refused, register, said};
use crate::support::{Node, Setup, wait_for};

/// A backup with that error is refused, nothing is left of it, everybody is told, and the node goes on.
#[track_caller]
fn makes_none(disk: &BadDisk, rule: Rule<'_>, setup: &Setup, node: &Node, user: u64) {
    disk.fails(rule);
    let output = setup.run(&["backup", "create", "--json"]);
    refused(&output, 1, &["disk", "/"]);
    let said = said(&output);
    let told = ["(os error", "disk I/O error", "disk is full"];
    assert!(
        told.iter().any(|text| said.contains(text)),
        "{rule:?}: {said}"
    );
    assert_ne!(listed(setup)[0]["status"], "COMPLETED", "{rule:?}");
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], false);
    register(node, user..=user);
    disk.is_mended();
    let listed = listed(setup);
    let finished = listed.iter().filter(|item| item["status"] == "COMPLETED");
    assert_eq!(
        names(&setup.data("backups")).len(),
        finished.count(),
        "{rule:?}"
    );
    backup(setup);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
    holds(node, 1..=user);
}

#[test]
fn a_backup_that_is_not_written_flushed_or_named_is_none() {
    let home = tempfile::tempdir().unwrap();
    let (setup, disk) = stopped(home.path());
    let node = setup.start();
    backup(&setup);
    let rules = [
        ("create", ".partial$", "ENOSPC"),
        ("write", ".partial$", "EIO"),
        ("flush", ".partial$", "EIO"),
        ("rename", ".partial|", "EIO"),
        ("flush", "/backups$", "EIO"),
    ];
    for (user, rule) in (4..).zip(rules) {
        makes_none(&disk, rule, &setup, &node, user);
    }
    assert!(node.stop().success());
    holds(&setup.start(), 1..=8);
}

#[test]
fn an_encrypted_backup_that_is_not_written_or_flushed_is_none() {
    let home = tempfile::tempdir().unwrap();
    let (setup, disk) = stopped(home.path());
    let recipient = Identity::generate().to_public().to_string();
    let setup = setup.env("KSNODE_BACKUP__AGE_RECIPIENTS", &recipient);
    let node = setup.start();
    let rules = [
        ("write", "/ksnode.backup.partial$", "ENOSPC"),
        ("flush", "/ksnode.backup.partial$", "EIO"),
        ("write", "/backups/ksnode-", "EIO"),
        ("flush", "/backups/ksnode-", "EIO"),
    ];
    for (user, rule) in (4..).zip(rules) {
        makes_none(&disk, rule, &setup, &node, user);
        assert!(!setup.data("ksnode.backup.partial").exists());
    }
}

/// A call that takes less than it was given is no error.
#[test]
fn short_writes_are_continued() {
    let home = tempfile::tempdir().unwrap();
    let (setup, disk) = stopped(home.path());
    let identity = Identity::generate();
    let file = home.path().join("identity");
    std::fs::write(&file, identity.to_string().expose_secret()).unwrap();
    let recipient = identity.to_public().to_string();
    let encrypting = setup
        .clone()
        .env("KSNODE_BACKUP__AGE_RECIPIENTS", &recipient);
    let opening = ["--age-identity", file.to_str().unwrap()];
    let mut next = 4;
    for (setup, opening) in [(setup, &[][..]), (encrypting, &opening[..])] {
        let node = setup.start();
        for path in ["ksnode.db-wal$", "/backups/ksnode-"] {
            disk.fails(("write", path, "SHORT"));
            register(&node, next..=next);
            let backup = backup(&setup);
            disk.is_mended();
            let verify = [&["backup", "verify", name(&backup)], opening].concat();
            printed(&setup.run(&verify));
            next += 1;
        }
        node.kill();
        let node = setup.start();
        holds(&node, 1..=next - 1);
        assert!(node.stop().success());
    }
}

/// What cannot be read is not copied as if it were nothing.
#[test]
fn a_database_that_cannot_be_read_is_not_backed_up() {
    let home = tempfile::tempdir().unwrap();
    let (setup, disk) = stopped(home.path());
    let node = setup.start();
    let good = backup(&setup);
    disk.fails(("read", "/ksnode.db$", "EIO"));
    let output = setup.run(&["backup", "create", "--json"]);
    // SQLite takes what cannot be read for an error of the disk or for damage, as it comes.
    refused(&output, 1, &["disk"]);
    let said = said(&output);
    let told = ["restore a backup", "dmesg"];
    assert!(told.iter().any(|text| said.contains(text)), "{said}");
    assert_eq!(names(&setup.data("backups")), [name(&good)]);
    assert_eq!(setup.run(&["status"]).status.code(), Some(1));
    disk.is_mended();
    // It was not: the next one says so.
    backup(&setup);
    printed(&setup.run(&["status"]));
    holds(&node, 1..=3);
}

#[test]
fn an_old_backup_that_cannot_be_removed_stays_known() {
    let home = tempfile::tempdir().unwrap();
    let (setup, disk) = stopped(home.path());
    let node = setup.start();
    let old = backup(&setup);
    assert!(node.stop().success());
    age(&setup, 30);
    let node = setup.start();
    disk.fails(("remove", name(&old), "EIO"));
    backup(&setup);
    node.logs(name(&old));
    let status = |name: &str| {
        let listed = listed(&setup);
        let item = listed
            .iter()
            .find(|item| item["path"].as_str().unwrap().ends_with(name));
        item.unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status(name(&old)), "COMPLETED");
    assert!(old.exists());
    disk.is_mended();
    backup(&setup);
    wait_for("the old backup to go", || (!old.exists()).then_some(()));
    assert_eq!(status(name(&old)), "DELETED");
}
