//! The authority (RFC 8555), asked for one certificate.
//!
//! The requests, their signatures and the certificates that answer challenges are rustls-acme's; the order in which they
//! are made is ours, and its `AcmeState` is not used. That one has no timeouts; it takes a refused nonce for the failure of
//! the whole order, so that each of them costs one more order of those that the authority grants; it tries again by a
//! rhythm of seconds; and it does not tell whether a validation was tried, on which the next pause hangs.
//!
//! rustls-acme has no external account binding (RFC 8555, 7.3.4): an authority that demands it cannot be used.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::acme::{
    Account, AcmeError, Auth, AuthStatus, Directory, Identifier, Order, OrderStatus,
};
use zeroize::Zeroizing;

use super::super::TlsError;
use super::Target;
use super::challenge::Challenges;
use super::pacing::Outcome;
use super::problem::Problem;
use crate::crypto::provider;

/// What one request may take: name look-up, connection, answer.
const REQUEST: Duration = Duration::from_secs(30);
/// What one attempt may take. Authorities validate within seconds, and answer an order within a minute or two.
const ATTEMPT: Duration = Duration::from_secs(300);
/// A nonce that the authority does not know (any more) is replaced and the request made again (RFC 8555, 6.5): so often,
/// for one request, and after this pause.
const NONCES: u32 = 20;
const NONCE_PAUSE: Duration = Duration::from_secs(1);
/// Pauses between two looks whether the authority is done: doubled from the first to the last.
const FIRST_LOOK: Duration = Duration::from_millis(500);
const LAST_LOOK: Duration = Duration::from_secs(8);

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// [`Outcome::Unreachable`] or [`Outcome::Refused`].
    pub(super) outcome: Outcome,
    /// For people.
    pub(super) text: String,
}

/// The key of an account, as PKCS#8.
pub(super) type AccountKey = Zeroizing<Vec<u8>>;

/// What an authority issued: the private key and then the chain, as PEM.
pub(super) type Issued = Result<Zeroizing<Vec<u8>>, Failure>;

/// Issues certificates for one target; replaceable in tests.
pub(super) trait Authority: fmt::Debug + Send + Sync {
    /// Asks for one. It ends, whatever the authority does.
    fn issue(&self, account: AccountKey) -> Pin<Box<dyn Future<Output = Issued> + Send + '_>>;
}

/// A new key for an account.
pub(super) fn new_account_key() -> AccountKey {
    Zeroizing::new(Account::generate_key_pair())
}

/// The authority of a directory.
#[derive(Debug)]
pub(super) struct Directed {
    target: Target,
    client: Arc<ClientConfig>,
    challenges: Challenges,
}

impl Directed {
    /// It is trusted by Mozilla's roots and `roots`.
    ///
    /// # Errors
    /// [`TlsError::Setup`]: one of `roots` cannot be used, or the library refuses its settings.
    pub(super) fn new(
        target: Target,
        roots: Vec<rustls::pki_types::CertificateDer<'static>>,
        challenges: Challenges,
    ) -> Result<Self, TlsError> {
        let mut store = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for root in roots {
            store.add(root)?;
        }
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self {
            target,
            client: Arc::new(client),
            challenges,
        })
    }
}

impl Authority for Directed {
    fn issue(&self, account: AccountKey) -> Pin<Box<dyn Future<Output = Issued> + Send + '_>> {
        Box::pin(async move {
            let mut asking = Asking {
                authority: self,
                validating: false,
            };
            let issued = tokio::time::timeout(ATTEMPT, asking.certificate(&account)).await;
            let problem = match issued {
                Ok(Ok(pem)) => return Ok(pem),
                Ok(Err(problem)) => problem,
                Err(_) => Problem::silent("the authority was not done", ATTEMPT),
            };
            // After a validation was asked for it may have failed, whatever was heard of it.
            let refused = asking.validating || problem.is_refusal();
            Err(Failure {
                outcome: if refused {
                    Outcome::Refused
                } else {
                    Outcome::Unreachable
                },
                text: problem.to_string(),
            })
        })
    }
}

/// One attempt.
struct Asking<'a> {
    authority: &'a Directed,
    /// Whether the authority was asked to validate a name.
    validating: bool,
}

