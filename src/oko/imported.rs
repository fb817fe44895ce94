//! The tables `imported` and `import`: what a take-over brought beyond users, wallets and shares, and how far it is.

use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::copy_text::Micros;
use super::rows::{EncryptedShare, Keypair, Kind, User, Wallet};
use crate::crypto::{Context, CryptoError, KeyRing, Purpose};
use crate::store::ColumnKind::{Blob as B, Integer as I, Text as T};
use crate::store::{LoggedTable, StoreError};

/// The tables of this room.
pub const IMPORT_TABLES: &str = include_str!("schema/imported.sql");

/// What of them a replica has: all. Their numbers are 30 to 39.
pub const IMPORT_LOGGED: [LoggedTable; 2] = [
    LoggedTable {
        number: 30,
        name: "imported",
        columns: &[
            ("id", I),
            ("kind", T),
            ("row", I),
            ("source_id", B),
            ("key_version", I),
            ("sealed", B),
        ],
        whole: false,
    },
    LoggedTable {
        number: 31,
        name: "import",
        columns: &[("id", I), ("finished", I)],
        whole: true,
    },
];

/// Sealed values are lengthened to whole blocks, so that they do not tell how long a note is.
const BLOCK: usize = 64;

/// What a user has in the suite alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UserExtra {
    pub(super) status: String,
    pub(super) created_at: Micros,
    pub(super) updated_at: Micros,
    pub(super) aux: Option<String>,
}

impl From<&User> for UserExtra {
    fn from(user: &User) -> Self {
        Self {
            status: user.status.clone(),
            created_at: user.created_at,
            updated_at: user.updated_at,
            aux: user.aux.clone(),
        }
    }
}

/// What a wallet has in the suite alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WalletExtra {
    pub(super) created_at: Micros,
    pub(super) updated_at: Micros,
    pub(super) aux: Option<String>,
}

impl From<&Wallet> for WalletExtra {
    fn from(wallet: &Wallet) -> Self {
        Self {
            created_at: wallet.created_at,
            updated_at: wallet.updated_at,
            aux: wallet.aux.clone(),
        }
    }
}

/// What a share has in the suite alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShareExtra {
    pub(super) status: String,
    pub(super) reshared_at: Micros,
    pub(super) created_at: Micros,
    pub(super) updated_at: Micros,
    pub(super) aux: Option<String>,
    /// SHA-256 of the encrypted share, in hex: equal ciphertext need not be decrypted again to be known as equal.
    pub(super) digest: String,
}

impl From<&EncryptedShare> for ShareExtra {
    fn from(share: &EncryptedShare) -> Self {
        use sha2::Digest;
        Self {
            status: share.status.clone(),
            reshared_at: share.reshared_at,
            created_at: share.created_at,
            updated_at: share.updated_at,
            aux: share.aux.clone(),
            digest: hex::encode(sha2::Sha256::digest(&share.encrypted)),
        }
    }
}

/// What a server key pair has in the suite alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeypairExtra {
    pub(super) version: u32,
    pub(super) active: bool,
    pub(super) created_at: Micros,
    pub(super) updated_at: Micros,
    pub(super) rotated_at: Option<Micros>,
}

impl From<&Keypair> for KeypairExtra {
    fn from(keypair: &Keypair) -> Self {
        Self {
            version: keypair.version,
            active: keypair.active,
            created_at: keypair.created_at,
            updated_at: keypair.updated_at,
            rotated_at: keypair.rotated_at,
        }
    }
}

/// A row of `imported`, sealed.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The row's id in the suite.
    pub(super) source_id: Uuid,
    /// Its place here.
    pub(super) row: i64,
    key_version: u32,
    sealed: Vec<u8>,
}

impl Entry {
    /// Seals what belongs to a row. Its place is known once it is written: [`Imported::put`] takes it.
    ///
    /// # Errors
    /// [`CryptoError`].
    pub(super) fn seal(
        ring: &KeyRing,
        kind: Kind,
        source_id: Uuid,
        extra: &impl Serialize,
    ) -> Result<Self, CryptoError> {
        let mut text = Zeroizing::new(serde_json::to_vec(extra).map_err(|_| CryptoError::Seal)?);
        // JSON may end with spaces.
        let length = text.len().next_multiple_of(BLOCK);
        text.resize(length, b' ');
        let items: [&[u8]; 2] = [kind.as_str().as_bytes(), source_id.as_bytes()];
        let (key_version, sealed) = ring.seal(Purpose::Share, place(&items), &text)?;
        Ok(Self {
            source_id,
            row: 0,
            key_version,
            sealed,
        })
    }

