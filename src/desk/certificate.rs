//! Having the certificate anew.

use serde::{Deserialize, Serialize};

use super::{CertificateStatus, Desk, DeskError};
use crate::audit::Actor;

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
        let in_time = reload.ok_or(DeskError::NoCertificate)?.ask().await;
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
