//! `ksnode key`: what keys there are, and new ones.

use std::io::Write;

use anyhow::ensure;
use clap::Subcommand;

use super::Global;
use crate::clock::{SystemClock, Timestamp};
use crate::config::Config;
use crate::crypto::EncryptionSecret;
use crate::node::{Opened, open_existing};
use crate::store::{DATABASE_FILE, Keychain, KeychainError, open_read_only};

/// What to do with the keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the key ring and the node's public keys; works beside a running node
    List,
    /// Make a new key; the node must be stopped
    #[command(subcommand)]
    Rotate(Rotate),
}

/// Which key to renew.
#[derive(Debug, Subcommand)]
pub enum Rotate {
    /// A new key that seals shares; the next start reseals the old ones in the background
    Share,
    /// A new ed25519 key of the node: its name in the network changes
    Node,
}

/// Runs the command.
///
/// # Errors
///
/// [`crate::config::ConfigError`], [`crate::node::NodeError`].
pub fn run(global: &Global, command: &Command) -> anyhow::Result<()> {
    let config = global.load_as_owner()?.config;
    let mut out = std::io::stdout().lock();
    match command {
        Command::List => list(&config, &mut out),
        Command::Rotate(which) => super::block_on(rotate(&config, which, &mut out))?,
    }
}

fn list(config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let path = config.data_dir.join(DATABASE_FILE);
    ensure!(path.exists(), "{}: there is no database", path.display());
    let connection = open_read_only(&path)?;
    let keychain = Keychain(&connection);
    for row in keychain.ring_entries()? {
        writeln!(
            out,
            "{:<10} {:>4}  {:<8} {}",
            row.purpose, row.version, row.state, row.created_at
        )?;
    }
    for key in keychain.node_keys()? {
        let state = if key.retired_at.is_none() {
            "active"
        } else {
            "retired"
        };
        writeln!(
            out,
            "{:<10} {:>4}  {state:<8} {}  {}",
            "node",
            key.version,
            key.created_at,
            hex::encode(key.public_key)
        )?;
    }
    Ok(())
}

async fn rotate(config: &Config, which: &Rotate, out: &mut impl Write) -> anyhow::Result<()> {
    let clock = SystemClock::shared();
    let Opened { store, keys, .. } = open_existing(config, &clock).await?;
    let secret = EncryptionSecret::from_file(&config.secret_file, config.allow_readable_secret)?;
    let (node_id, now): (_, Timestamp) = (Some(keys.node_id), clock.now());
    match which {
        Rotate::Share => {
            let version = store
                .write(move |connection| -> Result<_, KeychainError> {
                    Keychain(connection).rotate_share_key(&secret, node_id, now)
                })
                .await?;
            writeln!(
                out,
                "share key {version} seals from now on; start the node and it reseals the older shares"
            )?;
        }
        Rotate::Node => {
            let key = store
                .write(move |connection| -> Result<_, KeychainError> {
                    Keychain(connection).rotate_node_key(&secret, node_id, now)
                })
                .await?;
            writeln!(
                out,
                "the node's public key is now {}; tell the network, which knows the old one",
                hex::encode(key.public_key())
            )?;
        }
    }
    store.close().await;
    Ok(())
}
