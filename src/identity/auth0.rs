//! Auth0 ID tokens: stored as the email address itself. RS256 alone is accepted.

use jsonwebtoken::Algorithm;

use crate::config;

use super::id_token::{IdTokens, Rules};
use super::jwks::Source;
use super::{IdentityError, Provider, Tools, Verification, endpoint};

/// Verifies Auth0 ID tokens.
pub(super) struct Auth0(IdTokens);

impl Auth0 {
    pub(super) fn new(config: &config::Auth0, tools: &Tools) -> Result<Self, IdentityError> {
        let keys = endpoint("identity.auth0.jwks_url", &config.jwks_url)?;
        let rules = Rules {
            source: Source::Published(keys),
            issuers: vec![format!("https://{}/", config.domain)],
            audience: config.client_id.clone(),
            algorithms: &[Algorithm::RS256],
        };
        Ok(Self(IdTokens::new(rules, tools)))
    }

    async fn identify(&self, token: &str) -> Result<String, IdentityError> {
        let claims = self.0.verify(token).await?;
        claims.text("sub")?;
        Ok(claims.verified_email()?.to_owned())
    }
}

impl Provider for Auth0 {
    fn prefix(&self) -> &str {
        ""
    }

    fn verify<'a>(&'a self, token: &'a str) -> Verification<'a> {
        Box::pin(self.identify(token))
    }
}
