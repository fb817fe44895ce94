//! An upgrade to the next release, which has one more migration, and both ways back from it.

mod checks;

use std::path::PathBuf;

use rusqlite::types::Value as Cell;
use serde_json::{Value, json};

use crate::operator::{
    backup, document, holds, listed, name, names, open, printed, refused, register, restore, said,
    shares,
};
use crate::support::{Setup, next_release, token, wallet};

/// This release's schema as text, and the next one's.
fn schemas() -> (String, String) {
    let this = ksnode::node::MIGRATIONS.len();
    (this.to_string(), (this + 1).to_string())
}

/// A home, and how to start this release in it and the next.
fn both() -> (tempfile::TempDir, Setup, Setup) {
    let home = tempfile::tempdir().unwrap();
    let this = Setup::new(home.path()).env("KSNODE_BACKUP__AT", "");
    let next = this.clone().program(next_release());
    (home, this, next)
}

fn rollback(setup: &Setup) -> Value {
    let (this, _) = schemas();
    document(&setup.run(&["rollback", "--schema", &this, "--json"]))["rollback"].clone()
}

fn kinds(setup: &Setup) -> Vec<String> {
    let of = |entry: &Value| {
        assert_eq!(entry["status"], "COMPLETED", "{entry}");
        entry["kind"].as_str().unwrap().to_owned()
    };
    listed(setup).iter().map(of).collect()
}

fn timelines(setup: &Setup) -> i64 {
    let sql = "SELECT count(*) FROM timeline";
    open(setup).query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn an_upgrade_and_its_rollback_lose_nothing() {
    let (_home, this, next) = both();
    let node = this.start();
    register(&node, 1..=2);
    assert!(node.stop().success());

    let node = next.start();
    let version = format!("{}+rehearsal", ksnode::VERSION);
    assert_eq!(node.get("/status").json()["version"], version);
    holds(&node, 1..=2);
    assert_eq!(kinds(&next), ["before-migration"]);
    register(&node, 3..=4);
    let body = json!({"auth_type": "telegram", "wallets": {"ed25519": wallet("ed25519", 1)}});
    node.post("/keyshare/v2/reshare", &token(1), &body).data();
    refused(
        &next.run(&["rollback", "--schema", &schemas().0, "--json"]),
        1,
        &["the node runs (process", "stop it first"],
    );
    // As after a power cut: what is not in the file yet is in the log.
    node.kill();
    let kept = shares(&next);
    let error = said(&this.fail());
    assert!(error.contains("newer ksnode"), "{error}");

    let text = printed(&next.run(&["rollback", "--schema", &schemas().0]));
    for part in ["users 4 -> 4, shares 8 -> 8", "before-rollback"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // The column that the next release added stood last.
    let width = shares(&this).last().unwrap().len();
    let cut = |row: &Vec<Cell>| row[..row.len().min(width)].to_vec();
    assert_eq!(shares(&this), kept.iter().map(cut).collect::<Vec<_>>());
    assert_eq!(rollback(&next), Value::Null, "it is done already");

    let node = this.start();
    holds(&node, 1..=4);
    register(&node, 5..=5);
    assert_eq!(kinds(&this), ["before-rollback", "before-migration"]);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
    assert!(node.stop().success());
    assert_eq!(timelines(&this), 1, "nothing was lost, so none began");
    let left = names(&this.data(""));
    assert!(!left.iter().any(|name| name.starts_with("ksnode.db.")));

    // And up again, and down once more.
    let node = next.start();
    holds(&node, 1..=5);
    assert!(node.stop().success());
    let done = rollback(&next);
    let (from, to) = (done["from"].to_string(), done["to"].to_string());
    assert_eq!((to, from), schemas());
    assert_eq!(done["before"], done["after"]);
    assert_eq!(done["after"]["users"], 5);
    holds(&this.start(), 1..=5);
}

#[test]
fn what_was_saved_before_a_rollback_is_the_way_back_to_the_newer_release() {
    let (_home, this, next) = both();
    let node = next.start();
    register(&node, 1..=2);
    assert!(node.stop().success());
    let done = rollback(&next);
    let saved = PathBuf::from(done["saved"].as_str().unwrap());
    assert!(name(&saved).contains("-before-rollback-"));
    let node = this.start();
    refused(
        &this.run(&["backup", "verify", saved.to_str().unwrap(), "--json"]),
        1,
        &["newer ksnode"],
    );
    assert!(node.stop().success());
    let node = next.start();
    restore(&next, &saved);
    holds(&node, 1..=2);
}

/// The other way back, for when the newer release is gone or has no way down.
#[test]
fn the_backup_from_before_the_upgrade_restores_with_the_older_release() {
    let (_home, this, next) = both();
    let node = this.start();
    register(&node, 1..=2);
    assert!(node.stop().success());
    let node = next.start();
    register(&node, 3..=3);
    let saved = PathBuf::from(listed(&next)[0]["path"].as_str().unwrap());
    assert!(node.stop().success());
    let restored = restore(&this, &saved);
    assert_eq!(restored["after"]["users"], 2);
    let node = this.start();
    holds(&node, 1..=2);
    register(&node, 4..=4);
}

#[test]
fn data_that_does_not_verify_is_not_rolled_back() {
    let (home, _this, next) = both();
    let node = next.start();
    register(&node, 1..=2);
    backup(&next);
    assert!(node.stop().success());
    let (to, _) = schemas();
    let assert_refused = |setup: &Setup, texts: &[&str]| {
        let before = std::fs::read(setup.data("ksnode.db")).unwrap();
        refused(
            &setup.run(&["rollback", "--schema", &to, "--json"]),
            1,
            texts,
        );
        assert_eq!(std::fs::read(setup.data("ksnode.db")).unwrap(), before);
        assert_eq!(names(&setup.data("backups")).len(), 1);
    };
    let blocked = home.path().join("blocked");
    std::fs::write(&blocked, "in the way").unwrap();
    let folder = blocked.join("backups");
    let elsewhere = next
        .clone()
        .env("KSNODE_BACKUP__DIR", folder.to_str().unwrap());
    assert_refused(&elsewhere, &[folder.to_str().unwrap()]);
    let sql = "UPDATE wallet SET sealed = zeroblob(96) WHERE id = 2";
    open(&next).execute_batch(sql).unwrap();
    assert_refused(&next, &["is damaged: share "]);
}

#[test]
fn a_schema_without_a_way_back_is_refused_with_what_can_be_done() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let run = |schema: &str| setup.run(&["rollback", "--schema", schema, "--json"]);
    refused(&run("2"), 1, &["there is no database here yet"]);
    let node = setup.start();
    register(&node, 1..=2);
    assert!(node.stop().success());
    let (this, next) = schemas();
    refused(
        &run("2"),
        1,
        &["no way back from schema", "Keep this version"],
    );
    refused(&run(&next), 1, &["older than", "nothing to roll back"]);
    open(&setup)
        .execute_batch(crate::restore_candidates::TO_SCHEMA_2)
        .unwrap();
    assert!(setup.start().stop().success());
    let saved = listed(&setup)[0]["path"].as_str().unwrap().to_owned();
    let texts = [
        &format!("no way back from schema {this}"),
        saved.as_str(),
        "lose what was registered",
        "users 2, shares 4",
    ];
    refused(&run("2"), 1, &texts);
    // That backup is of schema 2.
    refused(
        &run("1"),
        1,
        &["there is no backup from before the upgrade"],
    );
    open(&setup)
        .execute_batch("PRAGMA user_version = 99")
        .unwrap();
    refused(&run("2"), 1, &["newer ksnode (schema 99"]);
}
