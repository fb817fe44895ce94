//! What the program knows of its own build.

use std::path::Path;
use std::process::Command;

use crate::support::Setup;

#[test]
fn status_tells_the_commit() {
    let home = tempfile::tempdir().unwrap();
    let status = Setup::new(home.path()).start().get("/status").json();
    assert_eq!(status["version"], ksnode::VERSION);
    let known = option_env!("GIT_HASH").filter(|hash| !hash.is_empty());
    assert_eq!(status["git_hash"].as_str(), known);

    let sources = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(hash) = known else {
        return assert!(!sources.join(".git").exists() || commit(sources, "HEAD").is_none());
    };
    // Not compared with today's HEAD: somebody may commit while the tests run.
    if sources.join(".git").exists() && std::env::var_os("GIT_HASH").is_none() {
        assert_eq!(commit(sources, hash).as_deref(), Some(hash));
    }
}

/// The full name of a commit of the repository, when git knows it.
fn commit(sources: &Path, name: &str) -> Option<String> {
    let output = Command::new("git")
        .current_dir(sources)
        .args(["rev-parse", "--verify", "--quiet"])
        .arg(format!("{name}^{{commit}}"))
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| text.trim().to_owned())
}
