//! `ksnode serve`: run the node.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Global;
use super::secret::with_way_out;
use super::setup::{self, Setup};
use crate::clock::SystemClock;
use crate::config::{Loaded, TlsMode};
use crate::node::Node;
use crate::service::process::{EndSignals, HangUps};
use crate::service::sockets::PassedSockets;
use crate::service::{logging, process};

/// Threads of the runtime: more than can compute at once, because reads of the database run on them and only half
/// of them may ever wait for the disk (see the store's readers).
const WORKERS: usize = 4;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// The configuration is wrong, or the node cannot start.
pub fn run(global: &Global) -> anyhow::Result<ExitCode> {
    // Before anything else opens files.
    let passed = PassedSockets::take()?;
    let Loaded {
        mut config,
        notices,
        ..
    } = global.load()?;
    let mut setup = setup::ensure(&config)?;
    setup.note_database(&config)?;
    if let Some(password) = &setup.admin_password {
        config.admin.password = Some(password.clone());
    }
    let clock = SystemClock::shared();
    // Kept until the end: dropping it writes what still waits to be logged.
    let _logging = logging::start(&config.log, clock.clone())?;
    process::protect_memory();
    process::raise_open_files();
    for notice in notices {
        tracing::warn!("{notice}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(async {
        let node = Node::start(&config, passed, clock)
            .await
            .map_err(|error| with_way_out(error, &config))?;
        let signals = EndSignals::install().context("signals cannot be received")?;
        let stop = CancellationToken::new();
        tokio::spawn(end_on_signal(signals, stop.clone()));
        let hang_ups = HangUps::install().context("signals cannot be received")?;
        tokio::spawn(reload_on_signal(hang_ups, node.reload()));
        announce(&setup, &node, &config.tls.mode).context("standard output")?;
        let finished = node.run(stop).await;
        Ok(if finished {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

async fn end_on_signal(signals: EndSignals, stop: CancellationToken) {
    let signal = signals.received().await;
    tracing::info!(signal, "asked to stop");
    stop.cancel();
}

async fn reload_on_signal(mut hang_ups: HangUps, reload: Arc<Notify>) {
    loop {
        hang_ups.received().await;
        tracing::info!("asked by SIGHUP to read the certificate again, where it is in files");
        reload.notify_one();
    }
}

/// Tells where the node is; at its first start also where its things are, and the password once.
fn announce(setup: &Setup, node: &Node, tls: &TlsMode) -> std::io::Result<()> {
    let scheme = if node.is_secure() { "https" } else { "http" };
    let urls: Vec<String> = node
        .addresses()
        .into_iter()
        .map(|address| url(scheme, address))
        .collect();
    let serving = urls.join(" ");
    let plain = |address: Option<SocketAddr>| {
        address.map_or_else(|| "off".to_owned(), |address| url("http", address))
    };
    let (ops, redirect) = (plain(node.ops_address()), plain(node.redirect_address()));
    tracing::info!(version = crate::VERSION, serving, redirect, ops, "serving");
    let mut out = std::io::stdout().lock();
    setup.tell_what_is_new(&mut out)?;
    writeln!(out, "ksnode serves {serving} (metrics and health: {ops})")?;
    if let (true, Some(url)) = (setup.is_first(), urls.first()) {
        // A certificate of the node's own is trusted by nobody yet.
        let insecure = match tls {
            TlsMode::SelfSigned => "--insecure ",
            _ => "",
        };
        writeln!(out, "try: curl {insecure}{url}/status")?;
    }
    out.flush()
}

/// An address as a browser on this machine would be given it.
fn url(scheme: &str, mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    format!("{scheme}://{address}")
}
