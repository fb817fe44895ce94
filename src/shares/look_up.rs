//! Whether and when a user has registered shares, for the operator whom the user asks.

use rusqlite::{Connection, OptionalExtension, Row};

use super::sealing::Sealing;
use super::{CurveType, KeyShares, ShareError};
use crate::clock::Timestamp;
use crate::identity::UserId;
use crate::store::StoreError;

/// What is known of a wallet's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownShare {
    /// The wallet's curve.
    pub curve: CurveType,
    /// When the wallet was registered.
    pub registered_at: Timestamp,
    /// When its owner last confirmed the share.
    pub reshared_at: Option<Timestamp>,
    /// The version of the share key that seals the share; absent when there is no share.
    pub key_version: Option<u32>,
}

impl KeyShares {
    /// When the user was first seen, and the user's wallets, oldest first; `None` when the user is not known.
    ///
    /// # Errors
    /// [`ShareError::Store`], [`ShareError::Crypto`].
    pub async fn of_user(
        &self,
        user: &UserId,
    ) -> Result<Option<(Timestamp, Vec<KnownShare>)>, ShareError> {
        let owner = Sealing(&self.ring.get()).blind_user(user)?;
        Ok(self
            .store
            .read(|connection| of_user(connection, &owner))
            .await?)
    }
}

fn of_user(
    connection: &Connection,
    owner: &[u8],
) -> Result<Option<(Timestamp, Vec<KnownShare>)>, StoreError> {
    let user: Option<(i64, i64)> = connection
        .prepare_cached("SELECT id, created_at FROM user WHERE identifier = ?1")?
        .query_row([owner], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((user, created_at)) = user else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(
        "SELECT curve_type, created_at, reshared_at, key_version FROM wallet WHERE user = ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([user])?;
    let mut known = Vec::new();
    while let Some(row) = rows.next()? {
        known.push(share(row)?);
    }
    Ok(Some((Timestamp::from_millis(created_at), known)))
}

fn share(row: &Row<'_>) -> Result<KnownShare, StoreError> {
    let curve = row.get_ref(0)?.as_str().ok().and_then(CurveType::from_name);
    let moment = Timestamp::from_millis;
    Ok(KnownShare {
        curve: curve.ok_or_else(|| StoreError::Damaged("the curve of a wallet".into()))?,
        registered_at: moment(row.get(1)?),
        reshared_at: row.get::<_, Option<i64>>(2)?.map(moment),
        key_version: row.get(3)?,
    })
}
