//! Reports to the network's node monitor (api.md, "Status and liveness").

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Serialize;

use super::NodeError;
use crate::clock::SharedClock;
use crate::config;
use crate::desk::{LastReport, Reports};
use crate::http::Current;
use crate::service::outbound::{Endpoint, Outbound, OutboundError};
use crate::shares::ShareCount;

const PATH: &str = "/tss/v1/ks_node/telemetry";

#[derive(Serialize)]
struct Report {
    public_key: String,
    key_share_count: u64,
    payload: Payload,
}

#[derive(Serialize)]
struct Payload {
    db_status: &'static str,
    error_msg: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    outcome: &'static str,
}

/// Who reports, on what, and by which way.
#[derive(Debug)]
pub(super) struct Reporter {
    pub(super) current: Current,
    pub(super) outbound: Outbound,
    pub(super) clock: SharedClock,
}

#[derive(Debug)]
pub(super) struct Telemetry {
    endpoint: Endpoint,
    headers: HeaderMap,
    interval: Duration,
    reporter: Reporter,
    /// The receiver alerts when the count falls, so a failing database reports the last one that was known.
    last_count: AtomicU64,
    reports: Family<Labels, Counter>,
    delivered_at: Gauge<i64, AtomicI64>,
    told: Reports,
}

impl Telemetry {
    pub(super) async fn new(
        config: &config::Telemetry,
        reporter: Reporter,
    ) -> Result<Self, NodeError> {
        let mut headers = HeaderMap::new();
        let mut password =
            HeaderValue::from_str(config.password.expose()).map_err(|_| OutboundError::Setup {
                reason: "telemetry.password holds characters that no HTTP header can carry".into(),
            })?;
        password.set_sensitive(true);
        headers.insert("x-ks-node-password", password);
        let endpoint: Endpoint = format!("{}{PATH}", config.base_url).parse()?;
        Ok(Self {
            told: Reports {
                receiver: endpoint.to_string(),
                last: Arc::default(),
            },
            endpoint,
            headers,
            interval: config.interval,
            last_count: AtomicU64::new(total(&reporter.current.get().shares.count().await?)),
            reporter,
            reports: Family::default(),
            delivered_at: Gauge::default(),
        })
    }

    /// How the last report went, to be told.
    pub(super) fn reports(&self) -> Reports {
        self.told.clone()
    }

    pub(super) fn register_metrics(&self, registry: &mut Registry) {
        registry.register(
            "telemetry_reports",
            "Reports to the network's node monitor",
            self.reports.clone(),
        );
        registry.register(
            "telemetry_delivered_timestamp_seconds",
            "When the last report was delivered",
            self.delivered_at.clone(),
        );
    }

    /// Reports at once and then again and again.
    pub(super) async fn run(&self) {
        let mut every = tokio::time::interval(self.interval);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            every.tick().await;
            self.report().await;
        }
    }

    async fn report(&self) {
        let report = self.measure().await;
        let sent = self
            .reporter
            .outbound
            .post_json(&self.endpoint, self.headers.clone(), &report)
            .await;
        let at = self.reporter.clock.now();
        let error = sent.as_ref().err().map(ToString::to_string);
        self.told
            .last
            .store(Some(Arc::new(LastReport { at, error })));
        let outcome = match sent {
            Ok(()) => {
                self.delivered_at.set(at.as_seconds());
                "delivered"
            }
            Err(error) => {
                tracing::warn!(%error, receiver = %self.endpoint, "a telemetry report was not delivered; the next one follows");
                "failed"
            }
        };
        self.reports.get_or_create(&Labels { outcome }).inc();
    }

    async fn measure(&self) -> Report {
        let api = self.reporter.current.get();
        let payload = match api.shares.count().await {
            Ok(counts) => {
                let total = total(&counts);
                self.last_count.store(total, Ordering::Relaxed);
                Payload {
                    db_status: "OK",
                    error_msg: None,
                }
            }
            Err(error) => {
                tracing::error!(%error, "the database failed the telemetry's count");
                Payload {
                    db_status: "ERROR",
                    error_msg: Some("the database does not answer"),
                }
            }
        };
        Report {
            public_key: hex::encode(api.sessions.public_key()),
            key_share_count: self.last_count.load(Ordering::Relaxed),
            payload,
        }
    }
}

/// All shares together.
fn total(counts: &[ShareCount]) -> u64 {
    counts.iter().map(|count| count.shares).sum()
}
