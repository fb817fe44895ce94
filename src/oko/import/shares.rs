//! Key shares: decrypted on all cores, a few chunks ahead of the writer.

use std::collections::VecDeque;

use rusqlite::Connection;
use subtle::ConstantTimeEq;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::plan::{Change, Plan, Plans};
use super::{Import, Seen};
use crate::crypto::KeyRing;
use crate::oko::imported::{Entry, Imported, ShareExtra};
use crate::oko::report::Outcome;
use crate::oko::rows::{EncryptedShare, Kind};
use crate::oko::{OkoError, SuiteSecret};
use crate::shares::{KnownWallet, RowTimes, SHARE_LENGTH, SealedShare, Sealing, Share, Transfer};
use crate::store::StoreError;

/// Rows that one thread decrypts in a row: some 200 ms of work, lost when the import is cut off.
const CHUNK: usize = 16;

/// What is known of a share before it is decrypted.
enum Work {
    There,
    Skip(String),
    /// Its wallet waits for it. A dry run has no wallet for one it did not write.
    New(EncryptedShare, Option<Box<KnownWallet>>),
    /// The wallet has it; only its status, times or notes differ.
    Changed(EncryptedShare, Box<KnownWallet>),
    /// The wallet has it, and the suite has encrypted it anew: is it the same?
    Compare(EncryptedShare, Box<KnownWallet>, SealedShare),
}

/// What is written for a share.
enum ShareChange {
    Add {
        wallet: Box<KnownWallet>,
        sealed: SealedShare,
        times: RowTimes,
        entry: Entry,
    },
    Update {
        row: i64,
        times: RowTimes,
        entry: Entry,
    },
    /// In a dry run, that of a wallet it did not write: it opens.
    Would,
}

/// A chunk that is being decrypted.
type Decrypting = JoinHandle<Result<Plans<ShareChange>, OkoError>>;

impl Import<'_> {
    pub(super) async fn shares(&mut self) -> Result<(), OkoError> {
        let mut pass = self.pass(Kind::Share).await?;
        let ahead = std::thread::available_parallelism().map_or(1, usize::from);
        let mut decrypted: VecDeque<Decrypting> = VecDeque::new();
        let mut last = false;
        while !last || !decrypted.is_empty() {
            // One more than there are cores, so that none waits while a chunk is written.
            while !last && decrypted.len() <= ahead {
                let chunk = self.chunk::<EncryptedShare>(&mut pass, CHUNK).await?;
                last = chunk.last;
                decrypted.push_back(self.decrypt(chunk.rows).await?);
            }
            if let Some(next) = decrypted.pop_front() {
                let plans = next.await.map_err(|error| {
                    let ended = std::io::Error::other(error);
                    OkoError::io(self.source.place().as_ref(), ended)
                })?;
                self.carry_out(&mut pass, plans?).await?;
            }
        }
        Ok(())
    }

    /// Begins to decrypt what must be.
    async fn decrypt(&mut self, rows: Vec<EncryptedShare>) -> Result<Decrypting, OkoError> {
        let (ring, seen) = (&self.node.ring, &self.seen);
        let works: Vec<(Uuid, Work)> = self
            .node
            .store
            .read(|connection| {
                rows.into_iter()
                    .map(|share| Ok((share.share_id, look_up(connection, ring, seen, share)?)))
                    .collect::<Result<_, OkoError>>()
            })
            .await?;
        let derivations = works.iter().filter(|(_, work)| work.derives()).count();
        let derivations = u64::try_from(derivations).unwrap_or(u64::MAX);
        self.report.derivations = self.report.derivations.saturating_add(derivations);
        let (secret, ring) = (self.secret.clone(), self.node.ring.clone());
        Ok(tokio::task::spawn_blocking(move || {
            let works = works.into_iter();
            works
                .map(|(id, work)| Ok((id, work.plan(&secret, &ring)?)))
                .collect()
        }))
    }
}

