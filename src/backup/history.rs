//! The table `backup`: what was made, how it ended, and what became of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::{Kind, Record, Status, Summary};
use crate::clock::Timestamp;
use crate::store::{StoreError, has_table};

/// The table of this room.
pub const BACKUP_TABLE: &str = include_str!("schema/backup.sql");

const COLUMNS: &str = "backup_id, kind, status, path, bytes, duration_ms, error, digest, encrypted, users, shares, \
                       newest, verified_at, hook_error, created_at, updated_at";

/// The history in one database.
#[derive(Clone, Copy, Debug)]
pub(super) struct History<'a>(pub(super) &'a Connection);

impl History<'_> {
    /// Writes a record, over an older state of it.
    pub(super) fn put(self, record: &Record) -> Result<(), StoreError> {
        let summary = record.summary;
        self.0
            .prepare_cached(&format!(
                "INSERT INTO backup ({COLUMNS})
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
                 ON CONFLICT (backup_id) DO UPDATE SET status = excluded.status, path = excluded.path,
                     bytes = excluded.bytes, duration_ms = excluded.duration_ms, error = excluded.error,
                     digest = excluded.digest, encrypted = excluded.encrypted, users = excluded.users,
                     shares = excluded.shares, newest = excluded.newest, verified_at = excluded.verified_at,
                     hook_error = excluded.hook_error, updated_at = excluded.updated_at"
            ))?
            .execute(params![
                record.backup_id.as_bytes(),
                record.kind.as_str(),
                record.status.as_str(),
                record.path.to_string_lossy(),
                record.bytes,
                record.duration.map(milliseconds),
                record.error,
                record.digest,
                record.encrypted,
                summary.map(|summary| summary.users),
                summary.map(|summary| summary.shares),
                summary.and_then(|summary| summary.newest).map(Timestamp::as_millis),
                record.verified_at.map(Timestamp::as_millis),
                record.hook_error,
                record.created_at.as_millis(),
                record.updated_at.as_millis(),
            ])?;
        Ok(())
    }

    /// Records begun at `since` or later, newest first.
    pub(super) fn since(self, since: Option<Timestamp>) -> Result<Vec<Record>, StoreError> {
        let since = since.map_or(i64::MIN, Timestamp::as_millis);
        self.select(
            "WHERE created_at >= ?1 ORDER BY created_at DESC, id DESC",
            [since],
        )
    }

    /// What a process that was killed left behind as being made.
    pub(super) fn unfinished(self) -> Result<Vec<Record>, StoreError> {
        self.select("WHERE status = 'IN_PROGRESS' ORDER BY id", [])
    }

    /// The record of a file.
    pub(super) fn of_file(self, path: &Path) -> Result<Option<Record>, StoreError> {
        let found = self.select(
            "WHERE path = ?1 AND status = 'COMPLETED' ORDER BY id DESC LIMIT 1",
            [path.to_string_lossy()],
        )?;
        Ok(found.into_iter().next())
    }

    /// Notes what went wrong with the hook of a backup.
    pub(super) fn set_hook_error(self, backup_id: Uuid, error: &str) -> Result<(), StoreError> {
        self.0.execute(
            "UPDATE backup SET hook_error = ?2 WHERE backup_id = ?1",
            params![backup_id.as_bytes(), error],
        )?;
        Ok(())
    }

    /// Forgets a record.
    pub(super) fn remove(self, backup_id: Uuid) -> Result<(), StoreError> {
        self.0.execute(
            "DELETE FROM backup WHERE backup_id = ?1",
            [backup_id.as_bytes()],
        )?;
        Ok(())
    }

    /// Takes over another history in place of its own.
    pub(super) fn replace(self, records: &[Record]) -> Result<(), StoreError> {
        self.0.execute("DELETE FROM backup", [])?;
        // Oldest first, as they were written.
        records.iter().rev().try_for_each(|record| self.put(record))
    }

    /// Whether the database has the table: one of an older schema does not.
    pub(super) fn exists(self) -> Result<bool, StoreError> {
        has_table(self.0, "backup")
    }

    fn select(self, rest: &str, values: impl rusqlite::Params) -> Result<Vec<Record>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached(&format!("SELECT {COLUMNS} FROM backup {rest}"))?;
        let mut rows = statement.query(values)?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(record(row)?);
        }
        Ok(records)
    }
}

fn record(row: &Row<'_>) -> Result<Record, StoreError> {
    let unknown =
        |what: &str, name: &str| StoreError::Damaged(format!("a backup of the {what} '{name}'"));
    let (kind, status): (String, String) = (row.get(1)?, row.get(2)?);
    let (users, shares): (Option<u64>, Option<u64>) = (row.get(9)?, row.get(10)?);
    let time = |index| -> Result<Option<Timestamp>, StoreError> {
        Ok(row
            .get::<_, Option<i64>>(index)?
            .map(Timestamp::from_millis))
    };
    let newest = time(11)?;
    Ok(Record {
        backup_id: Uuid::from_bytes(row.get(0)?),
        kind: Kind::from_stored(&kind).ok_or_else(|| unknown("kind", &kind))?,
        status: Status::from_stored(&status).ok_or_else(|| unknown("status", &status))?,
        path: PathBuf::from(row.get::<_, String>(3)?),
        bytes: row.get(4)?,
        duration: row.get::<_, Option<u64>>(5)?.map(Duration::from_millis),
        error: row.get(6)?,
        digest: row.get(7)?,
        encrypted: row.get(8)?,
        summary: users.zip(shares).map(|(users, shares)| Summary {
            users,
            shares,
            newest,
        }),
        verified_at: time(12)?,
        hook_error: row.get(13)?,
        created_at: Timestamp::from_millis(row.get(14)?),
        updated_at: Timestamp::from_millis(row.get(15)?),
    })
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(status: Status, second: i64) -> Record {
        Record {
            status,
            bytes: Some(4096),
            duration: Some(Duration::from_millis(1500)),
            digest: Some([7; 32]),
            summary: Some(Summary {
                users: 2,
                shares: 4,
                newest: Some(Timestamp::from_millis(9)),
            }),
            verified_at: Some(Timestamp::from_millis(second * 1000)),
            hook_error: Some("no route".into()),
            ..Record::begin(
                Uuid::from_u128(u128::try_from(second).unwrap()),
                Kind::Manual,
                PathBuf::from(format!("/b/{second}.db")),
                Timestamp::from_millis(second * 1000),
            )
        }
    }

    #[test]
    fn records_come_back_as_they_were_put() {
        let database = Connection::open_in_memory().unwrap();
        database.execute_batch(BACKUP_TABLE).unwrap();
        let history = History(&database);
        assert!(history.exists().unwrap());
        let (old, new) = (sample(Status::Completed, 1), sample(Status::InProgress, 2));
        history.put(&old).unwrap();
        history.put(&new).unwrap();
        assert_eq!(history.since(None).unwrap(), [new.clone(), old.clone()]);
        assert_eq!(history.since(Some(new.created_at)).unwrap().len(), 1);
        assert_eq!(history.unfinished().unwrap(), std::slice::from_ref(&new));
        assert_eq!(history.of_file(&old.path).unwrap(), Some(old.clone()));

        let failed = Record {
            status: Status::Failed,
            error: Some("full".into()),
            ..new
        };
        history.put(&failed).unwrap();
        assert_eq!(history.since(None).unwrap(), [failed.clone(), old.clone()]);
        history.remove(failed.backup_id).unwrap();
        history.replace(&[failed.clone(), old.clone()]).unwrap();
        assert_eq!(history.since(None).unwrap(), [failed, old]);
    }
}
