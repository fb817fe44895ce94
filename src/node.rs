//! A running node: built from a [`Config`], owning its tasks and its end.
//!
//! Everything is opened before anything is served: a node that answers has its database, its keys and its
//! ports. At the end the order is turned round: no new connections, requests under way finish within the deadline,
//! tasks stop, the writer drains, the log is folded in.

mod blueprint;
mod open;
mod restore;
mod schema;
mod tasks;
mod telemetry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backup::{BackupError, Restorer};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::control::{ControlError, ControlServer, Desk, Facts, Handles, socket_path};
use crate::crypto::CryptoError;
use crate::http::{
    Current, Front, FrontOptions, HttpMetrics, Ops, RateLimit, Readiness, serve_api, serve_ops,
};
use crate::identity::IdentityError;
use crate::service::outbound::{Outbound, OutboundError, Timeouts};
use crate::store::{KeychainError, StoreError, StoreMetrics};
use crate::tls::{self, ListenError};
use blueprint::Blueprint;
use open::open_with;
pub use open::{Opened, lock, open, open_existing, restore_stopped};
pub use schema::MIGRATIONS;
use tasks::Background;
use telemetry::{Reporter, Telemetry};

/// Connections to the listener of metrics and health.
const OPS_CONNECTIONS: usize = 64;
/// How long a stopped node still lets somebody finish reading its metrics, or the end of what a command asked for.
const OPS_PATIENCE: Duration = Duration::from_secs(1);

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
    /// Backups, or a restore.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The encryption secret.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The control socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A provider's configuration.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Connections to others.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
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
    max_connections: usize,
    deadline: Duration,
    background: Background,
}

#[derive(Debug)]
struct Ports {
    api: Vec<TcpListener>,
    ops: Option<TcpListener>,
}

impl Ports {
    fn bind(config: &Config) -> Result<Self, ListenError> {
        let addresses = config.server.listen.iter();
        Ok(Self {
            api: addresses
                .map(|&address| tls::bind("server.listen", address))
                .collect::<Result<_, _>>()?,
            ops: config
                .ops
                .listen
                .map(|address| tls::bind("ops.listen", address))
                .transpose()?,
        })
    }

    fn api_addresses(&self) -> Vec<SocketAddr> {
        let listeners = self.api.iter();
        listeners
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    fn ops_address(&self) -> Option<SocketAddr> {
        self.ops.as_ref()?.local_addr().ok()
    }
}

impl Node {
    /// Opens everything: database, keys, ports. Nothing is answered yet.
    ///
    /// # Errors
    /// [`NodeError`]: what is wrong, where, and what to do.
    pub async fn start(config: &Config, clock: SharedClock) -> Result<Self, NodeError> {
        // Ports first: they are the quickest to fail, and nothing is to be undone then.
        let ports = Ports::bind(config)?;
        let socket = socket_path(&config.data_dir)?;
        let keeper = open::keeper(config, &clock)?;
        let store_metrics = StoreMetrics::default();
        let opened = open_with(config, &keeper, store_metrics.clone(), &clock).await?;
        let outbound = Outbound::new(Timeouts::default())?;
        let (restorer, orders) = Restorer::new();
        let blueprint = Blueprint::new(config, restorer, &clock, outbound.clone())?;
        let current = Current::new(blueprint.api(opened));
        let reporter = Reporter {
            current: current.clone(),
            outbound,
            clock: clock.clone(),
        };
        let telemetry = match &config.telemetry {
            Some(telemetry) => Some(Telemetry::new(telemetry, reporter).await?),
            None => None,
        };
        let metrics = HttpMetrics::default();
        let registry = registry(&metrics, &store_metrics, &current, telemetry.as_ref());
        let readiness = Readiness::default();
        let front = Front::new(
            current.clone(),
            front_options(config),
            metrics,
            clock.clone(),
        )?;
        let control = ControlServer::bind(&socket, desk(&current, &ports, &clock).answerer())?;
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
                clock,
            },
            current,
            readiness,
            ports,
            max_connections: config.server.max_connections,
            deadline: config.server.shutdown,
        })
    }

    /// Where the API is served; port 0 of the configuration has become a real one.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.ports.api_addresses()
    }

    /// Where metrics and health are served.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ports.ops_address()
    }

    /// Serves until `stop`, then ends in order. Returns true when all requests under way were finished in time.
    pub async fn run(self, stop: CancellationToken) -> bool {
        let background = self.background.start(&stop);
        // Health is answered until the very end, so that a stop can be watched.
        let ops_stop = CancellationToken::new();
        let ops = tokio::spawn(run_ops(self.ports.ops, self.ops, ops_stop.clone()));
        let control = tokio::spawn(self.control.serve(stop.clone()));
        let serving = TaskTracker::new();
        let permits = Arc::new(Semaphore::new(self.max_connections));
        for listener in self.ports.api {
            let front = self.front.clone();
            let stopping = stop.clone();
            let handler =
                move |stream, peer| serve_api(stream, peer, front.clone(), stopping.clone());
            serving.spawn(tls::serve(listener, permits.clone(), stop.clone(), handler));
        }
        serving.close();
        self.readiness.set(true);
        stop.cancelled().await;
        self.readiness.set(false);
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
        background.wait().await;
        let api = self.current.get();
        api.backups.keeper().stop().await;
        api.store.close().await;
        ops_stop.cancel();
        // Whoever still reads then is cut off; nothing of the node hangs on that.
        for (what, task) in [("control socket", control), ("metrics and health", ops)] {
            if let Ok(Err(error)) = tokio::time::timeout(OPS_PATIENCE, task).await {
                tracing::error!(%error, what, "a listener failed");
            }
        }
        tracing::info!("stopped");
        finished
    }
}

async fn run_ops(listener: Option<TcpListener>, ops: Ops, stop: CancellationToken) {
    if let Some(listener) = listener {
        let permits = Arc::new(Semaphore::new(OPS_CONNECTIONS));
        let stopping = stop.clone();
        let handler = move |stream, _| serve_ops(stream, ops.clone(), stopping.clone());
        tls::serve(listener, permits, stop, handler).await;
    }
}

/// What commands ask.
fn desk(current: &Current, ports: &Ports, clock: &SharedClock) -> Desk {
    let api = current.get();
    let facts = Facts {
        version: api.status.version,
        git_hash: api.status.git_hash,
        launched: api.status.launched,
        launched_monotonic: clock.monotonic(),
        listen: ports.api_addresses(),
        ops_listen: ports.ops_address(),
    };
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
        strict_transport: false,
    }
}