    /// Opens it.
    ///
    /// # Errors
    /// [`CryptoError`].
    pub(super) fn open<T: DeserializeOwned>(
        &self,
        ring: &KeyRing,
        kind: Kind,
    ) -> Result<T, CryptoError> {
        let items: [&[u8]; 2] = [kind.as_str().as_bytes(), self.source_id.as_bytes()];
        let opened = ring.open(
            Purpose::Share,
            self.key_version,
            place(&items),
            &self.sealed,
        )?;
        serde_json::from_slice(&opened).map_err(|_| CryptoError::NotAuthentic)
    }

    /// The same under the newest key.
    ///
    /// # Errors
    /// [`CryptoError`].
    pub(super) fn resealed(&self, ring: &KeyRing, kind: &str) -> Result<Self, CryptoError> {
        let items: [&[u8]; 2] = [kind.as_bytes(), self.source_id.as_bytes()];
        let context = place(&items);
        let opened = ring.open(Purpose::Share, self.key_version, context, &self.sealed)?;
        let (key_version, sealed) = ring.seal(Purpose::Share, context, &opened)?;
        Ok(Self {
            key_version,
            sealed,
            ..*self
        })
    }
}

/// A row of `imported` that an earlier key seals.
#[derive(Clone, Debug)]
pub(super) struct Older {
    /// Where it is in the order of a pass: the key's version and the row's id.
    pub(super) place: (u32, i64),
    /// As it is written.
    pub(super) kind: String,
    pub(super) entry: Entry,
}

fn place<'a>(items: &'a [&'a [u8]]) -> Context<'a> {
    Context {
        label: "ksnode/imported/1",
        items,
    }
}

/// Both tables in one database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Imported<'a>(pub(super) &'a Connection);

impl Imported<'_> {
    /// The row that came as `source_id`.
    pub(super) fn of_source(self, kind: Kind, id: Uuid) -> Result<Option<Entry>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT source_id, row, key_version, sealed FROM imported WHERE kind = ?1 AND source_id = ?2",
        )?;
        Ok(statement
            .query_row(params![kind.as_str(), id.as_bytes()], entry)
            .optional()?)
    }

    /// What came for the row at that place.
    pub(super) fn of_row(self, kind: Kind, row: i64) -> Result<Option<Entry>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT source_id, row, key_version, sealed FROM imported WHERE kind = ?1 AND row = ?2",
        )?;
        Ok(statement
            .query_row(params![kind.as_str(), row], entry)
            .optional()?)
    }

    /// Notes what came for the row at that place, or what has become of it since.
    pub(super) fn put(self, kind: Kind, row: i64, entry: &Entry) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO imported (kind, row, source_id, key_version, sealed) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (kind, source_id) DO UPDATE SET key_version = excluded.key_version, sealed = excluded.sealed",
            )?
            .execute(params![
                kind.as_str(),
                row,
                entry.source_id.as_bytes(),
                entry.key_version,
                entry.sealed
            ])?;
        Ok(())
    }

    /// The next rows that a key before `current` seals.
    pub(super) fn older(
        self,
        current: u32,
        after: (u32, i64),
        limit: i64,
    ) -> Result<Vec<Older>, StoreError> {
        let mut statement = self.0.prepare_cached(
            "SELECT source_id, row, key_version, sealed, kind, id FROM imported
             WHERE key_version < ?1 AND (key_version, id) > (?2, ?3) ORDER BY key_version, id LIMIT ?4",
        )?;
        let rows = statement.query_map(params![current, after.0, after.1, limit], |row| {
            let entry = entry(row)?;
            Ok(Older {
                place: (entry.key_version, row.get(5)?),
                kind: row.get(4)?,
                entry,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Puts `entry` in the place of a row that still holds what was read.
    pub(super) fn replace(self, before: &Older, entry: &Entry) -> Result<(), StoreError> {
        self.0
            .prepare_cached(
                "UPDATE imported SET key_version = ?1, sealed = ?2 WHERE id = ?3 AND sealed = ?4",
            )?
            .execute(params![
                entry.key_version,
                entry.sealed,
                before.place.1,
                before.entry.sealed
            ])?;
        Ok(())
    }

    /// How many rows of a kind came.
    pub(super) fn count(self, kind: Kind) -> Result<u64, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT count(*) FROM imported WHERE kind = ?1")?;
        Ok(statement.query_row([kind.as_str()], |row| row.get(0))?)
    }

    /// Notes that an import is under way, or that it is done.
    pub(super) fn mark(self, finished: bool) -> Result<(), StoreError> {
        self.0.execute(
            "INSERT INTO import (id, finished) VALUES (1, ?1)
             ON CONFLICT DO UPDATE SET finished = excluded.finished",
            [finished],
        )?;
        Ok(())
    }
}

fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        source_id: Uuid::from_bytes(row.get(0)?),
        row: row.get(1)?,
        key_version: row.get(2)?,
        sealed: row.get(3)?,
    })
}

