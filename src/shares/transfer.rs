//! Whole rows of users and wallets, with the ids and times they have: for what comes from another node's database and
//! for what goes to one.
//!
//! The calls of the API know a moment only, now, and never name a row by its place. Here rows come with a past, in
//! batches, and their order is that of the table.

use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{CurveType, SealedShare, count, table};
use crate::clock::Timestamp;
use crate::identity::AuthType;
use crate::store::StoreError;

/// A user's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownUser {
    /// Its place in the table.
    pub row: i64,
    /// Its id.
    pub user_id: Uuid,
    /// The provider.
    pub auth_type: AuthType,
    /// Blind.
    pub identifier: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The times of a wallet and its share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowTimes {
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// When the share was confirmed in a reshare.
    pub reshared_at: Option<Timestamp>,
}

/// A wallet's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownWallet {
    /// Its place in the table.
    pub row: i64,
    /// Its id.
    pub wallet_id: Uuid,
    /// Its owner's place in the table of users.
    pub user: i64,
    /// Its owner's id.
    pub user_id: Uuid,
    /// Its owner's provider.
    pub auth_type: AuthType,
    /// Its curve.
    pub curve: CurveType,
    /// Blind.
    pub public_key: Vec<u8>,
    /// Its share, when it has one.
    pub share: Option<SealedShare>,
    /// Its times.
    pub times: RowTimes,
}

const USER: &str = "SELECT id, user_id, auth_type, identifier, created_at FROM user";
const WALLET: &str =
    "SELECT wallet.id, wallet_id, user, user_id, auth_type, curve_type, public_key, share_id, key_version, sealed,
            wallet.created_at, updated_at, reshared_at
     FROM wallet JOIN user ON user.id = wallet.user";

/// The rows in one database.
#[derive(Clone, Copy, Debug)]
pub struct Transfer<'a>(pub &'a Connection);

