//! What goes on for ever: connecting again, keeping the log short, taking orders.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::digest::Comparison;
use super::ship::{Asked, Shipper};
use super::standing::{ReplicaMetrics, ReplicaStatus, Standing};
use super::{Phase, ReplicaError, target};
use crate::clock::SharedClock;
use crate::config::{self, ReplicaAck};
use crate::service::postgres::{PostgresError, SslVerification, Target};
use crate::store::{
    ChangeLog, LeftChanges, LogState, LoggedTable, ReplicaStanding, Store, StoreError,
};

/// Pause after a connection that failed; doubled each time up to [`RETRY_LONGEST`], and up to twice as long by chance, so
/// that nodes do not come back all at once.
const RETRY_SHORTEST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(15);
/// How often the log is shortened.
const UPKEEP: Duration = Duration::from_secs(1);
/// How long a node that stops still tries to ship.
const LAST_TRY: Duration = Duration::from_secs(5);

/// What is replicated, and how.
#[derive(Clone, Copy, Debug)]
pub struct ReplicaOptions {
    /// The tables.
    pub tables: &'static [LoggedTable],
    /// The database's schema version.
    pub schema: i64,
    /// Changes that are kept for a replica that is away.
    pub max_log_rows: i64,
    /// Whether writes wait for the replica.
    pub waits: bool,
}

impl ReplicaOptions {
    /// As a configuration has it.
    pub fn new(config: &config::Replica, tables: &'static [LoggedTable], schema: i64) -> Self {
        Self {
            tables,
            schema,
            max_log_rows: config.max_log_rows,
            waits: config.ack == ReplicaAck::Replica,
        }
    }
}

/// What somebody asks of the replica.
#[derive(Debug)]
pub(super) enum Order {
    /// Fill it anew.
    Resync {
        discard: bool,
        reply: oneshot::Sender<Result<(), ReplicaError>>,
    },
    /// Compare it.
    Verify {
        reply: oneshot::Sender<Result<Comparison, ReplicaError>>,
    },
}

/// The replica, for those who ask about it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replica {
    standing: Arc<Standing>,
    orders: mpsc::Sender<Order>,
}

impl Replica {
    /// How it stands.
    pub fn status(&self) -> ReplicaStatus {
        self.standing.status()
    }

    /// What is counted.
    pub fn metrics(&self) -> &ReplicaMetrics {
        &self.standing.metrics
    }

    /// Has it filled anew. With `discard` what it has and this database does not is given up.
    ///
    /// # Errors
    /// [`ReplicaError::Interrupted`] when the node stops.
    pub async fn resync(&self, discard: bool) -> Result<(), ReplicaError> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Resync { discard, reply }, answer).await
    }

    /// Compares every row of both sides, as they are at one moment, while both go on.
    ///
    /// # Errors
    /// [`ReplicaError::NotFollowed`] when there is no connection; what went wrong on the way.
    pub async fn verify(&self) -> Result<Comparison, ReplicaError> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Verify { reply }, answer).await
    }

    async fn order<T>(
        &self,
        order: Order,
        answer: oneshot::Receiver<Result<T, ReplicaError>>,
    ) -> Result<T, ReplicaError> {
        let sent = self.orders.send(order).await;
        sent.map_err(|_| ReplicaError::Interrupted)?;
        answer.await.unwrap_or(Err(ReplicaError::Interrupted))
    }
}

