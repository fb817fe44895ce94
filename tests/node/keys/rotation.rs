//! New keys for a node that serves.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;

use super::{assert_readable, done, register, sealed_under_older_keys, used};
use crate::campaign::campaign;
use crate::support::{Node, Setup, get_body, register_body, share, token, wait_for};

fn status(setup: &Setup) -> Value {
    let printed = done(setup.run(&["status", "--json"]));
    serde_json::from_str::<Value>(&printed).unwrap()["node"].clone()
}

fn newest_share_key(setup: &Setup) -> u32 {
    let list = done(setup.run(&["key", "list"]));
    let share = |line: &str| {
        let mut words = line.split_whitespace();
        let version = (words.next() == Some("share")).then(|| words.next());
        version.flatten().map(|version| version.parse().unwrap())
    };
    list.lines().filter_map(share).max().unwrap()
}

#[track_caller]
fn wait_until_resealed(setup: &Setup, newest: u32) {
    wait_for("all shares to be resealed", || {
        status(setup)["resealing"].is_null().then_some(())
    });
    assert_eq!(sealed_under_older_keys(setup, newest), 0);
}

/// Registers new users, and has the share of each back at once, until told to end. Returns the user after the last.
fn load(node: &Node, first: u64, end: &AtomicBool, most: &AtomicU64) {
    let mut user = first;
    while !end.load(Ordering::Relaxed) {
        register(node, user..user + 1);
        for asked in [user, 1 + user % 200] {
            let data = node
                .post("/keyshare/v2", &token(asked), &get_body(asked))
                .data();
            assert_eq!(data["ed25519"]["share"], share("ed25519", asked));
        }
        node.post("/keyshare/v2/reshare", &token(user), &register_body(user))
            .data();
        user += 1;
        most.store(user, Ordering::Relaxed);
    }
}

#[test]
fn share_keys_are_rotated_under_load_and_no_request_fails() {
    let (_home, setup) = used(1..201);
    let node = setup.start();
    let end = AtomicBool::new(false);
    let reached = [1000, 2000, 3000].map(AtomicU64::new);
    std::thread::scope(|threads| {
        for most in &reached {
            let first = most.load(Ordering::Relaxed);
            let (node, end) = (&node, &end);
            threads.spawn(move || load(node, first, end, most));
        }
        for version in 2..6 {
            let said = done(setup.run(&["key", "rotate", "share"]));
            assert!(said.contains(&format!("share key {version}")), "{said}");
        }
        wait_for("all shares to be resealed", || {
            status(&setup)["resealing"].is_null().then_some(())
        });
        end.store(true, Ordering::Relaxed);
    });
    assert_eq!(newest_share_key(&setup), 5);
    wait_until_resealed(&setup, 5);
    let registered: Vec<_> = (reached.iter())
        .zip([1000, 2000, 3000])
        .map(|(most, first)| first..most.load(Ordering::Relaxed))
        .collect();
    for users in &registered {
        assert!(users.end > users.start + 3, "{registered:?}");
        assert_readable(&node, users.clone());
    }
    assert_readable(&node, 1..201);
    assert_eq!(status(&setup)["failures"], 0);
    // And so it is after a restart.
    assert!(node.stop().success());
    let node = setup.start();
    assert_readable(&node, 1..201);
    for users in registered {
        assert_readable(&node, users);
    }
}

#[test]
fn a_rotation_beside_a_node_that_is_killed_loses_nothing() {
    let (rounds, mut dice) = campaign(8);
    let (_home, setup) = used(1..101);
    let mut next = 200;
    for round in 0..rounds {
        let node = setup.start();
        register(&node, next..next + 1);
        next += 1;
        let mut rotation = setup.spawn(&["key", "rotate", "share"]);
        let time = dice.time(std::time::Duration::from_millis(600));
        std::thread::sleep(time);
        node.kill();
        rotation.wait().unwrap();
        println!(
            "round {round}: killed after {time:?}, key {}",
            newest_share_key(&setup)
        );
    }
    let node = setup.start();
    assert_readable(&node, 1..101);
    assert_readable(&node, 200..next);
    wait_until_resealed(&setup, newest_share_key(&setup));
    assert_readable(&node, 1..101);
    assert_readable(&node, 200..next);
}

#[test]
fn a_new_node_key_is_the_running_nodes_name_at_once() {
    let (_home, setup) = used(1..2);
    let node = setup.start();
    let name = || node.get("/status").json()["ks_node_public_key"].clone();
    let old = name();
    let said = done(setup.run(&["key", "rotate", "node"]));
    let new = name();
    assert_ne!(old, new);
    assert!(said.contains(new.as_str().unwrap()), "{said}");
    assert_eq!(status(&setup)["public_key"], new);
    node.logs("the node has a new public key");
    assert_readable(&node, 1..2);
    let list = done(setup.run(&["key", "list"]));
    let line = |key: &Value| {
        let has = |line: &&str| line.contains(key.as_str().unwrap());
        list.lines().find(has).unwrap().to_owned()
    };
    assert!(line(&old).contains("retired") && line(&new).contains("active"));
    assert!(node.stop().success());
    let node = setup.start();
    assert_eq!(node.get("/status").json()["ks_node_public_key"], new);
}

/// The running node has its keys open; the secret's file is read for the new one alone.
#[test]
fn a_secret_that_opens_nothing_rotates_nothing() {
    let (home, setup) = used(1..2);
    let node = setup.start();
    let kept = home.path().join("kept");
    std::fs::rename(setup.data("secret"), &kept).unwrap();
    super::private(
        &setup.data("secret"),
        "another secret than that of the database",
    );
    super::refused_last(
        setup.run(&["key", "rotate", "share"]),
        &["not the one this database was made with", "secret_file"],
    );
    std::fs::rename(&kept, setup.data("secret")).unwrap();
    assert_eq!(newest_share_key(&setup), 1);
    register(&node, 2..3);
    assert_readable(&node, 1..3);
}
