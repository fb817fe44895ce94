//! `ksnode audit`: who had what done, and what became of the node.
//!
//! It reads the database beside the running node, or that of a stopped one, and verifies with the secret by itself: the answer
//! does not depend on what the running node says.

mod head_file;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use rusqlite::Connection;
use serde_json::json;

use super::Global;
use super::backup::Output;
use super::finding::one_line;
use super::running::absolute;
use super::text::{print, print_json, remark, table, with_error_as_json};
use crate::audit::{Action, Chain, Query, SignedHead};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::crypto::EncryptionSecret;
use crate::desk::{AuditItem, AuditVerified, whole_days};
use crate::store::{DATABASE_FILE, Keychain, OpenKeys, open_read_only, replace_private_file};

/// Entries that are listed when nobody says how many.
const LAST: u32 = 200;

/// What to do with the audit log. All of it works beside a running node.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List entries, newest first
    List(List),
    /// Tell whether the log is whole: the exit code is 0 then, and 1 when something was removed, changed or added
    Verify(Verify),
    /// Print the number and hash of the newest entry, signed with the node's key: kept elsewhere, it shows later that nothing
    /// until then was taken away
    Head(Head),
}

/// What `ksnode audit list` takes.
#[derive(Args, Debug)]
pub struct List {
    /// Of the last so many days
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub days: Option<u32>,
    /// So many at most [default: 200, without --days]
    #[arg(long, value_name = "N")]
    pub last: Option<u32>,
    /// Of this action alone
    #[arg(long, value_name = "ACTION", value_parser = PossibleValuesParser::new(Action::ALL.iter().map(|action| action.as_str())))]
    pub action: Option<String>,
    /// Of those in whose description this text is, as `page` or an address
    #[arg(long, value_name = "TEXT")]
    pub actor: Option<String>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// What `ksnode audit verify` takes.
#[derive(Args, Debug)]
pub struct Verify {
    /// A head that `ksnode audit head` wrote: whether the log still has all that it had then
    #[arg(long, value_name = "FILE")]
    pub head: Option<PathBuf>,
    /// How to print.
    #[command(flatten)]
    pub output: Output,
}

/// What `ksnode audit head` takes.
#[derive(Args, Debug)]
pub struct Head {
    /// Write it to this file, in place of an older one
    #[arg(long, value_name = "FILE")]
    pub to: Option<PathBuf>,
}

impl Command {
    fn json(&self) -> bool {
        match self {
            Self::List(list) => list.output.json,
            Self::Verify(verify) => verify.output.json,
            Self::Head(_) => false,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`crate::config::ConfigError`]; there is no database, or it cannot be read; the head's file cannot be.
pub fn run(global: &Global, command: &Command) -> anyhow::Result<ExitCode> {
    with_error_as_json(command.json(), dispatch(global, command))
}

fn dispatch(global: &Global, command: &Command) -> anyhow::Result<ExitCode> {
    let config = global.load_as_owner()?.config;
    let path = config.data_dir.join(DATABASE_FILE);
    ensure!(path.exists(), "{}: there is no database", path.display());
    let connection = open_read_only(&path)?;
    // One moment of the database, whatever the node writes meanwhile.
    let moment = connection.unchecked_transaction()?;
    match command {
        Command::List(arguments) => list(&moment, arguments).map(|()| ExitCode::SUCCESS),
        Command::Verify(arguments) => verify(&config, &moment, arguments),
        Command::Head(arguments) => head(&config, &moment, arguments).map(|()| ExitCode::SUCCESS),
    }
}

fn list(connection: &Connection, arguments: &List) -> anyhow::Result<()> {
    let now = SystemClock::new().now();
    let all = if arguments.days.is_some() {
        u32::MAX
    } else {
        LAST
    };
    let query = Query {
        before: None,
        since: arguments.days.map(|days| now.minus(whole_days(days))),
        action: arguments.action.clone(),
        actor: arguments.actor.clone(),
        limit: arguments.last.unwrap_or(all),
    };
    let entries: Vec<AuditItem> = query
        .run(connection)?
        .into_iter()
        .map(AuditItem::from)
        .collect();
    if arguments.output.json {
        return print_json(&json!({"entries": entries}));
    }
    if u32::try_from(entries.len()).is_ok_and(|count| count >= query.limit) {
        remark(&format!(
            "the newest {}; more with --last or --days",
            query.limit
        ));
    }
    print(&page(&entries))
}

fn page(entries: &[AuditItem]) -> String {
    if entries.is_empty() {
        return "no entries".to_owned();
    }
    let headings = ["NUMBER", "TIME", "WHO", "WHAT", "", "OF WHAT"];
    let mut rows = vec![headings.map(str::to_owned)];
    rows.extend(entries.iter().map(|entry| {
        [
            entry.seq.to_string(),
            entry.at.clone(),
            one_line(&entry.actor),
            one_line(&entry.action),
            one_line(&entry.outcome),
            one_line(&entry.detail),
        ]
    }));
    table(&rows)
}

fn verify(
    config: &Config,
    connection: &Connection,
    arguments: &Verify,
) -> anyhow::Result<ExitCode> {
    let signed = arguments.head.as_deref().map(head_file::read).transpose()?;
    let chain = Chain::new(&keys(config, connection)?.ring);
    let verified = AuditVerified::from(chain.verify(connection, signed.as_ref())?);
    if arguments.output.json {
        print_json(&json!({"audit": verified}))?;
    } else {
        print(&verdict(&verified, signed.as_ref()))?;
    }
    Ok(if verified.whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn verdict(verified: &AuditVerified, signed: Option<&SignedHead>) -> String {
    let mut lines: Vec<String> = verified
        .findings
        .iter()
        .map(|finding| format!("WRONG: {finding}"))
        .collect();
    if verified.forgotten_until > 0 {
        lines.push(format!(
            "entries until number {} were forgotten by audit.keep_days",
            verified.forgotten_until
        ));
    }
    let span = |number: Option<i64>, at: &Option<String>| {
        let at = at.as_deref().unwrap_or("-");
        number.map_or_else(|| "-".to_owned(), |number| format!("{number} ({at})"))
    };
    lines.push(format!(
        "{} entries, from number {} to {}",
        verified.entries,
        span(verified.oldest, &verified.oldest_at),
        span(verified.newest, &verified.newest_at)
    ));
    if verified.whole {
        lines.push("the audit log is whole".to_owned());
        lines.extend(signed.map(|signed| {
            format!(
                "and has all that it had when the head was signed, {} (entry {})",
                signed.at, signed.link.seq
            )
        }));
    } else {
        lines.push("the audit log is NOT whole".to_owned());
    }
    lines.join("\n")
}

fn head(config: &Config, connection: &Connection, arguments: &Head) -> anyhow::Result<()> {
    let keys = keys(config, connection)?;
    let now = SystemClock::new().now();
    let chain = Chain::new(&keys.ring);
    let signed = chain.sign(connection, keys.node_id, &keys.node_key, now)?;
    let text = head_file::text(&signed)?;
    let Some(file) = &arguments.to else {
        return print(&text);
    };
    let file = absolute(file)?;
    replace_private_file(&file, text.as_bytes())?;
    print(&format!(
        "{}: entry {}; keep it on another machine, and compare with `ksnode audit verify --head FILE`",
        file.display(),
        signed.link.seq
    ))
}

/// The node's keys, opened with the secret.
fn keys(config: &Config, connection: &Connection) -> anyhow::Result<OpenKeys> {
    let secret = EncryptionSecret::from_file(&config.secret_file, config.allow_readable_secret)?;
    Ok(Keychain(connection).open(&secret, None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified() -> AuditVerified {
        AuditVerified {
            whole: true,
            entries: 3,
            oldest: Some(5),
            oldest_at: Some("2026-11-19T03:00:00.000Z".into()),
            newest: Some(7),
            newest_at: Some("2026-11-20T03:00:00.000Z".into()),
            forgotten_until: 4,
            findings: vec![],
        }
    }

    #[test]
    fn a_verdict_says_what_was_looked_at() {
        assert_eq!(
            verdict(&verified(), None),
            "entries until number 4 were forgotten by audit.keep_days\n\
             3 entries, from number 5 (2026-11-19T03:00:00.000Z) to 7 (2026-11-20T03:00:00.000Z)\n\
             the audit log is whole"
        );
        let broken = AuditVerified {
            whole: false,
            findings: vec!["entry 6 was removed".into()],
            ..verified()
        };
        let text = verdict(&broken, None);
        assert!(text.starts_with("WRONG: entry 6 was removed\n"), "{text}");
        assert!(text.ends_with("NOT whole"), "{text}");
    }

    #[test]
    fn what_is_in_an_entry_stays_on_its_line() {
        let entry = AuditItem {
            seq: 1,
            at: "2026-11-19T03:00:00.000Z".into(),
            actor: "the node".into(),
            action: "restore".into(),
            outcome: "done".into(),
            detail: "from /b/a\nb\u{1b}[2J".into(),
        };
        let text = page(&[entry]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains(r"/b/a\nb\u{1b}[2J"), "{text}");
    }
}
