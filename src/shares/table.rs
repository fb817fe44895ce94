//! The tables `user`, `wallet` and `key_share`: every statement on them.

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use uuid::Uuid;

use super::{CurveType, ShareError};
use crate::clock::Timestamp;
use crate::identity::AuthType;
use crate::store::StoreError;

/// A wallet with its sealed share, about to be stored.
pub(super) struct NewRow {
    pub(super) curve: CurveType,
    pub(super) wallet_id: Uuid,
    /// Blind.
    pub(super) public_key: Vec<u8>,
    pub(super) share_id: Uuid,
    pub(super) key_version: u32,
    pub(super) sealed: Vec<u8>,
}

/// A share in its place.
pub(super) struct Found {
    pub(super) wallet: i64,
    pub(super) curve: CurveType,
    pub(super) wallet_id: Uuid,
    pub(super) share_id: Uuid,
    pub(super) key_version: u32,
    pub(super) sealed: Vec<u8>,
}

/// The share of `public_key`, when it is the user's own. Both are given in blind form.
pub(super) fn find(
    connection: &Connection,
    user: &[u8],
    curve: CurveType,
    public_key: &[u8],
) -> Result<Found, ShareError> {
    let mut statement = connection.prepare_cached(
        "SELECT user.id, wallet.id, wallet.user, wallet.curve_type, wallet.wallet_id,
                key_share.share_id, key_share.key_version, key_share.sealed
         FROM (SELECT 1)
         LEFT JOIN user ON user.identifier = ?1
         LEFT JOIN wallet ON wallet.public_key = ?2
         LEFT JOIN key_share ON key_share.wallet = wallet.id",
    )?;
    statement.query_row(params![user, public_key], |row| {
        let Some(user) = row.get::<_, Option<i64>>(0)? else {
            return Ok(Err(ShareError::UserNotFound));
        };
        let Some(wallet) = row.get::<_, Option<i64>>(1)? else {
            return Ok(Err(ShareError::WalletNotFound(curve)));
        };
        if row.get::<_, i64>(2)? != user {
            return Ok(Err(ShareError::NotOwner(curve)));
        }
        let Some(share_id) = row.get::<_, Option<[u8; 16]>>(5)? else {
            return Ok(Err(ShareError::KeyShareNotFound(curve)));
        };
        let Some(curve) = CurveType::from_name(row.get_ref(3)?.as_str()?) else {
            return Ok(Err(StoreError::Damaged(format!(
                "the curve of wallet {wallet}"
            ))
            .into()));
        };
        Ok(Ok(Found {
            wallet,
            curve,
            wallet_id: Uuid::from_bytes(row.get(4)?),
            share_id: Uuid::from_bytes(share_id),
            key_version: row.get(6)?,
            sealed: row.get(7)?,
        }))
    })?
}

pub(super) fn find_user(
    connection: &Connection,
    identifier: &[u8],
) -> Result<Option<i64>, ShareError> {
    Ok(connection
        .prepare_cached("SELECT id FROM user WHERE identifier = ?1")?
        .query_row([identifier], |row| row.get(0))
        .optional()?)
}

/// The user's row, made when there is none.
pub(super) fn ensure_user(
    connection: &Connection,
    user_id: Uuid,
    auth_type: &AuthType,
    identifier: &[u8],
    now: Timestamp,
) -> Result<i64, ShareError> {
    if let Some(user) = find_user(connection, identifier)? {
        return Ok(user);
    }
    connection
        .prepare_cached(
            "INSERT INTO user (user_id, auth_type, identifier, created_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            user_id.as_bytes(),
            auth_type.as_str(),
            identifier,
            now.as_millis()
        ])?;
    Ok(connection.last_insert_rowid())
}

pub(super) fn has_wallet(
    connection: &Connection,
    user: i64,
    curve: CurveType,
) -> Result<bool, ShareError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM wallet WHERE user = ?1 AND curve_type = ?2 LIMIT 1")?
        .exists(params![user, curve.as_str()])?)
}

pub(super) fn insert(
    connection: &Connection,
    user: i64,
    row: &NewRow,
    now: Timestamp,
) -> Result<(), ShareError> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO wallet (wallet_id, user, curve_type, public_key, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            row.wallet_id.as_bytes(),
            user,
            row.curve.as_str(),
            row.public_key,
            now.as_millis()
        ]);
    match inserted {
        // The only constraint that a new row can meet is the public key's.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            return Err(ShareError::DuplicatePublicKey(row.curve));
        }
        other => other?,
    };
    connection
        .prepare_cached(
            "INSERT INTO key_share (wallet, share_id, key_version, sealed, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
        )?
        .execute(params![
            connection.last_insert_rowid(),
            row.share_id.as_bytes(),
            row.key_version,
            row.sealed,
            now.as_millis()
        ])?;
    Ok(())
}

pub(super) fn mark_reshared(
    connection: &Connection,
    wallet: i64,
    now: Timestamp,
) -> Result<(), ShareError> {
    connection
        .prepare_cached("UPDATE key_share SET reshared_at = ?2, updated_at = ?2 WHERE wallet = ?1")?
        .execute(params![wallet, now.as_millis()])?;
    Ok(())
}
