//! What `status` tells of what surrounds the database: backups, reports, disks, the log's warnings, the service manager.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};

use crate::backup::Health;
use crate::clock::Timestamp;
use crate::service::disk::Room;
use crate::service::logging::Counted;
use crate::service::notify::Unit;

/// The unit as which a service manager runs a node: whoever stops it otherwise sees it started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name, where that is known.
    pub unit: Option<String>,
    /// Whether it is one of a user's own (`systemctl --user`).
    pub of_user: bool,
}

impl From<Unit> for ServiceStatus {
    fn from(unit: Unit) -> Self {
        Self {
            unit: unit.name,
            of_user: unit.of_user,
        }
    }
}

/// How the last backup stands, and the live file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupHealth {
    /// When the newest completed backup was finished.
    pub latest: Option<String>,
    /// Whether the newest attempt was completed, its file is there, and no damage of the live database is known.
    pub checked: bool,
    /// What is wrong with the live database.
    pub damage: Option<String>,
    /// Why the newest attempt failed.
    pub failure: Option<String>,
    /// Why the command of `backup.after` failed on the newest completed backup.
    #[serde(default)]
    pub hook_failure: Option<String>,
}

impl From<Health> for BackupHealth {
    fn from(health: Health) -> Self {
        Self {
            latest: health.latest.map(|moment| moment.to_string()),
            checked: health.checked,
            damage: health.damage,
            failure: health.failure,
            hook_failure: health.hook_failure,
        }
    }
}

/// A report to the network's node monitor that was sent, or could not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastReport {
    /// When.
    pub at: Timestamp,
    /// Why it was not delivered.
    pub error: Option<String>,
}

/// Where reports go, and how the last one went. Cheap to clone; clones tell the same.
#[derive(Clone, Debug)]
pub struct Reports {
    /// The receiver's address.
    pub receiver: String,
    /// The last one, once there was one.
    pub last: Arc<ArcSwapOption<LastReport>>,
}

/// Reports to the network's node monitor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryStatus {
    /// The receiver's address.
    pub receiver: String,
    /// When the last report was sent.
    pub last_report: Option<String>,
    /// Whether it was delivered.
    pub delivered: Option<bool>,
    /// Why it was not.
    pub error: Option<String>,
}

impl From<&Reports> for TelemetryStatus {
    fn from(reports: &Reports) -> Self {
        let last = reports.last.load_full();
        Self {
            receiver: reports.receiver.clone(),
            last_report: last.as_ref().map(|last| last.at.to_string()),
            delivered: last.as_ref().map(|last| last.error.is_none()),
            error: last.and_then(|last| last.error.clone()),
        }
    }
}

impl TelemetryStatus {
    /// What is wrong with it, for people.
    pub(super) fn problem(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        Some(format!(
            "the last report to the network's monitor was not delivered: {error}"
        ))
    }
}

/// The room of the file system of one of the node's folders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskStatus {
    /// `data`, `backups` or `logs`.
    pub of: String,
    /// The folder.
    pub folder: PathBuf,
    /// Bytes that are free.
    pub free_bytes: u64,
    /// Of how many.
    pub total_bytes: u64,
    /// The same in whole percent, rounded down.
    pub free_percent: u64,
}

impl DiskStatus {
    /// The room of these folders; one that cannot be asked is left out.
    pub fn all(folders: &[(&'static str, PathBuf)]) -> Vec<Self> {
        folders
            .iter()
            .filter_map(|(of, folder)| {
                let room = Room::at(folder).ok()?;
                Some(Self {
                    of: (*of).to_owned(),
                    folder: folder.clone(),
                    free_bytes: room.free_bytes,
                    total_bytes: room.total_bytes,
                    free_percent: room.percent_free(),
                })
            })
            .collect()
    }
}

/// What was logged since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedStatus {
    /// Warnings.
    pub warnings: u64,
    /// Errors.
    pub errors: u64,
    /// When the newest of both was logged.
    pub latest_at: Option<String>,
    /// Its text.
    pub latest: Option<String>,
}

impl From<Counted> for LoggedStatus {
    fn from(counted: Counted) -> Self {
        Self {
            warnings: counted.warnings,
            errors: counted.errors,
            latest_at: counted.latest.as_ref().map(|latest| latest.at.to_string()),
            latest: counted.latest.map(|latest| latest.message),
        }
    }
}
