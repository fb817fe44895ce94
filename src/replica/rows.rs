//! Rows on their way out of SQLite.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BytesMut;
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension, Row, Statement};
use tokio::sync::mpsc;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::ReplicaError;
use crate::store::{ChangeLog, ColumnKind, Export, LoggedTable, StoreError};

/// Changes looked at together, and rows sent together.
const CHUNK: u32 = 2_000;

/// What a column of a row holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
    Blob(Vec<u8>),
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
            Self::Blob(bytes) => bytes.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(kind)
    }

    to_sql_checked!();
}

/// Rows of one table, as they are or gone.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// The table's place in the list.
    pub(super) table: usize,
    /// They take the place of all rows of the table.
    pub(super) whole: bool,
    pub(super) rows: Vec<Vec<Value>>,
    /// Keys of rows that are no more.
    pub(super) gone: Vec<i64>,
}

/// Sends the rows of an export.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) export: Export,
    pub(super) tables: &'static [LoggedTable],
    pub(super) chunks: mpsc::Sender<Chunk>,
}

impl Feed {
    /// Sends every row that changed after `position`, as it is now, and gives the export back.
    pub(super) fn changes(self, position: i64) -> Result<Export, ReplicaError> {
        let log = ChangeLog(self.export.connection());
        let (mut position, mut whole) = (position, BTreeSet::new());
        loop {
            let changes = log.after(position, CHUNK)?;
            let Some(last) = changes.last() else { break };
            position = last.seq;
            let mut rows: BTreeMap<usize, BTreeSet<i64>> = BTreeMap::new();
            for change in changes {
                match (self.place(change.table), change.row) {
                    (Some(table), Some(row)) => {
                        rows.entry(table).or_default().insert(row);
                    }
                    (Some(table), None) => {
                        whole.insert(table);
                    }
                    // The change of nothing that begins a log.
                    (None, _) => {}
                }
            }
            for (table, keys) in rows {
                self.rows(table, keys)?;
            }
        }
        for table in whole {
            self.table(table, true)?;
        }
        Ok(self.export)
    }

    /// Sends every row of every table, and gives the export back.
    pub(super) fn everything(self) -> Result<Export, ReplicaError> {
        for place in 0..self.tables.len() {
            self.table(place, false)?;
        }
        Ok(self.export)
    }

    fn place(&self, number: i64) -> Option<usize> {
        self.tables.iter().position(|table| table.number == number)
    }

    fn rows(&self, place: usize, keys: BTreeSet<i64>) -> Result<(), ReplicaError> {
        let Some(table) = self.tables.get(place) else {
            return Ok(());
        };
        let mut chunk = Chunk {
            table: place,
            ..Chunk::default()
        };
        let key = table.columns.first().map_or("rowid", |(name, _)| name);
        let sql = format!("{} WHERE \"{key}\" = ?1", select(table));
        let mut statement = self.prepare(&sql)?;
        for key in keys {
            let found = statement
                .query_row([key], |row| values(row, table))
                .optional()
                .map_err(StoreError::from)?;
            match found {
                Some(row) => chunk.rows.push(row),
                None => chunk.gone.push(key),
            }
        }
        self.send(chunk)
    }

    fn table(&self, place: usize, whole: bool) -> Result<(), ReplicaError> {
        let Some(table) = self.tables.get(place) else {
            return Ok(());
        };
        let new = || Chunk {
            table: place,
            whole,
            ..Chunk::default()
        };
        let mut statement = self.prepare(&select(table))?;
        let mut rows = statement.query([]).map_err(StoreError::from)?;
        let mut chunk = new();
        while let Some(row) = rows.next().map_err(StoreError::from)? {
            chunk
                .rows
                .push(values(row, table).map_err(StoreError::from)?);
            // A table that is replaced is small and goes in one piece.
            if !whole && u32::try_from(chunk.rows.len()).is_ok_and(|rows| rows >= CHUNK) {
                self.send(std::mem::replace(&mut chunk, new()))?;
            }
        }
        self.send(chunk)
    }

    fn prepare(&self, sql: &str) -> Result<Statement<'_>, ReplicaError> {
        let prepared = self.export.connection().prepare(sql);
        Ok(prepared.map_err(StoreError::from)?)
    }

    fn send(&self, chunk: Chunk) -> Result<(), ReplicaError> {
        if self.export.closing().is_cancelled() {
            return Err(StoreError::Closed.into());
        }
        // Whoever received has failed, and knows why.
        self.chunks
            .blocking_send(chunk)
            .map_err(|_| ReplicaError::Interrupted)
    }
}

/// All columns of a table, for either database.
pub(super) fn columns(table: &LoggedTable) -> String {
    let quoted: Vec<String> = table
        .columns
        .iter()
        .map(|(name, _)| format!("\"{name}\""))
        .collect();
    quoted.join(", ")
}

/// Reads a table of SQLite.
pub(super) fn select(table: &LoggedTable) -> String {
    format!("SELECT {} FROM \"{}\"", columns(table), table.name)
}

/// What a column's values are in Postgres.
pub(super) fn type_of(kind: ColumnKind) -> Type {
    match kind {
        ColumnKind::Integer => Type::INT8,
        ColumnKind::Text => Type::TEXT,
        ColumnKind::Blob => Type::BYTEA,
    }
}

/// A row of SQLite.
pub(super) fn values(row: &Row<'_>, table: &LoggedTable) -> rusqlite::Result<Vec<Value>> {
    (0..table.columns.len())
        .map(|place| {
            Ok(match row.get_ref(place)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Text(_) => Value::Text(row.get(place)?),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                ValueRef::Real(_) => return row.get::<_, i64>(place).map(Value::Integer),
            })
        })
        .collect()
}
