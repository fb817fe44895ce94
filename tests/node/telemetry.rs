//! What a node reports to the network's monitor (api.md, "Status and liveness").

use serde_json::{Value, json};

use crate::issuer::Issuer;
use crate::support::{Setup, database, register_body, token, wait_for};

const PATH: &str = "/tss/v1/ks_node/telemetry";
const PASSWORD: &str = "report-password";

#[test]
fn reports_go_out_from_the_start_and_never_count_fewer() {
    let home = tempfile::tempdir().unwrap();
    let receiver = Issuer::start();
    // The first report meets a receiver that fails: the next one follows.
    receiver.answers(PATH, 500, &json!({}));
    let node = Setup::new(home.path())
        .env("KSNODE_TELEMETRY__BASE_URL", &receiver.url(""))
        .env("KSNODE_TELEMETRY__PASSWORD", PASSWORD)
        .env("KSNODE_TELEMETRY__INTERVAL_SECONDS", "1")
        .start();
    let reports = || -> Vec<Value> {
        let seen = receiver.seen(PATH);
        seen.iter()
            .map(|seen| serde_json::from_str(&seen.body).unwrap())
            .collect()
    };
    let first = wait_for("the first report", || reports().first().cloned());
    let public_key = node.get("/status").json()["ks_node_public_key"].clone();
    let ok = json!({"db_status": "OK", "error_msg": null});
    let report = |count: u64, payload: &Value| json!({"public_key": public_key, "key_share_count": count, "payload": payload});
    assert_eq!(first, report(0, &ok));
    receiver.answers(PATH, 200, &json!({"success": true}));

    for user in 1..=3 {
        node.post("/keyshare/v2/register", &token(user), &register_body(user))
            .data();
    }
    // A share is one of one curve.
    wait_for("the count", || {
        (reports().last() == Some(&report(6, &ok))).then_some(())
    });
    let database = database(home.path());
    let rename = |from, to| {
        database
            .execute(&format!("ALTER TABLE {from} RENAME TO {to}"), [])
            .unwrap();
    };
    rename("share_count", "elsewhere");
    let failed = wait_for("an error", || {
        reports()
            .into_iter()
            .find(|report| report["payload"]["db_status"] == "ERROR")
    });
    assert_eq!(failed["key_share_count"], 6, "{failed}");
    assert!(failed["payload"]["error_msg"].is_string(), "{failed}");
    assert!(!failed.to_string().contains("table"), "{failed}");
    let before = reports().len();
    rename("elsewhere", "share_count");
    wait_for("recovery", || {
        let reports = reports();
        (reports.len() > before && reports.last() == Some(&report(6, &ok))).then_some(())
    });
    for seen in receiver.seen(PATH) {
        assert_eq!(seen.headers["x-ks-node-password"], PASSWORD);
        assert!(seen.headers["content-type"].starts_with("application/json"));
    }
    assert!(!node.logged().contains(PASSWORD));
    assert!(node.stop().success());
}
