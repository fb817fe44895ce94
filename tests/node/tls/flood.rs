//! Clients that do not get on with their handshake, or with what they agreed on in it.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::clients::{Roots, ask, becomes, read_until_closed};
use super::node_of;
use super::pairs::Authority;

/// What the node allows for a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The same for a client of HTTP/2 without a word.
const SILENCE: Duration = Duration::from_secs(30);
/// What a loaded machine may add.
const GRACE: Duration = Duration::from_secs(10);

/// The beginning of a client's first record, and no more of it.
const HALF_A_HELLO: [u8; 6] = [0x16, 3, 1, 2, 0, 1];

#[test]
fn half_open_handshakes_stop_nobody() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    // Less room than the flood would need if its connections counted.
    let node = node_of(&authority, home.path())
        .env("KSNODE_SERVER__MAX_CONNECTIONS", "20")
        .start();
    let begun = Instant::now();
    let flood: Vec<TcpStream> = (0..200)
        .map(|number| {
            let mut stream = node.connect();
            if number % 2 == 0 {
                stream.write_all(&HALF_A_HELLO).unwrap();
            }
            stream
        })
        .collect();
    let roots = Roots::of(&authority);
    for _ in 0..20 {
        let asked = Instant::now();
        assert!(ask(&mut roots.connect(&node)).ends_with("\r\n\r\nOk"));
        assert!(
            asked.elapsed() < Duration::from_secs(2),
            "{:?}",
            asked.elapsed()
        );
    }
    for mut stream in flood {
        read_until_closed(&mut stream);
    }
    let took = begun.elapsed();
    assert!((HANDSHAKE..HANDSHAKE + GRACE).contains(&took), "{took:?}");
    let slow = r#"ksnode_tls_handshake_failures_total{reason="slow"}"#;
    becomes(&node, slow, 200.0);
}

#[test]
fn a_client_of_http_2_that_never_speaks_it_is_cut_off() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path()).start();
    let mut stream = Roots::with(&authority, &["h2"]).connect(&node);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"h2"[..]));
    let begun = Instant::now();
    read_until_closed(&mut stream);
    let took = begun.elapsed();
    let expected = SILENCE - Duration::from_secs(1)..SILENCE + GRACE;
    assert!(expected.contains(&took), "{took:?}");
}
