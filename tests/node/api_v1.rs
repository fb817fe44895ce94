//! Every row of api.md's "Key shares, v1", and its "Values".

use serde_json::{Value, json};

use crate::support::{Node, Setup, database, public_key, share, token, wait_for};

/// A v1 body of wallet `number` with further fields; `null` takes one away.
fn body(curve: &str, number: u64, changes: Value) -> Value {
    let mut body = json!({
        "auth_type": "telegram",
        "curve_type": curve,
        "public_key": public_key(curve, number),
        "share": share(curve, number),
    });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
        if value.is_null() {
            body.as_object_mut().unwrap().remove(name);
        }
    }
    body
}

fn register(node: &Node, user: u64, curve: &str, number: u64) {
    let answer = node.post(
        "/keyshare/v1/register",
        &token(user),
        &body(curve, number, json!({})),
    );
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (200, r#"{"success":true}"#)
    );
}

#[test]
fn register_and_get() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let get = |user, body: &Value| node.post("/keyshare/v1", &token(user), body);
    let secp = body("secp256k1", 1, json!({}));

    get(1, &secp).refused(404, "USER_NOT_FOUND");
    register(&node, 1, "secp256k1", 1);
    register(&node, 1, "ed25519", 1);
    // A user may have more wallets than one of a curve.
    register(&node, 1, "secp256k1", 10);
    register(&node, 2, "secp256k1", 2);

    for curve in ["secp256k1", "ed25519"] {
        let data = get(1, &body(curve, 1, json!({"share": null}))).data();
        assert_eq!(data.as_object().unwrap().len(), 2, "{data}");
        assert_eq!(data["share"], share(curve, 1));
        let id: uuid::Uuid = data["share_id"].as_str().unwrap().parse().unwrap();
        assert_eq!(id.to_string(), data["share_id"].as_str().unwrap());
    }
    // Old clients leave the curve out.
    let old = body("secp256k1", 1, json!({"curve_type": null, "share": null}));
    assert_eq!(get(1, &old).data()["share"], share("secp256k1", 1));

    get(1, &body("secp256k1", 99, json!({}))).refused(404, "WALLET_NOT_FOUND");
    get(1, &body("secp256k1", 2, json!({}))).refused(401, "UNAUTHORIZED");
    get(3, &secp).refused(404, "USER_NOT_FOUND");
    for (user, curve, number) in [(1, "secp256k1", 1), (2, "secp256k1", 1), (3, "ed25519", 1)] {
        let body = body(
            curve,
            number,
            json!({"share": share(curve, user + number + 5)}),
        );
        node.post("/keyshare/v1/register", &token(user), &body)
            .refused(409, "DUPLICATE_PUBLIC_KEY");
    }
    // Refused as a whole: no user came of it, and nobody's share was replaced.
    get(3, &secp).refused(404, "USER_NOT_FOUND");
    assert_eq!(get(1, &secp).data()["share"], share("secp256k1", 1));
}

#[test]
fn check_needs_no_token() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    register(&node, 1, "secp256k1", 1);
    register(&node, 1, "ed25519", 1);
    register(&node, 2, "secp256k1", 2);
    let check = |user: &str, curve: &str, number, changes: Value| {
        let mut body = body(curve, number, json!({"share": null, "user_auth_id": user}));
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        node.post_open("/keyshare/v1/check", &body)
    };
    let one = "telegram_1";
    for (user, curve, number, exists) in [
        (one, "secp256k1", 1, true),
        (one, "ed25519", 1, true),
        (one, "secp256k1", 9, false),
        ("telegram_3", "secp256k1", 1, false),
        ("telegram_3", "secp256k1", 9, false),
    ] {
        let data = check(user, curve, number, json!({})).data();
        assert_eq!(data, json!({"exists": exists}), "{user} {curve} {number}");
    }
    let old = check(one, "secp256k1", 1, json!({"curve_type": null}));
    assert_eq!(old.data(), json!({"exists": true}));
    // The same identifier with another provider is another user.
    let google = check(one, "secp256k1", 1, json!({"auth_type": null}));
    assert_eq!(google.data(), json!({"exists": false}));

    check(one, "secp256k1", 2, json!({})).refused(400, "PUBLIC_KEY_INVALID");
    check(one, "secp256k1", 1, json!({"public_key": "02"})).refused(400, "PUBLIC_KEY_INVALID");
    for (field, value) in [
        ("user_auth_id", json!(null)),
        ("user_auth_id", json!(7)),
        ("user_auth_id", json!("")),
        ("public_key", json!(null)),
        ("auth_type", json!(["telegram"])),
    ] {
        let message =
            check(one, "secp256k1", 1, json!({field: value})).refused(400, "INVALID_REQUEST");
        assert!(message.contains(field), "{message}");
    }
    node.post_open("/keyshare/v1/check", &json!({}))
        .refused(400, "INVALID_REQUEST");
}

