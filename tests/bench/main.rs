//! How fast the node is: `cargo bench --bench node`.
//!
//! Starts the release binary in a folder of its own and drives it over loopback from this process: `GET /`, check,
//! get, reshare and register (v2, both curves, Telegram logins, rate limit off) at 1, 16 and 64 connections, and beside each
//! level of registers the same rows written straight through rusqlite ([`raw`]). Figures mean something as ratios
//! within one run; the generator of load shares the machine with the node.
//!
//! `--report` measures everything and writes tests/bench/REPORT.md ([`full`]); other flags measure one part of it.
#![allow(
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::disallowed_methods,
    reason = "a benchmark may do what the node must not"
)]

mod backups;
mod bare;
mod calls;
mod costs;
mod full;
mod handshakes;
mod limits;
mod load;
mod log_size;
mod node;
mod part;
mod plots;
#[allow(dead_code, clippy::unwrap_used, reason = "the whole-node tests' own")]
#[path = "../node/postgres.rs"]
mod postgres;
mod process;
mod profile;
mod raw;
mod replica;
mod report;
mod requests;
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "the whole-node tests' own"
)]
mod suite;
#[allow(dead_code, reason = "the whole-node tests' own")]
mod support;
mod tls;
mod users;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use serde_json::json;
use tokio::runtime::Runtime;

use calls::{Round, measure};
use part::Part;
use report::compare;
use requests::Call;

/// Users in the small database.
const SMALL: u64 = 10_000;
/// Users in the large one, where none are said.
const LARGE: u64 = 1_000_000;

/// Measures a ksnode
#[derive(Clone, Parser)]
struct Flags {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Connections, one round of measurements for each [default: 1,16,64, and 1,4,16,64,256 in the report]
    #[arg(long, value_delimiter = ',')]
    connections: Vec<usize>,
    /// Calls to be measured, beside which registers are compared
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = Call::ALL)]
    calls: Vec<Call>,
    /// A smoke test: one second each, 1 and 16 connections, small databases
    #[arg(long)]
    quick: bool,
    /// Measure a second database with this many users; those of backups and replica are of this size
    #[arg(long)]
    users: Option<u64>,
    /// Measure everything and write REPORT.md and its plots into this folder
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench"))]
    report: Option<PathBuf>,
    /// Users in the databases that the report compares
    #[arg(long, value_delimiter = ',', default_values_t = [1_000, 10_000, 100_000, 1_000_000])]
    sizes: Vec<u64>,
    /// Measure backups, and registers beside them, instead of calls
    #[arg(long)]
    backups: bool,
    /// Measure TLS, beside a server of rustls and tokio alone, instead of calls
    #[arg(long)]
    tls: bool,
    /// Measure a replica in a Postgres of the benchmark's own, and a take-over from there, instead of calls
    #[arg(long)]
    replica: bool,
    /// Tell with perf what a get and a register spend their processor time on, and what they cannot do without
    #[arg(long)]
    profile: bool,
    /// Be the server of rustls and tokio alone, with what is in this folder
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

impl Flags {
    fn time(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    /// Long enough for caches and for the node's memory to settle.
    fn warm_up(&self) -> Duration {
        Duration::from_secs_f64((self.seconds / 5.0).min(1.0))
    }

    /// The highest number of connections.
    fn most_connections(&self) -> usize {
        self.connections.iter().copied().max().unwrap_or(1)
    }

    /// Fills in what depends on other flags.
    fn complete(&mut self) {
        if self.quick {
            self.seconds = 1.0;
            self.connections = vec![1, 16];
            self.sizes.retain(|&users| users <= SMALL);
            if self.report.is_some() {
                self.users = self.users.or(Some(SMALL));
            }
        }
        if self.connections.is_empty() {
            self.connections = match self.report {
                Some(_) => vec![1, 4, 16, 64, 256],
                None => vec![1, 16, 64],
            };
        }
    }
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
    flags.complete();
    // It is started in its own folder.
    flags.node = flags
        .node
        .canonicalize()
        .with_context(|| format!("cannot find the node {}", flags.node.display()))?;
    let temporary = env!("CARGO_TARGET_TMPDIR");
    let parent = flags.folder.clone().unwrap_or_else(|| temporary.into());
    std::fs::create_dir_all(&parent)?;
    let folder = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(parent)?;
    let part = run(&flags, folder.path())?;
    println!("\n{}", part.text);
    if let Some(file) = &flags.json {
        std::fs::write(file, format!("{:#}\n", part.json))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn run(flags: &Flags, folder: &Path) -> anyhow::Result<Part> {
    if let Some(report) = &flags.report {
        return full::measure(flags, folder, report);
    }
    if flags.backups {
        return backups::measure(flags, folder);
    }
    if flags.tls {
        return tls::measure(flags, folder);
    }
    if flags.replica {
        return replica::measure(flags, folder);
    }
    if flags.profile {
        return profile::measure(flags, folder);
    }
    calls(flags, folder)
}

fn calls(flags: &Flags, folder: &Path) -> anyhow::Result<Part> {
    let rounds = [Round {
        calls: &flags.calls,
        connections: &flags.connections,
    }];
    let measure = |name: &str, users| measure(flags, &folder.join(name), users, &rounds, true);
    let small = measure("small", SMALL)?;
    let mut part = small.part();
    part.json = json!({"databases": [part.json]});
    if let Some(users) = flags.users {
        let large = measure("large", users)?;
        let (second, compared) = (large.part(), compare(&small, &large));
        part.text += &format!("\n{}\n{}", second.text, compared.text);
        part.json = json!({"databases": [part.json["databases"][0], second.json], "figures": compared.json});
    }
    Ok(part)
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    runtime()?.block_on(work)
}
