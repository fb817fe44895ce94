//! One connection's life: what is found there, then batch after batch.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::decision::{Decision, Local, Position, decide};
use super::digest;
use super::remote::{Reached, Remote};
use super::rows::Feed;
use super::standing::{Phase, Standing};
use super::task::{Order, ReplicaOptions};
use super::{Refusal, ReplicaError};
use crate::service::postgres::Target;
use crate::store::{
    ChangeLog, Export, Keychain, LeftChanges, ReplicaStanding, Store, StoreError, Timelines,
};

/// Pieces that wait between the database and the network.
const AHEAD: usize = 2;
/// How long changes are gathered when nobody waits for them.
const GATHER: Duration = Duration::from_millis(20);
/// How often an idle connection is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two questions to the server.
const LOOKS: u32 = 15;

/// A snapshot that somebody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// What the replica has and this database does not is given up.
    pub(super) discard: bool,
}

/// Follows one database over one connection.
pub(super) struct Shipper<'a> {
    pub(super) options: &'a ReplicaOptions,
    pub(super) target: &'a Target,
    pub(super) standing: &'a Standing,
    pub(super) store: &'a Arc<Store>,
    /// Taken once it is done.
    pub(super) asked: &'a mut Option<Asked>,
    pub(super) orders: &'a mut mpsc::Receiver<Order>,
    pub(super) stop: &'a CancellationToken,
}

impl Shipper<'_> {
    /// Connects and ships until `stop`; it ends with what was committed by then shipped.
    pub(super) async fn run(&mut self) -> Result<(), ReplicaError> {
        let mut newest = self.store.newest_change().ok_or(ReplicaError::Off)?;
        let mut remote = Remote::connect(self.target, self.options.tables).await?;
        let mut position = self.begin(&mut remote).await?;
        self.followed(position);
        let mut looks = 0_u32;
        loop {
            // First, or a node under load would never come to it.
            if let Ok(order) = self.orders.try_recv() {
                position = self.ordered(&mut remote, position, order).await?;
                self.followed(position);
            }
            if *newest.borrow_and_update() > position {
                self.gather().await;
                position = self.batch(&mut remote, position).await?;
                self.followed(position);
                continue;
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                // The database is closed for a restore when this fails.
                changed = newest.changed() => changed.map_err(|_| StoreError::Closed)?,
                Some(order) = self.orders.recv() => {
                    position = self.ordered(&mut remote, position, order).await?;
                    self.followed(position);
                }
                () = tokio::time::sleep(LOOK) => {
                    looks = looks.wrapping_add(1);
                    if remote.is_closed() || looks.is_multiple_of(LOOKS) {
                        remote.ping().await?;
                    }
                }
            }
        }
    }

    fn followed(&self, position: i64) {
        self.standing.reached(self.store, position);
        self.standing.phase(Phase::Following);
        self.store.replica_stands(ReplicaStanding::Has(position));
    }

    /// Lets more changes come before they are shipped, when nobody waits for them.
    async fn gather(&self) {
        if !self.options.waits {
            let pause = tokio::time::sleep(GATHER);
            self.stop.run_until_cancelled(pause).await;
        }
    }

    /// Looks at what is there and makes it something that can be followed. Returns the position.
    async fn begin(&mut self, remote: &mut Remote) -> Result<i64, ReplicaError> {
        let found = remote.position().await?;
        let export = self.store.export().await?;
        let local = local(&export, found.as_ref())?;
        drop(export);
        let decision = match decide(&local, found.as_ref()) {
            Decision::Refuse(Refusal::Ahead { what })
                if self.asked.is_some_and(|asked| asked.discard) =>
            {
                tracing::warn!(
                    what,
                    "changes that only the replica had are given up, as was asked for"
                );
                Decision::Snapshot("it was asked for")
            }
            Decision::Continue if self.asked.is_some() => Decision::Snapshot("it was asked for"),
            decision => decision,
        };
        match (decision, found) {
            (Decision::Refuse(refusal), _) => Err(refusal.into()),
            (Decision::Continue, Some(found)) => {
                remote.fence().await?;
                Ok(found.seq)
            }
            (Decision::Continue, None) => self.snapshot(remote, "it is empty").await,
            (Decision::Snapshot(reason), _) => {
                remote.fence().await?;
                self.snapshot(remote, reason).await
            }
        }
    }

    /// Fills the replica anew.
    async fn snapshot(&mut self, remote: &mut Remote, reason: &str) -> Result<i64, ReplicaError> {
        tracing::info!(reason, replica = %self.standing.place, "the replica is filled anew");
        self.standing.phase(Phase::Filling);
        self.store.replica_stands(ReplicaStanding::Away);
        let export = self.store.export().await?;
        let (_, rows, position) = self.send(remote, export, None).await?;
        self.standing.metrics.snapshots.inc();
        *self.asked = None;
        tracing::info!(rows, position, "the replica is whole");
        Ok(position)
    }

    /// Ships what changed after `position`.
    async fn batch(&mut self, remote: &mut Remote, position: i64) -> Result<i64, ReplicaError> {
        let export = self.store.export().await?;
        if reached(&export, self.options.schema)?.log.start > position {
            drop(export);
            let reason = "more had changed than the log holds";
            return self.snapshot(remote, reason).await;
        }
        let (_, _, position) = self.send(remote, export, Some(position)).await?;
        Ok(position)
    }

    /// Sends what changed after a position, or everything. Returns the export, the number of rows and the new position.
    async fn send(
        &self,
        remote: &mut Remote,
        export: Export,
        position: Option<i64>,
    ) -> Result<(Export, u64, i64), ReplicaError> {
        let reached = reached(&export, self.options.schema)?;
        let closing = export.closing().clone();
        let (chunks, incoming) = mpsc::channel(AHEAD);
        let feed = Feed {
            export,
            tables: self.options.tables,
            chunks,
        };
        let reading = spawn_blocking(move || match position {
            Some(position) => feed.changes(position),
            None => feed.everything(),
        });
        let mut export = None;
        let fed = async {
            export = Some(reading.await.map_err(|_| ReplicaError::Interrupted)??);
            Ok(())
        };
        let applied = remote.apply(incoming, fed, reached, position.is_none());
        let rows = unless_closing(&closing, applied).await?;
        self.standing.metrics.batches.inc();
        self.standing.metrics.rows.inc_by(rows);
        let export = export.ok_or(ReplicaError::Interrupted)?;
        Ok((export, rows, reached.log.newest))
    }

    async fn ordered(
        &mut self,
        remote: &mut Remote,
        position: i64,
        order: Order,
    ) -> Result<i64, ReplicaError> {
        match order {
            Order::Resync { discard, reply } => {
                *self.asked = Some(Asked { discard });
                let _ = reply.send(Ok(()));
                self.snapshot(remote, "it was asked for").await
            }
            Order::Verify { reply } => {
                let export = self.store.export().await?;
                let whole = reached(&export, self.options.schema)?.log.start <= position;
                let from = whole.then_some(position);
                let (export, _, position) = self.send(remote, export, from).await?;
                // Nothing is shipped before the other side's snapshot is taken too.
                let begun = digest::begin(self.target, self.options.tables, position);
                match unless_closing(&export.closing().clone(), begun).await {
                    Ok(session) => {
                        let tables = self.options.tables;
                        tokio::spawn(async move {
                            let compared = digest::compare(session, export, tables, position);
                            let _ = reply.send(compared.await);
                        });
                    }
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                }
                Ok(position)
            }
        }
    }
}

