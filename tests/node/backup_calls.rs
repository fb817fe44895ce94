//! Every sentence of api.md's "Backups".

mod history;
mod limit;
mod restore;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Answer, Node, Setup, agent, register_body, token, wait_for};
use crate::wire::{Wire, post_bytes, race};

const PASSWORD: &str = "correct horse";

/// The calls that want the password.
const GUARDED: [&str; 6] = [
    "/pg_dump/v1",
    "/pg_dump/v1/",
    "/pg_dump/v1/backup",
    "/pg_dump/v1/backup/",
    "/pg_dump/v1/restore",
    "/pg_dump/v1/restore/",
];

/// A node whose administrator has [`PASSWORD`] and whose backups are in [`folder`].
fn setup(home: &Path) -> Setup {
    Setup::new(home)
        .env("KSNODE_ADMIN__PASSWORD", PASSWORD)
        .env("KSNODE_BACKUP__DIR", folder(home).to_str().unwrap())
}

fn folder(home: &Path) -> PathBuf {
    home.join("the-backups")
}

/// Makes a backup.
#[track_caller]
fn backup(node: &Node) -> Value {
    let body = json!({"password": PASSWORD});
    node.post_open("/pg_dump/v1/backup", &body).data()
}

/// The whole history.
#[track_caller]
fn history(node: &Node) -> Vec<Value> {
    let history = node.get("/pg_dump/v1/").data();
    history.as_array().unwrap().clone()
}

/// Users 1 to `last`, registered.
fn register(node: &Node, users: std::ops::RangeInclusive<u64>) {
    for user in users {
        node.post("/keyshare/v2/register", &token(user), &register_body(user))
            .data();
    }
}

fn send_empty(node: &Node, path: &str) -> Answer {
    let request = agent().post(format!("{}{path}", node.url));
    Answer::from(request.send_empty().unwrap())
}

#[test]
fn a_call_without_a_password_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    for path in GUARDED {
        let required = |answer: &Answer| {
            let message = answer.refused(401, "UNAUTHORIZED");
            assert_eq!(message, "Admin password is required", "{path}");
        };
        required(&send_empty(&node, path));
        for body in [
            json!({}),
            json!({"password": null}),
            json!({"password": ""}),
            json!({"password": 7}),
            json!({"password": 1.5}),
            json!({"password": true}),
            json!({"password": [PASSWORD]}),
            json!({"password": {"password": PASSWORD}}),
            json!({"Password": PASSWORD, "passwords": PASSWORD}),
            json!({"dump_path": 7, "days": "x"}),
        ] {
            required(&node.post_open(path, &body));
        }
        // Nor is it taken from elsewhere.
        required(&node.post(path, PASSWORD, &json!({})));
        required(&node.post_open(
            &format!("{path}?password={PASSWORD}").replace(' ', "%20"),
            &json!({}),
        ));
    }
}

#[test]
fn a_wrong_password_is_refused_before_anything_else() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    for path in GUARDED {
        for wrong in [
            "correct",
            "correct horse ",
            "correct horse\n",
            "Correct horse",
            "correct horse battery",
            " ",
            "\u{0}",
            &"x".repeat(90_000),
        ] {
            for more in [json!("absent"), json!(null), json!(7), json!({})] {
                let body = json!({"password": wrong, "dump_path": more, "days": more});
                let answer = node.post_open(path, &body);
                let message = answer.refused(401, "UNAUTHORIZED");
                assert_eq!(message, "Invalid admin password", "{path}");
            }
        }
    }
    let answer = node.post_open("/pg_dump/v1", &json!({"password": "hunter2"}));
    // The log tells who tried, and not what.
    let id = answer.header("x-request-id");
    let refused = |line: &&str| line.contains(id) && line.contains("password is wrong");
    wait_for("the log", || {
        node.logged().lines().find(refused).map(|_| ())
    });
    assert!(!node.logged().contains("hunter2") && !node.logged().contains(PASSWORD));
    // Nothing was made.
    assert!(
        !folder(home.path()).exists() || folder(home.path()).read_dir().unwrap().next().is_none()
    );
}

