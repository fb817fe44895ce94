//! `ksnode export oko`: this node as the Docker suite keeps it, into a Postgres or a file for psql.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;

use super::Global;
use super::backup::Output;
use super::import::{on_stopped, phase, skipped, target};
use super::progress::Bar;
use super::running::absolute;
use super::text::{print, print_json, span, with_error_as_json};
use crate::config::Config;
use crate::oko::{self, Destination, ExportReport, Step, Stopped, SuiteSecret};

/// As what.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The tables of the Docker suite (second generation), encrypted with a secret of the suite's
    Oko(Oko),
}

/// What `ksnode export oko` takes.
#[derive(Args, Debug)]
pub struct Oko {
    /// A Postgres database where the suite's tables are empty or not there yet
    #[arg(long, value_name = "URL", required_unless_present = "to_file")]
    pub to: Option<String>,
    /// A new file, which psql reads
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub to_file: Option<PathBuf>,
    /// The encryption secret that the suite will have, byte for byte
    #[arg(long, value_name = "FILE")]
    pub secret_file: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Runs the command.
///
/// # Errors
///
/// [`crate::config::ConfigError`]; what the room of take-overs says.
pub fn run(global: &Global, command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Oko(arguments) = command;
    with_error_as_json(arguments.output.json, dispatch(global, arguments))
}

fn dispatch(global: &Global, arguments: &Oko) -> anyhow::Result<ExitCode> {
    on_stopped(global, async |config, node| {
        export(config, arguments, node).await
    })
}

async fn export(config: &Config, arguments: &Oko, node: &Stopped) -> anyhow::Result<ExitCode> {
    let secret = SuiteSecret::from_file(&arguments.secret_file, config.allow_readable_secret)?;
    let destination = match (&arguments.to, &arguments.to_file) {
        (Some(url), _) => Destination::Live(target(url)?),
        (None, Some(path)) => Destination::File(absolute(path)?),
        (None, None) => anyhow::bail!("name a Postgres with --to, or a file with --to-file"),
    };
    let bar = Bar::new();
    let watch = |step: Step| bar.show(&phase(step));
    let report = oko::export(node, secret, &destination, &watch).await?;
    drop(bar);
    if arguments.output.json {
        print_json(&json!({"export": report, "complete": report.skipped.is_empty()}))?;
    } else {
        print(&text(&report))?;
    }
    Ok(if report.skipped.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn text(report: &ExportReport) -> String {
    let counts: Vec<String> = report
        .tables
        .iter()
        .map(|(kind, count)| format!("{kind}s {count}"))
        .collect();
    let mut lines = vec![
        format!("exported to {}", report.destination),
        counts.join(", "),
    ];
    lines.extend(report.skipped.iter().map(skipped));
    let took = std::time::Duration::from_millis(report.milliseconds);
    lines.push(format!("in {}", span(took)));
    lines.join("\n")
}
