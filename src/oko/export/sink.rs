//! Where lines go: into a database, in one transaction, or into a file from which psql does the same.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use bytes::Bytes;
use futures_util::SinkExt;
use tempfile::NamedTempFile;
use tokio_postgres::CopyInSink;

use super::Destination;
use crate::oko::OkoError;
use crate::oko::rows::{Generation, Kind};
use crate::service::postgres::Session;
use crate::store::{sync_folder, unnamed_private_file};

/// The suite's tables as its second generation makes them. Where they are already, they stay as they are.
const TABLES: &str = include_str!("../schema/suite.sql");

/// The identity column goes on behind the versions that were written.
const SEQUENCE: &str = "SELECT setval(pg_get_serial_sequence('public.\"2_server_keypairs\"', 'version'), \
    (SELECT max(version) FROM public.\"2_server_keypairs\"))";

/// Bytes that are sent at once.
const BUFFER: usize = 64 << 10;

pub(super) struct Sink {
    way: Way,
    buffer: String,
}

enum Way {
    File {
        path: PathBuf,
        file: NamedTempFile,
    },
    Live {
        session: Session,
        table: Option<Pin<Box<CopyInSink<Bytes>>>>,
    },
}

fn copy(kind: Kind) -> String {
    let table = kind.table(Generation::Second);
    let columns = kind.columns().join(", ");
    format!("COPY public.\"{table}\" ({columns}) FROM STDIN")
}

impl Sink {
    pub(super) async fn open(destination: &Destination) -> Result<Self, OkoError> {
        let mut buffer = String::new();
        let way = match destination {
            Destination::File(path) => {
                buffer.push_str("\\set ON_ERROR_STOP on\nBEGIN;\n");
                buffer.push_str(TABLES);
                open_file(path)?
            }
            Destination::Live(target) => {
                let session = target.clone().for_writing().connect().await?;
                prepare(&session).await?;
                Way::Live {
                    session,
                    table: None,
                }
            }
        };
        Ok(Self { way, buffer })
    }

    pub(super) fn place(&self) -> String {
        match &self.way {
            Way::File { path, .. } => path.display().to_string(),
            Way::Live { session, .. } => session.place().to_string(),
        }
    }

    pub(super) async fn begin(&mut self, kind: Kind) -> Result<(), OkoError> {
        match &mut self.way {
            Way::File { .. } => {
                self.buffer.push_str(&copy(kind));
                self.buffer.push_str(";\n");
            }
            Way::Live { session, table } => {
                let opened = session.client.copy_in(&copy(kind)).await;
                let opened = opened.map_err(|error| session.failed(&error))?;
                *table = Some(Box::pin(opened));
            }
        }
        Ok(())
    }

    pub(super) async fn line(&mut self, line: &str) -> Result<(), OkoError> {
        self.buffer.push_str(line);
        if self.buffer.len() >= BUFFER {
            self.flush().await?;
        }
        Ok(())
    }

    pub(super) async fn end(&mut self) -> Result<(), OkoError> {
        if matches!(self.way, Way::File { .. }) {
            self.buffer.push_str("\\.\n");
        }
        self.flush().await?;
        if let Way::Live { session, table } = &mut self.way
            && let Some(mut table) = table.take()
        {
            let finished = table.as_mut().finish().await;
            finished.map_err(|error| session.failed(&error))?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), OkoError> {
        let text = std::mem::take(&mut self.buffer);
        match &mut self.way {
            Way::File { path, file } => file
                .write_all(text.as_bytes())
                .map_err(|error| OkoError::io(path, error)),
            Way::Live {
                session,
                table: Some(table),
            } if !text.is_empty() => {
                let sent = table.send(Bytes::from(text)).await;
                Ok(sent.map_err(|error| session.failed(&error))?)
            }
            Way::Live { .. } => Ok(()),
        }
    }

    /// Makes it all valid, once `tables` has as many rows as were written.
    pub(super) async fn finish(mut self, tables: &BTreeMap<Kind, u64>) -> Result<(), OkoError> {
        if matches!(self.way, Way::File { .. }) {
            self.buffer.push_str(SEQUENCE);
            self.buffer.push_str(";\nCOMMIT;\n");
            self.flush().await?;
        }
        match self.way {
            Way::File { path, file } => {
                let failed = |error| OkoError::io(&path, error);
                file.as_file().sync_all().map_err(failed)?;
                file.persist_noclobber(&path)
                    .map_err(|error| failed(error.error))?;
                sync_folder(folder(&path)).map_err(failed)
            }
            Way::Live { session, .. } => {
                for (kind, written) in tables {
                    let found = count(&session, *kind).await?;
                    if found != *written {
                        let table = kind.table(Generation::Second);
                        let what = format!("{table} has {found} rows and {written} were written");
                        return Err(OkoError::Check(what));
                    }
                }
                run(&session, SEQUENCE).await?;
                run(&session, "COMMIT").await?;
                session.close().await;
                Ok(())
            }
        }
    }
}

fn folder(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

fn open_file(path: &Path) -> Result<Way, OkoError> {
    // Refused before hours of work; the end refuses again.
    if path.symlink_metadata().is_ok() {
        return Err(OkoError::Exists(path.to_owned()));
    }
    let file = unnamed_private_file(folder(path), b"");
    Ok(Way::File {
        path: path.to_owned(),
        file: file.map_err(|error| OkoError::io(path, error))?,
    })
}

async fn run(session: &Session, statements: &str) -> Result<(), OkoError> {
    let done = session.client.batch_execute(statements).await;
    Ok(done.map_err(|error| session.failed(&error))?)
}

async fn count(session: &Session, kind: Kind) -> Result<u64, OkoError> {
    let table = kind.table(Generation::Second);
    let statement = format!("SELECT count(*) FROM public.\"{table}\"");
    let row = session.client.query_one(&statement, &[]).await;
    let count: i64 = row
        .and_then(|row| row.try_get(0))
        .map_err(|error| session.failed(&error))?;
    Ok(u64::try_from(count).unwrap_or(0))
}

async fn prepare(session: &Session) -> Result<(), OkoError> {
    run(
        session,
        "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET client_encoding = 'UTF8'; BEGIN",
    )
    .await?;
    run(session, TABLES).await?;
    for kind in Kind::ALL {
        if count(session, kind).await? > 0 {
            return Err(OkoError::NotEmpty {
                place: session.place().clone(),
                table: kind.table(Generation::Second),
            });
        }
    }
    Ok(())
}
