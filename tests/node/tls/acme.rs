//! Certificates from an authority, which is Pebble, a real ACME server.

mod pebble;
mod restore;
mod trouble;

use std::path::Path;

use serde_json::Value;

use super::clients::{Roots, ask};
use crate::operator::document;
use crate::postgres::free_port;
use crate::support::{Node, Setup, wait_for};
use pebble::Pebble;

const NAME: &str = "node.example.org";

/// A home, an authority that is not running, and how to start a node that gets certificates for `domains` from it.
pub fn world(home: &Path, domains: &str) -> (Pebble, Setup) {
    let (folder, port) = (home.join("pebble"), free_port());
    std::fs::create_dir(&folder).unwrap();
    let pebble = Pebble::new(&folder, port);
    let setup = pebble.serve(Setup::new(home), domains, port);
    (pebble, setup)
}

/// What `ksnode status` tells of the certificate.
pub fn certificate(setup: &Setup) -> Value {
    let output = setup.run(&["status", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["node"]["certificate"].clone()
}

/// Waits until the certificate in use was issued by the authority.
#[track_caller]
pub fn issued(setup: &Setup, pebble: &Pebble) -> Value {
    let mut last = Value::Null;
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("a certificate", || {
            last = certificate(setup);
            let known = last["source"] == "acme" && last["next_attempt"].is_string();
            known.then(|| last.clone())
        })
    }));
    found.unwrap_or_else(|_| panic!("{last:#}\n{}", pebble.logged()))
}

/// Asks for `/` over a new connection to `name`, which must be trusted.
#[track_caller]
fn ask_as(roots: &Roots, node: &Node, name: &str) -> String {
    ask(&mut roots.connect_as(node, name))
}

#[test]
fn the_first_start_has_a_certificate_and_a_restart_keeps_it() {
    let home = tempfile::tempdir().unwrap();
    let (mut pebble, setup) = world(home.path(), "node.example.org,other.example.org");
    pebble.start();
    let node = setup.start();
    let first = issued(&setup, &pebble);
    assert!(first["issuer"].as_str().unwrap().contains("Pebble"));
    assert_eq!(first["standing"], "good");
    assert!(first["next_attempt"].is_string() && first["error"].is_null());
    let roots = Roots::of_file(&pebble.root());
    for name in [NAME, "other.example.org"] {
        assert!(ask_as(&roots, &node, name).ends_with("\r\n\r\nOk"));
    }
    let status = setup.run(&["status"]);
    assert!(status.status.success(), "{status:?}");
    assert!(node.stop().success());

    // Without the authority too.
    drop(pebble);
    let node = setup.start();
    let again = certificate(&setup);
    assert_eq!(again["sha256"], first["sha256"]);
    assert_eq!(again["last_attempt"], first["last_attempt"]);
    assert!(ask_as(&roots, &node, NAME).ends_with("Ok"));
}

#[test]
fn refused_nonces_are_replaced() {
    let home = tempfile::tempdir().unwrap();
    let (mut pebble, setup) = world(home.path(), NAME);
    pebble.refused_nonces = 40;
    pebble.start();
    let setup = setup.env("KSNODE_LOG__LEVEL", "info,ksnode::tls=debug");
    let node = setup.start();
    let found = issued(&setup, &pebble);
    assert!(found["error"].is_null());
    node.logs("the authority refused a nonce");
}

#[test]
fn a_renewal_is_not_noticed_by_anybody() {
    let home = tempfile::tempdir().unwrap();
    let (mut pebble, setup) = world(home.path(), NAME);
    pebble.lifetime = 18;
    pebble.start();
    let node = setup.start();
    let first = issued(&setup, &pebble);
    let roots = Roots::of_file(&pebble.root());
    // One that stays, and new ones, with nothing but what the authority vouches for.
    let mut open = roots.connect_as(&node, NAME);
    let mut asked = 0;
    wait_for("two renewals", || {
        for _ in 0..20 {
            assert!(ask_as(&roots, &node, NAME).ends_with("Ok"));
            assert!(ask(&mut open).ends_with("Ok"));
            asked += 1;
        }
        (node.logged().matches("a new certificate is in use").count() >= 3).then_some(())
    });
    assert_ne!(certificate(&setup)["sha256"], first["sha256"]);
    assert!(asked > 100, "{asked}");
}

#[test]
fn keys_are_sealed_and_in_no_file() {
    let home = tempfile::tempdir().unwrap();
    let (mut pebble, setup) = world(home.path(), NAME);
    pebble.start();
    let node = setup.start();
    issued(&setup, &pebble);
    assert!(node.stop().success());
    for name in crate::operator::names(&setup.data("")) {
        let Ok(bytes) = std::fs::read(setup.data(&name)) else {
            continue;
        };
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("PRIVATE KEY"), "{name}");
        assert!(!text.contains("BEGIN CERTIFICATE"), "{name}");
        assert!(!text.contains("admin@example.org"), "{name}");
    }
    let entries = document(&setup.run(&["backup", "create", "--json"]));
    assert_eq!(entries["backup"]["status"], "COMPLETED");
}
