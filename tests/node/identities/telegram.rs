//! Telegram logins.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::*;
use crate::support::BOT_TOKEN;
use crate::wire::{Wire, post_bytes};

/// A login as the widget's fields, signed by hand.
fn telegram(bot_token: &str, fields: &[(&str, Value)]) -> String {
    let mut lines: Vec<String> = fields
        .iter()
        .filter(|(_, value)| !value.is_null() && value != "")
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    lines.sort();
    let mut mac = Hmac::<Sha256>::new_from_slice(&Sha256::digest(bot_token)).unwrap();
    mac.update(lines.join("\n").as_bytes());
    let mut login: serde_json::Map<String, Value> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let hash = hex::encode(mac.finalize().into_bytes());
    login.insert("hash".into(), hash.into());
    Value::Object(login).to_string()
}

#[test]
fn logins_of_telegram() {
    let home = tempfile::tempdir().unwrap();
    let node = Setup::new(home.path()).start();
    let now = seconds(0);
    let full = |id: Value, auth_date: Value| {
        vec![
            ("id", id),
            ("first_name", json!("Zoe")),
            ("last_name", json!("")),
            ("username", json!(null)),
            ("photo_url", json!("https://t.example/i/1.jpg?a=b")),
            ("auth_date", auth_date),
        ]
    };
    for (number, id, auth_date) in [
        (1, json!(77), json!(now)),
        (2, json!("77"), json!(now.to_string())),
        (3, json!(77), json!(seconds(-86_390))),
    ] {
        let login = telegram(BOT_TOKEN, &full(id, auth_date));
        is_known_as(&node, "telegram", &login, number, "telegram_77");
    }
    let good = telegram(BOT_TOKEN, &full(json!(77), json!(now)));
    // A name in another script, as bytes of UTF-8.
    let named = [
        ("id", json!(78)),
        ("auth_date", json!(now)),
        ("first_name", json!("Жук ë")),
    ];
    let body = json!({"auth_type": "telegram", "public_key": public_key("secp256k1", 4),
        "share": share("secp256k1", 4)});
    let request = post_bytes("/keyshare/v1/register", &telegram(BOT_TOKEN, &named), &body);
    Wire::to(&node).send(request).answer().data();

    let mut bad = vec![
        telegram("1:another-bot", &full(json!(77), json!(now))),
        telegram(BOT_TOKEN, &full(json!(77), json!(seconds(-86_410)))),
        telegram(BOT_TOKEN, &full(json!(77), json!(seconds(600)))),
        telegram(BOT_TOKEN, &[("auth_date", json!(now))]),
        telegram(BOT_TOKEN, &[("id", json!(77))]),
        telegram(BOT_TOKEN, &full(json!(null), json!(now))),
        good.replace("77", "78"),
        good.replace("Zoe", "Zoa"),
        "{}".into(),
        "[]".into(),
        "77".into(),
        "nonsense".into(),
    ];
    for field in ["hash", "id", "auth_date"] {
        let mut login: Value = serde_json::from_str(&good).unwrap();
        login.as_object_mut().unwrap().remove(field);
        bad.push(login.to_string());
    }
    for hash in ["", "00", "zz"] {
        let mut login: Value = serde_json::from_str(&good).unwrap();
        login["hash"] = json!(hash);
        bad.push(login.to_string());
    }
    for login in bad {
        unauthorized(&register(&node, "telegram", &login, 9), &login);
    }
    assert!(node.stop().success());
    // Without a bot token nobody can be verified.
    let node = Setup::new(home.path())
        .without("KSNODE_IDENTITY__TELEGRAM__BOT_TOKEN")
        .start();
    unauthorized(&register(&node, "telegram", &good, 9), &good);
}
