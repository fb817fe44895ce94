//! A running node: built from a [`Config`], owning its tasks and its end.
//!
//! Everything is opened before anything is served: a node that answers has its database, its keys and its
//! ports. At the end the order is turned round: no new connections, requests under way finish within the deadline,
//! tasks stop, the writer drains, the log is folded in.

mod blueprint;
mod contents;
mod open;
mod ports;
mod restore;
mod rollback;
mod schema;
mod starting;
mod tasks;
mod telemetry;
mod upgrade;
mod watch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::admin::AdminError;
use crate::backup::{BackupError, Restorer};
use crate::clock::SharedClock;
use crate::config::{Config, TlsMode};
use crate::control::{ControlError, ControlServer, Desk, Facts, Handles, Reports, socket_path};
use crate::crypto::CryptoError;
use crate::http::{
    ALPN, Current, Front, FrontOptions, HttpMetrics, Ops, RateLimit, Readiness, Redirect,
};
use crate::identity::IdentityError;
use crate::oko::is_unfinished;
use crate::replica::{Replica, ReplicaError};
use crate::service::notify::{Manager, Unit};
use crate::service::outbound::{Outbound, OutboundError, Timeouts};
use crate::service::sockets::PassedSockets;
use crate::store::{FolderLock, KeychainError, StoreError, StoreMetrics};
use crate::tls::{
    CertificateMetrics, Certificates, Gate, ListenError, Reload, Supply, SupplyOptions, TlsError,
    TlsMetrics, Vault, Vaults, server_config,
};
use blueprint::Blueprint;
use open::open_with;
pub use open::{Opened, fetch_replica, lock, open, open_existing, restore_stopped};
use ports::{Ports, run_api, run_ops, run_redirect};
pub use rollback::{RollbackError, rollback_stopped};
pub use schema::{LOGGED, MIGRATIONS, OLDEST_SCHEMA, WAYS_DOWN};
use starting::Starting;
use tasks::{Background, follower};
use telemetry::{Reporter, Telemetry};
pub use upgrade::{Release, UpgradeCheck, Verdict, check_upgrade};
use watch::Watch;

/// How long a stopped node still lets somebody finish reading its metrics, or the end of what a command asked for.
const OPS_PATIENCE: Duration = Duration::from_secs(1);

/// What a node's end takes beside the deadline of its requests: copies and commands that end, the log that is folded in.
const ENDING: Duration = Duration::from_secs(60);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// There is no database where one was expected.
    #[error("{folder}: there is no database here yet; `ksnode init` and `ksnode serve` make one")]
    NoDatabase {
        /// The data folder.
        folder: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys.
    #[error(transparent)]
    Keychain(#[from] KeychainError),
    /// Data of an older schema could not be saved.
    #[error(
        "the data is of an older version and is saved before it is migrated; that failed, and it is untouched: {0}"
    )]
    BeforeMigration(BackupError),
    /// A rollback.
    #[error(transparent)]
    Rollback(#[from] RollbackError),
    /// An import was cut off.
    #[error(
        "an import from a node of the Docker suite was begun here and not finished: a node with some of its users would \
         answer the others that it has nothing of theirs; run the same `ksnode import oko` again, which goes on where it \
         was, or give it up with `ksnode import oko --abandon`"
    )]
    UnfinishedImport,
    /// Backups, or a restore.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The administrator's password.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The encryption secret.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A socket for redirects, and no https.
    #[error(
        "a socket for redirects to https was passed by the service manager, and tls.mode is \"off\"; \
         set tls.mode, or take that socket out of the unit"
    )]
    NothingToRedirectTo,
    /// The control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A provider's configuration.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Connections to others.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The replica.
    #[error("[replica]: {0}")]
    Replica(#[from] ReplicaError),
}

/// A node with its ports open, about to serve.
#[derive(Debug)]
pub struct Node {
    /// Before what holds the folder's lock: it removes its socket when dropped, which must be this node's then.
    control: ControlServer,
    current: Current,
    front: Front,
    ops: Ops,
    readiness: Readiness,
    ports: Ports,
    gate: Option<Gate>,
    redirect: Redirect,
    reload: Option<Reload>,
    manager: Manager,
    max_connections: usize,
    deadline: Duration,
    background: Background,
    /// Ends the replica's task, once requests have ended.
    last: CancellationToken,
}

