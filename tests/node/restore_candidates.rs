//! What is given to `ksnode restore`: what is good takes the data's place, what is not is told apart and changes nothing.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::operator::{
    backup, document, has_user, holds, listed, name, names, printed, refused, register, restore,
    shares,
};
use crate::support::{Node, Setup};

fn with_user(home: &Path) -> (Setup, Node) {
    let setup = Setup::new(home);
    let node = setup.start();
    register(&node, 1..=1);
    (setup, node)
}

/// A copy of a backup, changed.
fn changed(path: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = std::fs::read(path).unwrap();
    change(&mut bytes);
    let copy = path.with_file_name(name);
    std::fs::write(&copy, bytes).unwrap();
    copy
}

fn changed_by(path: &Path, name: &str, statements: &str) -> PathBuf {
    let copy = changed(path, name, |_| {});
    Connection::open(&copy)
        .unwrap()
        .execute_batch(statements)
        .unwrap();
    copy
}

/// What a database of the schema of the second migration is.
pub const TO_SCHEMA_2: &str = "DROP TABLE audit; DROP TABLE audit_head; DROP TABLE share_growth; DROP TABLE imported; DROP TABLE import; \
    DROP TABLE left_change; DROP TABLE change; DROP TABLE replication; \
    DROP TABLE tls_account; DROP TABLE tls_certificate; DROP TABLE tls_attempt; DROP TABLE backup; \
    DROP TABLE timeline; PRAGMA user_version = 2;";

/// Files that are no backup of this node, each with what is said of it.
fn bad_candidates(good: &Path, others: &Path) -> Vec<(PathBuf, &'static str)> {
    let in_folder = |name: &str| good.with_file_name(name);
    let schema = |version: u32| format!("PRAGMA user_version = {version}");
    let flip_ends = |bytes: &mut Vec<u8>| {
        // The last byte of a page belongs to a row or to an entry of an index.
        let pages = bytes.chunks_mut(4096).skip(1);
        pages.for_each(|page| *page.last_mut().unwrap() ^= 1);
    };
    let sealed: Vec<u8> = Connection::open(good)
        .unwrap()
        .query_row("SELECT sealed FROM wallet WHERE id = 1", [], |row| {
            row.get(0)
        })
        .unwrap();
    let flip_share = |bytes: &mut Vec<u8>| {
        let found = memchr::memmem::find(bytes, &sealed).unwrap();
        bytes[found + 30] ^= 0x10;
    };
    let symlink = in_folder("link.db");
    std::os::unix::fs::symlink(good, &symlink).unwrap();
    let dangling = in_folder("dangling.db");
    std::os::unix::fs::symlink("nowhere", &dangling).unwrap();
    std::fs::create_dir(in_folder("folder.db")).unwrap();
    vec![
        (others.to_owned(), "is a backup of another node"),
        (
            changed_by(good, "newer.db", &schema(99)),
            "was written by a newer ksnode (schema 99, this program knows",
        ),
        (
            changed_by(good, "zero.db", &schema(0)),
            "is no backup of ksnode",
        ),
        (
            changed_by(good, "foreign.db", "PRAGMA application_id = 7"),
            "is no backup of ksnode",
        ),
        (
            changed(good, "cut.db", |bytes| bytes.truncate(bytes.len() / 2)),
            "is damaged: it is cut off",
        ),
        (
            changed(good, "stub.db", |bytes| bytes.truncate(60)),
            "is no backup of ksnode",
        ),
        (changed(good, "flipped.db", flip_ends), "is damaged: "),
        (changed(good, "share.db", flip_share), "is damaged: share "),
        (
            changed_by(good, "fewer.db", "DELETE FROM wallet WHERE id = 2"),
            "shares are there and",
        ),
        (
            changed_by(
                good,
                "orphan.db",
                "PRAGMA foreign_keys = 0; DELETE FROM user",
            ),
            "refers to one that is not there",
        ),
        (
            changed_by(good, "keyless.db", "DELETE FROM key_ring"),
            "is damaged: ",
        ),
        (
            changed(good, "text.db", |bytes| *bytes = b"notes ".repeat(100)),
            "is no backup of ksnode",
        ),
        (changed(good, "empty.db", Vec::clear), "is empty"),
        (symlink, "is a symbolic link; name the file it points to"),
        (dangling, "is a symbolic link; name the file it points to"),
        (in_folder("folder.db"), "is not a file"),
        (in_folder("absent.db"), "there is no such backup"),
    ]
}

#[track_caller]
fn assert_refused(setup: &Setup, path: &Path, says: &str) {
    let before = shares(setup);
    for arguments in [
        &["restore", name(path), "--yes", "--json"][..],
        &["restore", name(path), "--dry-run", "--json"],
    ] {
        refused(&setup.run(arguments), 1, &[path.to_str().unwrap(), says]);
        assert_eq!(shares(setup), before);
    }
    let left = names(&setup.data(""));
    assert!(
        !left.iter().any(|name| name.contains("candidate")),
        "{left:?}"
    );
}

#[test]
fn what_is_no_backup_of_this_node_changes_nothing() {
    let homes = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [(setup, node), (other, _other)] = homes.each_ref().map(|home| with_user(home.path()));
    let good = backup(&setup);
    register(&node, 2..=2);
    let others = good.with_file_name("others.db");
    std::fs::copy(backup(&other), &others).unwrap();
    let candidates = bad_candidates(&good, &others);
    for (path, says) in &candidates {
        assert_refused(&setup, path, says);
    }
    holds(&node, 1..=2);
    let history = listed(&setup);
    assert!(node.stop().success());
    for (path, says) in &candidates {
        assert_refused(&setup, path, says);
    }
    // Nobody saved anything for a restore that was refused.
    assert_eq!(listed(&setup), history);
    restore(&setup, &good);
    holds(&setup.start(), 1..=1);
}

