//! The head, signed with the node's key: kept elsewhere, it shows later that nothing until then was taken away, also to
//! whoever has no secret of the node.

use rusqlite::Connection;
use uuid::Uuid;

use super::AuditError;
use super::chain::{Chain, Found, Link};
use crate::clock::Timestamp;
use crate::crypto::{Context, NodeKey, encoded, verify_signature};

/// What the signature is for, and for nothing else.
const SIGNED: &str = "ksnode/audit-signed-head/1";

/// The newest entry at a moment, and the node's word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHead {
    /// The node.
    pub node: Uuid,
    /// The entry.
    pub link: Link,
    /// When it was signed.
    pub at: Timestamp,
    /// The node's public key at that time.
    pub node_key: [u8; 32],
    /// Its ed25519 signature.
    pub signature: [u8; 64],
}

impl SignedHead {
    fn sign(node: Uuid, link: Link, at: Timestamp, key: &NodeKey) -> Self {
        let node_key = key.public_key();
        let signature = key.sign(&message(node, link, at, &node_key));
        Self {
            node,
            link,
            at,
            node_key,
            signature,
        }
    }

    /// Whether the holder of `node_key` signed exactly this.
    pub fn is_authentic(&self) -> bool {
        let message = message(self.node, self.link, self.at, &self.node_key);
        verify_signature(&self.node_key, &message, &self.signature)
    }
}

impl Chain {
    /// The newest entry, signed with the node's key.
    ///
    /// # Errors
    /// [`AuditError::NoHead`]; [`crate::store::StoreError`].
    pub fn sign(
        &self,
        connection: &Connection,
        node: Uuid,
        key: &NodeKey,
        now: Timestamp,
    ) -> Result<SignedHead, AuditError> {
        match self.head(connection)? {
            Found::Head(head) => Ok(SignedHead::sign(node, head.last, now, key)),
            Found::Nothing | Found::Forged => Err(AuditError::NoHead),
        }
    }
}

fn message(node: Uuid, link: Link, at: Timestamp, node_key: &[u8; 32]) -> Vec<u8> {
    encoded(Context {
        label: SIGNED,
        items: &[
            node.as_bytes(),
            &link.seq.to_be_bytes(),
            &link.mac,
            &at.as_millis().to_be_bytes(),
            node_key,
        ],
    })
}
