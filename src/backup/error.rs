//! Why a backup or a restore did not happen.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use uuid::Uuid;

use crate::store::{KeychainError, StoreError};

/// Why a backup or a restore did not happen. Live data is untouched in every case but [`BackupError::NotOpened`].
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// One at a time.
    #[error("another backup, verification or restore is under way; wait until it is done")]
    Busy,
    /// The node is being stopped.
    #[error("the node was stopped meanwhile; ask again once it runs")]
    Stopped,
    /// The system gives no thread.
    #[error(
        "no thread can be started for it: {0}; the limit of processes of the node's user may be reached (TasksMax of its \
         unit, or ulimit -u)"
    )]
    Thread(std::io::Error),
    /// Not enough room.
    #[error(
        "about {} MiB are needed in {folder} and {} MiB are free; make room there, or choose another folder (backup.dir)",
        needed.div_ceil(1 << 20), free >> 20
    )]
    Space {
        /// Where.
        folder: PathBuf,
        /// Bytes.
        needed: u64,
        /// Bytes.
        free: u64,
    },
    /// A file or folder cannot be used.
    #[error(
        "{path}: {source}; check that the user that runs ksnode may use it, and that the disk is well and has room"
    )]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no such file.
    #[error("{path}: there is no such backup; `ksnode backup list` shows those there are")]
    NotFound {
        /// What was named.
        path: PathBuf,
    },
    /// The history has no such backup.
    #[error(
        "there is no backup {id}; `ksnode backup list --json` shows the ids of those there are"
    )]
    Unknown {
        /// The id that was named.
        id: Uuid,
    },
    /// A file that stays as it is: a backup that is needed still, or the live database.
    #[error("{path} is left alone: {why}")]
    Needed {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        why: &'static str,
    },
    /// A folder, a device …
    #[error("{path} is not a file; name a file that `ksnode backup list` shows")]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// A symbolic link.
    #[error("{path} is a symbolic link; name the file it points to")]
    Symlink {
        /// What was named.
        path: PathBuf,
    },
    /// A path that leaves the backup folder, where only files in it may be named.
    #[error(
        "{path} is outside the backup folder {folder}; copy it there, or use `ksnode restore` on the node's machine"
    )]
    Outside {
        /// What was named.
        path: PathBuf,
        /// `backup.dir`.
        folder: PathBuf,
    },
    /// Nothing in it.
    #[error("{path} is empty; `ksnode backup list` shows the good ones")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Something else.
    #[error("{path} is no backup of ksnode; `ksnode backup list` shows those there are")]
    NotABackup {
        /// The file.
        path: PathBuf,
    },
    /// Made by a newer program.
    #[error(
        "{path} was written by a newer ksnode (schema {found}, this program knows {known}); install that version to restore it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// The newest known.
        known: usize,
    },
    /// Another node's.
    #[error(
        "{path} is a backup of another node ({found}); this is node {expected}. To go on as that node, restore it in a \
         data_dir of its own"
    )]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// This node.
        expected: Uuid,
        /// The backup's.
        found: Uuid,
    },
    /// The configured secret does not open it.
    #[error(
        "{path} was made under another encryption secret than {secret}; name the one of that time with --secret-file, and the backup is rewrapped under today's"
    )]
    OtherSecret {
        /// The file.
        path: PathBuf,
        /// The secret's file that was tried.
        secret: PathBuf,
    },
    /// Truncated, flipped bytes, rows that do not open.
    #[error(
        "{path} is damaged: {what}; `ksnode backup list` shows the good backups, which can be restored"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// Encrypted, and nobody said with what to open it.
    #[error("{path} is encrypted; name the file of the age identity with --age-identity")]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// Encrypted, in age's text form.
    #[error(
        "{path} is in the text form of age; ksnode reads the binary form it writes: open the file with `age --decrypt` and restore what comes out"
    )]
    Armored {
        /// The file.
        path: PathBuf,
    },
    /// The identity is none, or not one of the recipients.
    #[error("{path}: {what}")]
    Identity {
        /// The identity's file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A way down that does not lead to where it should. Nothing that operators do brings this about.
    #[error(
        "the data cannot be brought down to schema {target}: {what}; it is as it was. Go on with this version of ksnode, and \
         please report this"
    )]
    WayDown {
        /// Where it should lead.
        target: usize,
        /// What is wrong.
        what: String,
    },
    /// `backup.age_recipients` cannot be used.
    #[error("backup.age_recipients: {0}")]
    Recipients(String),
    /// After a restore, or a restore that was not decided on: there is nothing to serve. The node ends.
    #[error(
        "the database that is in place now does not open: {0}. The node stops, and its next start tries again; a restore that \
         was decided on is finished then"
    )]
    NotOpened(Box<BackupError>),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error(transparent)]
    Keychain(#[from] KeychainError),
}

impl BackupError {
    /// An input or output error at `path`.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io {
            path: path.into(),
            source,
        }
    }

    /// Whether the error is about what a file holds, and not about reaching it.
    pub(super) fn is_of_content(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::NotABackup { .. }
                | Self::Newer { .. }
                | Self::OtherNode { .. }
                | Self::OtherSecret { .. }
                | Self::Empty { .. }
        )
    }

    /// Whether the error is about where a backup is written, or about being ended: another way of copying would end
    /// the same.
    pub(super) fn is_of_place(&self) -> bool {
        matches!(
            self,
            Self::Busy | Self::Stopped | Self::Space { .. } | Self::Recipients(_)
        )
    }

    /// Whether the file is none that restores, whoever asks and with whatever secret.
    pub(super) fn is_of_a_broken_file(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. } | Self::NotABackup { .. } | Self::Empty { .. }
        )
    }

    /// What SQLite says of a backup's file: what would be damage of the live database is damage of the file.
    pub(super) fn of_file(path: &Path, error: StoreError) -> Self {
        match error {
            StoreError::Damaged(what) => Self::Damaged {
                path: path.to_owned(),
                what,
            },
            StoreError::Database(error)
                if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) =>
            {
                Self::Damaged {
                    path: path.to_owned(),
                    what: error.to_string(),
                }
            }
            StoreError::Database(error)
                if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
            {
                Self::Stopped
            }
            other => other.into(),
        }
    }

    /// The same error of a file that people know under another name.
    pub(super) fn renamed(self, name: &Path) -> Self {
        let path = name.to_owned();
        match self {
            Self::Damaged { what, .. } => Self::Damaged { path, what },
            Self::NotABackup { .. } => Self::NotABackup { path },
            Self::Empty { .. } => Self::Empty { path },
            other => other,
        }
    }
}
