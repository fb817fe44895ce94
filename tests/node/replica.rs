//! Promise: with a Postgres of the operator's everything acknowledged is off the machine, whatever breaks in between; and
//! nothing that it does or fails to do keeps the node from serving, unless the operator wants that.

mod ack;
mod audit;
mod full;
mod logins;
mod newest;
mod outages;
mod proxy;
mod refusals;
mod timelines;

use serde_json::Value;

use crate::postgres::Postgres;
use crate::support::{Answer, Node, Setup, register_body, token, wait_for};

/// A node's home and the Postgres that holds its replica.
pub(crate) struct House {
    pub(crate) home: tempfile::TempDir,
    pub(crate) postgres: Postgres,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::beside(Postgres::start())
    }

    fn beside(postgres: Postgres) -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            postgres,
        }
    }

    pub(crate) fn setup(&self) -> Setup {
        self.setup_through(self.postgres.port())
    }

    /// The same over another port.
    fn setup_through(&self, port: u16) -> Setup {
        Setup::new(self.home.path()).env("KSNODE_REPLICA__URL", &Postgres::url_through(port))
    }
}

fn register(node: &Node, user: u64) -> Answer {
    node.post("/keyshare/v2/register", &token(user), &register_body(user))
}

fn register_all(node: &Node, users: std::ops::Range<u64>) {
    for user in users {
        register(node, user).data();
    }
}

/// How the replica stands.
fn state(setup: &Setup) -> Value {
    let output = setup.run(&["replica", "status", "--json"]);
    let answer: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    answer["replica"].clone()
}

/// Waits until the replica is followed and has everything.
#[track_caller]
pub(crate) fn whole(setup: &Setup) {
    wait_for("the replica to have everything", || {
        let state = state(setup);
        (state["phase"] == "following" && state["lag_changes"] == 0).then_some(())
    });
}

/// Waits until it stands so.
#[track_caller]
pub(crate) fn stands(setup: &Setup, phase: &str) -> String {
    wait_for(phase, || {
        let state = state(setup);
        (state["phase"] == phase).then(|| state["error"].as_str().unwrap_or_default().to_owned())
    })
}

/// Waits until it is not followed for a reason with these words.
#[track_caller]
fn says(setup: &Setup, words: &str) -> String {
    wait_for(words, || {
        let state = state(setup);
        let error = state["error"].as_str()?;
        error.contains(words).then(|| error.to_owned())
    })
}

/// Compares every row; returns the number of users.
#[track_caller]
pub(crate) fn verified(setup: &Setup) -> u64 {
    let compared = wait_for("a comparison", || {
        let output = setup.run(&["replica", "verify", "--json"]);
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        answer.get("replica").cloned()
    });
    assert_eq!(compared["equal"], true, "{compared:#}");
    let tables = compared["tables"].as_array().unwrap();
    let users = tables.iter().find(|table| table["table"] == "user");
    users.unwrap()["replica_rows"].as_u64().unwrap()
}

/// What SQL counts the users in Postgres.
pub(crate) const USERS: &str = "SELECT count(*) FROM ksnode.\"user\"";

fn text(output: &std::process::Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&both).into_owned()
}

#[test]
fn a_node_with_data_fills_the_replica_and_then_follows() {
    let house = House::new();
    // Its first life has no replica.
    let node = Setup::new(house.home.path()).start();
    register_all(&node, 1..20);
    assert!(node.stop().success());
    let setup = house.setup();
    let node = setup.start();
    whole(&setup);
    assert_eq!(verified(&setup), 19);
    register_all(&node, 20..40);
    wait_for("the rows in Postgres", || {
        (house.postgres.query(USERS) == "39").then_some(())
    });
    whole(&setup);
    assert_eq!(verified(&setup), 39);
    let status = text(&setup.run(&["status"]));
    assert!(
        status.contains("replica: Postgres at 127.0.0.1:"),
        "{status}"
    );
    assert!(status.contains("following, has everything"), "{status}");
    let metrics = node.get_ops("/metrics").text;
    for metric in [
        "ksnode_replica_following 1",
        "ksnode_replica_lag_changes 0",
        "ksnode_replica_snapshots_total 1",
    ] {
        assert!(metrics.contains(metric), "{metric}: {metrics}");
    }
    // What a restart finds is followed, not filled anew.
    assert!(node.stop().success());
    let node = setup.start();
    register_all(&node, 40..42);
    assert_eq!(verified(&setup), 41);
    assert!(
        node.get_ops("/metrics")
            .text
            .contains("ksnode_replica_snapshots_total 0")
    );
}

/// Rows that were changed by hand are found, and `resync` mends them.
#[test]
fn a_difference_is_found_and_mended() {
    let house = House::new();
    let setup = house.setup();
    let node = setup.start();
    register_all(&node, 1..5);
    assert_eq!(verified(&setup), 4);
    house
        .postgres
        .query("UPDATE ksnode.wallet SET created_at = created_at + 1 WHERE id = 2");
    let output = setup.run(&["replica", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("DIFFERENT"), "{}", text(&output));
    assert!(setup.run(&["replica", "resync"]).status.success());
    assert_eq!(verified(&setup), 4);
    drop(node);
}

#[test]
fn without_a_replica_there_is_none() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let _node = setup.start();
    let output = setup.run(&["replica", "status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("replica.url"), "{}", text(&output));
}
