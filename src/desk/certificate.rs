//! The certificate: how it stands, and having it anew.

use serde::{Deserialize, Serialize};

use super::answers::text;
use super::{Desk, DeskError};
use crate::audit::{Action, Actor, Entry};
use crate::clock::Timestamp;
use crate::tls::{CertificateFacts, CertificateSource};

/// The certificate that clients are shown, and attempts to replace it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateStatus {
    /// Where it came from: `files`, `self-signed`, `acme`; `fallback`, made by the node until the
    /// authority issues one.
    pub source: String,
    /// The names and addresses it is for.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// The beginning of its time.
    pub not_before: String,
    /// The end of its time.
    pub not_after: String,
    /// Whole days until then; negative after it.
    pub days_left: i64,
    /// How it stands in its time: `good`; `due`, with less than a third of its lifetime left; `urgent`, with less than a
    /// tenth; `expired`; `early`, before its beginning.
    pub standing: String,
    /// SHA-256 of the certificate.
    pub sha256: String,
    /// When it was last tried to have another one, or this one was had.
    pub last_attempt: Option<String>,
    /// When it will be tried again, where that is known.
    pub next_attempt: Option<String>,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

impl CertificateStatus {
    /// What is known of a certificate at `now`.
    pub fn new(facts: &CertificateFacts, now: Timestamp) -> Self {
        Self {
            source: facts.source.as_str().to_owned(),
            names: facts.names.clone(),
            issuer: facts.issuer.clone(),
            not_before: facts.not_before.to_string(),
            not_after: facts.not_after.to_string(),
            days_left: facts.days_left(now),
            standing: facts.standing(now).as_str().to_owned(),
            sha256: hex::encode(facts.fingerprint),
            last_attempt: text(facts.last_attempt),
            next_attempt: text(facts.next_attempt),
            error: facts.last_error.clone(),
        }
    }

    /// What is wrong with it, for people.
    pub fn problems(&self) -> impl Iterator<Item = String> {
        let time = match self.standing.as_str() {
            "good" => None,
            "early" => Some(format!(
                "the certificate's time begins at {} only, or this machine's clock is wrong",
                self.not_before
            )),
            "expired" => Some(format!("the certificate has expired ({})", self.not_after)),
            _ => Some(format!(
                "the certificate expires in {} days ({}) and has not been renewed",
                self.days_left, self.not_after
            )),
        };
        let none = self.source == CertificateSource::Fallback.as_str();
        let fallback = none.then(|| {
            "no authority has issued a certificate yet: clients are shown one that the node made for itself"
                .to_owned()
        });
        let failed = if none { "be had" } else { "be replaced" };
        let error = self.error.as_ref();
        let error = error.map(|error| format!("the certificate could not {failed}: {error}"));
        time.into_iter().chain(fallback).chain(error)
    }
}

/// What became of a certificate that was to be had anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewal {
    /// The certificate in use now: of files the new one, where it could be used. An authority is asked in the background.
    pub certificate: CertificateStatus,
    /// Whether it was done in time: files on a disk that does not answer are still being read otherwise.
    pub in_time: bool,
}

impl Desk {
    /// Has the certificate anew, as SIGHUP does: its files are read again, or the authority is asked for another one.
    ///
    /// # Errors
    /// [`DeskError::NoCertificate`].
    pub async fn renew_certificate(&self, actor: &Actor) -> Result<Renewal, DeskError> {
        tracing::info!(%actor, "the certificate is to be had anew");
        let reload = self.facts.reload.as_ref();
        let reload = reload.ok_or(DeskError::NoCertificate)?;
        self.enter(Entry::done(actor, Action::CertificateRenew, ""))
            .await;
        let in_time = reload.ask().await;
        Ok(Renewal {
            certificate: self.certificate().ok_or(DeskError::NoCertificate)?,
            in_time,
        })
    }

    /// The certificate in use.
    pub(super) fn certificate(&self) -> Option<CertificateStatus> {
        let certificates = self.facts.certificates.as_ref()?;
        Some(CertificateStatus::new(
            &certificates.facts(),
            self.clock.now(),
        ))
    }
}
