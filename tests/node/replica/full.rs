//! A Postgres whose disk is full. That takes a disk of a few MiB, which only root may mount: elsewhere these tests say so and
//! try nothing.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::{House, register_all, says, stands, verified, whole};
use crate::clients::assert_stored;
use crate::disk::Disk;
use crate::postgres::{ADMINISTRATOR, DATABASE, Postgres, give};
use crate::support::wait_for;

/// A disk that is the server's.
fn disk(postgres: &Postgres, mebibytes: usize) -> Option<(Disk, PathBuf)> {
    let at = postgres.folder().join("disk");
    let disk = Disk::mount(&at, mebibytes)?;
    give(&at);
    Some((disk, at))
}

/// There is no room for rows: the server refuses the batch and lives on.
#[test]
fn no_room_for_rows_is_waited_for() {
    let house = House::new();
    let Some((disk, at)) = disk(&house.postgres, 32) else {
        return;
    };
    let administer = |sql: &str| house.postgres.sql(ADMINISTRATOR, "postgres", sql);
    let at = at.display();
    administer(&format!("CREATE TABLESPACE small LOCATION '{at}'"));
    administer(&format!("ALTER DATABASE {DATABASE} SET TABLESPACE small"));
    let setup = house.setup();
    let node = setup.start();
    register_all(&node, 1..5);
    whole(&setup);
    disk.fill(0);
    register_all(&node, 5..100);
    let error = says(&setup, "give its disk room");
    assert!(error.contains("SQLSTATE 53100"), "{error}");
    register_all(&node, 100..110);
    assert_stored(&node, 109);
    disk.make_room();
    assert_eq!(verified(&setup), 109);
    let metrics = node.get_ops("/metrics").text;
    assert!(
        metrics.contains("ksnode_replica_snapshots_total 1\n"),
        "{metrics}"
    );
}

/// There is no room for the server's own log: it goes down, and does not come up before there is.
#[test]
fn no_room_for_the_servers_log_is_waited_for() {
    let mut house = House::beside(Postgres::start_with(
        "max_wal_size = 32MB\nmin_wal_size = 32MB",
    ));
    let Some((disk, at)) = disk(&house.postgres, 100) else {
        return;
    };
    house.postgres.stop();
    let log = house.postgres.data().join("pg_wal");
    let moved = at.join("pg_wal");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .args([&log, &moved])
        .status();
    assert!(copied.unwrap().success());
    std::fs::remove_dir_all(&log).unwrap();
    symlink(&moved, &log).unwrap();
    house.postgres.run();

    let setup = house.setup();
    let node = setup.start();
    register_all(&node, 1..5);
    whole(&setup);
    disk.fill(0);
    // Each call asks for the log's next file.
    wait_for("the server to go down", || {
        let next = "SELECT txid_current(); SELECT pg_switch_wal()";
        let output = house.postgres.try_sql(ADMINISTRATOR, "postgres", next);
        (!output.status.success()).then_some(())
    });
    register_all(&node, 5..30);
    stands(&setup, "away");
    assert_stored(&node, 29);
    disk.make_room();
    house.postgres.stop();
    house.postgres.run();
    assert_eq!(verified(&setup), 29);
}
