//! `ksnode import oko`: take over a node of the Docker suite, from its Postgres or from a dump of it.
//!
//! It works on the folder of a stopped node. The exit code is 1 when a row was skipped, though the rest is here then.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::Global;
use super::backup::Output;
use super::progress::Bar;
use super::running::{Way, open_folder, say_if_unwritten};
use super::text::{print, print_json, remark, span, table, with_error_as_json};
use crate::audit::Actor;
use crate::clock::SystemClock;
use crate::config::{Config, SecretText};
use crate::control::PhaseStep;
use crate::node::Opened;
use crate::oko::{
    self, Generation, ImportOptions, Kind, Origin, Report, Skipped, Source, Step, Stopped,
    Subjects, SuiteSecret,
};
use crate::service::postgres::{SslVerification, Target};
use crate::service::process::protect_memory;

/// From where.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A node of the Docker suite: users, wallets, shares, and the server's keys
    Oko(Box<Oko>),
}

/// What `ksnode import oko` takes.
#[derive(Args, Debug)]
pub struct Oko {
    /// The suite's Postgres: postgresql://user:password@host:port/database?sslmode=…
    #[arg(long, value_name = "URL", required_unless_present_any = ["from_dump", "abandon"])]
    pub from: Option<String>,
    /// A backup of the suite, made by pg_dump -Fc; it is read with pg_restore
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub from_dump: Option<PathBuf>,
    /// The suite's encryption secret (ENCRYPTION_SECRET_FILE_PATH in its .env)
    #[arg(long, value_name = "FILE", required_unless_present = "abandon")]
    pub secret_file: Option<PathBuf>,
    /// Do everything but write
    #[arg(long)]
    pub dry_run: bool,
    /// Read the tables of this generation of the suite, where both are there [default: the second]
    #[arg(long, value_name = "WHICH")]
    pub generation: Option<Which>,
    /// Do not take over the server's keys: this node keeps its own public key
    #[arg(long)]
    pub without_keypairs: bool,
    /// Lines of `address,sub`: the names under which today's clients know Google users of the first generation
    #[arg(long, value_name = "FILE")]
    pub google_subjects: Option<PathBuf>,
    /// Give up an import that was cut off, and let the node serve with what is there
    #[arg(long, conflicts_with_all = ["from", "from_dump", "dry_run"])]
    pub abandon: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// A generation of the suite's tables.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Which {
    /// users, wallets, key_shares, server_keypairs
    First,
    /// 2_users, 2_wallets, 2_key_shares, 2_server_keypairs
    Second,
}

impl From<Which> for Generation {
    fn from(which: Which) -> Self {
        match which {
            Which::First => Self::First,
            Which::Second => Self::Second,
        }
    }
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
        import(config, arguments, node).await
    })
}

/// Does `work` on the data of a node that must not run.
pub(super) fn on_stopped(
    global: &Global,
    work: impl AsyncFnOnce(&Config, &Stopped) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let (actor, config) = (global.actor(), global.load_as_owner()?.config);
    // The shares of everybody go through this process in the clear.
    protect_memory();
    super::block_on(async {
        let node = stopped(&config, actor).await?;
        let done = work(&config, &node).await;
        node.store.close().await;
        say_if_unwritten(&node.audit);
        done
    })?
}

async fn stopped(config: &Config, actor: Actor) -> anyhow::Result<Stopped> {
    let way = Way::find(config).await?;
    ensure!(
        matches!(way, Way::Folder),
        "the node runs; stop it first, for this works on its data folder: sudo systemctl stop ksnode, or ksnode stop"
    );
    let clock = SystemClock::shared();
    let Opened {
        store,
        keys,
        backups,
        audit,
    } = open_folder(config, &clock).await?;
    Ok(Stopped {
        store,
        ring: keys.ring.into(),
        backups,
        audit,
        actor,
        clock,
    })
}

