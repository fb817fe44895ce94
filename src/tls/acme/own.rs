//! Certificates that are in hand: how long they are of use, and what answers while there is none.

use std::time::Duration;

use super::super::self_signed::LIFETIME;
use super::super::{Certificate, CertificateSource, Making, Pem, TlsError, make_self_signed};
use super::cabinet::Kept;
use super::{Target, Vault};
use crate::clock::Timestamp;

/// A certificate that the authority issued.
pub(super) struct Own {
    pub(super) certificate: Certificate,
    issued_at: Timestamp,
}

impl Own {
    fn lifetime(&self) -> Duration {
        self.certificate
            .not_after
            .since(self.certificate.not_before)
    }

    /// Whether it is not past its end: by its own word, or counted from when it came, should this machine's clock be wrong.
    pub(super) fn is_of_use(&self, now: Timestamp) -> bool {
        now < self.certificate.not_after || now < self.issued_at.plus(self.lifetime())
    }

    /// When it is to be renewed: after two thirds of its lifetime. But not when it has just come, as would be when this
    /// machine's clock is ahead: one certificate would follow another without end.
    pub(super) fn renewal(&self, now: Timestamp) -> Timestamp {
        let third = self.lifetime() / 3;
        let renewal = self.certificate.not_after.minus(third);
        let rested = self.issued_at.plus(third);
        if rested.since(now) > third.saturating_mul(2) {
            // It came in what is the future now.
            return renewal;
        }
        renewal.max(rested)
    }
}

/// What was issued for `target`: its private key and its chain.
pub(super) fn read(target: &Target, pem: &[u8]) -> Result<Certificate, TlsError> {
    let what = format!("what {} issued", target.directory);
    let pem = Pem {
        what: &what,
        text: pem,
    };
    Certificate::from_pem(pem, pem)
}

/// The certificate that is kept for `target`.
pub(super) fn own(target: &Target, kept: &Kept) -> Option<Own> {
    let (pem, issued_at) = kept.certificate.as_ref()?;
    let certificate = read(target, pem).ok()?;
    Some(Own {
        certificate,
        issued_at: *issued_at,
    })
}

/// What answers until the first certificate is there: one for other names, some of which are still ours, else one that
/// the node makes for itself.
pub(super) async fn makeshift(
    target: &Target,
    vault: &Vault,
    now: Timestamp,
) -> Result<(CertificateSource, Certificate), TlsError> {
    let others = vault.others(target).await.unwrap_or_else(|error| {
        tracing::error!(%error, "what is kept of authorities cannot be read");
        Vec::new()
    });
    let others = others.iter().filter_map(|pem| read(target, pem).ok());
    let fits = |other: &Certificate| {
        other.is_in_time(now) && other.lacks(&target.domains).len() < target.domains.len()
    };
    if let Some(other) = others.into_iter().find(fits) {
        let names = other.names.join(" ");
        tracing::warn!(
            names,
            "a certificate for other names is in use until the authority issues one"
        );
        return Ok((CertificateSource::Acme, other));
    }
    let making = Making {
        names: &target.domains,
        now,
        lifetime: LIFETIME,
    };
    let certificate = make_self_signed(&making)?;
    tracing::warn!(
        domains = target.joined,
        "a self-signed certificate is in use until the authority issues one"
    );
    Ok((CertificateSource::Fallback, certificate))
}
