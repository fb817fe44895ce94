//! Every row of api.md's "Key shares, v2".

use serde_json::{Value, json};

use crate::support::{
    Node, Setup, database, get_body, public_key, register_body, share, token, wallet,
};

const CURVES: [&str; 2] = ["secp256k1", "ed25519"];

fn wallets(wallets: Value) -> Value {
    json!({"auth_type": "telegram", "wallets": wallets})
}

fn post(node: &Node, call: &str, user: u64, body: &Value) -> crate::support::Answer {
    node.post(&format!("/keyshare/v2{call}"), &token(user), body)
}

/// A success without a payload is this text and nothing else.
#[track_caller]
fn done(answer: &crate::support::Answer) {
    assert_eq!(
        (answer.status, answer.text.as_str()),
        (200, r#"{"success":true}"#)
    );
}

#[test]
fn register_is_all_or_nothing() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    done(&post(&node, "/register", 1, &register_body(1)));
    for (known, new) in [CURVES, ["ed25519", "secp256k1"]].map(|[a, b]| (a, b)) {
        // One key is known, the other is new, and so is the user.
        let mut body = register_body(2);
        body["wallets"][known] = json!({
            "public_key": public_key(known, 1),
            "share": share(known, 7),
        });
        for user in [1, 2] {
            post(&node, "/register", user, &body).refused(409, "DUPLICATE_PUBLIC_KEY");
        }
        post(&node, "", 2, &get_body(2)).refused(404, "USER_NOT_FOUND");
        let one = wallets(json!({new: public_key(new, 2)}));
        post(&node, "", 1, &one).refused(404, "WALLET_NOT_FOUND");
    }
    let data = post(&node, "", 1, &get_body(1)).data();
    for curve in CURVES {
        assert_eq!(data[curve]["share"], share(curve, 1));
    }
    done(&post(&node, "/register", 2, &register_body(2)));
    // The same call again: what is known is known, whoever owns it.
    post(&node, "/register", 2, &register_body(2)).refused(409, "DUPLICATE_PUBLIC_KEY");
}

#[test]
fn get_answers_what_was_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    post(&node, "", 1, &get_body(1)).refused(404, "USER_NOT_FOUND");
    for user in [1, 2] {
        done(&post(&node, "/register", user, &register_body(user)));
    }
    let data = post(&node, "", 1, &get_body(1)).data();
    assert_eq!(data.as_object().unwrap().len(), 2);
    for curve in CURVES {
        assert_eq!(data[curve].as_object().unwrap().len(), 2, "{data}");
        assert_eq!(data[curve]["share"], share(curve, 1));
        let one = wallets(json!({curve: public_key(curve, 1)}));
        let alone = post(&node, "/", 1, &one).data();
        assert_eq!(alone, json!({curve: data[curve]}));
    }
    assert_ne!(data["secp256k1"]["share_id"], data["ed25519"]["share_id"]);
    // What the first generation stored is the same to the second, and the other way round.
    let v1 = json!({"auth_type": "telegram", "public_key": public_key("secp256k1", 1)});
    let old = node.post("/keyshare/v1", &token(1), &v1).data();
    assert_eq!(old, data["secp256k1"]);

    // The first failure is the answer, secp256k1 before ed25519, in whatever order they were written.
    let (mine, theirs, nobodys) = (1, 2, 9);
    for (secp, ed, status, code) in [
        (mine, nobodys, 404, "WALLET_NOT_FOUND"),
        (mine, theirs, 401, "UNAUTHORIZED"),
        (theirs, nobodys, 401, "UNAUTHORIZED"),
        (nobodys, theirs, 404, "WALLET_NOT_FOUND"),
        (nobodys, mine, 404, "WALLET_NOT_FOUND"),
    ] {
        let body = format!(
            r#"{{"wallets":{{"ed25519":"{}","secp256k1":"{}"}},"auth_type":"telegram"}}"#,
            public_key("ed25519", ed),
            public_key("secp256k1", secp)
        );
        let body: Value = serde_json::from_str(&body).unwrap();
        post(&node, "", 1, &body).refused(status, code);
    }
    post(&node, "", 3, &get_body(1)).refused(404, "USER_NOT_FOUND");
    database(home.path())
        .execute(
            "DELETE FROM key_share WHERE wallet = (SELECT min(id) FROM wallet)",
            [],
        )
        .unwrap();
    post(&node, "", 1, &get_body(1)).refused(404, "KEY_SHARE_NOT_FOUND");
}

