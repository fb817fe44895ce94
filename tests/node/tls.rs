//! HTTPS as clients meet it: curl, openssl, rustls, testssl.sh and Chromium against the real program.

pub mod acme;
mod browser;
mod clients;
mod files;
mod flood;
pub mod pairs;
mod redirect;
mod self_signed;
mod sockets;
mod tools;
mod weaknesses;

use std::io::Write;
use std::path::Path;

pub use clients::{Roots, Stream, ask, series};
use clients::{becomes, curl};
pub use pairs::Authority;

use crate::support::{Node, Setup, get_body, register_body, token};

/// A node with a certificate of `authority` for localhost, 127.0.0.1 and ::1, in files of its home.
pub fn node_of(authority: &Authority, home: &Path) -> Setup {
    authority
        .issue(&["localhost", "127.0.0.1", "::1"])
        .write(home);
    let path = |name: &str| home.join(name).to_str().unwrap().to_owned();
    Setup::new(home)
        .env("KSNODE_TLS__MODE", "files")
        .env("KSNODE_TLS__CERTIFICATE", &path("chain.pem"))
        .env("KSNODE_TLS__KEY", &path("key.pem"))
}

/// `POST` with a bearer token to a node whose certificate is nobody's affair.
pub fn post_insecurely(node: &Node, path: &str, token: &str, body: &serde_json::Value) -> String {
    let output = std::process::Command::new("curl")
        .args(["-q", "-sS", "-m", "30", "--noproxy", "*", "--insecure"])
        .args(["-H", "content-type: application/json"])
        .args(["-H", &format!("authorization: Bearer {token}")])
        .args(["-d", &body.to_string()])
        .arg(format!("{}{path}", node.url))
        .output()
        .unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn port(node: &Node) -> u16 {
    node.address().rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn curl_speaks_both_versions_of_http() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path()).start();
    assert!(node.url.starts_with("https://"), "{}", node.url);
    for (flag, version) in [("--http1.1", "HTTP/1.1 200"), ("--http2", "HTTP/2 200")] {
        let answer = curl(&authority, &[flag, "-i", &node.url]);
        assert!(
            answer.starts_with(version) && answer.ends_with("\r\n\r\nOk"),
            "{answer}"
        );
        assert!(
            answer.contains("strict-transport-security: max-age="),
            "{answer}"
        );
        let head = curl(&authority, &[flag, "-I", &node.url]);
        assert!(head.contains("content-length: 2\r\n"), "{head}");
    }
    let user = 7;
    let bearer = format!("authorization: Bearer {}", token(user));
    let post = |flag: &str, path: &str, body: &str| {
        let url = format!("{}{path}", node.url);
        let json = "content-type: application/json";
        curl(
            &authority,
            &[flag, "-H", &bearer, "-H", json, "-d", body, &url],
        )
    };
    let registered = post(
        "--http2",
        "/keyshare/v2/register",
        &register_body(user).to_string(),
    );
    assert_eq!(registered, r#"{"success":true}"#);
    let body = get_body(user).to_string();
    let shares = ["--http1.1", "--http2"].map(|flag| post(flag, "/keyshare/v2", &body));
    assert!(
        shares[0].contains("share_id") && shares[0] == shares[1],
        "{shares:?}"
    );
}

#[test]
fn limits_hold_over_http2() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path())
        .env("KSNODE_SERVER__RATE_LIMIT", "3")
        .start();
    let large = home.path().join("large");
    std::fs::write(&large, vec![b'x'; 200_000]).unwrap();
    let data = format!("@{}", large.display());
    let check = format!("{}/keyshare/v2/check", node.url);
    let answer = curl(
        &authority,
        &["--http2", "-i", "--data-binary", &data, &check],
    );
    assert!(answer.starts_with("HTTP/2 413"), "{answer}");
    let header = format!("x-large: {}", "x".repeat(20_000));
    let answer = curl(&authority, &["--http2", "-i", "-H", &header, &node.url]);
    assert!(
        answer.starts_with("HTTP/2 431") && answer.contains("INVALID_REQUEST"),
        "{answer}"
    );
    curl(&authority, &["--http2", &node.url]);
    let answer = curl(&authority, &["--http2", "-i", &node.url]);
    assert!(
        answer.starts_with("HTTP/2 429") && answer.contains("RATE_LIMIT_EXCEEDED"),
        "{answer}"
    );
    // Whoever speaks in clear counts too.
    let clear = node.url.replace("https://", "http://");
    let answer = curl(&authority, &["-i", &clear]);
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
}