#[test]
fn the_file_of_a_live_database_is_not_whole() {
    let home = tempfile::tempdir().unwrap();
    let (setup, node) = with_user(home.path());
    let folder = backup(&setup).parent().unwrap().to_owned();
    register(&node, 2..=2);
    for ending in ["", "-wal"] {
        let from = setup.data(&format!("ksnode.db{ending}"));
        std::fs::copy(from, folder.join(format!("live.db{ending}"))).unwrap();
    }
    let says = "the file of a live database, with a write-ahead log beside it";
    assert_refused(&setup, &folder.join("live.db"), says);
    // Without its log it is what it is.
    std::fs::remove_file(folder.join("live.db-wal")).unwrap();
    assert!(node.stop().success());
    std::fs::copy(setup.data("ksnode.db"), folder.join("live.db")).unwrap();
    assert_eq!(
        restore(&setup, &folder.join("live.db"))["after"]["users"],
        2
    );
    holds(&setup.start(), 1..=2);
}

#[test]
fn one_of_an_older_schema_is_migrated() {
    let home = tempfile::tempdir().unwrap();
    let (setup, node) = with_user(home.path());
    let good = backup(&setup);
    let old = changed_by(&good, "old.db", TO_SCHEMA_2);
    let then = shares(&setup);
    register(&node, 2..=2);
    let bytes = std::fs::read(&old).unwrap();
    let restored = restore(&setup, &old);
    assert_eq!(restored["migrated_from"], 2);
    // It has no history to tell its moment.
    assert_eq!(restored["taken_at"], Value::Null);
    assert_eq!(shares(&setup), then);
    holds(&node, 1..=1);
    register(&node, 3..=3);
    assert!(node.stop().success());
    let text = printed(&setup.run(&["restore", "old.db", "--yes"]));
    assert!(text.contains("(schema 2) and was migrated"), "{text}");
    assert_eq!(shares(&setup), then);
    // The backup itself is as it was, and today's history of backups is kept.
    assert_eq!(std::fs::read(&old).unwrap(), bytes);
    assert_eq!(listed(&setup).len(), 3);
    holds(&setup.start(), 1..=1);
}

#[test]
fn one_of_an_earlier_secret_needs_that_secret() {
    let home = tempfile::tempdir().unwrap();
    let (setup, node) = with_user(home.path());
    let earlier = backup(&setup);
    register(&node, 2..=2);
    assert!(node.stop().success());
    printed(&setup.run(&["secret", "change"]));
    let old = names(&setup.data(""));
    let old = old.iter().find(|name| name.ends_with(".old")).unwrap();
    let old = setup.data(old);
    let old = old.to_str().unwrap();
    let today = setup.data("secret");
    let try_both = || {
        let says = "made under another encryption secret than";
        assert_refused(&setup, &earlier, says);
        assert_refused(&setup, &earlier, "--secret-file");
        let with = |secret: &str, more: &[&str]| {
            let named = ["restore", name(&earlier), "--secret-file", secret, "--json"];
            setup.run(&[&named[..], more].concat())
        };
        let wrong = with(today.to_str().unwrap(), &["--yes"]);
        refused(&wrong, 1, &[says, today.to_str().unwrap()]);
        refused(&with("/nowhere", &["--yes"]), 1, &["/nowhere"]);
        let dry = document(&with(old, &["--dry-run"]));
        assert_eq!(dry["restore"]["rewrapped"], true);
        let done = document(&with(old, &["--yes"]));
        assert_eq!(done["restore"]["rewrapped"], true);
        PathBuf::from(done["restore"]["safety"].as_str().unwrap())
    };
    // Verified with it as well.
    let verified = ["backup", "verify", name(&earlier)];
    refused(&setup.run(&verified), 1, &["--secret-file"]);
    printed(&setup.run(&[&verified[..], &["--secret-file", old]].concat()));
    let safety = try_both();
    let node = setup.start();
    holds(&node, 1..=1);
    restore(&setup, &safety);
    holds(&node, 1..=2);
    try_both();
    holds(&node, 1..=1);
    register(&node, 3..=3);
    let of_today = backup(&setup);
    assert!(node.stop().success());
    // From now on the old secret is not needed any more.
    std::fs::remove_file(old).unwrap();
    let node = setup.start();
    restore(&setup, &of_today);
    assert!(has_user(&node, 3));
}

/// An installation makes a node that holds nothing; on a new machine it is to become the one whose backup is restored.
#[test]
fn a_node_that_holds_nothing_becomes_the_one_that_is_restored() {
    let (home, new_home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (setup, node) = with_user(home.path());
    let path = backup(&setup);
    assert!(node.stop().success());
    let new = Setup::new(new_home.path());
    assert!(new.start().stop().success());
    std::fs::copy(setup.data("secret"), new.data("secret")).unwrap();
    let restored = restore(&new, &path);
    assert_eq!(restored["safety"], Value::Null, "{restored}");
    let node = new.start();
    holds(&node, 1..=1);
    let id = |setup: &Setup| std::fs::read_to_string(setup.data("node-id")).unwrap();
    assert_eq!(id(&setup), id(&new));
    assert!(node.stop().success());

    // One that holds something stays what it is.
    let third_home = tempfile::tempdir().unwrap();
    let (third, node) = with_user(third_home.path());
    assert!(node.stop().success());
    std::fs::create_dir(third.data("backups")).unwrap();
    let copy = third.data("backups").join(name(&path));
    std::fs::copy(&path, &copy).unwrap();
    assert_refused(&third, &copy, "is a backup of another node");
}