/// What `work` comes to, unless the database is to be closed before: a restore, which waits for that, must not wait for a Postgres
/// that hangs.
async fn unless_closing<T>(
    closing: &CancellationToken,
    work: impl Future<Output = Result<T, ReplicaError>>,
) -> Result<T, ReplicaError> {
    let done = closing.run_until_cancelled(work).await;
    done.unwrap_or_else(|| Err(StoreError::Closed.into()))
}

/// What the database says of itself.
fn local(export: &Export, position: Option<&Position>) -> Result<Local, ReplicaError> {
    let connection = export.connection();
    let log = ChangeLog(connection);
    let (mark, left) = match position {
        Some(position) => (
            log.mark(position.seq)?,
            LeftChanges(connection).kept(position.timeline, position.seq)?,
        ),
        None => (None, None),
    };
    Ok(Local {
        node: node(export)?,
        timelines: Timelines(connection).all()?,
        log: log.state()?.ok_or(ReplicaError::Off)?,
        mark,
        left,
    })
}

/// Where the export is.
fn reached(export: &Export, schema: i64) -> Result<Reached, ReplicaError> {
    let connection = export.connection();
    let timeline = Timelines(connection).current()?;
    Ok(Reached {
        node: node(export)?,
        timeline: timeline.ok_or(ReplicaError::Off)?.id,
        log: ChangeLog(connection).state()?.ok_or(ReplicaError::Off)?,
        schema,
    })
}

fn node(export: &Export) -> Result<uuid::Uuid, ReplicaError> {
    let node = Keychain(export.connection()).node_id()?;
    node.ok_or(ReplicaError::Off)
}
