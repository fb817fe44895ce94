//! Versions of the node's ed25519 key that were made elsewhere, and those that are to go elsewhere.

use rusqlite::params;

use super::{Keychain, KeychainError, NodeKeyEntry};
use crate::clock::Timestamp;
use crate::crypto::{KeyRing, NodeKey};
use crate::store::StoreError;

impl Keychain<'_> {
    /// All versions of the node's ed25519 key with their secret halves, oldest first.
    ///
    /// # Errors
    /// [`KeychainError`].
    pub fn open_node_keys(
        self,
        ring: &KeyRing,
    ) -> Result<Vec<(NodeKeyEntry, NodeKey)>, KeychainError> {
        let mut statement = self
            .0
            .prepare("SELECT ring_version, sealed_seed FROM node_key WHERE version = ?1")?;
        let mut keys = Vec::new();
        for entry in self.node_keys()? {
            let (ring_version, sealed) = statement.query_row([entry.version], |row| {
                Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?))
            })?;
            let key =
                NodeKey::open(ring, ring_version, entry.version, &sealed).map_err(|error| {
                    StoreError::Damaged(format!("node key {}: {error}", entry.version))
                })?;
            keys.push((entry, key));
        }
        Ok(keys)
    }

    /// Adds a version of the node's ed25519 key that was made elsewhere. The newest version is the node's name.
    ///
    /// # Errors
    /// [`KeychainError`], also when version or key is there already.
    pub fn add_node_key(
        self,
        ring: &KeyRing,
        version: u32,
        key: &NodeKey,
        created_at: Timestamp,
    ) -> Result<(), KeychainError> {
        self.save_node_key(ring, key, version, created_at)
    }

    /// Notes when a version was retired, unless that is noted already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn retire_node_key(self, version: u32, at: Timestamp) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE node_key SET retired_at = ?2 WHERE version = ?1 AND retired_at IS NULL",
            params![version, at.as_millis()],
        )?;
        Ok(())
    }

    /// Deletes all versions of the node's ed25519 key, for others to take their place in the same transaction.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn forget_node_keys(self) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM node_key", [])?;
        Ok(())
    }
}
