//! An issuer's keys, fetched when they are needed and kept.
//!
//! | keys | what happens |
//! |---|---|
//! | younger than 5 minutes | used; a token that names an unknown key causes a fetch, at most one a minute |
//! | older | fetched anew before they are used |
//! | older, and the last fetch failed | used for up to 24 hours, while a fetch every 5 seconds goes on behind the callers |
//! | none, or older than that | fetched; callers are told that the issuer is unavailable while that fails |
//!
//! There is one fetch at a time, and whoever needs its outcome waits for it. It runs in a task of its own: were
//! it part of the call that caused it, a caller who hangs up would undo it, and one who hangs up every minute would
//! keep the node from ever learning a new key. `Cache-Control` is not obeyed: an issuer's mistake there would either
//! make the node a burden to it or keep a withdrawn key alive. Fetching on a schedule was rejected as well: most nodes never
//! see a token of most issuers.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;

use crate::clock::SharedClock;
use crate::service::outbound::Endpoint;

use super::key_set::{Found, KeySet, VerificationKey, Wanted};
use super::{IdentityError, Outbound, Tools};

/// How long keys are used without asking again (api.md, "Who is calling").
const FRESH_FOR: Duration = Duration::from_secs(5 * 60);
/// How long keys are used when the issuer does not answer.
const STALE_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How far apart tokens with unknown keys may cause fetches.
const UNKNOWN_KEY_PACE: Duration = Duration::from_secs(60);
/// How far apart fetches are while they fail.
const RETRY_PACE: Duration = Duration::from_secs(5);
/// The largest answer read, in bytes.
const MAX_DOCUMENT: usize = 1024 * 1024;

const UNKNOWN_KEY: &str = "it is signed with a key that the issuer does not publish";
const WRONG_ALGORITHM: &str = "its algorithm is not one that the issuer's key is for";
const AMBIGUOUS_KEY: &str = "it does not say which of the issuer's keys signed it";

/// Where an issuer publishes its keys.
#[derive(Debug)]
pub(super) enum Source {
    /// At an address that the operator configured.
    Published(Endpoint),
    /// At the `jwks_uri` of the issuer's discovery document (OpenID Connect Discovery 1.0, section 4).
    Discovered {
        /// The issuer, which the document must name to the letter.
        issuer: String,
        /// Where the document is.
        document: Endpoint,
    },
}

#[derive(Deserialize)]
struct DiscoveryDocument {
    issuer: String,
    jwks_uri: String,
}

/// The cache. Clones share it.
#[derive(Clone)]
pub(super) struct Jwks(Arc<Cache>);

struct Cache {
    source: Source,
    clock: SharedClock,
    outbound: Outbound,
    /// Held while a fetch is under way. A tokio mutex, because waiters wait across an await.
    flight: Arc<tokio::sync::Mutex<()>>,
    /// A std mutex: it is held for a lookup, never across an await.
    state: Mutex<State>,
}

/// Times are the clock's monotonic ones: a step of the wall clock neither ages keys nor renews them.
#[derive(Default)]
struct State {
    held: Option<Held>,
    /// The last fetch, when it failed.
    failure: Option<Failure>,
    /// When a token with an unknown key last caused a fetch.
    unknown_key_fetch: Option<Duration>,
}

struct Held {
    keys: KeySet,
    since: Duration,
}

struct Failure {
    at: Duration,
    reason: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Age,
    UnknownKey,
}

enum Decision {
    Use(Arc<VerificationKey>),
    /// Use it, and see meanwhile whether the issuer is back.
    UseAndFetch(Arc<VerificationKey>),
    Fetch(Cause),
    Reject(&'static str),
    Unavailable(String),
}

impl State {
    fn decide(&self, wanted: Wanted<'_>, now: Duration) -> Decision {
        let retry_due = |failure: &Failure| now.saturating_sub(failure.at) >= RETRY_PACE;
        let held = self
            .held
            .as_ref()
            .map(|held| (held, now.saturating_sub(held.since)))
            .filter(|(_, age)| *age < STALE_FOR);
        let found = held.map(|(held, age)| (held.keys.find(wanted), age));
        match (found, &self.failure) {
            (Some((found, age)), _) if age < FRESH_FOR => self.decide_fresh(found, now),
            (_, None) => Decision::Fetch(Cause::Age),
            (Some((Found::Key(key), _)), Some(failure)) if retry_due(failure) => {
                Decision::UseAndFetch(key)
            }
            (Some((Found::Key(key), _)), Some(_)) => Decision::Use(key),
            (_, Some(failure)) if retry_due(failure) => Decision::Fetch(Cause::Age),
            (_, Some(failure)) => Decision::Unavailable(failure.reason.clone()),
        }
    }

