//! How fast the node is: `cargo bench --bench node`.
//!
//! Starts the release binary in a folder of its own and drives it over loopback from this process: `GET /`, check,
//! get, reshare and register (v2, both curves, Telegram logins, rate limit off) at 1, 16 and 64 connections, and beside each
//! level of registers the same rows written straight through rusqlite ([`raw`]). Figures mean something as ratios
//! within one run; the generator of load shares the machine with the node.
#![allow(
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "a benchmark may do what the node must not"
)]

mod backups;
mod bare;
mod handshakes;
mod load;
mod node;
mod process;
mod raw;
mod report;
mod requests;
mod tls;
mod users;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use ksnode::clock::{Clock, SystemClock, Timestamp};
use serde_json::json;
use tokio::runtime::Runtime;

use backups::{Copier, Way};
use load::{Load, Order};
use node::{Home, Node, copy_database};
use raw::Raw;
use report::{Line, Memory, Report, compare};
use requests::{Call, Requests};
use users::Numbers;

/// Users in the small database.
const SMALL: u64 = 10_000;
/// Users who take part in gets, checks and reshares, drawn from all of them.
const SAMPLE: usize = 50_000;
/// Registers of a warm-up.
const WARM_REGISTERS: u64 = 50_000;

/// Measures a ksnode
#[derive(Parser)]
struct Flags {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Connections, one round of measurements for each
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64])]
    connections: Vec<usize>,
    /// Calls to be measured, beside which registers are compared
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Call::ALL)]
    calls: Vec<Call>,
    /// A smoke test: one second each, 1 and 16 connections
    #[arg(long)]
    quick: bool,
    /// Measure a second database with this many users
    #[arg(long)]
    users: Option<u64>,
    /// Measure backups, and registers beside them, instead of calls
    #[arg(long)]
    backups: bool,
    /// Measure TLS, beside a server of rustls and tokio alone, instead of calls
    #[arg(long)]
    tls: bool,
    /// Be that server, with what is in this folder
    #[arg(long, hide = true, value_name = "DIR")]
    bare: Option<PathBuf>,
    /// Where nodes and the comparison keep their databases [default: the build's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Another build of the node [default: this one's]
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_ksnode"), hide_default_value = true)]
    node: PathBuf,
    /// Write the results as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A variable for the node, e.g. KSNODE_LOG__LEVEL=warn
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    set: Vec<(String, String)>,
    /// Given by `cargo bench`; without it nothing is measured, so that `cargo test --all-targets` stays quick
    #[arg(long, hide = true)]
    bench: bool,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn main() -> anyhow::Result<()> {
    let mut flags = Flags::parse();
    if let Some(folder) = flags.bare {
        return bare::serve(&folder);
    }
    if !flags.bench {
        println!("nothing is measured without --bench");
        return Ok(());
    }
    if flags.quick {
        flags.seconds = 1.0;
        flags.connections = vec![1, 16];
    }
    let temporary = env!("CARGO_TARGET_TMPDIR");
    let parent = flags.folder.clone().unwrap_or_else(|| temporary.into());
    std::fs::create_dir_all(&parent)?;
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(parent)?;
    if flags.backups {
        let users = flags.users.unwrap_or(1_000_000);
        let measured = measure_backups(&flags, folder.path(), users)?;
        return write_json(&flags, &measured);
    }
    if flags.tls {
        return write_json(&flags, &tls::measure(&flags, folder.path())?);
    }
    let small = measure(&flags, &folder.path().join("small"), SMALL)?;
    small.print();
    let mut result = json!({"databases": [small.json()]});
    if let Some(users) = flags.users {
        let large = measure(&flags, &folder.path().join("large"), users)?;
        large.print();
        let compared = compare(&small, &large);
        result = json!({"databases": [small.json(), large.json()], "figures": compared});
    }
    write_json(&flags, &result)
}

