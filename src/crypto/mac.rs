//! Telling that something is as it was written: HMAC-SHA256 (RFC 2104) under a key derived from the ring, and the
//! encoding that both it and the node's signatures are made over.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Context;

/// Bytes of a MAC.
pub const MAC_LENGTH: usize = 32;

/// The fields of a context as bytes from which they can be told apart again: each after its length, eight bytes. So
/// nothing can be shifted from one field to the next.
pub fn encoded(context: Context<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in [context.label.as_bytes()].iter().chain(context.items) {
        let length = u64::try_from(item.len()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(item);
    }
    bytes
}

/// A key that authenticates and seals nothing. Zeroized on drop; `Debug` shows nothing of it.
#[derive(Clone)]
pub struct MacKey(Zeroizing<[u8; MAC_LENGTH]>);

impl MacKey {
    /// HKDF-SHA256 (RFC 5869) without a salt, for one block of output: extract, then expand with `purpose` as what the
    /// key is for.
    pub(super) fn derive(from: &[u8], purpose: Context<'_>) -> Self {
        let extracted = Zeroizing::new(hmac(&[0; MAC_LENGTH], &[from]));
        Self(Zeroizing::new(hmac(&extracted, &[&encoded(purpose), &[1]])))
    }

    /// The MAC of all fields of `context`.
    pub fn mac(&self, context: Context<'_>) -> [u8; MAC_LENGTH] {
        hmac(&self.0, &[&encoded(context)])
    }
}

impl std::fmt::Debug for MacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MacKey(redacted)")
    }
}

fn hmac(key: &[u8; MAC_LENGTH], parts: &[&[u8]]) -> [u8; MAC_LENGTH] {
    // A key that is shorter than a block of the hash is filled up with zeros (RFC 2104, section 2).
    let mut block = Zeroizing::new([0; 2 * MAC_LENGTH]);
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869, appendix A.3: no salt, no info. The 32 first bytes of its output are one block.
    #[test]
    fn the_derivation_is_hkdf() {
        let extracted = hmac(&[0; 32], &[&[0x0b; 22]]);
        let expanded = hmac(&extracted, &[&[1]]);
        assert_eq!(
            hex::encode(expanded),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        );
    }

    #[test]
    fn fields_cannot_be_shifted() {
        let of = |items: &[&[u8]]| {
            encoded(Context {
                label: "test/1",
                items,
            })
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"ab"]), of(&[b"ab", b""]));
    }
}
