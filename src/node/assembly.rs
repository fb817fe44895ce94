//! What a node is put together from: its data, and what works beside the requests.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::NodeError;
use super::blueprint::Blueprint;
use super::open::{Counted, keeper, open_with};
use super::ports::{Ports, address};
use super::starting::Starting;
use super::tasks::{Background, follower};
use super::telemetry::{Reporter, Telemetry};
use super::watch::Watch;
use crate::admin::{Access, SecondFactor, Sessions, Site, SiteParts};
use crate::audit::Retention;
use crate::backup::{RestoreOrder, Restorer};
use crate::clock::SharedClock;
use crate::config::{Config, InForce, TlsMode};
use crate::desk::{Desk, Facts, Handles, Traffic};
use crate::http::{ALPN, Current, Front, FrontOptions, HttpMetrics, RateLimit};
use crate::oko::is_unfinished;
use crate::replica::{Follower, Replica};
use crate::service::notify::{Manager, Unit};
use crate::service::outbound::{Outbound, Timeouts};
use crate::tls::{
    CertificateMetrics, Gate, Reload, Supply, SupplyOptions, TlsError, TlsMetrics, Vault, Vaults,
    server_config,
};

/// The open database, and how the next one is opened when a restore replaces it.
pub(super) struct Data {
    pub(super) current: Current,
    pub(super) counted: Counted,
    blueprint: Blueprint,
    orders: mpsc::Receiver<RestoreOrder>,
    outbound: Outbound,
}

impl Data {
    /// Opens it. `manager` is told while that takes long.
    pub(super) async fn open(
        config: &Config,
        manager: &Manager,
        clock: &SharedClock,
    ) -> Result<Self, NodeError> {
        let keeper = keeper(config, clock)?;
        let counted = Counted::default();
        let starting = Starting::new(manager.clone(), clock.clone());
        let opened = open_with(config, &keeper, counted.clone(), &starting, clock).await?;
        if opened.store.read(is_unfinished).await? {
            return Err(NodeError::UnfinishedImport);
        }
        let outbound = Outbound::new(Timeouts::default())?;
        let (restorer, orders) = Restorer::new();
        let blueprint = Blueprint::new(config, restorer, clock, outbound.clone())?;
        Ok(Self {
            current: Current::new(blueprint.api(opened)),
            counted,
            blueprint,
            orders,
            outbound,
        })
    }
}

/// What works beside the requests, each where it is configured.
pub(super) struct Companions {
    pub(super) supply: Option<Supply>,
    /// Asks for the certificate anew.
    pub(super) reload: Option<Reload>,
    pub(super) traffic: Traffic,
    telemetry: Option<Telemetry>,
    follower: Option<Follower>,
    replica: Option<Replica>,
}

impl Companions {
    /// Makes them. The data folder is this process's own by then: a certificate may be kept in it.
    pub(super) async fn start(
        config: &Config,
        ports: &Ports,
        data: &Data,
        clock: &SharedClock,
    ) -> Result<Self, NodeError> {
        let current = &data.current;
        let supply = Supply::start(supply_options(config, ports, current), clock).await?;
        let telemetry = telemetry(config, current, data.outbound.clone(), clock).await?;
        let (follower, replica) = follower(config, current, clock)?.unzip();
        Ok(Self {
            reload: supply.as_ref().map(|_| Reload::default()),
            traffic: Traffic::default(),
            supply,
            telemetry,
            follower,
            replica,
        })
    }
}

/// What the tasks hear from elsewhere.
pub(super) struct Ends {
    /// Asks for the certificate anew.
    pub(super) reload: Option<Reload>,
    /// Ends the replica's task, once requests have ended.
    pub(super) last: CancellationToken,
}

