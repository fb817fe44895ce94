//! What matters most, with the newest Postgres that Debian has. `KSNODE_POSTGRES` lets all other tests run with it too.

use std::path::PathBuf;
use std::process::Command;

use super::{House, register_all, text, verified, whole};
use crate::clients::assert_stored;
use crate::postgres::Postgres;

/// The folder of its programs; `None`, and a word about it, where there is no apt to fetch them.
fn programs() -> Option<PathBuf> {
    let found = Command::new("apt-get").arg("--version").output();
    if found.is_err() {
        eprintln!("skipped: without apt-get Debian's newest Postgres cannot be had");
        return None;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/newest-postgres");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let printed = String::from_utf8(output.stdout).unwrap();
    Some(printed.trim().into())
}

#[test]
fn the_newest_postgres_is_filled_followed_killed_and_rebuilt_from() {
    let Some(programs) = programs() else { return };
    let mut house = House::beside(Postgres::start_from(programs, ""));
    let version = house.postgres.query("SHOW server_version_num");
    assert!(version.parse::<u32>().unwrap() >= 170_000, "{version}");
    let setup = house.setup();
    let mut node = setup.start();
    register_all(&node, 1..20);
    whole(&setup);
    assert_eq!(verified(&setup), 19);
    house.postgres.kill();
    register_all(&node, 20..30);
    house.postgres.run();
    assert_eq!(verified(&setup), 29);
    register_all(&node, 30..40);
    node.kill();
    node = setup.start();
    assert_eq!(verified(&setup), 39);
    node.kill();

    let secret = house.home.path().join("secret");
    std::fs::copy(setup.data("secret"), &secret).unwrap();
    std::fs::remove_dir_all(setup.data("")).unwrap();
    std::fs::create_dir_all(setup.data("")).unwrap();
    std::fs::copy(&secret, setup.data("secret")).unwrap();
    let output = setup.run(&["restore", "--from-replica", "--yes"]);
    assert!(output.status.success(), "{}", text(&output));
    let node = setup.start();
    for user in 1..40 {
        assert_stored(&node, user);
    }
    assert_eq!(verified(&setup), 39);
}
