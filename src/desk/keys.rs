//! What the node tells of its keys. Never a key itself, but for the public halves.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{Desk, DeskError, Handles};
use crate::audit::{Action, Actor, Entry};
use crate::crypto::{CryptoError, EncryptionSecret};
use crate::shares::Resealing;
use crate::store::{Keychain, KeychainError, NodeKeyEntry, RingRow, StoreError};

/// A key of the ring, or a version of the node's ed25519 key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// What it is for: `share`, `index`, `node-wrap`; `node` is the ed25519 key.
    pub purpose: String,
    /// 1 for the first of its purpose.
    pub version: u32,
    /// `active`, or `retired` when a newer one has taken its place.
    pub state: String,
    /// When it was made.
    pub created_at: String,
    /// The public half, of an ed25519 key.
    pub public_key: Option<String>,
}

impl From<RingRow> for KeyEntry {
    fn from(row: RingRow) -> Self {
        Self {
            purpose: row.purpose,
            version: row.version,
            state: row.state,
            created_at: row.created_at.to_string(),
            public_key: None,
        }
    }
}

impl From<NodeKeyEntry> for KeyEntry {
    fn from(key: NodeKeyEntry) -> Self {
        let retired = key.retired_at.is_some();
        Self {
            purpose: "node".to_owned(),
            version: key.version,
            state: if retired { "retired" } else { "active" }.to_owned(),
            created_at: key.created_at.to_string(),
            public_key: Some(hex::encode(key.public_key)),
        }
    }
}

impl KeyEntry {
    /// All keys of a database: the ring, then the versions of the node's key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn all(connection: &Connection) -> Result<Vec<Self>, StoreError> {
        let keychain = Keychain(connection);
        let ring = keychain.ring_entries()?.into_iter().map(Self::from);
        let node = keychain.node_keys()?.into_iter().map(Self::from);
        Ok(ring.chain(node).collect())
    }
}

/// A new key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewKey {
    /// Its version.
    pub version: u32,
    /// The public half, of an ed25519 key.
    pub public_key: Option<String>,
    /// The public half of the one before it.
    pub former_public_key: Option<String>,
}

impl NewKey {
    /// A share key of this version.
    pub fn of_shares(version: u32) -> Self {
        Self {
            version,
            public_key: None,
            former_public_key: None,
        }
    }

    /// A node key of this version and public half, in the place of the one with the public half `former`.
    pub fn of_node((version, public_key): (u32, [u8; 32]), former: [u8; 32]) -> Self {
        Self {
            version,
            public_key: Some(hex::encode(public_key)),
            former_public_key: Some(hex::encode(former)),
        }
    }
}

/// How far older shares are sealed under the newest share key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResealingStatus {
    /// The newest share key.
    pub key_version: u32,
    /// Wallets that were looked at.
    pub done: u64,
    /// Of how many, roughly.
    pub total: u64,
}

impl From<Resealing> for ResealingStatus {
    fn from(resealing: Resealing) -> Self {
        Self {
            key_version: resealing.key_version,
            done: resealing.done,
            total: resealing.total,
        }
    }
}

impl Desk {
    /// The keys: the ring, and the versions of the node's own.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn keys(&self) -> Result<Vec<KeyEntry>, DeskError> {
        Ok((self.handles)().store.read(KeyEntry::all).await?)
    }

    /// Makes a new share key. Requests go on, and older shares are resealed in the background. It comes to its end when the
    /// caller goes away.
    ///
    /// # Errors
    /// [`DeskError::Keys`].
    pub async fn rotate_share_key(&self, actor: &Actor) -> Result<NewKey, DeskError> {
        tracing::info!(%actor, "a new share key was asked for");
        let (desk, by) = (self.clone(), actor.clone());
        let rotated = tokio::spawn(async move {
            let made = desk.new_share_key(&by).await;
            desk.enter_failure(&by, Action::ShareKeyRotate, &made).await;
            made
        });
        let version = rotated.await.unwrap_or(Err(StoreError::Closed.into()))?;
        tracing::info!(
            version,
            "a new share key seals from now on; older shares are resealed in the background"
        );
        Ok(NewKey::of_shares(version))
    }

    /// Makes a new ed25519 key: the node's name in the network changes. It comes to its end when the caller goes away.
    ///
    /// # Errors
    /// [`DeskError::Keys`].
    pub async fn rotate_node_key(&self, actor: &Actor) -> Result<NewKey, DeskError> {
        tracing::info!(%actor, "a new node key was asked for");
        let (desk, by) = (self.clone(), actor.clone());
        let rotated = tokio::spawn(async move {
            let made = desk.new_node_key(&by).await;
            desk.enter_failure(&by, Action::NodeKeyRotate, &made).await;
            made
        });
        let new = rotated.await.unwrap_or(Err(StoreError::Closed.into()))?;
        tracing::warn!(
            public_key = new.public_key,
            former = new.former_public_key,
            "the node has a new public key: tell the network, which knows the former one"
        );
        Ok(new)
    }

    async fn new_share_key(&self, actor: &Actor) -> Result<u32, KeychainError> {
        let secret = self.secret()?;
        let Handles { shares, audit, .. } = (self.handles)();
        shares.rotate_key(secret, &audit, actor).await
    }

    async fn new_node_key(&self, actor: &Actor) -> Result<NewKey, KeychainError> {
        let secret = self.secret()?;
        let Handles {
            sessions, audit, ..
        } = (self.handles)();
        let former = sessions.public_key();
        let made = sessions.rotate_key(secret, &audit, actor).await?;
        Ok(NewKey::of_node(made, former))
    }

    /// What was done is in the log already, with its effect.
    async fn enter_failure<T>(
        &self,
        actor: &Actor,
        action: Action,
        done: &Result<T, KeychainError>,
    ) {
        if done.is_err() {
            self.enter(Entry::ended(actor, action, "", done)).await;
        }
    }

    pub(super) fn secret(&self) -> Result<EncryptionSecret, KeychainError> {
        let config = &self.facts.in_force.loaded().config;
        let (file, readable) = (&config.secret_file, config.allow_readable_secret);
        EncryptionSecret::from_file(file, readable).map_err(|error: CryptoError| error.into())
    }
}