impl Node {
    /// Opens everything: database, keys, certificate, ports (those of `passed` in place of the configured ones). Nothing
    /// is answered yet. `manager` is told while that takes long.
    ///
    /// # Errors
    /// [`NodeError`]: what is wrong, where, and what to do.
    pub async fn start(
        config: &Config,
        passed: PassedSockets,
        manager: Manager,
        clock: SharedClock,
    ) -> Result<Self, NodeError> {
        // Ports first: they are the quickest to fail, and nothing is to be undone then.
        let ports = Ports::bind(config, passed, &manager)?;
        let socket = socket_path(&config.data_dir)?;
        let keeper = open::keeper(config, &clock)?;
        let store_metrics = StoreMetrics::default();
        let starting = Starting::new(manager.clone(), clock.clone());
        let metrics_of_store = store_metrics.clone();
        let opened = open_with(config, &keeper, metrics_of_store, &starting, &clock).await?;
        if opened.store.read(is_unfinished).await? {
            return Err(NodeError::UnfinishedImport);
        }
        let outbound = Outbound::new(Timeouts::default())?;
        let (restorer, orders) = Restorer::new();
        let blueprint = Blueprint::new(config, restorer, &clock, outbound.clone())?;
        let current = Current::new(blueprint.api(opened));
        // After the folder is this process's own: a certificate may be kept in it.
        let supply = Supply::start(supply_options(config, &ports, &current), &clock).await?;
        let telemetry = telemetry(config, &current, outbound, &clock).await?;
        let last = CancellationToken::new();
        let (follower, replica) = follower(config, &current, &clock)?.unzip();
        let metrics = HttpMetrics::default();
        let mut registry = registry(&metrics, &store_metrics, &current, telemetry.as_ref());
        if let Some(replica) = &replica {
            replica.metrics().register(&mut registry);
        }
        let readiness = Readiness::default();
        let options = front_options(config);
        let front = Front::new(current.clone(), options, metrics, clock.clone())?;
        let certificates = supply.as_ref().map(|supply| supply.certificates().clone());
        let gate = supply.as_ref().map(|one| gate(one, &front, &mut registry));
        let gate = gate.transpose()?;
        let reports = telemetry.as_ref().map(Telemetry::reports);
        let facts = facts(
            config,
            &current,
            &ports,
            certificates,
            reports,
            replica,
            &clock,
        );
        let desk = desk(facts, &current, &clock);
        let control = ControlServer::bind(&socket, desk.clone().answerer())?;
        let supply = supply.map(|supply| (supply, Reload::default()));
        let reload = supply.as_ref().map(|(_, reload)| reload.clone());
        let watch = Watch {
            manager: manager.clone(),
            current: current.clone(),
            desk,
            clock: clock.clone(),
        };
        Ok(Self {
            control,
            ops: Ops::new(current.clone(), readiness.clone(), registry),
            front,
            background: Background {
                current: current.clone(),
                telemetry,
                check: config.backup.check_interval,
                orders,
                blueprint,
                store_metrics,
                follower: follower.map(|follower| (follower, last.clone())),
                supply,
                watch,
                clock,
            },
            current,
            readiness,
            redirect: ports.redirect(config),
            ports,
            gate,
            reload,
            manager,
            max_connections: config.server.max_connections,
            deadline: config.server.shutdown,
            last,
        })
    }

    /// Where the API is served; port 0 of the configuration has become a real one.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.ports.api_addresses()
    }

    /// Whether it is served over TLS.
    pub fn is_secure(&self) -> bool {
        self.gate.is_some()
    }

    /// Where metrics and health are served.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        ports::address(self.ports.ops.as_ref())
    }

    /// Where plain HTTP is redirected to https.
    pub fn redirect_address(&self) -> Option<SocketAddr> {
        ports::address(self.ports.redirect.as_ref())
    }

    /// The data folder, which is the node's until all clones of this are dropped.
    pub fn folder(&self) -> FolderLock {
        self.current.get().store.folder().clone()
    }

    /// What has the node read its certificate's files again; nothing when it has no certificate.
    pub fn reload(&self) -> Option<Reload> {
        self.reload.clone()
    }

    /// Serves until `stop`, then ends in order. Returns true when all requests under way were finished in time.
    pub async fn run(self, stop: CancellationToken) -> bool {
        // Everything is open, and who comes now is answered.
        self.readiness.set(true);
        // Health is answered until the very end, so that a stop can be watched.
        let ops_stop = CancellationToken::new();
        let ops = tokio::spawn(run_ops(self.ports.ops, self.ops, ops_stop.clone()));
        let control = tokio::spawn(self.control.serve(stop.clone()));
        let redirect = run_redirect(self.ports.redirect, self.redirect, stop.clone());
        let redirect = tokio::spawn(redirect);
        let serving = run_api(
            self.ports.api,
            self.gate.as_ref(),
            self.max_connections,
            &self.front,
            &stop,
        );
        // Before the tasks: one of them tells the manager more.
        self.manager.ready("serving");
        let background = self.background.start(&stop);
        stop.cancelled().await;
        self.readiness.set(false);
        self.manager.stopping(self.deadline.saturating_add(ENDING));
        tracing::info!(
            seconds = self.deadline.as_secs(),
            "stopping: requests under way may finish"
        );
        let finished = tokio::time::timeout(self.deadline, serving.wait())
            .await
            .is_ok();
        if !finished {
            tracing::warn!("requests were still under way at the deadline and are cut off");
        }
        self.last.cancel();
        background.wait().await;
        let api = self.current.get();
        api.backups.keeper().stop().await;
        api.store.close().await;
        ops_stop.cancel();
        // Whoever still reads then is cut off; nothing of the node hangs on that.
        for (what, task) in [
            ("control socket", control),
            ("redirects", redirect),
            ("metrics and health", ops),
        ] {
            if let Ok(Err(error)) = tokio::time::timeout(OPS_PATIENCE, task).await {
                tracing::error!(%error, what, "a listener failed");
            }
        }
        tracing::info!("stopped");
        finished
    }
}

