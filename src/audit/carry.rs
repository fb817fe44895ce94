//! The log at a restore: it is of the node and not of its data, so it is not taken back with them.

use std::fmt;

use rusqlite::{Connection, OptionalExtension};

use super::AuditError;
use super::chain::{in_savepoint, mac_of};
use super::read::TABLE;
use crate::store::{StoreError, has_table};

/// Whose log a database goes on with that takes another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// With that of the data it replaces.
    Todays,
    /// With its own, which has that of the data it replaces within it.
    OwnIsLonger,
    /// With its own: the data it replaces has none.
    Own,
    /// With a new one: neither of them has any, as when a node is built from its replica.
    New,
    /// With its own: that of the data it replaces cannot be read.
    Unreadable,
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Todays => "this log goes on",
            Self::OwnIsLonger => "the backup's log goes on, which has all of this one",
            Self::Own => "the backup's log goes on, for there was none here",
            Self::New => "a new log begins, for there was none here and none in what was restored",
            Self::Unreadable => {
                "the backup's log goes on, for the one that was here could not be read; its entries are in the backup of \
                 the replaced data, as far as that could be made"
            }
        })
    }
}

/// Gives `to`, which is about to take the place of `from`, the log that is in `from`. The rows go as they are: what was
/// wrong with them is found afterwards as before.
///
/// # Errors
/// [`AuditError`]: one of the two cannot be read or written. The log of `to` is as it was.
pub fn carry(from: &Connection, to: &Connection) -> Result<Carried, AuditError> {
    in_savepoint(to, || carry_all(from, to))
}

fn carry_all(from: &Connection, to: &Connection) -> Result<Carried, AuditError> {
    if !has_table(from, TABLE)? {
        return carry_none(to);
    }
    let newest = from
        .query_row(
            "SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((seq, mac)) = newest else {
        return carry_none(to);
    };
    if mac_of(to, seq)? == Some(mac) {
        return Ok(Carried::OwnIsLonger);
    }
    to.execute_batch("DELETE FROM audit; DELETE FROM audit_head;")?;
    for table in [TABLE, "audit_head"] {
        copy(from, to, table)?;
    }
    Ok(Carried::Todays)
}

/// Leaves `to`, which takes the place of nothing that has a log, what it has.
///
/// # Errors
/// [`AuditError`]: it cannot be read.
pub fn carry_none(to: &Connection) -> Result<Carried, AuditError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM audit)";
    let has_entries: bool = to.query_row(sql, [], |row| row.get(0))?;
    Ok(if has_entries {
        Carried::Own
    } else {
        Carried::New
    })
}

fn copy(from: &Connection, to: &Connection, table: &str) -> Result<(), StoreError> {
    let mut read = from.prepare(&format!("SELECT * FROM {table}"))?;
    let columns = read.column_count();
    let places = vec!["?"; columns].join(", ");
    let mut write = to.prepare(&format!("INSERT INTO {table} VALUES ({places})"))?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let values = (0..columns)
            .map(|place| row.get::<_, rusqlite::types::Value>(place))
            .collect::<Result<Vec<_>, _>>()?;
        write.execute(rusqlite::params_from_iter(values))?;
    }
    Ok(())
}
