//! The order of the checks.

use super::*;
use crate::support::wait_for;

/// Every request fails the check of its row and all later ones that it can: the answer tells which came first.
#[test]
fn checks_come_in_their_order() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for user in [1, 2] {
        register(&node, user);
    }
    let post = |token: Option<&str>, body: &Value| match token {
        Some(token) => node.post(GET.0, token, body),
        None => node.post_open(GET.0, body),
    };
    let stranger = fresh_token(2);
    let with = |body: &Value, field: &str, value: Value| {
        let mut body = body.clone();
        body[field] = value;
        body
    };

    // Both fields or none.
    let session = Session::begun(&node, 1, "sign_up");
    let bad = json!({"auth_type": "telegram", "cr_signature": "zz", "cr_session_id": session.id});
    for field in ["cr_signature", "cr_session_id"] {
        post(None, &with(&bad, field, json!(null))).refused(400, "INVALID_REQUEST");
        let typed = post(None, &with(&bad, field, json!(5))).refused(400, "INVALID_REQUEST");
        assert!(typed.contains(field), "{typed}");
    }
    // Known.
    for id in [Uuid::new_v4().to_string(), "no uuid".into(), String::new()] {
        post(None, &with(&bad, "cr_session_id", json!(id))).refused(404, "SESSION_NOT_FOUND");
    }
    // State, before expiry.
    let expire = |session: &Session, state: &str| {
        let id: Uuid = session.id.parse().unwrap();
        database(home.path())
            .execute(
                "UPDATE session SET expires_at = 1700000000000, state = ?2 WHERE session_id = ?1",
                rusqlite::params![id.as_bytes(), state],
            )
            .unwrap();
    };
    expire(&session, "COMPLETED");
    // A reader of the node's knows of its own writes; what another process wrote it sees a millisecond later.
    wait_for("the state to be seen", || {
        let message = post(None, &bad).refused(400, "INVALID_REQUEST");
        message.contains("COMPLETED").then_some(())
    });
    // Expiry, before what is allowed.
    expire(&session, "COMMITTED");
    wait_for("the state to be seen", || {
        (post(None, &bad).status != 400).then_some(())
    });
    post(None, &bad).refused(410, "SESSION_EXPIRED");
    // Allowed, before the signature's form.
    let session = Session::begun(&node, 1, "sign_up");
    let bad = with(&bad, "cr_session_id", json!(session.id));
    let message = post(None, &bad).refused(400, "INVALID_REQUEST");
    assert!(message.contains("not allowed"), "{message}");
    // The signature's form, before the bearer.
    let session = Session::begun(&node, 1, "sign_in");
    let bad = with(&bad, "cr_session_id", json!(session.id));
    let good = session.signature(GET.1);
    for malformed in [
        "zz".to_owned(),
        String::new(),
        good[2..].to_owned(),
        format!("{good}00"),
        format!("0x{good}"),
        format!("zz{}", &good[2..]),
    ] {
        post(None, &with(&bad, "cr_signature", json!(malformed))).refused(400, "INVALID_SIGNATURE");
    }
    // The bearer, before its hash.
    let wrong = with(&bad, "cr_signature", json!("00".repeat(64)));
    post(None, &wrong).refused(401, "UNAUTHORIZED");
    let basic = [("authorization", "Basic abc")];
    node.post_with(GET.0, &basic, &wrong)
        .refused(401, "UNAUTHORIZED");
    // The hash, before the signature; a token that would not verify does not come so far.
    for token in [stranger.as_str(), "nonsense"] {
        let message = post(Some(token), &wrong).refused(400, "INVALID_REQUEST");
        assert!(message.contains("id_token_hash mismatch"), "{message}");
    }
    let other_type = with(&wrong, "auth_type", json!("google"));
    let message = post(Some(&session.token), &other_type).refused(400, "INVALID_REQUEST");
    assert!(message.contains("id_token_hash mismatch"), "{message}");
    // The signature, before anything else in the body.
    post(Some(&session.token), &wrong).refused(400, "INVALID_SIGNATURE");
    for api in ["register", "get_key_shares ", ""] {
        let other = with(&bad, "cr_signature", json!(session.signature(api)));
        post(Some(&session.token), &other).refused(400, "INVALID_SIGNATURE");
    }
    // After all of it, the body is looked at, and nothing was recorded on the way.
    let empty = session.signed(GET.1, json!({"auth_type": "telegram"}));
    post(Some(&session.token), &empty).refused(400, "INVALID_REQUEST");
    assert_eq!(session.stored(home.path()), ("COMMITTED".into(), 0));
    let upper = session.signature(GET.1).to_uppercase();
    let mut body = session.signed(GET.1, get_body(1));
    body["cr_signature"] = json!(upper);
    post(Some(&session.token), &body).data();
}
