//! What the store counts.

use std::sync::atomic::AtomicI64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What the store counts. Cheap to clone: it outlives a database that a restore replaces.
#[derive(Clone, Debug)]
pub struct StoreMetrics {
    pub(super) waiting: Gauge<i64, AtomicI64>,
    pub(super) batch: Histogram,
    pub(super) failures: Counter,
    pub(super) done: Counter,
    /// 1 while nothing is written because a flush failed.
    pub(super) refusing: Gauge<i64, AtomicI64>,
}

impl Default for StoreMetrics {
    fn default() -> Self {
        Self {
            waiting: Gauge::default(),
            batch: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0]),
            failures: Counter::default(),
            done: Counter::default(),
            refusing: Gauge::default(),
        }
    }
}

impl StoreMetrics {
    /// Adds them to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "store_writes_waiting",
            "Writes in the writer's queue",
            self.waiting.clone(),
        );
        registry.register(
            "store_batch_writes",
            "Writes that shared one commit",
            self.batch.clone(),
        );
        registry.register(
            "store_commit_failures",
            "Commits that failed: their writes were undone and not acknowledged",
            self.failures.clone(),
        );
        registry.register(
            "store_writes",
            "Writes that were committed",
            self.done.clone(),
        );
        registry.register(
            "store_writes_refused",
            "Whether writes are refused because the disk did not take a flush",
            self.refusing.clone(),
        );
    }

    /// Writes that were committed until now.
    pub fn writes(&self) -> u64 {
        self.done.get()
    }
}