#[test]
fn check_answers_by_curve_without_a_token() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    for user in [1, 2] {
        done(&post(&node, "/register", user, &register_body(user)));
    }
    let check = |user: &str, wallets: Value| {
        let body = json!({"user_auth_id": user, "auth_type": "telegram", "wallets": wallets});
        node.post_open("/keyshare/v2/check", &body)
    };
    let (secp, ed) = (public_key("secp256k1", 1), public_key("ed25519", 1));
    let (there, absent) = (json!({"exists": true}), json!({"exists": false}));
    let both = json!({"secp256k1": secp, "ed25519": ed});
    assert_eq!(
        check("telegram_1", both.clone()).data(),
        json!({"secp256k1": there, "ed25519": there})
    );
    assert_eq!(
        check("telegram_3", both).data(),
        json!({"secp256k1": absent, "ed25519": absent})
    );
    assert_eq!(
        check("telegram_1", json!({"ed25519": ed, "secp256k1": null})).data(),
        json!({"ed25519": there})
    );
    let mixed = json!({"secp256k1": secp, "ed25519": public_key("ed25519", 9)});
    assert_eq!(
        check("telegram_1", mixed).data(),
        json!({"secp256k1": there, "ed25519": absent})
    );
    let theirs = json!({"secp256k1": secp, "ed25519": public_key("ed25519", 2)});
    check("telegram_1", theirs).refused(400, "PUBLIC_KEY_INVALID");
    check("telegram_1", json!({"ed25519": secp})).refused(400, "PUBLIC_KEY_INVALID");
    check("telegram_1", json!({"ed25519": format!("0x{ed}")})).refused(400, "PUBLIC_KEY_INVALID");
    let nameless = json!({"wallets": {"ed25519": ed}});
    let message = node
        .post_open("/keyshare/v2/check", &nameless)
        .refused(400, "INVALID_REQUEST");
    assert!(message.contains("user_auth_id"), "{message}");
}

#[test]
fn ed25519_is_added_to_a_user_with_a_secp256k1_wallet() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let body = |number| {
        let mut body = wallet("ed25519", number);
        body["auth_type"] = json!("telegram");
        body
    };
    let add = |user, number| post(&node, "/register/ed25519", user, &body(number));
    add(1, 1).refused(404, "USER_NOT_FOUND");
    // A user whom a reshare brought here with an ed25519 wallet alone.
    let joined = wallets(json!({"ed25519": wallet("ed25519", 3)}));
    done(&post(&node, "/reshare/register", 3, &joined));
    add(3, 4).refused(404, "WALLET_NOT_FOUND");

    let old = json!({
        "auth_type": "telegram",
        "public_key": public_key("secp256k1", 1),
        "share": share("secp256k1", 1),
    });
    done(&node.post("/keyshare/v1/register", &token(1), &old));
    done(&add(1, 1));
    let data = post(&node, "", 1, &get_body(1)).data();
    for curve in CURVES {
        assert_eq!(data[curve]["share"], share(curve, 1));
    }
    add(1, 1).refused(409, "DUPLICATE_PUBLIC_KEY");
    add(1, 3).refused(409, "DUPLICATE_PUBLIC_KEY");
    let mut wrong = body(5);
    wrong["public_key"] = json!(public_key("secp256k1", 5));
    post(&node, "/register/ed25519", 1, &wrong).refused(400, "PUBLIC_KEY_INVALID");
    wrong = body(5);
    wrong["share"] = json!("00");
    post(&node, "/register/ed25519/", 1, &wrong).refused(400, "SHARE_INVALID");
}

#[test]
fn reshare_marks_both_or_neither() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let body = |secp: (u64, u64), ed: (u64, u64)| {
        let named = |curve, (key, secret)| json!({"public_key": public_key(curve, key), "share": share(curve, secret)});
        wallets(json!({"secp256k1": named("secp256k1", secp), "ed25519": named("ed25519", ed)}))
    };
    let reshare = |user, body: &Value| post(&node, "/reshare", user, body);
    let good = body((1, 1), (1, 1));
    reshare(1, &good).refused(404, "USER_NOT_FOUND");
    for user in [1, 2] {
        done(&post(&node, "/register", user, &register_body(user)));
    }
    let marked = || -> i64 {
        database(home.path())
            .query_row("SELECT count(reshared_at) FROM key_share", [], |row| {
                row.get(0)
            })
            .unwrap()
    };
    for (secp, ed, status, code) in [
        ((1, 1), (1, 9), 500, "RESHARE_FAILED"),
        ((1, 9), (1, 1), 500, "RESHARE_FAILED"),
        ((1, 1), (9, 1), 404, "WALLET_NOT_FOUND"),
        ((9, 1), (1, 1), 404, "WALLET_NOT_FOUND"),
        ((1, 1), (2, 2), 401, "UNAUTHORIZED"),
        // The curves in their order, each as in v1.
        ((1, 9), (9, 1), 500, "RESHARE_FAILED"),
        ((1, 9), (2, 2), 500, "RESHARE_FAILED"),
        ((9, 1), (1, 9), 404, "WALLET_NOT_FOUND"),
    ] {
        reshare(1, &body(secp, ed)).refused(status, code);
        assert_eq!(marked(), 0, "{secp:?} {ed:?}");
    }
    reshare(3, &good).refused(404, "USER_NOT_FOUND");
    done(&reshare(1, &good));
    assert_eq!(marked(), 2);
    let one = wallets(json!({"ed25519": wallet("ed25519", 2)}));
    done(&reshare(2, &one));
    assert_eq!(marked(), 3);
}

