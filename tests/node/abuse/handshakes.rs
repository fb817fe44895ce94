//! Handshakes by the thousand, whole and half, beside clients who mean it.

use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use super::{connect_from_elsewhere, during_over_tls, end, many_files};
use crate::tls::{Authority, Roots, node_of};

/// More than there are places for handshakes under way.
const HALF: usize = 3000;

#[test]
fn a_flood_of_handshakes() {
    many_files(HALF as u64);
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path()).start();
    let roots = Roots::of(&authority);
    let whole = during_over_tls("a flood of handshakes", (&node, &roots), 200, || {
        let end = end();
        let mut half: Vec<TcpStream> = Vec::new();
        let mut whole = 0;
        while Instant::now() < end {
            for _ in 0..100 {
                let Ok(mut stream) = connect_from_elsewhere(&node) else {
                    continue;
                };
                // The beginning of a client's first record.
                let _ = stream.write_all(&[0x16, 3, 1, 2, 0, 1]);
                if half.len() == HALF {
                    half.swap_remove(0);
                }
                half.push(stream);
            }
            for _ in 0..10 {
                drop(roots.connect(&node));
                whole += 1;
            }
        }
        whole
    });
    println!("{whole} whole ones");
}
