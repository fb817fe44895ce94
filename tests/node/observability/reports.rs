//! Reports to the network's node monitor, and what is said while the database fails.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use serde_json::{Value, json};

use super::series;
use crate::receiver::{Received, Receiver};
use crate::support::{Node, Setup, get_body, register_body, token, wait_for};

const PASSWORD: &str = "password-of-the-reports";

/// A node that reports each second.
pub(super) fn reporting(home: &Path, receiver: &Receiver) -> Setup {
    Setup::new(home)
        .env("KSNODE_TELEMETRY__BASE_URL", &receiver.url)
        .env("KSNODE_TELEMETRY__PASSWORD", PASSWORD)
        .env("KSNODE_TELEMETRY__INTERVAL_SECONDS", "1")
}

/// Waits for a report that was sent after this call and says so.
fn report(receiver: &Receiver, what: &str, wanted: impl Fn(&Value) -> bool) -> Received {
    let known = receiver.received().len();
    wait_for(what, || {
        receiver
            .received()
            .into_iter()
            .skip(known)
            .find(|report| wanted(&report.json()))
    })
}

#[test]
fn reports_go_out_at_start_and_then_each_interval() {
    let home = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_| (200, "{}".into()));
    let node = reporting(home.path(), &receiver).start();
    let first = wait_for("the first report", || {
        receiver.received().into_iter().next()
    });
    assert_eq!(first.line, "POST /tss/v1/ks_node/telemetry");
    assert_eq!(first.header("x-ks-node-password"), Some(PASSWORD));
    assert_eq!(first.header("content-type"), Some("application/json"));
    let public_key = node.get("/status").json()["ks_node_public_key"].clone();
    let expected = json!({
        "public_key": public_key, "key_share_count": 0, "payload": {"db_status": "OK", "error_msg": null},
    });
    assert_eq!(first.json(), expected);
    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .data();
    let next = report(&receiver, "the next report", |report| {
        report["key_share_count"] == 2
    });
    assert_eq!(next.json()["payload"], expected["payload"]);
    let delivered = r#"ksnode_telemetry_reports_total{outcome="delivered"}"#;
    wait_for("the counter", || {
        (series(&node, delivered) >= Some(2.0)).then_some(())
    });
}

#[test]
fn a_receiver_that_fails_does_not_disturb_the_node() {
    let home = tempfile::tempdir().unwrap();
    let well = Arc::new(AtomicBool::new(false));
    let receiver = Receiver::start({
        let well = well.clone();
        move |_| {
            if well.load(Ordering::Relaxed) {
                (200, "{}".into())
            } else {
                (500, "no".into())
            }
        }
    });
    let node = reporting(home.path(), &receiver).start();
    let failed = r#"ksnode_telemetry_reports_total{outcome="failed"}"#;
    wait_for("two failures", || {
        (series(&node, failed) >= Some(2.0)).then_some(())
    });
    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .data();
    assert_eq!(node.get_ops("/readyz").status, 200);
    node.logs("a telemetry report was not delivered");
    assert!(!node.logged().contains(PASSWORD));
    well.store(true, Ordering::Relaxed);
    let delivered = r#"ksnode_telemetry_reports_total{outcome="delivered"}"#;
    wait_for("a delivery", || series(&node, delivered));
    assert!(node.stop().success());

    // Nobody there at all, from the start.
    let unreachable = "http://127.0.0.1:1";
    let setup = reporting(home.path(), &receiver).env("KSNODE_TELEMETRY__BASE_URL", unreachable);
    let node = setup.start();
    node.post("/keyshare/v2", &token(1), &get_body(1)).data();
    wait_for("a failure", || series(&node, failed));
    assert!(node.stop().success());
}

/// Takes the tables that the questions need away from under the running node, or brings them back.
fn rename_tables(database: &Connection, from: &str, to: &str) {
    for table in ["share_count", "node", "user"] {
        let sql = format!("ALTER TABLE {from}{table} RENAME TO {to}{table}");
        database.execute_batch(&sql).unwrap();
    }
}

#[test]
fn a_failing_database_is_reported_with_the_last_known_count() {
    let home = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(|_| (200, "{}".into()));
    let setup = reporting(home.path(), &receiver);
    let node = setup.start();
    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .data();
    report(&receiver, "the count", |report| {
        report["key_share_count"] == 2
    });

    let database = Connection::open(setup.data("ksnode.db")).unwrap();
    database
        .busy_timeout(std::time::Duration::from_secs(10))
        .unwrap();
    rename_tables(&database, "", "away_");
    let failing = report(&receiver, "a failure", |report| {
        report["payload"]["db_status"] == "ERROR"
    })
    .json();
    assert_eq!(failing["key_share_count"], 2);
    let message = failing["payload"]["error_msg"].as_str().unwrap();
    assert!(
        !message.is_empty() && !message.contains("share_count"),
        "{message}"
    );
    says_that_it_fails(&node);

    rename_tables(&database, "away_", "");
    report(&receiver, "the mend", |report| {
        report["payload"]["db_status"] == "OK"
    });
    node.post("/keyshare/v2", &token(1), &get_body(1)).data();
    assert_eq!(node.get_ops("/readyz").status, 200);
    // Whatever happened in between, no report named fewer shares than one before it.
    let reports = receiver.received();
    let counts = reports
        .iter()
        .map(|report| report.json()["key_share_count"].as_u64().unwrap());
    assert!(
        counts.clone().is_sorted(),
        "{:?}",
        counts.collect::<Vec<_>>()
    );
}

#[track_caller]
fn says_that_it_fails(node: &Node) {
    // Never a "not found", which would make wallets give up.
    node.post("/keyshare/v2", &token(1), &get_body(1))
        .refused(500, "UNKNOWN_ERROR");
    node.post("/keyshare/v2/register", &token(2), &register_body(2))
        .refused(500, "UNKNOWN_ERROR");
    let status = node.get("/status");
    assert_eq!(
        (status.status, &status.json()["is_db_connected"]),
        (200, &json!(false))
    );
    assert_eq!(
        (
            node.get_ops("/healthz").status,
            node.get_ops("/readyz").status
        ),
        (200, 503)
    );
    assert_eq!(node.get_ops("/metrics").status, 200);
}
