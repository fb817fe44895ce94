//! What an operator does at a terminal with a node's backups, and what the node's users see of it.

use std::path::{Path, PathBuf};
use std::process::Output;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Node, Setup, get_body, register_body, share, token};

/// What a command said beside its output.
pub fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What a command that succeeded printed.
#[track_caller]
pub fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one document of a command that was asked for JSON and did it.
#[track_caller]
pub fn document(output: &Output) -> Value {
    serde_json::from_str(&printed(output)).unwrap()
}

/// Asserts that a command failed with these texts, and said the same in JSON.
#[track_caller]
pub fn refused(output: &Output, code: i32, texts: &[&str]) {
    let error = said(output);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for text in texts {
        assert!(error.contains(text), "{text:?} is missing: {error}");
    }
    if !output.stdout.is_empty() {
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document.as_object().unwrap().len(), 1, "{document}");
        let told = document["error"].as_str().unwrap();
        assert!(error.contains(told), "{told} and {error}");
    }
}

/// Makes a backup; returns its file.
#[track_caller]
pub fn backup(setup: &Setup) -> PathBuf {
    made(&document(&setup.run(&["backup", "create", "--json"])))
}

/// The file of the backup that a command says it has made.
#[track_caller]
pub fn made(document: &Value) -> PathBuf {
    let backup = &document["backup"];
    assert_eq!(backup["status"], "COMPLETED");
    assert_eq!(backup["kind"], "manual");
    let path = PathBuf::from(backup["path"].as_str().unwrap());
    assert_eq!(backup["bytes"], path.metadata().unwrap().len());
    path
}

/// Restores a backup.
#[track_caller]
pub fn restore(setup: &Setup, path: &Path) -> Value {
    let path = path.to_str().unwrap();
    document(&setup.run(&["restore", path, "--yes", "--json"]))["restore"].clone()
}

/// The history, newest first.
#[track_caller]
pub fn listed(setup: &Setup) -> Vec<Value> {
    let list = document(&setup.run(&["backup", "list", "--json"]));
    list["backups"].as_array().unwrap().clone()
}

/// The names of the files in a folder.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[track_caller]
pub fn register(node: &Node, users: std::ops::RangeInclusive<u64>) {
    for user in users {
        node.post("/keyshare/v2/register", &token(user), &register_body(user))
            .data();
    }
}

/// Whether the node has this user's shares, which then are the right ones.
#[track_caller]
pub fn has_user(node: &Node, user: u64) -> bool {
    let answer = node.post("/keyshare/v2", &token(user), &get_body(user));
    if answer.status == 404 {
        return false;
    }
    assert_eq!(answer.data()["ed25519"]["share"], share("ed25519", user));
    true
}

/// Asserts that the node has the shares of these users, and of nobody else up to 9.
#[track_caller]
pub fn holds(node: &Node, users: std::ops::RangeInclusive<u64>) {
    for user in 1..=9 {
        assert_eq!(has_user(node, user), users.contains(&user), "user {user}");
    }
}

/// A connection of the test's own to the database.
pub fn open(setup: &Setup) -> Connection {
    let database = Connection::open(setup.data("ksnode.db")).unwrap();
    database
        .busy_timeout(std::time::Duration::from_secs(30))
        .unwrap();
    database
}

/// Every user and share, byte for byte.
pub fn shares(setup: &Setup) -> Vec<Vec<rusqlite::types::Value>> {
    let database = open(setup);
    let rows = |table: &str| {
        let mut all = database
            .prepare(&format!("SELECT * FROM {table} ORDER BY id"))
            .unwrap();
        let columns = all.column_count();
        all.query_map([], |row| (0..columns).map(|index| row.get(index)).collect())
            .unwrap()
            .collect::<Result<Vec<_>, _>>()
            .unwrap()
    };
    [rows("user"), rows("wallet")].concat()
}

/// Makes a database file larger by so many bytes that mean nothing, which every copy of it has too.
pub fn inflate(setup: &Setup, bytes: usize) {
    open(setup)
        .execute_batch(&format!(
            "CREATE TABLE air (air BLOB); INSERT INTO air VALUES (zeroblob({bytes})); DROP TABLE air;"
        ))
        .unwrap();
}

/// Makes a node that is stopped and all its backups so many days older.
pub fn age(setup: &Setup, days: u32) {
    let database = open(setup);
    for statement in [
        "UPDATE node SET created_at = created_at - ?1",
        "UPDATE timeline SET started_at = started_at - ?1",
        "UPDATE backup SET created_at = created_at - ?1, updated_at = updated_at - ?1",
    ] {
        let milliseconds = i64::from(days) * 86_400_000;
        database.execute(statement, [milliseconds]).unwrap();
    }
}

/// A sample of `/metrics`, by its name and labels.
#[track_caller]
pub fn metric(node: &Node, name: &str) -> f64 {
    let metrics = node.get_ops("/metrics").text;
    let sample = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let sample = sample.unwrap_or_else(|| panic!("{name} is missing: {metrics}"));
    sample.parse().unwrap()
}
