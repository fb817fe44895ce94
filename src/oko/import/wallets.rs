//! Wallets.

use rusqlite::Connection;

use super::plan::{Change, Plan};
use super::{Import, Seen};
use crate::crypto::KeyRing;
use crate::oko::OkoError;
use crate::oko::imported::{Entry, Imported, WalletExtra};
use crate::oko::report::Outcome;
use crate::oko::rows::{Kind, Wallet};
use crate::shares::{KnownWallet, RowTimes, Sealing, Transfer};
use crate::store::StoreError;

const CHUNK: usize = 512;

/// What is written for a wallet.
enum WalletChange {
    Add {
        wallet: Wallet,
        /// The owner's place here; a dry run has none for an owner it did not write.
        user: Option<i64>,
        public_key: Vec<u8>,
        entry: Entry,
    },
    Update {
        row: i64,
        /// Where it has no share, whose times the row has otherwise.
        times: Option<RowTimes>,
        entry: Entry,
    },
}

impl Import<'_> {
    pub(super) async fn wallets(&mut self) -> Result<(), OkoError> {
        let mut pass = self.pass(Kind::Wallet).await?;
        loop {
            let chunk = self.chunk(&mut pass, CHUNK).await?;
            self.take_over(&mut pass, chunk.rows, look_up).await?;
            if chunk.last {
                return Ok(());
            }
        }
    }
}

fn look_up(
    connection: &Connection,
    ring: &KeyRing,
    seen: &Seen,
    wallet: Wallet,
) -> Result<Plan<WalletChange>, OkoError> {
    let (imported, transfer) = (Imported(connection), Transfer(connection));
    let owner = imported.of_source(Kind::User, wallet.user_id)?;
    if owner.is_none() && !seen.users.contains(&wallet.user_id) {
        let why = format!("its user {} was not taken over", wallet.user_id);
        return Ok(Plan::Skip(why));
    }
    let user = owner.map(|owner| owner.row);
    let public_key = Sealing(ring).blind_key(&wallet.public_key)?;
    if let Some(entry) = imported.of_source(Kind::Wallet, wallet.wallet_id)? {
        let known = transfer.wallet(entry.row)?;
        let known =
            known.filter(|known| known.public_key == public_key && Some(known.user) == user);
        return again(ring, &wallet, &entry, known);
    }
    if transfer.wallet_of(&public_key)?.is_some() {
        let key = hex::encode(wallet.public_key.as_bytes());
        let why = format!("its public key {key} is registered here already");
        return Ok(Plan::Skip(why));
    }
    let extra = WalletExtra::from(&wallet);
    Ok(Plan::Write(WalletChange::Add {
        user,
        public_key,
        entry: Entry::seal(ring, Kind::Wallet, wallet.wallet_id, &extra)?,
        wallet,
    }))
}

/// A wallet that came before.
fn again(
    ring: &KeyRing,
    wallet: &Wallet,
    entry: &Entry,
    known: Option<KnownWallet>,
) -> Result<Plan<WalletChange>, OkoError> {
    let Some(known) = known else {
        let why = "this id is another wallet's here, or another user's";
        return Ok(Plan::Skip(why.to_owned()));
    };
    let extra = WalletExtra::from(wallet);
    if entry.open::<WalletExtra>(ring, Kind::Wallet)? == extra {
        return Ok(Plan::There);
    }
    Ok(Plan::Write(WalletChange::Update {
        row: known.row,
        times: known.share.is_none().then(|| times(wallet)),
        entry: Entry::seal(ring, Kind::Wallet, wallet.wallet_id, &extra)?,
    }))
}

fn times(wallet: &Wallet) -> RowTimes {
    RowTimes {
        created_at: wallet.created_at.timestamp(),
        updated_at: wallet.updated_at.timestamp(),
        reshared_at: None,
    }
}

impl Change for WalletChange {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Add { .. } => Outcome::Imported,
            Self::Update { .. } => Outcome::Updated,
        }
    }

    fn see(&self, seen: &mut Seen) {
        if let Self::Add { wallet, .. } = self {
            seen.wallets.insert(wallet.wallet_id);
        }
    }

    fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        let (imported, transfer) = (Imported(connection), Transfer(connection));
        match self {
            Self::Update { row, times, entry } => {
                if let Some(times) = times {
                    transfer.set_times(*row, *times)?;
                }
                imported.put(Kind::Wallet, *row, entry)?;
            }
            Self::Add {
                wallet,
                user: Some(user),
                public_key,
                entry,
            } => {
                let row = transfer.add_wallet(
                    wallet.wallet_id,
                    *user,
                    wallet.public_key.curve(),
                    public_key,
                    times(wallet),
                )?;
                imported.put(Kind::Wallet, row, entry)?;
            }
            Self::Add { user: None, .. } => {}
        }
        Ok(())
    }
}
