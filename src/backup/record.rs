//! What is known of a backup.

use std::path::PathBuf;
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Timestamp;

/// What a database holds, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Users.
    pub users: u64,
    /// Key shares.
    pub shares: u64,
    /// The newest change of a share.
    pub newest: Option<Timestamp>,
}

/// Why a backup was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// By the daily schedule.
    Scheduled,
    /// Somebody asked for it.
    Manual,
    /// Today's data, before a restore replaced it.
    BeforeRestore,
    /// The data of an older schema, before it was migrated.
    BeforeMigration,
    /// The data of a newer schema, before its migrations were undone.
    BeforeRollback,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Scheduled,
        Self::Manual,
        Self::BeforeRestore,
        Self::BeforeMigration,
        Self::BeforeRollback,
    ];

    /// The name in the database, in file names and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Manual => "manual",
            Self::BeforeRestore => "before-restore",
            Self::BeforeMigration => "before-migration",
            Self::BeforeRollback => "before-rollback",
        }
    }

    pub(super) fn from_stored(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// How a backup stands (api.md, "Backups").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Being made.
    InProgress,
    /// Verified and in its place.
    Completed,
    /// Not made; [`Record::error`] says why.
    Failed,
    /// Was completed; retention or the operator has deleted the file.
    Deleted,
}

impl Status {
    const ALL: [Self; 4] = [
        Self::InProgress,
        Self::Completed,
        Self::Failed,
        Self::Deleted,
    ];

    /// The name that clients see, which is the one in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Deleted => "DELETED",
        }
    }

    pub(super) fn from_stored(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The backup's id.
    pub backup_id: Uuid,
    /// Why it was made.
    pub kind: Kind,
    /// How it stands.
    pub status: Status,
    /// Its file, whole path.
    pub path: PathBuf,
    /// Size of the file.
    pub bytes: Option<u64>,
    /// How long copy, verification and encryption took together.
    pub duration: Option<Duration>,
    /// Why it failed.
    pub error: Option<String>,
    /// SHA-256 of the file.
    pub digest: Option<[u8; 32]>,
    /// Whether the file is encrypted to the configured age recipients.
    pub encrypted: bool,
    /// What is in it.
    pub summary: Option<Summary>,
    /// When it was last verified.
    pub verified_at: Option<Timestamp>,
    /// What went wrong when the hook `backup.after` ran; the file is good all the same.
    pub hook_error: Option<String>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When its status last changed.
    pub updated_at: Timestamp,
}

impl Record {
    /// A backup that begins now.
    pub(crate) fn begin(backup_id: Uuid, kind: Kind, path: PathBuf, now: Timestamp) -> Self {
        Self {
            backup_id,
            kind,
            status: Status::InProgress,
            path,
            bytes: None,
            duration: None,
            error: None,
            digest: None,
            encrypted: false,
            summary: None,
            verified_at: None,
            hook_error: None,
            created_at: now,
            updated_at: now,
        }
    }

    /// The same, as one that has failed.
    pub(super) fn failed(self, error: impl std::fmt::Display, now: Timestamp) -> Self {
        Self {
            status: Status::Failed,
            error: Some(error.to_string()),
            updated_at: now,
            ..self
        }
    }

    /// The same, as one whose file is no more.
    pub(super) fn deleted(self, now: Timestamp) -> Self {
        Self {
            status: Status::Deleted,
            updated_at: now,
            ..self
        }
    }
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub digest: [u8; 32],
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Its schema version; absent when it is encrypted and was not opened.
    pub schema: Option<usize>,
    /// What is in it.
    pub summary: Summary,
    /// The moment of the backup, when the file tells.
    pub taken_at: Option<Timestamp>,
}

/// What to restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreRequest {
    /// The backup's file.
    pub path: PathBuf,
    /// The encryption secret of that time, when it was another one than today's.
    pub secret_file: Option<PathBuf>,
    /// The age identity that opens an encrypted backup.
    pub age_identity: Option<PathBuf>,
    /// Verify and compare, and change nothing.
    pub dry_run: bool,
}

/// What a restore did, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    /// The backup's file.
    pub path: PathBuf,
    /// What the database held before; absent when there was none or it cannot be read.
    pub before: Option<Summary>,
    /// What the backup holds.
    pub after: Summary,
    /// The moment of the backup: changes after it are gone. Absent when the file does not tell.
    pub taken_at: Option<Timestamp>,
    /// The backup of the data that was replaced; absent in a dry run, and when there was no database.
    pub safety: Option<PathBuf>,
    /// What is wrong with the replaced data, when its backup could be made and not be verified.
    pub safety_error: Option<String>,
    /// The timeline that began; absent in a dry run.
    pub timeline: Option<Uuid>,
    /// The schema the backup was migrated from, when it was older.
    pub migrated_from: Option<usize>,
    /// Whether it was rewrapped under today's encryption secret.
    pub rewrapped: bool,
    /// The node's public key in the database before; absent when there was none or it cannot be read.
    pub public_key_before: Option<[u8; 32]>,
    /// The node's public key in the backup.
    pub public_key: [u8; 32],
}
