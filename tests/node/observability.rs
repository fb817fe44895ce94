//! What an operator sees of a running node: logs, metrics, health, reports to the network.

mod reports;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reports::reporting;
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::support::{Node, Setup, public_key, register_body, share, token, wait_for};
use crate::tls::post_insecurely;

/// The daily files in a folder, by name.
fn daily(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The log's record of the request with this id.
fn record(log: &Path, id: &str) -> Value {
    wait_for("the request's record", || {
        let text = std::fs::read_to_string(log).unwrap();
        let mut lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.find(|line| line["id"] == id && line["target"] == "ksnode::request")
    })
}

#[test]
fn daily_files_are_private_and_old_ones_go() {
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    for day in 1..=5 {
        std::fs::write(logs.join(format!("ksnode-2020-01-0{day}.log")), "old").unwrap();
    }
    std::fs::write(logs.join("notes.txt"), "the operator's own").unwrap();
    let node = Setup::new(home.path())
        .env("KSNODE_LOG__DIR", logs.to_str().unwrap())
        .env("KSNODE_LOG__KEEP_DAYS", "3")
        .start();
    let names = daily(&logs);
    assert_eq!(
        names[..2],
        ["ksnode-2020-01-04.log", "ksnode-2020-01-05.log"]
    );
    assert_eq!(names[3..], ["notes.txt"]);
    let today = &names[2];
    let day = today
        .strip_prefix("ksnode-")
        .unwrap()
        .strip_suffix(".log")
        .unwrap();
    assert!(day.starts_with("20") && day.len() == 10, "{today}");
    let path = logs.join(today);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    node.stop();
    assert!(std::fs::read_to_string(path).unwrap().contains("stopped"));
}

#[test]
fn a_request_is_logged_with_what_helps_and_nothing_that_identifies() {
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs");
    let node = Setup::new(home.path())
        .env("KSNODE_LOG__DIR", logs.to_str().unwrap())
        .env("KSNODE_LOG__FORMAT", "json")
        .start();
    let user = 771_234_567_890_123;
    let token = token(user);
    let body = register_body(user);
    let register = "/keyshare/v2/register";
    let asked = format!("{register}?who=q-string");
    let answers = [
        ("POST", register, 200, node.post(&asked, &token, &body)),
        ("POST", register, 409, node.post(register, &token, &body)),
        ("GET", "/status", 200, node.get("/status?token=q-string")),
        ("GET", "/absent", 404, node.get("/absent?q-string")),
    ];
    let log = logs.join(&daily(&logs)[0]);
    for (method, path, status, answer) in answers {
        assert_eq!(answer.status, status);
        let id = answer.header("x-request-id");
        assert!(!id.is_empty());
        assert_complete(
            &record(&log, id),
            &json!({"method": method, "path": path, "status": status}),
        );
    }
    let stderr = node.log.clone();
    node.stop();
    let file = std::fs::read_to_string(log).unwrap();
    let terminal = std::fs::read_to_string(stderr).unwrap();
    for line in file.lines().chain(terminal.lines()) {
        assert!(
            serde_json::from_str::<Value>(line).unwrap().is_object(),
            "{line}"
        );
    }
    let hash = serde_json::from_str::<Value>(&token).unwrap()["hash"].clone();
    let (key, share) = (public_key("ed25519", user), share("ed25519", user));
    for private in [
        "q-string",
        "771234567890123",
        hash.as_str().unwrap(),
        &key,
        &share,
    ] {
        assert!(
            !file.contains(private) && !terminal.contains(private),
            "{private}"
        );
    }
}

fn assert_complete(record: &Value, expected: &Value) {
    for field in ["method", "path", "status"] {
        assert_eq!(record[field], expected[field], "{record}");
    }
    assert_eq!(record["address"], "127.0.0.1");
    assert!(record["ms"].as_f64().unwrap() > 0.0, "{record}");
    let fields: Vec<&str> = record
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let whole = "address id level method ms path status target timestamp";
    assert_eq!(fields.join(" "), whole);
}

/// The value of a series; `None` when it is not there.
fn series(node: &Node, name: &str) -> Option<f64> {
    let page = node.get_ops("/metrics").text;
    let line = page.lines().find(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn counters_move_as_requests_come() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let registered = r#"ksnode_http_requests_total{route="/keyshare/v2/register",status="200"}"#;
    let refused = r#"ksnode_http_requests_total{route="/keyshare/v2/register",status="409"}"#;
    let shares = r#"ksnode_key_shares{provider="telegram",curve="ed25519"}"#;
    assert_eq!(series(&node, registered), None);
    for user in 1..=3 {
        node.post("/keyshare/v2/register", &token(user), &register_body(user))
            .data();
        assert_eq!(series(&node, registered), Some(user as f64));
        assert_eq!(series(&node, shares), Some(user as f64));
    }
    assert_eq!(series(&node, refused), None);
    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .refused(409, "DUPLICATE_PUBLIC_KEY");
    assert_eq!(series(&node, refused), Some(1.0));
    let durations = r#"ksnode_http_request_duration_seconds_count{route="/keyshare/v2/register"}"#;
    assert_eq!(series(&node, durations), Some(4.0));
    // What a stranger asks for makes no series of its own.
    for path in ["/wp-login.php", "/keyshare/v3", "/../../etc/passwd"] {
        node.get(path);
    }
    assert!(!node.get_ops("/metrics").text.contains("wp-login"));
    assert!(
        series(
            &node,
            r#"ksnode_http_requests_total{route="none",status="404"}"#
        ) >= Some(3.0)
    );
}

/// Dashboards and alerts are built on these names: a change is to be seen in a review. To accept one, run the test with
/// `KSNODE_GOLDEN=write`.
#[test]
fn names_and_types_of_the_metrics_are_the_golden_copy() {
    let home = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_| (200, "{}".into()));
    // Behind TLS, for the certificate's.
    let node = reporting(home.path(), &receiver)
        .env("KSNODE_TLS__MODE", "self-signed")
        .start();
    wait_for("a report", || receiver.received().pop());
    let registered = post_insecurely(&node, "/keyshare/v2/register", &token(1), &register_body(1));
    assert_eq!(registered, r#"{"success":true}"#);
    let answer = node.get_ops("/metrics");
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    assert!(answer.text.ends_with("# EOF\n"));
    let mut types: Vec<&str> = answer
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    types.sort_unstable();
    let helped = answer
        .text
        .lines()
        .filter(|line| line.starts_with("# HELP "))
        .count();
    assert_eq!(helped, types.len(), "each metric says what it is");
    let types = types.join("\n") + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/metrics.txt");
    if std::env::var_os("KSNODE_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(path, &types).unwrap();
    }
    assert_eq!(
        types,
        std::fs::read_to_string(path).unwrap_or_default(),
        "the metrics differ from {path}"
    );
}

#[test]
fn health_is_on_the_second_listener_alone() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let (health, ready) = (node.get_ops("/healthz"), node.get_ops("/readyz"));
    assert_eq!((health.status, health.text.as_str()), (200, "alive\n"));
    assert_eq!((ready.status, ready.text.as_str()), (200, "ready\n"));
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(node.get(path).status, 404, "{path}");
    }
    assert_eq!(node.get_ops("/keyshare/v2").status, 404);
    // A target without a path is answered too.
    let mut stream = TcpStream::connect(node.ops.trim_start_matches("http://")).unwrap();
    stream
        .write_all(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}