#[test]
fn plain_http_is_told_where_it_is() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path()).start();
    let clear = node.url.replace("https://", "http://");
    let answer = curl(&authority, &["-i", &clear]);
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.contains("write https://"),
        "{answer}"
    );
    assert!(!answer.contains("strict-transport-security"), "{answer}");
    // A body that is still coming does not keep the client from seeing the answer.
    let body = "x".repeat(50_000);
    let answer = curl(&authority, &["-i", "-d", &body, &clear]);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    // What is neither is ended with an alert: type 21, version 3.x.
    let mut stream = node.connect();
    stream.write_all(b"hello?\r\n\r\n").unwrap();
    let said = clients::read_until_closed(&mut stream);
    assert_eq!(said[..2], [21, 3], "{said:?}");
    let cleartext = r#"ksnode_tls_handshake_failures_total{reason="cleartext"}"#;
    becomes(&node, cleartext, 2.0);
    let garbled = r#"ksnode_tls_handshake_failures_total{reason="garbled"}"#;
    becomes(&node, garbled, 1.0);
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_resumed_and_nothing_older() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path()).start();
    for (flag, version) in [("-tls1_2", "1.2"), ("-tls1_3", "1.3")] {
        let session = home.path().join("session");
        let session = session.to_str().unwrap();
        // The ticket of 1.3 comes after the handshake; a request waits for it.
        let first = clients::openssl(&authority, &node, &[flag, "-sess_out", session]);
        assert!(first.contains("Verify return code: 0 (ok)"), "{first}");
        assert!(first.contains(&format!("New, TLSv{version}")), "{first}");
        let again = clients::openssl(&authority, &node, &[flag, "-sess_in", session]);
        assert!(again.contains(&format!("Reused, TLSv{version}")), "{again}");
        let count = |kind: &str| clients::handshakes(&node, version, kind);
        assert_eq!((count("full"), count("resumed")), (1.0, 1.0), "{version}");
    }
    for old in ["-tls1", "-tls1_1"] {
        let lax = [old, "-cipher", "DEFAULT:@SECLEVEL=0"];
        let refused = clients::openssl(&authority, &node, &lax);
        assert!(
            refused.contains("New, (NONE)") && refused.contains("alert"),
            "{refused}"
        );
    }
    let weak = [
        "-tls1_2",
        "-cipher",
        "AES128-SHA:AES256-GCM-SHA384:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0",
    ];
    let refused = clients::openssl(&authority, &node, &weak);
    assert!(refused.contains("New, (NONE)"), "{refused}");
    let reason = r#"ksnode_tls_handshake_failures_total{reason="incompatible"}"#;
    becomes(&node, reason, 3.0);
}

#[test]
fn the_hybrid_key_exchange_is_preferred() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path()).start();
    let mut stream = Roots::of(&authority).connect(&node);
    assert!(clients::ask(&mut stream).ends_with("\r\n\r\nOk"));
    let hybrid = r#"ksnode_tls_handshakes_total{version="1.3",kind="full",group="X25519MLKEM768",alpn="none"}"#;
    becomes(&node, hybrid, 1.0);
}

#[test]
fn several_addresses_of_both_families_are_served() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path())
        .listen("127.0.0.1:0,[::1]:0")
        .start();
    let urls: Vec<&str> = node.url.split(' ').collect();
    assert!(urls[0].starts_with("https://127.0.0.1:") && urls[1].starts_with("https://[::1]:"));
    for url in urls {
        assert_eq!(curl(&authority, &[url]), "Ok");
    }
}

#[test]
fn a_full_house_lets_the_next_one_wait_behind_its_handshake() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path())
        .env("KSNODE_SERVER__MAX_CONNECTIONS", "1")
        .start();
    let roots = Roots::of(&authority);
    // One that is half-open takes no connection away.
    let _half_open = node.connect();
    let mut first = roots.connect(&node);
    assert!(clients::ask(&mut first).ends_with("Ok"));
    let mut second = roots.connect(&node);
    let waiting = std::thread::spawn(move || clients::ask(&mut second));
    // The handshake is done while the first is still there.
    crate::support::wait_for("the handshake", || {
        let done = ["full", "resumed"].map(|kind| clients::handshakes(&node, "1.3", kind));
        (done == [1.0, 1.0]).then_some(())
    });
    assert!(!waiting.is_finished());
    drop(first);
    assert!(waiting.join().unwrap().ends_with("Ok"));
}
