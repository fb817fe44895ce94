//! What is refused, with a text that says what to do; and the node serves on.

use super::{House, register, register_all, stands, verified, whole};
use crate::postgres::{DATABASE, PASSWORD, USER};
use crate::support::Setup;

/// A node with this replica, which serves and says why nothing is sent.
fn refused(setup: &Setup, phase: &str) -> String {
    let node = setup.start();
    for user in 1..3 {
        // It may be there from an earlier life.
        assert!([200, 409].contains(&register(&node, user).status));
    }
    let error = stands(setup, phase);
    let status = setup.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    assert!(!super::text(&status).contains(PASSWORD) && !node.logged().contains(PASSWORD));
    assert!(node.stop().success());
    error
}

#[test]
fn wrong_logins_and_certificates_are_told_apart() {
    let house = House::new();
    let (postgres, port) = (&house.postgres, house.postgres.port());
    let setup = || {
        Setup::new(house.home.path())
            .env("KSNODE_REPLICA__PORT", &port.to_string())
            .env("KSNODE_REPLICA__USER", USER)
            .env("KSNODE_REPLICA__PASSWORD", PASSWORD)
            .env("KSNODE_REPLICA__DATABASE", DATABASE)
            .env("KSNODE_REPLICA__HOST", "localhost")
    };
    let certificate = refused(&setup(), "away");
    assert!(
        certificate.contains("set the root certificate"),
        "{certificate}"
    );
    let authority = postgres.authority();
    let authority = authority.to_str().unwrap();
    let trusting = || setup().env("KSNODE_REPLICA__ROOT_CERTIFICATE", authority);
    let name = refused(&trusting().env("KSNODE_REPLICA__HOST", "127.0.0.1"), "away");
    assert!(name.contains("as the certificate names it"), "{name}");
    let password = refused(
        &trusting().env("KSNODE_REPLICA__PASSWORD", "mistaken"),
        "away",
    );
    assert!(
        password.contains("password authentication failed"),
        "{password}"
    );
    assert!(!password.contains("mistaken"));
    let database = refused(
        &trusting().env("KSNODE_REPLICA__DATABASE", "elsewhere"),
        "away",
    );
    assert!(database.contains("create that database"), "{database}");
    let setup = trusting();
    let _node = setup.start();
    assert_eq!(verified(&setup), 2);
    let encrypted = postgres.query(
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'ksnode'",
    );
    assert_eq!(encrypted, "t");
}

#[test]
fn another_nodes_replica_is_not_touched() {
    let house = House::new();
    let setup = house.setup();
    let node = setup.start();
    register_all(&node, 1..10);
    whole(&setup);
    let other_home = tempfile::tempdir().unwrap();
    let other = Setup::new(other_home.path()).env("KSNODE_REPLICA__URL", &house.postgres.url());
    // As long as the first one is connected it is not even looked at.
    let locked = refused(&other, "away");
    assert!(locked.contains("another process writes"), "{locked}");
    assert!(node.stop().success());
    let error = refused(&other, "refused");
    assert!(error.contains("replica of another node"), "{error}");
    let resync = {
        let _other = other.start();
        stands(&other, "refused");
        assert!(
            other
                .run(&["replica", "resync", "--discard-replica"])
                .status
                .success()
        );
        stands(&other, "refused")
    };
    assert!(resync.contains("replica of another node"), "{resync}");
    let _node = setup.start();
    assert_eq!(verified(&setup), 9);
}

#[test]
fn an_address_that_cannot_be_is_told_before_anything_is_served() {
    let home = tempfile::tempdir().unwrap();
    let address = "postgresql://node:hidden-word@localhost/db?sslmode=prefer";
    let output = Setup::new(home.path())
        .env("KSNODE_REPLICA__URL", address)
        .fail();
    let text = super::text(&output);
    assert!(
        text.contains("sslmode prefer") && !text.contains("hidden-word"),
        "{text}"
    );
}
