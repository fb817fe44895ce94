//! `ksnode secret change`: a new encryption secret.
//!
//! The new secret is on the disk before the database is wrapped under it, and takes the old one's place after. A crash
//! in between leaves both files; running the command again finds out which of them opens the database and finishes.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::Global;
use super::files::{private_file, sync_folder};
use super::running::say_if_unwritten;
use super::setup::new_secret;
use crate::audit::{Action, Actor, Entry};
use crate::clock::{SharedClock, SystemClock};
use crate::config::Config;
use crate::crypto::{CryptoError, EncryptionSecret};
use crate::node::{NodeError, Opened, open_existing};
use crate::store::{Keychain, KeychainError};

/// What to do with the secret.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Wrap the key ring under a new secret; the node must be stopped
    Change(Arguments),
}

/// What `ksnode secret change` takes beside the global flags.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The new secret, in a file that is to be the secret_file afterwards; without it a new one is made in the old one's place
    #[arg(long, value_name = "FILE")]
    pub new: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
///
/// [`crate::config::ConfigError`], [`NodeError`], or a file cannot be written.
pub fn run(global: &Global, command: &Command) -> anyhow::Result<()> {
    let Command::Change(arguments) = command;
    let config = global.load_as_owner()?.config;
    let (actor, mut out) = (global.actor(), std::io::stdout().lock());
    match &arguments.new {
        Some(new) => super::block_on(change_to(&config, &actor, new, &mut out))?,
        None => super::block_on(change_in_place(&config, &actor, &mut out))?,
    }
}

async fn change_to(
    config: &Config,
    actor: &Actor,
    new: &Path,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let clock = SystemClock::shared();
    let secret = EncryptionSecret::from_file(new, config.allow_readable_secret)?;
    rewrap(config, actor, secret, &clock).await?;
    writeln!(
        out,
        "the database opens with {} from now on; set secret_file to it. Keep {} for the backups made until now",
        new.display(),
        config.secret_file.display()
    )?;
    Ok(())
}

async fn change_in_place(
    config: &Config,
    actor: &Actor,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let clock = SystemClock::shared();
    let current = &config.secret_file;
    let new = beside(current, "new")?;
    if new.try_exists()? && opens_with(config, &new, &clock).await? {
        writeln!(out, "finishing a change that was interrupted")?;
    } else {
        if !new.try_exists()? {
            let text: Zeroizing<String> = new_secret()?;
            private_file(&new, text.as_bytes())?;
        }
        let secret = EncryptionSecret::from_file(&new, config.allow_readable_secret)?;
        rewrap(config, actor, secret, &clock).await?;
    }
    let day: String = clock
        .now()
        .to_string()
        .chars()
        .filter(|c| !"-:.".contains(*c))
        .collect();
    let old = beside(current, &format!("{day}.old"))?;
    std::fs::hard_link(current, &old)
        .with_context(|| format!("the old secret cannot be kept as {}", old.display()))?;
    std::fs::rename(&new, current).with_context(|| {
        format!(
            "{} cannot take its place; run this command again",
            new.display()
        )
    })?;
    sync_folder(current.parent().unwrap_or(Path::new("/")))?;
    writeln!(
        out,
        "changed: {}\nthe old secret is kept for the backups made until now: {}",
        current.display(),
        old.display()
    )?;
    Ok(())
}

async fn rewrap(
    config: &Config,
    actor: &Actor,
    new: EncryptionSecret,
    clock: &SharedClock,
) -> anyhow::Result<()> {
    let Opened {
        store, keys, audit, ..
    } = open_existing(config, clock).await?;
    let old = EncryptionSecret::from_file(&config.secret_file, config.allow_readable_secret)?;
    let (node_id, now) = (Some(keys.node_id), clock.now());
    let (entering, entry) = (
        audit.clone(),
        Entry::done(actor, Action::SecretChange, "the key ring is wrapped anew"),
    );
    store
        .write(move |connection| -> Result<_, KeychainError> {
            Keychain(connection).change_secret(&old, &new, node_id, now)?;
            entering.append(connection, &entry);
            Ok(())
        })
        .await?;
    store.close().await;
    say_if_unwritten(&audit);
    Ok(())
}

/// Whether the database is wrapped under the secret in `file` already.
async fn opens_with(config: &Config, file: &Path, clock: &SharedClock) -> anyhow::Result<bool> {
    let with = Config {
        secret_file: file.to_owned(),
        ..config.clone()
    };
    match open_existing(&with, clock).await {
        Ok(opened) => {
            opened.store.close().await;
            Ok(true)
        }
        Err(NodeError::Keychain(KeychainError::Crypto(CryptoError::WrongSecret))) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The error of a start, with the way out when what is in the way is a change that was interrupted.
pub(super) fn with_way_out(error: NodeError, config: &Config) -> anyhow::Error {
    let wrong_secret = matches!(
        error,
        NodeError::Keychain(KeychainError::Crypto(CryptoError::WrongSecret))
    );
    let new = beside(&config.secret_file, "new").ok();
    let error = anyhow::Error::from(error);
    match new.filter(|new| wrong_secret && new.exists()) {
        Some(new) => error.context(format!(
            "a change of the secret was interrupted, {} is its trace; run `ksnode secret change` to finish it",
            new.display()
        )),
        None => error,
    }
}

fn beside(file: &Path, ending: &str) -> anyhow::Result<PathBuf> {
    let Some(name) = file.file_name() else {
        bail!("secret_file = {}: this names no file", file.display());
    };
    let mut name = name.to_owned();
    name.push(".");
    name.push(ending);
    Ok(file.with_file_name(name))
}
