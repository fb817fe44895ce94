//! `ksnode stop`: end the node with this data folder, and wait until it has ended.
//!
//! The node is asked by SIGTERM and not over its control socket: a signal is what ends it in every other case too, and
//! reaches a node whose runtime hangs. It has ended when its data folder is free.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{sleep, timeout};

use super::running::connect;
use super::text::print;
use super::{Cli, Command, Global};
use crate::config::Config;
use crate::control::{Client, Request};
use crate::desk::{NodeStatus, ServiceStatus};
use crate::store::{FolderLock, Holder};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// How long a node that was just started may take until it answers, and one that answers until it has.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a node needs beside the time that requests under way are given.
const ENDING: Duration = Duration::from_secs(10);

/// What `ksnode stop` takes.
#[derive(Args, Debug)]
pub struct Arguments {
    /// How long to wait for its end [default: server.shutdown_seconds and 10 more]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u32>,
}

/// Runs the command.
///
/// # Errors
///
/// [`crate::config::ConfigError`]; the node is a service manager's, or has not ended in time.
pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<()> {
    let config = global.load_as_owner()?.config;
    let limit = arguments.timeout.map(u64::from).map(Duration::from_secs);
    let limit = limit.unwrap_or_else(|| config.server.shutdown.saturating_add(ENDING));
    super::block_on(stop(&config, limit))?
}

async fn stop(config: &Config, limit: Duration) -> anyhow::Result<()> {
    let folder = config.data_dir.display();
    let Some(process) = find(config).await? else {
        return print(&format!("not running: no node has {folder}"));
    };
    let number = i32::try_from(process).ok().and_then(Pid::from_raw);
    let number = number.with_context(|| format!("there is no process {process}"))?;
    match kill_process(number, Signal::TERM) {
        // It has ended in this moment.
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => bail!(
            "process {process} cannot be told to end: {error}; run this as the user that runs the node, or as root"
        ),
    }
    match timeout(limit, ended(config)).await {
        Ok(ended) => ended?,
        Err(_) => bail!(
            "process {process} was told to end and still has {folder} after {} s; its log says what it waits for. Wait \
             longer with --timeout, or end it at once, which loses nothing that was acknowledged: kill -9 {process}",
            limit.as_secs()
        ),
    }
    print(&format!("stopped: process {process}"))
}

async fn ended(config: &Config) -> anyhow::Result<()> {
    while FolderLock::holder(&config.data_dir)? != Holder::Nobody {
        sleep(LOOK).await;
    }
    Ok(())
}

/// The node's process. One that answers nothing yet is given a moment.
async fn find(config: &Config) -> anyhow::Result<Option<u32>> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(client) = connect(&config.data_dir).await? {
            return of_client(client).await.map(Some);
        }
        let Holder::Process(holder) = FolderLock::holder(&config.data_dir)? else {
            return Ok(None);
        };
        if waited >= PATIENCE {
            return silent(config, holder).map(Some);
        }
        sleep(LOOK).await;
        waited = waited.saturating_add(LOOK);
    }
}

async fn of_client(client: Client) -> anyhow::Result<u32> {
    let process = client.process().context(
        "the node runs where its process cannot be seen from here, as in a container; stop that",
    )?;
    // One that says nothing is to be stopped all the more.
    let request = Request::Status {};
    let asked = timeout(PATIENCE, client.ask::<NodeStatus>(&request, |_| {})).await;
    match asked {
        Ok(Ok(NodeStatus {
            service: Some(service),
            ..
        })) => bail!(refusal(&service)),
        _ => Ok(process),
    }
}

fn refusal(service: &ServiceStatus) -> String {
    let user = if service.of_user { "--user " } else { "" };
    let unit = service.unit.as_deref().unwrap_or("UNIT");
    format!(
        "a service manager runs this node and would start it again; stop it there: systemctl {user}stop {unit}"
    )
}

/// Who has the folder and does not answer: a node that is starting or hangs, or another command, which is not ended in
/// the middle of its work.
fn silent(config: &Config, holder: Option<u32>) -> anyhow::Result<u32> {
    match holder {
        Some(process) if serves(process) => Ok(process),
        holder => {
            let process = holder.map_or_else(String::new, |holder| format!(" (process {holder})"));
            bail!(
                "{} is in use by another ksnode{process}, which is no node but a command at work, or cannot be looked at; \
                 wait until it is done",
                config.data_dir.display()
            )
        }
    }
}

/// Whether the process runs a node, by its command line. Without a command the program serves, so that the name counts
/// too: what is called otherwise is never ended.
fn serves(process: u32) -> bool {
    let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let words = || line.trim_end_matches('\0').split('\0');
    let own = std::env::args_os().next();
    let own = own.as_deref().and_then(|own| Path::new(own).file_name());
    let named = words().next().and_then(|word| Path::new(word).file_name());
    named == own && is_serve(words())
}

fn is_serve<'a>(line: impl Iterator<Item = &'a str>) -> bool {
    Cli::try_parse_from(line).is_ok_and(|cli| matches!(cli.command, None | Some(Command::Serve(_))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_told_by_its_command_line() {
        for (line, serves) in [
            ("ksnode", true),
            ("ksnode serve", true),
            (
                "/usr/bin/ksnode --config /etc/k.toml serve --daemon --pid-file /p",
                true,
            ),
            ("ksnode backup create", false),
            ("ksnode stop", false),
            ("vi ksnode serve", false),
            ("", false),
        ] {
            let words = line.split(' ').filter(|word| !word.is_empty());
            // Without any word there is not even a program.
            assert_eq!(is_serve(words) && !line.is_empty(), serves, "{line}");
        }
    }

    #[test]
    fn a_service_is_stopped_where_it_was_started() {
        let refused = |unit: Option<&str>, of_user| {
            refusal(&ServiceStatus {
                unit: unit.map(str::to_owned),
                of_user,
            })
        };
        assert!(
            refused(Some("ksnode@a.service"), false).ends_with("systemctl stop ksnode@a.service")
        );
        assert!(refused(Some("k.service"), true).ends_with("systemctl --user stop k.service"));
        assert!(refused(None, false).ends_with("systemctl stop UNIT"));
    }
}
