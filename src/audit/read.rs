//! Entries as they are read: their texts as they stand, whatever program wrote them.

use rusqlite::{Connection, Row, params};

use super::chain::{Fields, NOTHING};
use super::entry::in_words;
use crate::clock::Timestamp;
use crate::crypto::MAC_LENGTH;
use crate::store::{StoreError, has_table};

/// The table of entries.
pub(super) const TABLE: &str = "audit";

const COLUMNS: &str = "seq, at, actor, actor_detail, action, outcome, detail, key_version, mac";

/// An entry that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its number: 1 for the first of all.
    pub seq: i64,
    /// When it happened.
    pub at: Timestamp,
    /// Who, in words.
    pub actor: String,
    /// What: a name of [`super::Action`].
    pub action: String,
    /// How it ended: a name of [`super::Outcome`].
    pub outcome: String,
    /// Of what.
    pub detail: String,
}

/// Which entries are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Those before this number; all when absent.
    pub before: Option<i64>,
    /// Those that happened since.
    pub since: Option<Timestamp>,
    /// Those of this action.
    pub action: Option<String>,
    /// Those whose actor has this text in its words.
    pub actor: Option<String>,
    /// So many at most.
    pub limit: u32,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            before: None,
            since: None,
            action: None,
            actor: None,
            limit: u32::MAX,
        }
    }
}

impl Query {
    /// The entries, newest first. None in a database from before there was a log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn run(&self, connection: &Connection) -> Result<Vec<Written>, StoreError> {
        if !has_table(connection, TABLE)? {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM audit WHERE seq < ?1 AND at >= ?2 AND (?3 IS NULL OR action = ?3) ORDER BY seq DESC"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![
            self.before.unwrap_or(i64::MAX),
            self.since.map_or(i64::MIN, Timestamp::as_millis),
            self.action,
        ])?;
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        while let (true, Some(row)) = (found.len() < limit, rows.next()?) {
            let (seq, fields, _) = read(row)?;
            let actor = in_words(&fields.actor, &fields.actor_detail);
            // It is looked for in the words that people see, which the database does not know.
            if self
                .actor
                .as_ref()
                .is_some_and(|text| !actor.contains(text))
            {
                continue;
            }
            found.push(Written {
                seq,
                at: Timestamp::from_millis(fields.at),
                actor,
                action: fields.action,
                outcome: fields.outcome,
                detail: fields.detail,
            });
        }
        Ok(found)
    }
}

/// All rows, oldest first, given to `each`.
pub(super) fn all(
    connection: &Connection,
    mut each: impl FnMut(i64, &Fields, [u8; MAC_LENGTH]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY seq"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (seq, fields, mac) = read(row)?;
        each(seq, &fields, mac)?;
    }
    Ok(())
}

/// Reads a row as it stands. A version or a MAC that cannot be one is read as one that fits nothing.
fn read(row: &Row<'_>) -> rusqlite::Result<(i64, Fields, [u8; MAC_LENGTH])> {
    let fields = Fields {
        at: row.get(1)?,
        actor: row.get(2)?,
        actor_detail: row.get(3)?,
        action: row.get(4)?,
        outcome: row.get(5)?,
        detail: row.get(6)?,
        key_version: row.get::<_, i64>(7)?.try_into().unwrap_or(0),
    };
    let mac: Vec<u8> = row.get(8)?;
    Ok((row.get(0)?, fields, mac.try_into().unwrap_or(NOTHING)))
}
