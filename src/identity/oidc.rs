//! ID tokens of any further OpenID Connect issuer: stored as `<prefix><claim>`.

use crate::config;

use super::id_token::{IdTokens, Rules};
use super::jwks::Source;
use super::key_set::ANY_SIGNATURE;
use super::{IdentityError, Provider, Tools, Verification, endpoint};

/// Verifies the ID tokens of one configured issuer.
pub(super) struct Oidc {
    tokens: IdTokens,
    claim: String,
    prefix: String,
}

impl Oidc {
    pub(super) fn new(config: &config::Oidc, tools: &Tools) -> Result<Self, IdentityError> {
        let rules = Rules {
            source: source(config)?,
            issuers: vec![config.issuer.clone()],
            audience: config.audience.clone(),
            algorithms: ANY_SIGNATURE,
        };
        Ok(Self {
            tokens: IdTokens::new(rules, tools),
            claim: config.claim.clone(),
            prefix: config.prefix.clone(),
        })
    }

    async fn identify(&self, token: &str) -> Result<String, IdentityError> {
        let claims = self.tokens.verify(token).await?;
        // An address that the issuer has not verified may be anybody's.
        let identifier = match self.claim.as_str() {
            "email" => claims.verified_email()?,
            claim => claims.text(claim)?,
        };
        Ok(identifier.to_owned())
    }
}

/// A slash at the issuer's end is not doubled (OpenID Connect Discovery 1.0, section 4).
fn source(config: &config::Oidc) -> Result<Source, IdentityError> {
    let key = |name| format!("identity.oidc.{}.{name}", config.name);
    if let Some(url) = &config.jwks_url {
        return Ok(Source::Published(endpoint(&key("jwks_url"), url)?));
    }
    let issuer = config.issuer.strip_suffix('/').unwrap_or(&config.issuer);
    let document = format!("{issuer}/.well-known/openid-configuration");
    Ok(Source::Discovered {
        issuer: config.issuer.clone(),
        document: endpoint(&key("issuer"), &document)?,
    })
}

impl Provider for Oidc {
    fn prefix(&self) -> &str {
        &self.prefix
    }

    fn verify<'a>(&'a self, token: &'a str) -> Verification<'a> {
        Box::pin(self.identify(token))
    }
}
