//! The change log: which rows changed, in the transaction that changed them.
//!
//! Temporary triggers on the writer's connection fill it, so no code path can forget a change, and a database without
//! replication pays nothing. It names rows and holds no values: whoever ships a change reads the row as it is by then,
//! in one snapshot with the log's end. So a row that changed often is shipped once, and values are stored once.
//!
//! A log with a hole is worse than none. Whenever the database was open for writing without the triggers, or changes were
//! thrown away because nobody fetched them, `start` moves to the end of the log: a replica that is before it is given a
//! snapshot. What stays are marks, by which a replica's position is recognised as one of this database's history.

use rusqlite::{Connection, OptionalExtension, params};

use super::{StoreError, has_table};

/// Where the log's state is.
pub(super) const TABLE: &str = "replication";
/// Changes forgotten in one transaction.
const PIECE: i64 = 10_000;
/// Changes around the two ends of a gap whose marks are kept. A replica that was cut off in the middle of a commit may
/// be at any of them.
const KEPT_MARKS: i64 = 1_000;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// A whole number.
    Integer,
    /// A text.
    Text,
    /// Bytes.
    Blob,
}

/// A table whose changes are logged.
#[derive(Clone, Copy, Debug)]
pub struct LoggedTable {
    /// Stands for the table in the log, for ever. Never 0.
    pub number: i64,
    /// Its name.
    pub name: &'static str,
    /// All its columns. The first is the integer primary key, unless `whole`.
    pub columns: &'static [(&'static str, ColumnKind)],
    /// A small table: a change of any row ships all of them.
    pub whole: bool,
}

/// Tells a change from another with the same number in another history.
pub type Mark = [u8; 8];

/// Where the log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// The log is whole after this change.
    pub start: i64,
    /// The newest change.
    pub newest: i64,
    /// Its mark.
    pub mark: Mark,
    /// A change that the replica is known to have, with all before; 0 when it is not known to have any.
    pub acknowledged: i64,
}

/// One change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub seq: i64,
    /// [`LoggedTable::number`].
    pub table: i64,
    /// The row's key; absent where the whole table is shipped.
    pub row: Option<i64>,
}

/// The change log of one database.
#[derive(Clone, Copy, Debug)]
pub struct ChangeLog<'a>(pub &'a Connection);

impl ChangeLog<'_> {
    /// Where it stands. `None`: replication was never on.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn state(self) -> Result<Option<LogState>, StoreError> {
        let sql = "SELECT start, acknowledged, seq, mark FROM replication, change ORDER BY seq DESC LIMIT 1";
        let mut statement = self.0.prepare_cached(sql)?;
        let found = statement.query_row([], |row| {
            Ok(LogState {
                start: row.get(0)?,
                acknowledged: row.get(1)?,
                newest: row.get(2)?,
                mark: row.get(3)?,
            })
        });
        Ok(found.optional()?)
    }

    /// The newest change. `None`: replication was never on, or the schema is from before it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn newest(self) -> Result<Option<i64>, StoreError> {
        if !has_table(self.0, TABLE)? {
            return Ok(None);
        }
        Ok(self.state()?.map(|state| state.newest))
    }

    /// Begins the log of a database that was made from a replica, after the newest change that the replica has. It is off
    /// until the database is opened with replication.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn begin_after(self, seq: i64, mark: Mark) -> Result<(), StoreError> {
        let sql = "INSERT INTO change (seq, tbl, mark) VALUES (?1, 0, ?2)";
        self.0.execute(sql, params![seq, mark])?;
        let sql = "INSERT INTO replication (id, active, start, acknowledged) VALUES (1, 0, ?1, ?1)";
        self.0.execute(sql, [seq])?;
        Ok(())
    }

    /// The mark of a change, as long as it is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn mark(self, seq: i64) -> Result<Option<Mark>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT mark FROM change WHERE seq = ?1")?;
        Ok(statement.query_row([seq], |row| row.get(0)).optional()?)
    }

    /// All marks that are kept. None: replication was never on, or the schema is from before it.
    pub(super) fn marks(self) -> Result<Vec<(i64, Mark)>, StoreError> {
        if !has_table(self.0, TABLE)? {
            return Ok(Vec::new());
        }
        let mut statement = self.0.prepare_cached("SELECT seq, mark FROM change")?;
        let marks = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(marks.collect::<Result<_, _>>()?)
    }

    /// At most `limit` changes after `after`, in their order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn after(self, after: i64, limit: u32) -> Result<Vec<Change>, StoreError> {
        let sql = "SELECT seq, tbl, row FROM change WHERE seq > ?1 ORDER BY seq LIMIT ?2";
        let mut statement = self.0.prepare_cached(sql)?;
        let rows = statement.query_map(params![after, limit], |row| {
            Ok(Change {
                seq: row.get(0)?,
                table: row.get(1)?,
                row: row.get(2)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Notes that the replica has everything until `seq`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn acknowledge(self, seq: i64) -> Result<(), StoreError> {
        // A number that this log never gave would end it for ever.
        let sql = "UPDATE replication SET acknowledged = ?1, start = max(start, ?1)
            WHERE ?1 <= (SELECT max(seq) FROM change)";
        self.0.prepare_cached(sql)?.execute([seq])?;
        Ok(())
    }

    /// Ends the log here, so that what was not fetched can be forgotten.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn cut(self) -> Result<(), StoreError> {
        let sql = "UPDATE replication SET start = (SELECT max(seq) FROM change)";
        self.0.execute(sql, [])?;
        Ok(())
    }

    /// Forgets a piece of what nobody needs any more. True: there is more of it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn prune(self) -> Result<bool, StoreError> {
        let sql = "DELETE FROM change WHERE seq IN (
                SELECT change.seq FROM change, replication
                WHERE change.seq < acknowledged
                    OR (change.seq > acknowledged + ?2 AND change.seq < start - ?2)
                LIMIT ?1)";
        let forgotten = self
            .0
            .prepare_cached(sql)?
            .execute(params![PIECE, KEPT_MARKS])?;
        Ok(i64::try_from(forgotten).is_ok_and(|forgotten| forgotten == PIECE))
    }
}

