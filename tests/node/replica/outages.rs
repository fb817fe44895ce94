//! What breaks in between: processes, servers, networks.

use std::time::Duration;

use super::proxy::Proxy;
use super::timelines::restore;
use super::{House, USERS, register, register_all, says, stands, state, verified, whole};
use crate::campaign::campaign;
use crate::clients::assert_stored;
use crate::postgres::{ADMINISTRATOR, DATABASE};
use crate::support::{Node, Setup, wait_for};

/// The number of rounds is `KSNODE_KILL_ROUNDS`.
#[test]
fn kills_of_either_side_leave_neither_gap_nor_duplicate() {
    let (rounds, mut dice) = campaign(8);
    let mut house = House::new();
    let setup = house.setup();
    let mut node = setup.start();
    let mut next = 1;
    for round in 0..rounds {
        let users = next..next + 10 + dice.throw(20);
        next = users.end;
        let wait = Duration::from_micros(dice.throw(30_000));
        register_all(&node, users);
        std::thread::sleep(wait);
        match round % 3 {
            0 => {
                node.kill();
                node = setup.start();
            }
            1 => {
                house.postgres.kill();
                register_all(&node, next..next + 5);
                next += 5;
                house.postgres.run();
            }
            _ => {
                house.postgres.kill();
                node.kill();
                house.postgres.run();
                node = setup.start();
            }
        }
        assert_eq!(verified(&setup), next - 1, "round {round}");
    }
    let snapshots = node.get_ops("/metrics").text;
    assert!(
        snapshots.contains("ksnode_replica_snapshots_total 0"),
        "{snapshots}"
    );
}

#[test]
fn a_commit_whose_answer_is_lost_is_neither_repeated_nor_forgotten() {
    let house = House::new();
    let proxy = Proxy::start(house.postgres.port());
    let setup = house.setup_through(proxy.port());
    let node = setup.start();
    register_all(&node, 1..5);
    whole(&setup);
    let mut next = 5;
    for done in [true, false, true, true, false] {
        proxy.cut_at_commit(done);
        while proxy.waits() {
            register(&node, next).data();
            next += 1;
        }
        assert_eq!(verified(&setup), next - 1, "the server had done it: {done}");
    }
    let metrics = node.get_ops("/metrics").text;
    assert!(
        metrics.contains("ksnode_replica_snapshots_total 1\n"),
        "{metrics}"
    );
    assert!(
        !metrics.contains("ksnode_replica_failures_total 0\n"),
        "{metrics}"
    );
}

#[test]
fn an_outage_longer_than_the_log_ends_in_a_snapshot() {
    let mut house = House::new();
    let setup = house.setup().env("KSNODE_REPLICA__MAX_LOG_ROWS", "1000");
    let node = setup.start();
    register_all(&node, 1..5);
    whole(&setup);
    house.postgres.stop();
    says(&setup, "cannot be reached");
    register_all(&node, 5..500);
    node.logs("it will be filled anew");
    let problems = super::text(&setup.run(&["status"]));
    assert!(
        problems.contains("WRONG:   the replica is away and lacks"),
        "{problems}"
    );
    house.postgres.run();
    assert_eq!(verified(&setup), 499);
    node.logs("changes after it are no longer in the log");
    // A restart in the middle of an outage decides the same way.
    house.postgres.stop();
    stands(&setup, "away");
    let cuts = |node: &Node| node.logged().matches("it will be filled anew").count();
    let before = cuts(&node);
    register_all(&node, 500..1000);
    wait_for("the log to be cut", || (cuts(&node) > before).then_some(()));
    node.kill();
    let _node = setup.start();
    house.postgres.run();
    assert_eq!(verified(&setup), 999);
}

#[test]
fn a_slow_and_breaking_network_is_only_slow() {
    let house = House::new();
    let proxy = Proxy::start(house.postgres.port());
    let setup = house.setup_through(proxy.port());
    let node = setup.start();
    whole(&setup);
    proxy.delay(Duration::from_millis(30));
    register_all(&node, 1..50);
    proxy.close(true);
    stands(&setup, "away");
    register_all(&node, 50..100);
    assert_stored(&node, 99);
    proxy.close(false);
    assert_eq!(verified(&setup), 99);
    proxy.delay(Duration::ZERO);
    assert_eq!(verified(&setup), 99);
}

#[test]
fn a_standby_that_is_promoted_is_followed_even_when_it_lacks_something() {
    let mut house = House::new();
    let standby = house.postgres.standby();
    let both = format!(
        "postgresql://node@127.0.0.1:{},127.0.0.1:{}/{DATABASE}?sslmode=disable",
        house.postgres.port(),
        standby.port()
    );
    let setup = Setup::new(house.home.path())
        .env("KSNODE_REPLICA__URL", &both)
        .env("KSNODE_REPLICA__PASSWORD", crate::postgres::PASSWORD);
    let node = setup.start();
    register_all(&node, 1..20);
    whole(&setup);
    wait_for("the standby to follow", || {
        (standby.query(USERS) == "19").then_some(())
    });
    // What comes now never reaches the standby.
    standby.sql(ADMINISTRATOR, "postgres", "SELECT pg_wal_replay_pause()");
    register_all(&node, 20..40);
    whole(&setup);
    std::thread::sleep(Duration::from_millis(1500));
    house.postgres.kill();
    standby.promote();
    register_all(&node, 40..60);
    assert_eq!(verified(&setup), 59);
    assert!(
        state(&setup)["place"]
            .as_str()
            .unwrap()
            .contains(&standby.port().to_string())
    );
}

