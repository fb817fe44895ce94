//! `ksnode serve`: run the node.

use std::cell::RefCell;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::Global;
use super::running::absolute;
use super::secret::with_way_out;
use super::setup::{self, Setup};
use super::text::remark;
use crate::clock::SystemClock;
use crate::config::{Config, InForce, TlsMode};
use crate::node::Node;
use crate::service::daemon::{self, Daemon, DaemonOptions, Forked};
use crate::service::notify::Manager;
use crate::service::owner::{Account, Keep, OwnerError, become_owner_keeping};
use crate::service::process::{EndSignals, HangUps};
use crate::service::sockets::PassedSockets;
use crate::service::{logging, process};
use crate::tls::Reload;

/// Threads of the runtime: more than can compute at once, because reads of the database run on them and only half
/// of them may ever wait for the disk (see the store's readers).
const WORKERS: usize = 4;

/// What `ksnode serve` takes.
#[derive(Args, Debug, Default)]
pub struct Arguments {
    /// Run in the background, without a service manager; returns when the node serves
    #[arg(long, requires = "pid_file")]
    pub daemon: bool,
    /// Where the number of the process in the background is kept
    #[arg(long, value_name = "FILE", requires = "daemon")]
    pub pid_file: Option<PathBuf>,
    /// What is logged is appended to this file too, beside the files of log.dir
    #[arg(long, value_name = "FILE", requires = "daemon")]
    pub log_file: Option<PathBuf>,
    /// Run as this user [default: the owner of the data folder]
    #[arg(long, value_name = "NAME", requires = "daemon")]
    pub user: Option<String>,
    /// Run in this group [default: the user's]
    #[arg(long, value_name = "NAME", requires = "daemon")]
    pub group: Option<String>,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// The configuration is wrong, or the node cannot start.
pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    // Before anything else opens files.
    let passed = PassedSockets::take()?;
    let in_force = global.load_in_force()?;
    let Some(pid_file) = arguments.pid_file.as_deref() else {
        let start = Start {
            became: become_user(&in_force, None)?,
            in_force,
            passed,
            background: false,
        };
        return serve(start, &mut on_terminal, || {});
    };
    serve_as_daemon(in_force, passed, pid_file, arguments)
}

/// The same in the background. Returns in the process that started it as well, when the node serves or has failed.
fn serve_as_daemon(
    in_force: InForce,
    passed: PassedSockets,
    pid_file: &Path,
    arguments: &Arguments,
) -> anyhow::Result<ExitCode> {
    let (user, group) = (arguments.user.as_deref(), arguments.group.as_deref());
    let named = user.is_some() || group.is_some();
    let config = in_force.config();
    let data_dir = &config.data_dir;
    let account = named.then(|| Account::for_folder(data_dir, user, group));
    let account = account.transpose()?;
    let log_file = arguments.log_file.as_deref().map(absolute).transpose()?;
    if log_file.is_none() && config.log.dir.is_none() {
        remark("nothing will be logged: set log.dir, or name a file with --log-file");
    }
    let options = DaemonOptions {
        pid_file: absolute(pid_file)?,
        log_file,
    };
    let became = become_user(&in_force, account)?;
    match daemon::start(&options)? {
        Forked::Stillborn => Ok(ExitCode::FAILURE),
        Forked::Launcher(told) if told.code == 0 => {
            on_terminal(&told.text)?;
            Ok(ExitCode::SUCCESS)
        }
        Forked::Launcher(told) => {
            // A closed standard error leaves the exit code to tell.
            let _ = std::io::stderr().write_all(told.text.as_bytes());
            Ok(ExitCode::from(told.code))
        }
        Forked::Daemon(daemon) => {
            let start = Start {
                became,
                in_force,
                passed,
                background: true,
            };
            Ok(be_daemon(start, daemon))
        }
    }
}

fn be_daemon(start: Start, daemon: Daemon) -> ExitCode {
    let daemon = RefCell::new(daemon);
    let mut tell = |text: &str| {
        daemon.borrow_mut().serves(text);
        Ok(())
    };
    serve(start, &mut tell, || daemon.borrow().end()).unwrap_or_else(|error| {
        let (code, text) = super::in_words(&error);
        // Before it is told: whoever hears of it may try again at once.
        daemon.borrow().end();
        daemon.borrow_mut().failed(code, &text);
        ExitCode::from(code)
    })
}

/// What a node is started with.
struct Start {
    in_force: InForce,
    passed: PassedSockets,
    /// Whom this process of root has become.
    became: Option<Account>,
    /// Whether it runs without a terminal, whose folder is not its own then.
    background: bool,
}

