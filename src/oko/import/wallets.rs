//! Wallets.

use rusqlite::Connection;

use super::{Import, Seen};
use crate::crypto::KeyRing;
use crate::oko::OkoError;
use crate::oko::imported::{Entry, Imported, WalletExtra};
use crate::oko::report::Outcome;
use crate::oko::rows::{Kind, Wallet};
use crate::shares::{KnownWallet, RowTimes, Sealing, Transfer};

const CHUNK: usize = 512;

/// What is to be done about a wallet.
enum Plan {
    There,
    Skip(String),
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
            let chunk = self.chunk::<Wallet>(&mut pass, CHUNK).await?;
            let (last, count) = (chunk.last, chunk.rows.len());
            let mut plans = Vec::with_capacity(count);
            let (ring, seen) = (&self.node.ring, &self.seen);
            let planned = self
                .node
                .store
                .read(|connection| {
                    let plans = chunk.rows.into_iter();
                    plans
                        .map(|wallet| Ok((wallet.wallet_id, plan(connection, ring, seen, wallet)?)))
                        .collect::<Result<Vec<_>, OkoError>>()
                })
                .await?;
            for (id, plan) in planned {
                match plan {
                    Plan::There => self.report.note(Kind::Wallet, Outcome::There),
                    Plan::Skip(why) => self.report.skip(Kind::Wallet, id, why),
                    plan => plans.push(plan),
                }
            }
            self.write_wallets(plans).await?;
            self.tell(&mut pass, count);
            if last {
                return Ok(());
            }
        }
    }

    async fn write_wallets(&mut self, plans: Vec<Plan>) -> Result<(), OkoError> {
        if plans.is_empty() {
            return Ok(());
        }
        let outcomes: Vec<Outcome> = plans.iter().map(Plan::outcome).collect();
        if !self.options.dry_run {
            self.begin().await?;
            self.node
                .store
                .write(move |connection| plans.iter().try_for_each(|plan| plan.write(connection)))
                .await?;
        } else {
            let Seen { wallets, .. } = &mut self.seen;
            wallets.extend(plans.iter().filter_map(|plan| match plan {
                Plan::Add { wallet, .. } => Some(wallet.wallet_id),
                _ => None,
            }));
        }
        self.note_all(Kind::Wallet, outcomes);
        Ok(())
    }
}

fn plan(
    connection: &Connection,
    ring: &KeyRing,
    seen: &Seen,
    wallet: Wallet,
) -> Result<Plan, OkoError> {
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
    Ok(Plan::Add {
        user,
        public_key,
        entry: Entry::seal(
            ring,
            Kind::Wallet,
            wallet.wallet_id,
            &WalletExtra::from(&wallet),
        )?,
        wallet,
    })
}

/// A wallet that came before.
fn again(
    ring: &KeyRing,
    wallet: &Wallet,
    entry: &Entry,
    known: Option<KnownWallet>,
) -> Result<Plan, OkoError> {
    let Some(known) = known else {
        let why = "this id is another wallet's here, or another user's";
        return Ok(Plan::Skip(why.to_owned()));
    };
    let extra = WalletExtra::from(wallet);
    if entry.open::<WalletExtra>(ring, Kind::Wallet)? == extra {
        return Ok(Plan::There);
    }
    Ok(Plan::Update {
        row: known.row,
        times: known.share.is_none().then(|| times(wallet)),
        entry: Entry::seal(ring, Kind::Wallet, wallet.wallet_id, &extra)?,
    })
}

fn times(wallet: &Wallet) -> RowTimes {
    RowTimes {
        created_at: wallet.created_at.timestamp(),
        updated_at: wallet.updated_at.timestamp(),
        reshared_at: None,
    }
}

impl Plan {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Add { .. } => Outcome::Imported,
            Self::Update { .. } => Outcome::Updated,
            Self::There | Self::Skip(_) => Outcome::There,
        }
    }

    fn write(&self, connection: &Connection) -> Result<(), OkoError> {
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
            Self::There | Self::Skip(_) | Self::Add { user: None, .. } => {}
        }
        Ok(())
    }
}
