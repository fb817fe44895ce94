//! What a node does beside answering. A task that fails is logged and tried again; it never takes the node down.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::telemetry::Telemetry;
use crate::crypto::KeyRing;
use crate::shares::{Sessions, reseal_step};
use crate::store::Store;

/// How often expired sessions are forgotten.
const SWEEP: Duration = Duration::from_secs(60);
/// Pause between two steps of the reseal pass: requests go first.
const RESEAL_PAUSE: Duration = Duration::from_millis(20);
/// Pause after a step that failed; doubled each time up to [`RETRY_LONGEST`].
const RETRY_SHORTEST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(300);

/// What the tasks work on.
#[derive(Debug)]
pub(super) struct Background {
    pub(super) store: Arc<Store>,
    pub(super) ring: Arc<KeyRing>,
    pub(super) sessions: Sessions,
    pub(super) telemetry: Option<Telemetry>,
}

impl Background {
    /// Starts the tasks; they end when `stop` is cancelled.
    pub(super) fn start(self, stop: &CancellationToken) -> TaskTracker {
        let tasks = TaskTracker::new();
        let (store, ring) = (self.store, self.ring);
        tasks.spawn(until(
            stop.clone(),
            async move { reseal(&store, &ring).await },
        ));
        let sessions = self.sessions;
        tasks.spawn(until(stop.clone(), async move { sweep(&sessions).await }));
        if let Some(telemetry) = self.telemetry {
            tasks.spawn(until(stop.clone(), async move { telemetry.run().await }));
        }
        tasks.close();
        tasks
    }
}

async fn until(stop: CancellationToken, task: impl Future<Output = ()>) {
    stop.run_until_cancelled(task).await;
}

async fn sweep(sessions: &Sessions) {
    let mut every = tokio::time::interval(SWEEP);
    loop {
        every.tick().await;
        match sessions.sweep().await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "expired sessions were forgotten"),
            Err(error) => tracing::warn!(%error, "expired sessions could not be forgotten"),
        }
    }
}

async fn reseal(store: &Store, ring: &KeyRing) {
    let mut retry = RETRY_SHORTEST;
    let mut total = 0_usize;
    loop {
        match reseal_step(store, ring).await {
            Ok(None) => break,
            Ok(Some(count)) => {
                total = total.saturating_add(count);
                retry = RETRY_SHORTEST;
                tokio::time::sleep(RESEAL_PAUSE).await;
            }
            Err(error) => {
                tracing::warn!(%error, seconds = retry.as_secs(), "resealing shares under the new key paused");
                tokio::time::sleep(retry).await;
                retry = retry.saturating_mul(2).min(RETRY_LONGEST);
            }
        }
    }
    if total > 0 {
        tracing::info!(
            shares = total,
            "all shares are sealed under the newest share key"
        );
    }
}
