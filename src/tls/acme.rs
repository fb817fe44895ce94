//! Mode `acme`: a certificate from an authority (RFC 8555), had and renewed by itself.
//!
//! Nothing that an authority does or leaves undone ends or holds up the node: each attempt ends, its outcome is kept, and
//! how those before it ended decides when the next is made (`pacing`), whatever restarts there are in between. Until there
//! is a first certificate one of the node's own answers, so that the node can be reached and looked at; while a renewal
//! fails the old one stays in use, even past its end.
//!
//! Account, certificate and attempts are in the database (`cabinet`), sealed, and so in every backup. What is in memory
//! counts: when a restore puts another database in place, what is newer in memory is written there.
//!
//! In reading order: `authority` asks for one certificate, `problem` is what it says when there is none, `challenge` what
//! the listener shows it meanwhile; `own` knows what is in hand.

mod authority;
mod cabinet;
mod challenge;
mod own;
mod pacing;
mod problem;
mod replicated;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use self::authority::{AccountKey, Authority, Directed, Failure, new_account_key};
use self::cabinet::Kept;
pub use self::cabinet::{TLS_TABLES, Vault, Vaults};
use self::challenge::Challenges;
use self::own::{makeshift, own, read};
use self::pacing::Outcome;
pub use self::replicated::TLS_LOGGED;
use super::files::read_private;
use super::{Certificate, CertificateSource, Certificates, Challenge, TlsError};
use crate::audit::{Action, Actor, Entry};
use crate::clock::{SharedClock, Timestamp};
use crate::config;
use crate::store::Store;

/// How often the wall clock is looked at, which may jump.
const LOOK: Duration = Duration::from_secs(60);
/// And how often at most.
const BREATH: Duration = Duration::from_secs(1);

/// What is asked for, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    directory: String,
    contact: Option<String>,
    /// Sorted: another order is no other certificate.
    domains: Vec<String>,
    /// The same as one text.
    joined: String,
}

impl Target {
    fn new(acme: &config::Acme, mut domains: Vec<String>) -> Self {
        domains.sort();
        domains.dedup();
        Self {
            directory: acme.directory.clone(),
            contact: acme.contact.clone(),
            joined: domains.join(" "),
            domains,
        }
    }
}

/// Has certificates of an authority.
#[derive(Debug)]
pub(super) struct Acme {
    target: Target,
    authority: Arc<dyn Authority>,
    challenges: Challenges,
    vaults: Arc<dyn Vaults>,
    certificates: Certificates,
    clock: SharedClock,
    kept: Kept,
    /// The database in which `kept` is as it is here; none when it could not be written.
    kept_in: Weak<Store>,
}

impl Acme {
    /// Begins with the certificate that is kept, or with one of the node's own. The authority is not asked yet.
    ///
    /// # Errors
    /// [`TlsError`]: `directory_root` cannot be used.
    pub(super) async fn start(
        config: &config::Acme,
        domains: Vec<String>,
        vaults: Arc<dyn Vaults>,
        clock: SharedClock,
    ) -> Result<Self, TlsError> {
        let target = Target::new(config, domains);
        let challenges = Challenges::default();
        let authority = Directed::new(target.clone(), roots(config)?, challenges.clone())?;
        Self::with(target, Arc::new(authority), challenges, vaults, clock).await
    }

    async fn with(
        target: Target,
        authority: Arc<dyn Authority>,
        challenges: Challenges,
        vaults: Arc<dyn Vaults>,
        clock: SharedClock,
    ) -> Result<Self, TlsError> {
        let vault = vaults.vault();
        // Whatever is wrong with what is kept, the node has a way to go on, and reads it again before it asks anybody.
        let (kept, kept_in) = match vault.load(&target).await {
            Ok(kept) => (kept, Arc::downgrade(&vault.store)),
            Err(error) => {
                tracing::error!(%error, "what is kept of the authority cannot be read");
                (Kept::default(), Weak::new())
            }
        };
        let now = clock.now();
        let own = own(&target, &kept).filter(|own| own.is_of_use(now));
        let (source, certificate) = match own {
            Some(own) => (CertificateSource::Acme, own.certificate),
            None => makeshift(&target, &vault, now).await?,
        };
        let certificates = Certificates::new(source, certificate, clock.clone());
        let last = kept.attempts.last();
        certificates.recall(
            last.map(|attempt| attempt.at),
            last.and_then(|attempt| attempt.error.clone()),
        );
        Ok(Self {
            target,
            authority,
            challenges,
            certificates,
            clock,
            kept,
            kept_in,
            vaults,
        })
    }

    /// The certificate in use.
    pub(super) fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// What answers the authority's validations.
    pub(super) fn challenge(&self) -> Challenge {
        self.challenges.answerer()
    }

    /// Has certificates until it is dropped. `asked` has it try at once; `restored` tells that another database is in place.
    pub(super) async fn run(mut self, asked: &Notify, mut restored: watch::Receiver<u64>) {
        let mut at_once = false;
        loop {
            let next = self.turn(at_once).await;
            let wait = next.since(self.clock.now()).clamp(BREATH, LOOK);
            at_once = tokio::select! {
                () = tokio::time::sleep(wait) => false,
                () = asked.notified() => true,
                () = changed(&mut restored) => false,
            };
        }
    }

    /// Does what is due. Returns when something will be.
    async fn turn(&mut self, at_once: bool) -> Timestamp {
        self.keep().await;
        let now = self.clock.now();
        if self.due(now, at_once) <= now {
            self.attempt(now).await;
        }
        let next = self.due(self.clock.now(), false);
        self.certificates.set_next_attempt(Some(next));
        next
    }

