//! X (Twitter) access tokens: stored as `x_<id>`.

use serde::Deserialize;

use super::user_call::{UserCall, present};
use super::{IdentityError, Provider, Tools, Verification, endpoint};

#[derive(Deserialize)]
struct Answer {
    data: Option<User>,
}

#[derive(Deserialize)]
struct User {
    id: Option<String>,
}

/// Asks X whose a token is.
pub(super) struct X(UserCall);

impl X {
    pub(super) fn new(user_url: &str, tools: &Tools) -> Result<Self, IdentityError> {
        let endpoint = endpoint("identity.x.user_url", user_url)?;
        Ok(Self(UserCall::new(endpoint, tools)))
    }

    async fn identify(&self, token: &str) -> Result<String, IdentityError> {
        let answer: Answer = self.0.ask(token).await?;
        let id = answer.data.and_then(|user| user.id);
        let id = present(id.as_deref(), "the provider knows no user by it")?;
        Ok(id.to_owned())
    }
}

impl Provider for X {
    fn prefix(&self) -> &str {
        "x_"
    }

    fn verify<'a>(&'a self, token: &'a str) -> Verification<'a> {
        Box::pin(self.identify(token))
    }
}
