use proptest::prelude::*;

use super::super::testing::record;
use super::*;

/// 2026-01-01T00:00:00Z
const NOW: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// As it is where every file is in the folder.
fn expired(records: &[Record], keep_days: u32, now: Timestamp, damage_known: bool) -> Vec<&Record> {
    super::expired(records, |_| Place::Folder, keep_days, now, damage_known)
}

/// The same.
fn forgotten(records: &[Record], now: Timestamp) -> Vec<&Record> {
    super::forgotten(records, |_| Place::Folder, now)
}

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

#[test]
fn what_is_not_in_the_folder_does_not_stand_for_the_newest() {
    let records = [
        of(Kind::BeforeMigration, days_ago(60)),
        of(Kind::BeforeMigration, days_ago(50)),
        of(Kind::Scheduled, days_ago(40)),
        of(Kind::Scheduled, days_ago(30)),
        of(Kind::Manual, days_ago(20)),
    ];
    let selected = |places: [Place; 5]| {
        let place = |record: &Record| {
            let index = records.iter().position(|known| known == record).unwrap();
            places[index]
        };
        moments(&super::expired(&records, place, 7, NOW, false))
    };
    let (here, gone, elsewhere) = (Place::Folder, Place::Nowhere, Place::Elsewhere);
    // Lines of what is gone are selected, so that they say so.
    let places = [here, gone, here, here, gone];
    assert_eq!(selected(places), [50, 40, 20].map(days_ago));
    // Of what is elsewhere nothing is.
    let places = [here, elsewhere, here, here, elsewhere];
    assert_eq!(selected(places), [40].map(days_ago));
    // None is there, which the newest tells.
    assert_eq!(selected([gone; 5]), [60, 40, 30].map(days_ago));
    assert!(selected([elsewhere; 5]).is_empty());
}

#[test]
fn lines_of_what_is_elsewhere_are_forgotten_with_the_others() {
    let records = [
        record(Status::Completed, days_ago(1002)),
        record(Status::Completed, days_ago(1001)),
        record(Status::Completed, days_ago(1000)),
    ];
    let elsewhere = |_: &Record| Place::Elsewhere;
    let gone = super::forgotten(&records, elsewhere, NOW);
    assert_eq!(gone, [&records[0], &records[1]]);
    // Not the newest good one's.
    let gone = super::forgotten(&records[..2], elsewhere, NOW);
    assert_eq!(gone, [&records[0]]);
    assert!(super::forgotten(&records, |_| Place::Nowhere, NOW).is_empty());
}

fn any_place() -> impl Strategy<Value = Place> {
    prop::sample::select(vec![Place::Folder, Place::Elsewhere, Place::Nowhere])
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
    fn the_newest_in_the_folder_stays_and_what_is_elsewhere_too(
        all in prop::collection::vec((any_record(), any_place()), 0..12),
        keep_days in 0..60u32,
    ) {
        let place = |record: &Record| {
            let known = all.iter().find(|(known, _)| known.backup_id == record.backup_id);
            known.map_or(Place::Nowhere, |(_, place)| *place)
        };
        let records: Vec<Record> = all.iter().map(|(record, _)| record.clone()).collect();
        let there = records.iter().filter(|record| place(record) == Place::Folder);
        let there = there.filter(|record| record.created_at <= NOW);
        let there: Vec<Record> = there.cloned().collect();
        let newest = newest_completed(&there, None);
        for record in super::expired(&records, place, keep_days, NOW, false) {
            prop_assert!(place(record) != Place::Elsewhere);
            prop_assert!(Some(record.created_at) != newest);
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
