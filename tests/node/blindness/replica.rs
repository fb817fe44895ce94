//! The replica's host is not trusted: what is in Postgres is searched for the same needles as the node's files.

use super::{House, needles, use_it};
use crate::postgres::{PASSWORD, Postgres};
use crate::support::wait_for;

#[test]
fn nothing_readable_rests_in_the_replica() {
    let house = House::new("text");
    let postgres = Postgres::start();
    let setup = house
        .setup
        .clone()
        .env("KSNODE_REPLICA__URL", &postgres.url());
    let node = setup.start();
    let mut needles = needles();
    needles.extend(use_it(&node));
    wait_for("the replica to have everything", || {
        let metrics = node.get_ops("/metrics").text;
        let whole = ["ksnode_replica_following 1", "ksnode_replica_lag_changes 0"];
        whole
            .iter()
            .all(|line| metrics.contains(line))
            .then_some(())
    });
    let verified = setup.run(&["replica", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    let dump = postgres.dump();
    // It is the data that was looked at.
    let users = postgres.query("SELECT count(*) FROM ksnode.\"user\"");
    assert_ne!(users, "0");
    for needle in &needles {
        assert!(!needle.is_in(&dump), "{} is in the replica", needle.name);
    }
    assert!(
        !node.logged().contains(PASSWORD),
        "the password is in the log"
    );
}
