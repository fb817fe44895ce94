//! The suite's live Postgres, in one read-only transaction that sees one state.

use std::io;
use std::sync::Arc;

use futures_util::TryStreamExt;
use tokio_util::io::StreamReader;

use super::{End, OkoError, Rows};
use crate::oko::rows::Kind;
use crate::service::postgres::{Session, Target};

/// What makes the text of values the same wherever the server stands. The transaction is open as long as the shares take
/// to be decrypted: the server's own limits must not end it.
const BEGIN: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0;
    SET client_encoding = 'UTF8'; SET datestyle = 'ISO'; SET timezone = 'UTC'; SET bytea_output = 'hex';
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

#[derive(Debug)]
pub(super) struct Live(Arc<Session>);

/// Puts errors of a stream into words.
pub(super) struct Failed(Arc<Session>);

impl Failed {
    pub(super) fn in_words(&self, error: io::Error) -> OkoError {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        match inner {
            Some(inner) => self.0.failed(inner).into(),
            None => OkoError::io(self.0.place().to_string().as_ref(), error),
        }
    }
}

impl Live {
    pub(super) async fn open(target: &Target) -> Result<Self, OkoError> {
        let live = Self(Arc::new(target.connect().await?));
        live.0
            .client
            .batch_execute(BEGIN)
            .await
            .map_err(|error| live.0.failed(&error))?;
        Ok(live)
    }

    pub(super) fn place(&self) -> String {
        self.0.place().to_string()
    }

    pub(super) async fn has(&self, table: &str) -> Result<bool, OkoError> {
        let name = format!("public.\"{table}\"");
        let row = self
            .0
            .client
            .query_one("SELECT to_regclass($1) IS NOT NULL", &[&name])
            .await;
        row.and_then(|row| row.try_get(0))
            .map_err(|error| self.0.failed(&error).into())
    }

    pub(super) async fn count(&self, table: &str) -> Result<u64, OkoError> {
        let statement = format!("SELECT count(*) FROM public.\"{table}\"");
        let row = self.0.client.query_one(&statement, &[]).await;
        let count: i64 = row
            .and_then(|row| row.try_get(0))
            .map_err(|error| self.0.failed(&error))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(super) async fn rows(&self, kind: Kind, table: &str) -> Result<Rows, OkoError> {
        let failed = |error: tokio_postgres::Error| self.0.failed(&error);
        let there = self
            .0
            .client
            .query(
                "SELECT attname::text FROM pg_attribute
                 WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped",
                &[&format!("public.\"{table}\"")],
            )
            .await
            .map_err(failed)?;
        let mut known = Vec::new();
        for row in &there {
            known.push(row.try_get::<_, String>(0).map_err(failed)?);
        }
        let wanted = kind.columns().iter().copied().chain(["email"]);
        let columns: Vec<String> = wanted
            .filter(|&name| known.iter().any(|known| known == name))
            .map(str::to_owned)
            .collect();
        let list = columns.join(", ");
        let statement = format!("COPY public.\"{table}\" ({list}) TO STDOUT");
        let stream = self.0.client.copy_out(&statement).await.map_err(failed)?;
        Ok(Rows {
            columns,
            lines: Box::pin(StreamReader::new(stream.map_err(io::Error::other))),
            line: Vec::new(),
            end: End::Live(Failed(self.0.clone())),
        })
    }
}
