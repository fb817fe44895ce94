//! What is counted of handshakes, and what is shown of the certificate.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

use super::Certificates;
use crate::clock::Timestamp;

/// Why a connection got no further than its handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Not done in time.
    Slow,
    /// Its place was given to a newcomer.
    Displaced,
    /// Done, and then no connection was free in time.
    Full,
    /// The client left.
    Gone,
    /// Plain text.
    Cleartext,
    /// No protocol version or cipher in common.
    Incompatible,
    /// The client refused, its trust in the certificate mostly.
    Refused,
    /// No TLS, or broken.
    Garbled,
    /// An authority's validation: it ends here by design.
    Challenge,
}

impl Failure {
    const ALL: [Self; 9] = [
        Self::Slow,
        Self::Displaced,
        Self::Full,
        Self::Gone,
        Self::Cleartext,
        Self::Incompatible,
        Self::Refused,
        Self::Garbled,
        Self::Challenge,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Displaced => "displaced",
            Self::Full => "full",
            Self::Gone => "gone",
            Self::Cleartext => "cleartext",
            Self::Incompatible => "incompatible",
            Self::Refused => "refused",
            Self::Garbled => "garbled",
            Self::Challenge => "challenge",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Completed {
    version: &'static str,
    kind: &'static str,
    /// The key exchange; `none` in a resumed session of TLS 1.2.
    group: &'static str,
    /// The application protocol; `none` when the client named none, which then gets HTTP/1.1.
    alpn: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    reason: &'static str,
}

/// Handshakes by how they went. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsMetrics {
    completed: Family<Completed, Counter>,
    failed: Family<Failed, Counter>,
}

impl Default for TlsMetrics {
    fn default() -> Self {
        let failed = Family::<Failed, Counter>::default();
        // A series that appears with its first failure cannot be alerted on.
        for failure in Failure::ALL {
            let reason = failure.as_str();
            drop(failed.get_or_create(&Failed { reason }));
        }
        Self {
            completed: Family::default(),
            failed,
        }
    }
}

impl TlsMetrics {
    /// Adds them to `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "tls_handshakes",
            "Completed handshakes by protocol version, kind (full, resumed), key exchange and application protocol",
            self.completed.clone(),
        );
        registry.register(
            "tls_handshake_failures",
            "Connections that got no further than their handshake, by reason",
            self.failed.clone(),
        );
    }

    pub(super) fn completed(&self, connection: &ServerConnection) {
        let labels = Completed {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "1.3",
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                _ => "other",
            },
            kind: match connection.handshake_kind() {
                Some(HandshakeKind::Resumed) => "resumed",
                _ => "full",
            },
            group: connection
                .negotiated_key_exchange_group()
                .and_then(|group| group.name().as_str())
                .unwrap_or("none"),
            alpn: match connection.alpn_protocol() {
                Some(b"h2") => "h2",
                Some(b"http/1.1") => "http/1.1",
                Some(_) => "other",
                None => "none",
            },
        };
        self.completed.get_or_create(&labels).inc();
    }

    pub(super) fn failed(&self, failure: Failure) {
        let reason = failure.as_str();
        self.failed.get_or_create(&Failed { reason }).inc();
    }
}

/// The certificate in use as metrics, read when they are asked for.
#[derive(Debug)]
pub struct CertificateMetrics(pub Certificates);

impl CertificateMetrics {
    /// Adds them to `registry`.
    pub fn register(self, registry: &mut Registry) {
        registry.register_collector(Box::new(self));
    }
}

impl Collector for CertificateMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let facts = self.0.facts();
        let now = self.0.clock().now();
        let info = Info::new(vec![
            ("source", facts.source.as_str().to_owned()),
            ("issuer", facts.issuer.clone()),
            ("names", facts.names.join(" ")),
        ]);
        let name = "tls_certificate";
        let about = "The certificate in use.";
        let described = encoder.encode_descriptor(name, about, None, info.metric_type())?;
        info.encode(described)?;
        let seconds = |moment: Option<Timestamp>| moment.map_or(0, Timestamp::as_seconds);
        let times = [
            (
                "tls_certificate_expiry_timestamp",
                "The end of the certificate's time.",
                seconds(Some(facts.not_after)),
            ),
            (
                "tls_certificate_attempt_timestamp",
                "When it was last tried to have another certificate.",
                seconds(facts.last_attempt),
            ),
            (
                "tls_certificate_next_attempt_timestamp",
                "When it will be tried again; 0 when that is not known.",
                seconds(facts.next_attempt),
            ),
        ];
        for (name, about, value) in times {
            gauge(&mut encoder, name, about, Some(&Unit::Seconds), value)?;
        }
        let left = facts.days_left(now);
        let about = "Whole days until the end of the certificate's time.";
        gauge(&mut encoder, "tls_certificate_days_left", about, None, left)?;
        let failures = ConstCounter::new(facts.failures);
        let name = "tls_certificate_failures";
        let about = "Attempts to have another certificate that failed.";
        let described = encoder.encode_descriptor(name, about, None, failures.metric_type())?;
        failures.encode(described)
    }
}

fn gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    about: &str,
    unit: Option<&Unit>,
    value: i64,
) -> Result<(), std::fmt::Error> {
    let gauge = ConstGauge::new(value);
    let described = encoder.encode_descriptor(name, about, unit, gauge.metric_type())?;
    gauge.encode(described)
}
