//! Which backups have had their time.
//!
//! Pure rules over the history. What they never select matters more than what they do: the last good backup stays
//! however old it is, whatever failed since, and wherever the clock stands.

use std::time::Duration;

use crate::clock::Timestamp;

use super::{Kind, Record, Status};

const DAY: Duration = Duration::from_secs(86_400);

/// How long the line of a backup that is no more is kept: as far back as the history can be asked (api.md, "Backups").
const MEMORY: Duration = DAY.saturating_mul(1000);

/// The backups that are older than `keep_days`, whose files may be deleted: completed ones, and what a restore has saved of
/// data that did not verify. All but
///
/// - the newest completed one that programs of today's schema read, which one from before a rollback is not,
/// - the newest one from before a migration, which is the way back from an upgrade,
/// - every one while the live database is known to be damaged: the last good state may be in an old one.
///
/// A backup that claims to come from the future expires with the others once its time comes, and is never taken for the
/// newest while there is one of the past. `records` should leave out those whose files are known to be gone: a
/// backup that is not there must not stand for the newest.
pub(super) fn expired(
    records: &[Record],
    keep_days: u32,
    now: Timestamp,
    damage_known: bool,
) -> Vec<&Record> {
    if damage_known {
        return Vec::new();
    }
    let way_back = completed(records).filter(|record| record.kind == Kind::BeforeMigration);
    let kept = [last_good(records, now), newest(way_back, now)];
    records
        .iter()
        .filter(|record| now.since(record.created_at) > DAY.saturating_mul(keep_days))
        .filter(|record| match record.status {
            Status::Completed => !kept.contains(&Some(record.created_at)),
            Status::Failed => record.kind == Kind::BeforeRestore && record.bytes.is_some(),
            Status::InProgress | Status::Deleted => false,
        })
        .collect()
}

/// When the backup was begun that must not be lost: the newest completed one that programs of today's schema read.
pub(super) fn last_good(records: &[Record], now: Timestamp) -> Option<Timestamp> {
    let readable = completed(records).filter(|record| record.kind != Kind::BeforeRollback);
    newest(readable, now)
}

fn completed(records: &[Record]) -> impl Iterator<Item = &Record> {
    let records = records.iter();
    records.filter(|record| record.status == Status::Completed)
}

/// When the newest of these was begun. Those of the future do not count: they are not selected anyway.
fn newest<'a>(records: impl Iterator<Item = &'a Record>, now: Timestamp) -> Option<Timestamp> {
    records
        .map(|record| record.created_at)
        .filter(|moment| *moment <= now)
        .max()
}

