//! ID tokens: google, auth0 and any further issuer.

use serde_json::json;

use super::*;
use crate::issuer::{Key, OTHER_RSA, encoded, hs256, unsigned};

#[test]
fn id_tokens_of_google() {
    let home = tempfile::tempdir().unwrap();
    let issuer = Issuer::start();
    let es256 = Key::es256();
    issuer.publishes(KEYS, &[RSA.published("one"), es256.published("two")]);
    let node = node(&home, &issuer);

    is_known_as(
        &node,
        "google",
        &RSA.token("one", &google()),
        1,
        "google_108",
    );
    for (number, iss) in [
        (2, "https://oauth2.googleapis.com"),
        (3, "accounts.google.com"),
    ] {
        let claims = with(google(), &json!({"iss": iss, "sub": "109"}));
        is_known_as(
            &node,
            "google",
            &RSA.token("one", &claims),
            number,
            "google_109",
        );
    }
    // It is the default.
    let body = json!({"public_key": public_key("secp256k1", 1)});
    let got = node.post("/keyshare/v1", &RSA.token("one", &google()), &body);
    assert_eq!(got.data()["share"], share("secp256k1", 1));

    let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "kid": "one"});
    let good = RSA.token("one", &google());
    let (text, signature) = good.rsplit_once('.').unwrap();
    let other_claims = with(google(), &json!({"sub": "1"})).to_string();
    let (head, _) = text.split_once('.').unwrap();
    let mut bad = vec![
        OTHER_RSA.token("one", &google()),
        OTHER_RSA.token("three", &google()),
        es256.token("one", &google()),
        es256.token_with(&header("RS256"), &google()),
        RSA.token_with(&header("RS512"), &google()),
        RSA.token_with(&header("ES256"), &google()),
        format!("{}.", unsigned(&header("none"), &google())),
        format!("{}.", unsigned(&header("NONE"), &google())),
        unsigned(&header("none"), &google()),
        format!("{}.{signature}", unsigned(&header("none"), &google())),
        format!("{text}."),
        text.to_owned(),
        format!("{head}.{}.{signature}", encoded(other_claims.as_bytes())),
        format!("{good}.x"),
        "a.b.c".into(),
        "nonsense".into(),
        "..".into(),
    ];
    let public = RSA.public_texts();
    bad.extend(public.iter().map(|secret| hs256(secret, "one", &google())));
    for changes in [
        json!({"exp": seconds(-60)}),
        json!({"exp": null}),
        json!({"exp": "soon"}),
        json!({"nbf": seconds(600)}),
        json!({"aud": "another"}),
        json!({"aud": null}),
        json!({"aud": []}),
        json!({"aud": ["another", "third"]}),
        json!({"iss": "https://accounts.google.com/"}),
        json!({"iss": "https://evil.example"}),
        json!({"iss": null}),
        json!({"sub": null}),
        json!({"sub": ""}),
        json!({"sub": 108}),
        json!({"email": null}),
        json!({"email": ""}),
        json!({"email_verified": false}),
        json!({"email_verified": null}),
        json!({"email_verified": "false"}),
    ] {
        bad.push(RSA.token("one", &with(google(), &changes)));
    }
    // Somebody else's token, though good.
    bad.push(RSA.token("one", &auth0()));
    for token in bad {
        unauthorized(&register(&node, "google", &token, 9), &token);
    }
    let fetched = issuer.hits(KEYS);
    assert!(
        fetched <= 2,
        "one fetch and one for all unknown keys: {fetched}"
    );
}

