//! The replica's end of the connection: who may write there, how far it is, and one transaction for each step.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_postgres::Transaction;
use uuid::Uuid;

use super::ReplicaError;
use super::apply::{Upsert, copy, prepare, put, wrap};
use super::decision::Position;
use super::rows::Chunk;
use crate::service::postgres::{PostgresError, Session, Target};
use crate::store::{LogState, LoggedTable};

/// Our migrations there, oldest first; append-only.
const MIGRATIONS: &[&str] = &[include_str!("schema/tables.sql")];
/// The oldest Postgres that is known to do.
const OLDEST_SERVER: i32 = 150_000;
/// "ksnode" in ASCII: the advisory lock of whoever writes.
const LOCK: i64 = 0x6b73_6e6f_6465;
/// How long the server may take for one step. A network that is gone is noticed earlier.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What keeps the server from cancelling what takes long. To fill a table, to compare it and to fetch it is one statement
/// each; cancelled, it would be begun anew for ever. A transaction in which nothing happens still ends, in its time. Servers
/// older than 17 do not know the last of these limits.
const UNLIMITED: &str = "SET statement_timeout = 0;
    SET idle_in_transaction_session_timeout = '5min';
    SELECT set_config('transaction_timeout', '0', false)
        WHERE current_setting('transaction_timeout', true) IS NOT NULL";
const SETTINGS: &str = "SET lock_timeout = '20s';
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') = 'off'";

/// A connection that may write.
#[derive(Debug)]
pub(super) struct Remote {
    session: Session,
    tables: &'static [LoggedTable],
    /// The number of this writer; 0 until there is a position.
    fence: i64,
    statements: Vec<Option<Upsert>>,
}

/// What a step has reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    pub(super) node: Uuid,
    pub(super) timeline: Uuid,
    pub(super) log: LogState,
    pub(super) schema: i64,
}

impl Remote {
    /// Connects, takes the lock, and brings the tables to our newest schema.
    pub(super) async fn connect(
        target: &Target,
        tables: &'static [LoggedTable],
    ) -> Result<Self, ReplicaError> {
        let session = target.connect().await?;
        let mut remote = Self {
            session,
            tables,
            fence: 0,
            statements: vec![None; tables.len()],
        };
        match timeout(PATIENCE, remote.prepare()).await {
            Ok(outcome) => outcome?,
            Err(_) => return Err(ReplicaError::Hangs),
        }
        Ok(remote)
    }

    async fn prepare(&mut self) -> Result<(), ReplicaError> {
        check_version(&self.session).await?;
        lift_limits(&self.session).await?;
        let client = &self.session.client;
        let settings = client.batch_execute(SETTINGS).await;
        settings.map_err(|error| self.session.failed(&error))?;
        let lock = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]);
        let lock = lock.await.map_err(|error| self.session.failed(&error))?;
        if !lock.get::<_, bool>(0) {
            return Err(ReplicaError::Locked);
        }
        let migrated = self.migrate().await;
        migrated.map_err(|error| self.session.failed(&error))?;
        let known = i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX);
        let found = self.schema().await?;
        if found > known {
            return Err(ReplicaError::Newer { found, known });
        }
        Ok(())
    }

    async fn migrate(&mut self) -> Result<(), tokio_postgres::Error> {
        let transaction = self.session.client.transaction().await?;
        // CREATE SCHEMA IF NOT EXISTS asks for the right to create one even where it exists.
        let sql = "SELECT to_regnamespace('ksnode') IS NULL";
        if transaction.query_one(sql, &[]).await?.get::<_, bool>(0) {
            transaction.batch_execute("CREATE SCHEMA ksnode").await?;
        }
        let sql = "CREATE TABLE IF NOT EXISTS ksnode.migration (
                version integer PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())";
        transaction.batch_execute(sql).await?;
        let found = "SELECT coalesce(max(version), 0) FROM ksnode.migration";
        let found: i32 = transaction.query_one(found, &[]).await?.get(0);
        let done = usize::try_from(found).unwrap_or(0);
        for (version, sql) in (1_i32..).zip(MIGRATIONS).skip(done) {
            transaction.batch_execute(sql).await?;
            let sql = "INSERT INTO ksnode.migration (version) VALUES ($1)";
            transaction.execute(sql, &[&version]).await?;
        }
        transaction.commit().await
    }

    async fn schema(&self) -> Result<i32, ReplicaError> {
        let sql = "SELECT coalesce(max(version), 0) FROM ksnode.migration";
        let row = self.session.client.query_one(sql, &[]).await;
        Ok(row.map_err(|error| self.session.failed(&error))?.get(0))
    }

    /// How far the replica is.
    pub(super) async fn position(&self) -> Result<Option<Position>, ReplicaError> {
        let position = position(&self.session);
        timeout(PATIENCE, position)
            .await
            .unwrap_or(Err(ReplicaError::Hangs))
    }

    /// Makes this the one that writes: what an earlier one still has under way will fail.
    pub(super) async fn fence(&mut self) -> Result<(), ReplicaError> {
        let sql = "UPDATE ksnode.position SET fence = fence + 1 RETURNING fence";
        let row = timeout(PATIENCE, self.session.client.query_opt(sql, &[])).await;
        let row = row.map_err(|_| ReplicaError::Hangs)?;
        let row = row.map_err(|error| self.session.failed(&error))?;
        self.fence = row.map_or(0, |row| row.get(0));
        Ok(())
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.session.client.is_closed()
    }

    /// Asks the server for a sign of life.
    pub(super) async fn ping(&self) -> Result<(), ReplicaError> {
        let asked = timeout(PATIENCE, self.session.client.batch_execute("SELECT 1")).await;
        let asked = asked.map_err(|_| ReplicaError::Hangs)?;
        Ok(asked.map_err(|error| self.session.failed(&error))?)
    }

    /// Applies what comes and moves the position, in one transaction. Returns the number of rows.
    pub(super) async fn apply(
        &mut self,
        chunks: mpsc::Receiver<Chunk>,
        feed: impl Future<Output = Result<(), ReplicaError>>,
        reached: Reached,
        everything: bool,
    ) -> Result<u64, ReplicaError> {
        if !everything {
            self.prepare_all().await?;
        }
        let session = &mut self.session;
        let place = session.place().clone();
        let failed = |error: &tokio_postgres::Error| {
            ReplicaError::from(PostgresError::from_driver(&place, error))
        };
        let begun = within(session.client.transaction()).await?;
        let transaction = begun.map_err(|error| failed(&error))?;
        let rows = if everything {
            copy(&transaction, self.tables, chunks).await
        } else {
            put(&transaction, self.tables, &self.statements, chunks).await
        };
        // What was read matters first: when it failed there is nothing to be committed.
        let rows = match (feed.await, rows) {
            (Err(ReplicaError::Interrupted), Err(error)) => return Err(wrap(error, failed)),
            (Err(error), _) => return Err(error),
            (Ok(()), rows) => rows.map_err(|error| wrap(error, failed))?,
        };
        let moved = within(advance(&transaction, reached, self.fence)).await?;
        let Some(fence) = moved.map_err(|error| failed(&error))? else {
            return Err(ReplicaError::Fenced);
        };
        within(transaction.commit())
            .await?
            .map_err(|error| failed(&error))?;
        self.fence = fence;
        Ok(rows)
    }

    /// Prepares the statements of every table once.
    async fn prepare_all(&mut self) -> Result<(), ReplicaError> {
        for (table, known) in self.tables.iter().zip(&mut self.statements) {
            if known.is_none() {
                let prepared = within(prepare(&self.session.client, table)).await?;
                *known = Some(prepared.map_err(|error| self.session.failed(&error))?);
            }
        }
        Ok(())
    }
}

