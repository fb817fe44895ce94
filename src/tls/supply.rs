//! Where the certificate comes from, as the operator decided.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use super::acme::{Acme, Vaults};
use super::files::{Files, LOOK, Reloading};
use super::self_signed::{FILE_NAME, SelfSigned};
use super::{CertificateFacts, CertificateSource, Certificates, Challenge, TlsError, standing};
use crate::audit::{Action, Actor, Entry};
use crate::clock::SharedClock;
use crate::config::{Tls, TlsMode};

/// How often a certificate of the node's own is looked at.
const RENEWAL_LOOK: Duration = Duration::from_secs(60 * 60);

/// How long whoever asks for a reload waits for it: files may be on a disk that does not answer.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);

/// Asks for the certificate to be had anew. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reload {
    asked: Arc<Notify>,
    /// How often it was done.
    done: watch::Sender<u64>,
}

impl Default for Reload {
    fn default() -> Self {
        Self {
            asked: Arc::default(),
            done: watch::Sender::new(0),
        }
    }
}

impl Reload {
    /// Asks, and returns when files were read; when an authority is to be asked, once that is begun. Returns false when
    /// that took too long: it goes on.
    pub async fn ask(&self) -> bool {
        let mut done = self.done.subscribe();
        self.asked.notify_one();
        timeout(RELOAD_PATIENCE, done.changed()).await.is_ok()
    }

    async fn asked(&self) {
        self.asked.notified().await;
    }

    fn is_done(&self) {
        self.done
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// What a supply works with.
#[derive(Debug)]
pub struct SupplyOptions {
    /// `[tls]`
    pub tls: Tls,
    /// Where a self-signed certificate is kept.
    pub data_dir: PathBuf,
    /// Whether key files that others may read are accepted.
    pub allow_readable: bool,
    /// Where the API is served: names for a certificate of the node's own when the operator gives none.
    pub addresses: Vec<SocketAddr>,
    /// Where account and certificates of an authority are kept.
    pub vaults: Arc<dyn Vaults>,
}

/// Has a certificate, and keeps it fresh.
#[derive(Debug)]
pub struct Supply {
    certificates: Certificates,
    source: Source,
    vaults: Arc<dyn Vaults>,
    clock: SharedClock,
}

#[derive(Debug)]
enum Source {
    Files(Box<Reloading>),
    Acme(Box<Acme>),
    SelfSigned(SelfSigned),
}

impl Supply {
    /// Has the first certificate; `None` in mode `off`.
    ///
    /// # Errors
    /// [`TlsError`]: what is wrong, and what mends it.
    pub async fn start(
        options: SupplyOptions,
        clock: &SharedClock,
    ) -> Result<Option<Self>, TlsError> {
        let SupplyOptions {
            tls,
            data_dir,
            allow_readable,
            addresses,
            vaults,
        } = options;
        let (source, certificates) = match tls.mode {
            TlsMode::Off => return Ok(None),
            TlsMode::Acme(config) => {
                let vaults = vaults.clone();
                let acme = Acme::start(&config, tls.domains, vaults, clock.clone()).await?;
                let certificates = acme.certificates().clone();
                (Source::Acme(Box::new(acme)), certificates)
            }
            TlsMode::Files(files) => {
                let files = Files {
                    files,
                    domains: tls.domains,
                    allow_readable,
                    clock: clock.clone(),
                };
                let (reloading, certificates) = Reloading::start(files)?;
                (Source::Files(Box::new(reloading)), certificates)
            }
            TlsMode::SelfSigned => {
                let own = SelfSigned {
                    path: data_dir.join(FILE_NAME),
                    names: own_names(tls.domains, &addresses),
                    allow_readable,
                    clock: clock.clone(),
                };
                let (certificate, made) = own.ensure()?;
                if made {
                    let fingerprint = hex::encode(certificate.fingerprint);
                    tracing::info!(path = %own.path.display(), fingerprint, "made a self-signed certificate");
                }
                let source = CertificateSource::SelfSigned;
                let certificates = Certificates::new(source, certificate, clock.clone());
                (Source::SelfSigned(own), certificates)
            }
        };
        Ok(Some(Self {
            certificates,
            source,
            vaults,
            clock: clock.clone(),
        }))
    }

    /// The certificate in use.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// What answers an authority that comes to validate a name.
    pub fn challenge(&self) -> Option<Challenge> {
        match &self.source {
            Source::Acme(acme) => Some(acme.challenge()),
            Source::Files(_) | Source::SelfSigned(_) => None,
        }
    }

    /// Keeps the certificate fresh until it is dropped. `reload` asks for it to be had anew at once; `restored` changes
    /// when another database is in place.
    pub async fn run(self, reload: Reload, restored: watch::Receiver<u64>) {
        let telling = standing::tell(self.certificates.clone(), self.clock);
        let watched = Watched {
            before: self.certificates.facts(),
            certificates: self.certificates,
            vaults: self.vaults,
        };
        let keeping = async {
            match self.source {
                Source::Files(reloading) => keep_files(reloading, watched, &reload).await,
                Source::Acme(acme) => {
                    let asked = Notify::new();
                    let passing_on = async {
                        loop {
                            reload.asked().await;
                            asked.notify_one();
                            reload.is_done();
                        }
                    };
                    tokio::join!(acme.run(&asked, restored), passing_on);
                }
                Source::SelfSigned(own) => keep_own(own, watched, &reload).await,
            }
        };
        tokio::join!(telling, keeping);
    }
}

/// The certificate as it was last looked at, so that a change is entered into the audit log.
struct Watched {
    certificates: Certificates,
    before: Arc<CertificateFacts>,
    vaults: Arc<dyn Vaults>,
}

impl Watched {
    async fn look(&mut self) {
        let now = self.certificates.facts();
        let entry = change(&self.before, &now);
        self.before = now;
        if let Some(entry) = entry {
            self.vaults.vault().audit.record(entry).await;
        }
    }
}

/// What has become of the certificate, when something has.
fn change(before: &CertificateFacts, now: &CertificateFacts) -> Option<Entry> {
    let (actor, action) = (Actor::Node, Action::CertificateReload);
    if now.fingerprint != before.fingerprint {
        let detail = format!("for {}, until {}", now.names.join(" "), now.not_after);
        return Some(Entry::done(&actor, action, detail));
    }
    let error = now.last_error.as_ref()?;
    let news = before.last_error.as_ref() != Some(error);
    news.then(|| Entry::failed(&actor, action, error.as_str()))
}

async fn keep_files(mut reloading: Box<Reloading>, mut watched: Watched, reload: &Reload) {
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(LOOK) => false,
            () = reload.asked() => true,
        };
        // Files may be on a disk that does not answer.
        let read = tokio::task::spawn_blocking(move || {
            if asked {
                reloading.reload();
            } else {
                reloading.look();
            }
            reloading
        });
        reloading = match read.await {
            Ok(reloading) => reloading,
            Err(error) => {
                tracing::error!(%error, "the certificate's files are not watched any more: restart the node");
                return;
            }
        };
        watched.look().await;
        if asked {
            reload.is_done();
        }
    }
}

