//! `ksnode upgrade-check`: every answer that an incoming package can get.

use std::io::Write;
use std::process::Output;

use serde_json::Value;

use super::schemas;
use crate::operator::{age, backup, document, listed, open, printed, register, said};
use crate::restore_candidates::TO_SCHEMA_2;
use crate::support::{Setup, next_release, wait_for};

fn check(setup: &Setup, schema: &str, oldest: &str) -> Output {
    let arguments = ["upgrade-check", "--version", "9.9.9", "--schema", schema];
    setup.run(&[&arguments[..], &["--oldest-schema", oldest, "--json"]].concat())
}

/// Asserts the exit code, its word in JSON, and what is said; returns the warnings.
#[track_caller]
fn answers(output: &Output, code: i32, texts: &[&str]) -> Vec<String> {
    let error = said(output);
    assert_eq!(output.status.code(), Some(code), "{error}");
    for text in texts {
        assert!(error.contains(text), "{text:?} is missing: {error}");
    }
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let verdict = match code {
        0 => "accepted",
        3 => "rollback",
        _ => "refused",
    };
    assert_eq!(document["upgrade"]["verdict"], verdict, "{document}");
    assert_eq!(document["incoming"]["version"], "9.9.9");
    let installed = document["installed"]["version"].as_str().unwrap();
    assert!(installed.starts_with(ksnode::VERSION), "{installed}");
    let warnings = document["upgrade"]["warnings"].as_array().unwrap().clone();
    let text = |warning: Value| warning.as_str().unwrap().to_owned();
    warnings.into_iter().map(text).collect()
}

/// A node that is stopped, with users 1 and 2.
fn stopped() -> (tempfile::TempDir, Setup) {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path()).env("KSNODE_BACKUP__AT", "");
    let node = setup.start();
    register(&node, 1..=2);
    assert!(node.stop().success());
    (home, setup)
}

