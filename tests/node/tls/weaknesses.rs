//! What testssl.sh finds.
//!
//! It was taken rather than sslyze because it gives each finding a severity, looks at HTTP too, and is a package of Debian; with its
//! checks in three runs side by side it takes half a minute, most of which is waiting.

use std::path::Path;

use serde::Deserialize;

use super::pairs::Authority;
use super::tools::run;
use super::{node_of, port};

/// The checks: known vulnerabilities; protocols, ciphers, forward secrecy; the server's choices, its certificate, HTTP.
const RUNS: [&[&str]; 3] = [&["-U"], &["-p", "-s", "-f"], &["-P", "-S", "-h"]];

/// Findings that are no weakness of the node.
const ACCEPTED: [(&str, &str); 2] = [
    (
        "engine_problem",
        "about the openssl of the machine that tests, which has no GOST engine",
    ),
    (
        "cert_revocation",
        "the throw-away authority of this test publishes no revocations, so its certificate names no place for them",
    ),
];

/// One of each run at least, so that a run that ended before its time is noticed.
const GOOD: [&str; 9] = [
    "heartbleed",
    "ROBOT",
    "secure_client_renego",
    "RC4",
    "TLS1_3",
    "ALPN_HTTP2",
    "cipher_order",
    "cert_chain_of_trust",
    "HSTS_time",
];

#[derive(Debug, Deserialize)]
struct Finding {
    id: String,
    severity: String,
    finding: String,
}

/// What it finds. Beside much other work its own clients give up connecting now and then, which tells nothing of the node: then it
/// looks once more.
fn findings(home: &Path, root: &Path, port: u16, checks: &[&str]) -> Vec<Finding> {
    let json = home.join(format!("testssl{}.json", checks.concat()));
    let look = || look(home, root, port, checks, &json);
    let found = look();
    let gave_up = |finding: &Finding| finding.finding.contains("because of connect problem");
    if found.iter().any(gave_up) {
        // It does not write over it.
        std::fs::remove_file(&json).unwrap();
        return look();
    }
    found
}

fn look(home: &Path, root: &Path, port: u16, checks: &[&str], json: &Path) -> Vec<Finding> {
    let url = format!("https://localhost:{port}");
    let (root, json) = (root.to_str().unwrap(), json.to_str().unwrap());
    let options = [
        "--quiet",
        "--color=0",
        "--warnings=batch",
        // Nobody but the node is asked.
        "--nodns=none",
        "--ip=127.0.0.1",
        "--add-ca",
        root,
        "--jsonfile",
        json,
    ];
    // Its exit code tells nothing more than its findings.
    let output = run(
        150,
        home,
        "testssl",
        &[&options[..], checks, &[&url]].concat(),
    );
    let text = std::fs::read_to_string(json).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{output:?}"))
}

#[test]
fn testssl_finds_no_weakness() {
    let home = tempfile::tempdir().unwrap();
    let authority = Authority::new(home.path());
    let node = node_of(&authority, home.path()).start();
    let port = port(&node);
    let found: Vec<Finding> = std::thread::scope(|scope| {
        let runs =
            RUNS.map(|checks| scope.spawn(|| findings(home.path(), &authority.root, port, checks)));
        runs.into_iter()
            .flat_map(|run| run.join().unwrap())
            .collect()
    });
    let harmless = |finding: &&Finding| {
        matches!(finding.severity.as_str(), "OK" | "INFO")
            || ACCEPTED.iter().any(|(id, _)| *id == finding.id)
    };
    let told = |finding: &Finding| {
        let Finding {
            id,
            severity,
            finding,
        } = finding;
        format!("{severity} {id}: {finding}")
    };
    let weaknesses = found.iter().filter(|finding| !harmless(finding));
    let weaknesses: Vec<String> = weaknesses.map(told).collect();
    assert!(weaknesses.is_empty(), "{weaknesses:#?}");
    for id in GOOD {
        let good = found
            .iter()
            .any(|finding| finding.id == id && finding.severity == "OK");
        assert!(good, "{id}: {found:#?}");
    }
}