async fn import(config: &Config, arguments: &Oko, node: &Stopped) -> anyhow::Result<ExitCode> {
    let Some(secret_file) = arguments.secret_file.clone().filter(|_| !arguments.abandon) else {
        oko::abandon(node).await?;
        print("the import is given up; the node serves with what is there")?;
        return Ok(ExitCode::SUCCESS);
    };
    let secret = SuiteSecret::from_file(&secret_file, config.allow_readable_secret)?;
    let subjects = arguments.google_subjects.as_deref();
    let options = ImportOptions {
        dry_run: arguments.dry_run,
        keypairs: !arguments.without_keypairs,
        subjects: subjects.map_or_else(|| Ok(Subjects::default()), Subjects::read)?,
        secret_file,
    };
    let origin = origin(arguments)?;
    let source = Source::open(&origin, arguments.generation.map(Generation::from)).await?;
    let bar = Bar::new();
    let watch = |step: Step| bar.show(&phase(step));
    let report = oko::import(node, &source, secret, options, &watch).await?;
    drop(bar);
    if arguments.output.json {
        print_json(&as_json(&report))?;
    } else {
        print(&text(&report))?;
    }
    Ok(if report.is_complete() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn origin(arguments: &Oko) -> anyhow::Result<Origin> {
    match (&arguments.from, &arguments.from_dump) {
        (Some(url), _) => Ok(Origin::Live(target(url)?)),
        (None, Some(path)) => Ok(Origin::Dump(path.clone())),
        (None, None) => {
            anyhow::bail!("name the suite's Postgres with --from, or a dump with --from-dump")
        }
    }
}

/// The Postgres of a URL on the command line.
pub(super) fn target(url: &str) -> anyhow::Result<Target> {
    let target = Target::from_url(&SecretText::new(url.to_owned()))?;
    let weak = match target.verification() {
        SslVerification::Disable => "is not encrypted",
        SslVerification::Require => {
            "is encrypted, and whoever is in between can pretend to be the server"
        }
        SslVerification::VerifyCa | SslVerification::VerifyFull => return Ok(target),
    };
    if !target.is_local() {
        remark(&format!(
            "warning: the connection to {} {weak}",
            target.place()
        ));
    }
    Ok(target)
}

/// How far it is, as the bar shows it.
pub(super) fn phase(step: Step) -> PhaseStep {
    PhaseStep {
        phase: step.kind.as_str().to_owned(),
        done: step.done,
        total: step.total,
    }
}

/// A row that was left out, in a line.
pub(super) fn skipped(skipped: &Skipped) -> String {
    format!("skipped: {} {}: {}", skipped.kind, skipped.id, skipped.why)
}

fn as_json(report: &Report) -> Value {
    json!({"import": report, "complete": report.is_complete()})
}

fn text(report: &Report) -> String {
    let backup = report.backup.iter();
    let notices = report.notices.iter();
    let mut lines: Vec<String> = report.skipped.iter().map(skipped).collect();
    lines.extend(backup.map(|path| format!("the data until now is kept in {path}")));
    lines.extend(notices.map(|notice| format!("notice: {notice}")));
    lines.push(format!("the node's public key: {}", report.public_key));
    let done = if report.dry_run {
        "nothing was written (--dry-run)"
    } else {
        "imported, and read again"
    };
    lines.push(format!("{done}, in {}", span(report.took())));
    format!(
        "from {}\n{}{}",
        report.source,
        counts(report),
        lines.join("\n")
    )
}

fn counts(report: &Report) -> String {
    let headings = [
        "",
        "READ",
        "IMPORTED",
        "UPDATED",
        "ALREADY THERE",
        "SKIPPED",
    ];
    let mut rows = vec![headings.map(str::to_owned)];
    for kind in Kind::ALL {
        let tally = report.of(kind);
        rows.push([
            format!("{kind}s"),
            tally.read.to_string(),
            tally.imported.to_string(),
            tally.updated.to_string(),
            tally.already_there.to_string(),
            tally.skipped.to_string(),
        ]);
    }
    table(&rows)
}
