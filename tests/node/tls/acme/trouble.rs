//! Authorities that are away, silent, or say no.

use std::net::TcpListener;
use std::path::Path;

use serde_json::Value;

use super::super::clients::curl_insecurely;
use super::{NAME, certificate, issued, world};
use crate::postgres::free_port;
use crate::support::{Node, Setup, database, wait_for};

/// Moves what is known of attempts back, in the database of a node that is stopped.
pub fn let_a_minute_pass(home: &Path) {
    let change = "UPDATE tls_attempt SET at = at - 60000";
    assert!(database(home).execute(change, []).unwrap() > 0);
}

/// Waits until an attempt has failed; what `ksnode status` tells then.
#[track_caller]
fn failed(setup: &Setup) -> Value {
    wait_for("a failure", || {
        let found = certificate(setup);
        found["error"].is_string().then_some(found)
    })
}

/// Asserts that the node serves with a certificate of its own, and tells why, and tries again in a minute.
#[track_caller]
fn waits(setup: &Setup, node: &Node, why: &str) {
    let found = failed(setup);
    let error = found["error"].as_str().unwrap();
    assert!(error.contains(why), "{error}");
    assert_eq!(found["source"], "fallback");
    assert_eq!(found["names"][0], NAME);
    assert_eq!(
        seconds_between(&found["last_attempt"], &found["next_attempt"]),
        60
    );
    assert!(curl_insecurely(&node.url).ends_with("Ok"));
    let output = setup.run(&["status"]);
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && page.contains(why), "{page}");
    assert!(page.contains("made for itself"), "{page}");
    node.logs("no certificate was issued");
    let metrics = node.get_ops("/metrics").text;
    assert!(metrics.contains("ksnode_tls_certificate_failures_total 1\n"));
}

fn seconds_between(early: &Value, late: &Value) -> i64 {
    let format = &time::format_description::well_known::Rfc3339;
    let moment =
        |text: &Value| time::OffsetDateTime::parse(text.as_str().unwrap(), format).unwrap();
    (moment(late) - moment(early)).whole_seconds()
}

#[test]
fn an_authority_that_is_away_is_asked_again_when_it_is_back() {
    let home = tempfile::tempdir().unwrap();
    let (mut pebble, setup) = world(home.path(), NAME);
    let node = setup.start();
    waits(&setup, &node, "the authority cannot be asked");
    assert!(node.stop().success());
    // A restart alone changes nothing.
    pebble.start();
    let node = setup.start();
    let told = certificate(&setup);
    assert!(told["error"].is_string() && told["source"] == "fallback");
    assert!(node.stop().success());
    let_a_minute_pass(home.path());
    let _node = setup.start();
    issued(&setup, &pebble);
}

#[test]
fn an_authority_that_refuses_is_believed() {
    let home = tempfile::tempdir().unwrap();
    let (mut pebble, setup) = world(home.path(), "node.example.org,blocked.example");
    pebble.start();
    let node = setup.start();
    let found = failed(&setup);
    let error = found["error"].as_str().unwrap();
    assert!(error.contains("rejectedIdentifier"), "{error}");
    assert!(error.contains("the authority refuses"), "{error}");
    assert!(node.stop().success());
    // Other names need not wait.
    let setup = setup.env("KSNODE_TLS__DOMAINS", NAME);
    let _node = setup.start();
    issued(&setup, &pebble);
}

#[test]
fn a_failed_validation_is_told_and_not_repeated_at_once() {
    let home = tempfile::tempdir().unwrap();
    let (mut pebble, setup) = world(home.path(), NAME);
    // As when the name points to another machine.
    pebble.tls_port = free_port();
    pebble.start();
    let node = setup.start();
    waits(
        &setup,
        &node,
        "the authority could not validate node.example.org",
    );
    let outcome: String = database(home.path())
        .query_row("SELECT outcome FROM tls_attempt", [], |row| row.get(0))
        .unwrap();
    assert_eq!(outcome, "refused");
}

/// An authority that takes connections and says nothing, and a node that is to ask it.
fn silent_world(home: &Path) -> (TcpListener, Setup) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let (_pebble, setup) = world(home, NAME);
    let directory = format!("https://localhost:{port}/dir");
    (silent, setup.env("KSNODE_TLS__DIRECTORY", &directory))
}

#[test]
fn a_silent_authority_is_given_up() {
    let home = tempfile::tempdir().unwrap();
    let (_silent, setup) = silent_world(home.path());
    let node = setup.start();
    // Meanwhile it serves, and knows that it is at it.
    assert!(curl_insecurely(&node.url).ends_with("Ok"));
    waits(&setup, &node, "no answer within 30 s");
    assert!(node.stop().success());
}

#[test]
fn a_root_that_is_none_keeps_the_node_from_starting() {
    let home = tempfile::tempdir().unwrap();
    let (_pebble, setup) = world(home.path(), NAME);
    let root = home.path().join("root.pem");
    for (content, expected) in [
        ("", "root.pem: holds no certificate; "),
        ("-----BEGIN CERTIFICATE-----\nbroken", "root.pem: is no PEM"),
    ] {
        std::fs::write(&root, content).unwrap();
        let root = root.to_str().unwrap();
        let output = setup.clone().env("KSNODE_TLS__DIRECTORY_ROOT", root).fail();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_stop_does_not_wait_for_an_authority() {
    let home = tempfile::tempdir().unwrap();
    let (silent, setup) = silent_world(home.path());
    let node = setup.start();
    let _asking = silent.accept().unwrap();
    let begun = std::time::Instant::now();
    assert!(node.stop().success());
    assert!(begun.elapsed() < std::time::Duration::from_secs(10));
    // What was under way counts: a node that is restarted again and again asks no more often.
    let outcome: String = database(home.path())
        .query_row("SELECT outcome FROM tls_attempt", [], |row| row.get(0))
        .unwrap();
    assert_eq!(outcome, "begun");
    let _node = setup.start();
    let told = certificate(&setup);
    assert!(
        told["error"].as_str().unwrap().contains("stopped"),
        "{told}"
    );
}
