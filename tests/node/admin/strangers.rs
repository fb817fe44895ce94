//! Who has no session sees the login and nothing else.

use std::io::{Read, Write};

use super::*;
use crate::support::Node;

const ID: &str = "123e4567-e89b-42d3-a456-426614174000";

/// What there is, and what somebody might take for something.
fn paths() -> Vec<String> {
    let pages = [
        "overview",
        "backups",
        "shares",
        "keys",
        "certificates",
        "replication",
        "logs",
        "audit",
        "settings",
        "account",
    ];
    let mut paths: Vec<String> = pages
        .iter()
        .flat_map(|page| ["", ".json", "/", "?page=2"].map(|end| format!("/admin/{page}{end}")))
        .collect();
    let below = [
        "",
        "/",
        "//",
        "/logout",
        "/login/",
        "/login.json",
        "/jobs",
        "/jobs/",
        "/assets",
        "/assets/../backups",
        "/assets/..%2fbackups",
        "/backups/create",
        "/backups/prune",
        "/replication/resync",
        "/replication/verify",
        "/certificates/renew",
        "/shares/look-up",
        "/audit/verify",
        "/audit/head",
        "/keys/share/rotate",
        "/keys/node/rotate",
        "/account/password",
        "/account/second-factor/begin",
        "/account/second-factor/confirm",
        "/account/second-factor/drop",
        "/account/second-factor/codes",
        "/account/sessions/revoke-others",
        "/account/sessions/0123abcd/revoke",
        "/../admin",
        "/./backups",
        "/%62ackups",
        "/backups%00",
        "/backups;a=b",
        "/Backups",
        "/..",
        "/..%2f",
    ];
    paths.extend(below.map(|path| format!("/admin{path}")));
    for end in ["", ".json"] {
        paths.push(format!("/admin/jobs/{ID}{end}"));
    }
    for action in ["download", "delete", "verify", "compare", "restore"] {
        paths.push(format!("/admin/backups/{ID}/{action}"));
    }
    paths.extend(
        [
            "//admin",
            "//admin/backups",
            "/Admin",
            "/ADMIN/backups",
            "/%61dmin",
            "/admin%2fbackups",
            "/admin.json",
            "/administrator",
            "/x/../admin/backups",
            "/./admin",
        ]
        .map(str::to_owned),
    );
    paths
}

/// Sends a request as it stands, which clients would put in order first.
fn raw(node: &Node, method: &str, path: &str) -> (u16, String) {
    let mut stream = node.connect();
    let host = node.address();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\norigin: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        node.url
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

/// Asserts that an answer gives nothing away.
#[track_caller]
fn gives_nothing_away(node: &Node, method: &str, path: &str) {
    let (status, answer) = raw(node, method, path);
    let what = format!("{method} {path}: {answer}");
    let below = path.starts_with("/admin/") || path == "/admin" || path.starts_with("/admin?");
    match status {
        303 => assert!(
            method != "POST" && answer.contains("location: /admin/login"),
            "{what}"
        ),
        // Without a session nobody is told what there is and what not.
        401 => assert!(below, "{what}"),
        // No such call of the API, or an asset that is none.
        404 | 405 => assert!(
            !below || path.contains("/assets/") || path.contains("/login"),
            "{what}"
        ),
        204 => assert!(method == "OPTIONS" && !below, "{what}"),
        _ => panic!("{what}"),
    }
    assert!(
        !answer.contains("csrf") && !answer.contains("sessions:"),
        "{what}"
    );
    assert!(!below || !answer.contains("access-control"), "{what}");
}

#[test]
fn no_path_and_no_method_shows_anything_without_a_session() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    for path in paths() {
        for method in ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            gives_nothing_away(&node, method, &path);
        }
    }
    let (status, login) = raw(&node, "GET", "/admin/login");
    assert!(
        status == 200 && login.contains("name=\"password\""),
        "{login}"
    );
    // Nothing was done either.
    let history = node.get("/pg_dump/v1").data();
    assert_eq!(history.as_array().unwrap().len(), 0);
}

#[test]
fn invented_ids_and_paths_are_told_with_and_without_a_session() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let client = Client::logged_in(&node, PASSWORD);
    let parts = [
        "backups", "jobs", "account", "sessions", "assets", "login", "restore", "verify", ID, "..",
        ".", "%2e%2e", "%00", "a.json", "\u{7f}x", "0123abcd", "'", "&lt;", "{}", "~", "*", "",
    ];
    // A row of numbers that is the same each time.
    let mut state = 7_u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below
    };
    for _ in 0..300 {
        let mut path = "/admin".to_owned();
        for _ in 0..=next(4) {
            path.push('/');
            path.push_str(parts[next(parts.len())]);
        }
        let plain: String = path.chars().filter(|c| !c.is_control()).collect();
        let (status, answer) = raw(&node, "GET", &plain);
        assert!([200, 303, 401, 404].contains(&status), "{plain}: {answer}");
        assert!(status != 200 || answer.contains("name=\"password\"") || plain.contains("assets"));
        if let Ok(target) = plain.parse::<ureq::http::Uri>() {
            let answer = client.get(&target.to_string());
            assert!(
                [200, 303, 404, 405].contains(&answer.status),
                "{plain}: {answer:?}"
            );
        }
    }
    assert!(client.is_in());
}
