//! The limit on guessing the password (api.md, "Limits and headers").

use std::path::Path;

use serde_json::json;

use super::setup;
use crate::support::{Answer, Node, Setup, agent};
use crate::wire::Wire;

/// A node with the limits that a node has by default.
fn limited(home: &Path) -> Setup {
    setup(home)
        .without("KSNODE_SERVER__RATE_LIMIT")
        .without("KSNODE_SERVER__ADMIN_RATE_LIMIT")
}

fn guess(node: &Node) -> Answer {
    node.post_open("/pg_dump/v1/backup", &json!({"password": "guess"}))
}

fn send(node: &Node, bytes: impl AsRef<[u8]>) -> Answer {
    Wire::to(node).send(bytes).answer()
}

#[track_caller]
fn limited_out(answer: &Answer, policy: &str) {
    let message = answer.refused(429, "RATE_LIMIT_EXCEEDED");
    assert_eq!(
        message,
        "Too many requests, please try again after 60 seconds"
    );
    let wait: u32 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait), "{answer:?}");
    assert_eq!(answer.header("ratelimit-policy"), policy);
    assert_eq!(answer.header("ratelimit-remaining"), "0");
}

#[track_caller]
fn counted(answer: &Answer, limit: &str, left: u32) {
    assert_ne!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.header("ratelimit-policy"), format!("{limit};w=60"));
    assert_eq!(answer.header("ratelimit-limit"), limit);
    assert_eq!(answer.header("ratelimit-remaining"), left.to_string());
    let reset: u32 = answer.header("ratelimit-reset").parse().unwrap();
    assert!((1..=60).contains(&reset), "{answer:?}");
    assert_eq!(answer.header("retry-after"), "");
}

#[test]
fn five_calls_a_minute_whatever_they_are() {
    let home = tempfile::tempdir().unwrap();
    let node = limited(home.path()).start();
    counted(&node.get("/"), "100", 99);
    for _ in 0..3 {
        let preflight = agent().options(format!("{}/pg_dump/v1", node.url)).call();
        assert_eq!(preflight.unwrap().status(), 204);
    }
    counted(&guess(&node), "5", 4);
    counted(&node.get("/pg_dump/v1?days=x"), "5", 3);
    let put = "PUT /pg_dump/v1/restore/ HTTP/1.1\r\nhost: n\r\n\r\n";
    counted(&send(&node, put), "5", 2);
    let malformed = "POST /pg_dump/v1/ HTTP/1.1\r\nhost: n\r\ncontent-length: 1\r\n\r\n{";
    counted(&send(&node, malformed), "5", 1);
    let large = "POST /pg_dump/v1/ HTTP/1.1\r\nhost: n\r\ncontent-length: 9999999\r\n\r\n";
    counted(&send(&node, large), "5", 0);
    for path in [
        "/pg_dump/v1",
        "/pg_dump/v1/?days=7",
        "/pg_dump/v1/restore",
        "/pg_dump/x",
    ] {
        limited_out(&node.get(path), "5;w=60");
        limited_out(
            &node.post_open(path, &json!({"password": super::PASSWORD})),
            "5;w=60",
        );
    }
    // Everything else goes on; each of these calls counted for the general limit too.
    counted(&node.get("/"), "100", 100 - 1 - 5 - 8 - 1);
    counted(&node.get("/pg_dumps"), "100", 100 - 1 - 5 - 8 - 2);
}

#[test]
fn the_general_limit_refuses_as_well() {
    let home = tempfile::tempdir().unwrap();
    let node = limited(home.path())
        .env("KSNODE_SERVER__RATE_LIMIT", "2")
        .start();
    counted(&guess(&node), "5", 4);
    counted(&guess(&node), "5", 3);
    limited_out(&guess(&node), "2;w=60");
    limited_out(&node.get("/"), "2;w=60");
}

#[test]
fn it_holds_without_the_general_limit() {
    let home = tempfile::tempdir().unwrap();
    let node = limited(home.path())
        .env("KSNODE_SERVER__RATE_LIMIT", "0")
        .env("KSNODE_SERVER__ADMIN_RATE_LIMIT", "1")
        .start();
    counted(&guess(&node), "1", 0);
    limited_out(&guess(&node), "1;w=60");
    assert_eq!(node.get("/").header("ratelimit-policy"), "");
}

#[test]
fn nothing_is_limited_when_it_is_off() {
    let home = tempfile::tempdir().unwrap();
    let node = limited(home.path())
        .env("KSNODE_SERVER__ADMIN_RATE_LIMIT", "0")
        .start();
    for used in 1..20 {
        counted(&guess(&node), "100", 100 - used);
    }
}

#[test]
fn exempt_addresses_are_not_limited_and_others_each_by_themselves() {
    let home = tempfile::tempdir().unwrap();
    let node = limited(home.path())
        .env("KSNODE_SERVER__TRUSTED_PROXIES", "127.0.0.1")
        .env("KSNODE_SERVER__RATE_LIMIT_EXEMPT", "192.0.2.7")
        .start();
    let from = |address: &str| {
        let body = json!({"password": "guess"});
        node.post_with("/pg_dump/v1", &[("x-forwarded-for", address)], &body)
    };
    for _ in 0..8 {
        let answer = from("192.0.2.7");
        answer.refused(401, "UNAUTHORIZED");
        assert_eq!(answer.header("ratelimit-policy"), "");
    }
    for address in ["198.51.100.1", "198.51.100.2"] {
        for left in [4, 3, 2, 1, 0] {
            counted(&from(address), "5", left);
        }
        limited_out(&from(address), "5;w=60");
    }
}
