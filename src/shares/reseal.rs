//! After a rotation of the share key: sealing old shares under the new key, a few at a time.
//!
//! The pass walks the table by row id and notes where it stands in the transaction that changes the rows, so it
//! can be stopped at any moment and goes on where it was. A row is replaced only if it still holds what was read. It ends
//! where the table ends at the time of that transaction: what was written meanwhile has larger ids, and is looked at too.

use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::ShareError;
use super::sealing::share_context;
use crate::crypto::{KeyRing, Purpose};
use crate::store::{Store, StoreError};

/// Rows a step changes. Small, so that registers that wait behind it wait some milliseconds at most.
const STEP: usize = 128;
/// Row ids a step looks at. More than are registered in the time of a step, or a busy node would never get to the end.
const LOOK: i64 = 4096;

/// How far the pass is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resealing {
    /// The key under which all shares are sealed in the end.
    pub key_version: u32,
    /// Wallets that were looked at.
    pub done: u64,
    /// Of how many, roughly.
    pub total: u64,
}

struct Row {
    wallet: i64,
    wallet_id: Uuid,
    share_id: Uuid,
    key_version: u32,
    sealed: Vec<u8>,
}

struct Resealed {
    wallet: i64,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// Does the next few rows. Nobody may write what an older ring has sealed.
pub(super) async fn step(store: &Store, ring: &KeyRing) -> Result<Option<usize>, ShareError> {
    let current = ring.current_version(Purpose::Share)?;
    let Some(position) = store
        .read(|connection| position(connection, current))
        .await?
    else {
        return Ok(None);
    };
    let (rows, next) = store
        .read(|connection| rows_from(connection, position, current))
        .await?;
    let mut resealed = Vec::new();
    for row in rows {
        match reseal(ring, &row) {
            Ok(after) => resealed.push(Resealed {
                wallet: row.wallet,
                before: row.sealed,
                after,
            }),
            // One damaged row must not keep all others under the old key.
            Err(error) => {
                tracing::error!(share_id = %row.share_id, %error, "a share does not open and was not resealed; restore it from a backup");
            }
        }
    }
    let count = resealed.len();
    store
        .write(move |connection| replace(connection, current, &resealed, next))
        .await?;
    Ok(Some(count))
}

/// How far the pass towards the newest key of `ring` is; `None` when it is finished.
pub(super) async fn progress(
    store: &Store,
    ring: &KeyRing,
) -> Result<Option<Resealing>, ShareError> {
    let key_version = ring.current_version(Purpose::Share)?;
    let (position, newest) = store
        .read(|connection| -> Result<_, StoreError> {
            Ok((position(connection, key_version)?, newest(connection)?))
        })
        .await?;
    Ok(position.map(|position| Resealing {
        key_version,
        done: u64::try_from(position.saturating_sub(1)).unwrap_or(0),
        total: u64::try_from(newest).unwrap_or(0),
    }))
}

/// Where the pass towards `version` goes on; `None` when it is finished.
fn position(connection: &Connection, version: u32) -> Result<Option<i64>, StoreError> {
    if version == 1 {
        return Ok(None);
    }
    let noted = connection
        .query_row(
            "SELECT key_version, next_wallet, finished FROM reseal",
            [],
            |row| {
                Ok((
                    row.get::<_, u32>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, bool>(2)?,
                ))
            },
        )
        .optional()?;
    Ok(match noted {
        Some((noted, _, true)) if noted == version => None,
        Some((noted, next, false)) if noted == version => Some(next),
        _ => Some(1),
    })
}

/// The newest wallet; 0 when there is none.
fn newest(connection: &Connection) -> Result<i64, StoreError> {
    let mut statement = connection.prepare_cached("SELECT coalesce(max(id), 0) FROM wallet")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// The next rows that are sealed under another key than `current`, and where the step after this one begins.
fn rows_from(
    connection: &Connection,
    position: i64,
    current: u32,
) -> Result<(Vec<Row>, i64), StoreError> {
    // Not beyond what is there at this moment: what comes is to be looked at.
    let end = position
        .saturating_add(LOOK)
        .min(newest(connection)?.saturating_add(1));
    let mut statement = connection.prepare_cached(
        "SELECT id, wallet_id, share_id, key_version, sealed FROM wallet
         WHERE id >= ?1 AND id < ?2 AND sealed IS NOT NULL AND key_version <> ?3 ORDER BY id LIMIT ?4",
    )?;
    let limit = i64::try_from(STEP).unwrap_or(i64::MAX);
    let rows = statement.query_map([position, end, i64::from(current), limit], |row| {
        Ok(Row {
            wallet: row.get(0)?,
            wallet_id: Uuid::from_bytes(row.get(1)?),
            share_id: Uuid::from_bytes(row.get(2)?),
            key_version: row.get(3)?,
            sealed: row.get(4)?,
        })
    })?;
    let rows: Vec<Row> = rows.collect::<Result<_, _>>()?;
    let full = rows.len() == STEP;
    let last = rows.last().filter(|_| full);
    let next = last.map_or(end, |row| row.wallet.saturating_add(1));
    Ok((rows, next.max(position)))
}

fn reseal(ring: &KeyRing, row: &Row) -> Result<Vec<u8>, ShareError> {
    let items: [&[u8]; 2] = [row.share_id.as_bytes(), row.wallet_id.as_bytes()];
    let context = share_context(&items);
    let share = ring.open(Purpose::Share, row.key_version, context, &row.sealed)?;
    let (_, sealed) = ring.seal(Purpose::Share, context, &share)?;
    Ok(sealed)
}

fn replace(
    connection: &Connection,
    version: u32,
    resealed: &[Resealed],
    next: i64,
) -> Result<(), StoreError> {
    let mut update = connection.prepare_cached(
        "UPDATE wallet SET key_version = ?1, sealed = ?2 WHERE id = ?3 AND sealed = ?4",
    )?;
    for row in resealed {
        update.execute(params![version, row.after, row.wallet, row.before])?;
    }
    let finished = newest(connection)? < next;
    connection
        .prepare_cached(
            "INSERT INTO reseal (id, key_version, next_wallet, finished) VALUES (1, ?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET key_version = excluded.key_version,
                 next_wallet = excluded.next_wallet, finished = excluded.finished",
        )?
        .execute(params![version, next, finished])?;
    Ok(())
}
