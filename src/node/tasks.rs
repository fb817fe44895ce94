//! What a node does beside answering. A task that fails is logged and tried again; it never takes the node down.

use std::pin::Pin;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::NodeError;
use super::blueprint::Blueprint;
use super::open::Counted;
use super::restore::Restores;
use super::schema::replica_options;
use super::telemetry::Telemetry;
use super::watch::Watch;
use crate::audit::Retention;
use crate::backup::{BackupError, RestoreOrder};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::desk::{Desk, MEASURE_EVERY};
use crate::http::Current;
use crate::oko::Reseal;
use crate::replica::{Follower, Replica, ReplicaError};
use crate::tls::{Reload, Supply};

/// How often expired sessions are forgotten.
const SWEEP: Duration = Duration::from_secs(60);
/// How often today's number of shares is noted.
const GROWTH: Duration = Duration::from_secs(60 * 60);
/// Pause between two steps of the reseal pass: requests go first.
const RESEAL_PAUSE: Duration = Duration::from_millis(20);
/// Pause after a step that failed; doubled each time up to [`RETRY_LONGEST`].
const RETRY_SHORTEST: Duration = Duration::from_secs(1);
const RETRY_LONGEST: Duration = Duration::from_secs(300);

/// Pause when something else works on backups.
const BUSY_PAUSE: Duration = Duration::from_secs(5);
/// Pause after a backup that could not even be begun; one that failed is tried again by the schedule.
const FAILURE_PAUSE: Duration = Duration::from_secs(60);

/// How often it is looked whether something waits to be written to the audit log.
const AUDIT_LOOK: Duration = Duration::from_secs(10);
/// Looks between two verifications of it: a day.
const AUDIT_LOOKS: u64 = 24 * 60 * 6;

/// What the tasks work on.
#[derive(Debug)]
pub(super) struct Background {
    pub(super) current: Current,
    pub(super) telemetry: Option<Telemetry>,
    /// How often the live database is checked.
    pub(super) check: Option<Duration>,
    pub(super) orders: mpsc::Receiver<RestoreOrder>,
    pub(super) blueprint: Blueprint,
    pub(super) audit_retention: Retention,
    pub(super) counted: Counted,
    /// The certificate's, and what asks for it to be had anew.
    pub(super) supply: Option<(Supply, Reload)>,
    pub(super) watch: Watch,
    /// The replica's, and what ends it: requests that finish while the node stops wait for it.
    pub(super) follower: Option<(Follower, CancellationToken)>,
    pub(super) clock: SharedClock,
}

impl Background {
    /// To be called before requests are answered: writes wait for the replica from here on, where they are to.
    pub(super) fn prepare(&self) {
        if let Some((follower, _)) = &self.follower {
            follower.prepare();
        }
    }

    /// Starts the tasks; they end when `stop` is cancelled.
    pub(super) fn start(self, stop: &CancellationToken) -> TaskTracker {
        let tasks = TaskTracker::new();
        let start = |task: Task| tasks.spawn(until(stop.clone(), task));
        let current = self.current;
        let (restored, restores) = watch::channel(0);
        start(Box::pin(reseal(current.clone(), restores)));
        start(Box::pin(sweep(current.clone())));
        start(Box::pin(note_growth(current.clone())));
        start(Box::pin(daily_backup(current.clone())));
        start(Box::pin(measure(self.watch.desk.clone())));
        start(Box::pin(keep_audit(current.clone(), self.audit_retention)));
        start(Box::pin(self.watch.run()));
        if let Some(interval) = self.check {
            start(Box::pin(check_database(current.clone(), interval)));
        }
        if let Some(telemetry) = self.telemetry {
            start(Box::pin(async move { telemetry.run().await }));
        }
        if let Some((follower, last)) = self.follower {
            tasks.spawn(follower.run(restored.subscribe(), last));
        }
        if let Some((supply, reload)) = self.supply {
            start(Box::pin(supply.run(reload, restored.subscribe())));
        }
        let restores = Restores {
            orders: self.orders,
            current,
            blueprint: self.blueprint,
            counted: self.counted,
            clock: self.clock,
            stop: stop.clone(),
            restored,
        };
        start(Box::pin(restores.run()));
        tasks.close();
        tasks
    }
}

/// What ships to the replica.
pub(super) fn follower(
    config: &Config,
    current: &Current,
    clock: &SharedClock,
) -> Result<Option<(Follower, Replica)>, NodeError> {
    let Some(replica) = &config.replica else {
        return Ok(None);
    };
    let (options, current) = (replica_options(replica), current.clone());
    let source = move || current.get().store.clone();
    let follower = Follower::new(replica, options, source, clock.clone());
    Ok(Some(follower.map_err(ReplicaError::from)?))
}

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn until(stop: CancellationToken, task: Task) {
    stop.run_until_cancelled(task).await;
}

