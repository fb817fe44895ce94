//! `ksnode key`: what keys there are, and new ones.

use std::io::Write;

use anyhow::ensure;
use clap::Subcommand;

use super::Global;
use super::running::{Way, open_folder, say_if_unwritten};
use crate::audit::Actor;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::{Request, RotatedKey};
use crate::crypto::EncryptionSecret;
use crate::desk::{KeyEntry, NewKey};
use crate::node::Opened;
use crate::shares::{KeyShares, Sessions};
use crate::store::{DATABASE_FILE, open_read_only};

/// What to do with the keys.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the key ring and the node's public keys; works beside a running node
    List,
    /// Make a new key, beside a running node or on a stopped one
    #[command(subcommand)]
    Rotate(Rotate),
}

/// Which key to renew.
#[derive(Debug, Subcommand)]
pub enum Rotate {
    /// A new key that seals shares; the older ones are resealed in the background
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
        Command::Rotate(which) => {
            super::block_on(rotate(&config, &global.actor(), which, &mut out))?
        }
    }
}

fn list(config: &Config, out: &mut impl Write) -> anyhow::Result<()> {
    let path = config.data_dir.join(DATABASE_FILE);
    ensure!(path.exists(), "{}: there is no database", path.display());
    for key in KeyEntry::all(&open_read_only(&path)?)? {
        let line = format!(
            "{:<10} {:>4}  {:<8} {}  {}",
            key.purpose,
            key.version,
            key.state,
            key.created_at,
            key.public_key.unwrap_or_default()
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

async fn rotate(
    config: &Config,
    actor: &Actor,
    which: &Rotate,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (new, resealing) = match Way::find_and_say(config).await? {
        Way::Node(client) => {
            let key = match which {
                Rotate::Share => RotatedKey::Share,
                Rotate::Node => RotatedKey::Node,
            };
            let new: NewKey = client.ask(&Request::KeyRotate { key }, |_| {}).await?;
            (
                new,
                "the node reseals the older shares in the background; see `ksnode status`",
            )
        }
        Way::Folder => {
            let new = rotate_in_folder(config, actor, which).await?;
            (new, "start the node and it reseals the older shares")
        }
    };
    let version = new.version;
    match new.public_key {
        None => writeln!(out, "share key {version} seals from now on; {resealing}")?,
        Some(key) => writeln!(
            out,
            "the node's public key is now {key}; tell the network, which knows the old one"
        )?,
    }
    Ok(())
}

/// Of a stopped node.
async fn rotate_in_folder(
    config: &Config,
    actor: &Actor,
    which: &Rotate,
) -> anyhow::Result<NewKey> {
    let clock = SystemClock::shared();
    let Opened {
        store, keys, audit, ..
    } = open_folder(config, &clock).await?;
    let secret = EncryptionSecret::from_file(&config.secret_file, config.allow_readable_secret)?;
    let new = match which {
        Rotate::Share => {
            let shares = KeyShares::new(store.clone(), keys.ring.into(), clock);
            NewKey::of_shares(shares.rotate_key(secret, &audit, actor).await?)
        }
        Rotate::Node => {
            let sessions = Sessions::new(store.clone(), keys.node_key.into(), clock);
            let former = sessions.public_key();
            NewKey::of_node(sessions.rotate_key(secret, &audit, actor).await?, former)
        }
    };
    store.close().await;
    say_if_unwritten(&audit);
    Ok(new)
}
