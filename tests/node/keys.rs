//! Changing the encryption secret and rotating keys, with the commands that an operator has.

mod rotation;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::support::{Node, Setup, get_body, register_body, share, token, wait_for};

#[track_caller]
fn done(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refused(output: Output, texts: &[&str]) {
    let said = std::str::from_utf8(&output.stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{said}");
    refused_last(output, texts);
}

/// The same after a remark on the way to the data.
#[track_caller]
fn refused_last(output: Output, texts: &[&str]) {
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    let said = said.lines().last().unwrap();
    for text in texts {
        assert!(said.contains(text), "{text:?} is missing: {said}");
    }
}

fn register(node: &Node, users: std::ops::Range<u64>) {
    for user in users {
        node.post("/keyshare/v2/register", &token(user), &register_body(user))
            .data();
    }
}

#[track_caller]
fn assert_readable(node: &Node, users: std::ops::Range<u64>) {
    for user in users {
        let data = node
            .post("/keyshare/v2", &token(user), &get_body(user))
            .data();
        for curve in ["secp256k1", "ed25519"] {
            assert_eq!(data[curve]["share"], share(curve, user), "user {user}");
        }
    }
}

/// A home whose node has run, with these users in it.
fn used(users: std::ops::Range<u64>) -> (tempfile::TempDir, Setup) {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    register(&node, users);
    assert!(node.stop().success());
    (home, setup)
}

fn private(path: &Path, text: impl AsRef<[u8]>) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
}

/// The old secrets that were kept beside the new one.
fn old_secrets(setup: &Setup) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(setup.data(""))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|ending| ending == "old"))
        .collect()
}

#[test]
fn a_changed_secret_opens_everything_and_the_old_one_nothing() {
    let (_home, setup) = used(1..4);
    let secret = setup.data("secret");
    let before = std::fs::read(&secret).unwrap();
    let said = done(setup.run(&["secret", "change"]));
    let after = std::fs::read(&secret).unwrap();
    assert_ne!(before, after);
    assert_eq!(
        secret.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(
        !said.contains(std::str::from_utf8(&after).unwrap()),
        "{said}"
    );
    let old = old_secrets(&setup);
    assert_eq!(old.len(), 1);
    assert_eq!(std::fs::read(&old[0]).unwrap(), before);
    assert_eq!(
        old[0].metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(said.contains(old[0].to_str().unwrap()), "{said}");
    assert!(!setup.data("secret.new").exists());
    let node = setup.start();
    assert_readable(&node, 1..4);
    register(&node, 4..5);
    assert!(node.stop().success());
    let setup = setup.env("KSNODE_SECRET_FILE", old[0].to_str().unwrap());
    refused(
        setup.fail(),
        &["not the one this database was made with", "secret_file"],
    );
}

#[test]
fn a_secret_of_the_operators_own() {
    let (home, setup) = used(1..3);
    let new = home.path().join("chosen");
    private(&new, "what the operator chose\n");
    let path = new.to_str().unwrap();
    let said = done(setup.run(&["secret", "change", "--new", path]));
    assert!(
        said.contains(path) && said.contains("secret_file"),
        "{said}"
    );
    refused(setup.fail(), &["not the one this database was made with"]);
    let setup = setup.env("KSNODE_SECRET_FILE", path);
    assert_readable(&setup.start(), 1..3);

    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o644)).unwrap();
    let absent = home.path().join("absent");
    for (file, text) in [(&new, "chmod 600"), (&absent, "No such file")] {
        let setup = Setup::new(home.path());
        refused(
            setup.run(&["secret", "change", "--new", file.to_str().unwrap()]),
            &[text],
        );
    }
}

/// A crash can leave the new secret beside the old one, with the database wrapped under either.
#[test]
fn an_interrupted_change_is_finished_by_running_it_again() {
    for wrapped_already in [false, true] {
        let (home, setup) = used(1..3);
        let before = std::fs::read(setup.data("secret")).unwrap();
        let new = setup.data("secret.new");
        private(&new, "the new secret, whole on the disk");
        if wrapped_already {
            done(setup.run(&["secret", "change", "--new", new.to_str().unwrap()]));
            // Until then the old secret opens nothing, and the operator is told of the way out.
            refused(setup.fail(), &["not the one", "ksnode secret change"]);
        }
        let said = done(setup.run(&["secret", "change"]));
        assert_eq!(said.contains("interrupted"), wrapped_already, "{said}");
        assert_eq!(
            std::fs::read(setup.data("secret")).unwrap(),
            b"the new secret, whole on the disk"
        );
        assert!(!new.exists());
        assert_eq!(std::fs::read(&old_secrets(&setup)[0]).unwrap(), before);
        assert_readable(&setup.start(), 1..3);
        drop(home);
    }
}

