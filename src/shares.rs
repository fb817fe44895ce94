//! The rules of the key share node: register, get, check, reshare, commit-reveal.
//!
//! Users and public keys reach the database only in blind form, shares only sealed; both happen here, on the
//! caller's thread and outside the writer. What the database may hold and what must happen in one transaction is
//! this room's too (`table`, `session`); how a transaction becomes durable is the store's.

mod contents;
mod count;
mod growth;
mod look_up;
mod replicated;
mod reseal;
mod rotation;
mod sealing;
mod session;
mod table;
mod transfer;
mod values;

use std::ops::Deref;
use std::sync::Arc;

use rusqlite::Connection;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::audit::{Action, Actor, AuditLog, Entry};
use crate::clock::SharedClock;
use crate::crypto::{CryptoError, EncryptionSecret, KeyRing, Purpose, random_id};
use crate::identity::UserId;
use crate::store::{Keychain, KeychainError, Store, StoreError, Unlocked};
pub use contents::ShareContents;
pub use count::ShareCount;
pub use growth::{GROWTH_TABLE, Growth};
pub use look_up::KnownShare;
pub use replicated::{SHARE_DERIVED, SHARE_LOGGED};
pub use reseal::Resealing;
use rotation::{Ring, RingInUse, change_keys};
pub use sealing::{SealedShare, Sealing};
pub use session::{
    ApiName, Commitment, OperationType, Reveal, RevealedCall, SESSION_LIFETIME, SessionError,
    Sessions,
};
use table::{Asked, Found, NewRow};
pub use transfer::{KnownUser, KnownWallet, RowTimes, Transfer};
pub use values::{CurveType, PublicKey, SHARE_LENGTH, Share, ValueError};

/// The tables of this room.
pub const SHARE_TABLES: &str = include_str!("shares/schema/shares.sql");

/// Why a request about shares was not fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The caller has nothing here.
    #[error("user not found")]
    UserNotFound,
    /// The public key is not known, or the user has no wallet of the curve that was needed.
    #[error("no {0} wallet with this public key")]
    WalletNotFound(CurveType),
    /// The wallet is known and has no share.
    #[error("no key share for this {0} wallet")]
    KeyShareNotFound(CurveType),
    /// The wallet is another user's.
    #[error("the {0} wallet belongs to another user")]
    NotOwner(CurveType),
    /// The public key is known already, whoever owns it.
    #[error("the {0} public key is registered already")]
    DuplicatePublicKey(CurveType),
    /// The share given is not the one stored.
    #[error("the {0} share differs from the stored one")]
    ShareMismatch(CurveType),
    /// The call's commit-reveal session does not allow it.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key is missing, or a stored value does not open.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
}

impl From<rusqlite::Error> for ShareError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A public key together with its owner's share for this node.
#[derive(Debug)]
pub struct WalletShare {
    /// The wallet's public key.
    pub public_key: PublicKey,
    /// The share.
    pub share: Share,
}

/// A share as it comes back to its owner.
#[derive(Debug)]
pub struct StoredShare {
    /// Its id.
    pub share_id: Uuid,
    /// The share.
    pub share: Share,
}

/// The service behind the API. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KeyShares {
    store: Arc<Store>,
    ring: Ring,
    clock: SharedClock,
}

impl KeyShares {
    /// The service over an open store.
    pub fn new(store: Arc<Store>, ring: Arc<KeyRing>, clock: SharedClock) -> Self {
        let ring = Ring::new(ring);
        Self { store, ring, clock }
    }

    /// Stores shares under new public keys, all or none. The user is created when new.
    ///
    /// # Errors
    /// [`ShareError::DuplicatePublicKey`] when a key is known, whoever owns it; [`ShareError::Session`].
    pub async fn register(
        &self,
        user: &UserId,
        wallets: Vec<WalletShare>,
        reveal: Option<Reveal>,
    ) -> Result<(), ShareError> {
        let ring = self.ring.get();
        let owner = Sealing(&ring).blind_user(user)?;
        let rows = seal_all(&ring, &wallets)?;
        let auth_type = user.auth_type().clone();
        let new_user = random_id()?;
        let now = self.clock.now();
        self.store
            .write(move |connection| {
                let _sealed_with = ring;
                Reveal::record(reveal.as_ref(), connection, now)?;
                let user = table::ensure_user(connection, new_user, &auth_type, &owner, now)?;
                insert_all(connection, user, &auth_type, &rows, now)
            })
            .await
    }

