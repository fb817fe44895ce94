//! The rows of this node as lines of the suite's tables.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Made;
use crate::clock::Timestamp;
use crate::crypto::{CryptoError, KeyRing, NodeKey, random_id};
use crate::oko::copy_text::{Line, Micros};
use crate::oko::imported::{Entry, KeypairExtra, ShareExtra, UserExtra, WalletExtra};
use crate::oko::rows::Kind;
use crate::oko::{OkoError, Skipped, SuiteSecret};
use crate::shares::{KnownUser, KnownWallet, SHARE_LENGTH, Sealing};
use crate::store::NodeKeyEntry;

/// What the suite writes as the status of everything.
const ACTIVE: &str = "active";

/// Makes lines. Columns are in the order of [`Kind::columns`].
pub(super) struct Maker {
    pub(super) ring: Arc<KeyRing>,
    pub(super) secret: SuiteSecret,
}

impl Maker {
    pub(super) fn user(&self, user: &KnownUser, came: Option<&Entry>) -> Made {
        let named = |error| skipped(Kind::User, user.user_id, error);
        let extra: Option<UserExtra> = self.extra(Kind::User, came).map_err(named)?;
        let identity = Sealing(&self.ring).unblind_user(&user.auth_type, &user.identifier);
        let identity = identity.map_err(named)?;
        let created_at = Micros::refine(extra.as_ref().map(|it| it.created_at), user.created_at);
        let updated_at = extra.as_ref().map_or(created_at, |it| it.updated_at);
        Ok(Line::default()
            .value(user.user_id)
            .text(Some(identity.auth_type().as_str()))
            .text(Some(identity.identifier()))
            .text(Some(extra.as_ref().map_or(ACTIVE, |it| &it.status)))
            .value(created_at.text())
            .value(updated_at.text())
            .text(extra.as_ref().and_then(|it| it.aux.as_deref()))
            .end())
    }

    pub(super) fn wallet(&self, wallet: &KnownWallet, came: Option<&Entry>) -> Made {
        let named = |error| skipped(Kind::Wallet, wallet.wallet_id, error);
        let extra: Option<WalletExtra> = self.extra(Kind::Wallet, came).map_err(named)?;
        let key = Sealing(&self.ring).unblind_key(wallet.curve, &wallet.public_key);
        let key = key.map_err(named)?;
        // The row's own times are the share's, which nothing here changes but a reshare.
        let own = Micros::refine(None, wallet.times.created_at);
        Ok(Line::default()
            .value(wallet.wallet_id)
            .value(wallet.user_id)
            .text(Some(wallet.curve.as_str()))
            .bytes(key.as_bytes())
            .value(extra.as_ref().map_or(own, |it| it.created_at).text())
            .value(extra.as_ref().map_or(own, |it| it.updated_at).text())
            .text(extra.as_ref().and_then(|it| it.aux.as_deref()))
            .end())
    }

    /// `None`: the wallet has no share.
    pub(super) fn share(&self, wallet: &KnownWallet, came: Option<&Entry>) -> Option<Made> {
        let share = wallet.share.as_ref()?;
        let named = |error| skipped(Kind::Share, share.share_id, error);
        let encrypt = || -> Result<(Vec<u8>, Option<ShareExtra>), CryptoError> {
            let extra = self.extra(Kind::Share, came)?;
            let opened = Sealing(&self.ring).open_share(wallet.wallet_id, share)?;
            if opened.len() != SHARE_LENGTH {
                return Err(CryptoError::NotAuthentic);
            }
            Ok((self.secret.seal(&opened)?, extra))
        };
        let (encrypted, extra) = match encrypt() {
            Ok(made) => made,
            Err(error) => return Some(Err(named(error))),
        };
        let extra = extra.as_ref();
        let times = wallet.times;
        // The suite notes a moment of reshare from the beginning.
        let reshared = times.reshared_at.unwrap_or(times.created_at);
        let refined = |known: Option<Micros>, shown: Timestamp| Micros::refine(known, shown).text();
        Some(Ok(Line::default()
            .value(share.share_id)
            .value(wallet.wallet_id)
            .bytes(&encrypted)
            .text(Some(extra.map_or(ACTIVE, |it| &it.status)))
            .value(refined(extra.map(|it| it.reshared_at), reshared))
            .value(refined(extra.map(|it| it.created_at), times.created_at))
            .value(refined(extra.map(|it| it.updated_at), times.updated_at))
            .text(extra.and_then(|it| it.aux.as_deref()))
            .end()))
    }

    fn extra<T: DeserializeOwned>(
        &self,
        kind: Kind,
        came: Option<&Entry>,
    ) -> Result<Option<T>, CryptoError> {
        came.map(|entry| entry.open(&self.ring, kind)).transpose()
    }
}

fn skipped(kind: Kind, id: Uuid, error: CryptoError) -> Skipped {
    Skipped {
        kind,
        id: id.to_string(),
        why: error.to_string(),
    }
}

/// The lines of all key pairs; the newest is the active one.
pub(super) fn keypair_lines(
    maker: &Maker,
    keys: &[(NodeKeyEntry, NodeKey, Option<Entry>)],
) -> Result<Vec<String>, OkoError> {
    let newest = keys.last().map(|(entry, ..)| entry.version);
    // The suite's numbers, unless this node has keys of its own between them.
    let all_came = keys.iter().all(|(_, _, came)| came.is_some());
    let mut lines = Vec::new();
    for (entry, key, came) in keys {
        let extra: Option<KeypairExtra> = maker.extra(Kind::Keypair, came.as_ref())?;
        let id = came.as_ref().map(|came| came.source_id);
        let id = id.map_or_else(random_id, Ok)?;
        let active = newest == Some(entry.version);
        let retired = entry.retired_at.filter(|_| !active);
        let came_so = extra.as_ref().filter(|extra| extra.active == active);
        let created_at = Micros::refine(extra.as_ref().map(|it| it.created_at), entry.created_at);
        let own = |moment| Micros::refine(None, moment);
        let rotated_at = came_so.map_or(retired.map(own), |it| it.rotated_at);
        let updated_at = came_so.map_or(retired.map_or(created_at, own), |it| it.updated_at);
        let version = extra.as_ref().filter(|_| all_came).map(|it| it.version);
        let encrypted = maker.secret.seal(key.expose_seed())?;
        let line = Line::default()
            .value(id)
            .value(version.unwrap_or(entry.version))
            .bytes(&key.public_key())
            .text(Some(&String::from_utf8_lossy(&encrypted)))
            .text(Some(if active { "t" } else { "f" }))
            .value(created_at.text())
            .value(updated_at.text())
            .text(rotated_at.map(Micros::text).as_deref());
        lines.push(line.end());
    }
    Ok(lines)
}
