//! Restoring while the node serves.
//!
//! The database, its keys and everything built on them are one value behind [`Current`]. A request takes it once and
//! works with it to its end. So a restore needs no locks in the way of requests: it refuses further writes, saves and
//! closes the old database, puts the new one in its place and hands out a new value. What a request had sealed for
//! the old database can only be given to the old writer, which refuses it: it is never acknowledged and never lands in
//! the new one, whose keys may be others.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::blueprint::Blueprint;
use super::open::Counted;
use super::{MIGRATIONS, Opened};
use crate::audit::{Action, AuditLog, Entry};
use crate::backup::{BackupError, PreparedRestore, RestoreOrder, RestoreReport};
use crate::clock::SharedClock;
use crate::http::{Api, Current};
use crate::store::{OpenKeys, ReplicaStanding, Store, StoreError};

/// Takes orders for restores, one after the other.
#[derive(Debug)]
pub(super) struct Restores {
    pub(super) orders: mpsc::Receiver<RestoreOrder>,
    pub(super) current: Current,
    pub(super) blueprint: Blueprint,
    pub(super) counted: Counted,
    pub(super) clock: SharedClock,
    /// Ends the node: a database that does not open again after a restore leaves it with nothing to serve.
    pub(super) stop: CancellationToken,
    /// Tells how many restores there were.
    pub(super) restored: watch::Sender<u64>,
}

impl Restores {
    pub(super) async fn run(mut self) {
        while let Some(order) = self.orders.recv().await {
            let outcome = self.restore(&order).await;
            if let Err(error) = &outcome {
                tracing::error!(%error, path = %order.request.path.display(), "a backup was not restored");
            }
            self.enter(&order, &outcome).await;
            let is_over = matches!(outcome, Err(BackupError::NotOpened(_)));
            // Whoever asked is to know how it stands before the node goes.
            order.answer(outcome);
            if is_over {
                self.stop.cancel();
            }
        }
    }

    /// One that was done is in the log already: the database that took the place came with its entry.
    async fn enter(&self, order: &RestoreOrder, outcome: &Result<RestoreReport, BackupError>) {
        let detail = from(order);
        let audit = self.current.get().audit.clone();
        if order.request.dry_run {
            let action = Action::RestoreCheck;
            let entry = Entry::ended(&order.actor, action, detail, outcome);
            audit.record(entry).await;
        } else if outcome.is_err() {
            let entry = Entry::ended(&order.actor, Action::Restore, detail, outcome);
            audit.record(entry).await;
        } else {
            // What happened meanwhile.
            audit.flush().await;
        }
    }

    async fn restore(&self, order: &RestoreOrder) -> Result<RestoreReport, BackupError> {
        let RestoreOrder {
            request,
            actor,
            progress,
            ..
        } = order;
        let api = self.current.get();
        if !request.dry_run {
            // Before: a node that is stopped or killed meanwhile has no outcome to tell of.
            let entry = Entry::begun(actor, Action::Restore, from(order));
            api.audit.record(entry).await;
        }
        let mut prepared = api.backups.prepare_restore(request, progress).await?;
        if request.dry_run {
            return Ok(prepared.report().clone());
        }
        let paused = api.store.pause_writes().await?;
        prepared.save(actor, Some(&paused), progress).await?;
        api.store.close().await;
        match prepared.decide() {
            Ok(()) => self.open_restored(&api, prepared).await,
            Err(error) => {
                self.open_again(&api).await?;
                Err(error.into())
            }
        }
    }

    async fn open_restored(
        &self,
        api: &Arc<Api>,
        prepared: PreparedRestore,
    ) -> Result<RestoreReport, BackupError> {
        let finished = api.store.folder().finish_replacement().map(drop);
        let opened = finished.and_then(|()| self.open(api));
        let store = opened.map_err(|error| not_opened(error.into()))?;
        let (keys, report) = prepared.done()?;
        let opened = self.opened(api, store, keys);
        opened.backups.begin_anew().await;
        self.hand_out(opened);
        Ok(report)
    }

    /// The old database, which is still in its place.
    async fn open_again(&self, api: &Arc<Api>) -> Result<(), BackupError> {
        let store = self.open(api).map_err(|error| not_opened(error.into()))?;
        let keys = self.blueprint.keys(&store).await;
        let keys = keys.map_err(|error| not_opened(error.into()))?;
        self.hand_out(self.opened(api, store, keys));
        Ok(())
    }

    fn open(&self, api: &Arc<Api>) -> Result<Arc<Store>, StoreError> {
        let folder = api.store.folder().clone();
        let (metrics, clock) = (self.counted.store.clone(), self.clock.clone());
        Ok(Arc::new(Store::open(
            folder,
            MIGRATIONS,
            self.blueprint.store_options(),
            metrics,
            clock,
        )?))
    }

    fn opened(&self, api: &Arc<Api>, store: Arc<Store>, keys: OpenKeys) -> Opened {
        let (standing, clock) = (self.counted.audit.clone(), self.clock.clone());
        let audit = AuditLog::new(store.clone(), &keys.ring, standing, clock);
        Opened {
            backups: api.backups.over(store.clone(), audit.clone()),
            store,
            keys,
            audit,
        }
    }

    fn hand_out(&self, opened: Opened) {
        // The follower hears of it later; until then writes wait for the replica as they did before.
        opened.store.replica_stands(ReplicaStanding::Has(0));
        self.current.replace(self.blueprint.api(opened));
        self.restored
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// What an order is about, for the audit log.
fn from(order: &RestoreOrder) -> String {
    format!("from {}", order.request.path.display())
}

fn not_opened(error: BackupError) -> BackupError {
    tracing::error!(%error, "the database does not open after a restore; the node stops, and its next start tries again");
    BackupError::NotOpened(Box::new(error))
}
