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
use super::{MIGRATIONS, Opened};
use crate::backup::{
    BackupError, PreparedRestore, Progress, RestoreOrder, RestoreReport, RestoreRequest,
};
use crate::clock::SharedClock;
use crate::http::{Api, Current};
use crate::store::{OpenKeys, Store, StoreError, StoreMetrics};

/// Takes orders for restores, one after the other.
#[derive(Debug)]
pub(super) struct Restores {
    pub(super) orders: mpsc::Receiver<RestoreOrder>,
    pub(super) current: Current,
    pub(super) blueprint: Blueprint,
    pub(super) metrics: StoreMetrics,
    pub(super) clock: SharedClock,
    /// Ends the node: a database that does not open again after a restore leaves it with nothing to serve.
    pub(super) stop: CancellationToken,
    /// Tells how many restores there were.
    pub(super) restored: watch::Sender<u64>,
}

impl Restores {
    pub(super) async fn run(mut self) {
        while let Some(order) = self.orders.recv().await {
            let outcome = self.restore(&order.request, &order.progress).await;
            if let Err(error) = &outcome {
                tracing::error!(%error, path = %order.request.path.display(), "a backup was not restored");
            }
            order.answer(outcome);
        }
    }

    async fn restore(
        &self,
        request: &RestoreRequest,
        progress: &Progress,
    ) -> Result<RestoreReport, BackupError> {
        let api = self.current.get();
        let mut prepared = api.backups.prepare_restore(request, progress).await?;
        if request.dry_run {
            return Ok(prepared.report().clone());
        }
        let paused = api.store.pause_writes().await?;
        prepared.save(Some(&paused), progress).await?;
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
        let store = self.or_end(finished.and_then(|()| self.open(api)))?;
        let (keys, report) = prepared.done()?;
        api.backups.over(store.clone()).begin_anew().await;
        self.hand_out(api, store, keys);
        Ok(report)
    }

    /// The old database, which is still in its place.
    async fn open_again(&self, api: &Arc<Api>) -> Result<(), BackupError> {
        let store = self.or_end(self.open(api))?;
        let keys = self.blueprint.keys(&store).await;
        let keys = keys.inspect_err(|_| self.stop.cancel())?;
        self.hand_out(api, store, keys);
        Ok(())
    }

    fn open(&self, api: &Arc<Api>) -> Result<Arc<Store>, StoreError> {
        let folder = api.store.folder().clone();
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        Ok(Arc::new(Store::open(
            folder,
            MIGRATIONS,
            self.blueprint.store_options(),
            metrics,
            clock,
        )?))
    }

    fn hand_out(&self, api: &Arc<Api>, store: Arc<Store>, keys: OpenKeys) {
        let opened = Opened {
            backups: api.backups.over(store.clone()),
            store,
            keys,
        };
        self.current.replace(self.blueprint.api(opened));
        self.restored
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    fn or_end<T>(&self, opened: Result<T, StoreError>) -> Result<T, BackupError> {
        opened.map_err(|error| {
            tracing::error!(%error, "the database does not open after a restore; the node stops, and its next start tries again");
            self.stop.cancel();
            error.into()
        })
    }
}