/// The lines of failed and deleted backups that may be removed from the history.
pub(super) fn forgotten(records: &[Record], now: Timestamp) -> Vec<&Record> {
    records
        .iter()
        .filter(|record| matches!(record.status, Status::Failed | Status::Deleted))
        .filter(|record| now.since(record.updated_at) > MEMORY)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::record;
    use super::*;

    /// 2026-01-01T00:00:00Z
    const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    fn days_ago(days: u32) -> Timestamp {
        NOW.minus(DAY * days)
    }

    fn of(kind: Kind, created: Timestamp) -> Record {
        Record {
            kind,
            ..record(Status::Completed, created)
        }
    }

    fn moments(records: &[&Record]) -> Vec<Timestamp> {
        records.iter().map(|record| record.created_at).collect()
    }

    #[test]
    fn what_is_older_than_the_days_goes() {
        let records: Vec<Record> = (0..12)
            .map(|days| of(Kind::Scheduled, days_ago(days)))
            .collect();
        let gone = moments(&expired(&records, 7, NOW, false));
        assert_eq!(gone, [8, 9, 10, 11].map(days_ago));
        let later = NOW.plus(Duration::from_millis(1));
        assert_eq!(expired(&records, 7, later, false).len(), 5);
        assert!(expired(&records, 7, NOW, true).is_empty());
        assert!(expired(&records, u32::MAX, NOW, false).is_empty());
        assert!(expired(&[], 7, NOW, false).is_empty());
    }

    #[test]
    fn the_last_good_one_stays_whatever_failed_since() {
        let mut records = vec![
            of(Kind::Scheduled, days_ago(400)),
            of(Kind::Manual, days_ago(300)),
        ];
        for days in 0..290 {
            records.push(record(Status::Failed, days_ago(days)));
        }
        records.push(record(Status::Deleted, days_ago(0)));
        records.push(record(Status::InProgress, days_ago(0)));
        assert_eq!(moments(&expired(&records, 7, NOW, false)), [days_ago(400)]);
    }

    #[test]
    fn the_way_back_from_an_upgrade_stays() {
        let records = [
            of(Kind::BeforeMigration, days_ago(50)),
            of(Kind::BeforeMigration, days_ago(40)),
            of(Kind::BeforeRestore, days_ago(30)),
            of(Kind::Scheduled, days_ago(1)),
        ];
        let gone = moments(&expired(&records, 7, NOW, false));
        assert_eq!(gone, [days_ago(50), days_ago(30)]);
    }

    #[test]
    fn one_from_before_a_rollback_does_not_stand_for_the_newest() {
        let records = [
            of(Kind::Scheduled, days_ago(50)),
            of(Kind::Manual, days_ago(40)),
            of(Kind::BeforeRollback, days_ago(30)),
            of(Kind::BeforeRollback, days_ago(3)),
        ];
        let gone = moments(&expired(&records, 7, NOW, false));
        assert_eq!(gone, [days_ago(50), days_ago(30)]);
    }

    #[test]
    fn what_a_restore_saved_unverified_goes_as_well() {
        let saved = |bytes, days| Record {
            status: Status::Failed,
            bytes,
            ..of(Kind::BeforeRestore, days_ago(days))
        };
        let records = [
            saved(Some(9), 30),
            saved(None, 30),
            saved(Some(9), 3),
            of(Kind::Scheduled, days_ago(1)),
        ];
        let gone = expired(&records, 7, NOW, false);
        assert_eq!(gone, [&records[0]]);
    }

    #[test]
    fn one_of_the_future_does_not_stand_for_the_newest() {
        let future = NOW.plus(DAY * 3650);
        let records = [
            of(Kind::Scheduled, days_ago(30)),
            of(Kind::Scheduled, days_ago(20)),
            of(Kind::BeforeMigration, days_ago(25)),
            of(Kind::BeforeMigration, future),
        ];
        assert_eq!(moments(&expired(&records, 7, NOW, false)), [days_ago(30)]);
    }

    #[test]
    fn lines_are_forgotten_after_a_thousand_days_without_a_change() {
        let mut deleted_late = record(Status::Deleted, days_ago(2000));
        deleted_late.updated_at = days_ago(1000);
        let records = [
            record(Status::Failed, days_ago(1001)),
            record(Status::Deleted, days_ago(1001)),
            record(Status::Completed, days_ago(1001)),
            record(Status::InProgress, days_ago(1001)),
            record(Status::Failed, days_ago(1000)),
            deleted_late,
        ];
        let gone = forgotten(&records, NOW);
        assert_eq!(gone, [&records[0], &records[1]]);
    }

    prop_compose! {
        fn any_record()(
            status in prop::sample::select(vec![Status::InProgress, Status::Completed, Status::Failed, Status::Deleted]),
            kind in prop::sample::select(vec![Kind::Scheduled, Kind::Manual, Kind::BeforeRestore, Kind::BeforeMigration,
                Kind::BeforeRollback]),
            // Few different days, so that some records are of the same moment.
            days in -20i64..40,
        ) -> Record {
            let created = Timestamp::from_millis(NOW.as_millis() + days * 86_400_000);
            Record { kind, ..record(status, created) }
        }
    }

    fn newest_completed(records: &[Record], kind: Option<Kind>) -> Option<Timestamp> {
        records
            .iter()
            .filter(|record| record.status == Status::Completed)
            .filter(|record| match kind {
                Some(kind) => record.kind == kind,
                None => record.kind != Kind::BeforeRollback,
            })
            .map(|record| record.created_at)
            .max()
    }

    proptest! {
        #[test]
        fn the_newest_is_never_selected(
            records in prop::collection::vec(any_record(), 0..12),
            keep_days in 0..60u32,
            now in -100i64..100,
            damage_known in any::<bool>(),
        ) {
            let now = Timestamp::from_millis(NOW.as_millis() + now * 86_400_000);
            let gone = expired(&records, keep_days, now, damage_known);
            for kind in [None, Some(Kind::BeforeMigration)] {
                let newest = newest_completed(&records, kind);
                let past: Vec<Record> = records.iter().filter(|record| record.created_at <= now).cloned().collect();
                let newest_past = newest_completed(&past, kind);
                for record in &gone {
                    let of_kind = kind.is_none_or(|kind| record.kind == kind);
                    prop_assert!(!of_kind || Some(record.created_at) != newest);
                    prop_assert!(!of_kind || Some(record.created_at) != newest_past);
                }
            }
            prop_assert!(gone.is_empty() || !damage_known);
            for record in gone {
                prop_assert_eq!(record.status, Status::Completed);
                prop_assert!(now.since(record.created_at) > DAY * keep_days);
            }
        }

        #[test]
        fn at_most_two_outlive_their_days(
            days in prop::collection::btree_set(0u32..400, 0..12),
            keep_days in 1..60u32,
        ) {
            let records: Vec<Record> = days.iter().map(|days| of(Kind::Scheduled, days_ago(*days))).collect();
            let old = days.iter().filter(|days| **days > keep_days).count();
            let gone = expired(&records, keep_days, NOW, false).len();
            prop_assert!(gone == old || (gone + 1 == old && old == days.len()));
        }

        #[test]
        fn what_can_be_restored_is_never_forgotten(
            records in prop::collection::vec(any_record(), 0..12),
            now in any::<i64>(),
        ) {
            for record in forgotten(&records, Timestamp::from_millis(now)) {
                prop_assert!(matches!(record.status, Status::Failed | Status::Deleted));
            }
        }
    }
}