async fn keep_own(own: SelfSigned, mut watched: Watched, reload: &Reload) {
    let certificates = watched.certificates.clone();
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(RENEWAL_LOOK) => false,
            () = reload.asked() => true,
        };
        match own.ensure() {
            Ok((certificate, _)) => {
                if certificate.fingerprint != certificates.facts().fingerprint {
                    certificates.install(CertificateSource::SelfSigned, certificate);
                }
            }
            Err(error) => certificates.failed(&error),
        }
        watched.look().await;
        if asked {
            reload.is_done();
        }
    }
}

/// The configured names; without any, those by which this machine knows itself.
fn own_names(domains: Vec<String>, addresses: &[SocketAddr]) -> Vec<String> {
    if !domains.is_empty() {
        return domains;
    }
    let mut names = vec![
        "localhost".to_owned(),
        "127.0.0.1".to_owned(),
        "::1".to_owned(),
    ];
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .to_ascii_lowercase();
    let specific = addresses
        .iter()
        .map(|address| address.ip().to_canonical())
        .filter(|address| !address.is_unspecified())
        .map(|address| address.to_string());
    // A machine's name may be anything; only what a certificate can hold is put into one.
    let host =
        Some(host).filter(|host| rustls::pki_types::DnsName::try_from(host.as_str()).is_ok());
    for name in host.into_iter().chain(specific) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_configured_ones_or_the_machines() {
        let addresses = ["10.0.0.7:1".parse().unwrap(), "[::]:1".parse().unwrap()];
        assert_eq!(
            own_names(vec!["a.example".into()], &addresses),
            ["a.example"]
        );
        let names = own_names(vec![], &addresses);
        assert_eq!(names[..3], ["localhost", "127.0.0.1", "::1"]);
        assert!(
            names.contains(&"10.0.0.7".to_owned()) && !names.contains(&"::".to_owned()),
            "{names:?}"
        );
    }
}
