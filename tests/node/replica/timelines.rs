//! Histories that part: restores, a database that was put back, times without replication.

use serde_json::json;

use super::{House, register_all, stands, text, verified, whole};
use crate::clients::assert_stored;
use crate::support::{Setup, register_body, token};

fn created(setup: &Setup) -> String {
    let output = setup.run(&["backup", "create", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["backup"]["path"].as_str().unwrap().to_owned()
}

#[test]
fn a_restore_replaces_the_replica_too() {
    let house = House::new();
    let setup = house.setup();
    let node = setup.start();
    register_all(&node, 1..10);
    let backup = created(&setup);
    register_all(&node, 10..30);
    assert_eq!(verified(&setup), 29);
    // Live.
    let output = setup.run(&["restore", &backup, "--yes"]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(verified(&setup), 9);
    register_all(&node, 50..60);
    assert_eq!(verified(&setup), 19);
    // Stopped.
    assert!(node.stop().success());
    let output = setup.run(&["restore", &backup, "--yes"]);
    assert!(output.status.success(), "{}", text(&output));
    let _node = setup.start();
    assert_eq!(verified(&setup), 9);
}

#[test]
fn changes_made_without_replication_are_not_missed() {
    let house = House::new();
    let setup = house.setup();
    let node = setup.start();
    register_all(&node, 1..10);
    assert_eq!(verified(&setup), 9);
    assert!(node.stop().success());
    let node = Setup::new(house.home.path()).start();
    register_all(&node, 10..20);
    node.logs("replication is off now");
    assert!(node.stop().success());
    let node = setup.start();
    assert_eq!(verified(&setup), 19);
    node.logs("changes after it are no longer in the log");
    // Commands on the stopped node are changes too.
    assert!(node.stop().success());
    let output = setup.run(&["key", "rotate", "share"]);
    assert!(output.status.success(), "{}", text(&output));
    let _node = setup.start();
    assert_eq!(verified(&setup), 19);
}

/// Somebody puts an old copy of the file back, as a rollback of the whole machine does: what the replica has beyond it is
/// not overwritten, and can be had back.
#[test]
fn a_database_that_was_put_back_does_not_overwrite_the_replica() {
    let house = House::new();
    let setup = house.setup();
    let node = setup.start();
    register_all(&node, 1..10);
    whole(&setup);
    assert!(node.stop().success());
    let (database, copy) = (setup.data("ksnode.db"), setup.data("copy"));
    std::fs::copy(&database, &copy).unwrap();
    let node = setup.start();
    register_all(&node, 10..20);
    whole(&setup);
    assert!(node.stop().success());
    std::fs::copy(&copy, &database).unwrap();

    let node = setup.start();
    let error = stands(&setup, "refused");
    assert!(error.contains("ksnode restore --from-replica"), "{error}");
    // It serves, and goes its own way until somebody decides.
    register_all(&node, 30..60);
    assert!(node.stop().success());
    let node = setup.start();
    let error = stands(&setup, "refused");
    assert!(error.contains("another one here"), "{error}");
    assert_eq!(
        house.postgres.query("SELECT count(*) FROM ksnode.\"user\""),
        "19"
    );
    let output = setup.run(&["restore", "--from-replica", "--yes"]);
    assert!(text(&output).contains("the node runs"), "{}", text(&output));
    assert!(node.stop().success());
    let output = setup.run(&["restore", "--from-replica", "--yes"]);
    assert!(output.status.success(), "{}", text(&output));
    let node = setup.start();
    for user in 1..20 {
        assert_stored(&node, user);
    }
    assert_eq!(verified(&setup), 19);
}

#[test]
fn what_only_the_replica_has_is_given_up_when_that_is_said() {
    let house = House::new();
    let setup = house.setup();
    let node = setup.start();
    whole(&setup);
    assert!(node.stop().success());
    std::fs::copy(setup.data("ksnode.db"), setup.data("copy")).unwrap();
    let node = setup.start();
    register_all(&node, 1..20);
    whole(&setup);
    assert!(node.stop().success());
    std::fs::copy(setup.data("copy"), setup.data("ksnode.db")).unwrap();
    let _node = setup.start();
    stands(&setup, "refused");
    assert!(setup.run(&["replica", "resync"]).status.success());
    stands(&setup, "refused");
    assert_eq!(
        house.postgres.query("SELECT count(*) FROM ksnode.\"user\""),
        "19"
    );
    assert!(
        setup
            .run(&["replica", "resync", "--discard-replica"])
            .status
            .success()
    );
    assert_eq!(verified(&setup), 0);
}

#[test]
fn reshares_and_v1_registers_are_followed() {
    let house = House::new();
    let setup = house.setup();
    let node = setup.start();
    register_all(&node, 1..3);
    let wallet = crate::support::wallet("secp256k1", 7);
    let body = json!({"auth_type": "telegram", "curve_type": "secp256k1", "public_key": wallet["public_key"], "share": wallet["share"]});
    node.post("/keyshare/v1/register", &token(7), &body).data();
    let registered = register_body(1);
    let body = json!({"auth_type": "telegram", "wallets": registered["wallets"]});
    node.post("/keyshare/v2/reshare", &token(1), &body).data();
    assert_eq!(verified(&setup), 3);
}