#[test]
fn a_body_is_an_object_of_json() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let post = |path: &str, media_type: &str, body: &[u8]| {
        let url = format!("{}{path}", node.url);
        let request = agent().post(url).header("content-type", media_type);
        Answer::from(request.send(body).unwrap())
    };
    let deep = "[".repeat(50_000);
    let nested = format!("{{\"password\":{}", "{\"a\":".repeat(10_000));
    let twice = r#"{"password":"a","password":"b","days":1,"days":2}"#;
    let history = ["/pg_dump/v1/get_backup_history"];
    for path in GUARDED.into_iter().chain(history) {
        for body in [
            " ",
            "{",
            "nonsense",
            "\"text\"",
            "null",
            "7",
            "[]",
            "[{}]",
            "{} {}",
            "{\"password\":}",
            "{'password':'a'}",
            "{\"a\":1,}",
            twice,
            &deep,
            &nested,
        ] {
            let answer = post(path, "application/json", body.as_bytes());
            let message = answer.refused(400, "INVALID_REQUEST");
            assert!(!message.contains("serde"), "{message}");
        }
        post(path, "text/plain", b"{}").refused(415, "INVALID_REQUEST");
        let large = format!("{{\"password\":\"{}\"}}", "x".repeat(200_000));
        post(path, "application/json", large.as_bytes()).refused(413, "INVALID_REQUEST");
    }
    assert_eq!(node.get("/").text, "Ok");
}

#[test]
fn the_password_that_was_made_at_the_first_start_is_the_one() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    let first = setup.data("initial-admin-password");
    let made = std::fs::read_to_string(&first).unwrap();
    let body = |password: &str| json!({"password": password});
    node.post_open("/pg_dump/v1/restore", &body(PASSWORD))
        .refused(401, "UNAUTHORIZED");
    assert!(first.exists());
    // Its first right use, whatever comes of the call, takes it away from where it lies in clear.
    let right = |node: &Node| {
        node.post_open("/pg_dump/v1/restore", &body(made.trim_end()))
            .refused(400, "INVALID_DUMP_PATH");
        assert!(!first.exists());
    };
    right(&node);
    right(&node);
    // Nor is another one made: what is kept is its hash.
    assert!(node.stop().success());
    let node = setup.start();
    assert!(!node.printed.contains("admin password"));
    right(&node);
    let kept = std::fs::read_to_string(setup.data("admin-password-hash")).unwrap();
    assert!(kept.starts_with("$argon2id$") && !kept.contains(made.trim_end()));
}

#[test]
fn many_passwords_at_once_keep_nobody_else_waiting() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    let made = std::fs::read_to_string(setup.data("initial-admin-password")).unwrap();
    let ask =
        |password: &str| node.post_open("/pg_dump/v1/restore", &json!({"password": password}));
    std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..64)
            .map(|number| scope.spawn(move || ask(&format!("guess {number}")).status))
            .collect();
        for _ in 0..20 {
            assert_eq!(node.get("/").text, "Ok");
        }
        for guess in guesses {
            let status = guess.join().unwrap();
            assert!(matches!(status, 401 | 503), "{status}");
        }
    });
    ask(made.trim_end()).refused(400, "INVALID_DUMP_PATH");
}

#[test]
fn each_path_has_its_methods() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let asked = |method: &str, path: &str| {
        let request = format!("{method} {path} HTTP/1.1\r\nhost: n\r\ncontent-length: 0\r\n\r\n");
        Wire::to(&node).send(request).answer()
    };
    for slash in ["", "/", "?days=7"] {
        for method in ["PUT", "PATCH", "DELETE", "TRACE", "BREW"] {
            let answer = asked(method, &format!("/pg_dump/v1{slash}"));
            answer.refused(405, "INVALID_REQUEST");
            let allow = answer.header("allow");
            assert_eq!(allow, "GET, HEAD, POST, OPTIONS", "{answer:?}");
        }
        for call in ["backup", "get_backup_history", "restore"] {
            for method in ["GET", "PUT", "PATCH", "DELETE", "TRACE"] {
                let answer = asked(method, &format!("/pg_dump/v1/{call}{slash}"));
                answer.refused(405, "INVALID_REQUEST");
                assert_eq!(answer.header("allow"), "POST, OPTIONS", "{answer:?}");
            }
        }
    }
    for absent in [
        "/pg_dump",
        "/pg_dump/v2",
        "/pg_dump/v1/nowhere",
        "/pg_dump/v1/backup/x",
    ] {
        for method in ["GET", "POST"] {
            asked(method, absent).refused(404, "INVALID_REQUEST");
        }
    }
}

