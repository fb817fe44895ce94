//! How backups and the live file stand: for the network's monitor, for metrics, for people.

use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{Kind, Record, Status};
use crate::clock::Timestamp;
use crate::store::StoreError;

/// How the last backup stands, and the live file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// When the newest completed backup was finished.
    pub latest: Option<Timestamp>,
    /// Whether the newest attempt was completed, its file is there, and no damage of the live database is known.
    pub checked: bool,
    /// What is wrong with the live database.
    pub damage: Option<String>,
    /// Why the newest attempt failed.
    pub failure: Option<String>,
    /// Why the command of `backup.after` failed on the newest completed backup.
    pub hook_failure: Option<String>,
    unnoted: Option<String>,
}

/// What is known beside the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// What is wrong with the live database.
    pub(super) damage: Option<String>,
    /// Why the newest attempt failed, when the history may not say so: a full disk takes no line of it either.
    pub(super) unnoted: Option<String>,
}

impl Health {
    /// What the history (newest first) tells, beside what is `known`. `since` is when the data began to live as it does
    /// now, at a restore or with the node; `folder` is where backups are kept.
    pub(super) fn of(
        records: &[Record],
        since: Option<Timestamp>,
        folder: &Path,
        known: Known,
    ) -> Self {
        // What a restore saves may be damaged, and that is why it was restored; a backup that failed before it failed of
        // the data that was replaced.
        let attempt = records.iter().find(|record| {
            !matches!(record.kind, Kind::BeforeRestore | Kind::BeforeRollback)
                && record.status != Status::InProgress
                && since.is_none_or(|since| record.created_at >= since)
        });
        // One from before a rollback is of a newer schema, which this program may not read. One that was restored from
        // somewhere else is the operator's own, who may take it away again.
        let completed = records.iter().find(|record| {
            record.status == Status::Completed
                && record.kind != Kind::BeforeRollback
                && (record.path.starts_with(folder) || record.path.is_file())
        });
        let failure = attempt
            .filter(|record| record.status == Status::Failed)
            .map(|record| record.error.clone().unwrap_or_default())
            .or_else(|| known.unnoted.clone())
            .or_else(|| {
                let missing = completed.filter(|record| !record.path.is_file())?;
                Some(format!("{} is gone", missing.path.display()))
            });
        Self {
            latest: completed.map(|record| record.updated_at),
            checked: completed.is_some() && failure.is_none() && known.damage.is_none(),
            damage: known.damage,
            failure,
            hook_failure: completed.and_then(|record| record.hook_error.clone()),
            unnoted: known.unnoted,
        }
    }

    /// The same when the history cannot be read any more: what it told last, and nothing is well.
    pub(super) fn without_history(&self, known: Known, error: &StoreError) -> Self {
        let damaged = matches!(error, StoreError::Damaged(_)).then(|| error.to_string());
        let unreadable = || format!("the history of backups cannot be read: {error}");
        Self {
            latest: self.latest,
            checked: false,
            damage: known.damage.or(damaged),
            failure: known.unnoted.clone().or_else(|| Some(unreadable())),
            hook_failure: self.hook_failure.clone(),
            unnoted: known.unnoted,
        }
    }

