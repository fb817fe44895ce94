//! What the node tells, and what commands print with `--json`: a contract of its own, which stays when the rooms' types
//! change. Times are RFC 3339 in UTC, hashes and keys lower-case hex, paths as they are shown to people.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::audit::AuditStatus;
use super::certificate::CertificateStatus;
use super::health::{BackupHealth, DiskStatus, LoggedStatus, ServiceStatus, TelemetryStatus};
use super::keys::ResealingStatus;
use super::replica::ReplicaState;
use super::words::span;
use crate::backup::{Record, RestoreReport, Summary, Verified};
use crate::clock::Timestamp;
use crate::shares::ShareCount;

/// What a database holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Users.
    pub users: u64,
    /// Key shares.
    pub shares: u64,
    /// The newest change of a share.
    pub newest: Option<String>,
}

impl From<Summary> for Counts {
    fn from(summary: Summary) -> Self {
        Self {
            users: summary.users,
            shares: summary.shares,
            newest: text(summary.newest),
        }
    }
}

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupEntry {
    /// The backup's id.
    pub id: Uuid,
    /// Why it was made: `scheduled`, `manual`, `before-restore`, `before-migration`,
    /// `before-rollback`.
    pub kind: String,
    /// `IN_PROGRESS`, `COMPLETED`, `FAILED`, `DELETED` (api.md, "Backups").
    pub status: String,
    /// Its file.
    pub path: String,
    /// Size of the file.
    pub bytes: Option<u64>,
    /// How long it took.
    pub milliseconds: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// SHA-256 of the file.
    pub sha256: Option<String>,
    /// Whether the file is encrypted to the configured age recipients.
    pub encrypted: bool,
    /// What is in it.
    pub holds: Option<Counts>,
    /// When it was last verified.
    pub verified_at: Option<String>,
    /// What went wrong when the hook `backup.after` ran; the file is good all the same.
    pub hook_error: Option<String>,
    /// When it was begun.
    pub created_at: String,
    /// When its status last changed.
    pub updated_at: String,
}

impl From<Record> for BackupEntry {
    fn from(record: Record) -> Self {
        Self {
            id: record.backup_id,
            kind: record.kind.as_str().to_owned(),
            status: record.status.as_str().to_owned(),
            path: record.path.display().to_string(),
            bytes: record.bytes,
            milliseconds: record
                .duration
                .map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            error: record.error,
            sha256: record.digest.map(hex::encode),
            encrypted: record.encrypted,
            holds: record.summary.map(Counts::from),
            verified_at: text(record.verified_at),
            hook_error: record.hook_error,
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

impl BackupEntry {
    /// Records in their order.
    pub fn all(records: Vec<Record>) -> Vec<Self> {
        records.into_iter().map(Self::from).collect()
    }
}

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedFile {
    /// The file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Its schema version; absent when it is encrypted and was not opened.
    pub schema: Option<usize>,
    /// What is in it.
    pub holds: Counts,
    /// The moment of the backup, when the file tells.
    pub taken_at: Option<String>,
}

impl From<Verified> for VerifiedFile {
    fn from(verified: Verified) -> Self {
        Self {
            path: verified.path.display().to_string(),
            bytes: verified.bytes,
            sha256: hex::encode(verified.digest),
            encrypted: verified.encrypted,
            schema: verified.schema,
            holds: verified.summary.into(),
            taken_at: text(verified.taken_at),
        }
    }
}

/// What a restore did, or would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The backup's file.
    pub path: String,
    /// What the database held before; absent when there was none or it cannot be read.
    pub before: Option<Counts>,
    /// What the backup holds.
    pub after: Counts,
    /// The moment of the backup: changes after it are lost.
    pub taken_at: Option<String>,
    /// How long after that moment the newest of the lost changes was made, 0 when there is none; absent when one of the
    /// two is not known.
    pub lost_seconds: Option<u64>,
    /// The backup of the data that was replaced.
    pub safety: Option<String>,
    /// What is wrong with the replaced data, when its backup could be made and not be verified.
    pub safety_error: Option<String>,
    /// The timeline that began; absent in a dry run.
    pub timeline: Option<Uuid>,
    /// The schema the backup was migrated from, when it was older.
    pub migrated_from: Option<usize>,
    /// Whether it was rewrapped under today's encryption secret.
    pub rewrapped: bool,
    /// The node's public key in the backup, when it is another one than today's: the network knows today's.
    #[serde(default)]
    pub new_public_key: Option<String>,
}

impl From<RestoreReport> for Restored {
    fn from(report: RestoreReport) -> Self {
        Self {
            path: report.path.display().to_string(),
            lost_seconds: lost_seconds(&report),
            before: report.before.map(Counts::from),
            after: report.after.into(),
            taken_at: text(report.taken_at),
            safety: report.safety.map(|path| path.display().to_string()),
            safety_error: report.safety_error,
            timeline: report.timeline,
            migrated_from: report.migrated_from,
            rewrapped: report.rewrapped,
            new_public_key: report
                .public_key_before
                .filter(|before| *before != report.public_key)
                .map(|_| hex::encode(report.public_key)),
        }
    }
}

impl Restored {
    /// What is lost with the restore, for people.
    pub fn loss(&self) -> String {
        match (&self.taken_at, self.lost_seconds) {
            (Some(moment), Some(0)) => format!("no share was changed after {moment}"),
            (Some(moment), Some(seconds)) => format!(
                "changes after {moment} ({}) are lost",
                span(Duration::from_secs(seconds))
            ),
            (Some(moment), None) => format!("changes after {moment} are lost"),
            (None, _) => {
                "changes after the backup are lost; it does not tell when it was made".to_owned()
            }
        }
    }
}

/// Rounded up: a change half a second later is lost too.
fn lost_seconds(report: &RestoreReport) -> Option<u64> {
    let (before, taken_at) = (report.before?, report.taken_at?);
    let lost = before.newest.map(|newest| newest.since(taken_at));
    Some(lost.map_or(0, |lost| {
        u64::try_from(lost.as_millis().div_ceil(1000)).unwrap_or(u64::MAX)
    }))
}

/// How the node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The program's version.
    pub version: String,
    /// The commit it was built from, when that is known.
    pub git_hash: Option<String>,
    /// Its process.
    pub process: u32,
    /// The service manager's unit as which it runs; absent when none runs it.
    pub service: Option<ServiceStatus>,
    /// When it began to serve.
    pub launched: String,
    /// How long ago that is.
    pub uptime_seconds: u64,
    /// The node's ed25519 public key.
    pub public_key: String,
    /// Where the API is served.
    pub listen: Vec<String>,
    /// Where metrics and health are served.
    pub ops_listen: Option<String>,
    /// Where plain HTTP is redirected to https.
    pub redirect_listen: Option<String>,
    /// Where the admin page is served by itself; absent when it is served with the API.
    #[serde(default)]
    pub admin_listen: Option<String>,
    /// The admin page's address for a browser; absent when there is no page.
    #[serde(default)]
    pub admin_page: Option<String>,
    /// The certificate in use; absent when the API is served in clear.
    pub certificate: Option<CertificateStatus>,
    /// Key shares, by provider and curve.
    pub key_shares: Vec<SharesOf>,
    /// Why the database does not answer.
    pub database_error: Option<String>,
    /// How far older shares are sealed under the newest share key; absent when all are.
    #[serde(default)]
    pub resealing: Option<ResealingStatus>,
    /// Why no writes are accepted although the database answers.
    #[serde(default)]
    pub write_error: Option<String>,
    /// Bytes of the database's file.
    pub database_bytes: u64,
    /// Bytes of its write-ahead log.
    pub log_bytes: u64,
    /// How backups stand.
    pub backup: BackupHealth,
    /// Whether a backup, a verification or a restore is under way.
    #[serde(default)]
    pub busy: bool,
    /// Reports to the network's node monitor; absent when none are configured.
    pub telemetry: Option<TelemetryStatus>,
    /// The room of the file systems of data, backups and logs.
    pub disks: Vec<DiskStatus>,
    /// Warnings and errors in the log since the start.
    pub logged: LoggedStatus,
    /// What the process has of the memory; absent where the system does not tell.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Requests to the API since the start.
    #[serde(default)]
    pub requests: u64,
    /// Those of them that were answered with a status of 500 and above.
    #[serde(default)]
    pub failures: u64,
    /// Open connections to the API.
    #[serde(default)]
    pub connections: u64,
    /// How the replica stands; absent when there is none.
    pub replica: Option<ReplicaState>,
    /// How the audit log stands.
    #[serde(default)]
    pub audit: AuditStatus,
}

/// How many shares of one curve the users of one provider have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharesOf {
    /// The provider.
    pub provider: String,
    /// The curve.
    pub curve: String,
    /// The number of shares.
    pub shares: u64,
}