#[test]
fn a_server_that_is_read_only_or_full_is_waited_for() {
    let house = House::new();
    let setup = house.setup();
    let node = setup.start();
    register_all(&node, 1..5);
    whole(&setup);
    let postgres = &house.postgres;
    let cut = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{DATABASE}' AND pid <> pg_backend_pid()"
    );
    let administer = |sql: &str| postgres.sql(ADMINISTRATOR, "postgres", sql);
    administer(&format!(
        "ALTER DATABASE {DATABASE} SET default_transaction_read_only = on"
    ));
    administer(&cut);
    says(&setup, "read-only");
    register_all(&node, 5..10);
    administer(&format!(
        "ALTER DATABASE {DATABASE} RESET default_transaction_read_only"
    ));
    assert_eq!(verified(&setup), 9);

    administer("ALTER ROLE node CONNECTION LIMIT 0");
    administer(&cut);
    says(&setup, "too many connections");
    register_all(&node, 10..15);
    administer("ALTER ROLE node CONNECTION LIMIT -1");
    assert_eq!(verified(&setup), 14);
}

#[test]
fn a_server_that_is_restarted_now_and_then_is_followed() {
    let mut house = House::new();
    let setup = house.setup();
    let node = setup.start();
    for round in 0..3 {
        register_all(&node, round * 10..round * 10 + 10);
        house.postgres.stop();
        house.postgres.run();
    }
    assert_eq!(verified(&setup), 30);
}

/// Managed servers cancel what takes long: a filling, a comparison and the way back take as long as they take.
#[test]
fn a_server_that_cancels_what_takes_long_is_filled_compared_and_rebuilt_from() {
    let house = House::new();
    let postgres = &house.postgres;
    // The second one came with Postgres 17.
    for limit in ["statement_timeout", "transaction_timeout"] {
        let known = format!("SELECT count(*) FROM pg_settings WHERE name = '{limit}'");
        if postgres.query(&known) == "1" {
            postgres.query(&format!("ALTER ROLE node SET {limit} = '150ms'"));
        }
    }
    let proxy = Proxy::start(postgres.port());
    let setup = house.setup_through(proxy.port());
    let node = setup.start();
    register_all(&node, 1..20);
    assert_eq!(verified(&setup), 19);
    // To and fro, so that the COPY of each table takes longer than it may.
    proxy.delay(Duration::from_millis(100));
    assert!(setup.run(&["replica", "resync"]).status.success());
    wait_for("the filling", || {
        let metrics = node.get_ops("/metrics").text;
        let filled = metrics.contains("ksnode_replica_snapshots_total 2\n");
        filled.then_some(())
    });
    proxy.delay(Duration::ZERO);
    // Each row takes its time, and so does whoever reads them all.
    postgres.query(
        "ALTER TABLE ksnode.\"user\" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
         CREATE POLICY slow ON ksnode.\"user\" USING (pg_sleep(0.02) IS NOT NULL)",
    );
    assert_eq!(verified(&setup), 19);
    assert!(node.stop().success());
    restore(&setup, &["--from-replica"]);
    // It takes no COPY as it is.
    postgres.query("ALTER TABLE ksnode.\"user\" DISABLE ROW LEVEL SECURITY");
    let node = setup.start();
    assert_stored(&node, 19);
    assert_eq!(verified(&setup), 19);
}

/// A snapshot that does not come to its end leaves what was there: there is never half a replica.
#[test]
fn a_snapshot_that_is_cut_changes_nothing() {
    let mut house = House::new();
    let proxy = Proxy::start(house.postgres.port());
    let setup = house.setup_through(proxy.port());
    let mut node = setup.start();
    register_all(&node, 1..100);
    assert_eq!(verified(&setup), 99);
    // On its way by then; each piece of it takes so long.
    let begin = |setup: &Setup| {
        proxy.delay(Duration::from_millis(300));
        assert!(setup.run(&["replica", "resync"]).status.success());
        stands(setup, "filling");
    };
    begin(&setup);
    node.kill();
    let left =
        "SELECT count(*) || ' ' || (SELECT count(*) FROM ksnode.wallet) FROM ksnode.\"user\"";
    assert_eq!(house.postgres.query(left), "99 198");
    proxy.delay(Duration::ZERO);
    node = setup.start();
    assert_eq!(verified(&setup), 99);

    begin(&setup);
    house.postgres.kill();
    stands(&setup, "away");
    register_all(&node, 100..110);
    proxy.delay(Duration::ZERO);
    house.postgres.run();
    assert_eq!(verified(&setup), 109);

    begin(&setup);
    register_all(&node, 110..120);
    proxy.close(true);
    stands(&setup, "away");
    proxy.delay(Duration::ZERO);
    proxy.close(false);
    assert_eq!(verified(&setup), 119);
}