fn look_up(
    connection: &Connection,
    ring: &KeyRing,
    seen: &Seen,
    share: EncryptedShare,
) -> Result<Work, OkoError> {
    let imported = Imported(connection);
    let Some(entry) = imported.of_source(Kind::Wallet, share.wallet_id)? else {
        if seen.wallets.contains(&share.wallet_id) {
            return Ok(Work::New(share, None));
        }
        let why = format!("its wallet {} was not taken over", share.wallet_id);
        return Ok(Work::Skip(why));
    };
    let Some(wallet) = Transfer(connection).wallet(entry.row)? else {
        return Ok(Work::Skip("its wallet is gone".to_owned()));
    };
    let wallet = Box::new(wallet);
    let Some(known) = wallet.share.clone() else {
        return Ok(Work::New(share, Some(wallet)));
    };
    if known.share_id != share.share_id {
        let why = format!("its wallet has another share here, {}", known.share_id);
        return Ok(Work::Skip(why));
    }
    let extra = imported
        .of_row(Kind::Share, wallet.row)?
        .map(|entry| entry.open::<ShareExtra>(ring, Kind::Share))
        .transpose()?;
    let now = ShareExtra::from(&share);
    Ok(match extra {
        Some(extra) if extra == now => Work::There,
        Some(extra) if extra.digest == now.digest => Work::Changed(share, wallet),
        _ => Work::Compare(share, wallet, known),
    })
}

impl Work {
    fn derives(&self) -> bool {
        matches!(self, Self::New(..) | Self::Compare(..))
    }

    fn plan(self, secret: &SuiteSecret, ring: &KeyRing) -> Result<Plan<ShareChange>, OkoError> {
        let seal = |share: &EncryptedShare| {
            let extra = ShareExtra::from(share);
            Entry::seal(ring, Kind::Share, share.share_id, &extra)
        };
        let update = |wallet: &KnownWallet, share: &EncryptedShare| {
            Ok(Plan::Write(ShareChange::Update {
                row: wallet.row,
                times: latest(wallet, share),
                entry: seal(share)?,
            }))
        };
        match self {
            Self::There => Ok(Plan::There),
            Self::Skip(why) => Ok(Plan::Skip(why)),
            Self::Changed(share, wallet) => update(&wallet, &share),
            Self::New(share, wallet) => {
                let opened = match open(secret, &share.encrypted) {
                    Ok(opened) => opened,
                    Err(why) => return Ok(Plan::Skip(why)),
                };
                let Some(wallet) = wallet else {
                    return Ok(Plan::Write(ShareChange::Would));
                };
                let sealing = Sealing(ring);
                let sealed = sealing.seal_share(share.share_id, wallet.wallet_id, &opened)?;
                Ok(Plan::Write(ShareChange::Add {
                    sealed,
                    times: times(&share),
                    entry: seal(&share)?,
                    wallet,
                }))
            }
            Self::Compare(share, wallet, known) => {
                let opened = match open(secret, &share.encrypted) {
                    Ok(opened) => opened,
                    Err(why) => return Ok(Plan::Skip(why)),
                };
                let here = Sealing(ring).open_share(wallet.wallet_id, &known)?;
                if !bool::from(here.ct_eq(opened.expose().as_slice())) {
                    let why = "the share of this id is another one here".to_owned();
                    return Ok(Plan::Skip(why));
                }
                update(&wallet, &share)
            }
        }
    }
}

fn open(secret: &SuiteSecret, encrypted: &[u8]) -> Result<Share, String> {
    let opened = secret
        .open::<SHARE_LENGTH>(encrypted)
        .map_err(|error| error.to_string())?;
    Share::from_bytes(opened.as_slice()).map_err(|error| error.to_string())
}

fn times(share: &EncryptedShare) -> RowTimes {
    RowTimes {
        created_at: share.created_at.timestamp(),
        updated_at: share.updated_at.timestamp(),
        reshared_at: Some(share.reshared_at.timestamp()),
    }
}

/// Both sides may have confirmed the share since: the later moment holds.
fn latest(wallet: &KnownWallet, share: &EncryptedShare) -> RowTimes {
    let there = times(share);
    RowTimes {
        created_at: wallet.times.created_at,
        updated_at: wallet.times.updated_at.max(there.updated_at),
        reshared_at: wallet.times.reshared_at.max(there.reshared_at),
    }
}

impl Change for ShareChange {
    fn outcome(&self) -> Outcome {
        match self {
            Self::Add { .. } | Self::Would => Outcome::Imported,
            Self::Update { .. } => Outcome::Updated,
        }
    }

    /// Nothing refers to a share.
    fn see(&self, _: &mut Seen) {}

    fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        let (imported, transfer) = (Imported(connection), Transfer(connection));
        match self {
            Self::Add {
                wallet,
                sealed,
                times,
                entry,
            } => {
                if transfer.add_share(wallet, sealed, *times)? {
                    imported.put(Kind::Share, wallet.row, entry)?;
                }
            }
            Self::Update { row, times, entry } => {
                transfer.set_times(*row, *times)?;
                imported.put(Kind::Share, *row, entry)?;
            }
            Self::Would => {}
        }
        Ok(())
    }
}
