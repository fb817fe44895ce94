//! The desk: what an operator can ask of the running node and have done by it, whichever way he comes.
//!
//! The commands (through [`crate::control`]'s socket), the admin page and the backup calls of the API are counters of this one
//! desk: each translates, none has rules of its own. So whatever is done is done, and told, the same way, and whoever had
//! it done is known in one place.
//!
//! In reading order: this file does, `answers` and `health` are what is told, `replica` and `audit` the same of the replica
//! and of the audit log; `history` is how the node did until now, from what `traffic` counts; `words` is how numbers are told.

mod answers;
mod audit;
mod certificate;
mod health;
mod history;
mod keys;
mod replica;
mod settings;
mod traffic;
mod users;
mod words;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

pub use answers::{BackupEntry, Counts, NodeStatus, Restored, SharesOf, VerifiedFile};
pub use audit::{AuditHead, AuditItem, AuditStatus, AuditVerified};
pub use certificate::{CertificateStatus, Renewal};
pub use health::{
    BackupHealth, DiskStatus, LastReport, LoggedStatus, Reports, ServiceStatus, TelemetryStatus,
};
use history::{History, Measured};
pub use history::{MEASURE_EVERY, Point, Span};
pub use keys::{KeyEntry, NewKey, ResealingStatus};
pub use replica::{ReplicaCompared, ReplicaState, TableCompared};
pub use settings::{Restart, Setting, SettingChange, Settings};
pub use traffic::{Connection, Totals, Traffic};
pub use users::{SharesOn, UserLookUp, WalletLookUp};
pub use words::{size, span};

