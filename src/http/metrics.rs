//! What is counted of requests.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::desk::{Connection, Traffic};

/// Seconds. From what a memory read costs to what a caller no longer waits for.
const BUCKETS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    route: &'static str,
    status: Status,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Status(u16);

impl EncodeLabelValue for Status {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        u64::from(self.0).encode(encoder)
    }
}

/// Requests by route and status, and how long they took. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<Labels, Counter>,
    seconds: Family<RouteLabel, Histogram, fn() -> Histogram>,
    traffic: Traffic,
}

impl HttpMetrics {
    /// Counts for `traffic` as well.
    pub fn new(traffic: Traffic) -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            traffic,
        }
    }

    /// Adds them to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "Requests by route and status",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from the whole request to the whole answer",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "http_connections",
            "Open connections to the API",
            self.traffic.connections.clone(),
        );
    }

    /// Counts a connection as open until what is returned is dropped.
    pub(super) fn connected(&self) -> Connection {
        self.traffic.connected()
    }

    /// Counts a request. `route` is one of a fixed list, whatever the client asked for.
    pub(super) fn observe(&self, route: &'static str, status: StatusCode, took: Duration) {
        let labels = Labels {
            route,
            status: Status(status.as_u16()),
        };
        self.requests.get_or_create(&labels).inc();
        self.seconds
            .get_or_create(&RouteLabel { route })
            .observe(took.as_secs_f64());
        self.traffic.observe(status.is_server_error(), took);
    }
}