async fn within<T>(step: impl Future<Output = T>) -> Result<T, ReplicaError> {
    timeout(PATIENCE, step)
        .await
        .map_err(|_| ReplicaError::Hangs)
}

/// The server's version, checked.
pub(super) async fn check_version(session: &Session) -> Result<(), ReplicaError> {
    let sql =
        "SELECT current_setting('server_version_num')::int, current_setting('server_version')";
    let row = session.client.query_one(sql, &[]).await;
    let row = row.map_err(|error| session.failed(&error))?;
    if row.get::<_, i32>(0) < OLDEST_SERVER {
        return Err(ReplicaError::OldServer(row.get(1)));
    }
    Ok(())
}

/// Lets the statements of this session take the time that they take, whatever is set for the role, the database or the
/// server. Not to be called within a transaction: it is a query, and the first query of one fixes what is seen.
pub(super) async fn lift_limits(session: &Session) -> Result<(), ReplicaError> {
    let lifted = session.client.batch_execute(UNLIMITED).await;
    Ok(lifted.map_err(|error| session.failed(&error))?)
}

/// The position row.
pub(super) async fn position(session: &Session) -> Result<Option<Position>, ReplicaError> {
    let sql = "SELECT node_id, timeline_id, seq, mark FROM ksnode.position";
    let row = session.client.query_opt(sql, &[]).await;
    let row = row.map_err(|error| session.failed(&error))?;
    row.map(|row| {
        let mark: Vec<u8> = row.get(3);
        Ok(Position {
            node: row.get(0),
            timeline: row.get(1),
            seq: row.get(2),
            mark: mark.try_into().map_err(|_| ReplicaError::Unreadable)?,
        })
    })
    .transpose()
}

/// Moves the position; `None`: another one writes by now.
async fn advance(
    transaction: &Transaction<'_>,
    reached: Reached,
    fence: i64,
) -> Result<Option<i64>, tokio_postgres::Error> {
    let Reached {
        node,
        timeline,
        log,
        schema,
    } = reached;
    let version = env!("CARGO_PKG_VERSION");
    let sql = if fence == 0 {
        "INSERT INTO ksnode.position (node_id, timeline_id, seq, mark, node_schema, version, fence)
         VALUES ($1, $2, $3, $4, $5, $6, $7::bigint + 1) ON CONFLICT (id) DO NOTHING RETURNING fence"
    } else {
        "UPDATE ksnode.position SET node_id = $1, timeline_id = $2, seq = $3, mark = $4, node_schema = $5, version = $6,
         updated_at = now() WHERE fence = $7 RETURNING fence"
    };
    let mark = log.mark.as_slice();
    let row = transaction
        .query_opt(
            sql,
            &[
                &node,
                &timeline,
                &log.newest,
                &mark,
                &schema,
                &version,
                &fence,
            ],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}
