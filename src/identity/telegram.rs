//! Telegram logins: stored as `telegram_<id>`.
//!
//! The token is a JSON object with the fields of Telegram's login widget, authenticated with the bot token
//! (<https://core.telegram.org/widgets/login#checking-authorization>). Nobody is asked, so this is the fastest
//! way to log in; the object is read in place and authenticated piece by piece without building the text that is authenticated.
//!
//! That text joins fields with line feeds and names with `=`, so two different objects could stand for the same text: with
//! a line feed inside a name of hers, somebody might pass off what Telegram signed for her as another user's login. Hence field
//! names are words, none comes twice, and no value holds a line feed. Telegram sends nothing else.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod login;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::clock::{SharedClock, Timestamp};
use crate::config::SecretText;

use super::{IdentityError, Provider, Tools, Verification};
use login::Login;

/// How long a login is good for (api.md, "Who is calling").
const MAX_AGE: Duration = Duration::from_secs(86_400);

/// A login as Telegram would sign it: the token of the user with this id, logged in at `at`.
pub fn sign(bot_token: &SecretText, id: u64, at: Timestamp) -> String {
    let auth_date = at.as_seconds();
    let mut mac = BotKey::new(bot_token).mac();
    mac.update(format!("auth_date={auth_date}\nid={id}").as_bytes());
    let hash = hex::encode(mac.finalize().into_bytes());
    format!(r#"{{"id":{id},"auth_date":{auth_date},"hash":"{hash}"}}"#)
}

/// The message authentication code under the SHA-256 of a bot token, ready to be fed. Zeroized on drop.
struct BotKey(Hmac<Sha256>);

impl BotKey {
    fn new(bot_token: &SecretText) -> Self {
        let digest = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(bot_token.expose())));
        // HMAC pads its key with zeros to a block (RFC 2104); a key of that length cannot be refused.
        let mut key = Zeroizing::new([0; 64]);
        for (to, from) in key.iter_mut().zip(digest.iter()) {
            *to = *from;
        }
        Self(Hmac::new((&*key).into()))
    }

    fn mac(&self) -> Hmac<Sha256> {
        self.0.clone()
    }
}

/// Verifies Telegram logins.
pub(super) struct Telegram {
    key: Option<BotKey>,
    clock: SharedClock,
}

impl Telegram {
    pub(super) fn new(bot_token: Option<&SecretText>, tools: &Tools) -> Self {
        Self {
            key: bot_token.map(BotKey::new),
            clock: tools.clock.clone(),
        }
    }

    fn identify(&self, token: &str) -> Result<String, IdentityError> {
        let Some(key) = &self.key else {
            return Err(IdentityError::rejected(
                "no bot token is configured (identity.telegram.bot_token)",
            ));
        };
        let login = Login::parse(token)?;
        let mut mac = Authenticated(key.mac());
        login
            .write_data_check_string(&mut mac)
            .map_err(|_| IdentityError::rejected("its fields cannot be written out"))?;
        // Compares in constant time.
        if mac.0.verify_slice(&login.hash()?).is_err() {
            return Err(IdentityError::rejected("its hash is wrong"));
        }
        self.check_age(login.auth_date()?)?;
        Ok(login.id()?.to_string())
    }

    fn check_age(&self, auth_date: i64) -> Result<(), IdentityError> {
        let signed = Timestamp::from_millis(auth_date.saturating_mul(1000));
        let now = self.clock.now();
        if signed > now {
            return Err(IdentityError::rejected("its auth_date is in the future"));
        }
        if now.since(signed) > MAX_AGE {
            return Err(IdentityError::rejected("its auth_date is too long ago"));
        }
        Ok(())
    }
}

impl Provider for Telegram {
    fn prefix(&self) -> &str {
        "telegram_"
    }

    fn verify<'a>(&'a self, token: &'a str) -> Verification<'a> {
        Box::pin(std::future::ready(self.identify(token)))
    }
}

/// Authenticates what is written to it.
struct Authenticated(Hmac<Sha256>);

impl Write for Authenticated {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}
