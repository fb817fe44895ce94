//! The API's document, held against the node by schemathesis: it makes up requests that the document allows, and such that
//! it does not, and looks at every answer. All its checks are on.
//!
//! What it makes up without knowing (a password, a login) is put in by `schemathesis/hooks.py`, which also says where the
//! contract asks for something else than a check.

use std::path::Path;
use std::process::Command;

use crate::support::{Setup, token};

/// Requests that are made up for each call, beside those at the limits of each field.
const EXAMPLES: &str = "25";

const PASSWORD: &str = "a password for tests";

#[test]
fn every_answer_is_as_the_document_says() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path()).env("KSNODE_ADMIN__PASSWORD", PASSWORD);
    // Where nobody answers: what is made up must not leave this machine.
    let providers = [
        "GOOGLE__JWKS_URL",
        "AUTH0__JWKS_URL",
        "X__USER_URL",
        "DISCORD__USER_URL",
    ];
    let node = providers
        .into_iter()
        .fold(setup, |setup, key| {
            setup.env(&format!("KSNODE_IDENTITY__{key}"), "http://127.0.0.1:9/")
        })
        .start();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(root.join("target/tools/schemathesis/bin/schemathesis"));
    command
        .args(["run", "--no-color", "--checks", "all"])
        // They are about how fast requests are made up.
        .args(["--suppress-health-check", "all", "--request-timeout", "60"])
        .args(["--generation-database", "none", "--continue-on-failure"])
        // Else a failure would be shown without the values that make it.
        .args(["--output-sanitize", "false"])
        .args(["-H", &format!("Authorization: Bearer {}", token(7))]);
    match std::env::var("KSNODE_SCHEMATHESIS_EXAMPLES") {
        Ok(examples) => command.args(["--max-examples", &examples]),
        // The same ones each time: who changes something else is not to meet what chance finds.
        Err(_) => command.args(["--max-examples", EXAMPLES, "--seed", "1"]),
    };
    let output = command
        .arg(format!("{}/api_docs/openapi.json", node.url))
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", root.join("tests/node/schemathesis"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("KSNODE_PASSWORD", PASSWORD)
        .current_dir(home.path())
        .output()
        .expect("this test needs schemathesis; tests/all --prepare installs it");
    let said = String::from_utf8_lossy(&output.stdout);
    let warned = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{said}{warned}");
    // It did reach what lies behind a token and a password.
    for call in [
        "/keyshare/v2/register",
        "/keyshare/v2",
        "/pg_dump/v1/backup",
    ] {
        let answered = format!(r#"{{route="{call}",status="200"}}"#);
        let metrics = node.get_ops("/metrics").text;
        assert!(
            metrics.contains(&answered),
            "{call} was never answered with success"
        );
    }
}
