//! Restores of a node that serves: what its clients see, and what becomes of everything around the data.

mod load;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::campaign::names;
use crate::clients::assert_stored;
use crate::commit_reveal::{GET, Session};
use crate::operator::document;
use crate::receiver::Receiver;
use crate::support::{Answer, Node, Setup, get_body, register_body, token, wait_for};
use crate::wire::{Wire, post_bytes, race};

const PASSWORD: &str = "correct horse";

fn setup(home: &Path) -> Setup {
    Setup::new(home)
        .env("KSNODE_ADMIN__PASSWORD", PASSWORD)
        .env("KSNODE_BACKUP__AT", "")
}

fn register(node: &Node, users: std::ops::RangeInclusive<u64>) {
    for user in users {
        let path = "/keyshare/v2/register";
        node.post(path, &token(user), &register_body(user)).data();
    }
}

/// Makes a backup; returns its file.
#[track_caller]
fn backup(node: &Node) -> String {
    let made = node.post_open("/pg_dump/v1/backup", &json!({"password": PASSWORD}));
    made.data()["dumpPath"].as_str().unwrap().to_owned()
}

fn restore_body(path: &str) -> Value {
    json!({"password": PASSWORD, "dump_path": path})
}

/// Restores; returns the file of the backup made before.
#[track_caller]
fn restore(node: &Node, path: &str) -> String {
    let answer = node.post_open("/pg_dump/v1/restore", &restore_body(path));
    let changes = &answer.data()["changes"];
    changes["safety_backup"].as_str().unwrap().to_owned()
}

fn get(node: &Node, user: u64) -> Answer {
    node.post("/keyshare/v2", &token(user), &get_body(user))
}

#[track_caller]
fn is_gone(node: &Node, user: u64) {
    get(node, user).refused(404, "USER_NOT_FOUND");
}

/// Waits until a restore that nobody waits for has taken this user away.
fn wait_until_gone(node: &Node, user: u64) {
    wait_for("the restore", || {
        (get(node, user).status == 404).then_some(())
    });
}

/// The backups made before restores, and how they ended.
fn safeties(setup: &Setup) -> Vec<(PathBuf, String)> {
    let list = document(&setup.run(&["backup", "list", "--json"]));
    let items = list["backups"].as_array().unwrap().iter();
    let items = items.filter(|item| item["kind"] == "before-restore");
    let text = |item: &Value, field: &str| item[field].as_str().unwrap().to_owned();
    items
        .map(|item| (text(item, "path").into(), text(item, "status")))
        .collect()
}

fn wait_for_candidate(setup: &Setup) {
    wait_for("a candidate", || {
        let names = names(&setup.data(""));
        names
            .iter()
            .any(|name| name.starts_with("ksnode.db.candidate"))
            .then_some(())
    });
}

#[test]
fn sessions_end_and_new_ones_begin() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    register(&node, 1..=2);
    // Committed in the backup, and after it.
    let before = Session::begun(&node, 1, "sign_in");
    let path = backup(&node);
    let after = Session::begun(&node, 2, "sign_in");
    restore(&node, &path);
    for (session, user) in [(before, 1), (after, 2)] {
        let answer = session.call(&node, GET, get_body(user));
        answer.refused(404, "SESSION_NOT_FOUND");
    }
    Session::begun(&node, 1, "sign_in")
        .call(&node, GET, get_body(1))
        .data();
}

/// Keys are part of the data: those of the backup's time count again, whatever was rotated since.
#[test]
fn keys_that_were_rotated_since_are_those_of_the_backups_time_again() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    let public_key = |node: &Node| node.get("/status").json()["ks_node_public_key"].clone();
    let first_key = public_key(&node);
    register(&node, 1..=2);
    let path = backup(&node);
    assert!(node.stop().success());
    for key in ["share", "node"] {
        assert!(setup.run(&["key", "rotate", key]).status.success());
    }
    let node = setup.start();
    let second_key = public_key(&node);
    assert_ne!(first_key, second_key);
    register(&node, 3..=4);
    let holds = |node: &Node, key: &Value, users: &[u64]| {
        assert_eq!(&public_key(node), key);
        for user in 1..=6 {
            if users.contains(&user) {
                assert_stored(node, user);
            } else {
                is_gone(node, user);
            }
        }
        // What the node signs commitments with.
        Session::begun(node, 1, "sign_in")
            .call(node, GET, get_body(1))
            .data();
    };
    holds(&node, &second_key, &[1, 2, 3, 4]);
    let safety = restore(&node, &path);
    holds(&node, &first_key, &[1, 2]);
    register(&node, 5..=6);
    holds(&node, &first_key, &[1, 2, 5, 6]);
    assert!(node.stop().success());
    let node = setup.start();
    holds(&node, &first_key, &[1, 2, 5, 6]);
    restore(&node, &safety);
    holds(&node, &second_key, &[1, 2, 3, 4]);
    node.kill();
    holds(&setup.start(), &second_key, &[1, 2, 3, 4]);
}

