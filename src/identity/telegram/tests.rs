use aws_lc_rs::{digest, hmac as reference};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::testing::{BOT_TOKEN, World, rejection, with};
use super::*;
use crate::clock::{Clock as _, ManualClock};

fn bot_token() -> SecretText {
    SecretText::new(BOT_TOKEN.to_owned())
}

fn telegram() -> (std::sync::Arc<ManualClock>, Telegram) {
    let clock = ManualClock::shared();
    let provider = Telegram {
        key: Some(BotKey::new(&bot_token())),
        clock: clock.clone(),
    };
    (clock, provider)
}

/// What JavaScript's `${value}` makes of a JSON value.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The text authenticated, built the way api.md words it, and its code by another library.
fn hash_of(fields: &Map<String, Value>) -> String {
    let mut lines: Vec<(&String, String)> = fields
        .iter()
        .filter(|(_, value)| !value.is_null() && **value != json!(""))
        .map(|(name, value)| (name, format!("{name}={}", shown(value))))
        .collect();
    lines.sort();
    let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
    let key = digest::digest(&digest::SHA256, BOT_TOKEN.as_bytes());
    let key = reference::Key::new(reference::HMAC_SHA256, key.as_ref());
    hex::encode(reference::sign(&key, lines.join("\n").as_bytes()))
}

fn signed(fields: Value) -> String {
    let mut fields = fields.as_object().unwrap().clone();
    fields.insert("hash".into(), hash_of(&fields).into());
    Value::Object(fields).to_string()
}

fn fields(clock: &ManualClock) -> Value {
    json!({"id": 4242, "auth_date": clock.now().as_seconds(), "first_name": "Zoë"})
}

#[test]
fn a_login_computed_elsewhere_is_accepted() {
    let (_, telegram) = telegram();
    let login = r#"{"id":4242,"first_name":"Zo\u00eb","last_name":null,"username":"zoe",
        "photo_url":"https:\/\/t.me\/i\/u.jpg","auth_date":"1767225600",
        "hash":"b313633195f90334e456929339dae8f0890947b74b322d933d449afccdf6639f"}"#;
    assert_eq!(telegram.identify(login).unwrap(), "4242");
}

#[test]
fn what_sign_makes_is_what_telegram_would() {
    let (clock, telegram) = telegram();
    let login = sign(&bot_token(), 4242, clock.now());
    let hash = "7e6c0c6e778e83d835ab2db18607d473405bbd669373abe132b2bc17fa8972a8";
    assert!(login.contains(hash), "{login}");
    assert_eq!(telegram.identify(&login).unwrap(), "4242");
}

#[test]
fn values_may_be_texts_or_numbers_and_empty_ones_do_not_count() {
    let (clock, telegram) = telegram();
    for changes in [
        json!({"id": "4242", "auth_date": clock.now().as_seconds().to_string()}),
        json!({"last_name": "", "username": null}),
        json!({"score": -5, "ratio": 1.5, "big": u64::MAX}),
        json!({"Zz": "capital letters sort first", "a_1": "x"}),
        json!({"first_name": "a=b&c\t\"d\"\\"}),
    ] {
        let mut login = fields(&clock);
        for (name, value) in changes.as_object().unwrap() {
            login[name] = value.clone();
        }
        assert_eq!(
            telegram.identify(&signed(login)).unwrap(),
            "4242",
            "{changes}"
        );
    }
}

#[test]
fn a_whole_float_is_shown_as_javascript_shows_it() {
    let (_, telegram) = telegram();
    let login = r#"{"id":4242.0,"auth_date":1767225600,"hash":"7e6c0c6e778e83d835ab2db18607d473405bbd669373abe132b2bc17fa8972a8"}"#;
    assert_eq!(telegram.identify(login).unwrap(), "4242");
}

#[test]
fn the_hash_may_be_written_in_capitals() {
    let (clock, telegram) = telegram();
    let login: Value = serde_json::from_str(&signed(fields(&clock))).unwrap();
    let capitals = login["hash"].as_str().unwrap().to_uppercase();
    let login = with(login, json!({"hash": capitals}));
    telegram.identify(&login.to_string()).unwrap();
}

#[test]
fn any_change_breaks_the_hash() {
    let (clock, telegram) = telegram();
    let login: Value = serde_json::from_str(&signed(fields(&clock))).unwrap();
    for changes in [
        json!({"id": 4243}),
        json!({"first_name": "Zoe"}),
        json!({"first_name": null}),
        json!({"username": "zoe"}),
        json!({"auth_date": clock.now().as_seconds() - 1}),
        json!({"hash": "00".repeat(32)}),
    ] {
        let login = with(login.clone(), changes).to_string();
        assert_eq!(
            rejection(telegram.identify(&login)),
            "its hash is wrong",
            "{login}"
        );
    }
}

#[test]
fn another_bots_login_is_rejected() {
    let (clock, telegram) = telegram();
    let login = sign(&SecretText::new("1:other".into()), 4242, clock.now());
    assert_eq!(rejection(telegram.identify(&login)), "its hash is wrong");
}

#[test]
fn a_login_is_good_for_a_day() {
    let (clock, telegram) = telegram();
    let now = clock.now();
    let at = |seconds: u64| sign(&bot_token(), 1, now.minus(Duration::from_secs(seconds)));
    telegram.identify(&at(86_400)).unwrap();
    assert!(rejection(telegram.identify(&at(86_401))).contains("too long ago"));
    let ahead = sign(&bot_token(), 1, now.plus(Duration::from_secs(1)));
    assert!(rejection(telegram.identify(&ahead)).contains("in the future"));
    clock.advance(Duration::from_secs(1));
    telegram.identify(&ahead).unwrap();
}

