//! The backups: what there is, what failed, what is under way.

use std::path::Path;

use askama::Template;
use uuid::Uuid;

use super::job::{Running, running};
use super::overview::moment;
use super::parts::{Figure, Moment, State, Tone, grouped, longest_unit};
use super::shell::Shell;
use super::{Html, Page, PageError, Visit};
use crate::admin::site::Rooms;
use crate::clock::Timestamp;
use crate::desk::{BackupEntry, size};

#[derive(Template)]
#[template(path = "backups.html")]
struct Backups {
    shell: Shell,
    running: Vec<Running>,
    figures: Vec<Figure>,
    rows: Vec<Row>,
    count: String,
}

struct Row {
    id: Uuid,
    name: String,
    made: Moment,
    kind: &'static str,
    state: State,
    /// What is known beside its state.
    proof: String,
    error: Option<String>,
    size: String,
    users: String,
    shares: String,
    /// Whether there is a file, so that something can be done with it.
    is_there: bool,
}

/// The page.
pub(super) async fn show(rooms: &Rooms, visit: &Visit) -> Result<Html, PageError> {
    let entries = rooms.desk.backups(None).await?;
    Html::of(&Backups {
        shell: Shell::of(Page::Backups, visit),
        running: running(&rooms.jobs.list(), Page::Backups),
        figures: figures(&entries, rooms.desk.next_backup().await?, visit.now),
        count: counted_entries(entries.len()),
        rows: entries.iter().map(|entry| row(entry, visit.now)).collect(),
    })
}

/// `1 entry`, `2 entries`.
pub(super) fn counted_entries(count: usize) -> String {
    match count {
        1 => "1 entry".to_owned(),
        count => format!(
            "{} entries",
            grouped(u64::try_from(count).unwrap_or(u64::MAX))
        ),
    }
}

/// The name of a file in a path.
pub(super) fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name();
    name.map_or_else(|| path.to_owned(), |name| name.display().to_string())
}

fn figures(entries: &[BackupEntry], next: Option<Timestamp>, now: Timestamp) -> Vec<Figure> {
    let kept: Vec<&BackupEntry> = entries.iter().filter(|entry| is_there(entry)).collect();
    let bytes = kept.iter().filter_map(|entry| entry.bytes).sum();
    let newest = kept
        .first()
        .and_then(|entry| Timestamp::parse(&entry.updated_at));
    let age = newest.map(|at| now.since(at));
    let (value, unit) = match age.map(longest_unit) {
        None => ("none".to_owned(), ""),
        Some(None) => ("just now".to_owned(), ""),
        Some(Some(age)) => (age, "ago"),
    };
    let took = kept.first().and_then(|entry| entry.milliseconds);
    let verified = kept
        .first()
        .is_some_and(|entry| entry.verified_at.is_some());
    let count = u64::try_from(kept.len()).unwrap_or(u64::MAX);
    vec![
        Figure {
            name: "Newest",
            value,
            unit,
            beside: if verified { "verified" } else { "" }.to_owned(),
        },
        Figure {
            name: "Kept",
            value: grouped(count),
            unit: "",
            beside: format!("{} together", size(bytes)),
        },
        Figure {
            name: "The newest took",
            value: took.map_or_else(|| "–".to_owned(), seconds),
            unit: if took.is_some() { "s" } else { "" },
            beside: "copied, verified, flushed".to_owned(),
        },
        self::next(next, now),
    ]
}

/// When there will be another one without anybody's doing.
fn next(next: Option<Timestamp>, now: Timestamp) -> Figure {
    let (value, beside) = match next {
        None => ("none".to_owned(), "backup.at is empty".to_owned()),
        Some(at) if at <= now => ("now".to_owned(), "it is due".to_owned()),
        Some(at) => {
            let wait = longest_unit(at.since(now)).unwrap_or_else(|| "a moment".to_owned());
            (format!("in {wait}"), Moment::new(at, now).shown)
        }
    };
    Figure {
        name: "Next by itself",
        value,
        unit: "",
        beside,
    }
}

/// Milliseconds as seconds.
pub(super) fn seconds(milliseconds: u64) -> String {
    format!(
        "{:.1}",
        std::time::Duration::from_millis(milliseconds).as_secs_f64()
    )
}

fn is_there(entry: &BackupEntry) -> bool {
    entry.status == "COMPLETED"
}

fn row(entry: &BackupEntry, now: Timestamp) -> Row {
    let (tone, text) = match entry.status.as_str() {
        "COMPLETED" if entry.verified_at.is_some() => (Tone::Good, "Verified"),
        "COMPLETED" => (Tone::Idle, "Completed"),
        "IN_PROGRESS" => (Tone::Busy, "Under way"),
        "DELETED" => (Tone::Idle, "Deleted"),
        _ => (Tone::Bad, "Failed"),
    };
    let counts = |count: fn(&crate::desk::Counts) -> u64| {
        entry
            .holds
            .as_ref()
            .map(|holds| grouped(count(holds)))
            .unwrap_or_default()
    };
    Row {
        id: entry.id,
        name: file_name(&entry.path),
        made: Moment::told(&entry.created_at, now),
        kind: match entry.kind.as_str() {
            "scheduled" => "made by itself",
            "manual" => "asked for by somebody",
            "before-restore" => "before a restore",
            "before-migration" => "before a migration",
            "before-rollback" => "before a rollback",
            _ => "other",
        },
        state: State::new(tone, text),
        proof: proof(entry, now),
        error: entry.error.clone().or_else(|| {
            let hook = entry.hook_error.as_ref();
            hook.map(|error| format!("backup.after failed: {error}"))
        }),
        size: entry.bytes.map(size).unwrap_or_default(),
        users: counts(|holds| holds.users),
        shares: counts(|holds| holds.shares),
        is_there: is_there(entry),
    }
}

fn proof(entry: &BackupEntry, now: Timestamp) -> String {
    let verified = moment(entry.verified_at.as_ref(), now).filter(|_| is_there(entry));
    let mut parts: Vec<String> = verified.map(|at| at.ago).into_iter().collect();
    parts.extend(entry.encrypted.then(|| "encrypted".to_owned()));
    parts.join(", ")
}