#[test]
fn a_program_tells_what_it_is() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    let (this, next) = schemas();
    let told = document(&setup.run(&["upgrade-check", "--json"]));
    assert_eq!(told["version"], ksnode::VERSION);
    assert_eq!(told["schema"].to_string(), this);
    assert_eq!(told["oldest_schema"], 1);
    assert_eq!(told.as_object().unwrap().len(), 3);
    let told = printed(
        &setup
            .clone()
            .program(next_release())
            .run(&["upgrade-check"]),
    );
    let version = ksnode::VERSION;
    let text =
        format!("ksnode {version}+rehearsal: writes schema {next}, reads schemas 1 to {next}\n");
    assert_eq!(told, text);
    // Part of a release is none.
    for part in [["--schema", "5"], ["--version", "1"]] {
        let output = setup.run(&[&["upgrade-check"], &part[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    assert!(!setup.data("").exists(), "nothing is made for it");
}

#[test]
fn what_takes_the_data_is_accepted() {
    let (_home, setup) = stopped();
    let (this, next) = schemas();
    let arguments = [
        "upgrade-check",
        "--version",
        "9.9.9",
        "--oldest-schema",
        "1",
    ];
    let text =
        |schema: &str| printed(&setup.run(&[&arguments[..], &["--schema", schema]].concat()));
    let node = setup.start();
    assert!(text(&this).contains("takes the data as it is"));
    assert!(text(&next).contains("makes a backup at its first start and then migrates"));
    let warnings = answers(&check(&setup, &next, &this), 0, &[]);
    assert_eq!(warnings, [""; 0]);
    assert!(node.stop().success());
    answers(&check(&setup, &next, &this), 0, &[]);
    std::fs::remove_dir_all(setup.data("")).unwrap();
    assert!(text("1").contains("there is no database yet"));
    answers(&check(&setup, "9", "8"), 0, &[]);
    assert!(!setup.data("").exists(), "nothing is made for it");
}

#[test]
fn what_does_not_take_the_data_is_refused_with_what_to_do() {
    let (_home, setup) = stopped();
    let (this, next) = schemas();
    let _node = setup.start();
    let database = setup.data("ksnode.db");
    let database = database.to_str().unwrap();
    let texts = [
        database,
        &format!("is of schema {this}, and ksnode 9.9.9 reads schemas {next} to 9"),
        "Install a version between",
    ];
    answers(&check(&setup, "9", &next), 1, &texts);
    let texts = [
        "reads schemas up to 2",
        "no way back from schema",
        "Keep this",
    ];
    answers(&check(&setup, "2", "1"), 1, &texts);
}

#[test]
fn the_backup_from_before_an_upgrade_without_a_way_back_is_named() {
    let (_home, setup) = stopped();
    open(&setup).execute_batch(TO_SCHEMA_2).unwrap();
    let _node = setup.start();
    let saved = listed(&setup)[0]["path"].as_str().unwrap().to_owned();
    let texts = [&saved, "`ksnode restore`", "lose what was registered"];
    answers(&check(&setup, "2", "1"), 1, &texts);
    let text = said(&check(&setup, "1", "1"));
    assert!(!text.contains(&saved), "it is of a newer schema: {text}");
}

#[test]
fn an_older_release_is_a_rollback() {
    let (_home, setup) = stopped();
    let next = setup.clone().program(next_release());
    let _node = next.start();
    let (this, _) = schemas();
    let command = format!("`ksnode rollback --schema {this}`");
    let texts = ["this is a rollback", &command, "no share is lost"];
    answers(&check(&next, &this, "1"), 3, &texts);
    // A program that the data is too new for knows no way.
    let texts = ["no way back from schema", "Keep this version"];
    let warnings = answers(&check(&setup, &this, "1"), 1, &texts);
    assert!(warnings[0].contains("cannot be told"), "{warnings:?}");
}

#[test]
fn a_full_disk_is_told_before_it_is_one() {
    let (_home, setup) = stopped();
    let (this, next) = schemas();
    // A log with nothing in it that takes no room, and looks as if it did.
    let log = std::fs::File::create(setup.data("ksnode.db-wal")).unwrap();
    log.set_len(8 << 40).unwrap();
    let texts = [
        "a backup is made before the data is migrated",
        "MiB are free",
    ];
    answers(&check(&setup, &next, "1"), 1, &texts);
    answers(&check(&setup, &this, "1"), 0, &[]);
}

#[test]
fn old_backups_are_a_warning() {
    let (_home, setup) = stopped();
    let (this, _) = schemas();
    age(&setup, 3);
    let warned = |text: &str| {
        let warnings = answers(&check(&setup, &this, "1"), 0, &["warning", text]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
    };
    warned("there is no good backup");
    let made = backup(&setup);
    assert_eq!(answers(&check(&setup, &this, "1"), 0, &[]), [""; 0]);
    age(&setup, 3);
    warned("the newest good backup is of ");
    std::fs::remove_file(made).unwrap();
    warned("there is no good backup");
}

#[test]
fn work_under_way_and_known_damage_are_waited_for_or_mended() {
    let (home, setup) = stopped();
    let (this, _) = schemas();
    let node = setup.start();
    let made = backup(&setup);
    // The restore waits for a secret that comes in time.
    let pipe = home.path().join("pipe");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let (made, secret) = (made.to_str().unwrap(), pipe.to_str().unwrap());
    let mut restore = setup.spawn(&["restore", made, "--dry-run", "--secret-file", secret]);
    wait_for("the restore to be refused", || {
        let output = check(&setup, &this, "1");
        (output.status.code() == Some(1)).then(|| {
            answers(
                &output,
                1,
                &["at work on a backup or a restore", "in a minute"],
            );
        })
    });
    let mut pipe = std::fs::File::options().write(true).open(&pipe).unwrap();
    pipe.write_all(b"whatever").unwrap();
    drop(pipe);
    restore.wait().unwrap();
    answers(&check(&setup, &this, "1"), 0, &[]);

    let sql = "UPDATE wallet SET sealed = zeroblob(96) WHERE id = 2";
    open(&setup).execute_batch(sql).unwrap();
    assert!(!setup.run(&["backup", "create"]).status.success());
    let texts = ["is damaged", "restore the last good backup"];
    answers(&check(&setup, &this, "1"), 1, &texts);
    assert!(node.stop().success());
}

/// An upgrade may be what mends it.
#[test]
fn a_node_that_does_not_answer_is_a_warning() {
    let (_home, setup) = stopped();
    let socket = setup.data("control.sock");
    let node = setup.start();
    assert!(socket.exists(), "{socket:?}");
    let (this, _) = schemas();
    // Nobody is to be let in, and something is to be there.
    std::fs::remove_file(&socket).unwrap();
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let warnings = answers(&check(&setup, &this, "1"), 0, &["warning"]);
    assert!(warnings[0].contains("cannot be told"), "{warnings:?}");
    drop(node);
}
