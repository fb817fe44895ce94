//! A node under a service manager. The test is the manager: it has the socket that the node tells things to, keeps the
//! sockets that the node gives it, and passes them on at the next start, as sd_notify(3) and sd_listen_fds(3) have it.

mod daemon;
mod manager;
mod stop;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::operator::{document, printed, refused};
use crate::support::{Setup, database, register_body, token, wait_for};
use manager::Manager;

/// A node at an address of its own, which is the same at its next start.
pub fn settled(home: &Path) -> Setup {
    let free = || {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    };
    let (api, ops) = (free(), free());
    Setup::new(home)
        .listen(&api.to_string())
        .env("KSNODE_OPS__LISTEN", &ops.to_string())
}

/// A request that is sent and not answered yet.
fn ask(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
        .unwrap();
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_manager_is_told_when_the_node_serves_and_when_it_ends() {
    let home = tempfile::tempdir().unwrap();
    let mut manager = Manager::new(home.path());
    let node = manager.start(&settled(home.path()));
    manager.hears("READY=1");
    assert_eq!(node.get("/").text, "Ok");
    // In brief what `ksnode status` says.
    let status = manager.hears("STATUS=well: serving 127.0.0.1:");
    assert!(status.contains("0 key shares, backup none yet"), "{status}");
    node.signal(Signal::HUP);
    let reloading = manager.hears("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    assert_eq!(manager.hears("READY=1"), "READY=1\n");
    assert_eq!(node.stop().code(), Some(0));
    manager.hears("STOPPING=1");
}

#[test]
fn clients_wait_while_a_node_is_restarted() {
    let home = tempfile::tempdir().unwrap();
    let setup = settled(home.path());
    let mut manager = Manager::new(home.path());
    let mut node = manager.start(&setup);
    let mut waiting = Vec::new();
    // More restarts than a manager would keep sockets, if each left some behind.
    for round in 0..4 {
        assert_eq!(manager.kept(), 2, "round {round}");
        let address = node.address().to_owned();
        assert_eq!(node.stop().code(), Some(0));
        waiting.extend((0..20).map(|_| ask(&address)));
        node = manager.start(&setup);
        assert_eq!(node.address(), address);
        node.logs("kept by the service manager since the last run");
        for stream in waiting.drain(..) {
            let text = answer(stream);
            assert!(
                text.starts_with("HTTP/1.1 200") && text.ends_with("Ok"),
                "{text}"
            );
        }
    }
    // A node that was killed is no other than one that was stopped.
    let address = node.address().to_owned();
    node.kill();
    let stream = ask(&address);
    let _node = manager.start(&setup);
    assert!(answer(stream).ends_with("Ok"));
}

#[test]
fn another_configuration_is_obeyed_and_leaves_nothing_behind() {
    let home = tempfile::tempdir().unwrap();
    let mut manager = Manager::new(home.path());
    let setup = settled(home.path());
    let node = manager.start(&setup);
    let old = node.address().to_owned();
    let port = old.rsplit(':').next().unwrap().to_owned();
    assert_eq!(node.stop().code(), Some(0));
    // The new address overlaps the old one: as long as that socket is open anywhere, this one cannot be had.
    let setup = setup.listen(&format!("0.0.0.0:{port}"));
    let node = manager.start(&setup);
    node.logs("fits no address of the configuration and is closed");
    manager.hears("FDSTOREREMOVE=1");
    assert_eq!(manager.kept(), 2);
    assert!(answer(ask(&old)).ends_with("Ok"));
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_socket_unit_that_says_something_else_is_warned_of() {
    let home = tempfile::tempdir().unwrap();
    let mut manager = Manager::new(home.path());
    let unit = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = unit.local_addr().unwrap();
    manager.pass("api", unit.into());
    let setup = Setup::new(home.path()).listen("127.0.0.1:4299");
    let node = manager.start(&setup);
    assert_eq!(node.address(), at.to_string());
    node.logs("takes the place of server.listen, which names another address");
    let logged = node.logged();
    let warning = logged
        .lines()
        .find(|line| line.contains("names another address"));
    let warning = warning.unwrap();
    for part in ["WARN", "127.0.0.1:4299", &at.to_string()] {
        assert!(warning.contains(part), "{part:?} is missing: {warning}");
    }
    // The unit's socket is not the node's to give away.
    assert_eq!(manager.kept(), 0);
}

#[test]
fn a_sign_of_life_needs_a_writer_that_answers() {
    let home = tempfile::tempdir().unwrap();
    let mut manager = Manager::new(home.path()).watchdog(Duration::from_millis(1500));
    let setup = settled(home.path());
    let node = manager.start(&setup);
    manager.hears("WATCHDOG=1");
    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .data();
    // A backup and a restore are no silence.
    let made = document(&setup.run(&["backup", "create", "--json"]));
    let path = made["backup"]["path"].as_str().unwrap().to_owned();
    printed(&setup.run(&["restore", &path, "--yes"]));
    manager.forget();
    manager.hears("WATCHDOG=1");
    // Nobody but the writer waits for a lock of the database; five seconds, until it answers with an error. Until the whole
    // interval is over there are signs, and none from then on.
    let other = database(home.path());
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    node.logs("the writer of the database has not answered for so long");
    other.execute_batch("ROLLBACK").unwrap();
    manager.forget();
    manager.hears("WATCHDOG=1");
    assert_eq!(node.stop().code(), Some(0));
}

#[test]
fn a_node_of_a_service_manager_is_stopped_there() {
    let home = tempfile::tempdir().unwrap();
    let mut manager = Manager::new(home.path());
    let setup = settled(home.path());
    let mut node = manager.start(&setup);
    refused(
        &setup.run(&["stop"]),
        1,
        &["a service manager runs this node", "systemctl ", "stop "],
    );
    assert!(node.child.try_wait().unwrap().is_none());
    let status = document(&setup.run(&["status", "--json"]));
    assert!(status["node"]["service"].is_object(), "{status}");
    assert_eq!(node.stop().code(), Some(0));
    wait_for("the node's end", || {
        manager.has_heard("STOPPING=1").then_some(())
    });
}