async fn sweep(current: Current) {
    let mut every = tokio::time::interval(SWEEP);
    loop {
        every.tick().await;
        match current.get().sessions.sweep().await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "expired sessions were forgotten"),
            Err(error) => tracing::warn!(%error, "expired sessions could not be forgotten"),
        }
    }
}

/// Notes how many shares there are, for charts of months.
async fn note_growth(current: Current) {
    let mut every = tokio::time::interval(GROWTH);
    loop {
        every.tick().await;
        if let Err(error) = current.get().shares.note_growth().await {
            tracing::warn!(%error, "today's number of key shares could not be noted");
        }
    }
}

/// Measures the node for its history.
async fn measure(desk: Desk) {
    let mut every = tokio::time::interval(MEASURE_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        desk.measure().await;
    }
}

/// Seals everything under the newest key: again after each rotation, and a restored database may have older ones.
async fn reseal(current: Current, mut restores: watch::Receiver<u64>) {
    loop {
        restores.mark_unchanged();
        reseal_all(&current).await;
        // Those of now: a restore puts others in their place, and ends this wait.
        let shares = current.get().shares.clone();
        tokio::select! {
            changed = restores.changed() => if changed.is_err() {
                return;
            },
            () = shares.rotated() => {}
        }
    }
}

async fn reseal_all(current: &Current) {
    let mut shares = Pace::new();
    while shares.after(current.get().shares.reseal_step().await).await {}
    if shares.total > 0 {
        let shares = shares.total;
        tracing::info!(shares, "all shares are sealed under the newest share key");
    }
    let (mut rows, mut imported) = (Pace::new(), Reseal::default());
    loop {
        let api = current.get();
        let ring = api.shares.keys();
        let outcome = imported.step(&api.store, &ring).await;
        drop((api, ring));
        if !rows.after(outcome).await {
            break;
        }
    }
    if rows.total > 0 {
        let rows = rows.total;
        tracing::info!(
            rows,
            "all that was imported is sealed under the newest share key"
        );
    }
}

/// How fast a pass goes, and how far it came.
struct Pace {
    total: usize,
    retry: Duration,
}

impl Pace {
    fn new() -> Self {
        Self {
            total: 0,
            retry: RETRY_SHORTEST,
        }
    }

    /// Pauses after a step. False: it was the last one.
    async fn after(&mut self, outcome: Result<Option<usize>, impl std::fmt::Display>) -> bool {
        let pause = match outcome {
            Ok(None) => return false,
            Ok(Some(count)) => {
                self.total = self.total.saturating_add(count);
                self.retry = RETRY_SHORTEST;
                RESEAL_PAUSE
            }
            Err(error) => {
                let pause = self.retry;
                tracing::warn!(%error, seconds = pause.as_secs(), "resealing shares under the new key paused");
                self.retry = pause.saturating_mul(2).min(RETRY_LONGEST);
                pause
            }
        };
        tokio::time::sleep(pause).await;
        true
    }
}

/// Makes the backup of each day.
async fn daily_backup(current: Current) {
    loop {
        // A failure is in the log and in the history, and the history decides when the next attempt is due.
        let wait = match current.get().backups.run_due().await {
            Ok(wait) => wait,
            Err(BackupError::Busy) => BUSY_PAUSE,
            Err(_) => FAILURE_PAUSE,
        };
        tokio::time::sleep(wait).await;
    }
}

/// Writes what waits to be written to the audit log; each day forgets what is old, and verifies the rest.
async fn keep_audit(current: Current, retention: Retention) {
    let mut every = tokio::time::interval(AUDIT_LOOK);
    let mut looks = 0_u64;
    loop {
        every.tick().await;
        let audit = current.get().audit.clone();
        audit.flush().await;
        if looks.is_multiple_of(AUDIT_LOOKS) {
            if let Err(error) = audit.prune(retention).await {
                tracing::warn!(%error, "old entries of the audit log could not be forgotten");
            }
            match audit.verify().await {
                Ok(found) if found.is_whole() => {}
                Ok(found) => {
                    let findings = found.findings.len();
                    tracing::error!(
                        findings,
                        "the audit log does not verify; see `ksnode audit verify`"
                    );
                }
                Err(error) => tracing::warn!(%error, "the audit log could not be verified"),
            }
        }
        looks = looks.wrapping_add(1);
    }
}

/// Looks at the pages of the live database now and then: at once, because whoever starts a node after an accident wants
/// to know, and then again and again.
async fn check_database(current: Current, interval: Duration) {
    loop {
        let wait = match current.get().backups.check_database().await {
            Err(BackupError::Busy | BackupError::Stopped) => BUSY_PAUSE.min(interval),
            // Damage is in the log, in the metrics and in the status.
            _ => interval,
        };
        tokio::time::sleep(wait).await;
    }
}
