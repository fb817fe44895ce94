//! Rows on their way into Postgres: changed ones by arrays, all of them by COPY.

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Statement, Transaction};

use super::ReplicaError;
use super::remote::PATIENCE;
use super::rows::{Chunk, Value, columns, type_of};
use crate::store::LoggedTable;

/// The statements of one table.
#[derive(Clone, Debug)]
pub(super) struct Upsert {
    put: Statement,
    remove: Option<Statement>,
}

/// Why a step failed.
pub(super) enum Failure {
    Postgres(tokio_postgres::Error),
    Hangs,
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

/// What a failure is to the caller.
pub(super) fn wrap(
    failure: Failure,
    failed: impl Fn(&tokio_postgres::Error) -> ReplicaError,
) -> ReplicaError {
    match failure {
        Failure::Postgres(error) => failed(&error),
        Failure::Hangs => ReplicaError::Hangs,
    }
}

/// Waits for one step of several.
async fn step<T>(
    step: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Failure> {
    match timeout(PATIENCE, step).await {
        Ok(outcome) => Ok(outcome?),
        Err(_) => Err(Failure::Hangs),
    }
}

/// Prepares the statements of a table.
pub(super) async fn prepare(
    client: &tokio_postgres::Client,
    table: &LoggedTable,
) -> Result<Upsert, tokio_postgres::Error> {
    let (name, all) = (table.name, columns(table));
    let unnest: Vec<String> = (1..)
        .zip(table.columns)
        .map(|(place, (_, kind))| format!("${place}::{}[]", type_of(*kind).name()))
        .collect();
    let insert = format!(
        "INSERT INTO ksnode.\"{name}\" ({all}) SELECT * FROM unnest({})",
        unnest.join(", ")
    );
    if table.whole {
        return Ok(Upsert {
            put: client.prepare(&insert).await?,
            remove: None,
        });
    }
    let key = table.columns.first().map_or("id", |(name, _)| name);
    let set: Vec<String> = table
        .columns
        .iter()
        .skip(1)
        .map(|(name, _)| format!("\"{name}\" = excluded.\"{name}\""))
        .collect();
    let upsert = format!(
        "{insert} ON CONFLICT (\"{key}\") DO UPDATE SET {}",
        set.join(", ")
    );
    let remove = format!("DELETE FROM ksnode.\"{name}\" WHERE \"{key}\" = ANY($1)");
    Ok(Upsert {
        put: client.prepare(&upsert).await?,
        remove: Some(client.prepare(&remove).await?),
    })
}

/// Applies changed rows.
pub(super) async fn put(
    transaction: &Transaction<'_>,
    tables: &[LoggedTable],
    statements: &[Option<Upsert>],
    mut chunks: mpsc::Receiver<Chunk>,
) -> Result<u64, Failure> {
    let mut rows = 0_u64;
    while let Some(chunk) = chunks.recv().await {
        let (Some(table), Some(Some(statement))) =
            (tables.get(chunk.table), statements.get(chunk.table))
        else {
            continue;
        };
        if chunk.whole {
            let sql = format!("DELETE FROM ksnode.\"{}\"", table.name);
            step(transaction.execute(&sql, &[])).await?;
        }
        if let (Some(remove), false) = (&statement.remove, chunk.gone.is_empty()) {
            step(transaction.execute(remove, &[&chunk.gone])).await?;
        }
        if !chunk.rows.is_empty() {
            let arrays = arrays(&chunk.rows, table.columns.len());
            step(transaction.execute(&statement.put, &parameters(&arrays))).await?;
        }
        let changed = chunk.rows.len().saturating_add(chunk.gone.len());
        rows = rows.saturating_add(u64::try_from(changed).unwrap_or(0));
    }
    Ok(rows)
}

/// Columns of rows.
fn arrays(rows: &[Vec<Value>], columns: usize) -> Vec<Vec<&Value>> {
    let column = |place| rows.iter().filter_map(|row| row.get(place)).collect();
    (0..columns).map(column).collect()
}

/// Replaces all rows of all tables.
pub(super) async fn copy(
    transaction: &Transaction<'_>,
    tables: &[LoggedTable],
    mut chunks: mpsc::Receiver<Chunk>,
) -> Result<u64, Failure> {
    let names: Vec<String> = tables
        .iter()
        .map(|table| format!("ksnode.\"{}\"", table.name))
        .collect();
    let truncate = format!("TRUNCATE {}", names.join(", "));
    step(transaction.execute(&truncate, &[])).await?;
    let (mut rows, mut next) = (0_u64, chunks.recv().await);
    while let Some(first) = next {
        let Some(table) = tables.get(first.table) else {
            next = chunks.recv().await;
            continue;
        };
        let (copied, other) = copy_table(transaction, table, first, &mut chunks).await?;
        rows = rows.saturating_add(copied);
        next = other;
    }
    Ok(rows)
}

/// Sends the rows of one table. Returns their number and the first chunk of the next table.
async fn copy_table(
    transaction: &Transaction<'_>,
    table: &LoggedTable,
    first: Chunk,
    chunks: &mut mpsc::Receiver<Chunk>,
) -> Result<(u64, Option<Chunk>), Failure> {
    let (name, place) = (table.name, first.table);
    let sql = format!(
        "COPY ksnode.\"{name}\" ({}) FROM STDIN BINARY",
        columns(table)
    );
    let types: Vec<Type> = table
        .columns
        .iter()
        .map(|(_, kind)| type_of(*kind))
        .collect();
    let sink = step(transaction.copy_in(&sql)).await?;
    let writer = BinaryCopyInWriter::new(sink, &types);
    tokio::pin!(writer);
    let (mut rows, mut chunk) = (0_u64, Some(first));
    while let Some(current) = chunk.take_if(|chunk| chunk.table == place) {
        for row in &current.rows {
            step(writer.as_mut().write(&parameters(row))).await?;
        }
        rows = rows.saturating_add(u64::try_from(current.rows.len()).unwrap_or(0));
        chunk = chunks.recv().await;
    }
    step(writer.as_mut().finish()).await?;
    Ok((rows, chunk))
}

/// As the driver wants them.
fn parameters<T: ToSql + Sync>(values: &[T]) -> Vec<&(dyn ToSql + Sync)> {
    fn parameter<T: ToSql + Sync>(value: &T) -> &(dyn ToSql + Sync) {
        value
    }
    values.iter().map(parameter).collect()
}
