//! The rows of sessions.

use rusqlite::{Connection, ErrorCode, params};
use uuid::Uuid;

use super::{ApiName, Commitment, OperationType, SESSION_LIFETIME, SessionError};
use crate::clock::Timestamp;
use crate::shares::ShareError;
use crate::store::StoreError;

/// A session, and whether the call that is asked about was made in it.
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) operation: OperationType,
    pub(super) ephemeral_key: [u8; 32],
    pub(super) token_hash: [u8; 32],
    pub(super) state: String,
    pub(super) expires_at: Timestamp,
    pub(super) called: bool,
}

/// Begins a session.
///
/// # Errors
/// [`SessionError::AlreadyExists`]; the database's.
pub(super) fn insert(
    connection: &Connection,
    commitment: &Commitment,
    now: Timestamp,
) -> Result<(), ShareError> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO session (session_id, operation_type, ephemeral_key, token_hash, state,
                                  created_at, expires_at)
             VALUES (?1, ?2, ?3, ?4, 'COMMITTED', ?5, ?6)",
        )?
        .execute(params![
            commitment.session_id.as_bytes(),
            commitment.operation.as_str(),
            commitment.ephemeral_key,
            commitment.token_hash,
            now.as_millis(),
            now.plus(SESSION_LIFETIME).as_millis()
        ]);
    match inserted {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(SessionError::AlreadyExists.into())
        }
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

/// The session of this id, if there is one.
///
/// # Errors
/// The database's.
pub(super) fn find(
    connection: &Connection,
    id: Uuid,
    api: ApiName,
) -> Result<Option<Row>, ShareError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, operation_type, ephemeral_key, token_hash, state, expires_at,
                EXISTS (SELECT 1 FROM session_call WHERE session = session.id AND api_name = ?2)
         FROM session WHERE session_id = ?1",
    )?;
    let mut rows = statement.query(params![id.as_bytes(), api.as_str()])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let operation: String = row.get(1)?;
    Ok(Some(Row {
        id: row.get(0)?,
        operation: OperationType::from_name(&operation)
            .ok_or_else(|| StoreError::Damaged(format!("a session for '{operation}'")))?,
        ephemeral_key: row.get(2)?,
        token_hash: row.get(3)?,
        state: row.get(4)?,
        expires_at: Timestamp::from_millis(row.get(5)?),
        called: row.get(6)?,
    }))
}
