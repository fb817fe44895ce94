//! Clocks that are far away and that jump: what the node has stays, what it does goes on, and no date is too much for it.

use std::time::Duration;

use ksnode::clock::Timestamp;
use serde_json::Value;

use crate::bad_disk::BadDisk;
use crate::clients::{assert_sound, check};
use crate::operator::{backup, document, listed, names, printed};
use crate::support::{Node, Setup, get_body, register_body, share, wait_for};
use crate::tls::acme::{certificate, issued, world};
use crate::wall_clock::WallClock;

/// The days on which programs have failed: a leap day, the end of signed 32-bit seconds, the year that is no leap year although
/// four divides it, the end of unsigned ones; then back to today, and before all that was done here.
const MOMENTS: [Option<&str>; 6] = [
    Some("2028-02-29T23:59:50.000Z"),
    Some("2038-01-19T03:14:00.000Z"),
    Some("2100-02-28T23:59:50.000Z"),
    Some("2106-02-07T06:28:10.000Z"),
    None,
    Some("2001-09-09T01:46:30.000Z"),
];
const DAY: Duration = Duration::from_secs(86_400);

fn set(clock: &WallClock, moment: Option<&str>) {
    match moment {
        Some(moment) => clock.set(Timestamp::parse(moment).unwrap()),
        None => clock.set_right(),
    }
}

fn token(clock: &WallClock, user: u64) -> String {
    clock.token(user, Duration::from_secs(1))
}

fn register(clock: &WallClock, node: &Node, user: u64) {
    let body = register_body(user);
    node.post("/keyshare/v2/register", &token(clock, user), &body)
        .data();
}

fn holds(clock: &WallClock, node: &Node, user: u64) {
    let answer = node.post("/keyshare/v2", &token(clock, user), &get_body(user));
    assert_eq!(answer.data()["ed25519"]["share"], share("ed25519", user));
}

fn with_logs(home: &std::path::Path) -> Setup {
    Setup::new(home).env("KSNODE_LOG__DIR", home.join("logs").to_str().unwrap())
}

#[test]
fn a_clock_that_jumps_takes_nothing_and_stops_nothing() {
    let home = tempfile::tempdir().unwrap();
    // Each jump would make one due, and there is one at a time.
    let setup = with_logs(home.path())
        .env("KSNODE_BACKUP__AT", "")
        .env("KSNODE_TLS__MODE", "off");
    let clock = WallClock::new(home.path());
    let node = clock.start(&setup);
    for (user, moment) in (1..).zip(MOMENTS) {
        let login = token(&clock, 1);
        set(&clock, moment);
        register(&clock, &node, user);
        for known in 1..=user {
            holds(&clock, &node, known);
        }
        // A login of another time is too old, or of the future.
        node.post("/keyshare/v2", &login, &get_body(1))
            .refused(401, "UNAUTHORIZED");
        let file = backup(&setup);
        let status = node.get("/status").json();
        assert_eq!(status["is_db_backup_checked"], true, "{moment:?}: {status}");
        assert!(Timestamp::parse(status["latest_backup_time"].as_str().unwrap()).is_some());
        printed(&setup.run(&["backup", "verify", file.to_str().unwrap()]));
        printed(&setup.run(&["audit", "verify"]));
    }
    assert!(node.stop().success());
    // And each of these is a day on which a node may start.
    let setup = setup.env("KSNODE_TLS__MODE", "self-signed");
    for moment in MOMENTS {
        set(&clock, moment);
        let node = clock.start(&setup);
        assert!(node.url.starts_with("https"));
        assert!(node.stop().success());
    }
    clock.set_right();
    let setup = setup.env("KSNODE_TLS__MODE", "off");
    let node = clock.start(&setup);
    assert_eq!(check(&node, 1), (true, true));
    for user in 1..=MOMENTS.len() as u64 {
        holds(&clock, &node, user);
    }
    let all = printed(&setup.run(&["audit", "list"]));
    assert!(all.contains("2106-") && all.contains("2001-"), "{all}");
    printed(&setup.run(&["audit", "verify"]));
    let log = node.logged();
    assert!(!log.contains("panicked"), "{log}");
    assert!(node.stop().success());
    assert_sound(&setup.data("ksnode.db"), MOMENTS.len());
}

/// The clock says that all backups are too old, and no new one can be made.
#[test]
fn the_last_good_backup_outlives_a_jump_and_backups_go_on_after_one_back() {
    let home = tempfile::tempdir().unwrap();
    let disk = BadDisk::under(home.path());
    let setup = disk.carries(with_logs(home.path()));
    let clock = WallClock::new(home.path());
    let node = clock.start(&setup);
    register(&clock, &node, 1);
    backup(&setup);
    let last = backup(&setup);
    assert!(node.stop().success());

    clock.advance(DAY * 365 * 20);
    disk.fails(("flush", ".partial$", "EIO"));
    let node = clock.start(&setup);
    wait_for("the backup that is due to fail", || {
        (listed(&setup)[0]["status"] == "FAILED").then_some(())
    });
    disk.is_mended();
    assert!(last.exists());
    printed(&setup.run(&["backup", "verify", last.to_str().unwrap()]));
    // The next one is good, and may have the room of the others.
    let future = backup(&setup);
    assert!(node.stop().success());

    clock.set_right();
    let node = clock.start(&setup);
    holds(&clock, &node, 1);
    register(&clock, &node, 2);
    let today = backup(&setup);
    assert!(future.exists() && today.exists());
    printed(&setup.run(&["status"]));
    let before = names(&setup.data("backups")).len();
    assert!(node.stop().success());
    // Those of the future silence nothing: the next day has its own.
    clock.advance(DAY * 2);
    let node = clock.start(&setup);
    let made = wait_for("the backup of the day", || {
        let newest = listed(&setup)
            .into_iter()
            .find(|item| item["kind"] == "scheduled" && item["status"] == "COMPLETED");
        newest.filter(|_| names(&setup.data("backups")).len() > before)
    });
    let path = made["path"].as_str().unwrap().to_owned();
    document(&setup.run(&["backup", "verify", &path, "--json"]));
    assert!(node.stop().success());
}

/// The certificate that a running node has instead of the one it had, after its clock went on by `by` in one step.
fn renewed_after(clock: &WallClock, setup: &Setup, by: Duration) -> Value {
    let before = certificate(setup);
    clock.advance(by);
    let now = wait_for("another certificate", || {
        let now = certificate(setup);
        (now["sha256"] != before["sha256"]).then_some(now)
    });
    assert!(now["error"].is_null(), "{now}");
    assert_eq!(now["source"], before["source"]);
    now
}

#[test]
fn a_jump_to_the_end_of_an_issued_certificate_has_it_renewed() {
    let home = tempfile::tempdir().unwrap();
    let (mut pebble, setup) = world(home.path(), "node.example.org");
    pebble.start();
    let clock = WallClock::new(home.path());
    let node = clock.start_with_monotonic(&setup);
    issued(&setup, &pebble);
    // Of 90 days. The authority's own clock stays, and so does the end of what it issues.
    renewed_after(&clock, &setup, DAY * 70);
    assert!(node.stop().success());
}

#[test]
fn a_jump_beyond_the_nodes_own_certificate_has_it_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let setup = with_logs(home.path()).env("KSNODE_TLS__MODE", "self-signed");
    let clock = WallClock::new(home.path());
    let node = clock.start_with_monotonic(&setup);
    let now = renewed_after(&clock, &setup, DAY * 365 * 12);
    assert_eq!(now["standing"], "good", "{now}");
    assert!(node.stop().success());
}
