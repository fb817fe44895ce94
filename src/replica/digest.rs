//! Comparing both sides, row for row, without shipping the rows.
//!
//! Each side counts the rows of each table and adds up a hash of every row, which needs no order. Both look at one moment:
//! the export from which the last batch came, and a transaction on the other side that begins before the next one.
//!
//! A row is hashed as its columns one after the other: 0; 1 and eight bytes; 2 or 3 (text, bytes), four bytes of length
//! and the content. The sum of the hashes' first eight bytes is compared. It finds faults, not forgers: whoever can write to
//! the replica could find rows that add up alike, but none that open.

use rusqlite::types::ValueRef;
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;

use super::rows::select;
use super::{ReplicaError, remote};
use crate::service::postgres::{Session, Target};
use crate::store::{ColumnKind, Export, LoggedTable, StoreError};

/// Rows between two looks whether the database is to be closed.
const LOOK: u64 = 10_000;

/// A table on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDigest {
    /// Its name.
    pub table: &'static str,
    /// Rows in this node's database.
    pub rows: u64,
    /// Rows in the replica.
    pub replica_rows: u64,
    /// Whether their content is the same.
    pub equal: bool,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// The newest change that both sides had.
    pub position: i64,
    /// Every table.
    pub tables: Vec<TableDigest>,
}

impl Comparison {
    /// Whether the replica is what this database is.
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(|table| table.equal)
    }
}

/// Takes the other side's snapshot, which must be at `position`.
pub(super) async fn begin(
    target: &Target,
    tables: &[LoggedTable],
    position: i64,
) -> Result<Session, ReplicaError> {
    let session = target.connect().await?;
    remote::lift_limits(&session).await?;
    // Nothing is shipped meanwhile, so whoever holds a table is not waited for without end.
    let begin = format!(
        "SET lock_timeout = '20s'; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}",
        lock(tables)
    );
    let begun = session.client.batch_execute(&begin).await;
    begun.map_err(|error| session.failed(&error))?;
    let row = session
        .client
        .query_opt("SELECT seq FROM ksnode.position", &[])
        .await;
    let row = row.map_err(|error| session.failed(&error))?;
    if row.map(|row| row.get::<_, i64>(0)) != Some(position) {
        return Err(ReplicaError::Fenced);
    }
    Ok(session)
}

/// Keeps a snapshot that is being put in place out: TRUNCATE is seen by transactions that began before it. It is to come
/// before the first query, which fixes what is seen.
pub(super) fn lock(tables: &[LoggedTable]) -> String {
    let names: Vec<String> = tables
        .iter()
        .map(|table| format!("ksnode.\"{}\"", table.name))
        .collect();
    format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "))
}

/// Compares.
pub(super) async fn compare(
    session: Session,
    export: Export,
    tables: &'static [LoggedTable],
    position: i64,
) -> Result<Comparison, ReplicaError> {
    let ours = spawn_blocking(move || {
        let of = |table| of_export(&export, table);
        tables.iter().map(of).collect::<Result<Vec<_>, _>>()
    });
    let mut theirs = Vec::with_capacity(tables.len());
    for table in tables {
        let row = session.client.query_one(&sql(table), &[]).await;
        let row = row.map_err(|error| session.failed(&error))?;
        let (rows, sum): (i64, String) = (row.get(0), row.get(1));
        theirs.push((u64::try_from(rows).unwrap_or(0), sum));
    }
    let ours = ours.await.map_err(|_| ReplicaError::Interrupted)??;
    session.close().await;
    let tables = tables
        .iter()
        .zip(ours)
        .zip(theirs)
        .map(|((table, ours), theirs)| TableDigest {
            table: table.name,
            rows: ours.0,
            replica_rows: theirs.0,
            equal: ours.0 == theirs.0 && ours.1.to_string() == theirs.1,
        })
        .collect();
    Ok(Comparison { position, tables })
}

fn of_export(export: &Export, table: &LoggedTable) -> Result<(u64, i128), StoreError> {
    let mut statement = export.connection().prepare(&select(table))?;
    let mut rows = statement.query([])?;
    let (mut count, mut sum) = (0_u64, 0_i128);
    while let Some(row) = rows.next()? {
        let mut hash = Sha256::new();
        for place in 0..table.columns.len() {
            match row.get_ref(place)? {
                ValueRef::Integer(number) => {
                    hash.update([1]);
                    hash.update(number.to_be_bytes());
                }
                ValueRef::Text(text) => content(&mut hash, 2, text),
                ValueRef::Blob(bytes) => content(&mut hash, 3, bytes),
                ValueRef::Null | ValueRef::Real(_) => hash.update([0]),
            }
        }
        let hash: [u8; 32] = hash.finalize().into();
        let first = hash.first_chunk::<8>().copied().unwrap_or_default();
        sum = sum.saturating_add(i128::from(i64::from_be_bytes(first)));
        count = count.saturating_add(1);
        if count.is_multiple_of(LOOK) && export.closing().is_cancelled() {
            return Err(StoreError::Closed);
        }
    }
    Ok((count, sum))
}

fn content(hash: &mut Sha256, kind: u8, bytes: &[u8]) {
    hash.update([kind]);
    hash.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    hash.update(bytes);
}

fn sql(table: &LoggedTable) -> String {
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    format!(
        "SELECT count(*), coalesce(sum(('x' || encode(substr(sha256({}), 1, 8), 'hex'))::bit(64)::bigint), 0)::text
         FROM ksnode.\"{}\"",
        columns.join(" || "),
        table.name
    )
}

fn column((name, kind): &(&str, ColumnKind)) -> String {
    let bytes = match kind {
        ColumnKind::Integer => format!(r#"'\x01'::bytea || int8send("{name}")"#),
        ColumnKind::Text => {
            let text = format!(r#"convert_to("{name}", 'UTF8')"#);
            format!(r"'\x02'::bytea || int4send(length({text})) || {text}")
        }
        ColumnKind::Blob => {
            format!(r#"'\x03'::bytea || int4send(length("{name}")) || "{name}""#)
        }
    };
    format!(r#"CASE WHEN "{name}" IS NULL THEN '\x00'::bytea ELSE {bytes} END"#)
}
