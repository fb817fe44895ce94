//! `ksnode secret change`: a new encryption secret.
//!
//! The new secret is on the disk before the database is wrapped under it, and takes the old one's place after. A crash
//! in between leaves both files; running the command again finds out which of them opens the database and finishes. Whatever
//! may be refused is done before the database is wrapped: nothing but the last renaming comes after it.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::Global;
use super::files::{private_file, sync_folder};
use super::instance::unit_of;
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
    let loaded = global.load_as_owner()?;
    let unit = unit_of(loaded.config_file.as_deref());
    let (actor, config) = (global.actor(), loaded.config);
    let mut out = std::io::stdout().lock();
    match &arguments.new {
        Some(new) => super::block_on(change_to(&config, unit.as_deref(), &actor, new, &mut out))?,
        None => super::block_on(change_in_place(&config, &actor, &mut out))?,
    }
}

async fn change_to(
    config: &Config,
    unit: Option<&str>,
    actor: &Actor,
    new: &Path,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let clock = SystemClock::shared();
    let secret = EncryptionSecret::from_file(new, config.allow_readable_secret)?;
    rewrap(config, actor, secret, &clock, || Ok(())).await?;
    writeln!(
        out,
        "the database opens with {} from now on; set secret_file to it. Keep {} for the backups made until now",
        new.display(),
        config.secret_file.display()
    )?;
    if let Some(unit) = unit {
        writeln!(
            out,
            "the service has its secret from the unit, which wins over secret_file: with `systemctl edit {unit}` write \
             [Service], LoadCredential= and LoadCredential=secret:{}, a line each",
            new.display()
        )?;
    }
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
    let keep_old = || keep(current, &clock);
    let old = if new.try_exists()? && opens_with(config, &new, &clock).await? {
        writeln!(out, "finishing a change that was interrupted")?;
        keep_old().with_context(|| format!("the database opens with {} already", new.display()))?
    } else {
        if !new.try_exists()? {
            let text: Zeroizing<String> = new_secret()?;
            private_file(&new, text.as_bytes())?;
        }
        let secret = EncryptionSecret::from_file(&new, config.allow_readable_secret)?;
        rewrap(config, actor, secret, &clock, keep_old).await?
    };
    std::fs::rename(&new, current).with_context(|| {
        format!(
            "{} cannot take its place; run this command again",
            new.display()
        )
    })?;
    sync_folder(folder_of(current))?;
    writeln!(
        out,
        "changed: {}\nthe old secret is kept for the backups made until now: {}",
        current.display(),
        old.display()
    )?;
    Ok(())
}

/// Keeps the secret under another name, and returns that. A change that was interrupted may have kept it before.
fn keep(current: &Path, clock: &SharedClock) -> anyhow::Result<PathBuf> {
    let secret = content(current)?;
    if let Some(old) = kept_before(current, &secret)? {
        return Ok(old);
    }
    let now = clock.now().to_string();
    let day: String = now.chars().filter(|c| !"-:.".contains(*c)).collect();
    let old = beside(current, &format!("{day}.old"))?;
    match std::fs::hard_link(current, &old) {
        Ok(()) => sync_folder(folder_of(current))?,
        Err(error) if error.kind() == ErrorKind::CrossesDevices => bail!(
            "{} is a mount of its own, whose place no other file can take; nothing was changed. Mount its folder instead, or \
             choose another file: ksnode secret change --new FILE",
            current.display()
        ),
        // Not every file system has hard links.
        Err(_) => {
            private_file(&old, &secret)
                .with_context(|| format!("the old secret cannot be kept as {}", old.display()))?;
        }
    }
    Ok(old)
}

/// The file beside `current` in which this secret is kept already.
fn kept_before(current: &Path, secret: &[u8]) -> anyhow::Result<Option<PathBuf>> {
    let prefix = beside(current, "")?;
    let prefix = prefix.file_name().unwrap_or_default().to_string_lossy();
    let folder = folder_of(current);
    let entries = folder.read_dir().with_context(|| unlisted(folder))?;
    for entry in entries {
        let entry = entry.with_context(|| unlisted(folder))?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if name.starts_with(&*prefix) && name.ends_with(".old") && *content(&path)? == secret {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn content(file: &Path) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let read = std::fs::read(file)
        .with_context(|| format!("{} cannot be read; nothing was changed", file.display()))?;
    Ok(Zeroizing::new(read))
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

fn unlisted(folder: &Path) -> String {
    format!(
        "the folder {} cannot be read; nothing was changed",
        folder.display()
    )
}

/// Wraps the key ring of the stopped node under `new`. `prepare` is done before, when it is known that the database opens, and
/// nothing is changed when it fails.
async fn rewrap<T>(
    config: &Config,
    actor: &Actor,
    new: EncryptionSecret,
    clock: &SharedClock,
    prepare: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let Opened {
        store, keys, audit, ..
    } = open_existing(config, clock).await?;
    let old = EncryptionSecret::from_file(&config.secret_file, config.allow_readable_secret)?;
    let prepared = prepare()?;
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
    Ok(prepared)
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
