//! A backup in the place of today's data.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{PASSWORD, backup, folder, history, register, setup};
use crate::support::{Answer, Node, get_body, share, token};

fn restore(node: &Node, dump_path: impl Into<Value>) -> Answer {
    let body = json!({"password": PASSWORD, "dump_path": dump_path.into()});
    node.post_open("/pg_dump/v1/restore", &body)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn file(made: &Value) -> PathBuf {
    made["dumpPath"].as_str().unwrap().into()
}

/// Asserts that the node has the shares of these users and of nobody else up to 9.
#[track_caller]
fn holds(node: &Node, users: std::ops::RangeInclusive<u64>) {
    for user in 1..=9 {
        let answer = node.post("/keyshare/v2", &token(user), &get_body(user));
        if users.contains(&user) {
            let kept = answer.data()["secp256k1"]["share"].clone();
            assert_eq!(kept, share("secp256k1", user));
        } else {
            answer.refused(404, "USER_NOT_FOUND");
        }
    }
}

#[test]
fn it_names_its_backup_in_three_ways() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    register(&node, 1..=2);
    let made = backup(&node);
    let path = file(&made);
    let name = path.file_name().unwrap().to_str().unwrap();
    let container = format!("/home/node/key_share_node/dump/{name}");
    for (new, named) in [(3, name), (4, text(&path)), (5, &container)] {
        register(&node, new..=new);
        let restored = restore(&node, named).data();
        assert_eq!(restored["dump_path"], named);
        let changes = &restored["changes"];
        for (field, number) in [
            ("users_before", 3),
            ("users_after", 2),
            ("shares_before", 6),
            ("shares_after", 4),
        ] {
            assert_eq!(changes[field], number, "{field}: {restored}");
        }
        let moment = |field: &str| changes[field].as_str().unwrap().to_owned();
        assert!(
            moment("last_change_after") <= moment("taken_at"),
            "{restored}"
        );
        assert!(
            moment("taken_at") <= moment("last_change_before"),
            "{restored}"
        );
        let safety = PathBuf::from(moment("safety_backup"));
        assert_eq!(safety.parent(), Some(folder(home.path()).as_path()));
        assert!(safety.is_file() && safety != path, "{restored}");
        assert_eq!(changes["safety_backup_error"], Value::Null);
        holds(&node, 1..=2);
        let listed = history(&node);
        let listed = |path: &Path| {
            let mut items = listed.iter();
            items.any(|item| item["dump_path"] == text(path) && item["status"] == "COMPLETED")
        };
        assert!(listed(&safety), "{safety:?} is not in the history");
    }
    // What was replaced is not lost.
    register(&node, 6..=6);
    let restored = restore(&node, name).data();
    let safety = restored["changes"]["safety_backup"].as_str().unwrap();
    assert_eq!(restore(&node, safety).data()["changes"]["users_after"], 3);
    node.post("/keyshare/v2", &token(6), &get_body(6)).data();
    assert!(node.stop().success());
    let node = setup(home.path()).start();
    node.post("/keyshare/v2", &token(6), &get_body(6)).data();
}

#[test]
fn a_path_is_a_text() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    for path in ["/pg_dump/v1/restore", "/pg_dump/v1/restore/"] {
        let absent = node.post_open(path, &json!({"password": PASSWORD}));
        absent.refused(400, "INVALID_DUMP_PATH");
        for bad in [
            json!(null),
            json!(""),
            json!(7),
            json!(true),
            json!(["a"]),
            json!({}),
        ] {
            let body = json!({"password": PASSWORD, "dump_path": bad});
            let answer = node.post_open(path, &body);
            answer.refused(400, "INVALID_DUMP_PATH");
        }
    }
}

#[test]
fn nothing_outside_the_backup_folder_is_looked_at() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    register(&node, 1..=1);
    let path = file(&backup(&node));
    let outside = home.path().join("outside.db");
    std::fs::copy(&path, &outside).unwrap();
    let folder = folder(home.path());
    let linked = |name: &str, to: &Path| {
        std::os::unix::fs::symlink(to, folder.join(name)).unwrap();
    };
    linked("link-out.db", &outside);
    linked("link-out", home.path());
    linked("link-in.db", &path);
    let escaping = format!("{}/../outside.db", text(&folder));
    for named in [
        text(&outside),
        "../outside.db",
        &escaping,
        "/home/node/key_share_node/dump/../../outside.db",
        "/home/node/key_share_node/outside.db",
        "/etc/passwd",
        "/proc/self/environ",
        "..",
        "/",
        "link-out.db",
        "link-out/outside.db",
        "link-in.db",
    ] {
        let answer = restore(&node, named);
        answer.refused(400, "INVALID_DUMP_PATH");
    }
    holds(&node, 1..=1);
}

#[test]
fn what_is_not_there_or_no_file_is_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let path = file(&backup(&node));
    let absent = path.with_file_name("absent.db");
    for named in [
        "absent.db",
        text(&absent),
        "/home/node/key_share_node/dump/absent.db",
    ] {
        let message = restore(&node, named).refused(400, "DUMP_FILE_NOT_FOUND");
        assert!(message.contains("absent.db"), "{message}");
    }
    let inner = path.with_file_name("a-folder");
    std::fs::create_dir(&inner).unwrap();
    for named in ["a-folder", text(&inner), text(inner.parent().unwrap())] {
        restore(&node, named).refused(400, "INVALID_DUMP_FILE");
    }
}

#[test]
fn what_may_not_be_read_is_told_apart() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start_bound_by_modes();
    register(&node, 1..=1);
    let path = file(&backup(&node));
    let mode = |mode: u32| {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    };
    mode(0o000);
    let message = restore(&node, text(&path)).refused(400, "DUMP_FILE_ACCESS_ERROR");
    assert!(message.contains("permission denied"), "{message}");
    holds(&node, 1..=1);
    mode(0o600);
    restore(&node, text(&path)).data();
    holds(&node, 1..=1);
}

#[test]
fn what_is_no_backup_of_this_node_changes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    register(&node, 1..=2);
    let path = file(&backup(&node));
    let good = std::fs::read(&path).unwrap();
    let mut flipped = good.clone();
    let middle = good.len() / 2;
    // The last byte of a page belongs to a row or to an entry of an index.
    for page in flipped.chunks_mut(4096) {
        *page.last_mut().unwrap() ^= 1;
    }
    let other_home = tempfile::tempdir().unwrap();
    let other = setup(other_home.path()).start();
    let others = std::fs::read(file(&backup(&other))).unwrap();
    for (name, bytes) in [
        ("truncated.db", &good[..middle]),
        ("flipped.db", &flipped),
        ("empty.db", &[]),
        ("text.db", b"not a database"),
        ("others.db", &others),
    ] {
        std::fs::write(path.with_file_name(name), bytes).unwrap();
        let answer = restore(&node, name);
        let message = answer.refused(500, "PG_RESTORE_FAILED");
        // It names the file, and no folder.
        assert!(message.contains(name), "{message}");
        assert!(!message.contains(text(home.path())), "{message}");
        node.logs(answer.header("x-request-id"));
        holds(&node, 1..=2);
    }
    assert_eq!(node.get("/status").json()["is_db_connected"], true);
}
