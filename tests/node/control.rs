//! The control socket of a running node, and `ksnode status`, which asks over it.

use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::support::{Setup, register_body, token, wait_for};

/// What the node says to these bytes, line by line.
fn say(socket: &Path, bytes: &[u8]) -> Vec<Value> {
    let mut stream = UnixStream::connect(socket).unwrap();
    // The node may cut what it does not want to read to its end.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8(answer).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[track_caller]
fn text(output: &Output, code: i32) -> String {
    let (said, printed) = (
        String::from_utf8_lossy(&output.stderr),
        String::from_utf8_lossy(&output.stdout),
    );
    assert_eq!(output.status.code(), Some(code), "{said}{printed}");
    printed.into_owned()
}

#[track_caller]
fn document(output: &Output, code: i32) -> Value {
    serde_json::from_str(&text(output, code)).unwrap()
}

#[test]
fn the_socket_is_private_and_goes_with_the_node() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let socket = setup.data("control.sock");
    let node = setup.start();
    let found = socket.symlink_metadata().unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert!(node.stop().success());
    assert!(!socket.exists());
}

#[test]
fn a_killed_nodes_socket_is_replaced() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let socket = setup.data("control.sock");
    setup.start().kill();
    assert!(socket.exists());
    assert!(text(&setup.run(&["status"]), 3).starts_with("not running"));
    let node = setup.start();
    let status = document(&setup.run(&["status", "--json"]), 0);
    assert_eq!(status["node"]["process"], node.child.id());
    // A second node that is refused does not take it away from the first.
    setup.fail();
    text(&setup.run(&["status"]), 0);
}

#[test]
fn status_tells_how_the_node_is() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .data();
    let public = node.get("/status").json();
    let status = document(&setup.run(&["status", "--json"]), 0);
    assert_eq!(
        (&status["running"], &status["well"], &status["problems"]),
        (&json!(true), &json!(true), &json!([]))
    );
    let told = &status["node"];
    for (name, same) in [
        ("version", "version"),
        ("git_hash", "git_hash"),
        ("launched", "launch_time"),
        ("public_key", "ks_node_public_key"),
    ] {
        assert_eq!(told[name], public[same], "{name}");
    }
    assert_eq!(told["process"], node.child.id());
    assert_eq!(told["listen"], json!([node.address()]));
    assert_eq!(
        format!("http://{}", told["ops_listen"].as_str().unwrap()),
        node.ops
    );
    let mut shares = told["key_shares"].as_array().unwrap().clone();
    shares.sort_by_key(|count| count["curve"].to_string());
    assert_eq!(
        shares,
        [
            json!({"provider": "telegram", "curve": "ed25519", "shares": 1}),
            json!({"provider": "telegram", "curve": "secp256k1", "shares": 1}),
        ]
    );
    assert!(told["database_bytes"].as_u64() > Some(0));
    assert!(told["uptime_seconds"].as_u64() < Some(60));
    assert!(told["requests"].as_u64() >= Some(2), "{told}");
    assert_eq!(told["failures"], 0);
    assert!(told["memory_bytes"].as_u64() > Some(1 << 20), "{told}");
    let _open = node.connect();
    wait_for("the connection to be counted", || {
        let status = document(&setup.run(&["status", "--json"]), 0);
        (status["node"]["connections"] == 1).then_some(())
    });
    let page = text(&setup.run(&["status"]), 0);
    for part in ["running: ksnode", node.address(), "2 (telegram", "\nwell\n"] {
        assert!(page.contains(part), "{part:?} is missing: {page}");
    }
}

#[test]
fn status_of_a_stopped_node_touches_nothing() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let page = text(&setup.run(&["status"]), 3);
    assert!(
        page.starts_with("not running: no node answers at"),
        "{page}"
    );
    let status = document(&setup.run(&["status", "--json"]), 3);
    assert_eq!(
        (&status["running"], &status["well"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(home.path().read_dir().unwrap().count(), 0);
}

#[test]
fn garbage_is_answered_and_hurts_nobody() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    let socket = setup.data("control.sock");
    for (bytes, expected) in [
        (
            b"GET /status HTTP/1.1\r\n\r\n".to_vec(),
            "does not understand",
        ),
        (b"{\"ask\":\"obey\"}\n".to_vec(), "does not understand"),
        (b"\0\xff\n".to_vec(), "does not understand"),
        (
            b"{\"ask\":\"backup-verify\",\"path\":\"here.db\"}\n".to_vec(),
            "must be absolute",
        ),
        (vec![b'['; 1 << 20], "more than"),
    ] {
        let events = say(&socket, &bytes);
        assert_eq!(events.len(), 1, "{events:?}");
        assert_eq!(events[0]["event"], "failed");
        let message = events[0]["message"].as_str().unwrap();
        assert!(message.contains(expected), "{message}");
    }
    let events = say(&socket, b"{\"ask\":\"status\"}\n");
    let last = events.last().unwrap();
    assert_eq!(last["event"], "done");
    assert_eq!(last["answer"]["process"], node.child.id());
    assert_eq!(node.get("/").status, 200);
}

#[test]
fn a_data_folder_too_deep_for_a_socket() {
    let home = tempfile::tempdir().unwrap();
    let deep = home.path().join("d".repeat(120));
    let setup = Setup::new(home.path()).env("KSNODE_DATA_DIR", deep.to_str().unwrap());
    let output = setup.fail();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    for part in ["data_dir", deep.to_str().unwrap(), "too long", "shorter"] {
        assert!(said.contains(part), "{part:?} is missing: {said}");
    }
    assert!(!deep.join("ksnode.db").exists());
}

#[test]
fn what_is_no_socket_is_not_removed() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    assert!(setup.start().stop().success());
    let path = setup.data("control.sock");
    std::fs::write(&path, "notes").unwrap();
    let output = setup.fail();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("is not a socket; move it away"), "{said}");
    assert_eq!(std::fs::read(&path).unwrap(), b"notes");
    std::fs::remove_file(path).unwrap();
    setup.start();
}

/// Only root can become somebody else, so only root can try this.
#[cfg(target_os = "linux")]
#[test]
fn another_user_is_refused_whatever_the_modes_are() {
    use rustix::process::{Uid, geteuid};
    if !geteuid().is_root() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    let socket = setup.data("control.sock");
    let private = socket.clone();
    let as_nobody = |task: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::spawn(move || {
            let nobody = Some(Uid::from_raw(65_534));
            rustix::thread::set_thread_res_uid(None::<Uid>, nobody, None::<Uid>).unwrap();
            task();
        });
        thread.join().unwrap();
    };
    as_nobody(Box::new(move || {
        let error = UnixStream::connect(private).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    }));
    // Somebody opens everything up.
    let mut folder = socket.as_path();
    while folder != home.path().parent().unwrap() {
        std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
        folder = folder.parent().unwrap();
    }
    as_nobody(Box::new(move || {
        let events = say(&socket, b"{\"ask\":\"status\"}\n");
        assert_eq!(events.len(), 1);
        let message = events[0]["message"].as_str().unwrap();
        assert!(
            message.contains("only the user that runs the node"),
            "{message}"
        );
    }));
    node.logs("another user asked");
}
