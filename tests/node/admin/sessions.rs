//! How sessions end, and what they outlast.

use super::*;

#[test]
fn they_outlast_a_restore_and_end_with_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    let client = Client::logged_in(&node, PASSWORD);
    let body = serde_json::json!({"password": PASSWORD});
    let made = node.post_open("/pg_dump/v1/backup", &body).data();
    let body = serde_json::json!({"password": PASSWORD, "dump_path": made["dumpPath"]});
    node.post_open("/pg_dump/v1/restore", &body).data();
    assert!(client.is_in());
    node.stop();
    let node = setup.start();
    let again = Client {
        base: node.url.clone(),
        ..client
    };
    assert!(!again.is_in());
}

#[test]
fn a_login_takes_the_place_of_the_session_that_it_comes_with() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let mut client = Client::logged_in(&node, PASSWORD);
    let mut old = Client::new(&node);
    old.cookie.clone_from(&client.cookie);
    assert!(old.is_in());
    assert_eq!(client.login(PASSWORD, "").status, 303);
    assert!(client.is_in() && !old.is_in());
}

#[test]
fn the_administrator_ends_his_other_sessions() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let mut own = Client::logged_in(&node, PASSWORD);
    let others = [(); 3].map(|()| Client::logged_in(&node, PASSWORD));
    let answer = own.post("/admin/account/sessions/revoke-others", &[]);
    assert_eq!(answer.header("location"), "/admin/account");
    assert!(
        own.get("/admin/account")
            .text
            .contains("3 other sessions were ended")
    );
    assert!(own.is_in() && others.iter().all(|other| !other.is_in()));
    own.post("/admin/logout", &[]);
    assert!(!own.is_in());
}

#[test]
fn one_goes_on_to_the_page_that_was_asked_for_and_to_no_other_site() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let stranger = Client::new(&node);
    let sent = stranger.get("/admin/backups?x=1");
    assert_eq!(sent.header("location"), "/admin/login?next=backups");
    for (next, to) in [
        ("backups", "/admin/backups"),
        ("overview", "/admin"),
        ("https://evil.example/", "/admin"),
        ("//evil.example", "/admin"),
        ("", "/admin"),
    ] {
        let fields = [("password", PASSWORD), ("next", next)];
        let answer = stranger.send("/admin/login", &fields);
        assert_eq!(answer.header("location"), to, "{next}");
    }
}
