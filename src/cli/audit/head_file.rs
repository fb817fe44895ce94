//! The signed head as a file: one JSON object, times in RFC 3339, the rest in hex.

use std::path::Path;

use anyhow::{Context, anyhow};

use crate::audit::{Link, SignedHead};
use crate::clock::Timestamp;
use crate::desk::AuditHead;

/// The file of a head.
///
/// # Errors
/// None that a head can cause.
pub(super) fn text(signed: &SignedHead) -> anyhow::Result<String> {
    let file = AuditHead::from(signed);
    Ok(serde_json::to_string_pretty(&file)? + "\n")
}

/// The head in a file. Its signature is not looked at.
///
/// # Errors
/// The file cannot be read, or holds no head.
pub(super) fn read(path: &Path) -> anyhow::Result<SignedHead> {
    let text = std::fs::read(path).with_context(|| format!("{}", path.display()))?;
    parse(&text).with_context(|| {
        format!(
            "{} is no head that `ksnode audit head` wrote",
            path.display()
        )
    })
}

fn parse(text: &[u8]) -> anyhow::Result<SignedHead> {
    let file: AuditHead = serde_json::from_slice(text)?;
    Ok(SignedHead {
        node: file.node,
        link: Link {
            seq: file.seq,
            mac: bytes("mac", &file.mac)?,
        },
        at: Timestamp::parse(&file.at).ok_or_else(|| anyhow!("at: this is no time"))?,
        node_key: bytes("node_key", &file.node_key)?,
        signature: bytes("signature", &file.signature)?,
    })
}

fn bytes<const N: usize>(name: &str, text: &str) -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| anyhow!("{name}: this is not {N} bytes in hex"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_head_comes_back_as_it_was() {
        let head = SignedHead {
            node: Uuid::nil(),
            link: Link {
                seq: 12,
                mac: [7; 32],
            },
            at: Timestamp::from_millis(1_795_057_200_123),
            node_key: [8; 32],
            signature: [9; 64],
        };
        let written = text(&head).unwrap();
        assert_eq!(parse(written.as_bytes()).unwrap(), head);
        for (what, with) in [
            ("0707", "07"),
            ("2026-", "26-"),
            ("\"seq\"", "\"more\": 1, \"seq\""),
        ] {
            let broken = written.replacen(what, with, 1);
            assert!(parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
