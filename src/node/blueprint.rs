//! What a node's calls are built from when there is a database: at its start, and again after a restore.

use std::path::PathBuf;
use std::sync::Arc;

use super::schema::store_options;
use super::{NodeError, Opened};
use crate::admin::Administrator;
use crate::backup::Restorer;
use crate::clock::{SharedClock, Timestamp};
use crate::config::{CommitRevealMode, Config};
use crate::crypto::{CryptoError, EncryptionSecret};
use crate::http::{Api, StatusFacts};
use crate::identity::Identities;
use crate::service::outbound::Outbound;
use crate::shares::{KeyShares, Sessions};
use crate::store::{Keychain, KeychainError, OpenKeys, Store, StoreOptions};

/// Everything but the database and its keys.
#[derive(Debug)]
pub(super) struct Blueprint {
    identities: Arc<Identities>,
    commit_reveal: CommitRevealMode,
    restorer: Restorer,
    administrator: Arc<Administrator>,
    secret_file: PathBuf,
    allow_readable_secret: bool,
    store_options: StoreOptions,
    launched: Timestamp,
    clock: SharedClock,
}

impl Blueprint {
    pub(super) fn new(
        config: &Config,
        restorer: Restorer,
        clock: &SharedClock,
        outbound: Outbound,
    ) -> Result<Self, NodeError> {
        Ok(Self {
            identities: Arc::new(Identities::new(&config.identity, clock.clone(), outbound)?),
            commit_reveal: config.commit_reveal,
            restorer,
            administrator: Arc::new(Administrator::new(config, clock.clone())?),
            secret_file: config.secret_file.clone(),
            allow_readable_secret: config.allow_readable_secret,
            store_options: store_options(config.replica.as_ref()),
            launched: clock.now(),
            clock: clock.clone(),
        })
    }

    /// How the database is opened.
    pub(super) fn store_options(&self) -> StoreOptions {
        self.store_options.clone()
    }

    /// What the calls work with over this database.
    pub(super) fn api(&self, opened: Opened) -> Api {
        let Opened {
            store,
            keys,
            backups,
            audit,
        } = opened;
        let (node_key, ring) = (Arc::new(keys.node_key), Arc::new(keys.ring));
        let status = StatusFacts {
            launched: self.launched,
            // Set by packaging/build.rs. A package build that does not know it may leave it empty.
            git_hash: option_env!("GIT_HASH").filter(|hash| !hash.is_empty()),
            version: crate::VERSION,
        };
        Api {
            shares: KeyShares::new(store.clone(), ring.clone(), self.clock.clone()),
            sessions: Sessions::new(store.clone(), node_key, self.clock.clone()),
            identities: self.identities.clone(),
            commit_reveal: self.commit_reveal,
            backups,
            audit,
            restorer: self.restorer.clone(),
            administrator: self.administrator.clone(),
            status,
            clock: self.clock.clone(),
            ring,
            store,
        }
    }

    /// The keys of a database that was open before.
    pub(super) async fn keys(&self, store: &Store) -> Result<OpenKeys, KeychainError> {
        let secret = EncryptionSecret::from_file(&self.secret_file, self.allow_readable_secret)
            .map_err(|error: CryptoError| KeychainError::from(error))?;
        store
            .read(|connection| Keychain(connection).open(&secret, None))
            .await
    }
}
