//! The audit log of real nodes: what is in it, that nothing goes missing, and that it never stands in the way of shares.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::operator::{
    backup, document, has_user, holds, metric, open, printed, refused, register, restore, said,
};
use crate::restore_candidates::TO_SCHEMA_2;
use crate::support::{Node, Setup, register_body, token, wait_for};

const PASSWORD: &str = "correct horse";

fn setup(home: &Path) -> Setup {
    Setup::new(home)
        .env("KSNODE_ADMIN__PASSWORD", PASSWORD)
        .env("KSNODE_BACKUP__AT", "")
}

/// Entries, oldest first, with nothing missing between them.
#[track_caller]
pub(crate) fn entries(setup: &Setup) -> Vec<Value> {
    let list = document(&setup.run(&["audit", "list", "--days", "1", "--json"]));
    let mut entries = list["entries"].as_array().unwrap().clone();
    entries.reverse();
    let numbers: Vec<i64> = entries
        .iter()
        .map(|entry| entry["seq"].as_i64().unwrap())
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a + 1 == *b), "{numbers:?}");
    entries
}

/// What was done, oldest first, and how it ended.
#[track_caller]
pub(crate) fn actions(setup: &Setup) -> Vec<String> {
    let word = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    entries(setup)
        .iter()
        .map(|entry| format!("{} {}", word(entry, "action"), word(entry, "outcome")))
        .collect()
}

/// The newest entry of an action.
#[track_caller]
fn newest(setup: &Setup, action: &str) -> Value {
    let list =
        document(&setup.run(&["audit", "list", "--last", "1", "--action", action, "--json"]));
    list["entries"][0].clone()
}

fn verify(setup: &Setup) -> Output {
    setup.run(&["audit", "verify"])
}

#[track_caller]
fn is_whole(setup: &Setup) {
    assert!(printed(&verify(setup)).ends_with("the audit log is whole\n"));
}

#[track_caller]
fn stop(node: Node) {
    assert!(node.stop().success());
}

#[test]
fn a_nodes_life_is_a_chain() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    register(&node, 1..=2);
    is_whole(&setup);
    let file = backup(&setup);
    let path = file.to_str().unwrap();
    printed(&setup.run(&["backup", "verify", path]));
    printed(&setup.run(&["backup", "prune"]));
    stop(node);
    printed(&setup.run(&["key", "rotate", "share"]));
    printed(&setup.run(&["secret", "change"]));
    is_whole(&setup);
    let node = setup.start();
    is_whole(&setup);
    node.kill();
    let node = setup.start();
    holds(&node, 1..=2);
    let expected = [
        "node-create done",
        "start done",
        "backup-create done",
        "backup-verify done",
        "backup-prune done",
        "stop done",
        "share-key-rotate done",
        "secret-change done",
        "start done",
        "start done",
    ];
    assert_eq!(actions(&setup), expected);
    is_whole(&setup);
    let start = newest(&setup, "start");
    let detail = start["detail"].as_str().unwrap();
    assert!(detail.contains("did not end in order"), "{detail}");
    let made = newest(&setup, "backup-create");
    assert!(
        made["actor"]
            .as_str()
            .unwrap()
            .starts_with("a command of user ")
    );
    assert_eq!(made["detail"], path);
    let page = printed(&setup.run(&["audit", "list", "--actor", "command"]));
    assert!(
        page.contains("backup-create") && !page.contains("start"),
        "{page}"
    );
}

#[test]
fn a_restore_takes_nothing_out_of_the_log() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    register(&node, 1..=1);
    let file = backup(&setup);
    register(&node, 2..=2);
    let head = home.path().join("head");
    let head = head.to_str().unwrap();
    printed(&setup.run(&["audit", "head", "--to", head]));

    restore(&setup, &file);
    holds(&node, 1..=1);
    let live = [
        "node-create done",
        "start done",
        "backup-create done",
        "restore begun",
        "restore done",
    ];
    assert_eq!(actions(&setup), live);
    let entry = newest(&setup, "restore");
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.contains(file.to_str().unwrap()), "{detail}");
    assert!(detail.contains("this log goes on"), "{detail}");
    printed(&setup.run(&["audit", "verify", "--head", head]));

    stop(node);
    printed(&setup.run(&["key", "rotate", "node"]));
    restore(&setup, &file);
    assert_eq!(
        actions(&setup)[5..],
        ["stop done", "node-key-rotate done", "restore done"]
    );
    // The key that signed the head is the one that the backup has.
    printed(&setup.run(&["audit", "verify", "--head", head]));

    // Data that cannot be read: the log of the backup goes on, and lacks what the head tells of.
    std::fs::write(setup.data("ksnode.db"), "no database at all").unwrap();
    restore(&setup, &file);
    is_whole(&setup);
    assert_eq!(actions(&setup).last().unwrap(), "restore done");
    let verdict = setup.run(&["audit", "verify", "--head", head]);
    assert_eq!(verdict.status.code(), Some(1));
    let node = setup.start();
    assert!(has_user(&node, 1));
}

