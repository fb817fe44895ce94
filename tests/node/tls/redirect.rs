//! The listener in clear that sends everybody to https.

use std::io::Write;

use super::clients::{curl, read_until_closed};
use super::pairs::Authority;
use super::{node_of, port};
use crate::postgres::free_port;

#[test]
fn plain_http_is_sent_to_https_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let clear = free_port();
    let node = node_of(&authority, home.path())
        .env("KSNODE_TLS__REDIRECT_LISTEN", &format!("127.0.0.1:{clear}"))
        .env("KSNODE_TLS__DOMAINS", "localhost,127.0.0.1")
        .start();
    let url = format!("http://127.0.0.1:{clear}");
    for path in ["/", "/keyshare/v2?x=1", "/status", "/metrics"] {
        for method in ["GET", "POST", "OPTIONS", "DELETE"] {
            let answer = curl(&authority, &["-i", "-X", method, &format!("{url}{path}")]);
            assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
            let location = format!("location: https://127.0.0.1:{}{path}\r\n", port(&node));
            assert!(answer.contains(&location), "{answer}");
            assert!(answer.contains("connection: close\r\n"), "{answer}");
        }
    }
    assert_eq!(curl(&authority, &["-L", &url]), "Ok");
    let answer = curl(&authority, &["-i", "-H", "Host: evil.example", &url]);
    assert!(
        answer.starts_with("HTTP/1.1 421 ") && !answer.contains("location"),
        "{answer}"
    );
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", clear)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let said = String::from_utf8(read_until_closed(&mut stream)).unwrap();
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    assert_eq!(node.stop().code(), Some(0));
}
