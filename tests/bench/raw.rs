//! The comparison: the rows of a register written straight through rusqlite by one thread that commits what
//! waits as one group.
//!
//! The same as in the node: the database (a copy of its file), WAL with `synchronous=FULL`, page cache,
//! foreign keys, group size (what waits, so as many rows as there are callers at most), and checkpoints on a thread of
//! their own with the same thresholds. Left out: HTTP, JSON, logins, sealing, savepoints, and the question whether the
//! user is known.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use hdrhistogram::Histogram;
use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::load::{Measured, histogram};
use crate::users::Numbers;

const BATCH: usize = 256;
const PASSIVE_PAGES: u64 = 2048;
const RESTART_PAGES: u64 = 16 * 1024;

/// Pages in the write-ahead log after the last commit; the hook that tells them can carry nothing.
static LOG_PAGES: AtomicU64 = AtomicU64::new(0);

/// What one register stores: random bytes, as long as a Telegram user's sealed and blind values are.
struct Rows {
    user_id: [u8; 16],
    identifier: [u8; 48],
    secp256k1: Wallet<49>,
    ed25519: Wallet<48>,
}

struct Wallet<const N: usize> {
    wallet_id: [u8; 16],
    public_key: [u8; N],
    share_id: [u8; 16],
    sealed: [u8; 96],
}

impl Rows {
    fn random(numbers: &mut Numbers) -> Self {
        Self {
            user_id: numbers.bytes(),
            identifier: numbers.bytes(),
            secp256k1: Wallet::random(numbers),
            ed25519: Wallet::random(numbers),
        }
    }

    fn insert(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO user (user_id, auth_type, identifier, created_at) VALUES (?1, 'telegram', ?2, ?3)",
            )?
            .execute(params![self.user_id, self.identifier, NOW])?;
        let user = connection.last_insert_rowid();
        self.secp256k1.insert(connection, user, "secp256k1")?;
        self.ed25519.insert(connection, user, "ed25519")
    }
}

/// A time like those that the node stores.
const NOW: i64 = 1_790_000_000_000;

impl<const N: usize> Wallet<N> {
    fn random(numbers: &mut Numbers) -> Self {
        Self {
            wallet_id: numbers.bytes(),
            public_key: numbers.bytes(),
            share_id: numbers.bytes(),
            sealed: numbers.bytes(),
        }
    }

    fn insert(&self, connection: &Connection, user: i64, curve: &str) -> rusqlite::Result<()> {
        connection
            .prepare_cached(
                "INSERT INTO wallet (wallet_id, user, curve_type, public_key,
                                     share_id, key_version, sealed, created_at, updated_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?7)",
            )?
            .execute(params![
                self.wallet_id,
                user,
                curve,
                self.public_key,
                self.share_id,
                self.sealed,
                NOW
            ])?;
        connection
            .prepare_cached(
                "INSERT INTO share_count (auth_type, curve_type, shares) VALUES ('telegram', ?1, 1)
                 ON CONFLICT DO UPDATE SET shares = shares + 1",
            )?
            .execute([curve])?;
        Ok(())
    }
}

struct Job {
    rows: Box<Rows>,
    committed: oneshot::Sender<()>,
}

/// A database to be written to.
pub struct Raw {
    path: PathBuf,
    /// Makes the rows of each run different.
    seed: u64,
}

impl Raw {
    /// The closed database at `path`.
    pub fn new(path: PathBuf) -> Self {
        Self { path, seed: 0 }
    }

    /// `callers` at once, each writing its next rows when the last are on the disk. Latencies are a caller's wait.
    pub async fn run(&mut self, callers: usize, time: Duration) -> anyhow::Result<Measured> {
        let connection = open(&self.path)?;
        let checkpoints = Checkpoints::start(&self.path)?;
        let (queue, jobs) = channel();
        let writer = std::thread::spawn(move || write(connection, &jobs, &checkpoints));
        let began = Instant::now();
        let mut waiting = JoinSet::new();
        for _ in 0..callers {
            self.seed += 1;
            let numbers = Numbers::new(self.seed << 32);
            waiting.spawn(call(queue.clone(), numbers, began + time));
        }
        drop(queue);
        let mut latencies = histogram()?;
        while let Some(caller) = waiting.join_next().await {
            latencies.add(caller??)?;
        }
        let elapsed = began.elapsed();
        writer
            .join()
            .map_err(|_| anyhow!("the raw writer panicked"))??;
        Ok(Measured { elapsed, latencies })
    }
}

async fn call(
    queue: Sender<Job>,
    mut numbers: Numbers,
    end: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = histogram()?;
    loop {
        let rows = Box::new(Rows::random(&mut numbers));
        let sent = Instant::now();
        if sent >= end {
            return Ok(latencies);
        }
        let (committed, answer) = oneshot::channel();
        let job = Job { rows, committed };
        queue
            .send(job)
            .map_err(|_| anyhow!("the raw writer ended"))?;
        answer.await?;
        latencies.record(u64::try_from(sent.elapsed().as_nanos())?)?;
    }
}

fn write(
    mut connection: Connection,
    jobs: &Receiver<Job>,
    checkpoints: &Checkpoints,
) -> rusqlite::Result<()> {
    let mut due = PASSIVE_PAGES;
    while let Ok(first) = jobs.recv() {
        let group: Vec<Job> = [first]
            .into_iter()
            .chain(jobs.try_iter().take(BATCH - 1))
            .collect();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for job in &group {
            job.rows.insert(&transaction)?;
        }
        transaction.commit()?;
        for job in group {
            // The caller may have given up at the end of its time.
            let _ = job.committed.send(());
        }
        due = checkpoints.after_commit(&connection, due)?;
    }
    connection.close().map_err(|(_, error)| error)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.set_prepared_statement_cache_capacity(64);
    LOG_PAGES.store(0, Ordering::Relaxed);
    connection.wal_hook(Some(|_, pages| {
        LOG_PAGES.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }));
    Ok(connection)
}

struct Checkpoints {
    wake: SyncSender<()>,
}

impl Checkpoints {
    fn start(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        let (wake, woken) = sync_channel(1);
        std::thread::spawn(move || {
            while woken.recv().is_ok() {
                // One that fails is made up for by the next.
                let _ = checkpoint(&connection, "PASSIVE");
            }
        });
        Ok(Self { wake })
    }

    /// Returns the length of the log at which the next checkpoint is due.
    fn after_commit(&self, writer: &Connection, due: u64) -> rusqlite::Result<u64> {
        let pages = LOG_PAGES.load(Ordering::Relaxed);
        if pages >= RESTART_PAGES {
            checkpoint(writer, "RESTART")?;
            return Ok(PASSIVE_PAGES);
        }
        if pages >= due {
            // A full channel means that one is due already.
            let _ = self.wake.try_send(());
            return Ok(pages + PASSIVE_PAGES);
        }
        Ok(if pages < PASSIVE_PAGES {
            PASSIVE_PAGES
        } else {
            due
        })
    }
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<()> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))
}
