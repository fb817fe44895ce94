//! Bodies of the backup calls, as api.md spells them: answers of the first generation in camel case, the others not.

use std::path::Path;
use std::time::Duration;

use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::backup::{Record, RestoreReport, Status};
use crate::clock::Timestamp;

/// A field that should be a `T` and may have been sent as anything. A `null` is no field at all.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Field<T> {
    Is(T),
    Other(IgnoredAny),
}

/// A whole number. JSON has one kind of numbers: `7.0` is `7`, and some clients write it so.
pub(super) struct Whole(pub(super) u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        // The text of a float is that of an integer when it has no fraction.
        let float = || number.as_f64()?.to_string().parse().ok();
        let whole = number.as_u64().or_else(float);
        whole
            .map(Self)
            .ok_or_else(|| D::Error::custom("not a whole number"))
    }
}

#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct PasswordBody {
    /// The administrator's password.
    #[schema(value_type = String, min_length = 1)]
    pub(super) password: Option<Field<Zeroizing<String>>>,
}

#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct DaysBody {
    /// How many days back; all when absent.
    #[schema(value_type = Option<u16>, minimum = 1, maximum = 1000)]
    pub(super) days: Option<Field<Whole>>,
}

#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct RestoreBody {
    /// The administrator's password.
    #[allow(
        dead_code,
        reason = "describes the field; it was checked before the rest is looked at"
    )]
    #[schema(value_type = String, min_length = 1)]
    password: IgnoredAny,
    /// The backup's file: its name, its path in the backup folder, or its path in the container of older
    /// installations.
    #[schema(value_type = String, min_length = 1)]
    pub(super) dump_path: Option<Field<String>>,
}

/// A backup that was just made.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct BackupData {
    dump_id: Uuid,
    /// Its file.
    dump_path: String,
    /// Bytes.
    dump_size: u64,
    /// Seconds, to the millisecond.
    dump_duration: f64,
}

impl From<Record> for BackupData {
    fn from(record: Record) -> Self {
        Self {
            dump_id: record.backup_id,
            dump_path: text(&record.path),
            // A backup that was made has both.
            dump_size: record.bytes.unwrap_or_default(),
            dump_duration: seconds(record.duration.unwrap_or_default()),
        }
    }
}

/// A line of the history.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct BackupItem {
    dump_id: Uuid,
    status: BackupStatus,
    /// Its file.
    dump_path: String,
    meta: BackupMeta,
    /// When it was begun.
    #[schema(value_type = String, format = DateTime)]
    created_at: String,
    /// When its status last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: String,
}

/// How a backup stands.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum BackupStatus {
    InProgress,
    Completed,
    Failed,
    Deleted,
}

/// What anybody may know of a failure: the history is open to all, and the reason may name folders.
const FAILED: &str = "the backup failed; the node's log and `ksnode backup list` say why";

/// What is known of it: an unfinished backup has neither duration nor size, and only a failed one an error.
#[derive(Serialize, ToSchema)]
struct BackupMeta {
    /// Seconds, to the millisecond.
    #[serde(skip_serializing_if = "Option::is_none")]
    dump_duration: Option<f64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    dump_size: Option<u64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

impl From<Record> for BackupItem {
    fn from(record: Record) -> Self {
        Self {
            dump_id: record.backup_id,
            status: match record.status {
                Status::InProgress => BackupStatus::InProgress,
                Status::Completed => BackupStatus::Completed,
                Status::Failed => BackupStatus::Failed,
                Status::Deleted => BackupStatus::Deleted,
            },
            dump_path: text(&record.path),
            meta: BackupMeta {
                dump_duration: record.duration.map(seconds),
                dump_size: record.bytes,
                error: record.error.map(|_| FAILED),
            },
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// A restore that happened.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RestoreData {
    /// As it was sent.
    pub(super) dump_path: String,
    pub(super) changes: RestoreChanges,
}

/// What it changed, for people to compare. Changes between `taken_at` and `last_change_before` are gone from the
/// node and kept in the safety backup.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RestoreChanges {
    /// Users until now; null when the replaced data could not be read, as in the other fields.
    users_before: Option<u64>,
    users_after: u64,
    /// Key shares until now.
    shares_before: Option<u64>,
    shares_after: u64,
    /// The newest change of a share until now.
    #[schema(format = DateTime)]
    last_change_before: Option<String>,
    /// The newest change of a share in the backup.
    #[schema(format = DateTime)]
    last_change_after: Option<String>,
    /// The moment of the backup.
    #[schema(format = DateTime)]
    taken_at: Option<String>,
    /// The backup of the data that was replaced.
    safety_backup: Option<String>,
    /// Why the safety backup could be made and not be verified.
    safety_backup_error: Option<String>,
}

impl From<RestoreReport> for RestoreChanges {
    fn from(report: RestoreReport) -> Self {
        let moment = |moment: Option<Timestamp>| moment.map(|moment| moment.to_string());
        let (before, after) = (report.before, report.after);
        Self {
            users_before: before.map(|before| before.users),
            users_after: after.users,
            shares_before: before.map(|before| before.shares),
            shares_after: after.shares,
            last_change_before: moment(before.and_then(|before| before.newest)),
            last_change_after: moment(after.newest),
            taken_at: moment(report.taken_at),
            safety_backup: report.safety.as_deref().map(text),
            safety_backup_error: report.safety_error,
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
