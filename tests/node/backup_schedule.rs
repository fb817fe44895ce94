//! The daily backup, and which backups are kept.

use std::path::Path;
use std::time::Duration;

use ksnode::clock::{Clock, SystemClock};
use serde_json::Value;

use crate::operator::{age, backup, document, listed, metric, open, printed, register};
use crate::support::{Node, Setup, wait_for};

/// The time of day in so many seconds, as `backup.at` has it.
fn in_seconds(seconds: u64) -> String {
    let moment = SystemClock::new().now().plus(Duration::from_secs(seconds));
    moment.to_string()[11..19].to_owned()
}

fn setup(home: &Path, at: &str) -> Setup {
    Setup::new(home).env("KSNODE_BACKUP__AT", at)
}

fn of_kind(setup: &Setup, kind: &str) -> Vec<Value> {
    let mut listed = listed(setup);
    listed.retain(|entry| entry["kind"] == kind);
    listed
}

#[track_caller]
fn wait_for_scheduled(setup: &Setup) -> Value {
    wait_for("the scheduled backup", || {
        let newest = of_kind(setup, "scheduled").into_iter().next()?;
        (newest["status"] == "COMPLETED").then_some(newest)
    })
}

/// The daily run asks when the node starts, before anybody can ask it for a backup.
#[track_caller]
fn assert_makes_none_now(setup: &Setup, node: &Node) {
    let before = of_kind(setup, "scheduled").len();
    backup(setup);
    assert_eq!(of_kind(setup, "scheduled").len(), before);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
}

#[test]
fn a_backup_is_made_at_its_time_and_once() {
    let home = tempfile::tempdir().unwrap();
    let at = in_seconds(3);
    let setup = setup(home.path(), &at);
    let node = setup.start();
    register(&node, 1..=1);
    assert!(of_kind(&setup, "scheduled").is_empty());
    assert_eq!(
        node.get("/status").json()["latest_backup_time"],
        Value::Null
    );
    let made = wait_for_scheduled(&setup);
    assert_eq!(&made["created_at"].as_str().unwrap()[11..19], at);
    assert_eq!(made["holds"]["users"], 1);
    let path = Path::new(made["path"].as_str().unwrap());
    assert!(path.is_file() && path.to_str().unwrap().contains("-scheduled-"));
    let counted = r#"ksnode_backups_total{kind="scheduled",outcome="completed"}"#;
    assert_eq!(metric(&node, counted), 1.0);
    assert!(node.stop().success());
    let node = setup.start();
    assert_makes_none_now(&setup, &node);
}

#[test]
fn a_time_that_passed_while_the_node_was_off() {
    let home = tempfile::tempdir().unwrap();
    // Not in the time of this test.
    let setup = setup(home.path(), &in_seconds(12 * 3600));
    let node = setup.start();
    assert_makes_none_now(&setup, &node);
    assert!(node.stop().success());
    age(&setup, 1);
    let node = setup.start();
    wait_for_scheduled(&setup);
    assert!(node.stop().success());
    let node = setup.start();
    assert_makes_none_now(&setup, &node);
    assert_eq!(of_kind(&setup, "scheduled").len(), 1);
}

#[test]
fn a_node_that_was_off_before_its_first_backup() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path(), &in_seconds(12 * 3600));
    assert!(setup.start().stop().success());
    age(&setup, 1);
    let _node = setup.start();
    wait_for_scheduled(&setup);
}

#[test]
fn what_is_older_than_its_days_goes_and_the_last_good_one_never() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path(), "").env("KSNODE_BACKUP__KEEP_DAYS", "2");
    assert!(setup.start().stop().success());
    let first = backup(&setup);
    age(&setup, 1);
    let second = backup(&setup);
    age(&setup, 2);
    // One that failed since does not stand for a good one.
    let folder = second.parent().unwrap();
    let away = home.path().join("away");
    std::fs::rename(folder, &away).unwrap();
    std::fs::write(folder, "in the way").unwrap();
    assert!(!setup.run(&["backup", "create"]).status.success());
    std::fs::remove_file(folder).unwrap();
    std::fs::rename(&away, folder).unwrap();

    let node = setup.start();
    let pruned = document(&setup.run(&["backup", "prune", "--json"]));
    let deleted = pruned["deleted"].as_array().unwrap();
    assert_eq!(deleted.len(), 1, "{pruned}");
    assert_eq!(deleted[0]["path"], first.to_str().unwrap());
    assert_eq!(deleted[0]["status"], "DELETED");
    assert!(!first.exists() && second.exists());
    assert_eq!(
        printed(&setup.run(&["backup", "prune"])),
        "nothing to delete\n"
    );
    let statuses = |setup: &Setup| -> Vec<String> {
        let listed = listed(setup).into_iter();
        listed
            .map(|entry| entry["status"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(statuses(&setup), ["FAILED", "COMPLETED", "DELETED"]);
    // A new one does by itself what the command does.
    let third = backup(&setup);
    assert!(!second.exists() && third.exists());
    assert_eq!(
        statuses(&setup),
        ["COMPLETED", "FAILED", "DELETED", "DELETED"]
    );
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
}

#[test]
fn the_way_back_from_the_newest_upgrade_stays() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path(), "").env("KSNODE_BACKUP__KEEP_DAYS", "100");
    assert!(setup.start().stop().success());
    let made: Vec<_> = (0..3)
        .map(|_| {
            let made = backup(&setup);
            age(&setup, 5);
            made
        })
        .collect();
    let upgrades = "UPDATE backup SET kind = 'before-migration' WHERE id <= 2";
    assert_eq!(open(&setup).execute(upgrades, []).unwrap(), 2);
    let setup = setup.env("KSNODE_BACKUP__KEEP_DAYS", "1");
    let newest = backup(&setup);
    let there: Vec<bool> = made.iter().map(|path| path.exists()).collect();
    assert_eq!(there, [false, true, false]);
    assert!(newest.exists());
}
