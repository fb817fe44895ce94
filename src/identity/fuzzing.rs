//! Doors for fuzzers ([`crate::fuzzing`]): keys of issuers.

pub use super::id_token::fuzzing::id_token;
use super::key_set::{ANY_SIGNATURE, KeySet, Wanted};
pub use super::telegram::fuzzing::telegram;

/// An issuer's document of keys.
pub fn jwks(bytes: &[u8]) {
    let Some(keys) = KeySet::parse(bytes) else {
        return;
    };
    for algorithm in ANY_SIGNATURE.iter().copied() {
        for id in [None, Some("1")] {
            let _ = keys.find(Wanted { id, algorithm });
        }
    }
}
