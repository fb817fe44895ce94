//! What backups know of this room's tables.

use rusqlite::Connection;
use uuid::Uuid;

use super::count;
use super::sealing::{key_context, share_context, user_context};
use crate::backup::{BackupError, Contents, Summary};
use crate::clock::Timestamp;
use crate::crypto::{KeyRing, Purpose};
use crate::store::StoreError;

/// Rows between two reports of the progress.
const REPORT: u64 = 10_000;

/// The tables of users, wallets and sessions.
#[derive(Clone, Copy, Debug)]
pub struct ShareContents;

impl Contents for ShareContents {
    fn summary(&self, connection: &Connection) -> Result<Summary, StoreError> {
        let users = connection.query_row("SELECT count(*) FROM user", [], |row| row.get(0))?;
        let (shares, newest) = connection.query_row(
            "SELECT count(share_id), max(max(updated_at, coalesce(reshared_at, 0))) FROM wallet",
            [],
            |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)),
        )?;
        Ok(Summary {
            users,
            shares,
            newest: newest.map(Timestamp::from_millis),
        })
    }

    fn open_all(
        &self,
        connection: &Connection,
        ring: &KeyRing,
        opened: &mut dyn FnMut(u64) -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let users = open_users(connection, ring, opened)?;
        open_wallets(connection, ring, users, opened)?;
        compare_counts(connection)
    }

    /// Sessions were opened in a history that is over.
    fn begin_timeline(&self, connection: &Connection) -> Result<(), StoreError> {
        connection.execute("DELETE FROM session", [])?;
        Ok(())
    }
}

/// A user whose identifier does not open is a user who is never found again.
fn open_users(
    connection: &Connection,
    ring: &KeyRing,
    opened: &mut dyn FnMut(u64) -> Result<(), BackupError>,
) -> Result<u64, BackupError> {
    let failed = |error: rusqlite::Error| BackupError::from(StoreError::from(error));
    let mut statement = connection
        .prepare("SELECT user_id, auth_type, identifier FROM user")
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut done = 0_u64;
    while let Some(row) = rows.next().map_err(failed)? {
        let auth_type: String = row.get(1).map_err(failed)?;
        let identifier: Vec<u8> = row.get(2).map_err(failed)?;
        if let Err(error) = ring.unblind(user_context(&[auth_type.as_bytes()]), &identifier) {
            let user = Uuid::from_bytes(row.get(0).map_err(failed)?);
            return Err(damaged(format!("the identifier of user {user}: {error}")));
        }
        done += 1;
        if done.is_multiple_of(REPORT) {
            opened(done)?;
        }
    }
    Ok(done)
}

fn open_wallets(
    connection: &Connection,
    ring: &KeyRing,
    before: u64,
    opened: &mut dyn FnMut(u64) -> Result<(), BackupError>,
) -> Result<(), BackupError> {
    let failed = |error: rusqlite::Error| BackupError::from(StoreError::from(error));
    let mut statement = connection
        .prepare("SELECT wallet_id, public_key, share_id, key_version, sealed FROM wallet")
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut done = before;
    while let Some(row) = rows.next().map_err(failed)? {
        let wallet: [u8; 16] = row.get(0).map_err(failed)?;
        let public_key: Vec<u8> = row.get(1).map_err(failed)?;
        ring.unblind(key_context(), &public_key).map_err(|error| {
            damaged(format!(
                "the public key of wallet {}: {error}",
                Uuid::from_bytes(wallet)
            ))
        })?;
        if let Some(share) = row.get::<_, Option<[u8; 16]>>(2).map_err(failed)? {
            let (version, sealed): (u32, Vec<u8>) =
                (row.get(3).map_err(failed)?, row.get(4).map_err(failed)?);
            let items: [&[u8]; 2] = [&share, &wallet];
            let context = share_context(&items);
            ring.open(Purpose::Share, version, context, &sealed)
                .map_err(|error| damaged(format!("share {}: {error}", Uuid::from_bytes(share))))?;
        }
        done += 1;
        if done.is_multiple_of(REPORT) {
            opened(done)?;
        }
    }
    opened(done)
}

/// The counts that are kept in step with the rows, against the rows.
fn compare_counts(connection: &Connection) -> Result<(), BackupError> {
    let counted: u64 = count::read(connection)?
        .iter()
        .map(|count| count.shares)
        .sum();
    let there: u64 = connection
        .query_row("SELECT count(share_id) FROM wallet", [], |row| row.get(0))
        .map_err(StoreError::from)?;
    if counted != there {
        return Err(damaged(format!(
            "{there} shares are there and {counted} were counted"
        )));
    }
    Ok(())
}

/// The room of backups puts the file's name in.
fn damaged(what: String) -> BackupError {
    BackupError::Damaged {
        path: std::path::PathBuf::new(),
        what,
    }
}