    /// Stores an ed25519 share for a user who has a secp256k1 wallet here.
    ///
    /// # Errors
    /// [`ShareError::UserNotFound`], [`ShareError::WalletNotFound`], [`ShareError::DuplicatePublicKey`],
    /// [`ShareError::Session`].
    pub async fn register_ed25519(
        &self,
        user: &UserId,
        wallet: WalletShare,
        reveal: Option<Reveal>,
    ) -> Result<(), ShareError> {
        let ring = self.ring.get();
        let owner = Sealing(&ring).blind_user(user)?;
        let rows = seal_all(&ring, &[wallet])?;
        let auth_type = user.auth_type().clone();
        let now = self.clock.now();
        self.store
            .write(move |connection| {
                let _sealed_with = ring;
                Reveal::record(reveal.as_ref(), connection, now)?;
                let user = table::find_user(connection, &owner)?.ok_or(ShareError::UserNotFound)?;
                if !table::has_wallet(connection, user, CurveType::Secp256k1)? {
                    return Err(ShareError::WalletNotFound(CurveType::Secp256k1));
                }
                insert_all(connection, user, &auth_type, &rows, now)
            })
            .await
    }

    /// The user's shares for `keys`, in their order.
    ///
    /// # Errors
    /// The first key's that fails: [`ShareError::UserNotFound`], [`ShareError::WalletNotFound`],
    /// [`ShareError::NotOwner`], [`ShareError::KeyShareNotFound`]; [`ShareError::Session`].
    pub async fn get(
        &self,
        user: &UserId,
        keys: &[PublicKey],
        reveal: Option<Reveal>,
    ) -> Result<Vec<StoredShare>, ShareError> {
        let found = self.find(user, keys).await?;
        let shares = keys
            .iter()
            .zip(found)
            .map(|(key, found)| self.open(key.curve(), &found?))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(reveal) = reveal {
            // What the call gives away is given only once its record is on the disk.
            let now = self.clock.now();
            self.store
                .write(move |connection| Reveal::record(Some(&reveal), connection, now))
                .await?;
        }
        Ok(shares)
    }

    /// Whether shares exist for `keys`, in their order. Anybody may ask who knows user and key.
    ///
    /// # Errors
    /// [`ShareError::NotOwner`] when a key is another user's.
    pub async fn check(&self, user: &UserId, keys: &[PublicKey]) -> Result<Vec<bool>, ShareError> {
        let found = self.find(user, keys).await?;
        keys.iter()
            .zip(found)
            .map(|(key, found)| match found {
                Err(ShareError::NotOwner(curve)) => Err(ShareError::NotOwner(curve)),
                Err(ShareError::Store(error)) => Err(error.into()),
                Err(_) => Ok(false),
                Ok(found) => Ok(found.curve == key.curve()),
            })
            .collect()
    }

    /// Confirms that the shares given are those stored, and notes the time: all or none.
    ///
    /// # Errors
    /// The first wallet's that fails: [`ShareError::ShareMismatch`]; otherwise as [`Self::get`].
    pub async fn reshare(
        &self,
        user: &UserId,
        wallets: Vec<WalletShare>,
        reveal: Option<Reveal>,
    ) -> Result<(), ShareError> {
        let keys: Vec<PublicKey> = wallets.iter().map(|wallet| wallet.public_key).collect();
        let mut confirmed = Vec::with_capacity(wallets.len());
        for (wallet, found) in wallets.iter().zip(self.find(user, &keys).await?) {
            let found = found?;
            let curve = wallet.public_key.curve();
            let stored = self.open(curve, &found)?;
            if !bool::from(stored.share.expose().ct_eq(wallet.share.expose())) {
                return Err(ShareError::ShareMismatch(curve));
            }
            confirmed.push(found.wallet);
        }
        // Nothing changes the content of a share in one database, and a restore's is another one, to which this write
        // cannot go: what was compared is what is marked.
        let now = self.clock.now();
        self.store
            .write(move |connection| {
                Reveal::record(reveal.as_ref(), connection, now)?;
                for &wallet in &confirmed {
                    table::mark_reshared(connection, wallet, now)?;
                }
                Ok(())
            })
            .await
    }