    fn decide_fresh(&self, found: Found, now: Duration) -> Decision {
        match (found, &self.failure) {
            (Found::Key(key), _) => Decision::Use(key),
            (Found::WrongAlgorithm, _) => Decision::Reject(WRONG_ALGORITHM),
            (Found::Ambiguous, _) => Decision::Reject(AMBIGUOUS_KEY),
            (Found::Unknown, failure) => match (self.unknown_key_fetch, failure) {
                (Some(at), None) if now.saturating_sub(at) < UNKNOWN_KEY_PACE => {
                    Decision::Reject(UNKNOWN_KEY)
                }
                // The key may be new, and the issuer could not be asked.
                (Some(at), Some(failure)) if now.saturating_sub(at) < UNKNOWN_KEY_PACE => {
                    Decision::Unavailable(failure.reason.clone())
                }
                _ => Decision::Fetch(Cause::UnknownKey),
            },
        }
    }
}

impl Decision {
    /// The answer when nothing more will be fetched for this token.
    fn settle(self) -> Result<Arc<VerificationKey>, IdentityError> {
        match self {
            Self::Use(key) | Self::UseAndFetch(key) => Ok(key),
            Self::Reject(reason) => Err(IdentityError::rejected(reason)),
            Self::Unavailable(reason) => Err(IdentityError::Unavailable { reason }),
            // The keys came a moment ago and this one is not among them.
            Self::Fetch(_) => Err(IdentityError::rejected(UNKNOWN_KEY)),
        }
    }
}

impl Jwks {
    /// An empty cache.
    pub(super) fn new(source: Source, tools: &Tools) -> Self {
        Self(Arc::new(Cache {
            source,
            clock: Arc::clone(&tools.clock),
            outbound: tools.outbound.clone(),
            flight: Arc::default(),
            state: Mutex::default(),
        }))
    }

    /// The key that a token's header asks for.
    pub(super) async fn key(
        &self,
        wanted: Wanted<'_>,
    ) -> Result<Arc<VerificationKey>, IdentityError> {
        match self.0.decide(wanted) {
            Decision::Fetch(_) => {}
            Decision::UseAndFetch(key) => {
                self.fetch_behind(wanted);
                return Ok(key);
            }
            settled => return settled.settle(),
        }
        let flight = Arc::clone(&self.0.flight).lock_owned().await;
        // Whoever held the flight before may have brought what is wanted, or learnt that it cannot be had.
        if let Decision::Fetch(cause) = self.0.decide(wanted) {
            self.start_fetch(flight, cause)
                .await
                .map_err(|_| IdentityError::unavailable("the node is shutting down"))?;
        }
        self.0.decide(wanted).settle()
    }

    /// Fetches without anybody waiting, unless a fetch is under way or just was.
    fn fetch_behind(&self, wanted: Wanted<'_>) {
        if let Ok(flight) = Arc::clone(&self.0.flight).try_lock_owned()
            && let Decision::UseAndFetch(_) = self.0.decide(wanted)
        {
            drop(self.start_fetch(flight, Cause::Age));
        }
    }

    fn start_fetch(&self, flight: OwnedMutexGuard<()>, cause: Cause) -> JoinHandle<()> {
        let cache = Arc::clone(&self.0);
        tokio::spawn(async move {
            cache.fetch(cause).await;
            drop(flight);
        })
    }
}

impl Cache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, wanted: Wanted<'_>) -> Decision {
        self.state().decide(wanted, self.clock.monotonic())
    }

    async fn fetch(&self, cause: Cause) {
        if cause == Cause::UnknownKey {
            self.state().unknown_key_fetch = Some(self.clock.monotonic());
        }
        let fetched = self.download().await;
        let now = self.clock.monotonic();
        let mut state = self.state();
        match fetched {
            Ok(keys) => {
                state.held = Some(Held { keys, since: now });
                state.failure = None;
            }
            Err(reason) => {
                tracing::warn!(%reason, "cannot fetch the keys of an identity provider");
                state.failure = Some(Failure { at: now, reason });
            }
        }
    }

    /// The error is the reason, in words: it is kept and told to more than one caller.
    async fn download(&self) -> Result<KeySet, String> {
        let discovered;
        let published = match &self.source {
            Source::Published(endpoint) => endpoint,
            Source::Discovered { issuer, document } => {
                discovered = self.discover(issuer, document).await?;
                &discovered
            }
        };
        let document = self
            .outbound
            .get_bytes(published, None, MAX_DOCUMENT)
            .await
            .map_err(|error| error.to_string())?;
        KeySet::parse(&document).ok_or_else(|| format!("{published} lists no usable key"))
    }

    async fn discover(&self, issuer: &str, document: &Endpoint) -> Result<Endpoint, String> {
        let found: DiscoveryDocument = self
            .outbound
            .get_json(document, None, MAX_DOCUMENT)
            .await
            .map_err(|error| error.to_string())?;
        if found.issuer != issuer {
            return Err(format!("{document} speaks for another issuer"));
        }
        let published: Endpoint = found
            .jwks_uri
            .parse()
            .map_err(|error| format!("the jwks_uri in {document}: {error}"))?;
        if document.is_https() && !published.is_https() {
            return Err(format!("the jwks_uri in {document} is not https"));
        }
        Ok(published)
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jwks({:?})", self.0.source)
    }
}
