//! Opening the database with its keys: for a node that starts, and for commands on one that is stopped.

use std::sync::Arc;

use super::{MIGRATIONS, NodeError};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::crypto::EncryptionSecret;
use crate::store::{
    DATABASE_FILE, FolderLock, Keychain, KeychainError, OpenKeys, Store, StoreError, StoreOptions,
};

/// A database and its keys.
#[derive(Debug)]
pub struct Opened {
    /// The database, migrated to the newest schema.
    pub store: Arc<Store>,
    /// The node's keys.
    pub keys: OpenKeys,
}

/// Takes the data folder for this process.
///
/// # Errors
/// [`StoreError::InUse`] when a node runs on it.
pub fn lock(config: &Config) -> Result<FolderLock, StoreError> {
    FolderLock::take(&config.data_dir)
}

/// Opens the node's database, making a new one with new keys when there is none.
///
/// # Errors
/// [`NodeError`].
pub async fn open(config: &Config, clock: &SharedClock) -> Result<Opened, NodeError> {
    let folder = lock(config)?;
    let expected = folder.node_id()?;
    // Read before the database is touched: a mistake here leaves no trace.
    let secret = EncryptionSecret::from_file(&config.secret_file, config.allow_readable_secret)?;
    let store = Arc::new(Store::open(
        folder,
        MIGRATIONS,
        StoreOptions::default(),
        clock.clone(),
    )?);
    let now = clock.now();
    let keys = store
        .write(move |connection| {
            let keychain = Keychain(connection);
            match (keychain.node_id()?, expected) {
                (Some(_), _) => keychain.open(&secret, expected),
                (None, None) => keychain.create(&secret, now),
                // A new database beside the traces of an old node would hide that the old one is gone.
                (None, Some(node)) => Err(KeychainError::Store(StoreError::Damaged(format!(
                    "it is empty, and this folder is node {node}'s; put {DATABASE_FILE} back or restore a backup \
                     (for a new node take another data_dir)"
                )))),
            }
        })
        .await?;
    if expected.is_none() {
        store.folder().set_node_id(keys.node_id)?;
    }
    Ok(Opened { store, keys })
}

/// The same for a database that must exist.
///
/// # Errors
/// [`NodeError::NoDatabase`] when it does not.
pub async fn open_existing(config: &Config, clock: &SharedClock) -> Result<Opened, NodeError> {
    if !config.data_dir.join(DATABASE_FILE).exists() {
        return Err(NodeError::NoDatabase {
            folder: config.data_dir.display().to_string(),
        });
    }
    open(config, clock).await
}