#[test]
fn a_backup_is_made_and_told_of() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    register(&node, 1..=2);
    let mut ids = Vec::new();
    for path in &GUARDED[..4] {
        let body = json!({"password": PASSWORD, "unknown": [1]});
        let made = node.post_open(path, &body).data();
        let mut fields: Vec<&String> = made.as_object().unwrap().keys().collect();
        fields.sort_unstable();
        assert_eq!(fields, ["dumpDuration", "dumpId", "dumpPath", "dumpSize"]);
        let seconds = made["dumpDuration"].as_f64().unwrap();
        assert!((0.0..60.0).contains(&seconds), "{made}");
        let file = PathBuf::from(made["dumpPath"].as_str().unwrap());
        assert_eq!(file.parent(), Some(folder(home.path()).as_path()), "{made}");
        assert_eq!(made["dumpSize"], file.metadata().unwrap().len());
        ids.push(made["dumpId"].clone());

        let newest = history(&node).remove(0);
        assert_eq!(newest["status"], "COMPLETED");
        for (first, second) in [("dumpId", "dump_id"), ("dumpPath", "dump_path")] {
            assert_eq!(made[first], newest[second]);
        }
        for (first, second) in [("dumpSize", "dump_size"), ("dumpDuration", "dump_duration")] {
            assert_eq!(made[first], newest["meta"][second]);
        }
        let status = node.get("/status").json();
        assert_eq!(status["is_db_backup_checked"], true);
        assert_eq!(status["latest_backup_time"], newest["updated_at"]);
    }
    let listed: Vec<Value> = history(&node)
        .iter()
        .map(|item| item["dump_id"].clone())
        .collect();
    assert!(listed.iter().eq(ids.iter().rev()), "{listed:?} {ids:?}");
}

#[test]
fn backups_are_made_one_at_a_time() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    register(&node, 1..=50);
    let request = post_bytes("/pg_dump/v1/backup", "", &json!({"password": PASSWORD}));
    let answers = race(&node, &vec![request; 4]);
    let (made, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert!(!made.is_empty(), "{answers:?}");
    for answer in refused {
        let message = answer.refused(500, "PG_DUMP_FAILED");
        assert!(message.contains("under way"), "{message}");
    }
    let completed = history(&node);
    let completed = completed
        .iter()
        .filter(|item| item["status"] == "COMPLETED");
    assert_eq!(completed.count(), made.len());
}

#[test]
fn a_backup_is_finished_when_its_client_goes_away() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let mut wire = Wire::to(&node);
    wire.send(post_bytes(
        "/pg_dump/v1/",
        "",
        &json!({"password": PASSWORD}),
    ));
    wait_for("the backup to begin", || history(&node).first().map(|_| ()));
    drop(wire);
    wait_for("the backup", || {
        (history(&node)[0]["status"] == "COMPLETED").then_some(())
    });
}

#[test]
fn a_backup_that_cannot_be_made_says_so() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    backup(&node);
    let folder = folder(home.path());
    std::fs::rename(&folder, home.path().join("moved")).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let answer = node.post_open("/pg_dump/v1/", &json!({"password": PASSWORD}));
    let message = answer.refused(500, "PG_DUMP_FAILED");
    for inside in ["SQL", "sqlite", "src/", "os error"] {
        assert!(!message.contains(inside), "{message}");
    }
    node.logs(answer.header("x-request-id"));
    let newest = history(&node).remove(0);
    assert_eq!(newest["status"], "FAILED", "{newest}");
    assert!(
        !newest["meta"]["error"].as_str().unwrap().is_empty(),
        "{newest}"
    );
    assert_eq!(newest["meta"].get("dump_size"), None, "{newest}");
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], false);

    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(home.path().join("moved"), &folder).unwrap();
    backup(&node);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
}