/// Becomes whoever the node is to be, or the owner of its data.
fn become_user(in_force: &InForce, named: Option<Account>) -> Result<Option<Account>, OwnerError> {
    // The configuration may name low ports.
    match named {
        Some(account) => account.become_it(Keep::LowPorts).map(Some),
        None => become_owner_keeping(&in_force.config().data_dir, Keep::LowPorts),
    }
}

/// Serves. `tell` is given the text for the terminal once it does; `at_end` is called at the end of a node that served, while
/// the data folder is still its own.
fn serve(
    start: Start,
    tell: &mut dyn FnMut(&str) -> std::io::Result<()>,
    at_end: impl FnOnce(),
) -> anyhow::Result<ExitCode> {
    let Start {
        became,
        in_force,
        passed,
        background,
    } = start;
    let config = in_force.config();
    let mut setup = setup::ensure(config)?;
    setup.note_database(config)?;
    if background {
        std::env::set_current_dir(&config.data_dir)?;
    }
    let clock = SystemClock::shared();
    // Kept until the end: dropping it writes what still waits to be logged.
    let _logging = logging::start(&config.log, clock.clone())?;
    if let Some(user) = became {
        tracing::info!(%user, "continuing as the owner of the data folder");
    }
    process::protect_memory();
    process::raise_open_files();
    for notice in &in_force.loaded().notices {
        tracing::warn!("{notice}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(async {
        let manager = Manager::of_process();
        let node = Node::start(&in_force, passed, manager.clone(), clock)
            .await
            .map_err(|error| with_way_out(error, config))?;
        let stop = obey_signals(&node, manager)?;
        tell(&announcement(&setup, &node, config)?).context("standard output")?;
        let folder = node.folder();
        let finished = node.run(stop).await;
        at_end();
        drop(folder);
        Ok(if finished {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

/// From here on signals are obeyed. Returns what ends the node.
fn obey_signals(node: &Node, manager: Manager) -> anyhow::Result<CancellationToken> {
    let refused = "signals cannot be received";
    let stop = CancellationToken::new();
    let signals = EndSignals::install().context(refused)?;
    tokio::spawn(end_on_signal(signals, stop.clone()));
    let hang_ups = HangUps::install().context(refused)?;
    tokio::spawn(reload_on_signal(hang_ups, node.reload(), manager));
    Ok(stop)
}

async fn end_on_signal(signals: EndSignals, stop: CancellationToken) {
    let signal = signals.received().await;
    tracing::info!(signal, "asked to stop");
    stop.cancel();
}

async fn reload_on_signal(mut hang_ups: HangUps, reload: Option<Reload>, manager: Manager) {
    loop {
        hang_ups.received().await;
        manager.reloading();
        match &reload {
            Some(reload) => {
                tracing::info!(
                    "asked by SIGHUP to read the certificate again, where it is in files"
                );
                if !reload.ask().await {
                    tracing::warn!("the certificate's files are slow to read; that goes on");
                }
            }
            None => {
                tracing::info!("asked by SIGHUP to read files again; there are none without tls")
            }
        }
        manager.reloaded();
    }
}

fn on_terminal(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Logs where the node is, and returns the same for the terminal; at its first start also where its things are, and the
/// password once.
fn announcement(setup: &Setup, node: &Node, config: &Config) -> anyhow::Result<String> {
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
    let page = config.admin_page(&node.addresses(), node.admin_address());
    let admin = page.as_deref().unwrap_or("off");
    tracing::info!(
        version = crate::VERSION,
        serving,
        redirect,
        ops,
        admin,
        "serving"
    );
    let mut out = Vec::new();
    setup.tell_what_is_new(&mut out)?;
    writeln!(out, "ksnode serves {serving} (metrics and health: {ops})")?;
    if let (true, Some(url)) = (setup.is_first(), urls.first()) {
        // A certificate of the node's own is trusted by nobody yet.
        let insecure = match config.tls.mode {
            TlsMode::SelfSigned => "--insecure ",
            _ => "",
        };
        writeln!(out, "try: curl {insecure}{url}/status")?;
        if let Some(page) = page {
            writeln!(out, "admin page: {page}")?;
        }
    }
    Ok(String::from_utf8(out)?)
}

/// An address as a browser on this machine would be given it.
fn url(scheme: &str, mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("{scheme}://{address}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_shown_as_one_that_a_browser_takes() {
        for (bound, shown) in [
            ("0.0.0.0:1", "http://127.0.0.1:1"),
            ("[::]:1", "http://[::1]:1"),
            ("192.0.2.1:1", "http://192.0.2.1:1"),
            ("[2001:db8::1]:1", "http://[2001:db8::1]:1"),
        ] {
            assert_eq!(url("http", bound.parse().unwrap()), shown);
        }
    }
}
