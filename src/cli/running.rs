//! The way to a node's data: through the node when it runs, else the data folder itself.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::process::geteuid;
use serde::Serialize;

use super::secret::with_way_out;
use super::text::remark;
use crate::audit::AuditLog;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::control::{Client, socket_path};
use crate::node::{NodeError, Opened, lock, open_existing};
use crate::store::{DATABASE_FILE, StoreError};

/// How a command gets at the data.
#[derive(Debug)]
pub enum Way {
    /// Through the node, which runs.
    Node(Client),
    /// The node is stopped.
    Folder,
}

/// The same in a command's JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Through {
    /// The running node did it.
    Node,
    /// The command did it, on the data folder of a stopped node.
    Folder,
}

impl Way {
    /// Looks whether the node runs.
    ///
    /// # Errors
    /// A node may run and cannot be asked; or none does, and the folder is another user's or at work.
    pub async fn find(config: &Config) -> anyhow::Result<Self> {
        if let Some(client) = connect(&config.data_dir).await? {
            return Ok(Self::Node(client));
        }
        check_owner(&config.data_dir)?;
        // Asked for a moment, so that nothing is said to be stopped that is just starting. A folder that is not there is
        // not made for it.
        if config.data_dir.is_dir() {
            drop(lock(config).map_err(|error| in_plain_words(error.into(), config))?);
        }
        Ok(Self::Folder)
    }

    /// The same, told on standard error.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub async fn find_and_say(config: &Config) -> anyhow::Result<Self> {
        let way = Self::find(config).await?;
        remark(&match &way {
            Self::Node(client) => match client.process() {
                Some(process) => format!("through the running node (process {process})"),
                None => "through the running node".to_owned(),
            },
            Self::Folder => "the node is stopped: working on its data folder directly".to_owned(),
        });
        Ok(way)
    }

    /// As JSON names it.
    pub fn through(&self) -> Through {
        match self {
            Self::Node(_) => Through::Node,
            Self::Folder => Through::Folder,
        }
    }
}

/// A connection to the node with this data folder, when it runs.
///
/// # Errors
/// [`crate::control::ControlError`].
pub async fn connect(data_dir: &Path) -> anyhow::Result<Option<Client>> {
    Ok(Client::connect(&socket_path(data_dir)?).await?)
}

/// Opens the data of a stopped node.
///
/// # Errors
/// As [`in_plain_words`] puts them.
pub async fn open_folder(config: &Config, clock: &SharedClock) -> anyhow::Result<Opened> {
    let opened = open_existing(config, clock).await;
    opened.map_err(|error| in_plain_words(error, config))
}

/// Says that what a command did is not in the audit log, for it ends and cannot try again.
pub fn say_if_unwritten(audit: &AuditLog) {
    if let Some(error) = audit.health().error {
        remark(&format!(
            "warning: done, but it is not in the audit log, which cannot be written: {error}"
        ));
    }
}

/// An error of work on the folder itself. That somebody has the folder means more here than for a second node: no node
/// answered at its socket a moment ago.
pub fn in_plain_words(error: NodeError, config: &Config) -> anyhow::Error {
    let NodeError::Store(StoreError::InUse { folder, holder }) = &error else {
        return with_way_out(error, config);
    };
    let holder = holder
        .map(|process| format!(" (process {process})"))
        .unwrap_or_default();
    anyhow::anyhow!(
        "{} is in use by another ksnode{holder} that answers no commands: a node that is just starting or stopping, or \
         another command at work on the folder; try again when it is done",
        folder.display()
    )
}

/// Refuses to work as another user than the node's: it could not use the files that are made here.
fn check_owner(data_dir: &Path) -> anyhow::Result<()> {
    let database = data_dir.join(DATABASE_FILE);
    let own = geteuid().as_raw();
    for path in [database.as_path(), data_dir] {
        let Ok(found) = path.metadata() else {
            continue;
        };
        if found.uid() != own {
            bail!(
                "{} belongs to another user, and the node could not use files that this command makes; run it as that \
                 user: sudo -u '#{}' ksnode …",
                path.display(),
                found.uid()
            );
        }
        return Ok(());
    }
    Ok(())
}

/// The backup that `named` means: a path from the working folder; a bare name that is not there means that name in the
/// backup folder.
///
/// # Errors
/// The working folder is gone.
pub fn backup_file(named: &Path, config: &Config) -> anyhow::Result<PathBuf> {
    let path = absolute(named)?;
    let bare = named
        .file_name()
        .is_some_and(|name| name == named.as_os_str());
    // A link that leads nowhere is there too: the error is to name it.
    if bare && path.symlink_metadata().is_err() {
        return Ok(config.backup.dir.join(named));
    }
    Ok(path)
}

/// The path as the node sees it, whose working folder is another one.
///
/// # Errors
/// The working folder is gone.
pub fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("{}", path.display()))
}