/// Whether an import was begun in this database and not finished.
///
/// # Errors
/// [`StoreError`].
pub fn is_unfinished(connection: &Connection) -> Result<bool, StoreError> {
    let finished: Option<bool> = connection
        .query_row("SELECT finished FROM import", [], |row| row.get(0))
        .optional()?;
    Ok(finished == Some(false))
}

/// Opens everything that is sealed in `imported`, and returns how many rows that were.
///
/// # Errors
/// What is damaged, for people; or the database's.
pub fn open_all(
    connection: &Connection,
    ring: &KeyRing,
) -> Result<Result<u64, String>, StoreError> {
    let mut statement =
        connection.prepare("SELECT source_id, row, key_version, sealed, kind FROM imported")?;
    let mut rows = statement.query([])?;
    let mut opened = 0_u64;
    while let Some(row) = rows.next()? {
        let (found, name) = (entry(row)?, row.get::<_, String>(4)?);
        let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == name);
        let result = kind.map(|kind| found.open::<serde_json::Value>(ring, kind));
        if !matches!(result, Some(Ok(_))) {
            let id = found.source_id;
            return Ok(Err(format!("what was imported with {name} {id}")));
        }
        opened = opened.saturating_add(1);
    }
    Ok(Ok(opened))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_opens_at_its_place_and_does_not_tell_its_length() {
        let ring = KeyRing::generate([1; 16]).unwrap();
        let database = Connection::open_in_memory().unwrap();
        database.execute_batch(IMPORT_TABLES).unwrap();
        let extra = |aux: Option<&str>| WalletExtra {
            created_at: Micros(1),
            updated_at: Micros(2),
            aux: aux.map(str::to_owned),
        };
        let id = Uuid::from_u128(7);
        let seal = |extra: &WalletExtra| Entry::seal(&ring, Kind::Wallet, id, extra).unwrap();
        let (short, long) = (seal(&extra(None)), seal(&extra(Some("{\"a\": 1}"))));
        assert_eq!(short.sealed.len(), long.sealed.len());
        let imported = Imported(&database);
        imported.put(Kind::Wallet, 3, &short).unwrap();
        imported.put(Kind::Wallet, 3, &long).unwrap();
        let found = imported.of_source(Kind::Wallet, id).unwrap().unwrap();
        assert_eq!(found.row, 3);
        let opened: WalletExtra = found.open(&ring, Kind::Wallet).unwrap();
        assert_eq!(opened, extra(Some("{\"a\": 1}")));
        assert!(found.open::<WalletExtra>(&ring, Kind::User).is_err());
        assert!(imported.of_row(Kind::Wallet, 3).unwrap().is_some());
        assert!(imported.of_row(Kind::Share, 3).unwrap().is_none());
        assert_eq!(open_all(&database, &ring).unwrap(), Ok(1));
        database
            .execute("UPDATE imported SET kind = 'user'", [])
            .unwrap();
        assert!(open_all(&database, &ring).unwrap().is_err());
    }

    #[test]
    fn an_import_is_unfinished_until_it_is_marked() {
        let database = Connection::open_in_memory().unwrap();
        database.execute_batch(IMPORT_TABLES).unwrap();
        assert!(!is_unfinished(&database).unwrap());
        Imported(&database).mark(false).unwrap();
        assert!(is_unfinished(&database).unwrap());
        Imported(&database).mark(true).unwrap();
        assert!(!is_unfinished(&database).unwrap());
    }
}