#[test]
fn signed_fields_must_be_there_and_make_sense() {
    let (clock, telegram) = telegram();
    for (changes, reason) in [
        (json!({"id": null}), "its id is missing"),
        (json!({"auth_date": null}), "its auth_date is missing"),
        (json!({"auth_date": "soon"}), "is not a time"),
        (json!({"auth_date": 1.5}), "is not a time"),
        (json!({"auth_date": u64::MAX}), "is not a time"),
        (json!({"auth_date": i64::MAX}), "in the future"),
        (json!({"auth_date": i64::MIN}), "too long ago"),
        (json!({"a": true}), "texts and numbers"),
        (json!({"a": {"b": 1}}), "texts and numbers"),
        (json!({"a": [1]}), "texts and numbers"),
    ] {
        let login = signed(with(fields(&clock), changes));
        let told = rejection(telegram.identify(&login));
        assert!(told.contains(reason), "{login}: {told}");
    }
}

#[test]
fn what_is_no_login_or_carries_no_hash_is_rejected() {
    let (clock, telegram) = telegram();
    let hashed = |hash: Value| with(fields(&clock), json!({ "hash": hash })).to_string();
    for (login, reason) in [
        (String::new(), "texts and numbers"),
        ("[]".into(), "texts and numbers"),
        ("null".into(), "texts and numbers"),
        (signed(fields(&clock)) + " x", "texts and numbers"),
        ("{}".into(), "its hash is missing"),
        (hashed(json!(null)), "its hash is missing"),
        (hashed(json!("")), "its hash is missing"),
        (hashed(json!(5)), "texts and numbers"),
        (hashed(json!("zz")), "32 bytes in hex"),
        (hashed(json!("00")), "32 bytes in hex"),
    ] {
        let told = rejection(telegram.identify(&login));
        assert!(told.contains(reason), "{login}: {told}");
    }
}

/// Telegram signs a login of user 5, whose first name holds line feeds. Read differently, the same text would be a
/// login of user 777.
#[test]
fn one_text_cannot_be_read_as_two_logins() {
    let (clock, telegram) = telegram();
    let now = clock.now().as_seconds();
    let honest = json!({"auth_date": now, "first_name": "A\nid=777\nlast_name=B", "id": 5});
    let hash = hash_of(honest.as_object().unwrap());
    let forged = json!({"auth_date": now, "first_name": "A", "id": 777, "last_name": "B\nid=5"});
    assert_eq!(
        hash_of(forged.as_object().unwrap()),
        hash,
        "the attack is what it claims to be"
    );
    let forged = with(forged, json!({ "hash": hash })).to_string();
    assert!(rejection(telegram.identify(&forged)).contains("Telegram signs"));

    let key = json!({"auth_date": now, "first_name": "A", "id": 777, "last_name=B\nid": 5});
    assert_eq!(hash_of(key.as_object().unwrap()), hash);
    let forged = with(key, json!({ "hash": hash })).to_string();
    assert!(rejection(telegram.identify(&forged)).contains("Telegram signs"));

    let twice = format!(r#"{{"id":777,"id":5,"auth_date":{now},"hash":"{hash}"}}"#);
    assert!(rejection(telegram.identify(&twice)).contains("comes twice"));
    let twice = format!(r#"{{"id":5,"auth_date":{now},"hash":"{hash}","hash":"{hash}"}}"#);
    assert!(rejection(telegram.identify(&twice)).contains("texts and numbers"));
}

#[tokio::test]
async fn without_a_bot_token_every_login_is_rejected() {
    let world = World::new().await;
    let telegram = Telegram::new(None, &world.tools);
    let login = sign(&bot_token(), 1, world.clock.now());
    let reason = rejection(telegram.identify(&login));
    assert!(reason.contains("no bot token is configured"), "{reason}");
    assert!(reason.contains("identity.telegram.bot_token"), "{reason}");
}

proptest! {
    #[test]
    fn arbitrary_text_is_rejected_and_never_panics(text in ".*") {
        let (_, telegram) = telegram();
        prop_assert!(telegram.identify(&text).is_err());
    }

    #[test]
    fn arbitrary_json_is_rejected_and_never_panics(
        names in prop::collection::vec("(id|auth_date|hash|[a-z]{0,3}|.{0,3})", 0..6),
        values in prop::collection::vec(r#"(-?[0-9]{1,25}(\.[0-9]{1,3})?(e-?[0-9]{1,3})?|null|true|"[a-f0-9]{0,64}"|"\\PC{0,5}"|\{\}|\[\])"#, 6),
    ) {
        let (_, telegram) = telegram();
        let members: Vec<String> = names
            .iter()
            .zip(&values)
            .map(|(name, value)| format!("{}:{value}", json!(name)))
            .collect();
        let verified = telegram.identify(&format!("{{{}}}", members.join(",")));
        prop_assert!(verified.is_err());
    }

    #[test]
    fn every_signed_login_is_accepted(id in any::<u64>(), age in 0_u64..=86_400) {
        let (clock, telegram) = telegram();
        let login = sign(&bot_token(), id, clock.now().minus(Duration::from_secs(age)));
        prop_assert_eq!(telegram.identify(&login).unwrap(), id.to_string());
    }
}