#[test]
fn a_change_that_is_killed_at_any_moment_loses_nothing() {
    let (_home, setup) = used(1..3);
    for millis in [150, 350, 500, 650, 800] {
        setup.kill_amid(&["secret", "change"], Duration::from_millis(millis));
        done(setup.run(&["secret", "change"]));
        assert!(!setup.data("secret.new").exists());
    }
    assert_readable(&setup.start(), 1..3);
}

#[test]
fn keys_are_listed_beside_a_running_node_and_the_secret_is_changed_only_without() {
    let (_home, setup) = used(1..2);
    let node = setup.start();
    let public_key = node.get("/status").json()["ks_node_public_key"]
        .as_str()
        .unwrap()
        .to_owned();
    let list = done(setup.run(&["key", "list"]));
    for (purpose, state) in [
        ("share", "active"),
        ("index", "active"),
        ("node-wrap", "active"),
        ("node", "active"),
    ] {
        let found = list.lines().any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words[..3] == [purpose, "1", state]
        });
        assert!(found, "{purpose}: {list}");
    }
    assert!(list.contains(&public_key), "{list}");
    let pid = node.child.id().to_string();
    refused(
        setup.run(&["secret", "change"]),
        &["in use by another ksnode", &pid, "stop that one first"],
    );
    assert_eq!(done(setup.run(&["key", "list"])), list);
    assert_eq!(old_secrets(&setup).len(), 0);
    assert_readable(&node, 1..2);
    // Neither did the refused command leave anything that changes a later start.
    assert!(node.stop().success());
    assert_eq!(done(setup.run(&["key", "list"])), list);
    assert_readable(&setup.start(), 1..2);
}

#[test]
fn a_new_node_key_is_the_nodes_name_and_the_old_one_stays_listed() {
    let (_home, setup) = used(1..2);
    let node = setup.start();
    let old = node.get("/status").json()["ks_node_public_key"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(node.stop().success());
    let said = done(setup.run(&["key", "rotate", "node"]));
    let node = setup.start();
    let new = node.get("/status").json()["ks_node_public_key"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_ne!(old, new);
    assert!(said.contains(&new), "{said}");
    assert_readable(&node, 1..2);
    let list = done(setup.run(&["key", "list"]));
    let line = |key: &str| {
        list.lines()
            .find(|line| line.contains(key))
            .unwrap()
            .to_owned()
    };
    assert!(
        line(&old).contains("retired") && line(&new).contains("active"),
        "{list}"
    );
}

/// Shares that are sealed under another key than the newest.
fn sealed_under_older_keys(setup: &Setup, newest: u32) -> i64 {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = Connection::open_with_flags(setup.data("ksnode.db"), flags).unwrap();
    let sql = "SELECT count(*) FROM wallet WHERE key_version <> ?1";
    database.query_row(sql, [newest], |row| row.get(0)).unwrap()
}

#[test]
fn a_new_share_key_seals_everything_in_the_background_even_through_kills() {
    const USERS: std::ops::Range<u64> = 1..301;
    let (_home, setup) = used(USERS);
    let said = done(setup.run(&["key", "rotate", "share"]));
    assert!(said.contains("share key 2"), "{said}");
    assert_eq!(sealed_under_older_keys(&setup, 2), 600);
    let list = done(setup.run(&["key", "list"]));
    let states: Vec<Vec<&str>> = list
        .lines()
        .filter(|line| line.starts_with("share"))
        .map(|line| line.split_whitespace().skip(1).take(2).collect())
        .collect();
    assert_eq!(states, [["1", "retired"], ["2", "active"]]);

    // Killed as soon as something is done, again and again: each life goes on where the last one was.
    let mut left = 600;
    let mut lives = 0;
    while left > 0 {
        let node = setup.start();
        let before = left;
        left = wait_for("some resealing", || {
            let now = sealed_under_older_keys(&setup, 2);
            (now < before).then_some(now)
        });
        assert_readable(&node, 1..3);
        assert_readable(&node, 299..301);
        node.kill();
        lives += 1;
    }
    assert!(lives > 1, "it was never interrupted");
    let node = setup.start();
    assert_readable(&node, USERS);
    register(&node, 301..303);
    assert_eq!(sealed_under_older_keys(&setup, 2), 0);
    assert_readable(&node, 301..303);
}
