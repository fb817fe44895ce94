//! The audit log is the machine's: a replica does not have it.

use super::timelines::{new_machine, restore};
use super::{House, register_all, whole};
use crate::audit::{actions, entries};
use crate::clients::assert_stored;
use crate::operator::printed;

#[test]
fn a_node_built_from_its_replica_begins_a_new_log_and_says_so() {
    let house = House::new();
    let old = house.setup();
    let node = old.start();
    register_all(&node, 1..4);
    whole(&old);
    assert!(node.stop().success());
    let head = house.home.path().join("head");
    let head = head.to_str().unwrap();
    printed(&old.run(&["audit", "head", "--to", head]));
    let before = entries(&old);
    assert_eq!(
        actions(&old),
        ["node-create done", "start done", "stop done"]
    );

    let (_home, new) = new_machine(&house);
    restore(&new, &["--from-replica"]);
    let node = new.start();
    assert_stored(&node, 3);
    assert_eq!(actions(&new), ["restore done", "start done"]);
    let first = entries(&new).remove(0);
    assert_eq!(first["seq"], 1);
    let detail = first["detail"].as_str().unwrap();
    assert!(detail.contains("a new log begins"), "{detail}");
    let verified = printed(&new.run(&["audit", "verify"]));
    assert!(verified.contains("the audit log is whole"), "{verified}");
    // Whoever kept a head elsewhere sees that the log it was the end of is not here.
    let verdict = new.run(&["audit", "verify", "--head", head]);
    assert_eq!(verdict.status.code(), Some(1));

    // Where the old log still is, it goes on.
    assert!(node.stop().success());
    restore(&old, &["--from-replica"]);
    assert_eq!(entries(&old)[..3], before[..]);
    assert_eq!(actions(&old)[3..], ["restore done"]);
    printed(&old.run(&["audit", "verify", "--head", head]));
}
