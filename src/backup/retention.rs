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

/// Where the file of a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In today's backup folder.
    Folder,
    /// Outside of it, or where nobody can look.
    Elsewhere,
    /// It is gone.
    Nowhere,
}

/// The backups that are older than `keep_days`, whose files may be deleted: completed ones, and what a restore has saved of
/// data that did not verify. All but
///
/// - the newest completed one that programs of today's schema read, which one from before a rollback is not,
/// - the newest one from before a migration, which is the way back from an upgrade,
/// - every one outside of today's backup folder: what was restored from somewhere else is the operator's own, and what was
///   made before `backup.dir` was changed stays where it is until the operator takes it away,
/// - every one while the live database is known to be damaged: the last good state may be in an old one.
///
/// A backup that claims to come from the future expires with the others once its time comes, and is never taken for the
/// newest while there is one of the past. Nor is one whose file is not in the folder, while there is one in it: what is not there,
/// or is not the node's, must not stand for the newest. A line whose file is gone is among those that are returned, so that it
/// says so from then on.
pub(super) fn expired(
    records: &[Record],
    place: impl Fn(&Record) -> Place,
    keep_days: u32,
    now: Timestamp,
    damage_known: bool,
) -> Vec<&Record> {
    if damage_known {
        return Vec::new();
    }
    let kept = kept(records, &place, now);
    records
        .iter()
        .filter(|record| now.since(record.created_at) > DAY.saturating_mul(keep_days))
        .filter(|record| match record.status {
            Status::Completed => !kept.contains(&Some(record.created_at)),
            Status::Failed => record.kind == Kind::BeforeRestore && record.bytes.is_some(),
            Status::InProgress | Status::Deleted => false,
        })
        .filter(|record| place(record) != Place::Elsewhere)
        .collect()
}

/// When those were begun that stay however old they are. Where the folder has none, that is told by the newest line.
fn kept(
    records: &[Record],
    place: impl Fn(&Record) -> Place,
    now: Timestamp,
) -> [Option<Timestamp>; 2] {
    let there: Vec<&Record> = completed(records)
        .filter(|record| place(record) == Place::Folder)
        .collect();
    let there = || there.iter().copied();
    [
        last_good(there(), now).or_else(|| last_good(records, now)),
        way_back(there(), now).or_else(|| way_back(records, now)),
    ]
}

/// When the backup was begun that must not be lost: the newest completed one that programs of today's schema read.
pub(super) fn last_good<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    now: Timestamp,
) -> Option<Timestamp> {
    let readable = completed(records).filter(|record| record.kind != Kind::BeforeRollback);
    newest(readable, now)
}

fn way_back<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    now: Timestamp,
) -> Option<Timestamp> {
    let before = completed(records).filter(|record| record.kind == Kind::BeforeMigration);
    newest(before, now)
}

fn completed<'a>(
    records: impl IntoIterator<Item = &'a Record>,
) -> impl Iterator<Item = &'a Record> {
    let records = records.into_iter();
    records.filter(|record| record.status == Status::Completed)
}

/// When the newest of these was begun. Those of the future do not count: they are not selected anyway.
fn newest<'a>(records: impl Iterator<Item = &'a Record>, now: Timestamp) -> Option<Timestamp> {
    records
        .map(|record| record.created_at)
        .filter(|moment| *moment <= now)
        .max()
}

/// The lines that may be removed from the history: those of failed and deleted backups, and of completed ones outside of
/// today's backup folder, whose files stay. Of the latter the newest good one's is kept, as that of one in the folder is.
pub(super) fn forgotten(
    records: &[Record],
    place: impl Fn(&Record) -> Place,
    now: Timestamp,
) -> Vec<&Record> {
    let good = last_good(records, now);
    records
        .iter()
        .filter(|record| now.since(record.updated_at) > MEMORY)
        .filter(|record| match record.status {
            Status::Failed | Status::Deleted => true,
            Status::Completed => {
                Some(record.created_at) != good && place(record) == Place::Elsewhere
            }
            Status::InProgress => false,
        })
        .collect()
}

#[cfg(test)]
mod tests;
