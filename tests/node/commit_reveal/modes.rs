//! `commit_reveal.mode`

use super::*;
use crate::support::token;

fn node_with(home: &tempfile::TempDir, mode: &str) -> Node {
    Setup::new(home.path())
        .env("KSNODE_COMMIT_REVEAL__MODE", mode)
        .start()
}

#[test]
fn sessions_are_optional_unless_configured_otherwise() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    register(&node, 1);
    node.post(GET.0, &token(1), &get_body(1)).data();
    let mut null = get_body(1);
    null["cr_session_id"] = json!(null);
    null["cr_signature"] = json!(null);
    node.post(GET.0, &token(1), &null).data();
}

#[test]
fn where_sessions_are_required_nothing_goes_without() {
    let home = tempfile::tempdir().unwrap();
    let node = node_with(&home, "required");
    for call in CALLS {
        node.post(call.0, &token(1), &body_of(call, 1))
            .refused(400, "INVALID_REQUEST");
    }
    let up = Session::begun(&node, 1, "sign_up");
    up.call(&node, REGISTER, register_body(1)).data();
    // The first generation knows no sessions and would be a way around.
    let mut v1 = wallet("secp256k1", 1);
    v1["auth_type"] = json!("telegram");
    for call in ["", "/register", "/reshare"] {
        let path = format!("/keyshare/v1{call}");
        node.post(&path, &token(1), &v1)
            .refused(400, "INVALID_REQUEST");
        let session = Session::begun(&node, 1, "sign_in");
        node.post(&path, &session.token, &session.signed(GET.1, v1.clone()))
            .refused(400, "INVALID_REQUEST");
    }
    // What takes no token goes on.
    v1["user_auth_id"] = json!("telegram_1");
    assert_eq!(
        node.post_open("/keyshare/v1/check", &v1).data(),
        json!({"exists": true})
    );
    let mut v2 = get_body(1);
    v2["user_auth_id"] = json!("telegram_1");
    node.post_open("/keyshare/v2/check", &v2).data();
    let sign_in = Session::begun(&node, 1, "sign_in");
    sign_in.call(&node, GET, get_body(1)).data();
}

#[test]
fn where_sessions_are_off_they_are_ignored_and_not_made() {
    let home = tempfile::tempdir().unwrap();
    let node = node_with(&home, "off");
    register(&node, 1);
    let session = Session::new(1, "sign_in");
    for path in ["/keyshare/v2/commit", "/commit-reveal/v2/commit"] {
        node.post_open(path, &session.commitment())
            .refused(400, "INVALID_REQUEST");
    }
    for _ in 0..2 {
        session.call(&node, GET, get_body(1)).data();
    }
    let mut half = get_body(1);
    half["cr_signature"] = json!("nonsense");
    node.post(GET.0, &token(1), &half).data();
}
