//! Histories that part: restores, a database that was put back, times without replication.

use serde_json::json;

use super::{House, USERS, register_all, says, stands, text, verified, whole};
use crate::clients::assert_stored;
use crate::support::{Setup, database, register_body, token, wait_for};

fn created(setup: &Setup) -> String {
    let output = setup.run(&["backup", "create", "--json"]);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["backup"]["path"].as_str().unwrap().to_owned()
}

#[track_caller]
pub(super) fn restore(setup: &Setup, what: &[&str]) {
    let output = setup.run(&[&["restore", "--yes"], what].concat());
    assert!(output.status.success(), "{}", text(&output));
}

/// Another machine with the house's secret and replica, and with no data.
pub(super) fn new_machine(house: &House) -> (tempfile::TempDir, Setup) {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path()).env("KSNODE_REPLICA__URL", &house.postgres.url());
    std::fs::create_dir_all(setup.data("")).unwrap();
    std::fs::copy(house.setup().data("secret"), setup.data("secret")).unwrap();
    (home, setup)
}

/// The users that the replica has.
fn users(house: &House) -> String {
    house.postgres.query(USERS)
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
    restore(&setup, &[&backup]);
    assert_eq!(verified(&setup), 9);
    register_all(&node, 50..60);
    assert_eq!(verified(&setup), 19);
    // Stopped.
    assert!(node.stop().success());
    restore(&setup, &[&backup]);
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

/// A stopped node with 9 users whose database somebody took 10 more from: the replica has them. `meanwhile` is called
/// while the node with 9 users runs.
fn put_back(setup: &Setup, meanwhile: &dyn Fn()) {
    let node = setup.start();
    register_all(&node, 1..10);
    whole(setup);
    meanwhile();
    assert!(node.stop().success());
    let (database, copy) = (setup.data("ksnode.db"), setup.data("copy"));
    std::fs::copy(&database, &copy).unwrap();
    let node = setup.start();
    register_all(&node, 10..20);
    whole(setup);
    assert!(node.stop().success());
    std::fs::copy(&copy, &database).unwrap();
}

/// Somebody puts an old copy of the file back, as a rollback of the whole machine does: what the replica has beyond it is
/// not overwritten, and can be had back.
#[test]
fn a_database_that_was_put_back_does_not_overwrite_the_replica() {
    let house = House::new();
    let setup = house.setup();
    put_back(&setup, &|| ());
    let node = setup.start();
    let error = stands(&setup, "refused");
    assert!(error.contains("ksnode restore --from-replica"), "{error}");
    // It serves, and goes its own way until somebody decides.
    register_all(&node, 30..60);
    assert!(node.stop().success());
    let node = setup.start();
    let error = stands(&setup, "refused");
    assert!(error.contains("another one here"), "{error}");
    assert_eq!(users(&house), "19");
    let output = setup.run(&["restore", "--from-replica", "--yes"]);
    assert!(text(&output).contains("the node runs"), "{}", text(&output));
    assert!(node.stop().success());
    restore(&setup, &["--from-replica"]);
    let node = setup.start();
    for user in 1..20 {
        assert_stored(&node, user);
    }
    assert_eq!(verified(&setup), 19);
}

/// A backup that is restored where the database was put back saves what is there, and that is another history than the
/// replica's, although it may have become longer.
#[test]
fn a_backup_restored_after_a_database_was_put_back_does_not_overwrite_the_replica() {
    let house = House::new();
    let setup = house.setup();
    let backup = std::cell::OnceCell::new();
    put_back(&setup, &|| backup.set(created(&setup)).unwrap());
    let backup = backup.get().unwrap();
    let node = setup.start();
    stands(&setup, "refused");
    register_all(&node, 30..60);
    // Live, and once more on the stopped node.
    restore(&setup, &[backup]);
    let error = says(&setup, "in what was restored or replaced here");
    assert!(error.contains("ksnode restore --from-replica"), "{error}");
    assert!(node.stop().success());
    restore(&setup, &[backup]);
    let node = setup.start();
    says(&setup, "in what was restored or replaced here");
    assert_eq!(users(&house), "19");
    assert!(node.stop().success());
    restore(&setup, &["--from-replica"]);
    let node = setup.start();
    assert_eq!(verified(&setup), 19);
    // What was known of the other history is forgotten with it.
    register_all(&node, 60..62);
    assert_eq!(verified(&setup), 21);
    let kept = "SELECT count(*) FROM left_change";
    wait_for("the marks to be forgotten", || {
        let database = database(house.home.path());
        let count: i64 = database.query_row(kept, [], |row| row.get(0)).unwrap();
        (count == 0).then_some(())
    });
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
    assert_eq!(users(&house), "19");
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

/// The machine is gone and somebody restores an old backup on a new one: what was registered after the backup is nowhere
/// but in the replica, and stays there until it is had back.
#[test]
fn an_old_backup_on_a_new_machine_does_not_overwrite_the_replica() {
    let house = House::new();
    let old = house.setup();
    let node = old.start();
    register_all(&node, 1..6);
    let backup = created(&old);
    register_all(&node, 6..10);
    whole(&old);
    assert!(node.stop().success());

    let (_home, new) = new_machine(&house);
    restore(&new, &[&backup]);
    let node = new.start();
    let error = stands(&new, "refused");
    for words in [
        "newer than the backup that was restored here",
        "ksnode restore --from-replica",
        "ksnode replica resync --discard-replica",
    ] {
        assert!(error.contains(words), "{error}");
    }
    node.logs("newer than the backup that was restored here");
    let status = new.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    assert!(text(&status).contains(&error), "{}", text(&status));
    // It serves what the backup has, and a restart changes nothing.
    assert_stored(&node, 5);
    register_all(&node, 20..30);
    assert!(node.stop().success());
    let node = new.start();
    stands(&new, "refused");
    assert_eq!(users(&house), "9");
    assert!(node.stop().success());

    restore(&new, &["--from-replica"]);
    let node = new.start();
    for user in 1..10 {
        assert_stored(&node, user);
    }
    assert_eq!(verified(&new), 9);
    register_all(&node, 30..35);
    assert_eq!(verified(&new), 14);
    assert_eq!(users(&house), "14");
}

/// On the same machine today's data is saved before it is replaced; when that cannot be done well, the replica may be
/// the only one that has the newest changes.
#[test]
fn a_damaged_database_that_is_replaced_by_a_backup_does_not_overwrite_the_replica() {
    let house = House::new();
    let setup = house.setup();
    let node = setup.start();
    register_all(&node, 1..6);
    let backup = created(&setup);
    register_all(&node, 6..10);
    whole(&setup);
    assert!(node.stop().success());
    // As a share whose bytes were changed on the disk: SQLite does not notice.
    let sql = "UPDATE wallet SET sealed = randomblob(length(sealed)) WHERE id = 3";
    assert_eq!(database(house.home.path()).execute(sql, []).unwrap(), 1);
    restore(&setup, &[&backup]);
    let node = setup.start();
    stands(&setup, "refused");
    assert_eq!(users(&house), "9");
    assert!(node.stop().success());
    restore(&setup, &["--from-replica"]);
    let _node = setup.start();
    assert_eq!(verified(&setup), 9);
}

/// What was saved before a restore is known, also when replication is off by then.
#[test]
fn a_restore_without_replication_lets_it_go_on_afterwards() {
    let house = House::new();
    let setup = house.setup();
    let node = setup.start();
    register_all(&node, 1..6);
    let backup = created(&setup);
    register_all(&node, 6..10);
    whole(&setup);
    assert!(node.stop().success());
    let off = Setup::new(house.home.path());
    let node = off.start();
    register_all(&node, 10..12);
    for _ in 0..2 {
        restore(&off, &[&backup]);
    }
    register_all(&node, 20..22);
    assert!(node.stop().success());
    let _node = setup.start();
    assert_eq!(verified(&setup), 7);
}

/// A backup that lacks nothing of what the replica has is followed at once.
#[test]
fn a_new_machine_with_the_newest_data_goes_on() {
    let house = House::new();
    let old = house.setup();
    let node = old.start();
    register_all(&node, 1..6);
    whole(&old);
    let backup = created(&old);
    assert!(node.stop().success());
    let (_home, new) = new_machine(&house);
    restore(&new, &[&backup]);
    let node = new.start();
    register_all(&node, 6..8);
    assert_eq!(verified(&new), 7);
}