fn write_json(flags: &Flags, result: &serde_json::Value) -> anyhow::Result<()> {
    if let Some(file) = &flags.json {
        std::fs::write(file, format!("{result:#}\n"))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// What a backup of a database with that many users costs, and costs others.
fn measure_backups(flags: &Flags, folder: &Path, users: u64) -> anyhow::Result<serde_json::Value> {
    let home = Home::new(flags.node.clone(), folder.join("node"), &flags.set)?;
    // Makes what a first start makes.
    home.start()?.stop()?;
    home.fill(users)?;
    let (mut bench, runtime) = Bench::start(flags, folder, &home, users)?;
    let connections = flags.connections.last().copied().unwrap_or(1);
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
        measured.push(backups::Measured {
            way,
            alone,
            beside,
            registers: registers?,
        });
    }
    bench.end()?;
    Ok(backups::print(users, connections, &measured))
}

/// Everything about a database with that many users.
fn measure(flags: &Flags, folder: &Path, users: u64) -> anyhow::Result<Report> {
    let home = Home::new(flags.node.clone(), folder.join("node"), &flags.set)?;
    let first = home.start()?;
    let first_ready = first.ready.as_secs_f64();
    first.stop()?;
    home.fill(users)?;
    let (mut bench, runtime) = Bench::start(flags, folder, &home, users)?;
    let ready = bench.node.ready.as_secs_f64();
    let lines = runtime.block_on(bench.run(flags))?;
    Ok(Report {
        users,
        first_ready,
        ready,
        lines,
        memory: bench.end()?,
    })
}

/// Measurements of one node.
struct Bench {
    time: Duration,
    warm_up: Duration,
    now: Timestamp,
    node: Node,
    raw: Raw,
    users: u64,
    /// The first number that nobody is registered under.
    next_user: u64,
    memory: Memory,
}

impl Bench {
    /// Starts the node on its filled database.
    fn start(
        flags: &Flags,
        folder: &Path,
        home: &Home,
        users: u64,
    ) -> anyhow::Result<(Self, Runtime)> {
        let raw = copy_database(home, &folder.join("raw"))?;
        let node = home.start()?;
        let bench = Self {
            time: Duration::from_secs_f64(flags.seconds),
            // Long enough for caches and for the node's memory to settle.
            warm_up: Duration::from_secs_f64((flags.seconds / 5.0).min(1.0)),
            now: SystemClock::new().now(),
            raw: Raw::new(raw),
            users,
            next_user: users,
            memory: Memory {
                ready: mebibytes(process::proportional_kib(node.id())),
                ..Memory::default()
            },
            node,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok((bench, runtime))
    }

    async fn run(&mut self, flags: &Flags) -> anyhow::Result<Vec<Line>> {
        let mut lines = Vec::new();
        for &connections in &flags.connections {
            for &call in &flags.calls {
                if call == Call::Register {
                    lines.push(self.register(connections).await?);
                    lines.push(self.compare(connections).await?);
                } else {
                    lines.push(self.repeat(call, connections).await?);
                }
                self.note_memory();
            }
        }
        Ok(lines)
    }

    /// Measures the rows of registers straight through rusqlite.
    async fn compare(&mut self, callers: usize) -> anyhow::Result<Line> {
        self.raw.run(callers, self.warm_up).await?;
        let measured = self.raw.run(callers, self.time).await?;
        Ok(Line::new(None, callers, &measured, None, None))
    }

    /// Measures a call that the same user may make again.
    async fn repeat(&self, call: Call, connections: usize) -> anyhow::Result<Line> {
        let requests = Requests::new(call, self.sample(), self.now);
        let load = self.load(call, connections, requests, Order::Random);
        let warm_up = Load {
            time: self.warm_up,
            ..load.clone()
        };
        warm_up.run().await?;
        self.observe(call, &load).await
    }

    /// Measures registers, each of a user who is new.
    async fn register(&mut self, connections: usize) -> anyhow::Result<Line> {
        let call = Call::Register;
        let once = || Order::Once(Arc::new(AtomicUsize::new(0)));
        let requests = self.new_users(WARM_REGISTERS);
        let mut warm_up = self.load(call, connections, requests, once());
        warm_up.time = self.warm_up;
        let warm = warm_up.run().await?;
        // Enough requests for the whole time, should it go somewhat faster; otherwise the measurement ends sooner.
        let rate = warm.latencies.len() as f64 / warm.elapsed.as_secs_f64();
        let enough = rate * self.time.as_secs_f64() * 1.3 + 1000.0;
        let requests = self.new_users(enough as u64);
        let load = self.load(call, connections, requests, once());
        self.observe(call, &load).await
    }

    fn load(&self, call: Call, connections: usize, requests: Requests, order: Order) -> Load {
        Load {
            address: self.node.address,
            connections,
            tls: None,
            requests: Arc::new(requests),
            order,
            expected: call.expected(),
            time: self.time,
        }
    }

    fn sample(&self) -> Vec<u64> {
        let mut numbers = Numbers::new(self.users);
        if usize::try_from(self.users).is_ok_and(|users| users <= SAMPLE) {
            return (0..self.users).collect();
        }
        (0..SAMPLE).map(|_| numbers.next() % self.users).collect()
    }

    fn new_users(&mut self, count: u64) -> Requests {
        let first = self.next_user;
        self.next_user += count;
        Requests::new(Call::Register, first..self.next_user, self.now)
    }

    async fn observe(&self, call: Call, load: &Load) -> anyhow::Result<Line> {
        Line::of(Some(call), load.connections, self.node.id(), load.run()).await
    }

    fn note_memory(&mut self) {
        let now = mebibytes(process::proportional_kib(self.node.id()));
        let most = &mut self.memory.most_under_load;
        *most = [*most, now].into_iter().flatten().reduce(f64::max);
    }

    /// Stops the node and tells what memory it had.
    fn end(self) -> anyhow::Result<Memory> {
        // The node may need a moment to notice that its connections are gone.
        std::thread::sleep(Duration::from_secs(1));
        let id = self.node.id();
        let memory = Memory {
            after_load: mebibytes(process::proportional_kib(id)),
            peak_resident: mebibytes(process::peak_resident_kib(id)),
            ..self.memory
        };
        self.node.stop()?;
        Ok(memory)
    }
}

fn mebibytes(kib: Option<u64>) -> Option<f64> {
    Some(f64::from(u32::try_from(kib?).ok()?) / 1024.0)
}
