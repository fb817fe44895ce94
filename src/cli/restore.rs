//! `ksnode restore`: replace the node's data by a backup, after showing what that would lose.
//!
//! Without `--yes` it is two requests: a dry run, whose comparison is shown, and after a yes the restore itself. With
//! `--yes` it is the second alone: it verifies the backup as well before it changes anything, and tells the same
//! numbers after.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{bail, ensure};
use clap::Args;
use serde_json::json;

use super::Global;
use super::backup::{Opening, Output};
use super::progress::Bar;
use super::running::{Through, Way, backup_file, in_plain_words};
use super::text::{print, print_json, remark, with_error_as_json};
use crate::audit::Actor;
use crate::backup::RestoreRequest;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::control::Request;
use crate::desk::Restored;
use crate::node::{fetch_replica, restore_stopped};
use crate::store::remove_database;

/// What `ksnode restore` takes.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The backup; a bare name that is not in the working folder means that name in the backup folder
    #[arg(value_name = "FILE", required_unless_present = "from_replica")]
    pub file: Option<PathBuf>,
    /// Take the data from the replica in Postgres; the node must be stopped, or a new one
    #[arg(long, conflicts_with = "file")]
    pub from_replica: bool,
    /// Verify the backup and tell what would change, and change nothing
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// How to open it.
    #[command(flatten)]
    pub opening: Opening,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// Runs the command.
///
/// # Errors
///
/// [`crate::config::ConfigError`]; what the backups' room or the node says; the answer was not yes.
pub fn run(global: &Global, arguments: &Arguments) -> anyhow::Result<()> {
    with_error_as_json(arguments.output.json, dispatch(global, arguments))
}

fn dispatch(global: &Global, arguments: &Arguments) -> anyhow::Result<()> {
    let (actor, config) = (global.actor(), global.load_as_owner()?.config);
    let asks = !arguments.dry_run && !arguments.yes;
    ensure!(
        !asks || (std::io::stdin().is_terminal() && std::io::stderr().is_terminal()),
        "a restore replaces the node's data, and there is no terminal to ask on: see with --dry-run what it would \
         change, then say --yes"
    );
    super::block_on(async {
        let Some(file) = &arguments.file else {
            return from_replica(&config, &actor, arguments, asks).await;
        };
        let file = backup_file(file, &config)?;
        restore(&config, &actor, arguments, file, asks).await
    })?
}

/// Makes a file of the replica first, and restores that.
async fn from_replica(
    config: &Config,
    actor: &Actor,
    arguments: &Arguments,
    asks: bool,
) -> anyhow::Result<()> {
    ensure!(
        matches!(Way::find(config).await?, Way::Folder),
        "the node runs, and its own data is newer than any replica; stop it first if it is to be replaced"
    );
    let fetched = fetch_replica(config).await;
    let rebuilt = fetched.map_err(|error| in_plain_words(error, config))?;
    let rows = rebuilt.rows;
    remark(&format!(
        "fetched {rows} rows of node {} from the replica",
        rebuilt.node
    ));
    let restored = restore(config, actor, arguments, rebuilt.path.clone(), asks).await;
    remove_database(&rebuilt.path)?;
    restored
}

async fn restore(
    config: &Config,
    actor: &Actor,
    arguments: &Arguments,
    path: PathBuf,
    asks: bool,
) -> anyhow::Result<()> {
    let (secret_file, age_identity) = arguments.opening.absolute()?;
    let mut request = RestoreRequest {
        path,
        secret_file,
        age_identity,
        dry_run: arguments.dry_run || asks,
    };
    let way = Way::find_and_say(config).await?;
    let (mut through, mut restored) = ask(way, config, actor, &request).await?;
    if asks {
        remark(&would_change(&restored));
        let mut input = std::io::stdin().lock();
        if !confirmed(&mut input, &mut std::io::stderr().lock())? {
            bail!("nothing was changed");
        }
        request.dry_run = false;
        (through, restored) = ask(Way::find(config).await?, config, actor, &request).await?;
    }
    if arguments.output.json {
        let dry_run = request.dry_run;
        return print_json(&json!({"through": through, "dry_run": dry_run, "restore": restored}));
    }
    if request.dry_run {
        return print(&format!(
            "{}\nnothing was changed (--dry-run)",
            would_change(&restored)
        ));
    }
    print(&has_changed(&restored))
}

async fn ask(
    way: Way,
    config: &Config,
    actor: &Actor,
    request: &RestoreRequest,
) -> anyhow::Result<(Through, Restored)> {
    let bar = Bar::new();
    let through = way.through();
    let restored = match way {
        Way::Node(client) => {
            let request = Request::from(request.clone());
            client.ask(&request, |step| bar.show(&step)).await?
        }
        Way::Folder => {
            let (progress, clock) = (bar.progress(), SystemClock::shared());
            let report = restore_stopped(config, actor, request, &progress, &clock).await;
            report
                .map_err(|error| in_plain_words(error, config))?
                .into()
        }
    };
    Ok((through, restored))
}

fn confirmed(input: &mut impl BufRead, out: &mut impl Write) -> std::io::Result<bool> {
    write!(out, "Restore it? Type yes: ")?;
    out.flush()?;
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(line.trim() == "yes")
}

