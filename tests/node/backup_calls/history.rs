//! What was backed up, for anybody who asks.

use serde_json::json;

use super::{backup, send_empty, setup};
use crate::support::{Answer, agent};
use crate::wire::Wire;

const CALLS: [&str; 2] = [
    "/pg_dump/v1/get_backup_history",
    "/pg_dump/v1/get_backup_history/",
];

#[test]
fn days_are_from_1_to_1000() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    for path in CALLS {
        for days in [
            json!(0),
            json!(-1),
            json!(1001),
            json!(1.5),
            json!(u64::MAX),
            json!("7"),
            json!(""),
            json!(true),
            json!([7]),
            json!({}),
        ] {
            let answer = node.post_open(path, &json!({"days": days}));
            answer.refused(400, "INVALID_DAYS");
        }
        // What is no object is no request.
        for body in [json!(null), json!(7), json!([])] {
            let answer = node.post_open(path, &body);
            answer.refused(400, "INVALID_REQUEST");
        }
    }
    for path in ["/pg_dump/v1", "/pg_dump/v1/"] {
        for days in [
            "0",
            "-1",
            "1001",
            "1.5",
            "1e2",
            "x",
            "",
            "7x",
            "%2B7",
            "+7",
            "%00",
            "7&days=8",
            "99999999999999999999999",
        ] {
            let answer = node.get(&format!("{path}?days={days}"));
            answer.refused(400, "INVALID_DAYS");
        }
    }
}

#[test]
fn it_is_the_same_in_all_spellings() {
    let home = tempfile::tempdir().unwrap();
    let node = setup(home.path()).start();
    let empty: Vec<Answer> = vec![node.get("/pg_dump/v1"), send_empty(&node, CALLS[0])];
    for answer in empty {
        assert_eq!(answer.data(), json!([]), "{answer:?}");
    }
    backup(&node);
    backup(&node);
    let whole = node.get("/pg_dump/v1").data();
    let items = whole.as_array().unwrap();
    assert_eq!(items.len(), 2);
    for item in items {
        let mut fields: Vec<&String> = item.as_object().unwrap().keys().collect();
        fields.sort_unstable();
        let expected = [
            "created_at",
            "dump_id",
            "dump_path",
            "meta",
            "status",
            "updated_at",
        ];
        assert_eq!(fields, expected);
        let mut fields: Vec<&String> = item["meta"].as_object().unwrap().keys().collect();
        fields.sort_unstable();
        assert_eq!(fields, ["dump_duration", "dump_size"]);
        assert_eq!(item["status"], "COMPLETED");
        assert!(uuid::Uuid::parse_str(item["dump_id"].as_str().unwrap()).is_ok());
        for moment in ["created_at", "updated_at"] {
            let moment = item[moment].as_str().unwrap();
            assert!(moment.ends_with('Z') && moment.len() == 24, "{moment}");
        }
    }
    let created = |index: usize| items[index]["created_at"].as_str().unwrap();
    assert!(created(0) >= created(1), "newest first: {whole}");

    for query in [
        "/",
        "?days=1",
        "/?days=1000",
        "?other=x",
        "?days=%31&password=x",
    ] {
        let answer = node.get(&format!("/pg_dump/v1{query}"));
        assert_eq!(answer.data(), whole, "{query}");
    }
    for path in CALLS {
        assert_eq!(send_empty(&node, path).data(), whole);
        for body in [
            json!({}),
            json!({"days": null}),
            json!({"days": 1}),
            json!({"days": 1000, "password": 7, "unknown": {}}),
        ] {
            assert_eq!(node.post_open(path, &body).data(), whole, "{body}");
        }
    }
    let url = format!("{}/pg_dump/v1/?days=7", node.url);
    let head = agent().head(url).call().unwrap();
    assert_eq!(head.status(), 200);
    // A HEAD has no body: the next answer follows at once.
    let mut wire = Wire::to(&node);
    wire.send("HEAD /pg_dump/v1 HTTP/1.1\r\nhost: n\r\n\r\n")
        .head();
    wire.send("GET / HTTP/1.1\r\nhost: n\r\n\r\n");
    assert_eq!(wire.answer().text, "Ok");
}