impl Transfer<'_> {
    /// The user at that place.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn user(self, row: i64) -> Result<Option<KnownUser>, StoreError> {
        let mut statement = self.0.prepare_cached(&format!("{USER} WHERE id = ?1"))?;
        Ok(statement.query_row([row], user).optional()?)
    }

    /// The user of that blind identifier.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn user_of(self, identifier: &[u8]) -> Result<Option<KnownUser>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached(&format!("{USER} WHERE identifier = ?1"))?;
        Ok(statement.query_row([identifier], user).optional()?)
    }

    /// The next users behind that place, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn users_after(self, row: i64, limit: u32) -> Result<Vec<KnownUser>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached(&format!("{USER} WHERE id > ?1 ORDER BY id LIMIT ?2"))?;
        let rows = statement.query_map(params![row, limit], user)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The wallet at that place.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn wallet(self, row: i64) -> Result<Option<KnownWallet>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached(&format!("{WALLET} WHERE wallet.id = ?1"))?;
        let mut rows = statement.query([row])?;
        rows.next()?.map(wallet).transpose()
    }

    /// The wallet of that blind public key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn wallet_of(self, public_key: &[u8]) -> Result<Option<KnownWallet>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached(&format!("{WALLET} WHERE public_key = ?1"))?;
        let mut rows = statement.query([public_key])?;
        rows.next()?.map(wallet).transpose()
    }

    /// The next wallets behind that place, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn wallets_after(self, row: i64, limit: u32) -> Result<Vec<KnownWallet>, StoreError> {
        let mut statement = self.0.prepare_cached(&format!(
            "{WALLET} WHERE wallet.id > ?1 ORDER BY wallet.id LIMIT ?2"
        ))?;
        let mut rows = statement.query(params![row, limit])?;
        let mut wallets = Vec::new();
        while let Some(row) = rows.next()? {
            wallets.push(wallet(row)?);
        }
        Ok(wallets)
    }

    /// Users, and wallets that have a share.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn totals(self) -> Result<(u64, u64, u64), StoreError> {
        Ok(self.0.query_row(
            "SELECT (SELECT count(*) FROM user), count(*), count(share_id) FROM wallet",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?)
    }

    /// Adds a user. Returns its place.
    ///
    /// # Errors
    /// [`StoreError`], also when the identifier is known.
    pub fn add_user(
        self,
        user_id: Uuid,
        auth_type: &AuthType,
        identifier: &[u8],
        created_at: Timestamp,
    ) -> Result<i64, StoreError> {
        table::add_user(self.0, user_id, auth_type, identifier, created_at)
    }

    /// Adds a wallet that has no share yet. Returns its place.
    ///
    /// # Errors
    /// [`StoreError`], also when the public key is known.
    pub fn add_wallet(
        self,
        wallet_id: Uuid,
        user: i64,
        curve: CurveType,
        public_key: &[u8],
        times: RowTimes,
    ) -> Result<i64, StoreError> {
        self.0
            .prepare_cached(
                "INSERT INTO wallet (wallet_id, user, curve_type, public_key, created_at, updated_at, reshared_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute(params![
                wallet_id.as_bytes(),
                user,
                curve.as_str(),
                public_key,
                times.created_at.as_millis(),
                times.updated_at.as_millis(),
                times.reshared_at.map(Timestamp::as_millis)
            ])?;
        Ok(self.0.last_insert_rowid())
    }

    /// Gives a wallet its share and the share's times, and counts it. False when it has one already.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn add_share(
        self,
        wallet: &KnownWallet,
        share: &SealedShare,
        times: RowTimes,
    ) -> Result<bool, StoreError> {
        let changed = self
            .0
            .prepare_cached(
                "UPDATE wallet SET share_id = ?2, key_version = ?3, sealed = ?4,
                                   created_at = ?5, updated_at = ?6, reshared_at = ?7
                 WHERE id = ?1 AND share_id IS NULL",
            )?
            .execute(params![
                wallet.row,
                share.share_id.as_bytes(),
                share.key_version,
                share.sealed,
                times.created_at.as_millis(),
                times.updated_at.as_millis(),
                times.reshared_at.map(Timestamp::as_millis)
            ])?;
        if changed == 1 {
            count::add_one(self.0, &wallet.auth_type, wallet.curve)?;
        }
        Ok(changed == 1)
    }

    /// Sets when a wallet or its share was changed and confirmed last.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn set_times(self, row: i64, times: RowTimes) -> Result<(), StoreError> {
        self.0
            .prepare_cached("UPDATE wallet SET updated_at = ?2, reshared_at = ?3 WHERE id = ?1")?
            .execute(params![
                row,
                times.updated_at.as_millis(),
                times.reshared_at.map(Timestamp::as_millis)
            ])?;
        Ok(())
    }
}

fn user(row: &Row<'_>) -> rusqlite::Result<KnownUser> {
    Ok(KnownUser {
        row: row.get(0)?,
        user_id: Uuid::from_bytes(row.get(1)?),
        auth_type: AuthType::from_stored(row.get_ref(2)?.as_str()?),
        identifier: row.get(3)?,
        created_at: Timestamp::from_millis(row.get(4)?),
    })
}

fn wallet(row: &Row<'_>) -> Result<KnownWallet, StoreError> {
    let place: i64 = row.get(0)?;
    let curve = row.get_ref(5)?.as_str().ok().and_then(CurveType::from_name);
    let share = row
        .get::<_, Option<[u8; 16]>>(7)?
        .map(|share_id| {
            Ok::<_, StoreError>(SealedShare {
                share_id: Uuid::from_bytes(share_id),
                key_version: row.get(8)?,
                sealed: row.get(9)?,
            })
        })
        .transpose()?;
    Ok(KnownWallet {
        row: place,
        wallet_id: Uuid::from_bytes(row.get(1)?),
        user: row.get(2)?,
        user_id: Uuid::from_bytes(row.get(3)?),
        auth_type: AuthType::from_stored(&row.get::<_, String>(4)?),
        curve: curve.ok_or_else(|| StoreError::Damaged(format!("the curve of wallet {place}")))?,
        public_key: row.get(6)?,
        share,
        times: RowTimes {
            created_at: Timestamp::from_millis(row.get(10)?),
            updated_at: Timestamp::from_millis(row.get(11)?),
            reshared_at: row.get::<_, Option<i64>>(12)?.map(Timestamp::from_millis),
        },
    })
}
