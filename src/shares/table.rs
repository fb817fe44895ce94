//! The tables `user` and `wallet`: every statement on them.

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
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
    pub(super) share_id: Uuid,
    pub(super) key_version: u32,
    pub(super) sealed: Vec<u8>,
}

/// Keys that one query looks for: a call asks for two at most.
const KEYS_A_QUERY: usize = 2;

/// For each key asked for, in their order, the share when it is the user's own. The user is given in blind form.
pub(super) fn find(
    connection: &Connection,
    user: &[u8],
    asked: &[Asked],
) -> Result<Vec<Result<Found, ShareError>>, StoreError> {
    let mut found = Vec::with_capacity(asked.len());
    for few in asked.chunks(KEYS_A_QUERY) {
        find_few(connection, user, few, &mut found)?;
    }
    Ok(found)
}

fn find_few(
    connection: &Connection,
    user: &[u8],
    asked: &[Asked],
    found: &mut Vec<Result<Found, ShareError>>,
) -> Result<(), StoreError> {
    // From a row without tables, so that there is an answer when there is neither user nor wallet.
    let mut statement = connection.prepare_cached(
        "SELECT user.id, wallet.user, wallet.public_key, wallet.id, wallet.curve_type,
                wallet.wallet_id, wallet.share_id, wallet.key_version, wallet.sealed
         FROM (SELECT 1)
         LEFT JOIN user ON user.identifier = ?1
         LEFT JOIN wallet ON wallet.public_key IN (?2, ?3)",
    )?;
    let key = |index: usize| asked.get(index).map(|asked| asked.public_key.as_slice());
    let mut rows = statement.query(params![user, key(0), key(1)])?;
    let begin = found.len();
    let mut known_user = false;
    found.extend(
        asked
            .iter()
            .map(|asked| Err(ShareError::WalletNotFound(asked.curve))),
    );
    while let Some(row) = rows.next()? {
        let user: Option<i64> = row.get(0)?;
        known_user = user.is_some();
        let Some(owner) = row.get::<_, Option<i64>>(1)? else {
            continue;
        };
        let public_key = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
        let place = asked
            .iter()
            .position(|asked| asked.public_key == public_key);
        let place = place.and_then(|index| found.get_mut(begin + index));
        if let (Some(place), Some(asked)) = (
            place,
            asked.iter().find(|asked| asked.public_key == public_key),
        ) {
            *place = if user == Some(owner) {
                share(row, asked.curve)?
            } else {
                Err(ShareError::NotOwner(asked.curve))
            };
        }
    }
    if !known_user {
        found.truncate(begin);
        found.extend(asked.iter().map(|_| Err(ShareError::UserNotFound)));
    }
    Ok(())
}

fn share(row: &Row<'_>, curve: CurveType) -> Result<Result<Found, ShareError>, StoreError> {
    let Some(share_id) = row.get::<_, Option<[u8; 16]>>(6)? else {
        return Ok(Err(ShareError::KeyShareNotFound(curve)));
    };
    let wallet = row.get(3)?;
    let curve = row.get_ref(4)?.as_str().ok().and_then(CurveType::from_name);
    Ok(Ok(Found {
        wallet,
        curve: curve.ok_or_else(|| StoreError::Damaged(format!("the curve of wallet {wallet}")))?,
        wallet_id: Uuid::from_bytes(row.get(5)?),
        share_id: Uuid::from_bytes(share_id),
        key_version: row.get(7)?,
        sealed: row.get(8)?,
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
            "INSERT INTO wallet (wallet_id, user, curve_type, public_key,
                                 share_id, key_version, sealed, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8)",
        )?
        .execute(params![
            row.wallet_id.as_bytes(),
            user,
            row.curve.as_str(),
            row.public_key,
            row.share_id.as_bytes(),
            row.key_version,
            row.sealed,
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
