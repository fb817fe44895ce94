//! `ksnode upgrade-check`: whether another version may be installed in place of this one.
//!
//! The incoming package's pre-install asks the installed program, beside the running node. Exit codes: 0 install it (what
//! is on standard error are warnings); 1 do not, and standard error says why and what to do; 3 this is a rollback, run
//! `ksnode rollback` first, as standard error says. 2 and 78 are as everywhere.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::Global;
use super::running::connect;
use super::text::{print, print_json, remark, with_error_as_json};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::control::Request;
use crate::desk::NodeStatus;
use crate::node::{Release, UpgradeCheck, Verdict, check_upgrade};

/// The exit code of an upgrade that is a rollback.
const EX_ROLLBACK: u8 = 3;

/// What `ksnode upgrade-check` takes: all three, or nothing to be told what this program is.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The incoming program's version
    #[arg(long = "version", id = "incoming", value_name = "V", requires_all = ["schema", "oldest_schema"])]
    pub version: Option<String>,
    /// The newest schema of the database that it reads
    #[arg(long, value_name = "N", requires = "incoming")]
    pub schema: Option<usize>,
    /// The oldest schema of the database that it reads
    #[arg(long, value_name = "M", requires = "incoming")]
    pub oldest_schema: Option<usize>,
    /// Print one JSON document, an error too
    #[arg(long)]
    pub json: bool,
}

impl Arguments {
    fn incoming(&self) -> Option<Release> {
        Some(Release {
            version: self.version.clone()?,
            schema: self.schema?,
            oldest_schema: self.oldest_schema?,
        })
    }
}

/// Runs the command.
///
/// # Errors
///
/// [`crate::config::ConfigError`]; the database cannot be looked at.
pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    with_error_as_json(arguments.json, dispatch(global, arguments))
}

fn dispatch(global: &Global, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let Some(incoming) = arguments.incoming() else {
        tell_of_this(arguments.json)?;
        return Ok(ExitCode::SUCCESS);
    };
    let config = global.load_as_owner()?.config;
    let check = super::block_on(check(&config, &incoming))??;
    if arguments.json {
        print_json(&json!({"upgrade": check, "incoming": incoming, "installed": Release::this()}))?;
    }
    tell(&check, &incoming, arguments.json)?;
    Ok(match check.verdict {
        Verdict::Accepted => ExitCode::SUCCESS,
        Verdict::Rollback => ExitCode::from(EX_ROLLBACK),
        Verdict::Refused => ExitCode::FAILURE,
    })
}

fn tell_of_this(json: bool) -> anyhow::Result<()> {
    let this = Release::this();
    if json {
        return print_json(&json!(this));
    }
    print(&format!(
        "ksnode {}: writes schema {}, reads schemas {} to {}",
        this.version, this.schema, this.oldest_schema, this.schema
    ))
}

async fn check(config: &Config, incoming: &Release) -> anyhow::Result<UpgradeCheck> {
    let running = status(config).await;
    let node = running.as_ref().ok().and_then(Option::as_ref);
    let mut check = check_upgrade(config, incoming, node, SystemClock::new().now())?;
    // An upgrade may be what mends a node that hangs.
    check.warnings.extend(running.err().map(|error| {
        format!(
            "whether the node is at work on a backup cannot be told: {}",
            super::on_one_line(&error)
        )
    }));
    Ok(check)
}

async fn status(config: &Config) -> anyhow::Result<Option<NodeStatus>> {
    let Some(client) = connect(&config.data_dir).await? else {
        return Ok(None);
    };
    Ok(Some(client.ask(&Request::Status {}, |_| {}).await?))
}

fn tell(check: &UpgradeCheck, incoming: &Release, json: bool) -> anyhow::Result<()> {
    for warning in &check.warnings {
        remark(&format!("ksnode: warning: {warning}"));
    }
    for reason in &check.reasons {
        remark(&format!("ksnode: {reason}"));
    }
    if json || check.verdict != Verdict::Accepted {
        return Ok(());
    }
    let Release {
        version, schema, ..
    } = incoming;
    print(&match check.schema {
        None => format!("good: there is no database yet that ksnode {version} could not take"),
        Some(found) if found == *schema => {
            format!("good: ksnode {version} takes the data as it is (schema {found})")
        }
        Some(found) => format!(
            "good: ksnode {version} makes a backup at its first start and then migrates the data from schema {found} to \
             {schema}"
        ),
    })
}
