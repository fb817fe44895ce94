//! The way back: a database file made from the replica.
//!
//! It is a plain file with today's schema and nothing proved about it. Whoever takes it as a node's data treats it as a
//! backup from outside: every row is opened before it counts.

use std::path::{Path, PathBuf};

use futures_util::TryStreamExt;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::decision::Position;
use super::rows::{Value, columns};
use super::{ReplicaError, digest, remote};
use crate::service::postgres::{Session, Target};
use crate::store::{
    APPLICATION_ID, ChangeLog, ColumnKind, LoggedTable, StoreError, migrate, new_private_file,
    open_detached,
};

/// Rows that go together.
const CHUNK: usize = 2_000;

/// What is made from a replica.
#[derive(Clone, Copy, Debug)]
pub struct Rebuild {
    /// All migrations of the database.
    pub migrations: &'static [&'static str],
    /// The tables that a replica has.
    pub tables: &'static [LoggedTable],
    /// SQL that fills what follows from them.
    pub derived: &'static str,
}

/// A database that was made from a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Its file.
    pub path: PathBuf,
    /// The node it belongs to.
    pub node: Uuid,
    /// Rows that were fetched.
    pub rows: u64,
}

struct Piece {
    table: &'static LoggedTable,
    rows: Vec<Vec<Value>>,
}

/// Makes the file `path`, which must not exist, from the replica, as it is at one moment.
///
/// # Errors
/// [`ReplicaError`].
pub async fn rebuild(target: &Target, what: Rebuild, path: &Path) -> Result<Rebuilt, ReplicaError> {
    let session = target.connect().await?;
    remote::check_version(&session).await?;
    remote::lift_limits(&session).await?;
    let sql = "SELECT to_regclass('ksnode.position') IS NULL";
    let row = session.client.query_one(sql, &[]).await;
    if row.map_err(|error| session.failed(&error))?.get(0) {
        return Err(ReplicaError::Nothing);
    }
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {}",
        digest::lock(what.tables)
    );
    let begun = session.client.batch_execute(&begin).await;
    begun.map_err(|error| session.failed(&error))?;
    let position = remote::position(&session).await?;
    let position = position.ok_or(ReplicaError::Nothing)?;
    let node = position.node;
    check_schema(&session, what.migrations.len()).await?;
    let (pieces, incoming) = mpsc::channel(2);
    let file = path.to_owned();
    let writing = spawn_blocking(move || write(&file, what, &position, incoming));
    let fetched = fetch(&session, what.tables, pieces).await;
    // What could not be written matters more than that nobody took what was fetched.
    writing.await.map_err(|_| ReplicaError::Interrupted)??;
    session.close().await;
    Ok(Rebuilt {
        path: path.to_owned(),
        node,
        rows: fetched?,
    })
}

async fn check_schema(session: &Session, known: usize) -> Result<(), ReplicaError> {
    let sql = "SELECT node_schema::int FROM ksnode.position";
    let row = session.client.query_one(sql, &[]).await;
    let found: i32 = row.map_err(|error| session.failed(&error))?.get(0);
    let known = i32::try_from(known).unwrap_or(i32::MAX);
    if found > known {
        return Err(ReplicaError::Newer { found, known });
    }
    Ok(())
}

async fn fetch(
    session: &Session,
    tables: &'static [LoggedTable],
    pieces: mpsc::Sender<Piece>,
) -> Result<u64, ReplicaError> {
    let mut total = 0_u64;
    for table in tables {
        let sql = format!("SELECT {} FROM ksnode.\"{}\"", columns(table), table.name);
        let none: [&(dyn ToSql + Sync); 0] = [];
        let rows = session.client.query_raw(&sql, none).await;
        let rows = rows.map_err(|error| session.failed(&error))?;
        tokio::pin!(rows);
        let mut piece = Vec::with_capacity(CHUNK);
        while let Some(row) = rows
            .try_next()
            .await
            .map_err(|error| session.failed(&error))?
        {
            piece.push(values(&row, table).map_err(|error| session.failed(&error))?);
            if piece.len() == CHUNK {
                let rows = std::mem::replace(&mut piece, Vec::with_capacity(CHUNK));
                send(&pieces, table, rows, &mut total).await?;
            }
        }
        send(&pieces, table, piece, &mut total).await?;
    }
    Ok(total)
}

async fn send(
    pieces: &mpsc::Sender<Piece>,
    table: &'static LoggedTable,
    rows: Vec<Vec<Value>>,
    total: &mut u64,
) -> Result<(), ReplicaError> {
    let count = u64::try_from(rows.len()).unwrap_or(0);
    *total = total.saturating_add(count);
    let sent = pieces.send(Piece { table, rows }).await;
    sent.map_err(|_| ReplicaError::Interrupted)
}

fn values(row: &Row, table: &LoggedTable) -> Result<Vec<Value>, tokio_postgres::Error> {
    table
        .columns
        .iter()
        .enumerate()
        .map(|(place, (_, kind))| {
            Ok(match kind {
                ColumnKind::Integer => row.try_get::<_, Option<i64>>(place)?.map(Value::Integer),
                ColumnKind::Text => row.try_get::<_, Option<String>>(place)?.map(Value::Text),
                ColumnKind::Blob => row.try_get::<_, Option<Vec<u8>>>(place)?.map(Value::Blob),
            }
            .unwrap_or(Value::Null))
        })
        .collect()
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn write(
    path: &Path,
    what: Rebuild,
    position: &Position,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<(), StoreError> {
    drop(new_private_file(path).map_err(|error| StoreError::io(path, error))?);
    let mut connection = open_detached(path)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(&mut connection, what.migrations)?;
    connection.pragma_update(None, "foreign_keys", false)?;
    let transaction = connection.transaction()?;
    while let Some(piece) = pieces.blocking_recv() {
        insert(&transaction, &piece)?;
    }
    transaction.execute_batch(what.derived)?;
    // It has all that the replica has, and says so when it is shipped to the replica as another timeline.
    ChangeLog(&transaction).begin_after(position.seq, position.mark)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}

fn insert(connection: &Connection, piece: &Piece) -> Result<(), StoreError> {
    let table = piece.table;
    let places = vec!["?"; table.columns.len()].join(", ");
    let sql = format!(
        "INSERT INTO \"{}\" ({}) VALUES ({places})",
        table.name,
        columns(table)
    );
    let mut statement = connection.prepare_cached(&sql)?;
    for row in &piece.rows {
        statement.execute(params_from_iter(row))?;
    }
    Ok(())
}
