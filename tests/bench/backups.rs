//! What a backup costs, and what it costs registers that go on beside it: `cargo bench --bench node -- --backups`.
//!
//! The node's own backup (copy, verification, its place) is set beside other ways to copy a database in use, each of
//! them copying again and again while registers come in.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ksnode::control::{Client, Request, socket_path};
use ksnode::desk::BackupEntry;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

use crate::report::Line;

/// Pages a step, and how many times as long as the step the pause after it is, as in the node.
const STEP: i32 = 256;
const PAUSE: u32 = 2;

/// A way to copy the database in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// None: registers alone.
    Idle,
    /// The node's backup, verification and all.
    Node,
    /// The backup API in steps within one snapshot, as in the node, and no more.
    Steps,
    /// The backup API in one step.
    OneStep,
    /// `VACUUM INTO`.
    Vacuum,
}

impl Way {
    pub const ALL: [Self; 5] = [
        Self::Idle,
        Self::Node,
        Self::Steps,
        Self::OneStep,
        Self::Vacuum,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Idle => "no backup",
            Self::Node => "the node's backup, verified",
            Self::Steps => "backup API, steps in one snapshot",
            Self::OneStep => "backup API, one step",
            Self::Vacuum => "VACUUM INTO",
        }
    }
}

/// Copies a database in the background until it is told to stop.
pub struct Copier {
    pub way: Way,
    pub database: PathBuf,
    pub folder: PathBuf,
}

/// What copies there were.
#[derive(Clone, Debug, Default)]
pub struct Copies {
    pub seconds: Vec<f64>,
    pub bytes: u64,
    /// The longest that the write-ahead log became.
    pub log_bytes: u64,
}

impl Copier {
    /// Makes one copy.
    pub fn copy(&self) -> anyhow::Result<(f64, u64)> {
        let target = self.folder.join("copy.db");
        let _ = std::fs::remove_file(&target);
        let began = Instant::now();
        match self.way {
            Way::Idle => std::thread::sleep(Duration::from_millis(100)),
            Way::Node => return self.ask_node(),
            Way::Steps => self.by_backup_api(&target, STEP)?,
            Way::OneStep => self.by_backup_api(&target, -1)?,
            Way::Vacuum => {
                let path = target.to_str().context("a path that is no text")?;
                self.source()?.execute("VACUUM INTO ?1", [path])?;
                std::fs::File::open(&target)?.sync_all()?;
            }
        }
        let bytes = std::fs::metadata(&target).map_or(0, |meta| meta.len());
        Ok((began.elapsed().as_secs_f64(), bytes))
    }

    /// Copies again and again until `stop` is set.
    pub fn run(&self, stop: &Arc<AtomicBool>) -> anyhow::Result<Copies> {
        let mut copies = Copies::default();
        let log = {
            let mut name = self.database.clone().into_os_string();
            name.push("-wal");
            PathBuf::from(name)
        };
        while !stop.load(Ordering::Relaxed) {
            let (seconds, bytes) = self.copy()?;
            copies.seconds.push(seconds);
            copies.bytes = bytes;
            let length = std::fs::metadata(&log).map_or(0, |meta| meta.len());
            copies.log_bytes = copies.log_bytes.max(length);
        }
        Ok(copies)
    }

    fn source(&self) -> anyhow::Result<Connection> {
        Ok(Connection::open_with_flags(
            &self.database,
            OpenFlags::SQLITE_OPEN_READ_ONLY,
        )?)
    }

    fn by_backup_api(&self, target: &Path, pages: i32) -> anyhow::Result<()> {
        let source = self.source()?;
        source.execute_batch("BEGIN; SELECT count(*) FROM node;")?;
        let mut copy = Connection::open(target)?;
        copy.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
        let file = std::fs::File::open(target)?;
        let backup = Backup::new(&source, &mut copy)?;
        loop {
            let began = Instant::now();
            let step = backup.step(pages)?;
            file.sync_data()?;
            if step == StepResult::Done {
                return Ok(());
            }
            std::thread::sleep(began.elapsed() * PAUSE);
            ensure!(step == StepResult::More, "the copy had to wait");
        }
    }

    fn ask_node(&self) -> anyhow::Result<(f64, u64)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let data = self.database.parent().context("no data folder")?;
        runtime.block_on(async {
            let client = Client::connect(&socket_path(data)?).await?;
            let client = client.context("the node does not listen to commands")?;
            let began = Instant::now();
            let made: BackupEntry = client.ask(&Request::BackupCreate {}, |_| {}).await?;
            let seconds = began.elapsed().as_secs_f64();
            let bytes = made.bytes.context("a backup without a size")?;
            std::fs::remove_file(&made.path)?;
            Ok((seconds, bytes))
        })
    }
}

/// A way, what it took alone, and what registers met with beside it.
pub struct Measured {
    pub way: Way,
    pub alone: (f64, u64),
    pub beside: Copies,
    pub registers: Line,
}

/// The table of all ways; ratios are to registers without a backup.
pub fn print(users: u64, connections: usize, measured: &[Measured]) -> Value {
    println!("\nBackups of {users} users, registers at {connections} connections\n");
    println!(
        "| way | MB | s alone | s beside | WAL MB | registers/s | p50 ms | p99 ms | max ms | p99 x |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let idle = measured
        .first()
        .map_or(f64::NAN, |first| first.registers.p99);
    let mut rows = Vec::new();
    for line in measured {
        let count = f64::from(u32::try_from(line.beside.seconds.len()).unwrap_or(u32::MAX));
        let beside = line.beside.seconds.iter().sum::<f64>() / count.max(1.0);
        let registers = &line.registers;
        println!(
            "| {} | {:.0} | {:.2} | {:.2} | {:.0} | {:.0} | {:.2} | {:.2} | {:.1} | {:.2} |",
            line.way.name(),
            megabytes(line.alone.1),
            line.alone.0,
            beside,
            megabytes(line.beside.log_bytes),
            registers.per_second,
            registers.p50,
            registers.p99,
            registers.longest,
            registers.p99 / idle,
        );
        rows.push(json!({
            "way": line.way.name(), "bytes": line.alone.1, "seconds_alone": line.alone.0,
            "seconds_beside": beside, "log_bytes": line.beside.log_bytes,
            "registers_per_second": registers.per_second, "p99_ms": registers.p99,
            "p99_ratio": registers.p99 / idle,
        }));
    }
    json!({"users": users, "connections": connections, "ways": rows})
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
