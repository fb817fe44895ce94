//! `ksnode rollback`: before an older version is installed again, bring the data to what that version reads.

use std::path::Path;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::Global;
use super::progress::Bar;
use super::running::{Way, in_plain_words};
use super::text::{print, print_json, with_error_as_json};
use crate::audit::Actor;
use crate::backup::RollbackReport;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::desk::Counts;
use crate::node::rollback_stopped;
use crate::store::DATABASE_FILE;

/// What `ksnode rollback` takes.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The newest schema that the older version reads: its `ksnode upgrade-check` tells, and so does its changelog
    #[arg(long, value_name = "N")]
    pub schema: usize,
    /// Print one JSON document, an error too
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
///
/// [`crate::config::ConfigError`]; the node runs; there is no way back; what the backups' room says. The data is as it
/// was then.
pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<()> {
    with_error_as_json(arguments.json, dispatch(global, arguments))
}

fn dispatch(global: &Global, arguments: &Arguments) -> anyhow::Result<()> {
    let (actor, config) = (global.actor(), global.load_as_owner()?.config);
    let report = super::block_on(rollback(&config, &actor, arguments.schema))??;
    if arguments.json {
        return print_json(&json!({"rollback": report.map(document)}));
    }
    let database = config.data_dir.join(DATABASE_FILE);
    print(&match report {
        None => format!(
            "nothing to do: {} is of schema {} already",
            database.display(),
            arguments.schema
        ),
        Some(report) => page(&report, &database),
    })
}

async fn rollback(
    config: &Config,
    actor: &Actor,
    schema: usize,
) -> anyhow::Result<Option<RollbackReport>> {
    if let Way::Node(client) = Way::find(config).await? {
        let process = client
            .process()
            .map(|process| format!(" (process {process})"));
        bail!(
            "the node runs{}; stop it first (sudo systemctl stop ksnode), so that nothing is registered while its data is \
             rolled back",
            process.unwrap_or_default()
        );
    }
    let bar = Bar::new();
    let (progress, clock) = (bar.progress(), SystemClock::shared());
    let done = rollback_stopped(config, schema, actor, &progress, &clock).await;
    done.map_err(|error| in_plain_words(error, config))
}

fn document(report: RollbackReport) -> serde_json::Value {
    json!({
        "from": report.from,
        "to": report.to,
        "before": Counts::from(report.before),
        "after": Counts::from(report.after),
        "saved": report.saved.display().to_string(),
    })
}

fn page(report: &RollbackReport, database: &Path) -> String {
    let RollbackReport {
        from,
        to,
        before,
        after,
        saved,
    } = report;
    format!(
        "rolled back: {} is of schema {to} now and was of schema {from}\n\
         held and holds: users {} -> {}, shares {} -> {}\n\
         the data until now is kept in {}\n\
         install the older version before the node is started: this one would migrate the data again",
        database.display(),
        before.users,
        after.users,
        before.shares,
        after.shares,
        saved.display()
    )
}
