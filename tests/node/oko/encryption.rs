//! The suite's encryption, written a second time from its description, so that the program's does not agree with itself
//! alone. The salts are few, each derived once: deriving 10,000 keys here as well would take minutes.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Mutex;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::fixture::number;

/// With the newline that an editor leaves: the suite does not trim it.
pub const SECRET: &[u8] = b"the suite's own secret\n";

const SALTS: u64 = 4;

/// The suite's encryption under [`SECRET`].
#[derive(Default)]
pub struct Encryption {
    keys: Mutex<HashMap<Vec<u8>, [u8; 32]>>,
}

impl Encryption {
    fn key(&self, salt: &[u8]) -> LessSafeKey {
        let mut keys = self.keys.lock().unwrap();
        let key = keys.entry(salt.to_vec()).or_insert_with(|| {
            let (mut key, rounds) = ([0; 32], NonZeroU32::new(100_000).unwrap());
            pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, salt, SECRET, &mut key);
            key
        });
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap())
    }

    pub fn encrypt(&self, text: &str, place: u64) -> String {
        let salt = number(&format!("salt {}", place % SALTS)).to_be_bytes();
        let iv = &number(&format!("iv {place} {text}")).to_be_bytes()[..12];
        let mut sealed = text.as_bytes().to_vec();
        let nonce = Nonce::try_assume_unique_for_key(iv).unwrap();
        let tag = self
            .key(&salt)
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut sealed);
        STANDARD.encode([&salt[..], iv, tag.unwrap().as_ref(), &sealed].concat())
    }

    /// The clear text.
    pub fn decrypt(&self, encrypted: &str) -> String {
        let bytes = STANDARD.decode(encrypted).unwrap();
        let nonce = Nonce::try_assume_unique_for_key(&bytes[16..28]).unwrap();
        let mut joined = [&bytes[44..], &bytes[28..44]].concat();
        let clear = self
            .key(&bytes[..16])
            .open_in_place(nonce, Aad::empty(), &mut joined);
        String::from_utf8(clear.unwrap().to_vec()).unwrap()
    }
}
