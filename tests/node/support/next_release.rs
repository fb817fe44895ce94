//! The next release, as the feature `rehearsal` imagines it: a program of its own, beside the one under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// The next release's program.
///
/// It is built once in a run, into the same folder as the tests and as an example: so its dependencies are those of the
/// tests to the last feature, and only this crate is built again; and the program under test, whose path other tests
/// run meanwhile, is left alone. That takes half a minute at first, and a second when nothing has changed.
pub fn next_release() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(build);
    &PROGRAM
}

fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    // What is built is there already, to the last crate: nothing is to be fetched.
    cargo.args(["build", "--locked", "--offline", "--features", "rehearsal"]);
    cargo.args(["--example", "ksnode-rehearsal", "--message-format", "json"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let messages = String::from_utf8(output.stdout).unwrap();
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "ksnode-rehearsal")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .unwrap_or_else(|| panic!("cargo named no program: {errors}"))
}