/// Turns the log of a database on or off, on the connection that writes.
pub(super) fn prepare(
    connection: &mut Connection,
    tables: Option<&[LoggedTable]>,
) -> Result<(), StoreError> {
    let transaction = connection.transaction()?;
    let known = has_table(&transaction, TABLE)?;
    match tables {
        Some(_) if begin(&transaction)? => {
            tracing::info!("changes are logged for the replica from now on");
        }
        None if known && end(&transaction)? => {
            tracing::warn!(
                "replication is off now: if it is turned on again, the replica is filled anew"
            );
        }
        _ => {}
    }
    transaction.commit()?;
    if let Some(tables) = tables {
        // Rows that REPLACE takes away are deletions then.
        connection.pragma_update(None, "recursive_triggers", true)?;
        connection.execute_batch(&triggers(tables))?;
    }
    Ok(())
}

/// Whether the log was off until now.
fn begin(connection: &Connection) -> Result<bool, StoreError> {
    let active: Option<bool> = connection
        .query_row("SELECT active FROM replication", [], |row| row.get(0))
        .optional()?;
    if active == Some(true) {
        return Ok(false);
    }
    // A change of nothing: from it on the log is whole.
    connection.execute("INSERT INTO change (tbl) VALUES (0)", [])?;
    connection.execute(
        "INSERT INTO replication (id, active, start, acknowledged) VALUES (1, 1, ?1, 0)
         ON CONFLICT (id) DO UPDATE SET active = 1, start = excluded.start",
        [connection.last_insert_rowid()],
    )?;
    Ok(true)
}

/// Whether the log was on until now.
fn end(connection: &Connection) -> Result<bool, StoreError> {
    let sql =
        "UPDATE replication SET active = 0, start = (SELECT max(seq) FROM change) WHERE active = 1";
    Ok(connection.execute(sql, [])? > 0)
}

fn triggers(tables: &[LoggedTable]) -> String {
    tables.iter().map(triggers_of).collect()
}

fn triggers_of(table: &LoggedTable) -> String {
    let LoggedTable { number, name, .. } = table;
    let trigger = |event: &str, when: &str, row: &str| {
        let suffix = event.to_lowercase();
        format!(
            "CREATE TEMP TRIGGER change_{name}_{suffix}{} AFTER {event} ON main.\"{name}\" {when}
             BEGIN INSERT INTO change (tbl, row) VALUES ({number}, {row}); END;\n",
            if when.is_empty() { "" } else { "_moved" }
        )
    };
    if table.whole {
        return ["INSERT", "UPDATE", "DELETE"]
            .map(|event| trigger(event, "", "NULL"))
            .concat();
    }
    let key = table.columns.first().map_or("rowid", |(name, _)| name);
    let (new, old) = (format!("NEW.\"{key}\""), format!("OLD.\"{key}\""));
    [
        trigger("INSERT", "", &new),
        trigger("UPDATE", "", &new),
        trigger("UPDATE", &format!("WHEN {new} <> {old}"), &old),
        trigger("DELETE", "", &old),
    ]
    .concat()
}

#[cfg(test)]
mod tests;
