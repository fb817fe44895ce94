//! `ksnode restore --dry-run`: the numbers of the restore that follows, and nothing is changed.

use std::path::Path;
use std::time::SystemTime;

use serde_json::Value;

use crate::operator::{backup, document, listed, name, printed, register};
use crate::support::{Setup, wait_for};

/// Name, size and time of every file of the database and of every backup.
fn files(setup: &Setup) -> Vec<(String, u64, SystemTime)> {
    let mut files = Vec::new();
    for folder in [setup.data(""), setup.data("backups")] {
        for entry in folder.read_dir().unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let meta = entry.metadata().unwrap();
            // Who has the folder is written down, and in the audit log that somebody asked; to read a database SQLite makes
            // a log and an index of it.
            let index_or_log = name.ends_with("-shm") || name.ends_with("-wal");
            let aside = name == "ksnode.lock" || index_or_log || meta.len() == 0;
            if name.starts_with("ksnode") && !aside {
                files.push((name, meta.len(), meta.modified().unwrap()));
            }
        }
    }
    files.sort();
    files
}

fn run(setup: &Setup, path: &Path, how: &str) -> Value {
    let output = setup.run(&["restore", name(path), how, "--json"]);
    document(&output)["restore"].clone()
}

#[test]
fn it_tells_what_would_be_lost_and_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    let path = backup(&setup);
    let taken = listed(&setup)[0]["created_at"].clone();
    // A whole second between the backup and what is lost with it.
    let second = |text: &Value| text.as_str().unwrap()[..19].to_owned();
    wait_for("the next second", || {
        let now = ksnode::clock::Clock::now(&ksnode::clock::SystemClock::new());
        (now.to_string()[..19] > *second(&taken)).then_some(())
    });
    register(&node, 3..=5);
    let numbers = |restored: &Value| {
        for (when, users, shares) in [("before", 5, 10), ("after", 2, 4)] {
            assert_eq!(restored[when]["users"], users, "{restored}");
            assert_eq!(restored[when]["shares"], shares, "{restored}");
        }
        assert_eq!(restored["taken_at"], taken);
        assert!(restored["after"]["newest"].as_str() <= taken.as_str());
        assert!(restored["before"]["newest"].as_str() > taken.as_str());
        assert!((1..60).contains(&restored["lost_seconds"].as_u64().unwrap()));
    };
    let dry = |expected: &Value| {
        let (before, history) = (files(&setup), listed(&setup));
        let found = run(&setup, &path, "--dry-run");
        assert_eq!(files(&setup), before);
        assert_eq!(listed(&setup), history);
        numbers(&found);
        for absent in ["safety", "safety_error", "timeline"] {
            assert_eq!(found[absent], Value::Null);
        }
        assert!(expected.is_null() || found == *expected);
        found
    };
    let found = dry(&Value::Null);
    assert!(node.stop().success());
    assert_eq!(dry(&found), found);
    let node = setup.start();
    // What it said is what happens.
    let mut done = run(&setup, &path, "--yes");
    numbers(&done);
    for more in ["safety", "timeline"] {
        assert!(done[more].is_string());
        done[more] = Value::Null;
    }
    assert_eq!(done, found);
    assert_eq!(run(&setup, &path, "--dry-run")["lost_seconds"], 0);
    drop(node);
}

#[test]
fn it_tells_that_the_public_key_changes() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=1);
    let path = backup(&setup);
    assert_eq!(
        run(&setup, &path, "--dry-run")["new_public_key"],
        Value::Null
    );
    let name_of = || node.get("/status").json()["ks_node_public_key"].clone();
    let old = name_of();
    assert!(setup.run(&["key", "rotate", "node"]).status.success());
    assert_ne!(name_of(), old);
    assert_eq!(run(&setup, &path, "--dry-run")["new_public_key"], old);
    let text = printed(&setup.run(&["restore", name(&path), "--yes"]));
    let told = format!("the node's public key is now {}", old.as_str().unwrap());
    assert!(text.contains(&told), "{text}");
    assert_eq!(name_of(), old);
}
