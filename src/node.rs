//! A running node: built from a [`Config`], owning its tasks and its end.
//!
//! Everything is opened before anything is served: a node that answers has its database, its keys and its
//! ports. At the end the order is turned round: no new connections, requests under way finish within the deadline,
//! tasks stop, the writer drains, the log is folded in.

mod open;
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

use crate::clock::SharedClock;
use crate::config::Config;
use crate::crypto::CryptoError;
use crate::http::{
    Api, Front, FrontOptions, HttpMetrics, Ops, RateLimit, Readiness, StatusFacts, serve_api,
    serve_ops,
};
use crate::identity::{Identities, IdentityError};
use crate::service::outbound::{Outbound, OutboundError, Timeouts};
use crate::shares::{KeyShares, Sessions};
use crate::store::{KeychainError, Store, StoreError};
use crate::tls::{self, ListenError};
pub use open::{Opened, lock, open, open_existing};
pub use schema::MIGRATIONS;
use telemetry::Telemetry;

/// Connections to the listener of metrics and health.
const OPS_CONNECTIONS: usize = 64;

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
    /// The encryption secret.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A port.
    #[error(transparent)]
    Listen(#[from] ListenError),
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
    store: Arc<Store>,
    front: Front,
    ops: Ops,
    readiness: Readiness,
    listeners: Vec<TcpListener>,
    ops_listener: Option<TcpListener>,
    max_connections: usize,
    deadline: Duration,
    background: tasks::Background,
}

impl Node {
    /// Opens everything: database, keys, ports. Nothing is answered yet.
    ///
    /// # Errors
    /// [`NodeError`]: what is wrong, where, and what to do.
    pub async fn start(config: &Config, clock: SharedClock) -> Result<Self, NodeError> {
        // Ports first: they are the quickest to fail, and nothing is to be undone then.
        let listeners = config
            .server
            .listen
            .iter()
            .map(|&address| tls::bind("server.listen", address))
            .collect::<Result<Vec<_>, _>>()?;
        let ops_listener = config
            .ops
            .listen
            .map(|address| tls::bind("ops.listen", address))
            .transpose()?;
        let Opened { store, keys } = open(config, &clock).await?;
        let node_key = Arc::new(keys.node_key);
        let ring = Arc::new(keys.ring);
        let outbound = Outbound::new(Timeouts::default())?;
        let identities = Identities::new(&config.identity, clock.clone(), outbound.clone())?;
        let mut registry = Registry::with_prefix("ksnode");
        let metrics = HttpMetrics::default();
        metrics.register(&mut registry);
        store.register_metrics(&mut registry);
        identities.register_metrics(&mut registry);
        let shares = KeyShares::new(store.clone(), ring.clone(), clock.clone());
        let sessions = Sessions::new(store.clone(), node_key.clone(), clock.clone());
        let count = telemetry::total(&shares.count().await?);
        let public_key = node_key.public_key();
        let telemetry = config
            .telemetry
            .as_ref()
            .map(|telemetry| {
                Telemetry::new(
                    telemetry,
                    public_key,
                    shares.clone(),
                    outbound,
                    &clock,
                    count,
                )
            })
            .transpose()?;
        if let Some(telemetry) = &telemetry {
            telemetry.register_metrics(&mut registry);
        }
        let background = tasks::Background {
            store: store.clone(),
            ring,
            sessions: sessions.clone(),
            telemetry,
        };
        let api = Arc::new(Api {
            store: store.clone(),
            shares,
            sessions,
            identities: Arc::new(identities),
            commit_reveal: config.commit_reveal,
            status: StatusFacts {
                public_key,
                launched: clock.now(),
                // Set by packaging/build.rs. A package build that does not know it may leave it empty.
                git_hash: option_env!("GIT_HASH").filter(|hash| !hash.is_empty()),
                version: env!("CARGO_PKG_VERSION"),
            },
        });
        let readiness = Readiness::default();
        let ops = Ops::new(api.clone(), readiness.clone(), registry);
        let front = Front::new(api, front_options(config), metrics, clock)?;
        Ok(Self {
            store,
            front,
            ops,
            readiness,
            listeners,
            ops_listener,
            max_connections: config.server.max_connections,
            deadline: config.server.shutdown,
            background,
        })
    }

    /// Where the API is served; port 0 of the configuration has become a real one.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Where metrics and health are served.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ops_listener.as_ref()?.local_addr().ok()
    }

    /// Serves until `stop`, then ends in order. Returns true when all requests under way were finished in time.
    pub async fn run(self, stop: CancellationToken) -> bool {
        let background = self.background.start(&stop);
        // Health is answered until the very end, so that a stop can be watched.
        let ops_stop = CancellationToken::new();
        let ops = tokio::spawn(run_ops(self.ops_listener, self.ops, ops_stop.clone()));
        let serving = TaskTracker::new();
        let permits = Arc::new(Semaphore::new(self.max_connections));
        for listener in self.listeners {
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
        self.store.close().await;
        ops_stop.cancel();
        if let Err(error) = ops.await {
            tracing::error!(%error, "the listener of metrics and health failed");
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

fn front_options(config: &Config) -> FrontOptions {
    let server = &config.server;
    FrontOptions {
        trusted_proxies: server.trusted_proxies.clone(),
        rate_limit: server.rate_limit.map(|requests| {
            RateLimit::new(
                requests,
                server.rate_window,
                server.rate_limit_exempt.clone(),
            )
        }),
        strict_transport: false,
    }
}
