//! Every row of api.md's "Who is calling", against providers on loopback.

mod id_tokens;
mod telegram;

use std::path::Path;
use std::time::{Duration, Instant};

use ksnode::clock::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::issuer::{Issuer, RSA};
use crate::support::{Answer, Node, Setup, public_key, share, token};

pub const KEYS: &str = "/keys";
const GOOGLE_CLIENT: &str =
    "421793224165-cpmbt6enqrj6ad6n4ujokham8qdmnnln.apps.googleusercontent.com";
const AUTH0_CLIENT: &str = "GnPcFAjGKAcXZpAzQ8vGBmzfcfV2hu1Q";
pub const X: &str = "/2/users/me";
pub const DISCORD: &str = "/api/users/@me";
const DISCOVERY: &str = "/tenant/.well-known/openid-configuration";

fn node(home: &tempfile::TempDir, issuer: &Issuer) -> Node {
    providers(home.path(), issuer).start()
}

/// A node whose every provider is `issuer`; ids and issuers are the network's defaults.
pub fn providers(home: &Path, issuer: &Issuer) -> Setup {
    let config = format!(
        "[[identity.oidc]]\nname = \"own\"\nissuer = \"https://own.example\"\naudience = \"own-client\"\n\
         claim = \"employee\"\nprefix = \"staff:\"\njwks_url = \"{keys}\"\n\
         [[identity.oidc]]\nname = \"found\"\nissuer = \"{tenant}\"\naudience = \"found-client\"\n\
         [[identity.oidc]]\nname = \"mail\"\nissuer = \"https://mail.example\"\naudience = \"mail-client\"\n\
         claim = \"email\"\njwks_url = \"{keys}\"\n",
        keys = issuer.url(KEYS),
        tenant = issuer.url("/tenant"),
    );
    Setup::new(home)
        .config(&config)
        .env("KSNODE_IDENTITY__GOOGLE__JWKS_URL", &issuer.url(KEYS))
        .env("KSNODE_IDENTITY__AUTH0__JWKS_URL", &issuer.url(KEYS))
        .env("KSNODE_IDENTITY__X__USER_URL", &issuer.url(X))
        .env("KSNODE_IDENTITY__DISCORD__USER_URL", &issuer.url(DISCORD))
}

/// The time in `by` seconds.
fn seconds(by: i64) -> i64 {
    SystemClock::new().now().as_seconds() + by
}

pub fn google() -> Value {
    json!({"iss": "https://accounts.google.com", "aud": GOOGLE_CLIENT, "sub": "108", "iat": seconds(-5),
        "exp": seconds(3600), "email": "someone@example.com", "email_verified": true})
}

pub fn auth0() -> Value {
    json!({"iss": "https://auth0.oko.app/", "aud": AUTH0_CLIENT, "sub": "auth0|7", "iat": seconds(-5),
        "exp": seconds(3600), "email": "someone@example.org", "email_verified": true})
}

/// `claims` with some of them changed; null takes one away.
fn with(mut claims: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        }
    }
    claims
}

/// A register by whom the token says.
fn register(node: &Node, auth_type: &str, token: &str, number: u64) -> Answer {
    let body = json!({
        "auth_type": auth_type,
        "public_key": public_key("secp256k1", number),
        "share": share("secp256k1", number),
    });
    node.post("/keyshare/v1/register", token, &body)
}

/// Asserts that the token is accepted, and who its bearer is then.
#[track_caller]
fn is_known_as(node: &Node, auth_type: &str, token: &str, number: u64, user: &str) {
    register(node, auth_type, token, number).data();
    for (user, exists) in [(user, true), ("somebody", false)] {
        let check = json!({
            "auth_type": auth_type,
            "user_auth_id": user,
            "public_key": public_key("secp256k1", number),
        });
        let data = node.post_open("/keyshare/v1/check", &check).data();
        assert_eq!(data, json!({"exists": exists}), "{user}");
    }
}

/// Asserts a 401 that says nothing of the token.
#[track_caller]
fn unauthorized(answer: &Answer, token: &str) {
    answer.refused(401, "UNAUTHORIZED");
    assert!(
        token.len() < 4 || !answer.text.contains(token),
        "{answer:?}"
    );
}

#[test]
fn access_tokens_of_x_and_discord() {
    let home = tempfile::tempdir().unwrap();
    let issuer = Issuer::start();
    issuer.answers_by_token(
        X,
        &[
            (
                "x-good",
                200,
                json!({"data": {"id": "42", "name": "N", "username": "n"}}),
            ),
            ("x-nobody", 200, json!({"data": {"name": "N"}})),
            ("x-empty", 200, json!({"data": {"id": ""}})),
            (
                "x-errors",
                200,
                json!({"errors": [{"title": "Unauthorized"}]}),
            ),
            ("x-forbidden", 403, json!({})),
            ("x-busy", 429, json!({})),
            ("x-broken", 500, json!({})),
            ("x-moved", 302, json!({})),
            ("x-number", 200, json!([1])),
        ],
    );
    issuer.answers_by_token(
        DISCORD,
        &[
            ("d-good", 200, json!({"id": "43", "email": "d@example.com"})),
            ("d-mute", 200, json!({"id": "43"})),
            ("d-null", 200, json!({"id": "43", "email": null})),
            ("d-nobody", 200, json!({"email": "d@example.com"})),
            ("d-broken", 503, json!({})),
        ],
    );
    let node = node(&home, &issuer);
    is_known_as(&node, "x", "x-good", 1, "x_42");
    is_known_as(&node, "discord", "d-good", 2, "discord_43");
    for token in [
        "x-nobody",
        "x-empty",
        "x-errors",
        "x-forbidden",
        "d-good",
        "unknown",
    ] {
        unauthorized(&register(&node, "x", token, 9), token);
    }
    for token in ["d-mute", "d-null", "d-nobody", "x-good", "unknown"] {
        unauthorized(&register(&node, "discord", token, 9), token);
    }
    // Trouble at the provider says nothing about the token.
    for (auth_type, token) in [
        ("x", "x-busy"),
        ("x", "x-broken"),
        ("x", "x-moved"),
        ("x", "x-number"),
        ("discord", "d-broken"),
    ] {
        let answer = register(&node, auth_type, token, 9);
        answer.refused(500, "UNKNOWN_ERROR");
    }
    // An access token is asked about every time: it may be revoked.
    issuer.answers(X, 401, &json!({}));
    unauthorized(&register(&node, "x", "x-good", 9), "x-good");
}