/// Sends changes to the replica.
pub struct Follower {
    options: ReplicaOptions,
    target: Target,
    standing: Arc<Standing>,
    orders: mpsc::Receiver<Order>,
    /// The database in use; a restore replaces it.
    source: Arc<dyn Fn() -> Arc<Store> + Send + Sync>,
    asked: Option<Asked>,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Follower {
    /// A follower of the database that `source` gives, and the handle to it.
    ///
    /// # Errors
    /// [`PostgresError::Address`].
    pub fn new(
        config: &config::Replica,
        options: ReplicaOptions,
        source: impl Fn() -> Arc<Store> + Send + Sync + 'static,
        clock: SharedClock,
    ) -> Result<(Self, Replica), PostgresError> {
        let target = target(config)?.for_writing();
        let place = target.place().to_string();
        let unproven = matches!(
            target.verification(),
            SslVerification::Disable | SslVerification::Require
        );
        if unproven && !target.is_local() {
            tracing::warn!(replica = %place, "the replica's server does not have to prove who it is; sslmode verify-full asks it to");
        }
        let standing = Standing::new(place, ReplicaMetrics::default(), clock);
        let standing = Arc::new(standing);
        let (sender, orders) = mpsc::channel(4);
        let replica = Replica {
            standing: standing.clone(),
            orders: sender,
        };
        let follower = Self {
            options,
            target,
            standing,
            orders,
            source: Arc::new(source),
            asked: None,
        };
        Ok((follower, replica))
    }

    /// Writes wait for the replica from here on, where they are to. To be called before requests are answered.
    pub fn prepare(&self) {
        (self.source)().replica_stands(ReplicaStanding::Has(0));
    }

    /// Follows until `stop`, and then for a moment more. `restored` tells of restores.
    pub async fn run(self, restored: watch::Receiver<u64>, stop: CancellationToken) {
        let (standing, source) = (self.standing.clone(), self.source.clone());
        let max = self.options.max_log_rows;
        let upkeep = async {
            loop {
                tokio::time::sleep(UPKEEP).await;
                let store = source();
                match upkeep(&standing, &store, max).await {
                    // It is being replaced.
                    Ok(()) | Err(StoreError::Closed) => {}
                    Err(error) => tracing::warn!(%error, "the change log could not be shortened"),
                }
            }
        };
        let source = self.source.clone();
        let standing = self.standing.clone();
        tokio::select! {
            () = self.follow(restored, stop) => {}
            () = upkeep => {}
        }
        let store = source();
        if let Err(error) = upkeep_once(&standing, &store).await {
            tracing::debug!(%error, "what the replica has is not noted");
        }
        store.replica_stands(ReplicaStanding::Idle);
    }

    async fn follow(mut self, mut restored: watch::Receiver<u64>, stop: CancellationToken) {
        let mut pauses = Pauses(RETRY_SHORTEST);
        let patience = {
            let stop = stop.clone();
            async move {
                stop.cancelled().await;
                tokio::time::sleep(LAST_TRY).await;
            }
        };
        tokio::pin!(patience);
        loop {
            // During a pause, at the very end of it.
            if restored.has_changed().unwrap_or(false) {
                restored.mark_unchanged();
                self.begin_anew();
            }
            let store = (self.source)();
            let outcome = tokio::select! {
                outcome = self.connection(&store, &stop) => outcome,
                Ok(()) = restored.changed() => {
                    self.begin_anew();
                    continue;
                }
                () = &mut patience => return,
            };
            let Err(error) = outcome else { return };
            if self.standing.reached_of(&store).is_some()
                && self.standing.status().phase == Phase::Following
            {
                pauses = Pauses(RETRY_SHORTEST);
            }
            self.standing.failed(&error);
            store.replica_stands(ReplicaStanding::Away);
            if stop.is_cancelled() {
                return;
            }
            self.pause(pauses.next(), &mut restored, &stop).await;
        }
    }

    /// Another database is in place.
    fn begin_anew(&self) {
        self.standing.forget();
        self.prepare();
    }

    async fn connection(
        &mut self,
        store: &Arc<Store>,
        stop: &CancellationToken,
    ) -> Result<(), ReplicaError> {
        let mut shipper = Shipper {
            options: &self.options,
            target: &self.target,
            standing: &self.standing,
            store,
            asked: &mut self.asked,
            orders: &mut self.orders,
            stop,
        };
        shipper.run().await
    }

    /// Waits; an order to fill the replica ends it.
    async fn pause(
        &mut self,
        time: Duration,
        restored: &mut watch::Receiver<u64>,
        stop: &CancellationToken,
    ) {
        let pause = tokio::time::sleep(time);
        tokio::pin!(pause);
        loop {
            let order = tokio::select! {
                () = &mut pause => return,
                () = stop.cancelled() => return,
                Ok(()) = restored.changed() => {
                    self.begin_anew();
                    return;
                }
                Some(order) = self.orders.recv() => order,
            };
            match order {
                Order::Resync { discard, reply } => {
                    self.asked = Some(Asked { discard });
                    let _ = reply.send(Ok(()));
                    return;
                }
                Order::Verify { reply } => {
                    let why = self.standing.status().error.unwrap_or_default();
                    let _ = reply.send(Err(ReplicaError::NotFollowed(why)));
                }
            }
        }
    }
}

/// How long the pauses between connections are: the next one, but for chance.
#[derive(Debug)]
struct Pauses(Duration);

impl Pauses {
    fn next(&mut self) -> Duration {
        let time = self.0;
        self.0 = time.saturating_mul(2).min(RETRY_LONGEST);
        // Without randomness there is no jitter, and nothing worse.
        let random = getrandom::u32().unwrap_or(0);
        time.saturating_add(time.mul_f64(f64::from(random) / f64::from(u32::MAX)))
    }
}

/// Notes what the replica has, and shortens the log.
async fn upkeep(standing: &Standing, store: &Arc<Store>, max: i64) -> Result<(), StoreError> {
    let Some(log) = upkeep_once(standing, store).await? else {
        return Ok(());
    };
    standing.newest(log.newest, log.acknowledged);
    if log.newest.saturating_sub(log.start) > max {
        tracing::warn!(
            changes = log.newest.saturating_sub(log.start),
            "the replica was away for more changes than replica.max_log_rows: it will be filled anew"
        );
        store.write_log(|log| log.cut()).await?;
    }
    // Seen in this timeline, it will not be met in an earlier one again.
    let seen = standing.reached_of(store).is_some();
    let forget =
        move |log: ChangeLog<'_>| Ok(log.prune()? || (seen && LeftChanges(log.0).forget()?));
    while store.write_log(forget).await? {}
    Ok(())
}

async fn upkeep_once(
    standing: &Standing,
    store: &Arc<Store>,
) -> Result<Option<LogState>, StoreError> {
    let read = |connection: &rusqlite::Connection| ChangeLog(connection).state();
    let Some(log) = store.read::<_, StoreError>(read).await? else {
        return Ok(None);
    };
    if let Some(reached) = standing.reached_of(store)
        && reached > log.acknowledged
    {
        store.write_log(move |log| log.acknowledge(reached)).await?;
    }
    Ok(Some(log))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_none_is_like_another() {
        let pauses = || {
            let mut pauses = Pauses(RETRY_SHORTEST);
            [(); 12].map(|()| pauses.next())
        };
        let mut least = RETRY_SHORTEST;
        for pause in pauses() {
            assert!(pause >= least && pause <= least * 2, "{pause:?} {least:?}");
            least = (least * 2).min(RETRY_LONGEST);
        }
        assert_eq!(least, RETRY_LONGEST);
        assert_ne!(pauses(), pauses());
    }
}
