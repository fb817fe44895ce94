//! Wrong passwords from one address and from many.

use std::time::{Duration, Instant};

use super::*;
use crate::support::Node;

/// Somebody elsewhere, behind a proxy that ends TLS.
fn from(node: &Node, address: &str) -> Client {
    Client::new(node)
        .with("x-forwarded-for", address)
        .with("x-forwarded-proto", "https")
}

#[test]
fn an_address_is_limited_and_another_is_not() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path())
        .env("KSNODE_SERVER__TRUSTED_PROXIES", "127.0.0.1")
        .env("KSNODE_SERVER__ADMIN_RATE_LIMIT", "3")
        .start();
    let mut attacker = from(&node, "10.0.0.1");
    for status in [403, 403, 403, 429, 429] {
        let answer = attacker.login("wrong", "");
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(
            answer.text.contains("not right"),
            status == 403,
            "{answer:?}"
        );
    }
    assert_eq!(attacker.login(PASSWORD, "").status, 429);
    assert_eq!(from(&node, "10.0.0.2").login(PASSWORD, "").status, 303);
    // What the limit does not count is open to it.
    assert_eq!(attacker.get("/admin/login").status, 200);
}

#[test]
fn many_wrong_ones_slow_down_strangers_and_not_the_administrator() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path())
        .env("KSNODE_SERVER__TRUSTED_PROXIES", "127.0.0.1")
        .start();
    let took = &|address: &str, password: &str| {
        let begun = Instant::now();
        let status = from(&node, address).login(password, "").status;
        (status, begun.elapsed())
    };
    assert_eq!(took("10.9.9.9", PASSWORD).0, 303);
    // At once, so that none is forgotten before the last one on a slow machine.
    std::thread::scope(|scope| {
        for last in 0..14 {
            scope.spawn(move || assert_eq!(took(&format!("10.0.0.{last}"), "wrong").0, 403));
        }
    });
    // The longest wait, or the one before it when some time has passed.
    let (status, stranger) = took("10.0.1.1", PASSWORD);
    assert!(
        status == 303 && stranger >= Duration::from_secs(2),
        "{status} {stranger:?}"
    );
    // What a machine does beside may slow down this one or that.
    let known = [(); 3].map(|()| took("10.9.9.9", PASSWORD));
    assert!(known.iter().all(|(status, _)| *status == 303));
    let known = known.iter().map(|(_, time)| *time).min().unwrap();
    assert!(known < stranger, "{known:?} {stranger:?}");
}

#[test]
fn who_is_logged_in_is_not_limited_as_a_stranger() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path())
        .env("KSNODE_SERVER__RATE_LIMIT", "5")
        .start();
    let client = Client::logged_in(&node, PASSWORD);
    for _ in 0..10 {
        assert!(client.is_in());
    }
    let stranger = Client::new(&node);
    let answers = [(); 6].map(|()| stranger.get("/admin/login").status);
    assert_eq!(answers[5], 429);
    assert!(client.is_in());
}
