//! `backup.after`: the operator's command that takes a backup elsewhere.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::operator::{backup, document, listed, metric, name, printed, said};
use crate::support::{Node, Setup, wait_for};

fn setup(home: &Path, command: &str) -> Setup {
    Setup::new(home).env("KSNODE_BACKUP__AFTER", command)
}

/// Waits until the newest backup's hook is known to have failed.
#[track_caller]
fn failure(setup: &Setup) -> String {
    wait_for("the hook to fail", || {
        let newest = listed(setup).remove(0);
        assert_eq!(newest["status"], "COMPLETED");
        newest["hook_error"].as_str().map(str::to_owned)
    })
}

/// It is everywhere, and the backup is good all the same.
#[track_caller]
fn assert_told(setup: &Setup, node: &Node, path: &Path, text: &str) {
    let error = failure(setup);
    assert!(error.contains(text), "{error}");
    assert_eq!(metric(node, "ksnode_backup_hook_failures_total"), 1.0);
    assert_eq!(metric(node, "ksnode_backup_checked"), 1.0);
    assert_eq!(node.get("/status").json()["is_db_backup_checked"], true);
    let table = printed(&setup.run(&["backup", "list"]));
    assert!(table.contains("the hook failed: "), "{table}");
    assert!(table.contains(text), "{table}");
    node.logs("backup.after failed; the backup itself is good");
    node.logs(text);
    assert!(path.is_file());
}

#[test]
fn it_gets_the_file_of_each_backup() {
    let home = tempfile::tempdir().unwrap();
    let copies = home.path().join("off site");
    std::fs::create_dir(&copies).unwrap();
    let command = format!(
        r#"cp "$1" '{0}/' && env > '{0}/env' && mv '{0}/env' '{0}/done'"#,
        copies.display()
    );
    let setup = setup(home.path(), &command);
    let node = setup.start();
    let path = backup(&setup);
    let environment = wait_for("the hook", || {
        std::fs::read_to_string(copies.join("done")).ok()
    });
    let copy = std::fs::read(copies.join(name(&path))).unwrap();
    assert_eq!(copy, std::fs::read(&path).unwrap());
    assert!(environment.contains(&format!("KSNODE_BACKUP_FILE={}", path.display())));
    // Nothing of the node's own.
    assert_eq!(environment.matches("KSNODE_").count(), 1, "{environment}");
    assert_eq!(listed(&setup)[0]["hook_error"], Value::Null);
    assert_eq!(metric(&node, "ksnode_backup_hook_failures_total"), 0.0);
}

#[test]
fn its_failure_is_shown_and_the_backup_is_good() {
    let home = tempfile::tempdir().unwrap();
    let setup = setup(home.path(), "echo no route to the vault >&2; exit 3");
    let node = setup.start();
    let path = backup(&setup);
    assert_told(&setup, &node, &path, "no route to the vault");
    assert!(failure(&setup).contains("exit status: 3"));
    // Monitoring hears of it too.
    wait_for("the status", || {
        let status = setup.run(&["status"]);
        let text = String::from_utf8_lossy(&status.stdout).into_owned();
        (status.status.code() == Some(1) && text.contains("backup.after failed")).then_some(())
    });
}

#[test]
fn it_is_killed_with_all_it_started_when_it_takes_too_long() {
    let home = tempfile::tempdir().unwrap();
    let pid = home.path().join("pid");
    let command = format!(
        "echo dialling; sleep 300 & echo $! > '{}'; wait",
        pid.display()
    );
    let setup = setup(home.path(), &command).env("KSNODE_BACKUP__AFTER_TIMEOUT_SECONDS", "1");
    let node = setup.start();
    let path = backup(&setup);
    assert_told(
        &setup,
        &node,
        &path,
        "longer than 1 s and was killed; it said: dialling",
    );
    let pid = std::fs::read_to_string(pid).unwrap();
    wait_for("its child to be gone", || is_gone(pid.trim()).then_some(()));
}

/// Whether a process has ended; whoever is to collect it may take its time.
fn is_gone(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn it_does_not_hold_up_a_stop() {
    let home = tempfile::tempdir().unwrap();
    let pid = home.path().join("pid");
    let command = format!("echo $$ > '{}'; sleep 300", pid.display());
    let setup = setup(home.path(), &command);
    let node = setup.start();
    backup(&setup);
    let pid = wait_for("the hook", || {
        std::fs::read_to_string(&pid)
            .ok()
            .filter(|pid| pid.ends_with('\n'))
    });
    let asked = Instant::now();
    assert!(node.stop().success());
    assert!(asked.elapsed() < Duration::from_secs(10));
    wait_for("it to be gone", || is_gone(pid.trim()).then_some(()));
}

#[test]
fn the_command_waits_for_it_on_a_stopped_node() {
    let home = tempfile::tempdir().unwrap();
    let moved = home.path().join("moved");
    let command = format!("sleep 0.5; cp \"$1\" '{}'", moved.display());
    let good = setup(home.path(), &command);
    assert!(good.start().stop().success());
    let path = backup(&good);
    assert_eq!(std::fs::read(&moved).unwrap(), std::fs::read(path).unwrap());
    assert_eq!(listed(&good)[0]["hook_error"], Value::Null);

    let bad = setup(home.path(), "sleep 0.2; echo no route; exit 3");
    let output = bad.run(&["backup", "create", "--json"]);
    let warning = "the backup is good, but its hook (backup.after) failed";
    assert!(said(&output).contains(warning), "{}", said(&output));
    let told = document(&output)["backup"]["hook_error"].clone();
    assert!(told.as_str().unwrap().contains("no route"), "{told}");
    assert_eq!(listed(&bad)[0]["hook_error"], told);
}