    /// Makes a new share key, which seals from now on, as `actor` wants it, and returns its version. Requests go on meanwhile. Older shares open
    /// as before, and [`Self::reseal_step`] seals them anew.
    ///
    /// # Errors
    /// [`KeychainError`]: the secret is not the database's, or the database refuses. There may be a new key all the same when a
    /// replica that has to have it does not answer.
    pub async fn rotate_key(
        &self,
        secret: EncryptionSecret,
        audit: &AuditLog,
        actor: &Actor,
    ) -> Result<u32, KeychainError> {
        let _turn = self.ring.turn().await;
        let (audit, actor) = (audit.clone(), actor.clone());
        let change = move |connection: &Connection, key: &Unlocked, now| {
            let keychain = Keychain(connection);
            keychain.rotate_share_key(key, now)?;
            let ring = keychain.ring_entries()?;
            let shares = ring
                .iter()
                .filter(|row| row.purpose == Purpose::Share.as_str());
            let version = shares.map(|row| row.version).max().unwrap_or_default();
            let detail = format!("version {version}");
            let entry = Entry::done(&actor, Action::ShareKeyRotate, detail);
            audit.append(connection, &entry);
            Ok(())
        };
        let (changed, opened) = change_keys(&self.store, secret, self.clock.now(), change).await;
        let version = opened
            .map(|keys| self.ring.replace(keys.ring))
            .transpose()?;
        changed?;
        // Without an error the keys were opened.
        version.ok_or_else(|| StoreError::Closed.into())
    }

    /// The keys of now: what is sealed with them is sealed under the newest share key.
    pub fn keys(&self) -> Arc<impl Deref<Target = KeyRing> + Send + Sync + use<>> {
        self.ring.get()
    }

    /// Returns after the next rotation, or the last one when nobody has waited for it yet.
    pub async fn rotated(&self) {
        self.ring.rotated().await;
    }

    /// How far the pass is that [`Self::reseal_step`] does; `None` when all shares are sealed under the newest key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn resealing(&self) -> Result<Option<Resealing>, ShareError> {
        reseal::progress(&self.store, &self.ring.get()).await
    }

    /// After a rotation of the share key: seals the next few older shares under the new one. Returns how many were
    /// resealed, 0 also while something sealed under an older key may still be written, and `None` once there is none
    /// left.
    ///
    /// # Errors
    /// [`ShareError::Crypto`] when a share does not open (it is named in the log and left as it is); [`StoreError`].
    pub async fn reseal_step(&self) -> Result<Option<usize>, ShareError> {
        let Some(ring) = self.ring.alone() else {
            return Ok(Some(0));
        };
        reseal::step(&self.store, &ring).await
    }

    /// How many shares there are, by provider and curve.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(&self) -> Result<Vec<ShareCount>, StoreError> {
        self.store.read(count::read).await
    }

    /// Outer errors are the store's, inner ones say of each key what is not there.
    async fn find(
        &self,
        user: &UserId,
        keys: &[PublicKey],
    ) -> Result<Vec<Result<Found, ShareError>>, ShareError> {
        let ring = self.ring.get();
        let owner = Sealing(&ring).blind_user(user)?;
        let asked = keys
            .iter()
            .map(|key| {
                Ok(Asked {
                    curve: key.curve(),
                    public_key: Sealing(&ring).blind_key(key)?,
                })
            })
            .collect::<Result<Vec<_>, CryptoError>>()?;
        self.store
            .read(|connection| Ok(table::find(connection, &owner, &asked)?))
            .await
    }

    fn open(&self, curve: CurveType, found: &Found) -> Result<StoredShare, ShareError> {
        // Asked for now, after the row was read: it has the row's key.
        let opened = Sealing(&self.ring.get()).open_share(found.wallet_id, &found.share)?;
        let share = Share::from_bytes(&opened)
            .map_err(|_| StoreError::Damaged(format!("a {curve} share of the wrong length")))?;
        Ok(StoredShare {
            share_id: found.share.share_id,
            share,
        })
    }
}

fn seal_all(ring: &RingInUse, wallets: &[WalletShare]) -> Result<Vec<NewRow>, ShareError> {
    wallets.iter().map(|wallet| seal(ring, wallet)).collect()
}

fn seal(ring: &RingInUse, wallet: &WalletShare) -> Result<NewRow, ShareError> {
    let wallet_id = random_id()?;
    let share = Sealing(ring).seal_share(random_id()?, wallet_id, &wallet.share)?;
    Ok(NewRow {
        curve: wallet.public_key.curve(),
        wallet_id,
        public_key: Sealing(ring).blind_key(&wallet.public_key)?,
        share,
    })
}

fn insert_all(
    connection: &Connection,
    user: i64,
    auth_type: &crate::identity::AuthType,
    rows: &[NewRow],
    now: crate::clock::Timestamp,
) -> Result<(), ShareError> {
    for row in rows {
        table::insert(connection, user, row, now)?;
        count::add_one(connection, auth_type, row.curve)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
