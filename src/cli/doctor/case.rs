//! What is examined: a configuration, and the node that runs with it or does not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::account::Account;
use crate::cli::instance::unit_of;
use crate::cli::running::connect;
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, Loaded};
use crate::control::Request;
use crate::desk::NodeStatus;

/// How long the node may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);

/// A node to be examined.
#[derive(Debug)]
pub(crate) struct Case {
    /// Its configuration.
    pub(crate) config: Config,
    /// The file that it is in.
    pub(crate) config_file: Option<PathBuf>,
    /// How it is, when it runs and answers.
    pub(crate) node: Option<NodeStatus>,
    /// Why it did not answer, though it seems to run.
    pub(crate) silent: Option<String>,
    /// The user that it runs as, or would.
    pub(crate) account: Account,
    /// The unit that runs it, when it is a service's.
    pub(crate) unit: Option<String>,
    /// The time.
    pub(crate) clock: SharedClock,
}

impl Case {
    /// The node of this configuration, asked how it is.
    ///
    /// # Errors
    /// None that would be told apart: what it does not answer is in the case.
    pub(crate) async fn new(loaded: Loaded) -> anyhow::Result<Self> {
        let mut case = Self::of_stopped(loaded);
        match timeout(PATIENCE, ask(&case.config)).await {
            Ok(Ok(node)) => case.node = node,
            Ok(Err(error)) => case.silent = Some(crate::cli::on_one_line(&error)),
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                case.silent = Some(format!("it has said nothing for {seconds} s"));
            }
        }
        if let Some(account) = case.node.as_ref().and_then(|node| of_process(node.process)) {
            case.account = account;
        }
        Ok(case)
    }

    /// The same without asking.
    pub(crate) fn of_stopped(loaded: Loaded) -> Self {
        let unit = unit_of(loaded.config_file.as_deref());
        let account = account(&loaded, unit.is_some());
        Self {
            account,
            unit,
            config: loaded.config,
            config_file: loaded.config_file,
            node: None,
            silent: None,
            clock: SystemClock::shared(),
        }
    }
}

async fn ask(config: &Config) -> anyhow::Result<Option<NodeStatus>> {
    let Some(client) = connect(&config.data_dir).await? else {
        return Ok(None);
    };
    Ok(Some(client.ask(&Request::Status {}, |_| {}).await?))
}

/// A service's configuration belongs to the user that it runs as; everybody else runs the node as whoever has the data.
fn account(loaded: &Loaded, service: bool) -> Account {
    let folder = loaded.config_file.as_deref().and_then(Path::parent);
    let of_service = folder.filter(|_| service).and_then(Account::owning);
    of_service
        .filter(|account| account.uid != 0)
        .or_else(|| Account::owning(&loaded.config.data_dir))
        .unwrap_or_else(Account::own)
}

/// Whom a process runs as. Not the owner of its folder in `/proc`, which is root's for one that keeps its memory private.
fn of_process(process: u32) -> Option<Account> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let effective = |name: &str| -> Option<u32> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some(Account::new(effective("Uid:")?, effective("Gid:")?))
}
