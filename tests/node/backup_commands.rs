//! `ksnode backup` and `ksnode restore` as an operator and a script see them, beside a running node and on a stopped
//! one. What makes a backup good or bad is tested with the backups themselves.

mod left_alone;

use std::path::Path;

use ksnode::store::FolderLock;
use serde_json::{Value, json};

use crate::operator::{backup, document, has_user, listed, name, printed, refused, register, said};
use crate::support::{Setup, ksnode};

#[test]
fn beside_a_running_node() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=3);
    let output = setup.run(&["backup", "create"]);
    let process = node.child.id();
    assert!(said(&output).contains(&format!("through the running node (process {process})")));
    assert!(printed(&output).contains("users 3, shares 6, verified"));
    let path = backup(&setup);
    let list = document(&setup.run(&["backup", "list", "--json"]));
    assert_eq!(list["through"], "node");
    let all = listed(&setup);
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["path"], path.to_str().unwrap());
    assert_eq!(all[0]["holds"]["users"], 3);
    let table = printed(&setup.run(&["backup", "list", "--days", "1"]));
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(
        table.contains(name(&path)) && table.contains("completed"),
        "{table}"
    );
    let verified = document(&setup.run(&["backup", "verify", name(&path), "--json"]));
    assert_eq!(verified["verified"]["sha256"], all[0]["sha256"]);
    assert_eq!(verified["verified"]["holds"]["shares"], 6);
    let pruned = document(&setup.run(&["backup", "prune", "--json"]));
    assert_eq!(pruned, json!({"through": "node", "deleted": []}));
    let status = document(&setup.run(&["status", "--json"]));
    assert_eq!(status["node"]["backup"]["checked"], true);
}

#[test]
fn on_a_stopped_node() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    assert!(node.stop().success());
    let output = setup.run(&["backup", "create"]);
    assert!(
        said(&output).contains("the node is stopped"),
        "{}",
        said(&output)
    );
    assert!(printed(&output).contains("users 2, shares 4, verified"));
    let path = backup(&setup);
    let list = document(&setup.run(&["backup", "list", "--json"]));
    assert_eq!(list["through"], "folder");
    assert_eq!(listed(&setup).len(), 2);
    let verified = document(&setup.run(&["backup", "verify", path.to_str().unwrap(), "--json"]));
    assert_eq!(verified["through"], "folder");
    let pruned = printed(&setup.run(&["backup", "prune"]));
    assert_eq!(pruned, "nothing to delete\n");
    // What was done on the folder, the node knows.
    let _node = setup.start();
    assert_eq!(listed(&setup).len(), 2);
}

fn deletes(setup: &Setup, through: &str) {
    let [first, second] = [(); 2].map(|()| backup(setup));
    for named in [name(&second), second.to_str().unwrap()] {
        let text = "is the last good backup; make another one first";
        refused(&setup.run(&["backup", "delete", named]), 1, &[text]);
    }
    assert_eq!(
        printed(&setup.run(&["backup", "delete", name(&first)])),
        format!("deleted: {}\n", first.display())
    );
    assert!(!first.exists() && second.exists());
    let entry = |path: &Path| {
        let path = path.to_str().unwrap();
        let all = listed(setup);
        all.into_iter().find(|entry| entry["path"] == path).unwrap()
    };
    assert_eq!(entry(&first)["status"], "DELETED");
    let again = setup.run(&["backup", "delete", name(&first)]);
    refused(&again, 1, &["there is no such backup"]);
    let third = backup(setup);
    let id = entry(&second)["id"].as_str().unwrap().to_owned();
    let deleted = document(&setup.run(&["backup", "delete", &id, "--json"]));
    assert_eq!(deleted["through"], through);
    assert_eq!(deleted["deleted"]["status"], "DELETED");
    assert!(!second.exists() && third.exists());
    // Whose file somebody has removed does not stand for the last good one.
    let fourth = backup(setup);
    std::fs::remove_file(&fourth).unwrap();
    let last = setup.run(&["backup", "delete", name(&third)]);
    refused(&last, 1, &["is the last good backup"]);
    let unknown = uuid::Uuid::new_v4().to_string();
    let text = format!("there is no backup {unknown}");
    refused(&setup.run(&["backup", "delete", &unknown]), 1, &[&text]);
    backup(setup);
}

#[test]
fn a_backup_is_deleted_and_the_last_good_one_is_not() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    deletes(&setup, "node");
    let status = document(&setup.run(&["status", "--json"]));
    assert_eq!(status["node"]["backup"]["checked"], true);
    assert!(node.stop().success());
    deletes(&setup, "folder");
}

/// Restores the backup of two users over the data of three, and back.
fn restores(setup: &Setup, path: &Path, through: &str) {
    let dry = setup.run(&["restore", name(path), "--dry-run"]);
    let text = printed(&dry);
    for part in [
        "users 3 -> 2, shares 6 -> 4; changes after ",
        "are lost",
        "nothing was changed",
    ] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
    let dry = document(&setup.run(&["restore", name(path), "--dry-run", "--json"]));
    assert_eq!(
        (&dry["through"], &dry["dry_run"]),
        (&json!(through), &json!(true))
    );
    assert_eq!(dry["restore"]["before"]["users"], 3);
    assert_eq!(dry["restore"]["timeline"], Value::Null);
    let done = document(&setup.run(&["restore", name(path), "--yes", "--json"]));
    assert_eq!(
        (&done["through"], &done["dry_run"]),
        (&json!(through), &json!(false))
    );
    let restored = &done["restore"];
    assert_eq!(restored["after"]["users"], 2);
    assert!(restored["lost_seconds"].as_u64() >= Some(1), "{restored}");
    assert!(restored["timeline"].is_string());
    let safety = restored["safety"].as_str().unwrap();
    let text = printed(&setup.run(&["restore", safety, "--yes"]));
    for part in [
        "restored: ",
        "users 2 -> 3, shares 4 -> 6",
        "a new timeline began",
    ] {
        assert!(text.contains(part), "{part:?} is missing: {text}");
    }
}