/// The database in use, for those who keep something in it.
#[derive(Debug)]
struct CurrentVault(Current);

impl Vaults for CurrentVault {
    fn vault(&self) -> Vault {
        let api = self.0.get();
        Vault {
            store: api.store.clone(),
            ring: api.ring.clone(),
        }
    }
}

fn supply_options(config: &Config, ports: &Ports, current: &Current) -> SupplyOptions {
    SupplyOptions {
        tls: config.tls.clone(),
        data_dir: config.data_dir.clone(),
        allow_readable: config.allow_readable_secret,
        addresses: ports.api_addresses(),
        vaults: Arc::new(CurrentVault(current.clone())),
    }
}

/// The way in over TLS.
fn gate(supply: &Supply, front: &Front, registry: &mut Registry) -> Result<Gate, TlsError> {
    let certificates = supply.certificates();
    let metrics = TlsMetrics::default();
    metrics.register(registry);
    CertificateMetrics(certificates.clone()).register(registry);
    let config = server_config(Arc::new(certificates.clone()), &ALPN)?;
    let front = front.clone();
    let cleartext = Arc::new(move |peer| front.cleartext(peer));
    Ok(Gate::new(config, supply.challenge(), cleartext, metrics))
}

async fn telemetry(
    config: &Config,
    current: &Current,
    outbound: Outbound,
    clock: &SharedClock,
) -> Result<Option<Telemetry>, NodeError> {
    let Some(config) = &config.telemetry else {
        return Ok(None);
    };
    let reporter = Reporter {
        current: current.clone(),
        outbound,
        clock: clock.clone(),
    };
    Ok(Some(Telemetry::new(config, reporter).await?))
}

/// What commands are told that does not change.
fn facts(
    config: &Config,
    current: &Current,
    ports: &Ports,
    certificates: Option<Certificates>,
    reports: Option<Reports>,
    replica: Option<Replica>,
    clock: &SharedClock,
) -> Facts {
    let api = current.get();
    Facts {
        version: api.status.version,
        git_hash: api.status.git_hash,
        launched: api.status.launched,
        launched_monotonic: clock.monotonic(),
        listen: ports.api_addresses(),
        ops_listen: ports::address(ports.ops.as_ref()),
        redirect_listen: ports::address(ports.redirect.as_ref()),
        certificates,
        unit: Unit::of_process(),
        reports,
        replica,
        folders: config.folders(),
    }
}

/// What commands ask.
fn desk(facts: Facts, current: &Current, clock: &SharedClock) -> Desk {
    let current = current.clone();
    Desk::new(facts, clock.clone(), move || {
        let api = current.get();
        Handles {
            store: api.store.clone(),
            shares: api.shares.clone(),
            backups: api.backups.clone(),
            restorer: api.restorer.clone(),
            public_key: api.status.public_key,
        }
    })
}

/// Everything that the rooms count.
fn registry(
    metrics: &HttpMetrics,
    store: &StoreMetrics,
    current: &Current,
    telemetry: Option<&Telemetry>,
) -> Registry {
    let api = current.get();
    let mut registry = Registry::with_prefix("ksnode");
    metrics.register(&mut registry);
    store.register(&mut registry);
    api.identities.register_metrics(&mut registry);
    api.backups.keeper().metrics().register(&mut registry);
    if let Some(telemetry) = telemetry {
        telemetry.register_metrics(&mut registry);
    }
    registry
}

fn front_options(config: &Config) -> FrontOptions {
    let server = &config.server;
    let limit = |requests| {
        RateLimit::new(
            requests,
            server.rate_window,
            server.rate_limit_exempt.clone(),
        )
    };
    FrontOptions {
        trusted_proxies: server.trusted_proxies.clone(),
        rate_limit: server.rate_limit.map(limit),
        admin_rate_limit: server.admin_rate_limit.map(limit),
        strict_transport: config.tls.mode != TlsMode::Off,
    }
}