#[test]
fn a_provider_that_cannot_be_reached() {
    let home = tempfile::tempdir().unwrap();
    let issuer = Issuer::start();
    for path in [KEYS, X, DISCOVERY] {
        issuer.never_answers(path);
    }
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    let home_b = tempfile::tempdir().unwrap();
    let silent = node(&home, &issuer);
    let absent = Setup::new(home_b.path())
        .env("KSNODE_IDENTITY__GOOGLE__JWKS_URL", &nobody)
        .env("KSNODE_IDENTITY__DISCORD__USER_URL", &nobody)
        .start();
    let id_token = RSA.token("one", &google());
    std::thread::scope(|scope| {
        for (node, auth_type) in [
            (&silent, "google"),
            (&silent, "auth0"),
            (&silent, "x"),
            (&silent, "found"),
            (&absent, "google"),
            (&absent, "discord"),
        ] {
            let id_token = &id_token;
            scope.spawn(move || {
                let begun = Instant::now();
                let answer = register(node, auth_type, id_token, 1);
                let message = answer.refused(500, "UNKNOWN_ERROR");
                assert!(!message.contains("127.0.0.1"), "{message}");
                let took = begun.elapsed();
                assert!(took < Duration::from_secs(10), "{auth_type}: {took:?}");
            });
        }
        // Who needs nobody else is served meanwhile.
        register(&silent, "telegram", &token(5), 5).data();
    });
    // The log tells an outage from a bad token, and holds no token.
    for node in [&silent, &absent] {
        node.logs("unavailable");
        assert!(!node.logged().contains(&id_token));
    }
    // A provider that comes back is used again.
    issuer.publishes(KEYS, &[RSA.published("one")]);
    crate::support::wait_for("the provider to be asked again", || {
        (register(&silent, "google", &id_token, 6).status == 200).then_some(())
    });
    // From then on its outage does not lock anybody out.
    issuer.never_answers(KEYS);
    register(&silent, "google", &id_token, 7).data();
}

#[test]
fn the_authorization_header_and_the_auth_type() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let key = public_key("secp256k1", 1);
    let body = json!({"auth_type": "telegram", "public_key": key, "share": share("secp256k1", 1)});
    let (number, bearer) = (token(1), |scheme: &str| format!("{scheme} {}", token(1)));
    node.post("/keyshare/v1/register", &number, &body).data();
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        let answer = node.post_with("/keyshare/v1", &[("authorization", &bearer(scheme))], &body);
        assert_eq!(answer.data()["share"], share("secp256k1", 1), "{scheme}");
    }
    let both = json!({"auth_type": "telegram", "wallets": {"secp256k1": key}});
    for (path, body) in [
        ("/keyshare/v1", &body),
        ("/keyshare/v1/register", &body),
        ("/keyshare/v1/reshare", &body),
        ("/keyshare/v2", &both),
        ("/keyshare/v2/register", &both),
        ("/keyshare/v2/register/ed25519", &body),
        ("/keyshare/v2/reshare", &both),
        ("/keyshare/v2/reshare/register", &both),
    ] {
        node.post_open(path, body).refused(401, "UNAUTHORIZED");
        for malformed in [
            "",
            "Bearer",
            "Bearer ",
            &format!("Bearer{number}"),
            &number,
            &bearer("Basic"),
            &bearer("Token"),
            "Bearer nonsense",
        ] {
            let answer = node.post_with(path, &[("authorization", malformed)], body);
            unauthorized(&answer, &number);
        }
        for unknown in ["facebook", "", "Telegram", "TELEGRAM", "telegram ", "own"] {
            let mut body = body.clone();
            body["auth_type"] = json!(unknown);
            node.post(path, &number, &body).refused(401, "UNAUTHORIZED");
        }
        // Where the type is read from is the body, and there alone.
        let mut untyped = body.clone();
        untyped.as_object_mut().unwrap().remove("auth_type");
        let path = format!("{path}?auth_type=telegram");
        let header = [
            ("authorization", bearer("Bearer")),
            ("auth_type", "telegram".into()),
        ];
        let header = header
            .each_ref()
            .map(|(name, value)| (*name, value.as_str()));
        let answer = node.post_with(&path, &header, &untyped);
        unauthorized(&answer, &number);
    }
}
