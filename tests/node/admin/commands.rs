//! `ksnode admin`.

use std::io::Write;
use std::process::{Output, Stdio};

use super::*;

/// Runs `admin set-password --stdin` and types this.
pub fn set_password(setup: &Setup, typed: &str) -> Output {
    let mut command = setup.command();
    command.args(["admin", "set-password", "--stdin"]);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that refuses before it reads has closed it.
    let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn a_password_is_set_beside_a_running_node_and_without_one() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let none = set_password(&setup, "first horse battery\n");
    assert!(
        !none.status.success() && said(&none).contains("ksnode init"),
        "{none:?}"
    );
    assert!(setup.run(&["init"]).status.success());
    let set = set_password(&setup, "first horse battery\n");
    assert!(set.status.success(), "{set:?}");
    assert!(!setup.data("initial-admin-password").exists());

    let node = setup.start();
    let client = Client::logged_in(&node, "first horse battery");
    let short = set_password(&setup, "short\n");
    assert!(
        !short.status.success() && said(&short).contains("at least 12"),
        "{short:?}"
    );
    assert!(client.is_in());
    let set = set_password(&setup, "second horse battery\r\n");
    assert_eq!(said(&set), "the password was set; sessions ended: 1\n");
    assert!(!client.is_in());
    let login = |password: &str| Client::new(&node).login(password, "").status;
    assert_eq!(
        (login("first horse battery"), login("second horse battery")),
        (403, 303)
    );
    let asked = setup.run(&["admin", "set-password"]);
    assert!(
        !asked.status.success() && said(&asked).contains("--stdin"),
        "{asked:?}"
    );
}

#[test]
fn a_configured_password_is_not_set_by_a_command() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    let client = Client::logged_in(&node, PASSWORD);
    let refused = set_password(&setup, "another horse battery\n");
    assert!(!refused.status.success(), "{refused:?}");
    assert!(
        said(&refused).contains("admin.password_file"),
        "{refused:?}"
    );
    assert!(client.is_in() && !setup.data("admin-password-hash").exists());
}

/// The service's environment has it, and that of the command does not.
#[test]
fn a_password_that_the_node_alone_knows_to_be_configured_is_not_set_by_a_command() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let client = Client::logged_in(&node, PASSWORD);
    let setup = Setup::new(home.path());
    let refused = set_password(&setup, "another horse battery\n");
    assert!(
        !refused.status.success() && said(&refused).contains("admin.password_file"),
        "{refused:?}"
    );
    assert!(client.is_in() && !setup.data("admin-password-hash").exists());
}

#[test]
fn a_second_factor_that_there_is_not_is_not_taken_away() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let node = setup.start();
    let client = Client::logged_in(&node, PASSWORD);
    let none = "there was no second factor\n";
    assert_eq!(said(&setup.run(&["admin", "reset-totp"])), none);
    assert!(client.is_in());
    node.stop();
    assert_eq!(said(&setup.run(&["admin", "reset-totp"])), none);
}

#[test]
fn sessions_are_listed_and_ended() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path());
    let stopped = setup.run(&["admin", "sessions"]);
    assert!(
        !stopped.status.success() && said(&stopped).contains("does not run"),
        "{stopped:?}"
    );
    let node = setup.start();
    assert_eq!(
        said(&setup.run(&["admin", "sessions"])),
        "nobody is logged in\n"
    );
    let agent = Client::new(&node).with("user-agent", "a browser of mine");
    let clients = [agent, Client::new(&node), Client::new(&node)].map(|mut client| {
        assert_eq!(client.login(PASSWORD, "").status, 303);
        client
    });
    let listed = setup.run(&["admin", "sessions", "--json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let listed = listed["sessions"].as_array().unwrap();
    assert!(
        listed.len() == 3
            && listed
                .iter()
                .all(|session| session["address"] == "127.0.0.1")
    );
    // The newest first.
    let id = listed[2]["id"].as_str().unwrap();
    assert_eq!(
        said(&setup.run(&["admin", "sessions", "--revoke", id])),
        "sessions ended: 1\n"
    );
    assert_eq!(
        [0, 1, 2].map(|at: usize| clients[at].is_in()),
        [false, true, true]
    );
    let again = setup.run(&["admin", "sessions", "--revoke", id]);
    assert!(
        !again.status.success() && said(&again).contains("no session"),
        "{again:?}"
    );
    assert_eq!(
        said(&setup.run(&["admin", "sessions", "--revoke-all"])),
        "sessions ended: 2\n"
    );
    assert!(clients.iter().all(|client| !client.is_in()));
    // Nothing of a session's token is told.
    let cookie = clients[0].cookie.as_ref().unwrap();
    assert!(!node.logged().contains(&cookie[14..]));
}
