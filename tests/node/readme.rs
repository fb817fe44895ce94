//! The README's "Try it", run line by line as it is printed there, and its table of variables.
//!
//! The lines name the default ports, which tests that run side by side cannot share. So node and curl are told, by
//! the environment and by `~/.curlrc`, that 127.0.0.1 is another loopback address, one that is this process's alone:
//! on Linux all of 127.0.0.0/8 is this machine. A network namespace would do too, but containers often forbid it.

use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::wait_for;

const README: &str = include_str!("../../README.md");

/// Stands for any text in what the README shows as output.
const ANYTHING: char = '…';

/// The section under this heading.
fn section(heading: &str) -> &'static str {
    let (_, rest) = README.split_once(&format!("\n## {heading}\n")).unwrap();
    rest.split("\n## ").next().unwrap()
}

/// What stands in the section's fenced blocks of this language.
fn blocks(section: &str, language: &str) -> String {
    let mut inside = false;
    let mut text = String::new();
    for line in section.lines() {
        if let Some(fence) = line.strip_prefix("```") {
            inside = fence == language;
        } else if inside {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// bash and what it started. Killed when dropped.
struct Shell(Child);

impl Drop for Shell {
    fn drop(&mut self) {
        // All of them may have ended already.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Runs the lines in a home of their own; returns what they printed.
fn run(lines: &str, home: &Path) -> String {
    let process = std::process::id();
    let [_, high, middle, low] = process.to_be_bytes();
    let address = format!("127.{}.{middle}.{low}", 64 + high % 64);
    let map = |port: u16| format!("connect-to = 127.0.0.1:{port}:{address}:{port}\n");
    std::fs::write(home.join(".curlrc"), map(4201) + &map(4202)).unwrap();
    let folder = Path::new(env!("CARGO_BIN_EXE_ksnode")).parent().unwrap();
    let (printed, errors) = (home.join("printed"), home.join("errors"));
    let shell = Command::new("bash")
        .args(["-e", "-o", "pipefail", "-c", lines])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("KSNODE_SERVER__LISTEN", format!("{address}:4201"))
        .env("KSNODE_OPS__LISTEN", format!("{address}:4202"))
        .current_dir(home)
        .process_group(0)
        .stdin(std::process::Stdio::null())
        .stdout(File::create(&printed).unwrap())
        .stderr(File::create(&errors).unwrap())
        .spawn()
        .unwrap();
    let mut shell = Shell(shell);
    let status = wait_for("the README's lines", || shell.0.try_wait().unwrap());
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let printed = read(&printed);
    assert!(status.success(), "{status}\n{printed}{}", read(&errors));
    printed
}

/// Whether `actual` is what `shown` shows.
fn shows(shown: &str, actual: &str) -> bool {
    let mut parts = shown.split(ANYTHING);
    let Some(mut rest) = parts.next().and_then(|first| actual.strip_prefix(first)) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
        last = Some(part);
    }
    match last {
        None => rest.is_empty(),
        // Its first occurrence need not be the one at the end.
        Some(part) => actual.ends_with(part),
    }
}

/// The README's `--json` came with curl 7.82.
fn require_curl() {
    match Command::new("curl")
        .args(["--json", "", "--version"])
        .output()
    {
        Ok(output) if output.status.success() => {}
        Err(error) if error.kind() != ErrorKind::NotFound => panic!("curl: {error}"),
        _ => panic!("this test needs curl 7.82 or newer; on Debian tests/all installs it"),
    }
}

#[test]
fn what_the_readme_tries_works_as_it_says() {
    require_curl();
    let section = section("Try it");
    let (lines, shown) = (blocks(section, "sh"), blocks(section, "text"));
    assert!(lines.contains("ksnode >") && lines.contains("/keyshare/v2/register"));
    let home = tempfile::tempdir().unwrap();
    let printed = run(&lines, home.path());
    let shown: Vec<&str> = shown.lines().collect();
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(shown.len(), printed.len(), "{printed:#?}");
    for (shown, printed) in shown.into_iter().zip(printed) {
        assert!(
            shows(shown, printed),
            "shown:   {shown}\nprinted: {printed}"
        );
    }
}

#[test]
fn an_ellipsis_stands_for_any_text() {
    for (shown, actual) in [
        ("ab", "ab"),
        ("a…", "abc"),
        ("a…b", "axbxb"),
        ("a…b…c", "abc"),
    ] {
        assert!(shows(shown, actual), "{shown} {actual}");
    }
    for (shown, actual) in [("ab", "abc"), ("b…", "ab"), ("a…b", "abc"), ("a…b…c", "ac")] {
        assert!(!shows(shown, actual), "{shown} {actual}");
    }
}

#[test]
fn the_table_of_the_docker_suites_variables_is_complete() {
    let rows: Vec<&str> = section("Configuration")
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    let mut told = 0;
    for (name, key) in ksnode::config::docker_names() {
        let (name, key) = (format!("`{name}`"), format!("| `{key}`"));
        let row = rows.iter().find(|row| row.contains(&name));
        assert!(row.is_some_and(|row| row.contains(&key)), "{name} {key}");
        told += 1;
    }
    let names = rows.iter().map(|row| row.split(" | ").next().unwrap());
    assert_eq!(
        names
            .map(|cell| cell.matches('`').count() / 2)
            .sum::<usize>(),
        told
    );
}
