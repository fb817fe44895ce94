//! The second listener: metrics and health, for the operator alone and on loopback by default.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use bytes::Bytes;
use http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use warp::Reply;

use super::answer::{Answer, with_type};
use super::{Current, FinalAnswer};
use crate::store::StoreError;

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Whether the node takes requests: false until it serves, and again once it stops.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Sets it.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SharesLabels {
    provider: String,
    curve: &'static str,
}

#[derive(Debug, Default)]
struct Gauges {
    shares: Family<SharesLabels, Gauge<i64, AtomicI64>>,
    database_bytes: Gauge<i64, AtomicI64>,
    log_bytes: Gauge<i64, AtomicI64>,
}

/// What the second listener answers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ops {
    current: Current,
    readiness: Readiness,
    registry: Arc<Registry>,
    gauges: Arc<Gauges>,
}

impl Ops {
    /// The listener's answers; `registry` has what the other rooms count.
    pub fn new(current: Current, readiness: Readiness, mut registry: Registry) -> Self {
        let gauges = Gauges::default();
        registry.register("key_shares", "Key shares stored", gauges.shares.clone());
        registry.register_with_unit(
            "database_size",
            "The database's file",
            Unit::Bytes,
            gauges.database_bytes.clone(),
        );
        registry.register_with_unit(
            "write_ahead_log_size",
            "The write-ahead log's file",
            Unit::Bytes,
            gauges.log_bytes.clone(),
        );
        Self {
            current,
            readiness,
            registry: Arc::new(registry),
            gauges: Arc::new(gauges),
        }
    }

    /// Answers a request, whatever its target is: this is not warp's routing, which panics when there is no path (CONNECT).
    pub async fn answer<B>(&self, request: http::Request<B>) -> FinalAnswer {
        let (head, _) = request.into_parts();
        let answer = self.page(head.uri.path(), &head.method).await;
        answer.into_response()
    }

    async fn page(&self, path: &str, method: &Method) -> Answer {
        if *method != Method::GET && *method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
        }
        match path.trim_end_matches('/') {
            "/metrics" => self.metrics().await,
            // The process answers: that is all this one says.
            "/healthz" => text(StatusCode::OK, "alive\n"),
            "/readyz" => self.ready().await,
            _ => text(
                StatusCode::NOT_FOUND,
                "/metrics, /healthz and /readyz are here\n",
            ),
        }
    }

    async fn ready(&self) -> Answer {
        if !self.readiness.get() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "starting or stopping\n");
        }
        match self.current.get().shares.count().await {
            Ok(_) => text(StatusCode::OK, "ready\n"),
            Err(error) => {
                tracing::error!(%error, "not ready: the database does not answer");
                text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the database does not answer\n",
                )
            }
        }
    }

    async fn metrics(&self) -> Answer {
        // Metrics are wanted most when something fails: what cannot be read keeps its last value.
        if let Err(error) = self.refresh().await {
            tracing::error!(%error, "the number of key shares could not be read");
        }
        let mut page = String::new();
        match encode(&mut page, &self.registry) {
            Ok(()) => with_type(StatusCode::OK, OPEN_METRICS, page.into()),
            Err(error) => {
                tracing::error!(%error, "the metrics could not be written");
                text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the metrics could not be written\n",
                )
            }
        }
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        let (database, log) = self.current.get().store.size();
        self.gauges
            .database_bytes
            .set(i64::try_from(database).unwrap_or(i64::MAX));
        self.gauges
            .log_bytes
            .set(i64::try_from(log).unwrap_or(i64::MAX));
        for count in self.current.get().shares.count().await? {
            let labels = SharesLabels {
                provider: count.auth_type.as_str().to_owned(),
                curve: count.curve.as_str(),
            };
            let shares = i64::try_from(count.shares).unwrap_or(i64::MAX);
            self.gauges.shares.get_or_create(&labels).set(shares);
        }
        Ok(())
    }
}

fn text(status: StatusCode, body: &'static str) -> Answer {
    with_type(status, TEXT, Bytes::from_static(body.as_bytes()))
}
