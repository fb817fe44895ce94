//! Soak: hours of mixed load, and everything that an operator's days bring, on one node: nothing fails, nothing leaks, and
//! nothing grows but by its rows.
//!
//! Each turn of [`turns`] sets the clock eleven hours on; so daily files, daily backups and what expires are turned over
//! many times. `KSNODE_SOAK_SECONDS=7200` is the long form; in the short one everything happens a few times.

mod load;
mod samples;
mod turns;

use std::time::Duration;

use crate::campaign::number;
use crate::operator::{metric, names, printed};
use crate::replica::{House, verified, whole};
use crate::support::Setup;
use crate::wall_clock::WallClock;
use load::Load;
use samples::{Sample, Sampler, Trend};
use turns::{Turns, finished, undisturbed};

const PASSWORD: &str = "correct horse";
/// `backup.keep_days` and `log.keep_days`.
const KEEP_DAYS: usize = 3;
const MEBIBYTE: u64 = 1 << 20;

#[test]
fn hours_of_everything_fail_nothing_and_leak_nothing() {
    let length = Duration::from_secs(number("KSNODE_SOAK_SECONDS", 40));
    let mut house = House::new();
    let setup = of(&house);
    let clock = WallClock::new(house.home.path());
    let node = clock.start(&setup);
    let before = names(&setup.data(""));
    let load = Load::new(&node, &clock);
    let sampler = Sampler::new(&node, &setup);
    let mut turns = Turns::new(&setup, &clock);
    let samples = load.go_on_while(|load| {
        turns.warm_up(&mut house.postgres);
        sampler.during(length, load, || turns.turn(&mut house.postgres, length))
    });
    println!("{load}\n{turns}\n{}", samples::table(&samples));
    assert_eq!(load.wrong(), 0, "wrong answers are printed above");

    load.assert_all_there();
    whole(&setup);
    assert_eq!(verified(&setup), load.users());
    assert_tidy(&setup, &before);
    for name in [
        "ksnode_store_commit_failures_total",
        "ksnode_audit_failures_total",
        "ksnode_database_damaged",
        "ksnode_store_writes_refused",
    ] {
        assert_eq!(metric(&node, name), 0.0, "{name}");
    }
    printed(&setup.run(&["status"]));
    printed(&setup.run(&["audit", "verify"]));
    assert_bounded(&samples);
    let log = node.logged();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    assert!(node.stop().success());
}

fn of(house: &House) -> Setup {
    let logs = house.home.path().join("logs");
    let days = KEEP_DAYS.to_string();
    house
        .setup()
        .env("KSNODE_ADMIN__PASSWORD", PASSWORD)
        .env("KSNODE_LOG__DIR", logs.to_str().unwrap())
        .env("KSNODE_LOG__KEEP_DAYS", &days)
        .env("KSNODE_BACKUP__KEEP_DAYS", &days)
        .env("KSNODE_BACKUP__CHECK_INTERVAL_SECONDS", "60")
}

/// The newest backup is whole, and the folders hold what they should: the data folder what it held `before`.
fn assert_tidy(setup: &Setup, before: &[String]) {
    let newest = finished(setup);
    let (newest, all) = (&newest[0], newest.len());
    undisturbed(setup, &["backup", "verify", newest, "--json"]);
    assert_eq!(names(&setup.data("backups")).len(), all);
    for name in names(&setup.data("")) {
        let known = before.contains(&name) || name == "backups";
        assert!(known, "{name} is left in the data folder");
    }
}

/// The last quarter against the first.
fn assert_bounded(samples: &[Sample]) {
    let trend = |of: fn(&Sample) -> u64| Trend::of(samples, of);
    let memory = trend(|sample| sample.memory);
    let files = trend(|sample| sample.files);
    let threads = trend(|sample| sample.threads);
    println!("memory {memory}, open files {files}, threads {threads}");
    // A derivation of a key, and what is cached of a database that has grown.
    assert!(memory.last < memory.first * 5 / 4 + 80 * MEBIBYTE);
    assert!(files.last <= files.first + 8);
    assert!(threads.last <= threads.first + 8);
    let most = |of: fn(&Sample) -> u64| samples.iter().map(of).max().unwrap();
    // The write-ahead log is begun anew at 64 MiB, later while a backup reads.
    assert!(most(|sample| sample.wal) < 192 * MEBIBYTE);
    assert!(most(|sample| sample.log_files) <= KEEP_DAYS as u64);
    let last = samples.last().unwrap();
    assert!(last.database < 4 * MEBIBYTE + 4096 * last.users, "{last:?}");
    // A line for each request at most.
    assert!(last.logs < MEBIBYTE + 400 * last.requests, "{last:?}");
    assert!(last.other < MEBIBYTE, "{last:?}");
}
