//! Who is calling: one file per provider behind one trait.
//!
//! A caller shows a token and says which of the configured providers vouches for it (`auth_type`); the
//! provider turns the token into the identifier under which the user is stored (api.md, "Who is calling").
//! Three kinds of token are met here:
//!
//! - ID tokens (google, auth0, any OpenID Connect issuer) are verified locally: `id_token` holds the rules and
//!   `jwks` the issuer's keys, so that an issuer that is down does not lock its users out.
//! - Opaque access tokens (x, discord) mean nothing here; the provider is asked whose they are, every time. An
//!   answer is not kept, because a revoked token would then go on working.
//! - Telegram logins carry a message authentication code under the bot token and need nobody else.
//!
//! A token that does not verify ([`IdentityError::Rejected`]) and a provider that cannot tell
//! ([`IdentityError::Unavailable`]) are kept apart all the way: the first is the caller's matter, the second an outage.
//! No text of this room holds a token, an identifier or an email address.

mod auth0;
mod discord;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod google;
mod id_token;
mod jwks;
mod key_set;
mod metrics;
mod oidc;
pub mod telegram;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod user_call;
mod user_id;
mod x;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use prometheus_client::registry::Registry;

use crate::clock::SharedClock;
use crate::config;
use crate::service::outbound::{Endpoint, Outbound, OutboundError};

use metrics::{Outcomes, Verifications};
pub use user_id::{AuthType, MAX_IDENTIFIER_BYTES, UserId};

/// What an absent `auth_type` means (api.md, "Values").
pub const DEFAULT_AUTH_TYPE: &str = "google";

/// Why a caller could not be told who they are.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The token does not verify, or proves less than it must. The caller's matter: 401.
    #[error("the token was rejected: {reason}")]
    Rejected {
        /// What is wrong with the token.
        reason: Cow<'static, str>,
    },
    /// The provider cannot be reached, is too slow, or answers nonsense: nothing is known about the token. 500.
    #[error("the identity provider is unavailable: {reason}")]
    Unavailable {
        /// What was tried and how it failed.
        reason: String,
    },
    /// A text that cannot be a stored user identifier.
    #[error("a user identifier {reason}")]
    UserIdInvalid {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// No such provider is configured.
    #[error("no provider is called '{name}'; configured are {known}")]
    UnknownProvider {
        /// What was named.
        name: String,
        /// The providers there are.
        known: String,
    },
    /// An address in the configuration cannot be used.
    #[error("{key}: {source}")]
    Configuration {
        /// The key of the configuration.
        key: String,
        /// What is wrong with its value.
        source: OutboundError,
    },
}

impl IdentityError {
    fn rejected(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Rejected {
            reason: reason.into(),
        }
    }

    fn unavailable(reason: impl fmt::Display) -> Self {
        Self::Unavailable {
            reason: reason.to_string(),
        }
    }
}

/// What a provider's verification becomes: the user as the provider names it.
type Verification<'a> = Pin<Box<dyn Future<Output = Result<String, IdentityError>> + Send + 'a>>;

/// One way to log in.
trait Provider: Send + Sync {
    /// What is written before the provider's identifiers where they are stored.
    fn prefix(&self) -> &str;

    /// Verifies a token: [`IdentityError::Rejected`] or [`IdentityError::Unavailable`] when it does not succeed.
    fn verify<'a>(&'a self, token: &'a str) -> Verification<'a>;
}

struct Entry {
    provider: Box<dyn Provider>,
    outcomes: Outcomes,
}

/// All configured providers.
pub struct Identities {
    entries: HashMap<AuthType, Entry>,
    verifications: Verifications,
}

impl Entry {
    /// The user whom the provider names so, as it is stored.
    fn stored(&self, auth_type: &AuthType, identifier: &str) -> Result<UserId, IdentityError> {
        let stored = [self.provider.prefix(), identifier].concat();
        UserId::new(auth_type.clone(), stored)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries.keys()).finish()
    }
}