#[test]
fn a_restore_of_a_running_node() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    let path = backup(&setup);
    register(&node, 3..=3);
    restores(&setup, &path, "node");
    assert!(has_user(&node, 2) && has_user(&node, 3));
    printed(&setup.run(&["restore", name(&path), "--yes"]));
    assert!(has_user(&node, 2) && !has_user(&node, 3));
}

#[test]
fn a_restore_of_a_stopped_node() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    let path = backup(&setup);
    register(&node, 3..=3);
    assert!(node.stop().success());
    restores(&setup, &path, "folder");
    printed(&setup.run(&["restore", name(&path), "--yes"]));
    let node = setup.start();
    assert!(has_user(&node, 2) && !has_user(&node, 3));
}

#[test]
fn a_restore_asks_and_without_a_terminal_refuses() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let _node = setup.start();
    for more in [&["--json"][..], &[]] {
        let mut arguments = vec!["restore", "any.db"];
        arguments.extend(more);
        refused(
            &setup.run(&arguments),
            1,
            &["no terminal", "--dry-run", "--yes"],
        );
    }
}

#[test]
fn names_mean_the_working_folder_first() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let _node = setup.start();
    // Not there: the name in the backup folder.
    let output = setup.run(&["backup", "verify", "no.db", "--json"]);
    let backups = setup.data("backups/no.db");
    refused(&output, 1, &[backups.to_str().unwrap(), "no such backup"]);
    // There: that file, whatever the node's working folder is.
    let here = home.path().join("here.db");
    std::fs::write(&here, "nothing of ours").unwrap();
    let elsewhere = home.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    for (folder, named) in [
        (home.path(), "here.db"),
        (elsewhere.as_path(), "../here.db"),
    ] {
        let output = ksnode(home.path())
            .current_dir(folder)
            .args(["backup", "verify", named])
            .output()
            .unwrap();
        refused(&output, 1, &["here.db is no backup of ksnode"]);
    }
}

#[test]
fn a_folder_that_somebody_holds_and_nobody_answers_for() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    assert!(setup.start().stop().success());
    let held = FolderLock::take(&setup.data("")).unwrap();
    let process = std::process::id().to_string();
    for arguments in [
        &["backup", "create"][..],
        &["backup", "list", "--json"],
        &["backup", "prune"],
        &["restore", "any.db", "--yes", "--json"],
    ] {
        let output = setup.run(arguments);
        assert!(!said(&output).contains("is stopped"), "{}", said(&output));
        refused(
            &output,
            1,
            &["in use", &process, "starting or stopping", "try again"],
        );
    }
    drop(held);
}

#[test]
fn an_error_is_json_too_when_that_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    // No node has ever been here.
    let output = setup.run(&["backup", "list", "--json"]);
    assert!(!output.stdout.is_empty());
    refused(&output, 1, &["there is no database here yet"]);
    // The configuration's code stays.
    let setup = setup.env("KSNODE_SERVER__MAX_CONNECTIONS", "none");
    for command in [
        &["backup", "create"][..],
        &["restore", "b", "--yes"],
        &["status"],
    ] {
        let output = setup.run(&[command, &["--json"]].concat());
        assert!(!output.stdout.is_empty());
        assert_eq!(output.status.code(), Some(78));
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let told = document["error"].as_str().unwrap();
        assert!(told.contains("server.max_connections"), "{told}");
    }
}

#[test]
fn a_folder_of_another_user_is_left_alone() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    assert!(setup.start().stop().success());
    std::os::unix::fs::chown(setup.data("ksnode.db"), Some(65_534), None).unwrap();
    let output = setup.run(&["backup", "create"]);
    refused(
        &output,
        1,
        &["ksnode.db belongs to another user", "sudo -u '#65534'"],
    );
    assert!(!setup.data("backups").exists());
}

/// Whoever moves a node brings its backup along, and takes it away again.
#[test]
fn what_was_restored_from_elsewhere_may_be_removed() {
    let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let setup = Setup::new(old.path());
    let node = setup.start();
    register(&node, 1..=2);
    let made = backup(&setup);
    assert!(node.stop().success());
    let brought = new.path().join("brought.db");
    std::fs::copy(made, &brought).unwrap();
    let moved = Setup::new(new.path()).env("KSNODE_BACKUP__AT", "");
    std::fs::create_dir_all(moved.data("")).unwrap();
    std::fs::copy(setup.data("secret"), moved.data("secret")).unwrap();
    printed(&moved.run(&["restore", brought.to_str().unwrap(), "--yes"]));
    std::fs::remove_file(&brought).unwrap();
    let node = moved.start();
    assert!(has_user(&node, 2));
    let status = document(&moved.run(&["status", "--json"]));
    assert_eq!(
        (&status["well"], &status["problems"]),
        (&json!(true), &json!([]))
    );
}
