//! Starting and stopping as an operator and a service manager see them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Node, Setup, agent, get_body, ksnode, register_body, share, token, wait_for};

/// A register of which the node has the headers and waits for the body.
struct UnderWay {
    stream: TcpStream,
    body: String,
}

impl UnderWay {
    fn begin(node: &Node, user: u64) -> Self {
        let mut stream = node.connect();
        let body = register_body(user).to_string();
        write!(
            stream,
            "POST /keyshare/v2/register HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            token(user),
            body.len()
        )
        .unwrap();
        let mut answer = [0; 25];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
        Self { stream, body }
    }

    /// Sends the body and returns the whole answer, up to the end of the connection.
    fn finish(mut self) -> String {
        self.stream.write_all(self.body.as_bytes()).unwrap();
        rest(&mut self.stream)
    }
}

/// What comes until the other side closes; a reset is an end too.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    String::from_utf8(bytes).unwrap()
}

fn wait_until_refusing(address: &str) {
    wait_for("the port to close", || match TcpStream::connect(address) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Some(()),
        _ => None,
    });
}

#[test]
fn a_stop_finishes_what_is_under_way_and_takes_nothing_new() {
    for signal in [Signal::TERM, Signal::INT] {
        let home = tempfile::tempdir().unwrap();
        let setup = Setup::new(home.path());
        let node = setup.start();
        let under_way = UnderWay::begin(&node, 1);
        assert_eq!(node.get_ops("/readyz").status, 200);
        node.signal(signal);
        wait_until_refusing(node.address());
        // A load balancer is told, and whoever watches sees that the process is still alive.
        let ready = node.get_ops("/readyz");
        assert_eq!(
            (ready.status, ready.text.as_str()),
            (503, "starting or stopping\n")
        );
        assert_eq!(node.get_ops("/healthz").status, 200);
        let answer = under_way.finish();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"success":true}"#),
            "{answer}"
        );
        assert_eq!(node.ended().code(), Some(0));
        // Stopped in order, it leaves no write-ahead log behind.
        assert!(!setup.data("ksnode.db-wal").exists());
        let data = setup
            .start()
            .post("/keyshare/v2", &token(1), &get_body(1))
            .data();
        assert_eq!(data["ed25519"]["share"], share("ed25519", 1));
    }
}

#[test]
fn a_client_that_never_finishes_is_cut_at_the_deadline() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path()).env("KSNODE_SERVER__SHUTDOWN_SECONDS", "1");
    let node = setup.start();
    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .data();
    let mut never = UnderWay::begin(&node, 2);
    let asked = Instant::now();
    node.signal(Signal::TERM);
    let log = node.log.clone();
    assert_eq!(node.ended().code(), Some(1));
    let took = asked.elapsed();
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
    assert_eq!(rest(&mut never.stream), "");
    assert!(std::fs::read_to_string(log).unwrap().contains("cut off"));
    let node = setup.start();
    assert_eq!(
        node.post("/keyshare/v2", &token(1), &get_body(1)).status,
        200
    );
    node.post("/keyshare/v2", &token(2), &get_body(2))
        .refused(404, "USER_NOT_FOUND");
}

/// Whoever had just connected has not been refused, and so is answered: clients take a connection that ends without an
/// answer for a failure.
#[test]
fn a_stop_answers_whoever_has_just_connected() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let mut new = node.connect();
    // The node has accepted it when it has answered one that came later.
    assert_eq!(node.get("/").text, "Ok");
    node.signal(Signal::TERM);
    wait_until_refusing(node.address());
    new.write_all(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")
        .unwrap();
    let answer = rest(&mut new);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer:?}");
    assert!(answer.contains("connection: close"), "{answer:?}");
    assert_eq!(node.ended().code(), Some(0));
}