impl From<ShareCount> for SharesOf {
    fn from(count: ShareCount) -> Self {
        Self {
            provider: count.auth_type.as_str().to_owned(),
            curve: count.curve.as_str().to_owned(),
            shares: count.shares,
        }
    }
}

impl NodeStatus {
    /// All of it in brief, on one line.
    pub fn line(&self) -> String {
        let problems = self.problems();
        if !problems.is_empty() {
            return format!("WRONG: {}", problems.join("; "));
        }
        let shares: u64 = self.key_shares.iter().map(|count| count.shares).sum();
        let latest = self.backup.latest.as_deref().unwrap_or("none yet");
        let certificate = self.certificate.as_ref().map_or_else(String::new, |one| {
            format!(", certificate for {} days", one.days_left)
        });
        format!(
            "well: serving {}, {shares} key shares, backup {latest}{certificate}",
            self.listen.join(" ")
        )
    }

    /// What is wrong, for people; nothing when the node is well.
    pub fn problems(&self) -> Vec<String> {
        let backup = &self.backup;
        let mut problems = Vec::new();
        if let Some(error) = &self.database_error {
            problems.push(format!("the database does not answer: {error}"));
        }
        problems.extend(self.write_error.clone());
        if let Some(damage) = &backup.damage {
            problems.push(format!("the database is damaged: {damage}"));
        }
        if let Some(failure) = &backup.failure {
            problems.push(format!("the newest backup failed: {failure}"));
        }
        // The one reason that has no text of its own.
        if let (true, false, Some(latest)) = (problems.is_empty(), backup.checked, &backup.latest) {
            problems.push(format!("the file of the newest backup ({latest}) is gone"));
        }
        if let Some(failure) = &backup.hook_failure {
            problems.push(format!(
                "backup.after failed on the newest backup, which is here and good: {failure}"
            ));
        }
        problems.extend(self.replica.iter().filter_map(ReplicaState::problem));
        problems.extend(self.audit.problems());
        problems.extend(
            self.certificate
                .iter()
                .flat_map(CertificateStatus::problems),
        );
        let telemetry = self.telemetry.as_ref();
        problems.extend(telemetry.and_then(TelemetryStatus::problem));
        problems
    }
}

pub(super) fn text(moment: Option<Timestamp>) -> Option<String> {
    moment.map(|moment| moment.to_string())
}
