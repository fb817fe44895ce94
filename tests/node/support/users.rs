//! Users with their tokens, keys and shares.

use serde_json::{Value, json};

use super::BOT_TOKEN;

/// A Telegram login that verifies under [`BOT_TOKEN`].
pub fn token(user: u64) -> String {
    use ksnode::clock::{Clock, SystemClock};
    let secret = ksnode::config::SecretText::new(BOT_TOKEN.into());
    ksnode::identity::telegram::sign(&secret, user, SystemClock::new().now())
}

/// A public key and share that are this number's and nobody else's, in hex.
pub fn wallet(curve: &str, number: u64) -> Value {
    json!({"public_key": public_key(curve, number), "share": share(curve, number)})
}

pub fn public_key(curve: &str, number: u64) -> String {
    match curve {
        "secp256k1" => format!("02{}", digest(&format!("{curve} key {number}"))),
        _ => digest(&format!("{curve} key {number}")),
    }
}

pub fn share(curve: &str, number: u64) -> String {
    digest(&format!("{curve} x {number}")) + &digest(&format!("{curve} y {number}"))
}

fn digest(text: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(text))
}

/// Body of a v2 register of user `number`'s both wallets.
pub fn register_body(number: u64) -> Value {
    json!({"auth_type": "telegram", "wallets": {
        "secp256k1": wallet("secp256k1", number),
        "ed25519": wallet("ed25519", number),
    }})
}

/// Body of a v2 get of the same.
pub fn get_body(number: u64) -> Value {
    json!({"auth_type": "telegram", "wallets": {
        "secp256k1": public_key("secp256k1", number),
        "ed25519": public_key("ed25519", number),
    }})
}
