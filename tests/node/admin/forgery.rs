//! Forms that no page of the node has sent.

use super::*;
use crate::support::{Answer, Node};

fn backups(node: &Node) -> usize {
    node.get("/pg_dump/v1").data().as_array().unwrap().len()
}

#[track_caller]
fn refused(answer: &Answer) {
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.text.contains("nothing was done"), "{answer:?}");
}

#[test]
fn a_form_needs_the_token_of_its_session_and_its_origin() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let (mut client, other) = (
        Client::logged_in(&node, PASSWORD),
        Client::logged_in(&node, PASSWORD),
    );
    let (own, foreign) = (client.csrf(), other.csrf());
    let create = "/admin/backups/create";
    for fields in [
        &[][..],
        &[("csrf", "")],
        &[("csrf", foreign.as_str())],
        &[("csrf", own.as_str()), ("csrf", own.as_str())],
    ] {
        refused(&client.send(create, fields));
    }
    for header in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "none"),
    ] {
        let mut forged = Client::at(&node.url).with(header.0, header.1);
        forged.cookie.clone_from(&client.cookie);
        refused(&forged.send(create, &[("csrf", &own)]));
        // Neither is a login begun elsewhere.
        let planted = Client::at(&node.url).with(header.0, header.1);
        refused(&planted.send("/admin/login", &[("password", PASSWORD)]));
    }
    assert_eq!(backups(&node), 0);
    let made = client.post(create, &[]);
    assert!(made.status == 303 && made.header("location").starts_with("/admin/jobs/"));
    crate::support::wait_for("the backup", || (backups(&node) == 1).then_some(()));
}

#[test]
fn something_that_is_no_form_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let body = serde_json::json!({"password": PASSWORD});
    let answer = node.post_with("/admin/login", &[("origin", &node.url)], &body);
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.header("set-cookie").is_empty());
}

#[test]
fn a_cookie_that_comes_twice_counts_for_nothing() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let mut client = Client::logged_in(&node, PASSWORD);
    let cookie = client.cookie.clone().unwrap();
    client.cookie = Some(format!("__Host-ksnode=planted; {cookie}"));
    assert!(!client.is_in());
    client.cookie = Some(format!("another=1; {cookie}; more=2"));
    assert!(client.is_in());
}

#[test]
fn a_restore_asks_for_the_password_and_the_name() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let mut client = Client::logged_in(&node, PASSWORD);
    let body = serde_json::json!({"password": PASSWORD});
    let made = node.post_open("/pg_dump/v1/backup", &body).data();
    let history = node.get("/pg_dump/v1").data();
    let id = history[0]["dumpId"]
        .as_str()
        .or(history[0]["dump_id"].as_str())
        .unwrap();
    let path = made["dumpPath"].as_str().unwrap();
    let (_, name) = path.rsplit_once('/').unwrap();
    let restore = format!("/admin/backups/{id}/restore");
    for (password, confirm, said) in [
        ("", name, "The password is wrong"),
        ("wrong", name, "The password is wrong"),
        (PASSWORD, "", "to confirm"),
        (PASSWORD, "another", "to confirm"),
    ] {
        let answer = client.post(&restore, &[("password", password), ("confirm", confirm)]);
        assert_eq!(answer.header("location"), "/admin/backups", "{answer:?}");
        let page = client.get("/admin/backups").text;
        assert!(page.contains(said), "{page}");
        assert_eq!(backups(&node), 1);
    }
    let fields = [("password", PASSWORD), ("confirm", name)];
    let answer = client.post(&restore, &fields);
    assert!(
        answer.header("location").starts_with("/admin/jobs/"),
        "{answer:?}"
    );
    // Today's data was saved before.
    crate::support::wait_for("the safety backup", || (backups(&node) == 2).then_some(()));
    assert_eq!(client.get(answer.header("location")).status, 200);
}
