//! Where the page is, and for whom.

use super::*;
use crate::support::wait_for;

#[test]
fn networks_that_are_not_allowed_see_nothing_and_the_backup_calls_stay() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path())
        .env("KSNODE_ADMIN__ALLOW", "10.0.0.0/8")
        .env("KSNODE_SERVER__TRUSTED_PROXIES", "127.0.0.1")
        .start();
    let inside = |address: &str| {
        Client::new(&node)
            .with("x-forwarded-for", address)
            .with("x-forwarded-proto", "https")
    };
    for client in [Client::new(&node), inside("11.0.0.1")] {
        for path in [
            "/admin",
            "/admin/login",
            "/admin/assets/page.css",
            "/admin/absent",
        ] {
            let answer = client.get(path);
            assert_eq!(answer.status, 403, "{path}");
            assert!(
                answer.text.contains("admin.allow") || path.contains("assets"),
                "{answer:?}"
            );
        }
    }
    let mut allowed = inside("10.1.2.3");
    assert_eq!(allowed.login(PASSWORD, "").status, 303);
    assert!(allowed.is_in());
    // A session that is carried elsewhere opens nothing there.
    let mut carried = inside("11.0.0.1");
    carried.cookie.clone_from(&allowed.cookie);
    assert!(!carried.is_in());
    let body = serde_json::json!({"password": PASSWORD});
    node.post_open("/pg_dump/v1/backup", &body).data();
}

#[test]
fn in_clear_it_is_shown_to_this_machine_alone() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    assert_eq!(Client::new(&node).get("/admin/login").status, 200);
    for (name, value) in [
        ("x-forwarded-for", "10.0.0.1"),
        // Only a trusted proxy is believed.
        ("x-forwarded-proto", "https"),
        ("host", "node.example"),
    ] {
        let stranger = Client::new(&node).with(name, value);
        let answer = stranger.get("/admin/login");
        assert_eq!(answer.status, 403, "{name}");
        assert!(
            answer.text.contains("https") && answer.text.contains("trusted_proxies"),
            "{answer:?}"
        );
        let answer = stranger.send("/admin/login", &[("password", PASSWORD)]);
        assert_eq!(answer.status, 403, "{name}");
        assert!(answer.header("set-cookie").is_empty());
    }
}

#[test]
fn it_can_be_turned_off() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path())
        .env("KSNODE_ADMIN__ENABLED", "false")
        .start();
    for path in ["/admin", "/admin/login", "/admin/backups"] {
        node.get(path).refused(404, "INVALID_REQUEST");
    }
    let status = setup(home.path()).run(&["status"]);
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.contains("admin:   no page"), "{status}");
}

#[test]
fn it_can_have_a_listener_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path()).env("KSNODE_ADMIN__LISTEN", "127.0.0.1:0");
    let node = setup.start();
    node.get("/admin/login").refused(404, "INVALID_REQUEST");
    let status = wait_for("the status", || {
        let output = setup.run(&["status", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).ok()
    });
    let address = status["node"]["admin_listen"]
        .as_str()
        .or(status["admin_listen"].as_str());
    let base = format!("http://{}", address.unwrap());
    let page = status["node"]["admin_page"]
        .as_str()
        .or(status["admin_page"].as_str());
    assert_eq!(page, Some(format!("{base}/admin").as_str()));
    let mut client = Client::at(&base);
    for path in ["/", "/status", "/keyshare/v2", "/pg_dump/v1", "/api_docs"] {
        let answer = client.get(path);
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, "/admin/login"),
            "{path}"
        );
    }
    assert_eq!(client.send("/pg_dump/v1/backup", &[]).status, 401);
    assert_eq!(client.login(PASSWORD, "").status, 303);
    assert!(client.is_in());
    assert_eq!(client.get("/status").status, 404);
}
