//! What the audit log says of who came in and what changed of it.

use super::*;

/// The entries, oldest first: what was done and how it ended, by whom, and the detail.
fn entries(setup: &Setup) -> Vec<(String, String, String)> {
    let list = setup.run(&["audit", "list", "--days", "1", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let text = |entry: &serde_json::Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let entries = list["entries"].as_array().unwrap().iter().rev();
    entries
        .map(|entry| {
            let what = format!("{} {}", text(entry, "action"), text(entry, "outcome"));
            (what, text(entry, "actor"), text(entry, "detail"))
        })
        .filter(|(what, ..)| {
            ["login", "logout", "session", "password", "second"]
                .iter()
                .any(|word| what.starts_with(word))
        })
        .collect()
}

#[test]
fn logins_and_changes_of_the_access_are_entries_and_hold_no_secret() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    assert!(setup.run(&["init"]).status.success());
    commands::set_password(&setup, "first horse battery\n");
    let node = setup.start();
    Client::new(&node).login("no horse at all", "");
    let mut client = Client::logged_in(&node, "first horse battery");
    let other = Client::logged_in(&node, "first horse battery");
    client.post("/admin/account/sessions/revoke-others", &[]);
    assert!(!other.is_in());
    let new = "second horse battery";
    let fields = [
        ("password", "first horse battery"),
        ("new", new),
        ("again", new),
    ];
    client.post("/admin/account/password", &fields);
    factor::enrol(&mut client, new);
    client.post("/admin/logout", &[]);
    setup.run(&["admin", "reset-totp"]);
    commands::set_password(&setup, "third horse battery\n");
    let entries = entries(&setup);
    let done: Vec<&str> = entries.iter().map(|(what, ..)| what.as_str()).collect();
    assert_eq!(
        done,
        [
            "password-set done",
            "login failed",
            "login done",
            "login done",
            "session-end done",
            "password-set done",
            "second-factor-set done",
            "logout done",
            "second-factor-reset done",
            "password-set done",
        ]
    );
    let by = |at: usize| entries[at].1.as_str();
    assert!(by(0).starts_with("a command of user") && by(9).starts_with("a command of user"));
    assert_eq!(by(1), "the admin page from 127.0.0.1");
    assert!(by(2).starts_with("the admin page from 127.0.0.1, session "));
    // One actor from the login to its end, but for the session that the new password began.
    assert!(by(2) == by(4) && by(4) == by(5) && by(6) == by(7) && by(5) != by(6));
    let all = format!("{entries:?}");
    assert!(!all.contains("horse"), "{all}");
    let verified = setup.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn what_changes_nothing_is_no_entry_and_ends_no_session() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    let mut client = Client::logged_in(&node, PASSWORD);
    let other = Client::logged_in(&node, PASSWORD);
    for (what, told) in [
        ("drop", "There was no second factor"),
        ("codes", "There is no second factor"),
    ] {
        let path = format!("/admin/account/second-factor/{what}");
        let answer = client.post(&path, &[("password", PASSWORD)]);
        assert_eq!(answer.header("location"), "/admin/account");
        let page = client.get("/admin/account").text;
        assert!(page.contains(told), "{page}");
    }
    setup.run(&["admin", "reset-totp"]);
    assert!(client.is_in() && other.is_in());
    for session in [&client, &other] {
        setup.run(&["admin", "sessions", "--revoke-all"]);
        assert!(!session.is_in());
    }
    let entries = entries(&setup);
    let done: Vec<&str> = entries.iter().map(|(what, ..)| what.as_str()).collect();
    assert_eq!(done, ["login done", "login done", "session-end done"]);
}
