//! Other programs that look at a node, and might never end.

use std::path::Path;
use std::process::{Command, Output};

/// Runs `program` with its home in `home`; it is ended after `seconds`, and the test fails.
#[track_caller]
pub fn run(seconds: u32, home: &Path, program: &str, arguments: &[&str]) -> Output {
    let output = Command::new("timeout")
        .args(["--kill-after=5", &seconds.to_string(), program])
        .args(arguments)
        .env("HOME", home)
        .output()
        .unwrap();
    match output.status.code() {
        // What env(1), timeout(1) and shells say.
        Some(127) => panic!("this test needs {program}; on Debian tests/all installs it"),
        Some(124 | 137) => panic!("{program} {arguments:?} took more than {seconds} s: {output:?}"),
        _ => output,
    }
}
