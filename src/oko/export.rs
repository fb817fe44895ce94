//! The export: a node as the Docker suite keeps it, second generation.
//!
//! What came in with an import goes out as it came, but for what happened here since: then this node's moments hold. What
//! was registered here gets what the suite would have written, `active` and no notes. Each share is encrypted under a salt
//! of its own, which takes as long as decrypting it does and is done on all cores as well.

mod lines;
mod sink;

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tokio::task::JoinHandle;

use super::imported::{Entry, Imported};
use super::rows::Kind;
use super::{OkoError, Skipped, Step, Stopped, SuiteSecret};
use crate::audit::Action;
use crate::service::postgres::Target;
use crate::shares::{KnownWallet, Transfer};
use crate::store::{Keychain, StoreError};
use lines::{Maker, keypair_lines};
use sink::Sink;

/// Rows read at once.
const CHUNK: u32 = 512;
/// Shares that one thread encrypts in a row.
const SHARES: u32 = 16;

/// Where an export goes.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A database whose tables are empty or not there yet: all of it in one transaction.
    Live(Target),
    /// A new file for psql.
    File(PathBuf),
}

/// What an export wrote.
#[derive(Clone, Debug, Serialize)]
pub struct ExportReport {
    /// Where it went.
    pub destination: String,
    /// Rows by table.
    pub tables: BTreeMap<Kind, u64>,
    /// Rows that do not open here, which are in no table.
    pub skipped: Vec<Skipped>,
    /// How long it took.
    pub milliseconds: u64,
}

impl ExportReport {
    fn new(destination: String) -> Self {
        Self {
            destination,
            tables: Kind::ALL.map(|kind| (kind, 0)).into_iter().collect(),
            skipped: Vec::new(),
            milliseconds: 0,
        }
    }
}

/// Writes everything that the node has to `destination`, encrypted under `secret`.
///
/// # Errors
/// [`OkoError`]: then there is no file, and the database is as it was.
pub async fn export(
    node: &Stopped,
    secret: SuiteSecret,
    destination: &Destination,
    watch: &(dyn Fn(Step) + Send + Sync),
) -> Result<ExportReport, OkoError> {
    let sink = Sink::open(destination).await?;
    let place = format!("to {}", sink.place());
    node.begins(Action::Export, &place).await;
    let exported = run(node, secret, sink, watch).await;
    node.ended(Action::Export, &place, &exported).await;
    exported
}

async fn run(
    node: &Stopped,
    secret: SuiteSecret,
    sink: Sink,
    watch: &(dyn Fn(Step) + Send + Sync),
) -> Result<ExportReport, OkoError> {
    let began = node.clock.monotonic();
    let (users, wallets, shares) = node
        .store
        .read(|connection| Transfer(connection).totals())
        .await?;
    let ring = node.ring.clone();
    let mut export = Export {
        node,
        maker: Arc::new(Maker { ring, secret }),
        report: ExportReport::new(sink.place()),
        sink,
        watch,
        totals: [
            (Kind::User, users),
            (Kind::Wallet, wallets),
            (Kind::Share, shares),
        ]
        .into(),
    };
    export.keypairs().await?;
    export.users().await?;
    export.wallets().await?;
    export.shares().await?;
    let Export {
        sink, mut report, ..
    } = export;
    sink.finish(&report.tables).await?;
    let took = node.clock.monotonic().saturating_sub(began);
    report.milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Ok(report)
}

struct Export<'a> {
    node: &'a Stopped,
    maker: Arc<Maker>,
    report: ExportReport,
    sink: Sink,
    watch: &'a (dyn Fn(Step) + Send + Sync),
    totals: BTreeMap<Kind, u64>,
}

/// A row's line, or why there is none.
type Made = Result<String, Skipped>;

/// A wallet with what came for it of a kind.
type WithEntry<T> = Vec<(T, Option<Entry>)>;

