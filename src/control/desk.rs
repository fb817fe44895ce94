//! What is done about a request.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::answers::{
    BackupEntry, CertificateStatus, NodeStatus, Restored, SharesOf, VerifiedFile,
};
use super::health::{DiskStatus, Reports, ServiceStatus, TelemetryStatus};
use super::protocol::Request;
use super::replica::{ReplicaCompared, ReplicaState};
use super::server::Answerer;
use crate::backup::{Backups, Kind, Progress, RestoreRequest, Restorer};
use crate::clock::{SharedClock, Timestamp};
use crate::replica::{Replica, ReplicaError};
use crate::service::logging;
use crate::service::notify::Unit;
use crate::shares::KeyShares;
use crate::store::Store;
use crate::tls::Certificates;

/// What requests work with. It is asked for anew at each request, because a restore replaces what is behind it.
#[derive(Clone, Debug)]
pub struct Handles {
    /// The database.
    pub store: Arc<Store>,
    /// The key shares.
    pub shares: KeyShares,
    /// The backups.
    pub backups: Backups,
    /// Restores of the running node.
    pub restorer: Restorer,
    /// The node's ed25519 public key.
    pub public_key: [u8; 32],
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
    /// The replica, when there is one.
    pub replica: Option<Replica>,
    /// The certificate in use, when the API is served over TLS.
    pub certificates: Option<Certificates>,
    /// The unit as which a service manager runs the node.
    pub unit: Option<Unit>,
    /// Reports to the network's node monitor, when some are configured.
    pub reports: Option<Reports>,
    /// The folders whose file systems are told of, and what they are of.
    pub folders: Vec<(&'static str, PathBuf)>,
}

/// Does what is asked. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    facts: Arc<Facts>,
    clock: SharedClock,
    handles: Arc<dyn Fn() -> Handles + Send + Sync>,
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
        }
    }

    /// As the server wants it.
    pub fn answerer(self) -> Answerer {
        Arc::new(move |request, progress| {
            let desk = self.clone();
            Box::pin(async move { desk.answer(request, &progress).await })
        })
    }

    /// How the node is, on one line.
    pub async fn status_line(&self) -> String {
        self.status(&(self.handles)()).await.line()
    }

    async fn answer(&self, request: Request, progress: &Progress) -> Result<Value, String> {
        let handles = (self.handles)();
        let backups = &handles.backups;
        match request {
            Request::Status {} => said(self.status(&handles).await),
            Request::BackupCreate {} => {
                let made = backups.create(Kind::Manual, progress).await;
                said(BackupEntry::from(made.map_err(in_words)?))
            }
            Request::BackupList { days } => {
                let since = days.map(|days| self.clock.now().minus(whole_days(days)));
                let records = backups.list(since).await.map_err(in_words)?;
                said(BackupEntry::all(records))
            }
            Request::BackupVerify {
                path,
                secret_file,
                age_identity,
            } => {
                let verified = backups
                    .verify(
                        &path,
                        secret_file.as_deref(),
                        age_identity.as_deref(),
                        progress,
                    )
                    .await;
                said(VerifiedFile::from(verified.map_err(in_words)?))
            }
            Request::BackupPrune {} => {
                let records = backups.prune().await.map_err(in_words)?;
                said(BackupEntry::all(records))
            }
            Request::ReplicaResync { discard } => {
                let replica = self.replica()?;
                replica.resync(discard).await.map_err(in_words)?;
                said(ReplicaState::from(replica.status()))
            }
            Request::ReplicaVerify {} => {
                let compared = self.replica()?.verify().await;
                said(ReplicaCompared::from(compared.map_err(in_words)?))
            }
            Request::Restore {
                path,
                secret_file,
                age_identity,
                dry_run,
            } => {
                let request = RestoreRequest {
                    path,
                    secret_file,
                    age_identity,
                    dry_run,
                };
                let report = handles.restorer.restore(request, progress).await;
                said(Restored::from(report.map_err(in_words)?))
            }
        }
    }

    fn replica(&self) -> Result<&Replica, String> {
        let replica = self.facts.replica.as_ref();
        replica.ok_or_else(|| ReplicaError::Off.to_string())
    }

    async fn status(&self, handles: &Handles) -> NodeStatus {
        let facts = &self.facts;
        let (key_shares, database_error) = match handles.shares.count().await {
            Ok(counts) => (counts.into_iter().map(SharesOf::from).collect(), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let (database_bytes, log_bytes) = handles.store.size();
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
            public_key: hex::encode(handles.public_key),
            listen: facts.listen.iter().map(ToString::to_string).collect(),
            ops_listen: facts.ops_listen.map(|address| address.to_string()),
            redirect_listen: facts.redirect_listen.map(|address| address.to_string()),
            certificate: facts.certificates.as_ref().map(|certificates| {
                CertificateStatus::new(&certificates.facts(), self.clock.now())
            }),
            key_shares,
            database_error,
            database_bytes,
            log_bytes,
            backup: handles.backups.health().into(),
            busy: handles.backups.keeper().is_busy(),
            telemetry: facts.reports.as_ref().map(TelemetryStatus::from),
            disks: DiskStatus::all(&facts.folders),
            logged: logging::counted().into(),
            replica: facts
                .replica
                .as_ref()
                .map(|replica| replica.status().into()),
        }
    }
}

/// Days of 24 hours.
pub fn whole_days(days: u32) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 60 * 60)
}

fn said(answer: impl Serialize) -> Result<Value, String> {
    serde_json::to_value(answer).map_err(in_words)
}

fn in_words(error: impl fmt::Display) -> String {
    error.to_string()
}
