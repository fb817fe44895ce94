//! Searching files for bytes, however they are written.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Something that must be nowhere, and all the ways in which it could be written.
pub(super) struct Needle {
    pub(super) name: String,
    pub(super) spellings: Vec<Vec<u8>>,
}

impl Needle {
    pub(super) fn new(name: impl Into<String>, bytes: &[u8]) -> Self {
        let decimal = |separator| {
            let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
            numbers.join(separator).into_bytes()
        };
        let mut spellings = vec![
            bytes.to_vec(),
            hex::encode(bytes).into_bytes(),
            hex::encode_upper(bytes).into_bytes(),
            // As Rust and JSON write a list of bytes.
            decimal(", "),
            decimal(","),
        ];
        for shift in 0..3 {
            spellings.push(base64_inside(&STANDARD_NO_PAD, bytes, shift));
            spellings.push(base64_inside(&URL_SAFE_NO_PAD, bytes, shift));
        }
        Self {
            name: name.into(),
            spellings,
        }
    }

    /// A number, as text and as an integer of eight bytes.
    pub(super) fn number(name: &str, number: u64) -> Self {
        let mut needle = Self::new(name, number.to_string().as_bytes());
        needle.spellings.push(number.to_be_bytes()[2..].to_vec());
        needle.spellings.push(number.to_le_bytes()[..6].to_vec());
        needle
    }

    pub(super) fn is_in(&self, haystack: &[u8]) -> bool {
        self.spellings
            .iter()
            .any(|spelling| contains(haystack, spelling))
    }
}

/// The characters that `bytes` alone decide when they begin `shift` bytes into a group of three.
fn base64_inside(engine: &impl Engine, bytes: &[u8], shift: usize) -> Vec<u8> {
    let padded = [&vec![0; shift][..], bytes].concat();
    let text = engine.encode(&padded).into_bytes();
    let whole = padded.len() * 8 / 6;
    text[(shift * 8).div_ceil(6)..whole].to_vec()
}

pub(super) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    // Most places are ruled out by one byte.
    let mut rest = haystack;
    while let Some(at) = rest.iter().position(|byte| *byte == needle[0]) {
        if rest[at..].starts_with(needle) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}
