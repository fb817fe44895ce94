//! The tables `user` and `wallet`: every statement on them.

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{CurveType, SealedShare, ShareError};
use crate::clock::Timestamp;
use crate::identity::AuthType;
use crate::store::StoreError;

/// A wallet with its sealed share, about to be stored.
pub(super) struct NewRow {
    pub(super) curve: CurveType,
    pub(super) wallet_id: Uuid,
    /// Blind.
    pub(super) public_key: Vec<u8>,
    pub(super) share: SealedShare,
}

/// A public key that is asked for.
pub(super) struct Asked {
    pub(super) curve: CurveType,
    /// Blind.
    pub(super) public_key: Vec<u8>,
}

/// A share in its place.
pub(super) struct Found {
    pub(super) wallet: i64,
    pub(super) curve: CurveType,
    pub(super) wallet_id: Uuid,
    pub(super) share: SealedShare,
}

/// For each key asked for, in their order, the share when it is the user's own. The user is given in blind form.
///
/// They are looked for among the user's wallets first: these lie beside each other in index and table, where blind public keys
/// lie anywhere in an index that no cache holds.
pub(super) fn find(
    connection: &Connection,
    user: &[u8],
    asked: &[Asked],
) -> Result<Vec<Result<Found, ShareError>>, StoreError> {
    // A few, because most users have one for each curve and nothing keeps a user from having thousands. No parameter: SQLite
    // would compile the statement anew whenever one of a limit is bound.
    let mut statement = connection.prepare_cached(
        "SELECT wallet.id, curve_type, wallet_id, share_id, key_version, sealed, user.id, public_key
         FROM user LEFT JOIN wallet ON wallet.user = user.id WHERE identifier = ?1 LIMIT 4",
    )?;
    let mut rows = statement.query([user])?;
    let mut known_user = None;
    let mut found: Vec<_> = asked.iter().map(|_| None).collect();
    while let Some(row) = rows.next()? {
        known_user = Some(row.get(6)?);
        // NULL for a user without wallets.
        let public_key = row.get_ref(7)?.as_blob().unwrap_or_default();
        for (asked, found) in asked.iter().zip(&mut found) {
            if public_key == asked.public_key {
                *found = Some(share(row, asked.curve)?);
            }
        }
    }
    let outcomes = asked
        .iter()
        .zip(found)
        .map(|(asked, found)| match (known_user, found) {
            (None, _) => Ok(Err(ShareError::UserNotFound)),
            (Some(_), Some(share)) => Ok(share),
            (Some(user), None) => find_by_key(connection, user, asked),
        });
    outcomes.collect()
}

/// The share of a public key, when it is the user's own.
fn find_by_key(
    connection: &Connection,
    user: i64,
    asked: &Asked,
) -> Result<Result<Found, ShareError>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, curve_type, wallet_id, share_id, key_version, sealed, user FROM wallet WHERE public_key = ?1",
    )?;
    let mut rows = statement.query([&asked.public_key])?;
    let Some(row) = rows.next()? else {
        return Ok(Err(ShareError::WalletNotFound(asked.curve)));
    };
    if row.get::<_, i64>(6)? != user {
        return Ok(Err(ShareError::NotOwner(asked.curve)));
    }
    share(row, asked.curve)
}

/// The share of a row whose first columns are id, curve, wallet_id, share_id, key version and sealed share.
fn share(row: &Row<'_>, curve: CurveType) -> Result<Result<Found, ShareError>, StoreError> {
    let Some(share_id) = row.get::<_, Option<[u8; 16]>>(3)? else {
        return Ok(Err(ShareError::KeyShareNotFound(curve)));
    };
    let wallet = row.get(0)?;
    let curve = row.get_ref(1)?.as_str().ok().and_then(CurveType::from_name);
    Ok(Ok(Found {
        wallet,
        curve: curve.ok_or_else(|| StoreError::Damaged(format!("the curve of wallet {wallet}")))?,
        wallet_id: Uuid::from_bytes(row.get(2)?),
        share: SealedShare {
            share_id: Uuid::from_bytes(share_id),
            key_version: row.get(4)?,
            sealed: row.get(5)?,
        },
    }))
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
    Ok(add_user(connection, user_id, auth_type, identifier, now)?)
}

/// A new user's row.
pub(super) fn add_user(
    connection: &Connection,
    user_id: Uuid,
    auth_type: &AuthType,
    identifier: &[u8],
    created_at: Timestamp,
) -> Result<i64, StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO user (user_id, auth_type, identifier, created_at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![
            user_id.as_bytes(),
            auth_type.as_str(),
            identifier,
            created_at.as_millis()
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
            "INSERT INTO wallet (wallet_id, user, curve_type, public_key,
                                 share_id, key_version, sealed, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
        )?
        .execute(params![
            row.wallet_id.as_bytes(),
            user,
            row.curve.as_str(),
            row.public_key,
            row.share.share_id.as_bytes(),
            row.share.key_version,
            row.share.sealed,
            now.as_millis()
        ]);
    match inserted {
        // The only constraint that a new row can meet is the public key's.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(ShareError::DuplicatePublicKey(row.curve))
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

pub(super) fn mark_reshared(
    connection: &Connection,
    wallet: i64,
    now: Timestamp,
) -> Result<(), ShareError> {
    connection
        .prepare_cached("UPDATE wallet SET reshared_at = ?2, updated_at = ?2 WHERE id = ?1")?
        .execute(params![wallet, now.as_millis()])?;
    Ok(())
}
