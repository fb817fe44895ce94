//! `ksnode replica`: how the second copy in Postgres stands, whether it is the same, and filling it anew.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::Global;
use super::running::connect;
use super::text::{print, print_json, span, with_error_as_json};
use crate::config::Config;
use crate::control::Request;
use crate::desk::{NodeStatus, ReplicaCompared, ReplicaState};
use crate::replica::ReplicaError;

/// The commands. All of them ask the running node.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell how the replica stands; the exit code is 0 when it is followed and 1 otherwise
    Status(Output),
    /// Fill the replica anew with all of this node's data
    Resync(Resync),
    /// Compare every row of both sides while the node runs; the exit code is 1 when they differ
    Verify(Output),
}

/// How to print.
#[derive(Args, Debug)]
pub struct Output {
    /// Print one JSON document, an error too
    #[arg(long)]
    pub json: bool,
}

/// What `ksnode replica resync` takes.
#[derive(Args, Debug)]
pub struct Resync {
    /// Give up changes that the replica has and this node does not
    #[arg(long)]
    pub discard_replica: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Runs a command.
///
/// # Errors
///
/// [`crate::config::ConfigError`]; no node runs, or what it says.
pub fn run(global: &Global, command: &Command) -> anyhow::Result<ExitCode> {
    let json = match command {
        Command::Status(output) | Command::Verify(output) => output.json,
        Command::Resync(resync) => resync.output.json,
    };
    with_error_as_json(json, dispatch(global, command, json))
}

fn dispatch(global: &Global, command: &Command, json: bool) -> anyhow::Result<ExitCode> {
    let config = global.load_as_owner()?.config;
    if config.replica.is_none() {
        return Err(ReplicaError::Off.into());
    }
    super::block_on(answer(&config, command, json))?
}

async fn answer(config: &Config, command: &Command, json: bool) -> anyhow::Result<ExitCode> {
    match command {
        Command::Status(_) => {
            let node: NodeStatus = ask(config, &Request::Status {}).await?;
            let state = node.replica.ok_or(ReplicaError::Off)?;
            say(json, &state, &line(&state))?;
            Ok(code(state.error.is_none() && state.phase == "following"))
        }
        Command::Resync(resync) => {
            let discard = resync.discard_replica;
            let state: ReplicaState = ask(config, &Request::ReplicaResync { discard }).await?;
            say(
                json,
                &state,
                "the replica is being filled anew; see `ksnode replica status`",
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify(_) => {
            let compared: ReplicaCompared = ask(config, &Request::ReplicaVerify {}).await?;
            say(json, &compared, &table(&compared))?;
            Ok(code(compared.equal))
        }
    }
}

async fn ask<T: DeserializeOwned>(config: &Config, request: &Request) -> anyhow::Result<T> {
    let client = connect(&config.data_dir).await?;
    let client =
        client.context("no node runs here; the replica is followed by the running node")?;
    Ok(client.ask(request, |_| {}).await?)
}

fn say(json: bool, answer: &impl Serialize, text: &str) -> anyhow::Result<()> {
    if json {
        print_json(&json!({"replica": answer}))
    } else {
        print(text)
    }
}

fn code(well: bool) -> ExitCode {
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How the replica stands, on one line.
pub(super) fn line(state: &ReplicaState) -> String {
    let lag = if state.lag_changes == 0 {
        "has everything".to_owned()
    } else {
        let time = span(Duration::from_millis(state.lag_milliseconds));
        format!("lacks {} changes ({time})", state.lag_changes)
    };
    let error = state.error.as_ref();
    let error = error.map(|error| format!(": {error}")).unwrap_or_default();
    format!("{}, {}, {lag}{error}", state.place, state.phase)
}

fn table(compared: &ReplicaCompared) -> String {
    let mut lines: Vec<String> = compared
        .tables
        .iter()
        .map(|table| {
            let verdict = if table.equal { "equal" } else { "DIFFERENT" };
            format!(
                "{:<16} {:>10} rows here, {:>10} in the replica: {verdict}",
                table.table, table.rows, table.replica_rows
            )
        })
        .collect();
    lines.push(if compared.equal {
        format!("the replica is the same at change {}", compared.position)
    } else {
        "the replica is DIFFERENT; `ksnode replica resync` fills it anew".to_owned()
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::TableCompared;

    #[test]
    fn says_how_it_stands() {
        let mut state = ReplicaState {
            place: "Postgres at h:1, database d".into(),
            phase: "following".into(),
            error: None,
            lag_changes: 0,
            lag_milliseconds: 0,
            position: 7,
        };
        assert_eq!(
            line(&state),
            "Postgres at h:1, database d, following, has everything"
        );
        state.phase = "away".into();
        state.error = Some("gone".into());
        (state.lag_changes, state.lag_milliseconds) = (3, 62_000);
        assert!(
            line(&state).ends_with("away, lacks 3 changes (1 min 2 s): gone"),
            "{}",
            line(&state)
        );
    }

    #[test]
    fn a_difference_is_told() {
        let mut compared = ReplicaCompared {
            equal: true,
            position: 9,
            tables: vec![TableCompared {
                table: "user".into(),
                rows: 2,
                replica_rows: 2,
                equal: true,
            }],
        };
        assert!(table(&compared).ends_with("the same at change 9"));
        (compared.equal, compared.tables[0].equal) = (false, false);
        assert!(table(&compared).contains("DIFFERENT") && table(&compared).contains("resync"));
    }
}
