//! How verifications end, counted.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::{IdentityError, UserId};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    provider: String,
    outcome: &'static str,
}

/// All providers' counters.
#[derive(Debug, Default)]
pub(super) struct Verifications(Family<Labels, Counter>);

impl Verifications {
    /// One provider's counters, at zero: a series that appears with its first failure cannot be alerted on.
    pub(super) fn of(&self, provider: &str) -> Outcomes {
        let counter = |outcome| {
            self.0.get_or_create_owned(&Labels {
                provider: provider.to_owned(),
                outcome,
            })
        };
        Outcomes {
            accepted: counter("accepted"),
            rejected: counter("rejected"),
            unavailable: counter("unavailable"),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "identity_verifications",
            "Tokens shown to the node, by identity provider and outcome",
            self.0.clone(),
        );
    }
}

/// One provider's counters, held directly so that counting looks nothing up.
#[derive(Debug)]
pub(super) struct Outcomes {
    accepted: Counter,
    rejected: Counter,
    unavailable: Counter,
}

impl Outcomes {
    pub(super) fn count(&self, verified: &Result<UserId, IdentityError>) {
        let counter = match verified {
            Ok(_) => &self.accepted,
            Err(IdentityError::Unavailable { .. }) => &self.unavailable,
            Err(_) => &self.rejected,
        };
        counter.inc();
    }
}
