//! Discord access tokens: stored as `discord_<id>`. The token must also give access to an email address.

use serde::Deserialize;

use super::user_call::{UserCall, present};
use super::{IdentityError, Provider, Tools, Verification, endpoint};

#[derive(Deserialize)]
struct User {
    id: Option<String>,
    email: Option<String>,
}

/// Asks Discord whose a token is.
pub(super) struct Discord(UserCall);

impl Discord {
    pub(super) fn new(user_url: &str, tools: &Tools) -> Result<Self, IdentityError> {
        let endpoint = endpoint("identity.discord.user_url", user_url)?;
        Ok(Self(UserCall::new(endpoint, tools)))
    }

    async fn identify(&self, token: &str) -> Result<String, IdentityError> {
        let user: User = self.0.ask(token).await?;
        let id = present(user.id.as_deref(), "the provider knows no user by it")?;
        present(
            user.email.as_deref(),
            "it gives no access to an email address",
        )?;
        Ok(id.to_owned())
    }
}

impl Provider for Discord {
    fn prefix(&self) -> &str {
        "discord_"
    }

    fn verify<'a>(&'a self, token: &'a str) -> Verification<'a> {
        Box::pin(self.identify(token))
    }
}
