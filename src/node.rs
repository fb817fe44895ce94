//! A running node: built from a [`crate::config::Config`], owning its tasks and its end.
//!
//! Everything is opened before anything is served: a node that answers has its database, its keys and its
//! ports. At the end the order is turned round: no new connections, requests under way finish within the deadline,
//! tasks stop, the writer drains, the log is folded in.

mod assembly;
mod blueprint;
mod contents;
mod error;
mod life;
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
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::SharedClock;
use crate::config::InForce;
use crate::control::{ControlServer, at_desk, socket_path};
use crate::http::{Api, Current, Front, Ops, Readiness, Redirect};
use crate::service::notify::Manager;
use crate::service::sockets::PassedSockets;
use crate::store::FolderLock;
use crate::tls::{Gate, Reload};
use assembly::{
    Companions, Data, Ends, WayIn, access, background, desk, facts, fronts, site, way_in,
};
pub use error::NodeError;
pub use open::{Opened, fetch_replica, lock, open, open_existing, restore_stopped};
use ports::{ADMIN_CONNECTIONS, Ports, run_api, run_ops, run_redirect};
pub use rollback::{RollbackError, rollback_stopped};
pub use schema::{LOGGED, MIGRATIONS, OLDEST_SCHEMA, WAYS_DOWN};
use tasks::Background;
pub use upgrade::{Release, UpgradeCheck, Verdict, check_upgrade};
use watch::Watch;

/// How long a stopped node still lets somebody finish reading its metrics, or the end of what a command asked for.
const OPS_PATIENCE: Duration = Duration::from_secs(1);

/// What a node's end takes beside the deadline of its requests: copies and commands that end, the log that is folded in.
const ENDING: Duration = Duration::from_secs(60);

/// A node with its ports open, about to serve.
#[derive(Debug)]
pub struct Node {
    /// Before what holds the folder's lock: it removes its socket when dropped, which must be this node's then.
    control: ControlServer,
    current: Current,
    front: Front,
    /// The admin page's, where it has a listener of its own.
    admin: Option<Front>,
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
        in_force: &InForce,
        passed: PassedSockets,
        manager: Manager,
        clock: SharedClock,
    ) -> Result<Self, NodeError> {
        let config = in_force.config();
        // Ports first: they are the quickest to fail, and nothing is to be undone then.
        let ports = Ports::bind(config, passed, &manager)?;
        let socket = socket_path(&config.data_dir)?;
        let data = Data::open(config, &manager, &clock).await?;
        let companions = Companions::start(config, &ports, &data, &clock).await?;
        let current = data.current.clone();
        let WayIn {
            front,
            gate,
            registry,
        } = way_in(config, &data, &companions, &clock)?;
        let facts = facts(in_force, &ports, &data, &companions, &clock);
        let desk = desk(&current, facts, &clock);
        let access = access(config, &current, &clock);
        let control = ControlServer::bind(&socket, at_desk(desk.clone(), access.clone()))?;
        let site = site(config, access, desk.clone(), &clock);
        let (front, admin) = fronts(front, site, ports.admin.is_some());
        let reload = companions.reload.clone();
        let readiness = Readiness::default();
        let watch = Watch {
            manager: manager.clone(),
            current: current.clone(),
            desk,
            clock: clock.clone(),
        };
        let last = CancellationToken::new();
        let ends = Ends {
            reload: reload.clone(),
            last: last.clone(),
        };
        // Nothing that is done here is to have no beginning.
        life::started(&current.get().audit, &in_force.loaded().digest()).await;
        Ok(Self {
            control,
            ops: Ops::new(current.clone(), readiness.clone(), registry),
            front,
            admin,
            background: background(config, data, companions, watch, ends, clock),
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

    /// Where the admin page is served by itself.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        ports::address(self.ports.admin.as_ref())
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
        self.background.prepare();
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
        let pages = self.ports.admin.zip(self.admin).map(|(listener, front)| {
            run_api(
                vec![listener],
                self.gate.as_ref(),
                ADMIN_CONNECTIONS,
                &front,
                &stop,
            )
        });
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
        let finished = served(serving, pages, self.deadline).await;
        self.last.cancel();
        background.wait().await;
        close(&self.current.get(), finished).await;
        ops_stop.cancel();
        await_listeners([
            ("control socket", control),
            ("redirects", redirect),
            ("metrics and health", ops),
        ])
        .await;
        tracing::info!("stopped");
        finished
    }
}

/// Waits for the requests that are under way, until the deadline. Returns whether they were finished by then.
async fn served(api: TaskTracker, pages: Option<TaskTracker>, deadline: Duration) -> bool {
    let all = async {
        api.wait().await;
        if let Some(pages) = pages {
            pages.wait().await;
        }
    };
    let finished = tokio::time::timeout(deadline, all).await.is_ok();
    if !finished {
        tracing::warn!("requests were still under way at the deadline and are cut off");
    }
    finished
}

/// Ends what is written, once nobody asks for anything any more.
async fn close(api: &Api, finished: bool) {
    api.backups.keeper().stop().await;
    life::stopped(&api.audit, finished).await;
    api.store.close().await;
}

/// Waits for the smaller listeners. Whoever still reads then is cut off; nothing of the node hangs on that.
async fn await_listeners(listeners: [(&'static str, JoinHandle<()>); 3]) {
    for (what, task) in listeners {
        if let Ok(Err(error)) = tokio::time::timeout(OPS_PATIENCE, task).await {
            tracing::error!(%error, what, "a listener failed");
        }
    }
}