fn would_change(restored: &Restored) -> String {
    let mut lines = vec![
        format!("good: {}", restored.path),
        format!("a restore would change: {}", comparison(restored)),
    ];
    lines.extend(restored.migrated_from.map(|schema| {
        format!("the backup is of an older ksnode (schema {schema}) and would be migrated")
    }));
    if restored.rewrapped {
        lines.push(
            "the backup is of an earlier encryption secret and would be rewrapped".to_owned(),
        );
    }
    lines.extend(
        restored.new_public_key.as_ref().map(|key| {
            format!("the node's public key would be {key}, and the network knows today's")
        }),
    );
    lines.join("\n")
}

fn has_changed(restored: &Restored) -> String {
    let mut lines = vec![
        format!("restored: {}", restored.path),
        format!("changed: {}", comparison(restored)),
    ];
    lines.extend(
        restored
            .migrated_from
            .map(|schema| format!("it was of an older ksnode (schema {schema}) and was migrated")),
    );
    if restored.rewrapped {
        let text = "it was of an earlier encryption secret and was rewrapped under today's";
        lines.push(text.to_owned());
    }
    lines.extend(restored.new_public_key.as_ref().map(|key| {
        format!("the node's public key is now {key}; tell the network, which knows the one before, or rotate it again")
    }));
    let safety = restored.safety.as_ref();
    lines.extend(safety.map(|path| format!("the data until now is kept in {path}")));
    let doubt = restored.safety_error.as_ref();
    lines.extend(doubt.map(|error| format!("but that copy could not be verified: {error}")));
    lines.extend(
        restored
            .timeline
            .map(|timeline| format!("a new timeline began: {timeline}")),
    );
    lines.join("\n")
}

/// What a restore means in numbers.
fn comparison(restored: &Restored) -> String {
    let after = &restored.after;
    let Some(before) = &restored.before else {
        return format!(
            "there is no database that can be read; the backup holds users {}, shares {}{}",
            after.users,
            after.shares,
            restored
                .taken_at
                .as_ref()
                .map(|moment| format!(", of {moment}"))
                .unwrap_or_default()
        );
    };
    format!(
        "users {} -> {}, shares {} -> {}; {}",
        before.users,
        after.users,
        before.shares,
        after.shares,
        restored.loss()
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::backup::{RestoreReport, Summary};
    use crate::clock::Timestamp;

    /// 2026-11-19T03:00:00Z
    const TAKEN: Timestamp = Timestamp::from_millis(1_795_057_200_000);

    fn report() -> RestoreReport {
        let summary = |users, newest| Summary {
            users,
            shares: 2 * users,
            newest: Some(newest),
        };
        RestoreReport {
            path: "/b/ksnode-1.db".into(),
            before: Some(summary(1200, TAKEN.plus(Duration::from_secs(33_120)))),
            after: summary(1180, TAKEN),
            taken_at: Some(TAKEN),
            safety: None,
            safety_error: None,
            timeline: None,
            migrated_from: None,
            rewrapped: false,
            public_key_before: Some([1; 32]),
            public_key: [1; 32],
        }
    }

    #[test]
    fn what_would_be_lost() {
        assert_eq!(
            comparison(&report().into()),
            "users 1200 -> 1180, shares 2400 -> 2360; changes after 2026-11-19T03:00:00.000Z (9 h 12 min) are lost"
        );
        let mut nothing = report();
        nothing.before = Some(nothing.after);
        assert!(
            comparison(&nothing.into())
                .ends_with("; no share was changed after 2026-11-19T03:00:00.000Z")
        );
        let mut unknown = report();
        unknown.taken_at = None;
        assert!(comparison(&unknown.into()).contains("does not tell when it was made"));
        let mut alone = report();
        alone.before = None;
        assert_eq!(
            comparison(&alone.into()),
            "there is no database that can be read; the backup holds users 1180, shares 2360, of \
             2026-11-19T03:00:00.000Z"
        );
    }

    #[test]
    fn what_was_done() {
        let mut report = report();
        report.safety = Some("/b/before.db".into());
        report.safety_error = Some("page 7".into());
        report.timeline = Some(Uuid::nil());
        report.migrated_from = Some(3);
        report.rewrapped = true;
        report.public_key = [0xab; 32];
        let text = has_changed(&report.clone().into());
        for part in [
            "restored: /b/ksnode-1.db",
            "schema 3",
            "rewrapped under today's",
            "kept in /b/before.db",
            "could not be verified: page 7",
            "a new timeline began: 00000000",
            "public key is now abababab",
        ] {
            assert!(text.contains(part), "{part:?} is missing: {text}");
        }
        let text = would_change(&report.into());
        assert!(text.contains("would be migrated") && text.contains("would be rewrapped"));
        assert!(text.contains("public key would be abababab"), "{text}");
    }

    #[test]
    fn yes_alone_is_yes() {
        for (typed, yes) in [
            ("yes\n", true),
            (" yes \n", true),
            ("y\n", false),
            ("", false),
        ] {
            let mut asked = Vec::new();
            assert_eq!(confirmed(&mut typed.as_bytes(), &mut asked).unwrap(), yes);
            assert!(asked.ends_with(b": "));
        }
    }
}
