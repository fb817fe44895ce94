//! As many connections as a node has room for, and more.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{connect_from_elsewhere, during, end, many_files};
use crate::support::{Setup, wait_for};
use crate::tls::series;

const CONNECTIONS: usize = 10_000;

#[test]
fn ten_thousand_idle_connections() {
    many_files(CONNECTIONS as u64);
    let home = tempfile::tempdir().unwrap();
    let room = (CONNECTIONS + 20).to_string();
    let node = Setup::new(home.path())
        .env("KSNODE_SERVER__MAX_CONNECTIONS", &room)
        .start();
    let mut most = 0.0_f64;
    during("10,000 idle connections", &node, 600, || {
        let mut idle: Vec<TcpStream> = Vec::new();
        let end = end();
        // The node cuts them off after 30 s. On a slow machine that is before all are there.
        while idle.len() < CONNECTIONS || std::time::Instant::now() < end {
            if idle.len() < CONNECTIONS {
                idle.extend(connect_from_elsewhere(&node).ok());
            }
            if idle.len().is_multiple_of(500) {
                most = most.max(series(&node, "ksnode_http_connections"));
            }
        }
    });
    println!("at most {most} at once");
    assert!(most > CONNECTIONS as f64 / 2.0, "{most}");
    // All of them are given back.
    wait_for("the connections to end", || {
        (series(&node, "ksnode_http_connections") < 20.0).then_some(())
    });
}

/// Who keeps each of his connections just busy enough, and opens another for each that ends, has the room to himself otherwise.
#[test]
fn more_busy_connections_than_there_is_room_for() {
    const ROOM: usize = 1_600;
    many_files(2 * ROOM as u64);
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path())
        .env("KSNODE_SERVER__MAX_CONNECTIONS", &ROOM.to_string())
        .start();
    let mut most = 0.0_f64;
    during(
        "3,200 busy connections in room for 1,600",
        &node,
        600,
        || {
            let mut busy: Vec<TcpStream> = Vec::new();
            let end = end();
            while std::time::Instant::now() < end {
                busy.retain_mut(is_answered);
                while busy.len() < 2 * ROOM
                    && let Ok(stream) = connect_from_elsewhere(&node)
                {
                    busy.push(stream);
                }
                most = most.max(series(&node, "ksnode_http_connections"));
            }
            // All of them are open still.
            assert_eq!(node.get("/").text, "Ok");
        },
    );
    println!("at most {most} at once");
    assert!(most > ROOM as f64 / 2.0 && most <= ROOM as f64, "{most}");
}

fn is_answered(stream: &mut TcpStream) -> bool {
    let asked = stream.write_all(b"GET / HTTP/1.1\r\nHost: node\r\n\r\n");
    asked.is_ok() && stream.read(&mut [0; 1024]).is_ok_and(|count| count > 0)
}
