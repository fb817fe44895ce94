//! `ksnode backup`: make, list, verify and delete backups; through the running node, or on the folder of a stopped one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use uuid::Uuid;

use super::Global;
use super::progress::Bar;
use super::running::{Way, absolute, backup_file, connect, open_folder, say_if_unwritten};
use super::text::{print, print_json, remark, size, span, table, with_error_as_json};
use crate::audit::Actor;
use crate::backup::{BackupError, Backups, Kind};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::control::Request;
use crate::desk::{BackupEntry, Counts, VerifiedFile, whole_days};

/// What to do with backups.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a backup now, verified
    Create(Output),
    /// List the history, newest first
    List(List),
    /// Verify a backup again: every page and every sealed row of it
    Verify(Verify),
    /// Delete a backup; the last good one stays
    Delete(Delete),
    /// Delete the backups that need not be kept any longer (backup.keep_days)
    Prune(Output),
}

/// How the outcome is printed.
#[derive(Args, Clone, Copy, Debug)]
pub struct Output {
    /// Print one JSON document, an error too
    #[arg(long)]
    pub json: bool,
}

/// What `ksnode backup list` takes.
#[derive(Args, Debug)]
pub struct List {
    /// Of the last so many days alone
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub days: Option<u32>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// What `ksnode backup verify` takes.
#[derive(Args, Debug)]
pub struct Verify {
    /// The backup; a bare name that is not in the working folder means that name in the backup folder
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How to open it.
    #[command(flatten)]
    pub opening: Opening,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// What `ksnode backup delete` takes.
#[derive(Args, Debug)]
pub struct Delete {
    /// The backup: its file, which may be named without its folder, or its id
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// What opens a backup beside today's encryption secret.
#[derive(Args, Debug)]
pub struct Opening {
    /// The encryption secret of the time of the backup, when it was another one than today's
    #[arg(long, value_name = "OLD")]
    pub secret_file: Option<PathBuf>,
    /// The age identity (private key) that opens an encrypted backup
    #[arg(long, value_name = "FILE")]
    pub age_identity: Option<PathBuf>,
}

impl Opening {
    /// Both paths as the node sees them.
    ///
    /// # Errors
    /// The working folder is gone.
    pub fn absolute(&self) -> anyhow::Result<(Option<PathBuf>, Option<PathBuf>)> {
        let path = |path: &Option<PathBuf>| path.as_deref().map(absolute).transpose();
        Ok((path(&self.secret_file)?, path(&self.age_identity)?))
    }
}

impl Command {
    fn json(&self) -> bool {
        match self {
            Self::Create(output) | Self::Prune(output) => output.json,
            Self::List(list) => list.output.json,
            Self::Delete(delete) => delete.output.json,
            Self::Verify(verify) => verify.output.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
///
/// [`crate::config::ConfigError`]; what the backups' room or the node says.
pub fn run(global: &Global, command: &Command) -> anyhow::Result<()> {
    with_error_as_json(command.json(), dispatch(global, command))
}

fn dispatch(global: &Global, command: &Command) -> anyhow::Result<()> {
    let (actor, config) = (global.actor(), global.load_as_owner()?.config);
    super::block_on(async {
        match command {
            Command::Create(output) => create(&config, &actor, output.json).await,
            Command::List(arguments) => list(&config, arguments).await,
            Command::Verify(arguments) => verify(&config, &actor, arguments).await,
            Command::Delete(arguments) => delete(&config, &actor, arguments).await,
            Command::Prune(output) => prune(&config, &actor, output.json).await,
        }
    })?
}

async fn create(config: &Config, actor: &Actor, json: bool) -> anyhow::Result<()> {
    let bar = Bar::new();
    let way = Way::find_and_say(config).await?;
    let through = way.through();
    let entry: BackupEntry = match way {
        Way::Node(client) => {
            let request = Request::BackupCreate {};
            client.ask(&request, |step| bar.show(&step)).await?
        }
        Way::Folder => {
            let progress = bar.progress();
            on_folder(config, async |backups| {
                let made = backups.create(Kind::Manual, actor, &progress).await?;
                // Here the hook would end with the command.
                Ok::<_, BackupError>(backups.after_hook(made).await?)
            })
            .await?
            .into()
        }
    };
    drop(bar);
    if let Some(error) = &entry.hook_error {
        remark(&format!(
            "the backup is good, but its hook (backup.after) failed: {error}"
        ));
    }
    if json {
        return print_json(&json!({"through": through, "backup": entry}));
    }
    print(&made(&entry))
}

async fn list(config: &Config, arguments: &List) -> anyhow::Result<()> {
    let way = Way::find_and_say(config).await?;
    let through = way.through();
    let days = arguments.days;
    let entries: Vec<BackupEntry> = match way {
        Way::Node(client) => client.ask(&Request::BackupList { days }, |_| {}).await?,
        Way::Folder => {
            let now = SystemClock::new().now();
            let since = days.map(|days| now.minus(whole_days(days)));
            let records = on_folder(config, async |backups| backups.list(since).await).await?;
            BackupEntry::all(records)
        }
    };
    if arguments.output.json {
        return print_json(&json!({"through": through, "backups": entries}));
    }
    print(&history(&entries, days))
}

async fn verify(config: &Config, actor: &Actor, arguments: &Verify) -> anyhow::Result<()> {
    let path = backup_file(&arguments.file, config)?;
    let (secret_file, age_identity) = arguments.opening.absolute()?;
    let bar = Bar::new();
    let way = Way::find_and_say(config).await?;
    let through = way.through();
    let verified: VerifiedFile = match way {
        Way::Node(client) => {
            let request = Request::BackupVerify {
                path,
                secret_file,
                age_identity,
            };
            client.ask(&request, |step| bar.show(&step)).await?
        }
        Way::Folder => {
            let progress = bar.progress();
            let (secret, identity) = (secret_file.as_deref(), age_identity.as_deref());
            on_folder(config, async |backups| {
                backups
                    .verify(actor, &path, secret, identity, &progress)
                    .await
            })
            .await?
            .into()
        }
    };
    drop(bar);
    if arguments.output.json {
        return print_json(&json!({"through": through, "verified": verified}));
    }
    print(&found(&verified))
}

async fn delete(config: &Config, actor: &Actor, arguments: &Delete) -> anyhow::Result<()> {
    let path = backup_file(&arguments.backup, config)?;
    let way = Way::find_and_say(config).await?;
    let through = way.through();
    let named = |known: &[BackupEntry]| chosen(known, &arguments.backup, &path);
    let deleted: BackupEntry = match way {
        Way::Node(client) => {
            let known: Vec<BackupEntry> = client
                .ask(&Request::BackupList { days: None }, |_| {})
                .await?;
            let id = named(&known)?;
            // Each connection is one question.
            let client = connect(&config.data_dir).await?;
            let client = client.context("the node was stopped meanwhile; try again")?;
            client.ask(&Request::BackupDelete { id }, |_| {}).await?
        }
        Way::Folder => on_folder(config, async |backups| {
            let known = BackupEntry::all(backups.list(None).await?);
            anyhow::Ok(backups.delete(actor, named(&known)?).await?)
        })
        .await?
        .into(),
    };
    if arguments.output.json {
        return print_json(&json!({"through": through, "deleted": deleted}));
    }
    print(&format!("deleted: {}", deleted.path))
}

/// The id of the backup that somebody named by its file or its id.
fn chosen(known: &[BackupEntry], named: &Path, path: &Path) -> Result<Uuid, BackupError> {
    let id = named.to_str().and_then(|text| text.parse::<Uuid>().ok());
    let path_text = path.display().to_string();
    let of_file = || known.iter().find(|entry| entry.path == path_text);
    let found = id.or_else(|| of_file().map(|entry| entry.id));
    found.ok_or_else(|| BackupError::NotFound {
        path: named.to_owned(),
    })
}

async fn prune(config: &Config, actor: &Actor, json: bool) -> anyhow::Result<()> {
    let way = Way::find_and_say(config).await?;
    let through = way.through();
    let deleted: Vec<BackupEntry> = match way {
        Way::Node(client) => client.ask(&Request::BackupPrune {}, |_| {}).await?,
        Way::Folder => {
            BackupEntry::all(on_folder(config, async |backups| backups.prune(actor).await).await?)
        }
    };
    if json {
        return print_json(&json!({"through": through, "deleted": deleted}));
    }
    if deleted.is_empty() {
        return print("nothing to delete");
    }
    let lines: Vec<String> = deleted
        .iter()
        .map(|entry| format!("deleted: {}", entry.path))
        .collect();
    print(&lines.join("\n"))
}

/// Works with the backups of a stopped node.
async fn on_folder<T, E>(
    config: &Config,
    work: impl AsyncFnOnce(&Backups) -> Result<T, E>,
) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    let opened = open_folder(config, &SystemClock::shared()).await?;
    let done = work(&opened.backups).await;
    opened.store.close().await;
    say_if_unwritten(&opened.audit);
    Ok(done?)
}

/// What a database holds: `users 1200, shares 2400`.
fn contents(counts: &Counts) -> String {
    format!("users {}, shares {}", counts.users, counts.shares)
}

fn made(entry: &BackupEntry) -> String {
    let mut facts = Vec::new();
    facts.extend(entry.bytes.map(size));
    facts.extend(entry.holds.as_ref().map(contents));
    facts.push("verified".to_owned());
    if entry.encrypted {
        facts.push("encrypted".to_owned());
    }
    let took = entry.milliseconds.map(Duration::from_millis).map(span);
    facts.extend(took.map(|took| format!("in {took}")));
    format!("backup: {}\n{}", entry.path, facts.join(", "))
}

fn found(verified: &VerifiedFile) -> String {
    let mut facts = vec![size(verified.bytes), contents(&verified.holds)];
    let made = verified.taken_at.as_ref();
    facts.extend(made.map(|moment| format!("made {moment}")));
    facts.extend(verified.schema.map(|schema| format!("schema {schema}")));
    if verified.encrypted {
        facts.push("encrypted".to_owned());
    }
    format!(
        "good: {}\n{}\nSHA-256 {}",
        verified.path,
        facts.join(", "),
        verified.sha256
    )
}

fn history(entries: &[BackupEntry], days: Option<u32>) -> String {
    if entries.is_empty() {
        return match days {
            Some(days) => format!("no backups in the last {days} days"),
            None => "no backups yet".to_owned(),
        };
    }
    let headings = [
        "TIME", "KIND", "STATUS", "SIZE", "VERIFIED", "FILE", "ERROR",
    ];
    let mut rows = vec![headings.map(str::to_owned)];
    rows.extend(entries.iter().map(row));
    table(&rows)
}

fn row(entry: &BackupEntry) -> [String; 7] {
    let absent = || "-".to_owned();
    let name = Path::new(&entry.path).file_name();
    let hook = entry.hook_error.as_ref();
    let error = entry
        .error
        .clone()
        .or_else(|| hook.map(|error| format!("the hook failed: {error}")));
    [
        entry.created_at.clone(),
        entry.kind.clone(),
        entry.status.to_lowercase().replace('_', " "),
        entry.bytes.map_or_else(absent, size),
        entry.verified_at.clone().unwrap_or_else(absent),
        name.map_or_else(absent, |name| name.to_string_lossy().into_owned()),
        error.unwrap_or_default().replace('\n', " "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> BackupEntry {
        BackupEntry {
            id: Uuid::nil(),
            kind: "manual".into(),
            status: "COMPLETED".into(),
            path: "/b/ksnode-1.db".into(),
            bytes: Some(3 << 20),
            milliseconds: Some(2_100),
            error: None,
            sha256: Some("ab".repeat(32)),
            encrypted: true,
            holds: Some(Counts {
                users: 1200,
                shares: 2400,
                newest: None,
            }),
            verified_at: Some("2026-11-19T03:00:02.000Z".into()),
            hook_error: None,
            created_at: "2026-11-19T03:00:00.000Z".into(),
            updated_at: "2026-11-19T03:00:02.000Z".into(),
        }
    }

    #[test]
    fn a_backup_that_was_made() {
        assert_eq!(
            made(&entry()),
            "backup: /b/ksnode-1.db\n3.00 MiB, users 1200, shares 2400, verified, encrypted, in 2 s"
        );
    }

    #[test]
    fn the_history_is_a_table() {
        let failed = BackupEntry {
            status: "IN_PROGRESS".into(),
            bytes: None,
            verified_at: None,
            error: Some("no\nroom".into()),
            ..entry()
        };
        let text = history(&[failed, entry()], None);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|cell| !cell.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(lines[0][5..], ["FILE", "ERROR"]);
        assert_eq!(
            lines[1][1..],
            ["manual", "in progress", "-", "-", "ksnode-1.db", "no room"]
        );
        assert_eq!(lines[2][3..5], ["3.00 MiB", "2026-11-19T03:00:02.000Z"]);
        assert_eq!(history(&[], Some(7)), "no backups in the last 7 days");
        assert_eq!(history(&[], None), "no backups yet");
    }
}
