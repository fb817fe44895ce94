//! Thousands of clients that never come to the end of what they say.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{connect_from_elsewhere, during, end, many_files};
use crate::support::{Node, Setup};
use crate::tls::series;

/// Of each kind.
const CLIENTS: usize = 1000;

#[test]
fn heads_that_never_end() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    // What the node keeps of a head is bounded by 32 KiB.
    let most = 64 + CLIENTS as u64 * 32 / 1024 * 2;
    let begun = format!("GET / HTTP/1.1\r\nHost: node\r\nX: {}", "x".repeat(12_000));
    during("slow heads", &node, most, || trickle(&node, &begun));
}

#[test]
fn bodies_that_never_end() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    // A body has 100 kB at most, which a growing buffer takes twice. There are places for 500 of them.
    let most = 64 + 500 * 200 / 1024 + CLIENTS as u64 * 32 / 1024;
    let begun = format!(
        "POST /keyshare/v2/check HTTP/1.1\r\nHost: node\r\nContent-Length: 99000\r\n\r\n{{\"{}",
        "x".repeat(90_000)
    );
    during("slow bodies", &node, most, || trickle(&node, &begun));
    let refused = series(
        &node,
        r#"ksnode_http_requests_total{route="none",status="503"}"#,
    );
    assert!(refused > 0.0);
}

/// Begins a request on each connection, and adds a byte to each now and then. Those that the node has cut off come back.
fn trickle(node: &Node, begun: &str) {
    many_files(CLIENTS as u64);
    let open = || -> Option<TcpStream> {
        let mut stream = connect_from_elsewhere(node).ok()?;
        stream.write_all(begun.as_bytes()).ok()?;
        Some(stream)
    };
    let mut clients: Vec<Option<TcpStream>> = (0..CLIENTS).map(|_| open()).collect();
    let begun_all = clients.iter().flatten().count();
    assert!(begun_all > CLIENTS * 9 / 10, "{begun_all} were let in");
    let end = end();
    while Instant::now() < end {
        for client in &mut clients {
            let alive = client
                .as_mut()
                .is_some_and(|stream| stream.write_all(b"x").is_ok());
            if !alive {
                *client = open();
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