/// The tasks of a node.
pub(super) fn background(
    config: &Config,
    data: Data,
    companions: Companions,
    watch: Watch,
    ends: Ends,
    clock: SharedClock,
) -> Background {
    let last = ends.last;
    Background {
        current: data.current,
        telemetry: companions.telemetry,
        check: config.backup.check_interval,
        orders: data.orders,
        blueprint: data.blueprint,
        audit_retention: Retention {
            keep_days: config.audit.keep_days,
        },
        counted: data.counted,
        follower: companions.follower.map(|follower| (follower, last)),
        supply: companions.supply.zip(ends.reload),
        watch,
        clock,
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
            audit: api.audit.clone(),
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

/// How requests come in, and what counts them.
pub(super) struct WayIn {
    pub(super) front: Front,
    /// Over TLS, unless a proxy has that done.
    pub(super) gate: Option<Gate>,
    pub(super) registry: Registry,
}

/// The API's way in.
pub(super) fn way_in(
    config: &Config,
    data: &Data,
    companions: &Companions,
    clock: &SharedClock,
) -> Result<WayIn, NodeError> {
    let metrics = HttpMetrics::new(companions.traffic.clone());
    let mut registry = registry(&metrics, data, companions);
    let current = data.current.clone();
    let front = Front::new(current, front_options(config), metrics, clock.clone())?;
    let supply = companions.supply.as_ref();
    let gate = supply.map(|supply| gate(supply, &front, &mut registry));
    Ok(WayIn {
        gate: gate.transpose()?,
        front,
        registry,
    })
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
pub(super) fn facts(
    in_force: &InForce,
    ports: &Ports,
    data: &Data,
    companions: &Companions,
    clock: &SharedClock,
) -> Facts {
    let api = data.current.get();
    let supply = companions.supply.as_ref();
    Facts {
        version: api.status.version,
        git_hash: api.status.git_hash,
        launched: api.status.launched,
        launched_monotonic: clock.monotonic(),
        listen: ports.api_addresses(),
        ops_listen: address(ports.ops.as_ref()),
        redirect_listen: address(ports.redirect.as_ref()),
        admin_listen: address(ports.admin.as_ref()),
        admin_page: in_force
            .config()
            .admin_page(&ports.api_addresses(), address(ports.admin.as_ref())),
        certificates: supply.map(|supply| supply.certificates().clone()),
        reload: companions.reload.clone(),
        identities: api.identities.clone(),
        unit: Unit::of_process(),
        reports: companions.telemetry.as_ref().map(Telemetry::reports),
        replica: companions.replica.clone(),
        folders: in_force.config().folders(),
        traffic: companions.traffic.clone(),
        store_metrics: data.counted.store.clone(),
        in_force: in_force.clone(),
    }
}

/// What commands ask.
pub(super) fn desk(current: &Current, facts: Facts, clock: &SharedClock) -> Desk {
    let current = current.clone();
    Desk::new(facts, clock.clone(), move || {
        let api = current.get();
        Handles {
            store: api.store.clone(),
            shares: api.shares.clone(),
            backups: api.backups.clone(),
            audit: api.audit.clone(),
            restorer: api.restorer.clone(),
            sessions: api.sessions.clone(),
        }
    })
}

/// The administrator's own: what lets him in.
pub(super) fn access(config: &Config, current: &Current, clock: &SharedClock) -> Access {
    let rings = current.clone();
    let ring = Arc::new(move || rings.get().ring.clone());
    // What an app shows beside the code, where several nodes may stand.
    let name = config.tls.domains.first().map_or("node", String::as_str);
    Access {
        administrator: current.get().administrator.clone(),
        second_factor: Arc::new(SecondFactor::new(
            &config.data_dir,
            name,
            ring,
            clock.clone(),
        )),
        sessions: Sessions::new(clock.clone()),
    }
}

/// The admin page, where there is one.
pub(super) fn site(
    config: &Config,
    access: Access,
    desk: Desk,
    clock: &SharedClock,
) -> Option<Site> {
    config.admin.enabled.then(|| {
        Site::new(SiteParts {
            desk,
            access,
            allow: config.admin.allow.clone(),
            clock: clock.clone(),
        })
    })
}

/// The fronts of the API's listener and, where it has one, of the admin page's own.
pub(super) fn fronts(front: Front, site: Option<Site>, apart: bool) -> (Front, Option<Front>) {
    match site {
        None => (front, None),
        Some(site) if apart => {
            let pages = front.only(site);
            (front, Some(pages))
        }
        Some(site) => (front.beside(site), None),
    }
}

/// Everything that the rooms count.
fn registry(metrics: &HttpMetrics, data: &Data, companions: &Companions) -> Registry {
    let api = data.current.get();
    let mut registry = Registry::with_prefix("ksnode");
    metrics.register(&mut registry);
    data.counted.store.register(&mut registry);
    data.counted.audit.register(&mut registry);
    api.identities.register_metrics(&mut registry);
    api.backups.keeper().metrics().register(&mut registry);
    if let Some(telemetry) = &companions.telemetry {
        telemetry.register_metrics(&mut registry);
    }
    if let Some(replica) = &companions.replica {
        replica.metrics().register(&mut registry);
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
