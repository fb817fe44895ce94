//! Account and certificate are in the database, and so in its backups.

use super::super::clients::Roots;
use super::{NAME, ask_as, certificate, issued, world};
use crate::operator::{backup, restore};
use crate::support::{Setup, database};

/// How many certificates were asked for, by the database of this home.
fn attempts(home: &std::path::Path) -> u64 {
    let count = "SELECT count(*) FROM tls_attempt";
    database(home)
        .query_row(count, [], |row| row.get(0))
        .unwrap()
}

#[test]
fn a_restored_node_has_the_same_certificate() {
    let home = tempfile::tempdir().unwrap();
    let (mut pebble, setup) = world(home.path(), NAME);
    pebble.start();
    let node = setup.start();
    let first = issued(&setup, &pebble);
    let file = backup(&setup);
    assert!(node.stop().success());

    let elsewhere = tempfile::tempdir().unwrap();
    let secret = setup.data("secret");
    let other = pebble.serve(Setup::new(elsewhere.path()), NAME, pebble.tls_port);
    std::fs::create_dir_all(other.data("")).unwrap();
    std::fs::copy(secret, other.data("secret")).unwrap();
    restore(&other, &file);
    let roots = Roots::of_file(&pebble.root());
    drop(pebble);
    let node = other.start();
    let found = certificate(&other);
    assert_eq!(found["source"], "acme");
    assert_eq!(found["sha256"], first["sha256"]);
    assert!(ask_as(&roots, &node, NAME).ends_with("Ok"));
    assert_eq!(attempts(elsewhere.path()), 1);
}

#[test]
fn a_restore_of_older_data_loses_no_certificate() {
    let home = tempfile::tempdir().unwrap();
    let (mut pebble, setup) = world(home.path(), NAME);
    // From before there was one: the authority is not there yet.
    let node = setup.start();
    node.logs("no certificate was issued");
    let file = backup(&setup);
    assert!(node.stop().success());
    super::trouble::let_a_minute_pass(home.path());
    pebble.start();
    let node = setup.start();
    let first = issued(&setup, &pebble);
    let roots = Roots::of_file(&pebble.root());

    restore(&setup, &file);
    assert!(ask_as(&roots, &node, NAME).ends_with("Ok"));
    assert_eq!(certificate(&setup)["sha256"], first["sha256"]);
    crate::support::wait_for("the restored database to have it", || {
        let count = "SELECT count(*) FROM tls_certificate";
        let rows: u64 = database(home.path())
            .query_row(count, [], |row| row.get(0))
            .unwrap();
        (rows == 1).then_some(())
    });
    assert!(node.stop().success());
    drop(pebble);
    let _node = setup.start();
    assert_eq!(certificate(&setup)["sha256"], first["sha256"]);
}