#[test]
fn reports_metrics_and_counts_go_on() {
    let home = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_| (200, "{}".into()));
    let setup = setup(home.path())
        .env("KSNODE_TELEMETRY__BASE_URL", &receiver.url)
        .env("KSNODE_TELEMETRY__PASSWORD", "report")
        .env("KSNODE_TELEMETRY__INTERVAL_SECONDS", "1");
    let node = setup.start();
    register(&node, 1..=2);
    let path = backup(&node);
    register(&node, 3..=5);
    let reported = |count: u64| {
        let before = receiver.received().len();
        wait_for("a report", || {
            let reports = receiver.received();
            let mut new = reports[before..].iter().map(|report| report.json());
            new.find(|report| {
                report["key_share_count"] == count && report["payload"]["db_status"] == "OK"
            })
        });
    };
    let metric = |name: &str| {
        let page = node.get_ops("/metrics").text;
        let mut lines = page.lines();
        let line = lines.find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let shares = r#"ksnode_key_shares{provider="telegram",curve="ed25519"}"#;
    reported(10);
    assert_eq!(metric(shares), 5.0);
    restore(&node, &path);
    reported(4);
    assert_eq!(metric(shares), 2.0);
    assert_eq!(metric("ksnode_restores_total"), 1.0);
    // The writer's counts are of the process, not of one database.
    let batches = metric("ksnode_store_batch_writes_count");
    register(&node, 6..=6);
    assert!(metric("ksnode_store_batch_writes_count") > batches);
    reported(6);
    let status = node.get("/status").json();
    assert_eq!(status["is_db_backup_checked"], true);
    // Backups of the new data.
    let second = backup(&node);
    restore(&node, &second);
    assert_stored(&node, 6);
}

#[test]
fn of_restores_at_the_same_moment_one_is_done() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    let path = backup(&node);
    register(&node, 3..=3);
    let request = post_bytes("/pg_dump/v1/restore", "", &restore_body(&path));
    let answers = race(&node, &vec![request; 4]);
    let (done, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!(done.len(), 1, "{answers:?}");
    for answer in refused {
        let message = answer.refused(500, "PG_RESTORE_FAILED");
        assert!(message.contains("under way"), "{message}");
    }
    assert_eq!(safeties(&setup).len(), 1);
    assert_eq!(
        node.get_ops("/metrics")
            .text
            .matches("ksnode_restores_total 1")
            .count(),
        1
    );
    // The next one at once.
    restore(&node, &path);
    restore(&node, &path);
    // Backups wait for restores as well, and the other way round.
    let mut wire = Wire::to(&node);
    wire.send(post_bytes("/pg_dump/v1/restore", "", &restore_body(&path)));
    wait_for_candidate(&setup);
    let answer = node.post_open("/pg_dump/v1/backup", &json!({"password": PASSWORD}));
    let message = answer.refused(500, "PG_DUMP_FAILED");
    assert!(message.contains("under way"), "{message}");
    wire.answer().data();
}

#[test]
fn a_restore_is_finished_when_its_client_goes_away() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    let path = backup(&node);
    register(&node, 3..=3);
    let mut wire = Wire::to(&node);
    wire.send(post_bytes("/pg_dump/v1/restore", "", &restore_body(&path)));
    wait_for_candidate(&setup);
    drop(wire);
    wait_until_gone(&node, 3);
    assert_stored(&node, 2);
    // A command.
    register(&node, 4..=4);
    let mut command = setup.spawn(&["restore", &path, "--yes"]);
    wait_for_candidate(&setup);
    command.kill().unwrap();
    command.wait().unwrap();
    wait_until_gone(&node, 4);
    for (path, status) in safeties(&setup) {
        assert_eq!(status, "COMPLETED");
        restore(&node, path.to_str().unwrap());
    }
    // Newest first, so the last one restored is the first one made.
    assert_stored(&node, 3);
    assert_eq!(safeties(&setup).len(), 4);
}
