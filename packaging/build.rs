//! Lays out the assets of the admin page (`assets.rs`), and tells the program which commit it is built from, as `GIT_HASH`
//! for `option_env!`.
//!
//! A `GIT_HASH` in the environment wins: whoever builds a package knows the commit, and often has no repository.
//! Without both, nothing is set and the node says that it does not know. A library for this (vergen) was left
//! out: it is one question to git.

mod assets;

use std::error::Error;
use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=packaging/build.rs");
    assets::lay_out()?;
    tell_commit();
    Ok(())
}

fn tell_commit() {
    println!("cargo::rerun-if-env-changed=GIT_HASH");
    let given = std::env::var("GIT_HASH").ok();
    if given.is_some_and(|hash| !hash.is_empty()) {
        // The compiler sees it as it is.
        return;
    }
    // Only a repository of our own: sources unpacked inside another project's would take that one's commit.
    if !Path::new(".git").exists() {
        return;
    }
    // Each move of HEAD is written down in its log; HEAD alone stays the same when its branch moves.
    for name in ["HEAD", "logs/HEAD"] {
        let file = git(&["rev-parse", "--git-path", name]);
        // A file that is missing would have this run at every build.
        if let Some(file) = file.filter(|file| Path::new(file).exists()) {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    if let Some(hash) = git(&["rev-parse", "HEAD"]) {
        println!("cargo::rustc-env=GIT_HASH={hash}");
    }
}

/// What git answers; `None` when it is not installed, refuses, or has nothing to say (a repository without commits).
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(arguments)
        // Set while git runs a hook, and then they name the repository of the hook.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
