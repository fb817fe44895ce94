//! Upgrades that change the schema of existing data, and the way back from them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::operator::{backup, holds, listed, name, names, open, register, restore, said};
use crate::restore_candidates::TO_SCHEMA_2;
use crate::support::Setup;

/// A stopped node whose data is of schema 2, with users 1 and 2 in it.
fn older() -> (tempfile::TempDir, Setup) {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    assert!(node.stop().success());
    open(&setup).execute_batch(TO_SCHEMA_2).unwrap();
    (home, setup)
}

fn database(setup: &Setup) -> Vec<u8> {
    std::fs::read(setup.data("ksnode.db")).unwrap()
}

fn schema(path: &Path) -> u32 {
    let database = rusqlite::Connection::open(path).unwrap();
    let version = database.pragma_query_value(None, "user_version", |row| row.get(0));
    version.unwrap()
}

/// Asserts that a start is refused and leaves the data as it was.
#[track_caller]
fn assert_refused(setup: &Setup, texts: &[&str]) {
    let before = database(setup);
    let output = setup.fail();
    assert_eq!(output.status.code(), Some(1));
    for text in texts {
        assert!(said(&output).contains(text), "{text:?}: {}", said(&output));
    }
    assert_eq!(database(setup), before);
    let left = names(&setup.data(""));
    let left = left
        .iter()
        .find(|name| name.contains("candidate") || name.contains("partial"));
    assert_eq!(left, None);
}

#[test]
fn data_of_an_older_schema_is_saved_before_it_is_migrated() {
    let (_home, setup) = older();
    let node = setup.start();
    holds(&node, 1..=2);
    node.logs("the data was saved before its migration");
    let listed = listed(&setup);
    assert_eq!(listed.len(), 1, "{listed:?}");
    let made = &listed[0];
    assert_eq!(made["kind"], "before-migration");
    assert_eq!(made["status"], "COMPLETED");
    assert_eq!(made["holds"]["users"], 2);
    assert!(made["verified_at"].is_string(), "{made}");
    let path = PathBuf::from(made["path"].as_str().unwrap());
    assert!(name(&path).contains("-before-migration-"));
    assert_eq!(schema(&path), 2);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
    assert!(node.stop().success());
    assert!(schema(&setup.data("ksnode.db")) > 2);

    // Once is enough.
    let node = setup.start();
    register(&node, 3..=3);
    assert_eq!(crate::operator::listed(&setup).len(), 1);
    assert!(node.stop().success());
    let restored = restore(&setup, &path);
    assert_eq!(restored["migrated_from"], 2);
    holds(&setup.start(), 1..=2);
}

#[test]
fn commands_save_it_as_well() {
    let (_home, setup) = older();
    backup(&setup);
    let kinds: Vec<Value> = listed(&setup)
        .iter()
        .map(|entry| entry["kind"].clone())
        .collect();
    assert_eq!(kinds, ["manual", "before-migration"]);
}

#[test]
fn data_that_cannot_be_saved_is_not_migrated() {
    let (home, setup) = older();
    let blocked = home.path().join("blocked");
    std::fs::write(&blocked, "in the way").unwrap();
    let saving = "saved before it is migrated; that failed, and it is untouched";
    let folder = blocked.join("backups");
    let folder = folder.to_str().unwrap();
    let with = setup.env("KSNODE_BACKUP__DIR", folder);
    assert_refused(&with, &[saving, folder]);
    let setup = with.without("KSNODE_BACKUP__DIR");
    // A secret that is not the node's is told as such.
    let secret = std::fs::read(setup.data("secret")).unwrap();
    std::fs::write(setup.data("secret"), "another secret altogether, and long").unwrap();
    assert_refused(&setup, &["secret"]);
    assert!(!said(&setup.fail()).contains(saving));
    assert!(!setup.data("backups").exists());
    std::fs::write(setup.data("secret"), secret).unwrap();
    holds(&setup.start(), 1..=2);
}

#[test]
fn data_that_does_not_verify_is_not_migrated() {
    let (_home, setup) = older();
    open(&setup)
        .execute_batch("UPDATE wallet SET sealed = zeroblob(96) WHERE id = 2")
        .unwrap();
    assert_refused(&setup, &["it is untouched", "is damaged: share "]);
    assert!(names(&setup.data("backups")).is_empty());
}

/// What the program before an upgrade does with the backup that the upgrade made.
#[test]
fn the_way_back_restores_over_data_that_this_program_cannot_read() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    let path = backup(&setup);
    register(&node, 3..=3);
    assert!(node.stop().success());
    open(&setup)
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    let text = said(&setup.fail());
    assert!(text.contains("newer ksnode"), "{text}");
    let restored = restore(&setup, &path);
    assert_eq!(restored["after"]["users"], 2);
    let safety = PathBuf::from(restored["safety"].as_str().unwrap());
    let doubt = restored["safety_error"].as_str().unwrap();
    assert!(doubt.contains("newer ksnode (schema 99"), "{doubt}");
    assert_eq!(schema(&safety), 99);
    let saved = listed(&setup).remove(0);
    assert_eq!(saved["path"], safety.to_str().unwrap());
    assert_eq!(saved["status"], "FAILED");
    let node = setup.start();
    holds(&node, 1..=2);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
}
