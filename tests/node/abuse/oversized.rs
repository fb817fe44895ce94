//! Requests that are too large in every part they have, and such that would become large.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::{connect_from_elsewhere, during, end};
use crate::support::{Node, Setup};

/// What a hundred megabytes of spaces are when gzip has compressed them, but for its header and end: a deflate stream that
/// repeats one byte.
fn bomb() -> Vec<u8> {
    // The header (RFC 1952), and a block with fixed codes whose lengths are 258 at distance 1: any decoder would follow it.
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x53];
    bytes.resize(90_000, 0x18);
    bytes
}

fn post(head: &str, body: &[u8]) -> Vec<u8> {
    let start = "POST /keyshare/v2/check HTTP/1.1\r\nHost: node\r\n";
    [start.as_bytes(), head.as_bytes(), b"\r\n", body].concat()
}

fn with_length(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("{head}Content-Length: {}\r\n", body.len());
    post(&head, body)
}

/// Requests, and the statuses that refuse them.
fn requests() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    let megabyte = "x".repeat(1 << 20);
    let url = format!("GET /{megabyte} HTTP/1.1\r\nHost: node\r\n\r\n");
    let header = format!("GET / HTTP/1.1\r\nX: {megabyte}\r\n\r\n");
    let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(20_000));
    let chunk = format!("{:x}\r\n{megabyte}\r\n", 1 << 20);
    let deep = "[".repeat(90_000);
    let nested = format!(r#"{{"wallets":{}"#, r#"{"a":"#.repeat(15_000));
    let json = "Content-Type: application/json\r\n";
    vec![
        ("URL", url.into_bytes(), &["414", "431", "400"]),
        ("header", header.into_bytes(), &["431"]),
        ("headers", headers.into_bytes(), &["431", "400"]),
        (
            "body",
            post("Content-Length: 1099511627776\r\n", megabyte.as_bytes()),
            &["413"],
        ),
        (
            "chunks",
            post("Transfer-Encoding: chunked\r\n", chunk.repeat(8).as_bytes()),
            &["413"],
        ),
        ("depth", with_length(json, deep.as_bytes()), &["400"]),
        ("nested", with_length(json, nested.as_bytes()), &["400"]),
        (
            "gzip",
            with_length("Content-Encoding: gzip\r\n", &bomb()),
            &["400", "415"],
        ),
    ]
}

#[test]
fn what_is_too_large_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let requests = requests();
    let sent = during("oversized requests and bombs", &node, 96, || {
        let end = end();
        let mut sent = 0;
        while sent == 0 || Instant::now() < end {
            for (what, bytes, statuses) in &requests {
                refused(&node, what, bytes, statuses);
                sent += 1;
            }
        }
        sent
    });
    println!("{sent} requests");
}

/// The node may close before it was sent everything: then what it said can be lost on the way.
fn refused(node: &Node, what: &str, bytes: &[u8], statuses: &[&str]) {
    let mut stream = connect_from_elsewhere(node).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let taken = stream.write_all(bytes).is_ok();
    let mut said = [0; 12];
    let said = match stream.read_exact(&mut said) {
        Ok(()) => String::from_utf8_lossy(&said).into_owned(),
        Err(error) => {
            let cut = error.kind() == std::io::ErrorKind::ConnectionReset;
            assert!(cut || !taken, "{what}: {error}");
            return;
        }
    };
    let status = said.strip_prefix("HTTP/1.1 ").unwrap_or(&said);
    assert!(statuses.contains(&status), "{what}: {said}");
}
