//! After a rotation of the share key: sealing under the new key what a take-over brought beside the shares, a few rows at a
//! time.
//!
//! Shares have a pass of their own, which notes where it stands. This one finds by an index what is left to do, and
//! remembers only in memory what it could not do: so a node without such rows has nothing to look for.

use super::OkoError;
use super::imported::Imported;
use crate::crypto::{KeyRing, Purpose};
use crate::store::{Store, StoreError};

/// Rows of a step. Small, so that registers that wait behind it wait some milliseconds at most.
const STEP: i64 = 128;

/// A pass over one database, under one key ring.
#[derive(Debug, Default)]
pub struct Reseal {
    /// The last row that was looked at, by its key's version and its id.
    after: (u32, i64),
}

impl Reseal {
    /// Seals the next few rows under the newest key. Returns how many there were, and `None` once there is none left.
    ///
    /// # Errors
    /// [`OkoError::Store`], [`OkoError::Crypto`]. A row that does not open is named in the log and left as it is.
    pub async fn step(&mut self, store: &Store, ring: &KeyRing) -> Result<Option<usize>, OkoError> {
        let (current, after) = (ring.current_version(Purpose::Share)?, self.after);
        let older = move |connection: &rusqlite::Connection| {
            Imported(connection).older(current, after, STEP)
        };
        let rows = store.read::<_, StoreError>(older).await?;
        let Some(last) = rows.last() else {
            return Ok(None);
        };
        let next = last.place;
        let mut resealed = Vec::with_capacity(rows.len());
        for row in rows {
            match row.entry.resealed(ring, &row.kind) {
                Ok(entry) => resealed.push((row, entry)),
                // One damaged row must not keep all others under the old key.
                Err(error) => {
                    tracing::error!(kind = row.kind, id = %row.entry.source_id, %error, "what was imported with a row does not open and was not resealed; restore it from a backup");
                }
            }
        }
        let count = resealed.len();
        let replace = move |connection: &rusqlite::Connection| {
            let imported = Imported(connection);
            resealed
                .iter()
                .try_for_each(|(row, entry)| imported.replace(row, entry))
        };
        store.write::<_, StoreError>(replace).await?;
        self.after = next;
        Ok(Some(count))
    }
}