impl Asking<'_> {
    async fn certificate(&mut self, key: &[u8]) -> Result<Zeroizing<Vec<u8>>, Problem> {
        let _shown = self.authority.challenges.until_dropped();
        let (client, target) = (&self.authority.client, &self.authority.target);
        let directory = ask("its directory", || {
            Directory::discover(client, &target.directory)
        })
        .await?;
        let contact: Vec<String> = target
            .contact
            .iter()
            .map(|mail| format!("mailto:{mail}"))
            .collect();
        let account = ask("the account", || {
            Account::create_with_keypair(client, directory.clone(), &contact, key)
        })
        .await?;
        let (request, private) = signing_request(&target.domains)?;
        let (url, order) = ask("the order", || {
            account.new_order(client, target.domains.clone())
        })
        .await?;
        let certificate = self.complete(&account, &url, order, &request).await?;
        let chain = ask("the certificate", || {
            account.certificate(client, &certificate)
        })
        .await?;
        Ok(Zeroizing::new(
            [private.as_bytes(), chain.as_bytes()].concat(),
        ))
    }

    /// Does what the order waits for. Returns where the certificate is.
    async fn complete(
        &mut self,
        account: &Account,
        url: &str,
        mut order: Order,
        request: &[u8],
    ) -> Result<String, Problem> {
        let client = &self.authority.client;
        let mut look = FIRST_LOOK;
        loop {
            match order.status {
                OrderStatus::Pending => {
                    for authorization in &order.authorizations {
                        self.authorize(account, authorization).await?;
                    }
                }
                OrderStatus::Ready => {
                    let finalize = &order.finalize;
                    order =
                        ask("the order", || account.finalize(client, finalize, request)).await?;
                    continue;
                }
                OrderStatus::Processing => {}
                OrderStatus::Valid { certificate } => return Ok(certificate),
                OrderStatus::Invalid => return Err(Problem::of_order(&order)),
            }
            order = ask("the order", || account.order(client, url)).await?;
            // All names being valid, the order is ready, or about to be.
            if matches!(order.status, OrderStatus::Pending | OrderStatus::Processing) {
                pause(&mut look).await;
            }
        }
    }

    /// Has one name validated.
    async fn authorize(&mut self, account: &Account, url: &str) -> Result<(), Problem> {
        let client = &self.authority.client;
        let mut look = FIRST_LOOK;
        let mut asked = false;
        loop {
            let found = ask("the validation", || account.auth(client, url)).await?;
            match found.status {
                AuthStatus::Valid => return Ok(()),
                AuthStatus::Pending if asked => pause(&mut look).await,
                AuthStatus::Pending => {
                    self.validate(account, &found).await?;
                    asked = true;
                }
                _ => return Err(Problem::of_validation(&found)),
            }
        }
    }

    async fn validate(&mut self, account: &Account, found: &Auth) -> Result<(), Problem> {
        let Identifier::Dns(name) = &found.identifier;
        let shown = account.tls_alpn_01(&found.challenges, name.clone());
        let (challenge, certificate) = shown.map_err(|error| Problem::of(&error))?;
        let challenges = &self.authority.challenges;
        let shown = challenges.show(name, certificate);
        shown.map_err(|error| Problem::ours(&error))?;
        self.validating = true;
        let client = &self.authority.client;
        ask("the validation", || {
            account.challenge(client, &challenge.url)
        })
        .await
    }
}

/// A request to sign a certificate for these names, and its new private key as PEM.
fn signing_request(domains: &[String]) -> Result<(Vec<u8>, Zeroizing<String>), Problem> {
    let make = || -> Result<_, rcgen::Error> {
        let mut parameters = CertificateParams::new(domains)?;
        parameters.distinguished_name = DistinguishedName::new();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let request = parameters.serialize_request(&key)?;
        Ok((request.der().to_vec(), Zeroizing::new(key.serialize_pem())))
    };
    make().map_err(|error| Problem::ours(&error))
}

async fn pause(look: &mut Duration) {
    tokio::time::sleep(*look).await;
    *look = look.saturating_mul(2).min(LAST_LOOK);
}

/// Makes a request, again when its nonce is refused, and not for longer than its time.
async fn ask<T, F>(what: &'static str, mut request: impl FnMut() -> F) -> Result<T, Problem>
where
    F: Future<Output = Result<T, AcmeError>>,
{
    let mut refused = 0;
    loop {
        let answer = tokio::time::timeout(REQUEST, request()).await;
        let Ok(answer) = answer else {
            return Err(Problem::silent(what, REQUEST));
        };
        let problem = match answer {
            Ok(answer) => return Ok(answer),
            Err(error) => Problem::of(&error),
        };
        refused += 1;
        if !problem.is_bad_nonce() || refused == NONCES {
            return Err(problem);
        }
        tracing::debug!(
            what,
            "the authority refused a nonce: the request is made again"
        );
        tokio::time::sleep(NONCE_PAUSE).await;
    }
}
