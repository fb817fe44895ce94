//! A browser.

use std::path::Path;

use super::node_of;
use super::pairs::Authority;
use super::tools::run;
use crate::support::{Node, wait_for};

/// The page at `path` as Chromium shows it. It knows nobody but the node, and trusts every certificate.
fn chromium(home: &Path, node: &Node, path: &str) -> String {
    let profile = format!("--user-data-dir={}", home.join("chromium").display());
    let url = format!("{}{path}", node.url);
    let output = run(
        100,
        home,
        "chromium",
        &[
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-proxy-server",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--ignore-certificate-errors",
            &profile,
            "--dump-dom",
            &url,
        ],
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn chromium_negotiates_the_hybrid_key_exchange_and_http2() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path()).start();
    let page = chromium(home.path(), &node, "/status");
    assert!(page.contains(r#""is_db_connected":true"#), "{page}");
    // Each of its connections, as the node saw it.
    let handshakes = wait_for("a counted handshake", || {
        let metrics = node.get_ops("/metrics").text;
        let counted = metrics
            .lines()
            .filter(|line| line.starts_with("ksnode_tls_handshakes_total{"));
        let counted: Vec<String> = counted.map(str::to_owned).collect();
        (!counted.is_empty()).then_some(counted)
    });
    for series in handshakes {
        assert!(
            series.contains(r#"version="1.3""#)
                && series.contains(r#"group="X25519MLKEM768",alpn="h2""#),
            "{series}"
        );
    }
}
