//! What a process spends its processor time on, by the names of the functions that perf met with.
//!
//! The functions are counted by themselves and not with what they call: calls are inlined across crates and the standard
//! library keeps no frame pointers, so that chains of calls cannot be trusted. A function that was inlined counts as the
//! one it went into.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};

/// Samples a second; no round number, so that nothing else keeps step with it.
const FREQUENCY: &str = "997";

/// What a function is part of, for the table.
pub type Cost = &'static str;

const KERNEL_NETWORK: Cost = "kernel: sockets and loopback";
const KERNEL_DISK: Cost = "kernel: files and the disk";
const KERNEL_WAITING: Cost = "kernel: waking and waiting threads";
const KERNEL: Cost = "kernel: the rest (calls, memory, time)";
const SQLITE: Cost = "SQLite";
const STORE: Cost = "writer, readers and rusqlite";
const HTTP: Cost = "HTTP (hyper, warp, the node's routes)";
const JSON: Cost = "JSON and hex";
const SEALING: Cost = "sealing (AES-SIV)";
const LOGIN: Cost = "login (HMAC-SHA256)";
const RUNTIME: Cost = "async runtime (tokio)";
const MEMORY: Cost = "allocating and copying";
const WATCHING: Cost = "log and metrics";
const SHARES: Cost = "rules of key shares";
const REST: Cost = "the rest";

/// Parts of names of kernel functions.
const IN_KERNEL: [(Cost, &str); 3] = [
    (
        KERNEL_NETWORK,
        "tcp skb sock inet ip_ netif loopback xmit net_ nf_ napi dev_ sendto recvfrom sk_ csum qdisc eth_ fib dst_ softirq",
    ),
    (
        KERNEL_DISK,
        "ext4 jbd2 blk bio virtblk virtqueue fsync fdatasync iomap folio filemap writeback pagecache xas_ xa_ vfs pwrite \
         pread submit_ copy_page generic_perform nvme balance_dirty rw_verify",
    ),
    (
        KERNEL_WAITING,
        "futex sched epoll ep_ wake ttwu pick_next eventfd hrtimer enqueue dequeue poll switch cfs pelt entity idle unlock_irqrestore",
    ),
];

/// Crates, and modules of the node's.
const IN_RUST: [(Cost, &str); 9] = [
    (STORE, "ksnode::store rusqlite libsqlite3_sys"),
    (
        HTTP,
        "ksnode::http ksnode::tls hyper hyper_util warp http http_body http_body_util httparse httpdate headers bytes \
         smallvec tower_service tokio_io_timeout percent_encoding futures_util futures_core uuid mime tokio_util",
    ),
    (
        JSON,
        "serde serde_core serde_json serde_path_to_error hex itoa zmij base64",
    ),
    (
        SEALING,
        "ksnode::crypto ksnode::shares::sealing aes aes_siv cmac ctr dbl cipher inout block_buffer crypto_common \
         universal_hash aead getrandom zeroize polyval digest hybrid_array",
    ),
    (LOGIN, "ksnode::identity sha2 hmac"),
    (
        RUNTIME,
        "tokio mio parking_lot futures_channel socket2 std::sync std::sys std::thread std::io",
    ),
    (
        MEMORY,
        "alloc mimalloc libmimalloc_sys hashbrown __rust_alloc __rustc std::alloc",
    ),
    (
        WATCHING,
        "tracing tracing_core tracing_subscriber prometheus_client ksnode::service",
    ),
    (SHARES, "ksnode::shares ksnode::audit ksnode::clock"),
];

/// perf, sampling a process for as long as a `cat` waits for its input: stopped by a signal, it was seen to end with no
/// samples.
pub struct Recorder(Child);

impl Recorder {
    /// Starts to sample a process into `file`.
    pub fn start(process: u32, file: &Path) -> anyhow::Result<Self> {
        let process = process.to_string();
        let perf = Command::new("perf")
            .args([
                "record",
                "-q",
                "-e",
                "cpu-clock",
                "-F",
                FREQUENCY,
                "-p",
                &process,
                "-o",
            ])
            .arg(file)
            .args(["--", "cat"])
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let perf = perf.context("there is no perf: install it (Debian: linux-perf)")?;
        Ok(Self(perf))
    }

    pub fn stop(mut self) -> anyhow::Result<()> {
        drop(self.0.stdin.take());
        self.0.wait()?;
        Ok(())
    }
}

/// What was sampled.
pub struct Costs {
    /// Shares of 1, the largest first.
    pub shares: Vec<(Cost, f64)>,
    /// The functions with the largest shares.
    pub functions: Vec<(String, f64)>,
}