impl Export<'_> {
    async fn write(&mut self, kind: Kind, lines: Vec<Made>) -> Result<(), OkoError> {
        for line in lines {
            match line {
                Ok(line) => {
                    self.sink.line(&line).await?;
                    let count = self.report.tables.entry(kind).or_default();
                    *count = count.saturating_add(1);
                }
                Err(skipped) => self.report.skipped.push(skipped),
            }
        }
        let done = self.report.tables.get(&kind).copied().unwrap_or_default();
        let total = self.totals.get(&kind).copied().unwrap_or(done);
        (self.watch)(Step { kind, done, total });
        Ok(())
    }

    async fn keypairs(&mut self) -> Result<(), OkoError> {
        let ring = self.node.ring.clone();
        let keys = self
            .node
            .store
            .read(|connection| {
                let keys = Keychain(connection).open_node_keys(&ring)?;
                keys.into_iter()
                    .map(|(entry, key)| {
                        let row = i64::from(entry.version);
                        let came = Imported(connection).of_row(Kind::Keypair, row)?;
                        Ok((entry, key, came))
                    })
                    .collect::<Result<Vec<_>, OkoError>>()
            })
            .await?;
        self.sink.begin(Kind::Keypair).await?;
        let lines = keypair_lines(&self.maker, &keys)?;
        self.write(Kind::Keypair, lines.into_iter().map(Ok).collect())
            .await?;
        self.sink.end().await
    }

    async fn users(&mut self) -> Result<(), OkoError> {
        self.sink.begin(Kind::User).await?;
        let mut after = i64::MIN;
        loop {
            let rows = self
                .node
                .store
                .read(|connection| {
                    let users = Transfer(connection).users_after(after, CHUNK)?;
                    with_entries(connection, Kind::User, users, |user| user.row)
                })
                .await?;
            let Some((last, _)) = rows.last() else { break };
            after = last.row;
            let lines = rows
                .iter()
                .map(|(user, came)| self.maker.user(user, came.as_ref()));
            let lines = lines.collect();
            self.write(Kind::User, lines).await?;
        }
        self.sink.end().await
    }

    async fn wallets(&mut self) -> Result<(), OkoError> {
        self.sink.begin(Kind::Wallet).await?;
        let mut after = i64::MIN;
        loop {
            let rows = self.wallets_after(after, CHUNK, Kind::Wallet).await?;
            let Some((last, _)) = rows.last() else { break };
            after = last.row;
            let lines = rows
                .iter()
                .map(|(wallet, came)| self.maker.wallet(wallet, came.as_ref()));
            let lines = lines.collect();
            self.write(Kind::Wallet, lines).await?;
        }
        self.sink.end().await
    }

    async fn shares(&mut self) -> Result<(), OkoError> {
        self.sink.begin(Kind::Share).await?;
        let ahead = std::thread::available_parallelism().map_or(1, usize::from);
        let mut encrypted: VecDeque<JoinHandle<Vec<Made>>> = VecDeque::new();
        let (mut after, mut last) = (i64::MIN, false);
        while !last || !encrypted.is_empty() {
            while !last && encrypted.len() <= ahead {
                let rows = self.wallets_after(after, SHARES, Kind::Share).await?;
                let Some((wallet, _)) = rows.last() else {
                    last = true;
                    break;
                };
                after = wallet.row;
                let maker = self.maker.clone();
                encrypted.push_back(tokio::task::spawn_blocking(move || {
                    rows.iter()
                        .filter_map(|(wallet, came)| maker.share(wallet, came.as_ref()))
                        .collect()
                }));
            }
            if let Some(next) = encrypted.pop_front() {
                let place = self.report.destination.clone();
                let lines = next
                    .await
                    .map_err(|error| OkoError::io(place.as_ref(), std::io::Error::other(error)))?;
                self.write(Kind::Share, lines).await?;
            }
        }
        self.sink.end().await
    }

    async fn wallets_after(
        &self,
        row: i64,
        limit: u32,
        kind: Kind,
    ) -> Result<WithEntry<KnownWallet>, StoreError> {
        self.node
            .store
            .read(|connection| {
                let wallets = Transfer(connection).wallets_after(row, limit)?;
                with_entries(connection, kind, wallets, |wallet| wallet.row)
            })
            .await
    }
}

fn with_entries<T>(
    connection: &rusqlite::Connection,
    kind: Kind,
    rows: Vec<T>,
    place: impl Fn(&T) -> i64,
) -> Result<WithEntry<T>, StoreError> {
    rows.into_iter()
        .map(|row| {
            let came = Imported(connection).of_row(kind, place(&row))?;
            Ok((row, came))
        })
        .collect()
}