/// A signed head also finds what no chain can: a whole database of an earlier time.
#[test]
fn an_older_database_that_was_put_back_is_found_by_a_head_alone() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    stop(setup.start());
    let database = setup.data("ksnode.db");
    let older = std::fs::read(&database).unwrap();
    stop(setup.start());
    let head = printed(&setup.run(&["audit", "head"]));
    let file = home.path().join("head");
    std::fs::write(&file, &head).unwrap();
    let with_head = ["audit", "verify", "--head", file.to_str().unwrap()];
    let text = printed(&setup.run(&with_head));
    assert!(text.contains("and has all that it had"), "{text}");

    std::fs::write(&database, older).unwrap();
    is_whole(&setup);
    let found = setup.run(&with_head);
    assert_eq!(found.status.code(), Some(1));
    let text = String::from_utf8(found.stdout).unwrap();
    assert!(text.contains("is not in the log"), "{text}");

    std::fs::write(&file, head.replace("\"seq\": ", "\"seq\": 1")).unwrap();
    let forged = setup.run(&with_head);
    assert!(
        String::from_utf8(forged.stdout)
            .unwrap()
            .contains("signature is false")
    );
    std::fs::write(&file, "{}").unwrap();
    refused(&setup.run(&with_head), 1, &["is no head"]);
}

#[test]
fn a_migration_is_an_entry() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    stop(setup.start());
    open(&setup).execute_batch(TO_SCHEMA_2).unwrap();
    stop(setup.start());
    assert_eq!(actions(&setup), ["migrate done", "start done", "stop done"]);
    let entry = newest(&setup, "migrate");
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.contains("from schema 2 to "), "{detail}");
    is_whole(&setup);
}

/// What stands in the database is what the node wrote, in its order, or it is told: rows that are gone, rows that say
/// something else, rows in another one's place, rows that were added.
#[test]
fn whatever_is_done_to_its_rows_is_found() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    stop(setup.start());
    stop(setup.start());
    let path = setup.data("ksnode.db");
    let untouched = std::fs::read(&path).unwrap();
    for (sql, found) in [
        ("DELETE FROM audit WHERE seq = 2", "entry 2 was removed"),
        ("DELETE FROM audit WHERE seq = 5", "entry 5 was removed"),
        (
            "UPDATE audit SET at = at - 60000 WHERE seq = 3",
            "entry 3 was changed",
        ),
        (
            "UPDATE audit SET actor = 'command', actor_detail = '0' WHERE seq = 4",
            "entry 4 was changed",
        ),
        (
            "UPDATE audit SET seq = 100 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3;
             UPDATE audit SET seq = 3 WHERE seq = 100",
            "entry 2 was changed, or stands where another one was written",
        ),
        (
            "INSERT INTO audit SELECT 6, at, actor, actor_detail, action, outcome, detail, key_version, mac
             FROM audit WHERE seq = 5",
            "entry 6 was",
        ),
    ] {
        std::fs::write(&path, &untouched).unwrap();
        is_whole(&setup);
        open(&setup).execute_batch(sql).unwrap();
        let verdict = verify(&setup);
        let text = String::from_utf8(verdict.stdout).unwrap();
        assert_eq!(verdict.status.code(), Some(1), "{sql}: {text}");
        assert!(text.contains(&format!("WRONG: {found}")), "{sql}: {text}");
    }
}

/// A row whose transaction is rolled back takes its effect along: they are one.
#[test]
fn what_changes_the_database_and_its_entry_are_one_transaction() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let versions = |setup: &Setup| -> i64 {
        let sql = "SELECT (SELECT count(*) FROM key_ring) + (SELECT count(*) FROM node_key)";
        open(setup).query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let ring = |setup: &Setup| -> Vec<Vec<u8>> {
        let database = open(setup);
        let mut rows = database
            .prepare("SELECT wrapped FROM key_ring ORDER BY purpose, version")
            .unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    stop(setup.start());
    let (keys, wrapped) = (versions(&setup), ring(&setup));
    let changes: [&[&str]; 3] = [
        &["key", "rotate", "share"],
        &["key", "rotate", "node"],
        &["secret", "change"],
    ];
    open(&setup)
        .execute_batch(
            "CREATE TRIGGER undone AFTER INSERT ON audit WHEN new.action LIKE '%-rotate' OR new.action = 'secret-change'
             BEGIN SELECT raise(ROLLBACK, 'undone'); END",
        )
        .unwrap();
    for change in changes {
        let refused = setup.run(change);
        assert!(!refused.status.success(), "{}", said(&refused));
        assert_eq!(
            (versions(&setup), ring(&setup)),
            (keys, wrapped.clone()),
            "{change:?}"
        );
    }
    open(&setup).execute_batch("DROP TRIGGER undone").unwrap();
    for change in changes {
        printed(&setup.run(change));
    }
    assert_eq!(versions(&setup), keys + 2);
    is_whole(&setup);
}

#[test]
fn what_is_taken_out_of_it_is_found_and_told() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    backup(&setup);
    open(&setup)
        .execute_batch("DELETE FROM audit WHERE action = 'backup-create'")
        .unwrap();
    let found = verify(&setup);
    assert_eq!(found.status.code(), Some(1));
    let text = String::from_utf8(found.stdout).unwrap();
    assert!(text.contains("WRONG: entry 3 was removed"), "{text}");
    stop(node);
    let node = setup.start();
    wait_for("the verification at the start", || {
        let status = setup.run(&["status"]);
        let text = String::from_utf8(status.stdout).unwrap();
        text.contains("the audit log is not whole").then_some(())
    });
    node.logs("the audit log does not verify");
}

