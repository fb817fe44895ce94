//! Databases that are damaged, foreign, newer or gone.

use rusqlite::Connection;

use super::{database, refuses, serves_again, set_mode, used};
use crate::support::{Setup, register_body, token};

#[test]
fn a_damaged_key_ring() {
    for (damage, says) in [
        (
            "UPDATE key_ring SET wrapped = zeroblob(80) WHERE purpose = 'index'",
            "index key 1 does not open",
        ),
        (
            "UPDATE key_ring SET wrapped = x'00' WHERE purpose = 'share'",
            "share key 1 does not open",
        ),
        (
            "DELETE FROM key_ring WHERE purpose = 'share'",
            "it has no share key",
        ),
        (
            "UPDATE node_key SET sealed_seed = zeroblob(64)",
            "node key 1",
        ),
    ] {
        let (_home, setup) = used();
        let connection = Connection::open(setup.data("ksnode.db")).unwrap();
        assert_eq!(connection.execute(damage, []).unwrap(), 1);
        drop(connection);
        refuses(&setup, &["damaged", says, "restore a backup"]);
    }
}

#[test]
fn the_database_of_another_node() {
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "one secret for two nodes").unwrap();
    set_mode(&secret, 0o600);
    let nodes = ["a", "b"].map(|name| {
        let own = home.path().join(name);
        std::fs::create_dir(&own).unwrap();
        let setup = Setup::new(&own).env("KSNODE_SECRET_FILE", secret.to_str().unwrap());
        let node = setup.start();
        node.post("/keyshare/v2/register", &token(1), &register_body(1))
            .data();
        assert!(node.stop().success());
        setup
    });
    let [a, b] = nodes.each_ref().map(|setup| setup.data("ksnode.db"));
    let swap = || {
        let aside = home.path().join("aside");
        std::fs::rename(&a, &aside).unwrap();
        std::fs::rename(&b, &a).unwrap();
        std::fs::rename(&aside, &b).unwrap();
    };
    swap();
    for setup in &nodes {
        let before = database(setup);
        refuses(
            setup,
            &[
                "database of another node",
                "Put the right ksnode.db back",
                "data_dir",
            ],
        );
        assert_eq!(database(setup), before);
    }
    swap();
    nodes.iter().for_each(serves_again);
}

#[test]
fn a_database_that_is_gone() {
    let (_home, setup) = used();
    std::fs::remove_file(setup.data("ksnode.db")).unwrap();
    refuses(&setup, &["ksnode.db", "restore a backup", "data_dir"]);
}

#[test]
fn a_newer_database_is_left_untouched() {
    let (_home, setup) = used();
    let connection = Connection::open(setup.data("ksnode.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let before = database(&setup);
    let path = setup.data("ksnode.db");
    refuses(
        &setup,
        &[
            path.to_str().unwrap(),
            "newer ksnode",
            "99",
            "untouched",
            "Install that version again",
        ],
    );
    assert_eq!(database(&setup), before);
}

#[test]
fn a_newer_database_that_was_killed_is_left_untouched_with_its_log() {
    let (_home, setup) = used();
    let node = setup.start();
    let connection = Connection::open(setup.data("ksnode.db")).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    node.kill();
    // Gone like the node: a connection that closes would fold the log in.
    let aside = setup.data("aside");
    std::fs::create_dir(&aside).unwrap();
    for name in ["ksnode.db", "ksnode.db-wal"] {
        std::fs::copy(setup.data(name), aside.join(name)).unwrap();
    }
    drop(connection);
    for name in ["ksnode.db", "ksnode.db-wal"] {
        std::fs::copy(aside.join(name), setup.data(name)).unwrap();
    }
    let before = database(&setup);
    assert!(before[1].1.is_some(), "there is a write-ahead log");
    refuses(&setup, &["newer ksnode", "99", "untouched"]);
    assert_eq!(database(&setup), before);
}

#[test]
fn what_is_no_database_of_ksnode() {
    let (_home, setup) = used();
    let path = setup.data("ksnode.db");
    let other = setup.data("other.db");
    let connection = Connection::open(&other).unwrap();
    connection
        .execute_batch("CREATE TABLE wallet (id INTEGER)")
        .unwrap();
    drop(connection);
    let texts = "Dear diary, today I met an operator. "
        .repeat(300)
        .into_bytes();
    for content in [texts, b"short".to_vec(), std::fs::read(&other).unwrap()] {
        std::fs::write(&path, &content).unwrap();
        refuses(
            &setup,
            &[
                path.to_str().unwrap(),
                "not a ksnode database",
                "untouched",
                "data_dir",
            ],
        );
        assert_eq!(std::fs::read(&path).unwrap(), content);
    }
}

#[test]
fn a_torn_database_is_named() {
    let (_home, setup) = used();
    let path = setup.data("ksnode.db");
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..4096 + 100]).unwrap();
    refuses(&setup, &["database", "damaged", "restore a backup"]);
}

#[test]
fn a_folder_in_the_place_of_a_file() {
    let (_home, setup) = used();
    let path = setup.data("ksnode.db");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refuses(&setup, &[path.to_str().unwrap()]);
}
