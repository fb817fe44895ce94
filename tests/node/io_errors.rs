//! Errors of the disk, given to the real program by strace in the place of system calls: what fails is told, nothing that was
//! acknowledged is lost, and the node goes on with what it can.

use std::path::Path;

use crate::clients::{assert_sound, assert_stored};
use crate::operator::{has_user, holds, metric, names, printed, refused, register, said};
use crate::support::{Answer, Node, Setup, register_body, token, wait_for};

/// Options for strace: these calls fail with this error, on these paths alone where some are given.
pub fn inject(calls: &str, error: &str, paths: &[&Path]) -> String {
    let paths = paths.iter().map(|path| format!(" -P {}", path.display()));
    let paths: String = paths.collect();
    format!("-o /dev/null -e trace={calls} -e inject={calls}:error={error}{paths}")
}

/// The calls by which files and folders are flushed.
const FLUSH: &str = "fsync,fdatasync";

fn try_register(node: &Node, user: u64) -> Answer {
    node.post("/keyshare/v2/register", &token(user), &register_body(user))
}

/// A node that was stopped, with users 1 to 3.
fn stopped(home: &Path) -> Setup {
    let setup = Setup::new(home);
    let node = setup.start();
    register(&node, 1..=3);
    assert!(node.stop().success());
    setup
}

#[test]
fn a_failed_flush_of_the_log_stops_all_acknowledging_until_the_disk_is_well() {
    let home = tempfile::tempdir().unwrap();
    let setup = stopped(home.path());
    // Each thread's: of the writer the flush of a commit and the next two attempts to make it good.
    let options = inject(FLUSH, "EIO:when=6..8", &[&setup.data("ksnode.db-wal")]);
    let node = setup.start_traced(&options);
    let mut next = 4;
    let failed = loop {
        let answer = try_register(&node, next);
        if answer.status != 200 {
            break answer;
        }
        next += 1;
        assert!(next < 40, "no flush failed");
    };
    failed.refused(500, "UNKNOWN_ERROR");
    let answer = try_register(&node, next);
    let message = answer.refused(503, "UNKNOWN_ERROR");
    assert!(message.contains("try again in a moment"), "{message}");
    assert_eq!(answer.header("retry-after"), "1");
    for user in 1..next {
        assert_stored(&node, user);
    }
    assert!(!has_user(&node, next));
    let status = setup.run(&["status"]);
    assert_eq!(status.status.code(), Some(1));
    let page = String::from_utf8(status.stdout).unwrap();
    let told = "no write is accepted, because the disk did not take a flush";
    assert!(page.contains(told), "{page}");
    assert_eq!(metric(&node, "ksnode_store_writes_refused"), 1.0);

    wait_for("the disk to be well", || {
        (try_register(&node, next).status == 200).then_some(())
    });
    node.logs("the disk did not take a flush of the database");
    node.logs("writes are accepted again");
    printed(&setup.run(&["status"]));
    assert_eq!(metric(&node, "ksnode_store_writes_refused"), 0.0);
    node.kill();
    let node = setup.start();
    for user in 1..=next {
        assert_stored(&node, user);
    }
    assert!(node.stop().success());
    assert_sound(&setup.data("ksnode.db"), next as usize);
}

#[test]
fn a_database_file_that_cannot_be_flushed_keeps_its_log() {
    let home = tempfile::tempdir().unwrap();
    let setup = stopped(home.path());
    let options = inject(FLUSH, "EIO", &[&setup.data("ksnode.db")]);
    let node = setup.start_traced(&options);
    register(&node, 4..=6);
    assert!(node.stop().success());
    assert!(setup.data("ksnode.db-wal").metadata().unwrap().len() > 0);
    // What a run left is to be on the disk before anything is answered from it.
    let output = setup.run_traced(&options, &["serve"]);
    refused(&output, 1, &["does not take flushes", "dmesg"]);
    let node = setup.start();
    holds(&node, 1..=6);
    assert!(node.stop().success());
    assert_sound(&setup.data("ksnode.db"), 6);
}

#[test]
fn a_log_that_cannot_be_written_is_refused_and_survived() {
    let home = tempfile::tempdir().unwrap();
    let setup = stopped(home.path());
    for error in ["EIO:when=8..9", "ENOSPC:when=8..9"] {
        let options = inject("pwrite64", error, &[&setup.data("ksnode.db-wal")]);
        let node = setup.start_traced(&options);
        let refused: Vec<u64> = (100..110)
            .filter(|user| {
                let answer = try_register(&node, *user);
                let known = [200, 409].contains(&answer.status);
                assert!(known || answer.status == 500, "{answer:?}");
                !known
            })
            .collect();
        assert!(refused.len() <= 2, "{refused:?}");
        for user in refused {
            try_register(&node, user);
        }
        for user in (1..=3).chain(100..110) {
            assert_stored(&node, user);
        }
        node.kill();
    }
    let node = setup.start();
    assert!(node.stop().success());
    assert_sound(&setup.data("ksnode.db"), 13);
}

#[test]
fn a_secret_that_is_not_flushed_or_not_named_is_none() {
    let home = tempfile::tempdir().unwrap();
    let setup = Setup::new(home.path());
    for calls in ["fsync", "renameat2,link,linkat,rename"] {
        let output = setup.run_traced(&inject(calls, "EIO", &[]), &["serve"]);
        assert_eq!(output.status.code(), Some(1));
        let error = said(&output);
        assert!(error.contains("(os error 5)"), "{error}");
        assert!(!setup.data("ksnode.db").exists());
        assert!(!setup.data("secret").exists());
    }
    let node = setup.start();
    register(&node, 1..=1);
    assert!(node.stop().success());
    let again = ["secret", "change"];
    let output = setup.run_traced(&inject("rename", "EIO", &[]), &again);
    refused(&output, 1, &["run this command again"]);
    assert!(said(&setup.fail()).contains("run `ksnode secret change` to finish it"));
    printed(&setup.run(&again));
    let node = setup.start();
    holds(&node, 1..=1);
    assert!(node.stop().success());
    // A file that was mounted by itself cannot be replaced, which shows before anything is changed.
    let links = "link,linkat";
    let output = setup.run_traced(&inject(links, "EXDEV", &[]), &again);
    refused(
        &output,
        1,
        &["mount of its own", "nothing was changed", "--new"],
    );
    let node = setup.start();
    holds(&node, 1..=1);
    assert!(node.stop().success());
    // Where there are no hard links the old one is copied.
    let kept = std::fs::read(setup.data("secret")).unwrap();
    printed(&setup.run_traced(&inject(links, "EPERM", &[]), &again));
    let files = names(&setup.data("")).into_iter();
    let old: Vec<_> = files.filter(|name| name.ends_with(".old")).collect();
    let newest = setup.data(old.last().unwrap());
    assert!(
        old.len() == 2 && std::fs::read(newest).unwrap() == kept,
        "{old:?}"
    );
    holds(&setup.start(), 1..=1);
}

#[test]
fn a_log_file_that_takes_nothing_stops_nothing() {
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs");
    let setup = stopped(home.path()).env("KSNODE_LOG__DIR", logs.to_str().unwrap());
    assert!(setup.start().stop().success());
    let files: Vec<_> = names(&logs).iter().map(|file| logs.join(file)).collect();
    let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
    let node = setup.start_traced(&inject("write", "ENOSPC", &files));
    register(&node, 4..=6);
    holds(&node, 1..=6);
    assert!(node.stop().success());
}