#[test]
fn idle_connections_do_not_hold_up_a_stop() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let node = setup.start();
    // One that has said nothing, and one between two requests.
    let mut silent = node.connect();
    let mut kept = node.connect();
    kept.write_all(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"Ok") {
        let mut byte = [0];
        kept.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    let asked = Instant::now();
    assert_eq!(node.stop().code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "{:?}",
        asked.elapsed()
    );
    assert_eq!(
        (rest(&mut silent), rest(&mut kept)),
        (String::new(), String::new())
    );
}

#[test]
fn a_slow_reader_of_metrics_does_not_hold_up_a_stop() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let mut slow = TcpStream::connect(node.ops.strip_prefix("http://").unwrap()).unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: no")
        .unwrap();
    // The request above has arrived once one that came later is answered.
    assert_eq!(node.get_ops("/healthz").status, 200);
    let asked = Instant::now();
    assert_eq!(node.stop().code(), Some(0));
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
}

#[test]
fn a_stop_right_after_the_start_is_a_stop_in_order() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    for _ in 0..5 {
        assert_eq!(setup.start().stop().code(), Some(0));
    }
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

/// The line that begins so, without its beginning.
fn after<'a>(printed: &'a str, start: &str) -> Option<&'a str> {
    printed.lines().find_map(|line| line.strip_prefix(start))
}

/// What a start printed, and the node.
fn serve_in(home: &Path) -> (std::process::Child, String) {
    let mut child = ksnode(home)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .env("KSNODE_OPS__LISTEN", "127.0.0.1:0")
        .stdin(std::process::Stdio::null())
        .stdout(std::fs::File::create(home.join("stdout")).unwrap())
        .stderr(std::fs::File::create(home.join("stderr")).unwrap())
        .spawn()
        .unwrap();
    let printed = wait_for("the node to serve", || {
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        let printed = std::fs::read_to_string(home.join("stdout")).unwrap();
        after(&printed, "ksnode serves ")
            .is_some_and(|rest| rest.ends_with(')'))
            .then_some(printed)
    });
    (child, printed)
}

/// Everything that a first start made, which it also said.
fn assert_private(data: &Path, printed: &str) {
    assert_eq!(mode(data), 0o700);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(data).unwrap() {
        let path = entry.unwrap().path();
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path), expected, "{}", path.display());
    }
    for expected in ["secret", "initial-admin-password", "ksnode.db"] {
        assert!(names.iter().any(|name| name == expected), "{names:?}");
        assert!(
            printed.contains(expected) || expected == "ksnode.db",
            "{printed}"
        );
    }
}

#[test]
fn the_first_start_needs_nothing_and_keeps_everything_private() {
    let home = tempfile::tempdir().unwrap();
    let (mut child, mut printed) = serve_in(home.path());
    wait_for("the last line", || {
        printed = std::fs::read_to_string(home.path().join("stdout")).unwrap();
        printed.ends_with("/admin\n").then_some(())
    });
    let data = home.path().join(".local/share/ksnode");
    assert_private(&data, &printed);
    // The line is there to be copied: taken apart as a shell would, it answers.
    let url = after(&printed, "try: curl ").unwrap();
    let status = agent()
        .get(url)
        .call()
        .unwrap()
        .into_body()
        .read_to_string()
        .unwrap();
    assert!(status.contains("\"is_db_connected\":true"), "{status}");
    let page = after(&printed, "admin page: ").unwrap();
    let login = agent().get(page).call().unwrap();
    assert_eq!(login.status(), 200);
    let password = after(&printed, "admin password: ")
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let stored = std::fs::read_to_string(data.join("initial-admin-password")).unwrap();
    assert_eq!(stored.trim_end(), password);
    assert!(
        !std::fs::read_to_string(home.path().join("stderr"))
            .unwrap()
            .contains(password)
    );
    child.kill().unwrap();
    child.wait().unwrap();

    let (mut child, again) = serve_in(home.path());
    assert!(
        !again.contains(password) && !again.contains("admin password"),
        "{again}"
    );
    assert!(!again.contains("created:"), "{again}");
    child.kill().unwrap();
    child.wait().unwrap();
}
