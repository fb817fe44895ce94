//! The certificate in use, which can be replaced at any time, and what is known of it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;

use super::{Certificate, Standing, TlsError};
use crate::clock::{SharedClock, Timestamp};

/// Where a certificate came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// The operator's files.
    Files,
    /// The node made it for itself.
    SelfSigned,
    /// An authority issued it.
    Acme,
    /// The node made it for itself, until an authority issues one.
    Fallback,
}

impl CertificateSource {
    /// As it is shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::SelfSigned => "self-signed",
            Self::Acme => "acme",
            Self::Fallback => "fallback",
        }
    }
}

/// What is known of the certificate in use, and of attempts to replace it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Where it came from.
    pub source: CertificateSource,
    /// The names and addresses it is for.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// The beginning of its time.
    pub not_before: Timestamp,
    /// The end of its time.
    pub not_after: Timestamp,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// When it was last tried to have another one, or this one was had.
    pub last_attempt: Option<Timestamp>,
    /// When it will be tried again, where that is known.
    pub next_attempt: Option<Timestamp>,
    /// Why the last attempt failed; gone when one has succeeded.
    pub last_error: Option<String>,
    /// Attempts that failed since the start.
    pub failures: u64,
}

impl CertificateFacts {
    fn new(source: CertificateSource, certificate: &Certificate, now: Timestamp) -> Self {
        Self {
            source,
            names: certificate.names.clone(),
            issuer: certificate.issuer.clone(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            fingerprint: certificate.fingerprint,
            last_attempt: Some(now),
            next_attempt: None,
            last_error: None,
            failures: 0,
        }
    }

    /// How it stands at `now`.
    pub fn standing(&self, now: Timestamp) -> Standing {
        Standing::of(self.not_before, self.not_after, now)
    }

    /// Whole days until its end; negative after it.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        let left = self.not_after.as_millis().saturating_sub(now.as_millis());
        left.div_euclid(24 * 60 * 60 * 1000)
    }
}

/// The certificate in use. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Certificates(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    key: ArcSwap<CertifiedKey>,
    facts: ArcSwap<CertificateFacts>,
    changed: Notify,
    clock: SharedClock,
}

impl Certificates {
    /// Begins with `certificate`.
    pub fn new(source: CertificateSource, certificate: Certificate, clock: SharedClock) -> Self {
        let facts = CertificateFacts::new(source, &certificate, clock.now());
        Self(Arc::new(Shared {
            key: ArcSwap::new(certificate.key),
            facts: ArcSwap::from_pointee(facts),
            changed: Notify::new(),
            clock,
        }))
    }

    /// Whether handshakes have just this one, with its whole chain.
    pub(super) fn serves(&self, certificate: &Certificate) -> bool {
        self.0.key.load().cert == certificate.key.cert
    }

    /// Uses `certificate` for every handshake from now on. Connections that are open stay as they are.
    pub fn install(&self, source: CertificateSource, certificate: Certificate) {
        let shared = &self.0;
        let failures = shared.facts.load().failures;
        let new = CertificateFacts::new(source, &certificate, shared.clock.now());
        shared.key.store(certificate.key);
        let new = CertificateFacts { failures, ..new };
        tracing::info!(
            source = new.source.as_str(),
            names = new.names.join(" "),
            issuer = new.issuer,
            until = %new.not_after,
            fingerprint = hex::encode(new.fingerprint),
            "a new certificate is in use"
        );
        shared.facts.store(Arc::new(new));
        shared.changed.notify_one();
    }

    /// Notes that an attempt to have another certificate failed: the present one stays. It is logged when it is not
    /// what the last attempt said.
    pub fn failed(&self, error: &TlsError) {
        let text = error.to_string();
        let old = self.note_failure(text.clone(), self.0.clock.now(), None);
        if old.last_error.as_deref() != Some(text.as_str()) {
            tracing::error!(
                error = text,
                "the certificate could not be replaced, the old one stays in use"
            );
        }
    }

    /// The same without a line in the log. Returns what was known before.
    pub(super) fn note_failure(
        &self,
        text: String,
        at: Timestamp,
        next_attempt: Option<Timestamp>,
    ) -> Arc<CertificateFacts> {
        self.0.facts.rcu(|facts| CertificateFacts {
            last_attempt: Some(at),
            next_attempt: next_attempt.or(facts.next_attempt),
            last_error: Some(text.clone()),
            failures: facts.failures.saturating_add(1),
            ..(**facts).clone()
        })
    }

    /// Notes what is known of the last attempt from before the start.
    pub(super) fn recall(&self, last_attempt: Option<Timestamp>, last_error: Option<String>) {
        self.0.facts.rcu(|facts| CertificateFacts {
            last_attempt,
            last_error: last_error.clone(),
            ..(**facts).clone()
        });
    }

    /// Notes that an attempt found nothing to be replaced: the present certificate is the right one.
    pub fn confirmed(&self) {
        let now = self.0.clock.now();
        self.0.facts.rcu(|facts| CertificateFacts {
            last_attempt: Some(now),
            last_error: None,
            ..(**facts).clone()
        });
    }

    /// Notes when the next attempt will be made.
    pub fn set_next_attempt(&self, at: Option<Timestamp>) {
        self.0.facts.rcu(|facts| CertificateFacts {
            next_attempt: at,
            ..(**facts).clone()
        });
    }

    /// What is known now.
    pub fn facts(&self) -> Arc<CertificateFacts> {
        self.0.facts.load_full()
    }

    /// Returns when another certificate has been installed since the last call. For one caller.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    pub(super) fn clock(&self) -> &SharedClock {
        &self.0.clock
    }
}

/// One certificate for all names: a client that asks for a name that it lacks, or for none, is shown it and decides itself.
impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.key.load_full())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::self_signed::testing::certificate;
    use super::*;
    use crate::clock::{Clock, ManualClock};

    #[test]
    fn a_failure_keeps_what_is_there_and_a_success_forgets_it() {
        let clock = ManualClock::shared();
        let first = certificate("a.example", 90);
        let certificates =
            Certificates::new(CertificateSource::Files, first.clone(), clock.clone());
        clock.advance(Duration::from_secs(5));
        certificates.failed(&rustls::Error::EncryptError.into());
        certificates.failed(&rustls::Error::EncryptError.into());
        certificates.set_next_attempt(Some(clock.now()));
        let facts = certificates.facts();
        assert_eq!(facts.fingerprint, first.fingerprint);
        assert_eq!((facts.failures, facts.last_attempt), (2, Some(clock.now())));
        assert!(facts.last_error.is_some() && facts.next_attempt.is_some());

        let second = certificate("b.example", 90);
        certificates.install(CertificateSource::SelfSigned, second);
        let facts = certificates.facts();
        assert_eq!(facts.names, ["b.example"]);
        assert_eq!(
            (facts.source, facts.failures),
            (CertificateSource::SelfSigned, 2)
        );
        assert!(facts.last_error.is_none() && facts.next_attempt.is_none());
    }

    #[test]
    fn days_are_whole_and_go_below_zero() {
        let clock = ManualClock::shared();
        let certificate = certificate("a.example", 90);
        let certificates = Certificates::new(CertificateSource::Files, certificate, clock.clone());
        let facts = certificates.facts();
        let end = facts.not_after;
        assert_eq!(facts.days_left(end.minus(Duration::from_secs(86_400))), 1);
        assert_eq!(facts.days_left(end.minus(Duration::from_secs(86_399))), 0);
        assert_eq!(facts.days_left(end.plus(Duration::from_secs(1))), -1);
    }
}
