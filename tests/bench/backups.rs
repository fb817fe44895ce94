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
use serde_json::json;

use crate::calls::Bench;
use crate::node::Home;
use crate::part::{Part, Table, count, figure};
use crate::report::Line;
use crate::{Flags, LARGE, block_on};

/// Pages a step, and how many times as long as the step the pause after it is, as in the node.
const STEP: i32 = 256;
const PAUSE: u32 = 2;

/// A way to copy the database in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
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
    const ALL: [Self; 5] = [
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
struct Copier {
    way: Way,
    database: PathBuf,
    folder: PathBuf,
}

/// What copies there were.
#[derive(Clone, Debug, Default)]
struct Copies {
    seconds: Vec<f64>,
    bytes: u64,
    /// The longest that the write-ahead log became.
    log_bytes: u64,
}

impl Copier {
    /// Makes one copy.
    fn copy(&self) -> anyhow::Result<(f64, u64)> {
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
    fn run(&self, stop: &Arc<AtomicBool>) -> anyhow::Result<Copies> {
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
        let data = self.database.parent().context("no data folder")?;
        block_on(async {
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
struct Measured {
    way: Way,
    alone: (f64, u64),
    beside: Copies,
    registers: Line,
}

/// What a backup costs, and costs others.
pub fn measure(flags: &Flags, folder: &Path) -> anyhow::Result<Part> {
    let users = flags.users.unwrap_or(LARGE);
    let home = Home::new(flags.node.clone(), folder.join("node"), &flags.set)?;
    // Makes what a first start makes.
    home.start()?.stop()?;
    home.fill(0..users)?;
    let (mut bench, runtime) = Bench::start(flags, &home, users)?;
    let connections = flags.most_connections();
    let mut measured = Vec::new();
    for way in Way::ALL {
        let copier = Copier {
            way,
            database: home.database(),
            folder: folder.to_owned(),
        };
        let alone = copier.copy()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let beside = std::thread::spawn(move || copier.run(&stopped));
        let registers = runtime.block_on(bench.register(connections));
        stop.store(true, Ordering::Relaxed);
        let beside = beside
            .join()
            .map_err(|_| anyhow::anyhow!("the copier panicked"))??;
        measured.push(Measured {
            way,
            alone,
            beside,
            registers: registers?,
        });
    }
    bench.end()?;
    Ok(part(users, connections, &measured))
}

/// The table of all ways; ratios are to registers without a backup.
fn part(users: u64, connections: usize, measured: &[Measured]) -> Part {
    let mut table = Table::new([
        "way",
        "MB",
        "s alone",
        "s beside",
        "WAL MB",
        "registers a second",
        "p50 ms",
        "p99 ms",
        "longest ms",
        "p99, of that without",
    ]);
    let idle = measured
        .first()
        .map_or(f64::NAN, |first| first.registers.p99);
    let mut rows = Vec::new();
    for line in measured {
        let copies = f64::from(u32::try_from(line.beside.seconds.len()).unwrap_or(u32::MAX));
        let beside = line.beside.seconds.iter().sum::<f64>() / copies.max(1.0);
        let registers = &line.registers;
        table.row([
            line.way.name().to_owned(),
            figure(megabytes(line.alone.1)),
            figure(line.alone.0),
            figure(beside),
            figure(megabytes(line.beside.log_bytes)),
            figure(registers.per_second),
            figure(registers.p50),
            figure(registers.p99),
            figure(registers.longest),
            figure(registers.p99 / idle),
        ]);
        rows.push(json!({
            "way": line.way.name(), "bytes": line.alone.1, "seconds_alone": line.alone.0,
            "seconds_beside": beside, "log_bytes": line.beside.log_bytes,
            "registers_per_second": registers.per_second, "p99_ms": registers.p99,
            "p99_ratio": registers.p99 / idle,
        }));
    }
    let users_shown = count(users);
    Part {
        text: format!(
            "Backups of {users_shown} users again and again, beside registers at {connections} connections:\n\n{table}"
        ),
        json: json!({"users": users, "connections": connections, "ways": rows}),
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