#[test]
fn a_node_that_joins_during_a_reshare_stores_for_new_users() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let join = |user, body: &Value| post(&node, "/reshare/register", user, body);
    done(&join(1, &register_body(1)));
    assert_eq!(
        post(&node, "", 1, &get_body(1)).data()["secp256k1"]["share"],
        share("secp256k1", 1)
    );
    for curve in CURVES {
        let one = wallets(json!({curve: wallet(curve, 2)}));
        done(&join(2, &one));
        join(2, &one).refused(409, "DUPLICATE_PUBLIC_KEY");
        join(3, &one).refused(409, "DUPLICATE_PUBLIC_KEY");
    }
    let mut half = register_body(4);
    half["wallets"]["ed25519"] = wallet("ed25519", 1);
    join(4, &half).refused(409, "DUPLICATE_PUBLIC_KEY");
    post(&node, "", 4, &get_body(4)).refused(404, "USER_NOT_FOUND");
}

#[test]
fn wallets_are_an_object_with_a_curve_at_least() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    done(&post(&node, "/register", 1, &register_body(1)));
    let keys = [public_key("secp256k1", 1), public_key("ed25519", 1)];
    let both = CURVES.map(|curve| wallet(curve, 1));
    let fields = CURVES.map(|curve| json!([public_key(curve, 1), share(curve, 1)]));
    let text = json!(format!("x, expected {}", share("secp256k1", 1)));
    for call in ["", "/check", "/register", "/reshare", "/reshare/register"] {
        for wrong in [
            json!(null),
            json!([]),
            json!(["secp256k1"]),
            json!([null, null]),
            json!(keys),
            json!(both),
            json!({"secp256k1": fields[0], "ed25519": fields[1]}),
            json!("wallets"),
            text.clone(),
            json!(0),
            json!(false),
            json!({}),
            json!({"secp256k1": null, "ed25519": null}),
            json!({"p256": keys[0]}),
            json!({"secp256k1": 5, "ed25519": 5}),
            json!({"secp256k1": true}),
        ] {
            let mut body = wallets(wrong);
            body["user_auth_id"] = json!("telegram_1");
            let answer = post(&node, call, 1, &body);
            let message = answer.refused(400, "INVALID_REQUEST");
            assert!(message.contains("wallets"), "{call} {body}: {message}");
            assert!(!answer.text.contains(&share("secp256k1", 1)), "{answer:?}");
        }
        let mut body = json!({"auth_type": "telegram", "user_auth_id": "telegram_1"});
        let message = post(&node, call, 1, &body).refused(400, "INVALID_REQUEST");
        assert!(message.contains("wallets"), "{message}");
        // A whole body in an array is none either.
        body = json!([register_body(1)["wallets"]]);
        node.post_open(&format!("/keyshare/v2{call}"), &body)
            .refused(400, "INVALID_REQUEST");
    }
    for curve in CURVES {
        let mut body = register_body(2);
        body["wallets"][curve] = json!(null);
        post(&node, "/register", 2, &body).refused(400, "INVALID_REQUEST");
        body["wallets"].as_object_mut().unwrap().remove(curve);
        let message = post(&node, "/register", 2, &body).refused(400, "INVALID_REQUEST");
        assert!(message.contains(curve), "{message}");
        for field in ["public_key", "share"] {
            for call in ["/register", "/reshare", "/reshare/register"] {
                let mut body = register_body(2);
                body["wallets"][curve][field] = json!({"hex": share(curve, 2)});
                let answer = post(&node, call, 2, &body);
                let message = answer.refused(400, "INVALID_REQUEST");
                assert!(
                    message.contains(&format!("wallets.{curve}.{field}")),
                    "{message}"
                );
                assert!(!answer.text.contains(&share(curve, 2)), "{answer:?}");
            }
        }
        for call in ["/register", "/reshare", "/reshare/register"] {
            let mut body = register_body(2);
            body["wallets"][curve]["public_key"] = json!("00");
            post(&node, call, 2, &body).refused(400, "PUBLIC_KEY_INVALID");
            body = register_body(2);
            body["wallets"][curve]["share"] = json!(format!("{}0", share(curve, 2)));
            let answer = post(&node, call, 2, &body);
            answer.refused(400, "SHARE_INVALID");
            assert!(!answer.text.contains(&share(curve, 2)), "{answer:?}");
        }
    }
    post(&node, "", 2, &get_body(2)).refused(404, "USER_NOT_FOUND");
}