impl Costs {
    pub fn of(file: &Path) -> anyhow::Result<Self> {
        let report = Command::new("perf")
            .args([
                "report",
                "--stdio",
                "--no-children",
                "--sort",
                "dso,symbol",
                "-F",
                "sample,dso,symbol",
                "-t",
                "\t",
                "-i",
            ])
            .arg(file)
            .output()?;
        ensure!(
            report.status.success(),
            "perf report: {}",
            String::from_utf8_lossy(&report.stderr)
        );
        Self::parse(&String::from_utf8_lossy(&report.stdout))
    }

    fn parse(report: &str) -> anyhow::Result<Self> {
        let (mut shares, mut functions, mut total) = (BTreeMap::new(), Vec::new(), 0.0);
        for line in report.lines().filter(|line| !line.starts_with('#')) {
            let mut cells = line.split('\t').map(str::trim);
            let (Some(samples), Some(object), Some(symbol)) =
                (cells.next(), cells.next(), cells.next())
            else {
                continue;
            };
            let samples: f64 = samples.parse().context("perf report in an unknown form")?;
            let cost = cost(object, symbol);
            *shares.entry(cost).or_insert(0.0) += samples;
            functions.push((format!("{} ({cost})", name_of(symbol)), samples));
            total += samples;
        }
        ensure!(total > 0.0, "perf took no samples");
        let mut shares: Vec<(Cost, f64)> = shares.into_iter().collect();
        for (_, samples) in &mut shares {
            *samples /= total;
        }
        for (_, samples) in &mut functions {
            *samples /= total;
        }
        shares.sort_by(|one, other| other.1.total_cmp(&one.1));
        functions.sort_by(|one, other| other.1.total_cmp(&one.1));
        Ok(Self { shares, functions })
    }

    pub fn share(&self, cost: Cost) -> f64 {
        let found = self.shares.iter().find(|(name, _)| *name == cost);
        found.map_or(0.0, |(_, share)| *share)
    }

    /// Of the kernel's sockets.
    pub fn network(&self) -> f64 {
        self.share(KERNEL_NETWORK)
    }
}

fn cost(object: &str, symbol: &str) -> Cost {
    if symbol.starts_with("[k]") || object.starts_with('[') && object != "[vdso]" {
        let symbol = name_of(symbol);
        let found = IN_KERNEL
            .iter()
            .find(|(_, parts)| parts.split_whitespace().any(|part| symbol.contains(part)));
        return found.map_or(KERNEL, |(cost, _)| cost);
    }
    let symbol = name_of(symbol);
    if object.starts_with("libc") || symbol.starts_with("mi_") || symbol.starts_with("_mi_") {
        return MEMORY;
    }
    if symbol.contains("sha256") || symbol.starts_with("aws_lc") {
        return LOGIN;
    }
    if !symbol.contains("::") && !symbol.starts_with("_R") && object.starts_with("ksnode") {
        // Everything else that is written in C.
        return SQLITE;
    }
    let owner = owner(symbol);
    let of = |part: &str| {
        owner == part
            || owner
                .strip_prefix(part)
                .is_some_and(|rest| rest.starts_with("::"))
    };
    let found = IN_RUST.iter().filter_map(|(cost, parts)| {
        let longest = parts
            .split_whitespace()
            .filter(|part| of(part))
            .map(|part| part.len())
            .max()?;
        Some((longest, *cost))
    });
    found.max().map_or(REST, |(_, cost)| cost)
}

/// A symbol without perf's mark of where it is, and without the empty columns after it.
fn name_of(symbol: &str) -> &str {
    let symbol = symbol.trim_end_matches([' ', '-']);
    let marks = ["[.] ", "[k] "];
    let name = marks.iter().find_map(|mark| symbol.strip_prefix(mark));
    name.unwrap_or(symbol)
}

/// The path of what a Rust function belongs to: the type's in `<type as trait>::function`, the dropped value's in drop glue.
fn owner(symbol: &str) -> &str {
    let mut path = symbol;
    loop {
        let before = path;
        for wrapper in [
            "core::ptr::drop_in_place<",
            "alloc::boxed::Box<",
            "alloc::sync::Arc<",
            "core::pin::Pin<",
            "core::option::Option<",
            "core::ops::function::FnOnce::call_once<",
            "<",
            "&mut ",
            "&",
            "dyn ",
            "(",
            "[",
        ] {
            path = path.strip_prefix(wrapper).unwrap_or(path);
        }
        if path == before {
            return path;
        }
    }
}