    /// When the authority is to be asked. Who asks for it in person does not wait for the pauses that have grown.
    fn due(&self, now: Timestamp, at_once: bool) -> Timestamp {
        let wanted = own(&self.target, &self.kept).map_or(now, |own| own.renewal(now));
        let attempts = &self.kept.attempts;
        let pause = if at_once {
            attempts.shortest_pause_until(now)
        } else {
            attempts.pause_until(now)
        };
        pause.map_or(wanted, |pause| pause.max(wanted))
    }

    async fn attempt(&mut self, now: Timestamp) {
        let account = self
            .kept
            .account
            .get_or_insert_with(new_account_key)
            .clone();
        self.kept.attempts.begin(now);
        // Before the authority hears of it: a node that is killed here, again and again, does not ask again and again.
        self.save().await;
        let (directory, domains) = (&self.target.directory, &self.target.joined);
        tracing::info!(directory, domains, "asking for a certificate");
        let issued = self.issue(account).await;
        let now = self.clock.now();
        let entry = self.entry(&issued);
        match issued {
            Ok((pem, certificate)) => {
                self.kept.attempts.end(now, Outcome::Issued, None);
                self.kept.certificate = Some((pem, now));
                self.remark(&certificate);
                let source = CertificateSource::Acme;
                self.certificates.install(source, certificate);
            }
            Err(Failure { outcome, text }) => {
                self.kept.attempts.end(now, outcome, Some(text.clone()));
                let next = self.due(now, false);
                let (directory, domains) = (&self.target.directory, &self.target.joined);
                tracing::error!(error = text, %next, directory, domains, "no certificate was issued");
                self.certificates.note_failure(text, now, Some(next));
            }
        }
        self.save().await;
        self.vaults.vault().audit.record(entry).await;
    }

    fn entry<T>(&self, issued: &Result<(T, Certificate), Failure>) -> Entry {
        let (directory, names) = (&self.target.directory, &self.target.joined);
        let detail = format!("for {names}, from {directory}");
        let (actor, action) = (Actor::Node, Action::CertificateObtain);
        match issued {
            Ok((_, certificate)) => {
                let detail = format!("{detail}, until {}", certificate.not_after);
                Entry::done(&actor, action, detail)
            }
            Err(failure) => Entry::failed(&actor, action, format!("{detail}: {}", failure.text)),
        }
    }

    /// In a task of its own: what panics in there, or never yields, is not the supply's end.
    async fn issue(
        &self,
        account: AccountKey,
    ) -> Result<(Zeroizing<Vec<u8>>, Certificate), Failure> {
        let failed = |outcome, text: String| Failure { outcome, text };
        let authority = self.authority.clone();
        let mut task = JoinSet::new();
        task.spawn(async move { authority.issue(account).await });
        let pem = match task.join_next().await {
            Some(Ok(issued)) => issued?,
            Some(Err(error)) => return Err(failed(Outcome::Refused, error.to_string())),
            None => return Err(failed(Outcome::Unreachable, "nothing was asked".to_owned())),
        };
        let certificate = read(&self.target, &pem);
        let certificate =
            certificate.map_err(|error| failed(Outcome::Refused, error.to_string()))?;
        Ok((pem, certificate))
    }

    fn remark(&self, certificate: &Certificate) {
        let lacking = certificate.lacks(&self.target.domains);
        if !lacking.is_empty() {
            let (lacking, names) = (lacking.join(" "), certificate.names.join(" "));
            tracing::warn!(
                lacking,
                names,
                "the certificate is not for all of tls.domains"
            );
        }
    }

    async fn save(&mut self) {
        let vault = self.vaults.vault();
        self.kept_in = match vault.save(&self.target, &self.kept).await {
            Ok(()) => Arc::downgrade(&vault.store),
            Err(error) => {
                tracing::warn!(%error, "the account, the certificate and the attempts could not be kept; it is tried again");
                Weak::new()
            }
        };
    }

    /// Brings memory and database to one state when they may differ.
    async fn keep(&mut self) {
        let vault = self.vaults.vault();
        if Weak::ptr_eq(&self.kept_in, &Arc::downgrade(&vault.store)) {
            return;
        }
        match vault.load(&self.target).await {
            Ok(stored) => {
                self.adopt(stored);
                self.save().await;
            }
            Err(error) => {
                tracing::warn!(%error, "what is kept of the authority cannot be read");
            }
        }
    }

    /// Takes over what is better than what is here.
    fn adopt(&mut self, stored: Kept) {
        if self.kept.account.is_none() {
            self.kept.account.clone_from(&stored.account);
        }
        if self.kept.attempts.last().is_none() {
            self.kept.attempts.clone_from(&stored.attempts);
        }
        let end = |kept: &Kept| own(&self.target, kept).map(|own| own.certificate.not_after);
        if end(&stored) > end(&self.kept) {
            self.kept.certificate = stored.certificate;
            if let Some(own) = own(&self.target, &self.kept) {
                let source = CertificateSource::Acme;
                self.certificates.install(source, own.certificate);
            }
        }
    }
}

/// Further roots by which the directory is trusted.
fn roots(config: &config::Acme) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let Some(path) = &config.directory_root else {
        return Ok(Vec::new());
    };
    let text = read_private(path, true)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let wrong = match found {
        Ok(roots) if !roots.is_empty() => return Ok(roots),
        Ok(_) => "holds no certificate".to_owned(),
        Err(error) => format!("is no PEM ({error})"),
    };
    Err(TlsError::Unusable {
        what: path.display().to_string(),
        wrong,
        mend: "write the PEM file of the root certificate of the authority at tls.directory",
    })
}

async fn changed(restored: &mut watch::Receiver<u64>) {
    if restored.changed().await.is_err() {
        // The node is stopping.
        std::future::pending::<()>().await;
    }
}
