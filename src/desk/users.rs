//! Whether somebody has shares here, and how many there are over time. Never a share, and never a key.

use serde::{Deserialize, Serialize};

use super::answers::text;
use super::{Desk, DeskError, whole_days};
use crate::audit::{Action, Actor, Entry};
use crate::shares::{Growth, KnownShare};

/// What the node has of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLookUp {
    /// The provider that was asked for.
    pub provider: String,
    /// When the user first registered something; absent when the node does not know the user.
    pub registered_at: Option<String>,
    /// The user's wallets, oldest first.
    pub wallets: Vec<WalletLookUp>,
}

/// What the node has of a wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletLookUp {
    /// Its curve.
    pub curve: String,
    /// Whether there is a share for it.
    pub share: bool,
    /// When it was registered.
    pub registered_at: String,
    /// When its owner last confirmed the share.
    pub reshared_at: Option<String>,
    /// The version of the share key that seals the share.
    pub key_version: Option<u32>,
}

impl From<KnownShare> for WalletLookUp {
    fn from(known: KnownShare) -> Self {
        Self {
            curve: known.curve.as_str().to_owned(),
            share: known.key_version.is_some(),
            registered_at: known.registered_at.to_string(),
            reshared_at: text(known.reshared_at),
            key_version: known.key_version,
        }
    }
}

/// How many shares there were at the end of a day, or are on the day that is not over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharesOn {
    /// The day, in UTC: `2026-11-30`.
    pub day: String,
    /// The provider.
    pub provider: String,
    /// The curve.
    pub curve: String,
    /// The number of shares.
    pub shares: u64,
}

impl From<Growth> for SharesOn {
    fn from(growth: Growth) -> Self {
        let midnight = growth.day.to_string();
        let day = midnight.split_once('T').map(|(day, _)| day.to_owned());
        Self {
            day: day.unwrap_or(midnight),
            provider: growth.count.auth_type.as_str().to_owned(),
            curve: growth.count.curve.as_str().to_owned(),
            shares: growth.count.shares,
        }
    }
}

impl Desk {
    /// The providers whose users can be looked up.
    pub fn providers(&self) -> Vec<String> {
        let names = self.facts.identities.names();
        names.into_iter().map(str::to_owned).collect()
    }

    /// What there is of the user whom `provider` knows as `user_id`. That may be written as it is stored (`google_12345`) or
    /// as the provider has it (`12345`). The identifier is not logged.
    ///
    /// # Errors
    /// [`DeskError::Identity`] when the provider is not configured or no user can have this identifier; [`DeskError::Shares`].
    pub async fn look_up(
        &self,
        actor: &Actor,
        provider: &str,
        user_id: &str,
    ) -> Result<UserLookUp, DeskError> {
        tracing::info!(%actor, provider, "a user is looked up");
        // Of whom is nobody's business who reads the log.
        self.enter(Entry::done(actor, Action::UserLookUp, provider))
            .await;
        let meant = self.facts.identities.meant(provider, user_id.trim())?;
        let shares = (self.handles)().shares;
        let mut found = None;
        for user in &meant {
            found = shares.of_user(user).await?;
            if found.is_some() {
                break;
            }
        }
        let (registered_at, known) = found.unzip();
        Ok(UserLookUp {
            provider: provider.to_owned(),
            registered_at: text(registered_at),
            wallets: known
                .unwrap_or_default()
                .into_iter()
                .map(WalletLookUp::from)
                .collect(),
        })
    }

    /// How many shares there were on each of the last `days` days, by provider and curve, oldest first. A day on which the
    /// node did not run has none.
    ///
    /// # Errors
    /// [`DeskError::Store`].
    pub async fn growth(&self, days: u32) -> Result<Vec<SharesOn>, DeskError> {
        let since = self.clock.now().minus(whole_days(days));
        let growth = (self.handles)().shares.growth(since).await?;
        Ok(growth.into_iter().map(SharesOn::from).collect())
    }
}