#[test]
fn a_log_that_fails_stops_nothing_and_is_told() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    open(&setup)
        .execute_batch(
            "CREATE TRIGGER fails BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'the log is closed'); END",
        )
        .unwrap();
    register(&node, 1..=3);
    let file = backup(&setup);
    holds(&node, 1..=3);
    let status = setup.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    let text = String::from_utf8(status.stdout).unwrap();
    assert!(
        text.contains("the audit log cannot be written (1 waiting in memory)"),
        "{text}"
    );
    assert!(metric(&node, "ksnode_audit_failures_total") >= 1.0);
    node.logs("the audit log cannot be written");
    assert_eq!(newest(&setup, "backup-create"), Value::Null);

    open(&setup).execute_batch("DROP TRIGGER fails").unwrap();
    wait_for("what waited", || {
        let entry = newest(&setup, "backup-create");
        (entry["detail"] == file.to_str().unwrap()).then_some(())
    });
    assert!(setup.run(&["status"]).status.success());
    is_whole(&setup);
}

#[test]
fn a_full_disk_keeps_nobody_from_his_shares() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start_on_small_disk();
    register(&node, 1..=1);
    node.fill_disk(Some(0));
    let wrong = json!({"password": "wrong"});
    node.post_open("/pg_dump/v1/backup", &wrong)
        .refused(401, "UNAUTHORIZED");
    assert!(has_user(&node, 1));
    node.fill_disk(None);
    node.post("/keyshare/v2/register", &token(2), &register_body(2))
        .data();
    wait_for("what waited", || {
        (newest(&setup, "login")["detail"] == "a wrong password").then_some(())
    });
    is_whole(&setup);
}

#[test]
fn refused_logins_are_few_entries_and_calls_name_their_address() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    for _ in 0..20 {
        node.post_open("/pg_dump/v1/backup", &json!({"password": "wrong"}))
            .refused(401, "UNAUTHORIZED");
    }
    node.post_open("/pg_dump/v1/backup", &json!({"password": PASSWORD}))
        .data();
    stop(node);
    let all = entries(&setup);
    let logins: Vec<&Value> = all
        .iter()
        .filter(|entry| entry["action"] == "login")
        .collect();
    assert_eq!(logins.len(), 2, "{logins:?}");
    assert_eq!(logins[0]["actor"], "the API from 127.0.0.1");
    assert_eq!(logins[0]["outcome"], "failed");
    let more = logins[1]["detail"].as_str().unwrap();
    assert!(more.starts_with("19 more within"), "{more}");
    assert_eq!(
        newest(&setup, "backup-create")["actor"],
        "the API from 127.0.0.1"
    );
    assert!(!serde_json::to_string(&all).unwrap().contains(PASSWORD));
}

#[test]
fn a_rotation_that_finds_no_secret_is_an_entry() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let _node = setup.start();
    let (secret, kept) = (setup.data("secret"), home.path().join("kept"));
    std::fs::rename(&secret, &kept).unwrap();
    for key in ["share", "node"] {
        let refused = setup.run(&["key", "rotate", key]);
        assert!(!refused.status.success(), "{}", said(&refused));
    }
    std::fs::rename(&kept, &secret).unwrap();
    let expected = ["share-key-rotate failed", "node-key-rotate failed"];
    assert_eq!(actions(&setup)[2..], expected);
    let entry = newest(&setup, "node-key-rotate");
    let detail = entry["detail"].as_str().unwrap();
    assert!(detail.contains(secret.to_str().unwrap()), "{detail}");
    is_whole(&setup);
}

#[test]
fn there_is_nothing_to_show_without_a_database() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let output = setup.run(&["audit", "list"]);
    assert!(
        said(&output).contains("there is no database"),
        "{}",
        said(&output)
    );
}