    /// What is to be known still when the history is read anew.
    pub(super) fn known(&self) -> Known {
        Known {
            damage: self.damage.clone(),
            unnoted: self.unnoted.clone(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    kind: &'static str,
    outcome: &'static str,
}

/// What this room counts. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct BackupMetrics {
    made: Family<Labels, Counter>,
    completed_at: Gauge<i64, AtomicI64>,
    bytes: Gauge<i64, AtomicI64>,
    seconds: Gauge<f64, AtomicU64>,
    checked: Gauge<i64, AtomicI64>,
    damaged: Gauge<i64, AtomicI64>,
    pub(super) hook_failures: Counter,
    pub(super) restores: Counter,
}

impl BackupMetrics {
    /// Adds them to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("backups", "Backups by kind and outcome", self.made.clone());
        registry.register(
            "backup_completed_timestamp_seconds",
            "When the newest completed backup was finished",
            self.completed_at.clone(),
        );
        registry.register_with_unit(
            "backup_size",
            "The newest completed backup's file",
            Unit::Bytes,
            self.bytes.clone(),
        );
        registry.register_with_unit(
            "backup_duration",
            "Copy, verification and encryption of the newest completed backup",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "backup_checked",
            "1: the newest backup was completed and verified, its file is there, and the database is not known to be damaged",
            self.checked.clone(),
        );
        registry.register(
            "database_damaged",
            "1: the last check found the live database damaged",
            self.damaged.clone(),
        );
        registry.register(
            "backup_hook_failures",
            "Runs of backup.after that failed",
            self.hook_failures.clone(),
        );
        registry.register(
            "restores",
            "Backups restored by this process",
            self.restores.clone(),
        );
    }

    pub(super) fn observe(&self, record: &Record) {
        let outcome = if record.status == Status::Completed {
            "completed"
        } else {
            "failed"
        };
        self.made
            .get_or_create(&Labels {
                kind: record.kind.as_str(),
                outcome,
            })
            .inc();
    }

    pub(super) fn show(&self, health: &Health, newest: Option<&Record>) {
        self.checked.set(i64::from(health.checked));
        self.damaged.set(i64::from(health.damage.is_some()));
        self.completed_at
            .set(health.latest.map_or(0, Timestamp::as_seconds));
        if let Some(record) = newest {
            let bytes = record.bytes.unwrap_or(0);
            self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            self.seconds
                .set(record.duration.unwrap_or_default().as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use uuid::Uuid;

    use super::*;

    fn record(status: Status, kind: Kind, path: PathBuf) -> Record {
        let now = Timestamp::from_millis(5);
        let error = (status == Status::Failed).then(|| "full".to_owned());
        Record {
            status,
            error,
            ..Record::begin(Uuid::nil(), kind, path, now)
        }
    }

    fn of(records: &[Record], since: Option<Timestamp>, known: Known) -> Health {
        Health::of(records, since, Path::new("/nowhere"), known)
    }

    fn known() -> Known {
        Known::default()
    }

    #[test]
    fn what_the_history_does_not_tell_is_told_until_it_is_better() {
        let there = tempfile::NamedTempFile::new().unwrap();
        let good = [record(Status::Completed, Kind::Manual, there.path().into())];
        let full = Known {
            unnoted: Some("full".into()),
            ..known()
        };
        let health = of(&good, None, full.clone());
        assert!(!health.checked && health.latest.is_some());
        assert_eq!(health.failure.as_deref(), Some("full"));
        assert_eq!(of(&good, None, health.known()), health);
        let well = of(&good, None, known());
        assert!(well.checked);
        let unreadable = well.without_history(known(), &StoreError::Damaged("page 7".into()));
        assert!(!unreadable.checked && unreadable.latest == well.latest);
        assert!(
            unreadable
                .damage
                .is_some_and(|text| text.contains("page 7"))
        );
        assert!(
            unreadable
                .failure
                .is_some_and(|text| text.contains("cannot be read"))
        );
    }

    #[test]
    fn only_a_good_newest_backup_of_an_undamaged_database_counts_as_checked() {
        let there = tempfile::NamedTempFile::new().unwrap();
        let good = record(Status::Completed, Kind::Scheduled, there.path().into());
        let failed = record(Status::Failed, Kind::Scheduled, there.path().into());
        let saved = record(Status::Failed, Kind::BeforeRestore, there.path().into());
        let gone = record(Status::Completed, Kind::Manual, "/nowhere/x.db".into());
        let running = record(Status::InProgress, Kind::Manual, there.path().into());

        assert_eq!(of(&[], None, known()), Health::default());
        // An off-site copy that failed is told of, and the backup itself is good.
        let stayed = Record {
            hook_error: Some("no route".into()),
            ..good.clone()
        };
        let health = of(&[stayed, good.clone()], None, known());
        assert!(health.checked && health.failure.is_none());
        assert_eq!(health.hook_failure.as_deref(), Some("no route"));
        let health = of(&[running.clone(), good.clone()], None, known());
        assert!(health.checked && health.latest == Some(good.updated_at));
        assert!(of(&[saved, good.clone()], None, known()).checked);
        let health = of(&[failed.clone(), good.clone()], None, known());
        assert!(!health.checked && health.latest.is_some());
        assert_eq!(health.failure.as_deref(), Some("full"));
        assert!(!of(&[gone], None, known()).checked);
        // Not in the folder: what was restored from it says nothing when it is taken away.
        let elsewhere = record(Status::Completed, Kind::Manual, "/elsewhere/x.db".into());
        let health = of(std::slice::from_ref(&elsewhere), None, known());
        assert_eq!(health, Health::default());
        let health = of(&[elsewhere, good.clone()], None, known());
        assert!(health.checked && health.latest == Some(good.updated_at));
        let damaged = Known {
            damage: Some("page 7".into()),
            ..known()
        };
        assert!(!of(std::slice::from_ref(&good), None, damaged).checked);

        let since = |millis| Some(Timestamp::from_millis(millis));
        let records = [failed, good];
        assert!(!of(&records, since(5), known()).checked);
        // What failed before a restore failed of other data; what was good is what was restored.
        assert!(of(&records, since(6), known()).checked);
    }
}
