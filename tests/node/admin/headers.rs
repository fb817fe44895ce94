//! What every answer below `/admin` carries.

use super::*;
use crate::support::Answer;

#[track_caller]
fn carries_them(answer: &Answer, kept: bool) {
    let policy = answer.header("content-security-policy");
    assert_eq!(
        policy,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    );
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), value, "{name} {answer:?}");
    }
    assert!(!answer.header("x-request-id").is_empty());
    assert!(
        kept || answer.header("cache-control") == "no-store",
        "{answer:?}"
    );
    assert!(
        answer
            .headers
            .keys()
            .all(|name| !name.as_str().starts_with("access-control"))
    );
}

#[test]
fn every_answer_carries_them_and_errors_are_pages() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path())
        .env("KSNODE_SERVER__ADMIN_RATE_LIMIT", "3")
        .start();
    let stranger = Client::new(&node);
    let client = Client::logged_in(&node, PASSWORD);
    let (html, json) = (
        "text/html; charset=utf-8",
        "application/json; charset=utf-8",
    );
    for (answer, status, media_type) in [
        (stranger.get("/admin"), 303, ""),
        (stranger.get("/admin/login"), 200, html),
        (stranger.get("/admin/overview.json"), 401, json),
        (stranger.send("/admin/backups/create", &[]), 401, html),
        (client.get("/admin"), 200, html),
        (client.get("/admin/overview.json"), 200, json),
        (client.get("/admin/absent"), 404, html),
        (client.get("/admin/absent.json"), 404, json),
        (client.get("/admin/backups/create"), 405, html),
        (client.get("/admin/assets/absent"), 404, html),
        (
            client.send("/admin/backups/create", &[("more", &"x".repeat(200_000))]),
            413,
            html,
        ),
        (
            client.get(&format!("/admin/{}", "x".repeat(17_000))),
            431,
            html,
        ),
        (
            stranger.send("/admin/login", &[("password", "wrong")]),
            403,
            html,
        ),
        (
            stranger.send("/admin/login", &[("password", "wrong")]),
            403,
            html,
        ),
        (
            stranger.send("/admin/login", &[("password", "wrong")]),
            429,
            html,
        ),
    ] {
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (status, media_type)
        );
        carries_them(&answer, false);
    }
    let allow = client.get("/admin/backups/create");
    assert_eq!(allow.header("allow"), "POST");
    // Each of the page's addresses is one route of the metrics.
    let metrics = node.get_ops("/metrics").text;
    assert!(
        metrics.contains(r#"ksnode_http_requests_total{route="/admin",status="200"}"#),
        "{metrics}"
    );
    let routes = metrics
        .lines()
        .filter(|line| line.contains("route=\"/admin/"));
    assert_eq!(routes.count(), 0);
}

#[test]
fn the_cookie_is_for_this_host_and_for_the_browser_alone() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let mut client = Client::new(&node);
    let set = client.login(PASSWORD, "").header("set-cookie").to_owned();
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Strict");
    assert_eq!(pair.len(), "__Host-ksnode=".len() + 43);
    let gone = client.post("/admin/logout", &[]);
    assert_eq!(gone.header("location"), "/admin/login");
    assert!(gone.header("set-cookie").ends_with("; Max-Age=0"));
    assert!(!node.logged().contains(&pair[14..]));
}
