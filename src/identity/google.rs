//! Google ID tokens: stored as `google_<sub>`.

use crate::config;

use super::id_token::{IdTokens, Rules};
use super::jwks::Source;
use super::key_set::ANY_SIGNATURE;
use super::{IdentityError, Provider, Tools, Verification, endpoint};

/// Verifies Google ID tokens.
pub(super) struct Google(IdTokens);

impl Google {
    pub(super) fn new(config: &config::Google, tools: &Tools) -> Result<Self, IdentityError> {
        let keys = endpoint("identity.google.jwks_url", &config.jwks_url)?;
        let rules = Rules {
            source: Source::Published(keys),
            issuers: config.issuers.clone(),
            audience: config.client_id.clone(),
            algorithms: ANY_SIGNATURE,
        };
        Ok(Self(IdTokens::new(rules, tools)))
    }

    async fn identify(&self, token: &str) -> Result<String, IdentityError> {
        let claims = self.0.verify(token).await?;
        claims.verified_email()?;
        Ok(claims.text("sub")?.to_owned())
    }
}

impl Provider for Google {
    fn prefix(&self) -> &str {
        "google_"
    }

    fn verify<'a>(&'a self, token: &'a str) -> Verification<'a> {
        Box::pin(self.identify(token))
    }
}
