//! Trouble inside the node: what clients and the monitor see of it (api.md, "Envelope").

use serde_json::{Value, json};

use crate::support::{Setup, database, get_body, public_key, register_body, share, token};

#[test]
fn trouble_inside_the_node_is_never_a_not_found() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    node.post("/keyshare/v2/register", &token(1), &register_body(1))
        .data();
    let failed = |path: &str, body: &Value| {
        let answer = node.post(path, &token(1), body);
        let message = answer.refused(500, "UNKNOWN_ERROR");
        for word in ["wallet", "table", "SQL"] {
            assert!(!message.contains(word), "{message}");
        }
        // What the log is to be searched for.
        let id = answer.header("x-request-id");
        assert!(!id.is_empty(), "{answer:?}");
        node.logs(id);
    };
    let database = database(home.path());
    database
        .execute("UPDATE wallet SET sealed = randomblob(96)", [])
        .unwrap();
    failed("/keyshare/v2", &get_body(1));
    failed("/keyshare/v2/reshare", &register_body(1));
    // A database that fails every statement on shares.
    for table in ["session", "share_count", "wallet", "user", "node"] {
        let sql = format!("ALTER TABLE {table} RENAME TO lost_{table}");
        database.execute(&sql, []).unwrap();
    }
    let mut named = get_body(1);
    named["user_auth_id"] = json!("telegram_1");
    let mut v1 = json!({"auth_type": "telegram", "user_auth_id": "telegram_1"});
    v1["public_key"] = json!(public_key("secp256k1", 1));
    v1["share"] = json!(share("secp256k1", 1));
    let mut ed25519 = v1.clone();
    ed25519["public_key"] = json!(public_key("ed25519", 2));
    let mut in_session = get_body(1);
    in_session["cr_session_id"] = json!(uuid::Uuid::new_v4());
    in_session["cr_signature"] = json!("00".repeat(64));
    let commit = json!({"session_id": uuid::Uuid::new_v4(), "operation_type": "sign_in",
        "client_ephemeral_pubkey": "00".repeat(32), "id_token_hash": "00".repeat(32)});
    for (path, body) in [
        ("/keyshare/v1", &v1),
        ("/keyshare/v1/check", &v1),
        ("/keyshare/v1/register", &v1),
        ("/keyshare/v1/reshare", &v1),
        ("/keyshare/v2", &get_body(1)),
        ("/keyshare/v2", &in_session),
        ("/keyshare/v2/check", &named),
        ("/keyshare/v2/register", &register_body(2)),
        ("/keyshare/v2/register/ed25519", &ed25519),
        ("/keyshare/v2/reshare", &register_body(1)),
        ("/keyshare/v2/reshare/register", &register_body(2)),
        ("/keyshare/v2/commit", &commit),
    ] {
        failed(path, body);
    }
    // The node lives and says how it is.
    assert_eq!(node.get("/").text, "Ok");
    let status = node.get("/status");
    assert_eq!(status.status, 200);
    assert_eq!(status.json()["is_db_connected"], false);
}