use crate::audit::{Action, Actor, AuditError, AuditLog, Entry};
use crate::backup::{BackupError, BackupFile, Backups, Kind, Progress, RestoreRequest, Restorer};
use crate::clock::{SharedClock, Timestamp};
use crate::config::InForce;
use crate::identity::{Identities, IdentityError};
use crate::replica::{Replica, ReplicaError};
use crate::service::notify::Unit;
use crate::service::{logging, process};
use crate::shares::{KeyShares, Sessions, ShareError};
use crate::store::{KeychainError, Store, StoreError, StoreMetrics};
use crate::tls::{Certificates, Reload};

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// A backup, or what has to do with backups.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The replica.
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    /// The keys.
    #[error(transparent)]
    Keys(#[from] KeychainError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Key shares.
    #[error(transparent)]
    Shares(#[from] ShareError),
    /// Providers and users.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// There is no certificate.
    #[error("the API is served without TLS (tls.mode = \"off\"): there is no certificate to renew")]
    NoCertificate,
    /// The node is being stopped.
    #[error("the node is being stopped; ask again once it runs")]
    Stopping,
}

/// What requests work with. It is asked for anew at each request, because a restore replaces what is behind it.
#[derive(Clone, Debug)]
pub struct Handles {
    /// The database.
    pub store: Arc<Store>,
    /// The key shares.
    pub shares: KeyShares,
    /// The backups.
    pub backups: Backups,
    /// The audit log.
    pub audit: AuditLog,
    /// Restores of the running node.
    pub restorer: Restorer,
    /// Commit-reveal sessions, which know the node's ed25519 key.
    pub sessions: Sessions,
}

/// What does not change while the node runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The program's version.
    pub version: &'static str,
    /// The commit it was built from, when that is known.
    pub git_hash: Option<&'static str>,
    /// When it began to serve.
    pub launched: Timestamp,
    /// The same in the clock's monotonic time.
    pub launched_monotonic: Duration,
    /// Where the API is served.
    pub listen: Vec<SocketAddr>,
    /// Where metrics and health are served.
    pub ops_listen: Option<SocketAddr>,
    /// Where plain HTTP is redirected to https.
    pub redirect_listen: Option<SocketAddr>,
    /// Where the admin page is served by itself.
    pub admin_listen: Option<SocketAddr>,
    /// The admin page's address for a browser, when there is a page.
    pub admin_page: Option<String>,
    /// The replica, when there is one.
    pub replica: Option<Replica>,
    /// The certificate in use, when the API is served over TLS.
    pub certificates: Option<Certificates>,
    /// Has it had anew.
    pub reload: Option<Reload>,
    /// The providers that vouch for users.
    pub identities: Arc<Identities>,
    /// The configuration.
    pub in_force: InForce,
    /// The unit as which a service manager runs the node.
    pub unit: Option<Unit>,
    /// Reports to the network's node monitor, when some are configured.
    pub reports: Option<Reports>,
    /// The folders whose file systems are told of, and what they are of.
    pub folders: Vec<(&'static str, PathBuf)>,
    /// Requests and connections.
    pub traffic: Traffic,
    /// Writes.
    pub store_metrics: StoreMetrics,
}

/// Does what is asked. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    facts: Arc<Facts>,
    clock: SharedClock,
    handles: Arc<dyn Fn() -> Handles + Send + Sync>,
    history: Arc<History>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Desk {
    /// A desk that asks `handles` at each request what to work with.
    pub fn new(
        facts: Facts,
        clock: SharedClock,
        handles: impl Fn() -> Handles + Send + Sync + 'static,
    ) -> Self {
        Self {
            facts: Arc::new(facts),
            clock,
            handles: Arc::new(handles),
            history: Arc::default(),
        }
    }

    /// How the node is, on one line.
    pub async fn status_line(&self) -> String {
        self.status().await.line()
    }

    /// How the node is. It never fails: what cannot be read is told as a problem.
    pub async fn status(&self) -> NodeStatus {
        self.status_of(&(self.handles)()).await
    }

    /// The history of backups, newest first: of the last `days`, or all of it.
    ///
    /// # Errors
    /// [`DeskError::Backup`].
    pub async fn backups(&self, days: Option<u32>) -> Result<Vec<BackupEntry>, DeskError> {
        let since = days.map(|days| self.clock.now().minus(whole_days(days)));
        let records = (self.handles)().backups.list(since).await;
        Ok(BackupEntry::all(records.map_err(BackupError::from)?))
    }

    /// When the next backup is made by itself; absent where there are no regular ones.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn next_backup(&self) -> Result<Option<Timestamp>, DeskError> {
        Ok((self.handles)().backups.next_due().await?)
    }

    /// Makes a backup and verifies it.
    ///
    /// # Errors
    /// [`DeskError::Backup`].
    pub async fn create_backup(
        &self,
        actor: &Actor,
        progress: &Progress,
    ) -> Result<BackupEntry, DeskError> {
        tracing::info!(%actor, "a backup was asked for");
        let backups = (self.handles)().backups;
        Ok(backups.create(Kind::Manual, actor, progress).await?.into())
    }

    /// Verifies a backup again: with the encryption secret of `secret_file` where it is another one than today's, opened
    /// with `age_identity` where it is encrypted.
    ///
    /// # Errors
    /// [`DeskError::Backup`].
    pub async fn verify_backup(
        &self,
        actor: &Actor,
        path: &Path,
        secret_file: Option<&Path>,
        age_identity: Option<&Path>,
        progress: &Progress,
    ) -> Result<VerifiedFile, DeskError> {
        tracing::info!(%actor, path = %path.display(), "a backup's verification was asked for");
        let handles = (self.handles)();
        let verified = handles
            .backups
            .verify(actor, path, secret_file, age_identity, progress);
        Ok(verified.await?.into())
    }

    /// Deletes the backups that retention no longer keeps.
    ///
    /// # Errors
    /// [`DeskError::Backup`].
    pub async fn prune_backups(&self, actor: &Actor) -> Result<Vec<BackupEntry>, DeskError> {
        tracing::info!(%actor, "retention was asked for");
        let backups = (self.handles)().backups;
        Ok(BackupEntry::all(backups.prune(actor).await?))
    }

    /// Deletes a backup; never the last good one.
    ///
    /// # Errors
    /// [`DeskError::Backup`].
    pub async fn delete_backup(&self, actor: &Actor, id: Uuid) -> Result<BackupEntry, DeskError> {
        tracing::info!(%actor, %id, "a backup is to be deleted");
        let backups = (self.handles)().backups;
        Ok(backups.delete(actor, id).await?.into())
    }

    /// A backup's file, open to be sent to somebody.
    ///
    /// # Errors
    /// [`DeskError::Backup`].
    pub async fn backup_file(&self, actor: &Actor, id: Uuid) -> Result<BackupFile, DeskError> {
        tracing::info!(%actor, %id, "a backup's file is given away");
        let file = (self.handles)().backups.file(id).await;
        let detail = match &file {
            Ok(file) => file.path.display().to_string(),
            Err(_) => format!("backup {id}"),
        };
        // Before it is given: who goes away in the middle has a part of it.
        self.enter(Entry::ended(actor, Action::BackupDownload, detail, &file))
            .await;
        Ok(file?)
    }

    /// Replaces the node's data by a backup, or tells what that would do.
    ///
    /// # Errors
    /// [`DeskError::Backup`]: the live data is untouched then.
    pub async fn restore(
        &self,
        actor: &Actor,
        request: RestoreRequest,
        progress: &Progress,
    ) -> Result<Restored, DeskError> {
        let (path, dry_run) = (request.path.display(), request.dry_run);
        tracing::info!(%actor, %path, dry_run, "a restore was asked for");
        let restorer = (self.handles)().restorer;
        Ok(restorer.restore(actor, request, progress).await?.into())
    }

    /// Takes a measurement for the history: to be done every [`MEASURE_EVERY`].
    pub async fn measure(&self) {
        let (facts, handles) = (&self.facts, (self.handles)());
        let count = handles.shares.count().await.ok();
        let (database_bytes, log_bytes) = handles.store.size();
        let lag = facts.replica.as_ref().map(|replica| replica.status().lag);
        self.history.add(&Measured {
            at: self.clock.now(),
            monotonic: self.clock.monotonic(),
            traffic: facts.traffic.totals(),
            writes: facts.store_metrics.writes(),
            memory_bytes: process::memory(),
            connections: facts.connections(),
            database_bytes,
            log_bytes,
            key_shares: count.map(|counts| counts.iter().map(|count| count.shares).sum()),
            replica_lag_milliseconds: lag.map(milliseconds),
        });
    }

    /// How the node did in a span, oldest first.
    pub fn history(&self, span: Span) -> Vec<Point> {
        self.history.points(span)
    }

    async fn status_of(&self, handles: &Handles) -> NodeStatus {
        let facts = &self.facts;
        let (key_shares, database_error) = match handles.shares.count().await {
            Ok(counts) => (counts.into_iter().map(SharesOf::from).collect(), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let (database_bytes, log_bytes) = handles.store.size();
        let totals = facts.traffic.totals();
        let uptime = self
            .clock
            .monotonic()
            .saturating_sub(facts.launched_monotonic);
        NodeStatus {
            version: facts.version.to_owned(),
            git_hash: facts.git_hash.map(str::to_owned),
            process: std::process::id(),
            service: facts.unit.clone().map(ServiceStatus::from),
            launched: facts.launched.to_string(),
            uptime_seconds: uptime.as_secs(),
            public_key: hex::encode(handles.sessions.public_key()),
            listen: facts.listen.iter().map(ToString::to_string).collect(),
            ops_listen: facts.ops_listen.map(|address| address.to_string()),
            redirect_listen: facts.redirect_listen.map(|address| address.to_string()),
            admin_listen: facts.admin_listen.map(|address| address.to_string()),
            admin_page: facts.admin_page.clone(),
            certificate: self.certificate(),
            key_shares,
            database_error,
            // What fails here is told as the database's error.
            resealing: handles
                .shares
                .resealing()
                .await
                .ok()
                .flatten()
                .map(ResealingStatus::from),
            write_error: handles.store.trouble(),
            database_bytes,
            log_bytes,
            backup: handles.backups.health().into(),
            busy: handles.backups.keeper().is_busy(),
            telemetry: facts.reports.as_ref().map(TelemetryStatus::from),
            disks: DiskStatus::all(&facts.folders),
            logged: logging::counted().into(),
            memory_bytes: process::memory(),
            requests: totals.requests,
            failures: totals.failures,
            connections: facts.connections(),
            replica: facts
                .replica
                .as_ref()
                .map(|replica| replica.status().into()),
            audit: handles.audit.health().into(),
        }
    }
}

impl Facts {
    fn connections(&self) -> u64 {
        u64::try_from(self.traffic.connections.get()).unwrap_or(0)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Days of 24 hours.
pub fn whole_days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 60 * 60)
}