impl Identities {
    /// The providers that `config` names. Nothing is fetched before the first token needs it.
    ///
    /// # Errors
    /// [`IdentityError::Configuration`] when an address cannot be used.
    pub fn new(
        config: &config::Identity,
        clock: SharedClock,
        outbound: Outbound,
    ) -> Result<Self, IdentityError> {
        let mut identities = Self {
            entries: HashMap::new(),
            verifications: Verifications::default(),
        };
        let tools = Tools { clock, outbound };
        identities.add("google", google::Google::new(&config.google, &tools)?);
        identities.add("auth0", auth0::Auth0::new(&config.auth0, &tools)?);
        identities.add("x", x::X::new(&config.x_user_url, &tools)?);
        identities.add(
            "discord",
            discord::Discord::new(&config.discord_user_url, &tools)?,
        );
        identities.add(
            "telegram",
            telegram::Telegram::new(config.telegram_bot_token.as_ref(), &tools),
        );
        for issuer in &config.oidc {
            identities.add(&issuer.name, oidc::Oidc::new(issuer, &tools)?);
        }
        Ok(identities)
    }

    fn add(&mut self, name: &str, provider: impl Provider + 'static) {
        let entry = Entry {
            provider: Box::new(provider),
            outcomes: self.verifications.of(name),
        };
        self.entries.insert(AuthType::from_stored(name), entry);
    }

    /// The provider a caller names; `None` means google (api.md, "Values"). `None` comes back when no such
    /// provider is configured.
    pub fn auth_type(&self, name: Option<&str>) -> Option<AuthType> {
        let name = name.unwrap_or(DEFAULT_AUTH_TYPE);
        let (auth_type, _) = self.entries.get_key_value(name)?;
        Some(auth_type.clone())
    }

    /// The names of all configured providers, in the order of the alphabet.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.entries.keys().map(AuthType::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The users whom somebody may mean by `written`: as it is stored, or as the provider has it.
    ///
    /// # Errors
    /// [`IdentityError::UnknownProvider`]; [`IdentityError::UserIdInvalid`] when no user can have this identifier.
    pub fn meant(&self, provider: &str, written: &str) -> Result<Vec<UserId>, IdentityError> {
        let Some((auth_type, entry)) = self.entries.get_key_value(provider) else {
            return Err(IdentityError::UnknownProvider {
                name: provider.to_owned(),
                known: self.names().join(", "),
            });
        };
        let as_stored = UserId::new(auth_type.clone(), written)?;
        // What is too long with the prefix is stored with it already.
        let named = entry.stored(auth_type, written).ok();
        let named = named.filter(|named| *named != as_stored);
        Ok([Some(as_stored), named].into_iter().flatten().collect())
    }

    /// Who shows `token`.
    ///
    /// # Errors
    /// [`IdentityError::Rejected`] when the token does not verify or `auth_type` is not configured (any more),
    /// [`IdentityError::Unavailable`] when the provider cannot tell. No other variant.
    pub async fn verify(&self, auth_type: &AuthType, token: &str) -> Result<UserId, IdentityError> {
        let Some(entry) = self.entries.get(auth_type.as_str()) else {
            return Err(IdentityError::rejected("its provider is not configured"));
        };
        let verified = match entry.provider.verify(token).await {
            Ok(identifier) => entry.stored(auth_type, &identifier).map_err(|error| {
                // Whoever issued the token, it is of no use here.
                IdentityError::rejected(error.to_string())
            }),
            Err(error) => Err(error),
        };
        entry.outcomes.count(&verified);
        verified
    }

    /// Adds `identity_verifications_total`, labelled with provider and outcome (`accepted`, `rejected`,
    /// `unavailable`).
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.verifications.register(registry);
    }
}

/// What providers are built with.
struct Tools {
    clock: SharedClock,
    outbound: Outbound,
}

/// Reads the address under a key of the configuration.
fn endpoint(key: &str, text: &str) -> Result<Endpoint, IdentityError> {
    text.parse().map_err(|source| IdentityError::Configuration {
        key: key.to_owned(),
        source,
    })
}