#[test]
fn reshare_confirms_the_stored_share() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let reshare = |user, body: &Value| node.post("/keyshare/v1/reshare", &token(user), body);
    reshare(1, &body("secp256k1", 1, json!({}))).refused(404, "USER_NOT_FOUND");
    register(&node, 1, "secp256k1", 1);
    register(&node, 2, "ed25519", 2);
    let reshared_at = || -> Option<i64> {
        database(home.path())
            .query_row(
                "SELECT reshared_at FROM key_share ORDER BY wallet LIMIT 1",
                [],
                |row| row.get(0),
            )
            .unwrap()
    };
    assert_eq!(reshared_at(), None);
    let wrong = json!({"share": share("secp256k1", 9)});
    reshare(1, &body("secp256k1", 1, wrong)).refused(500, "RESHARE_FAILED");
    assert_eq!(reshared_at(), None);

    let mine = body("secp256k1", 1, json!({}));
    let answer = reshare(1, &mine);
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (200, r#"{"success":true}"#)
    );
    let first = reshared_at().unwrap();
    wait_for("the time to move", || {
        reshare(1, &mine).data();
        (reshared_at().unwrap() > first).then_some(())
    });
    reshare(1, &body("secp256k1", 9, json!({}))).refused(404, "WALLET_NOT_FOUND");
    reshare(1, &body("ed25519", 2, json!({}))).refused(401, "UNAUTHORIZED");
    reshare(3, &mine).refused(404, "USER_NOT_FOUND");
}

#[test]
fn a_wallet_without_a_share_is_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    register(&node, 1, "secp256k1", 1);
    database(home.path())
        .execute("DELETE FROM key_share", [])
        .unwrap();
    let body = body("secp256k1", 1, json!({"user_auth_id": "telegram_1"}));
    for call in ["", "/reshare"] {
        node.post(&format!("/keyshare/v1{call}"), &token(1), &body)
            .refused(404, "KEY_SHARE_NOT_FOUND");
    }
}

#[test]
fn values_are_checked_and_the_message_says_what_was_expected() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let key = public_key("secp256k1", 1);
    let ed_key = public_key("ed25519", 1);
    let secret = share("secp256k1", 1);
    for (path, needs_share) in [
        ("/keyshare/v1/register", true),
        ("/keyshare/v1/reshare", true),
        ("/keyshare/v1", false),
    ] {
        let call = |changes: Value| node.post(path, &token(1), &body("secp256k1", 1, changes));
        for wrong in [
            json!(""),
            json!(key[2..]),
            json!(format!("{key}00")),
            json!(format!("{key}0")),
            json!(format!("0x{key}")),
            json!(format!("zz{}", &key[2..])),
            json!(format!(" {key}")),
            json!("ключ".repeat(8)),
        ] {
            let message = call(json!({"public_key": wrong})).refused(400, "PUBLIC_KEY_INVALID");
            assert!(
                message.contains("33 bytes") || message.contains("66 hex"),
                "{message}"
            );
        }
        for (curve, key, expected) in [
            (json!("ed25519"), &key, "32"),
            (json!("secp256k1"), &ed_key, "33"),
            // Absent, it means a key of 33 bytes.
            (json!(null), &ed_key, "33"),
        ] {
            let message = call(json!({"curve_type": curve, "public_key": key}))
                .refused(400, "PUBLIC_KEY_INVALID");
            assert!(message.contains(expected), "{message}");
        }
        for curve in ["p256", "", "SECP256K1", "bls12_381_g1"] {
            let refused = call(json!({"curve_type": curve}));
            refused.refused(400, "CURVE_TYPE_NOT_SUPPORTED");
        }
        let message = call(json!({"public_key": null})).refused(400, "INVALID_REQUEST");
        assert!(message.contains("public_key"), "{message}");
        if needs_share {
            for wrong in [
                String::new(),
                secret[2..].to_owned(),
                format!("{secret}00"),
                format!("{secret}0"),
                format!("0x{secret}"),
                format!("{}zz", &secret[2..]),
            ] {
                let message = call(json!({"share": wrong})).refused(400, "SHARE_INVALID");
                assert!(message.contains("64 bytes"), "{message}");
                assert!(wrong.is_empty() || !message.contains(&wrong), "{message}");
            }
        }
    }
    for (field, wrong) in [
        ("share", json!(null)),
        ("share", json!([secret])),
        ("share", json!({"hex": secret})),
        ("share", json!(5)),
        ("public_key", json!({"hex": key})),
        ("public_key", json!(true)),
        ("curve_type", json!(1)),
        ("auth_type", json!(1)),
    ] {
        let body = body("secp256k1", 1, json!({field: wrong}));
        let answer = node.post("/keyshare/v1/register", &token(1), &body);
        let message = answer.refused(400, "INVALID_REQUEST");
        assert!(message.contains(field), "{message}");
        assert!(!answer.text.contains(&secret), "{answer:?}");
    }
    // Nothing of all this was stored.
    node.post("/keyshare/v1", &token(1), &body("secp256k1", 1, json!({})))
        .refused(404, "USER_NOT_FOUND");
}

#[test]
fn hex_comes_in_either_case_and_goes_out_in_lower_case() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for curve in ["secp256k1", "ed25519"] {
        let upper = json!({
            "public_key": public_key(curve, 1).to_uppercase(),
            "share": share(curve, 1).to_uppercase(),
        });
        node.post(
            "/keyshare/v1/register/",
            &token(1),
            &body(curve, 1, upper.clone()),
        )
        .data();
        for (key, sent) in [
            ("lower", body(curve, 1, json!({}))),
            ("upper", body(curve, 1, upper)),
        ] {
            let data = node.post("/keyshare/v1/", &token(1), &sent).data();
            assert_eq!(data["share"], share(curve, 1), "{key}");
            node.post("/keyshare/v1/register", &token(1), &sent)
                .refused(409, "DUPLICATE_PUBLIC_KEY");
            node.post("/keyshare/v1/reshare/", &token(1), &sent).data();
            let mut check = sent;
            check["user_auth_id"] = json!("telegram_1");
            let exists = node.post_open("/keyshare/v1/check/", &check).data();
            assert_eq!(exists, json!({"exists": true}));
        }
    }
}