#[test]
fn id_tokens_of_auth0() {
    let home = tempfile::tempdir().unwrap();
    let issuer = Issuer::start();
    let es256 = Key::es256();
    issuer.publishes(KEYS, &[RSA.published("one"), es256.published("two")]);
    let node = node(&home, &issuer);

    let good = RSA.token("one", &auth0());
    is_known_as(&node, "auth0", &good, 1, "someone@example.org");
    assert_eq!(issuer.hits(KEYS), 1);
    register(&node, "auth0", &good, 2).data();
    assert_eq!(issuer.hits(KEYS), 1, "the keys are kept");
    let mut bad = vec![
        // RS256 alone.
        es256.token("two", &auth0()),
        OTHER_RSA.token("one", &auth0()),
        format!("{}.", unsigned(&json!({"alg": "none"}), &auth0())),
        RSA.token("one", &google()),
    ];
    let public = RSA.public_texts();
    bad.extend(public.iter().map(|secret| hs256(secret, "one", &auth0())));
    for changes in [
        json!({"exp": seconds(-60)}),
        json!({"exp": null}),
        json!({"nbf": seconds(600)}),
        json!({"aud": GOOGLE_CLIENT}),
        json!({"aud": null}),
        json!({"iss": "https://auth0.oko.app"}),
        json!({"iss": null}),
        json!({"sub": null}),
        json!({"email": null}),
        json!({"email_verified": false}),
        json!({"email_verified": null}),
    ] {
        bad.push(RSA.token("one", &with(auth0(), &changes)));
    }
    for token in bad {
        unauthorized(&register(&node, "auth0", &token, 9), &token);
    }
    assert_eq!(issuer.hits(KEYS), 1);

    // A key that is new at the issuer: one forced refresh, and none for every token with an unknown key.
    issuer.publishes(KEYS, &[OTHER_RSA.published("three"), RSA.published("one")]);
    register(&node, "auth0", &OTHER_RSA.token("three", &auth0()), 3).data();
    assert_eq!(issuer.hits(KEYS), 2);
    for id in ["four", "five", "six"] {
        let unknown = OTHER_RSA.token(id, &auth0());
        unauthorized(&register(&node, "auth0", &unknown, 9), &unknown);
    }
    assert_eq!(issuer.hits(KEYS), 2);
    register(&node, "auth0", &good, 4).data();
}

#[test]
fn id_tokens_of_any_further_issuer() {
    let home = tempfile::tempdir().unwrap();
    let issuer = Issuer::start();
    let (es256, ed_dsa) = (Key::es256(), Key::ed_dsa());
    let keys = [
        RSA.published("r"),
        es256.published("e"),
        ed_dsa.published("d"),
    ];
    issuer.publishes(KEYS, &keys);
    issuer.publishes("/elsewhere", &keys);
    let tenant = issuer.url("/tenant");
    issuer.answers(
        DISCOVERY,
        200,
        &json!({"issuer": tenant, "jwks_uri": issuer.url("/elsewhere")}),
    );
    let node = node(&home, &issuer);
    let own = json!({"iss": "https://own.example", "aud": "own-client", "sub": "1", "employee": "e-77",
        "exp": seconds(600)});
    let found = json!({"iss": tenant, "aud": ["found-client"], "sub": "s1", "exp": seconds(600)});
    let mail = json!({"iss": "https://mail.example", "aud": "mail-client", "sub": "1",
        "email": "a@example.com", "email_verified": true, "exp": seconds(600)});

    is_known_as(&node, "own", &RSA.token("r", &own), 1, "staff:e-77");
    is_known_as(&node, "own", &es256.token("e", &own), 2, "staff:e-77");
    is_known_as(&node, "found", &ed_dsa.token("d", &found), 3, "found_s1");
    assert_eq!((issuer.hits(DISCOVERY), issuer.hits("/elsewhere")), (1, 1));
    is_known_as(
        &node,
        "mail",
        &RSA.token("r", &mail),
        4,
        "mail_a@example.com",
    );
    for (name, claims) in [
        ("own", with(own.clone(), &json!({"employee": null}))),
        ("own", with(own.clone(), &json!({"employee": 7}))),
        ("own", with(own.clone(), &json!({"aud": "found-client"}))),
        ("own", with(own.clone(), &json!({"exp": seconds(-60)}))),
        (
            "own",
            with(own.clone(), &json!({"iss": "https://own.example/"})),
        ),
        (
            "own",
            with(own.clone(), &json!({"employee": "e".repeat(400)})),
        ),
        ("found", own.clone()),
        ("found", with(found.clone(), &json!({"nbf": seconds(600)}))),
        (
            "mail",
            with(mail.clone(), &json!({"email_verified": false})),
        ),
        ("mail", with(mail, &json!({"email_verified": null}))),
        ("google", own.clone()),
    ] {
        let token = RSA.token("r", &claims);
        unauthorized(&register(&node, name, &token, 9), &token);
    }
    unauthorized(&register(&node, "own", &OTHER_RSA.token("r", &own), 9), "");
    // The same wallet, asked for by the same text of another provider: another user.
    let other = json!({"auth_type": "found", "user_auth_id": "staff:e-77",
        "public_key": public_key("secp256k1", 1)});
    let data = node.post_open("/keyshare/v1/check", &other).data();
    assert_eq!(data, json!({"exists": false}));
}
