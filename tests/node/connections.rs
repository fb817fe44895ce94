//! Clients that are slow, greedy or silent: others are served meanwhile, and nobody holds a connection for ever.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::{Node, Setup, token};

/// What the node allows for the headers of a request, and for a client that does not take its answer.
const HEADERS: Duration = Duration::from_secs(30);
/// The same for a body.
const BODY: Duration = Duration::from_secs(15);
/// What a loaded machine may add.
const GRACE: Duration = Duration::from_secs(10);

#[test]
fn a_third_connection_waits_until_one_of_two_ends() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path())
        .env("KSNODE_SERVER__MAX_CONNECTIONS", "2")
        .start();
    let mut first = asked(&node);
    let mut second = asked(&node);
    assert!(liveness(&mut first) && liveness(&mut second));
    let mut third = asked(&node);
    third
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let mut byte = [0];
    assert_eq!(
        third.read(&mut byte).unwrap_err().kind(),
        ErrorKind::WouldBlock
    );
    // The second listener is not the one that is full.
    assert_eq!(node.get_ops("/healthz").status, 200);
    drop(first);
    third.set_read_timeout(Some(GRACE)).unwrap();
    assert!(liveness(&mut third));
    // Those that stay are served on.
    second.write_all(REQUEST).unwrap();
    assert!(liveness(&mut second));
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: node\r\n\r\n";

fn asked(node: &Node) -> TcpStream {
    let mut stream = node.connect();
    stream.write_all(REQUEST).unwrap();
    stream
}

/// Whether the answer on its way is that of the liveness check.
fn liveness(stream: &mut TcpStream) -> bool {
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\nOk") {
        match stream.read(&mut byte) {
            Ok(1) => answer.push(byte[0]),
            _ => return false,
        }
    }
    answer.starts_with(b"HTTP/1.1 200")
}

/// The real time limits, all at once because they take as long as they take.
#[test]
fn slow_clients_are_cut_off_and_disturb_nobody() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let node = &node;
    std::thread::scope(|scope| {
        let silent = scope.spawn(|| until_closed(node.connect(), &[]));
        let headers = scope.spawn(|| trickle_headers(node));
        let body = scope.spawn(|| trickle_body(node));
        let answer = scope.spawn(|| never_read(node));
        let crowd: Vec<TcpStream> = (0..200).map(|_| half_asked(node)).collect();
        // Meanwhile the others are served as if nothing were.
        for _ in 0..20 {
            let asked = Instant::now();
            assert_eq!(node.get("/").text, "Ok");
            assert!(
                asked.elapsed() < Duration::from_secs(2),
                "{:?}",
                asked.elapsed()
            );
        }
        let (body, said) = body.join().unwrap();
        assert!(around(BODY).contains(&body), "{body:?}");
        assert!(
            said.starts_with("HTTP/1.1 408") && said.contains("\"code\":\"INVALID_REQUEST\""),
            "{said}"
        );
        for slow in [
            silent.join().unwrap(),
            headers.join().unwrap(),
            answer.join().unwrap(),
        ] {
            assert!(around(HEADERS).contains(&slow), "{slow:?}");
        }
        drop(crowd);
    });
    assert_eq!(node.get("/").text, "Ok");
}

/// The node's clock for a connection starts a moment before ours.
fn around(limit: Duration) -> std::ops::Range<Duration> {
    limit - Duration::from_secs(1)..limit + GRACE
}

fn half_asked(node: &Node) -> TcpStream {
    let mut stream = node.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: no").unwrap();
    stream
}

/// Sends `drop` each second, and says how long the node let it.
fn until_closed(mut stream: TcpStream, drop: &[u8]) -> Duration {
    let begun = Instant::now();
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let mut bytes = [0; 1024];
    while begun.elapsed() < HEADERS + GRACE {
        match stream.read(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => break,
            // It may say why before it closes.
            Ok(_) => continue,
        }
        if stream.write_all(drop).is_err() {
            break;
        }
    }
    begun.elapsed()
}

/// A header that never ends: each byte in time, the whole never.
fn trickle_headers(node: &Node) -> Duration {
    until_closed(half_asked(node), b"x")
}

fn trickle_body(node: &Node) -> (Duration, String) {
    let mut stream = node.connect();
    let token = token(1);
    write!(
        stream,
        "POST /keyshare/v2/register HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 5000\r\n\r\n{{"
    )
    .unwrap();
    let begun = Instant::now();
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let (mut said, mut bytes) = (Vec::new(), [0; 4096]);
    while begun.elapsed() < BODY + GRACE {
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(length) => said.extend_from_slice(&bytes[..length]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => stream.write_all(b" ").unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
    (begun.elapsed(), String::from_utf8(said).unwrap())
}

/// Asks for more than the sockets between hold, and takes none of it.
fn never_read(node: &Node) -> Duration {
    let mut stream = node.connect();
    let request = "GET /api_docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: node\r\n\r\n";
    stream.write_all(request.repeat(20).as_bytes()).unwrap();
    let begun = Instant::now();
    // A connection that was cut says so to whoever writes on it.
    while begun.elapsed() < HEADERS + GRACE {
        if stream.write_all(b"\r\n").is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    begun.elapsed()
}
